"""Laws of field sets, merging and server-side apply, over generated objects."""

from __future__ import annotations

from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from tiphys.apimachinery import fieldset
from tiphys.apimachinery.fieldset import FieldSet, Path
from tiphys.apimachinery.managedfields import apply, update, with_managed_fields
from tiphys.apimachinery.mergeschema import MergeSchema, MergeSchemas
from tiphys.apimachinery.structuredmerge import compare, merge, same, to_set

NOW = "2030-01-01T00:00:00Z"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "size": {"type": "integer"},
                "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                "list": {"type": "array", "items": {"type": "integer"}},
                "map": {"type": "object", "additionalProperties": {"type": "string"}},
                "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "integer"}}},
                "items": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {
                        "type": "object",
                        "properties": {"k": {"type": "string"}, "v": {"type": "integer"}},
                    },
                },
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        }
    },
}


THING: MergeSchema = MergeSchemas.builtin().for_custom(SCHEMA)

elements = st.one_of(
    st.sampled_from(["f:a", "f:b", "f:c"]),
    st.sampled_from(['k:{"n":1}', 'k:{"n":10}', 'k:{"n":9,"p":"x"}']),
    st.sampled_from(['v:"a"', "v:1", "v:true"]),
    st.sampled_from(["i:0", "i:10"]),
)
path_lists = st.lists(st.lists(elements, min_size=1, max_size=4).map(tuple), max_size=8)
letters = st.sampled_from("abcd")
scalars = st.sampled_from([0, 1, True, False, "x", "", None, 1.5])
free = st.recursive(
    scalars,
    lambda below: st.one_of(st.lists(below, max_size=2), st.dictionaries(letters, below, max_size=2)),
    max_leaves=4,
)
specs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 2),
        "set": st.lists(letters, unique=True, max_size=3),
        "list": st.lists(st.integers(0, 2), max_size=2),
        "map": st.dictionaries(letters, st.sampled_from(["1", "2"]), max_size=3),
        "atom": st.fixed_dictionaries({}, optional={"a": st.integers(0, 1)}),
        "items": st.lists(
            st.fixed_dictionaries({"k": letters}, optional={"v": st.integers(0, 2)}),
            unique_by=lambda one: one["k"],
            max_size=3,
        ),
        "free": st.dictionaries(letters, free, max_size=3),
    },
)
managers = st.sampled_from(["one", "two", "three"])


def thing(spec: Any) -> dict[str, Any]:
    return {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}, "spec": spec}


def ssa(live: dict[str, Any] | None, spec: Any, manager: str) -> dict[str, Any]:
    return apply(live, thing(spec), manager=manager, api_version="x.io/v1", schema=THING, force=True, now=NOW)


def entry(obj: dict[str, Any], manager: str) -> FieldSet:
    found = [e["fieldsV1"] for e in obj["metadata"].get("managedFields") or [] if e["manager"] == manager]
    return found[0] if found else fieldset.EMPTY


def members(fields: FieldSet) -> set[Path]:
    return set(fieldset.paths(fields))


@seed(1)
@settings(max_examples=100, deadline=None)
@given(path_lists, path_lists)
def test_sets_behave_as_sets_of_paths(a: list[Path], b: list[Path]) -> None:
    one, two = fieldset.from_paths(a), fieldset.from_paths(b)
    assert members(one) == set(a)
    assert members(fieldset.union(one, two)) == set(a) | set(b)
    assert members(fieldset.intersection(one, two)) == set(a) & set(b)
    assert members(fieldset.difference(one, two)) == set(a) - set(b)
    trees = {path for path in a if not any(path[: len(cut)] == cut for cut in b)}
    assert members(fieldset.without_trees(one, two)) == trees
    assert members(fieldset.leaves(one)) == {
        path for path in a if not any(other != path and other[: len(path)] == path for other in a)
    }
    assert all(fieldset.has(one, path) == (path in set(a)) for path in a + b)
    assert members(one) == set(a)
    assert members(two) == set(b)


@seed(1)
@settings(max_examples=100, deadline=None)
@given(path_lists)
def test_encoding_and_decoding_give_back_the_set(a: list[Path]) -> None:
    fields = fieldset.from_paths(a)
    assert fieldset.decode(fieldset.encode(fields)) == fields
    assert members(fieldset.encode(fields)) == set(a)


@seed(1)
@settings(max_examples=100, deadline=None)
@given(specs, specs)
def test_nothing_differs_between_equal_objects_and_differences_are_mirrored(a: Any, b: Any) -> None:
    there, back = compare(thing(a), thing(b), THING.atom), compare(thing(b), thing(a), THING.atom)
    assert not compare(thing(a), thing(a), THING.atom)
    assert members(there.added) == members(back.removed)
    assert members(there.modified) == members(back.modified)
    assert not (same(a, b) and there)


@seed(1)
@settings(max_examples=100, deadline=None)
@given(specs, specs)
def test_merging_the_same_twice_changes_nothing_more(live: Any, config: Any) -> None:
    once = merge(thing(live), thing(config), THING.atom)
    assert same(merge(once, thing(config), THING.atom), once)


@seed(1)
@settings(max_examples=60, deadline=None)
@given(specs, specs, managers)
def test_applying_the_same_twice_changes_nothing_more(first: Any, second: Any, manager: str) -> None:
    live = ssa(ssa(None, first, "zero"), second, manager)
    assert same(ssa(live, second, manager), live)


@seed(1)
@settings(max_examples=60, deadline=None)
@given(specs)
def test_applying_nothing_removes_all_that_was_applied(spec: Any) -> None:
    live = ssa(None, spec, "one")
    after = ssa(live, {}, "one")
    assert members(entry(after, "one")) <= {("f:spec",)}
    left = {key: value for key, value in (after.get("spec") or {}).items() if value not in (None, [], {})}
    assert left == {}


@seed(1)
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(managers, specs, st.booleans()), min_size=1, max_size=5))
def test_what_a_manager_owns_is_there_and_what_was_written_is_owned(writes: list[tuple[str, Any, bool]]) -> None:
    live: dict[str, Any] | None = None
    for manager, spec, applied in writes:
        if applied or live is None:
            live = ssa(live, spec, manager)
            # The manager owns exactly what it applied.
            wanted = members(to_set({"spec": spec}, THING.atom))
            assert members(entry_of(live, manager, "Apply")) == wanted
        else:
            new = live | {"spec": spec}
            entries = update(live, new, manager=manager, api_version="x.io/v1", schema=THING, now=NOW)
            changed = compare({"spec": live.get("spec")}, {"spec": spec}, THING.atom)
            live = with_managed_fields(new, entries)
            owned: FieldSet = fieldset.EMPTY
            for one in entries:
                owned = fieldset.union(owned, one["fieldsV1"])
            assert members(changed.changed) <= members(owned)
            assert not members(changed.removed) & members(owned)


def entry_of(obj: dict[str, Any], manager: str, operation: str) -> FieldSet:
    for one in obj["metadata"].get("managedFields") or []:
        if one["manager"] == manager and one["operation"] == operation:
            found: FieldSet = one["fieldsV1"]
            return found
    return fieldset.EMPTY
