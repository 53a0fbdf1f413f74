"""Laws of RBAC over generated policies."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.policy.rbac import RBAC, Subject, parse_policy

OBJECTS = st.sampled_from(["*", "*/*", "team/*", "team/a", "other/*", "t*/a", "team/[ab]"])
RULES = st.lists(st.tuples(st.sampled_from(["bob", "role:x"]), OBJECTS, st.sampled_from(["allow", "deny"])), max_size=6)


@settings(max_examples=150, deadline=None)
@given(RULES, st.booleans(), st.sampled_from(["a", "b", "ns/a"]))
def test_what_is_said_of_a_whole_project_holds_for_each_object_and_order_does_not_matter(
    rules: list[tuple[str, str, str]], member: bool, name: str
) -> None:
    lines = [f"p, {subject}, applications, get, {obj}, {effect}" for subject, obj, effect in rules]
    if member:
        lines.append("g, bob, role:x")
    bob = Subject("bob")
    forward = RBAC(parse_policy("\n".join(lines))).permissions(bob, "applications", "get")
    backward = RBAC(parse_policy("\n".join(reversed(lines)))).permissions(bob, "applications", "get")
    answer = forward.of(f"team/{name}").allowed
    assert backward.of(f"team/{name}").allowed is answer
    if forward.covers_project("team"):
        assert answer
