"""Field sets: elements, order, FieldsV1 and the set operations."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery import fieldset
from tiphys.apimachinery.fieldset import FieldSetError, from_paths


def paths_of(fields: fieldset.FieldSet) -> set[tuple[str, ...]]:
    return set(fieldset.paths(fields))


def test_elements_are_written_as_the_api_writes_them() -> None:
    assert fieldset.key_element({"protocol": "TCP", "containerPort": 80}) == 'k:{"containerPort":80,"protocol":"TCP"}'
    assert fieldset.value_element("x.io/f") == 'v:"x.io/f"'
    assert fieldset.value_element(True) == "v:true"
    assert fieldset.value_element(2.0) == "v:2"
    assert fieldset.value_element("a<b>&") == 'v:"a\\u003cb\\u003e\\u0026"'


def test_paths_print_as_in_conflict_messages() -> None:
    path = ("f:spec", "f:containers", 'k:{"name":"c"}', "f:ports", 'k:{"containerPort":80,"protocol":"TCP"}')
    assert fieldset.path_string(path) == '.spec.containers[name="c"].ports[containerPort=80,protocol="TCP"]'
    assert fieldset.path_string(("f:metadata", "f:finalizers", 'v:"x.io/f"')) == '.metadata.finalizers[="x.io/f"]'
    assert fieldset.path_string(("f:a", "i:3")) == ".a[3]"


def test_members_of_one_level_come_before_those_below() -> None:
    fields = from_paths([("f:b", "f:x"), ("f:a",), ("f:c",), ("f:a", "f:y")])
    assert fieldset.to_strings(fields) == [".a", ".c", ".a.y", ".b.x"]


def test_encode_orders_fields_then_keys_by_value_then_values_by_kind() -> None:
    fields = from_paths(
        [
            ('k:{"port":443}',),
            ('v:"b"',),
            ("v:10",),
            ("v:9",),
            ('k:{"port":80}',),
            ("i:2",),
            ("i:10",),
            ("f:z",),
            ("f:a", "f:b"),
            ("f:a",),
        ]
    )
    assert list(fieldset.encode(fields)) == [
        "f:a",
        "f:z",
        'k:{"port":80}',
        'k:{"port":443}',
        "v:9",
        "v:10",
        'v:"b"',
        "i:2",
        "i:10",
    ]
    assert fieldset.encode(fields)["f:a"] == {".": {}, "f:b": {}}
    assert list(fieldset.encode(from_paths([("f:a", "f:b"), ("f:a",)]))["f:a"]) == [".", "f:b"]


def test_decode_brings_elements_of_clients_to_one_form() -> None:
    document: dict[str, Any] = {"f:a": {'k:{"b": 1, "a":"x"}': {".": {}}, "q:new": {}}, "f:c": {}}
    assert fieldset.decode(document) == {"f:a": {'k:{"a":"x","b":1}': {}}, "f:c": {}}


@pytest.mark.parametrize("document", [[], {"f:a": 1}, {"a": {}}, {"k:{": {}}, {"i:x": {}}, {"v:{": {}}])
def test_decode_refuses_what_is_no_set(document: Any) -> None:
    with pytest.raises(FieldSetError):
        fieldset.decode(document)


def test_a_member_and_a_way_to_members_differ() -> None:
    fields = from_paths([("f:a", "f:b"), ("f:c",), ("f:c", "f:d")])
    assert not fieldset.has(fields, ("f:a",))
    assert fieldset.has(fields, ("f:a", "f:b"))
    assert fieldset.has(fields, ("f:c",))
    assert not fieldset.has(fields, ("f:a", "f:b", "f:x"))
    assert not fieldset.has(fields, ())


def test_difference_takes_a_parent_and_leaves_what_is_below() -> None:
    fields = from_paths([("f:a",), ("f:a", "f:b")])
    assert paths_of(fieldset.difference(fields, from_paths([("f:a",)]))) == {("f:a", "f:b")}
    assert paths_of(fieldset.difference(fields, from_paths([("f:a", "f:b")]))) == {("f:a",)}
    assert fieldset.difference(fields, from_paths([("f:a", "f:b")])) == {"f:a": {}}


def test_without_trees_takes_what_is_below_too() -> None:
    fields = from_paths([("f:a",), ("f:a", "f:b"), ("f:c", "f:d"), ("f:c",)])
    assert paths_of(fieldset.without_trees(fields, from_paths([("f:a",)]))) == {("f:c",), ("f:c", "f:d")}
    assert fieldset.without_trees(fields, from_paths([("f:c", "f:d")])) == {"f:a": {".": {}, "f:b": {}}, "f:c": {}}


def test_operations_that_change_nothing_give_the_set_itself() -> None:
    fields = from_paths([("f:a", "f:b"), ("f:c",)])
    other = from_paths([("f:z",)])
    assert fieldset.difference(fields, other) is fields
    assert fieldset.without_trees(fields, other) is fields
    assert fieldset.union(fields, from_paths([("f:c",)])) is fields


def test_leaves_are_members_without_members_below() -> None:
    fields = from_paths([("f:a",), ("f:a", "f:b"), ("f:c",)])
    assert paths_of(fieldset.leaves(fields)) == {("f:a", "f:b"), ("f:c",)}
