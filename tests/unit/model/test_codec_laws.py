"""Laws of the codec over generated objects."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tiphys.model.application import application_object, parse_application
from tiphys.model.codec import InvalidObject, decode, encode
from tiphys.model.source import ApplicationSource

KNOWN = {
    "repoURL",
    "path",
    "targetRevision",
    "helm",
    "kustomize",
    "directory",
    "plugin",
    "chart",
    "ref",
    "name",
    "tagPrefix",
}
TEXT = st.text(max_size=8)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
UNKNOWN = st.dictionaries(TEXT.filter(lambda name: name not in KNOWN), JSON, max_size=4)


@settings(max_examples=60, deadline=None)
@given(UNKNOWN, TEXT, TEXT)
def test_unknown_fields_survive_a_round_trip(unknown: dict[str, Any], url: str, path: str) -> None:
    obj = {**unknown, "repoURL": url, **({"path": path} if path else {})}
    assert encode(decode(ApplicationSource, obj)) == obj


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({"metadata": st.dictionaries(TEXT, JSON, max_size=3), "spec": JSON, "status": JSON}))
def test_any_json_is_read_or_refused_with_problems_and_reading_twice_changes_nothing(obj: dict[str, Any]) -> None:
    try:
        app = parse_application(obj)
    except InvalidObject:
        return
    written = application_object(app)
    assert application_object(parse_application(written)) == written
