"""Laws of patches: what is created can be applied, asks for nothing twice, and changes nothing it was given."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import patchcases

from tiphys.apimachinery import jsonpatch, mergepatch, strategicmerge
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.apimachinery.patchmeta import PatchSchema, builtin
from tiphys.apimachinery.yamljson import canonical_json, dump_yaml, load_one

SCHEMAS: dict[str, PatchSchema] = {}
for gvk in (GroupVersionKind("apps", "v1", "Deployment"), GroupVersionKind("", "v1", "Service")):
    found = builtin().schema(gvk)
    assert found is not None
    SCHEMAS[gvk.kind] = found

fixed = settings(derandomize=True, deadline=None, max_examples=200)
few = settings(fixed, max_examples=40)
seeds = st.integers(0, 2**32)
kinds = st.sampled_from(patchcases.KINDS)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)
objects = st.dictionaries(st.sampled_from("abcde"), values, max_size=4)


def contains(whole: Any, part: Any, kind: str, field: str = "") -> bool:
    """Whether everything `part` says is so in `whole`; keyed lists may have more items, and sets more members."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and contains(whole[key], value, kind, key) for key, value in part.items()
        )
    if isinstance(part, list):
        key = patchcases.merge_key(kind, field)
        if key:
            items = {item[key]: item for item in whole}
            return all(item[key] in items and contains(items[item[key]], item, kind) for item in part)
        if field == "finalizers":
            return set(part) <= set(whole)
    return bool(whole == part)


def decoded(value: Any) -> Any:
    """The object as a server reads a patched one: no nulls, no left-over directives, finalizers as the set they are."""
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if item is not None and not key.startswith("$")}
        return {key: sorted(item) if key == "finalizers" else decoded(item) for key, item in kept.items()}
    return [decoded(item) for item in value] if isinstance(value, list) else value


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@given(seeds, kinds)
@fixed
def test_a_two_way_patch_turns_one_into_the_other(seed: int, kind: str) -> None:
    random = Random(seed)
    one = patchcases.build(random, kind)
    other = patchcases.mixed(random, kind, one)
    if patchcases.has_twins(one, kind) or patchcases.has_twins(other, kind):
        return
    before = copy.deepcopy((one, other))
    patch = strategicmerge.create_two_way(one, other, SCHEMAS[kind])
    assert decoded(strategicmerge.apply(one, patch, SCHEMAS[kind])) == decoded(other)
    assert strategicmerge.create_two_way(other, other, SCHEMAS[kind]).get("spec") is None
    assert (one, other) == before


@given(seeds, kinds)
@fixed
def test_a_three_way_patch_brings_what_is_wanted_and_asks_for_nothing_twice(seed: int, kind: str) -> None:
    random = Random(seed)
    original = patchcases.build(random, kind)
    modified = patchcases.mixed(random, kind, original)
    current = patchcases.mixed(random, kind, original)
    if any(patchcases.has_twins(one, kind) for one in (original, modified, current)):
        return
    before = copy.deepcopy((original, modified, current))
    schema = SCHEMAS[kind]
    patch = strategicmerge.create_three_way(original, modified, current, schema)
    applied = strategicmerge.apply(current, patch, schema)
    assert contains(applied, modified, kind)
    again = strategicmerge.create_three_way(modified, modified, applied, schema)
    assert decoded(strategicmerge.apply(applied, again, schema)) == decoded(applied)
    assert (original, modified, current) == before


@given(seeds, kinds)
@fixed
def test_a_three_way_patch_without_others_is_a_two_way_patch(seed: int, kind: str) -> None:
    random = Random(seed)
    original = patchcases.build(random, kind)
    modified = patchcases.mixed(random, kind, original)
    if patchcases.has_twins(original, kind) or patchcases.has_twins(modified, kind):
        return
    patch = strategicmerge.create_three_way(original, modified, original, SCHEMAS[kind], overwrite=False)
    assert decoded(strategicmerge.apply(original, patch, SCHEMAS[kind])) == decoded(modified)


@given(seeds, kinds)
@fixed
def test_applying_changes_neither_object_nor_patch(seed: int, kind: str) -> None:
    random = Random(seed)
    one = patchcases.build(random, kind)
    patch = patchcases.patch(random, kind, one)
    before = copy.deepcopy((one, patch))
    try:
        strategicmerge.apply(one, patch, SCHEMAS[kind])
    except strategicmerge.StrategicMergeError:
        pass  # some directives contradict each other; the inputs must be whole all the same
    assert (one, patch) == before


@given(objects, objects)
@few
def test_a_merge_patch_turns_one_into_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    one, other = without_nulls(one), without_nulls(other)
    patch = mergepatch.create(one, other)
    assert mergepatch.apply(one, patch) == other
    assert mergepatch.create(other, other) == {}


@given(objects, objects, objects)
@few
def test_a_three_way_merge_patch_asks_for_nothing_twice(
    original: dict[str, Any], modified: dict[str, Any], current: dict[str, Any]
) -> None:
    original, modified, current = without_nulls(original), without_nulls(modified), without_nulls(current)
    applied = mergepatch.apply(current, mergepatch.create_three_way(original, modified, current))
    assert mergepatch.create_three_way(modified, modified, applied) == {}


@given(objects, values)
@few
def test_what_a_json_patch_adds_it_finds_and_removes(document: dict[str, Any], value: Any) -> None:
    added = jsonpatch.apply(document, [{"op": "add", "path": "/new", "value": value}])
    steps = [{"op": "test", "path": "/new", "value": value}, {"op": "remove", "path": "/new"}]
    assert jsonpatch.apply(added, steps) == document


@given(values)
@few
def test_yaml_written_is_read_back(value: Any) -> None:
    assert load_one(dump_yaml(value)) == value


@given(objects)
@few
def test_canonical_json_does_not_depend_on_the_order_of_keys(document: dict[str, Any]) -> None:
    assert canonical_json(document) == canonical_json(dict(reversed(document.items())))
