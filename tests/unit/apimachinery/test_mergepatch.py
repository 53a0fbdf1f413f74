"""JSON merge patches, two-way and three-way, are those of the Go libraries kubectl and the server use."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tiphys.apimachinery.mergepatch import apply, create, create_three_way


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c", "d": 1}}, {"a": {"b": None}}, {"a": {"d": 1}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}),
        ({"a": None}, {"a": {"b": None, "c": 1}}, {"a": {"c": 1}}),
        ({"a": {"b": 1}}, {"a": [1, {"x": None}]}, {"a": [1, {"x": None}]}),
        ({"a": 1}, {"a": [{"x": None, "y": 1}]}, {"a": [{"y": 1}]}),
    ],
)
def test_a_patch_merges_objects_and_replaces_the_rest(original: Any, patch: Any, result: Any) -> None:
    before = copy.deepcopy((original, patch))
    assert apply(original, patch) == result
    assert (original, patch) == before


@pytest.mark.parametrize(
    ("original", "modified", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1, "b": 2}, {"a": 2}, {"a": 2, "b": None}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"a": [1, 2]}, {"a": [2, 1]}, {"a": [2, 1]}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": 1}, {"a": 1.0}, {}),
        ({"a": None}, {"a": None}, {}),
        ({}, {"a": {}}, {"a": {}}),
    ],
)
def test_a_created_patch_holds_only_what_differs(original: Any, modified: Any, patch: Any) -> None:
    assert create(original, modified) == patch
    assert apply(original, patch) == modified or modified == {"a": None}


def test_three_ways_keep_what_others_added_and_remove_what_was_ours() -> None:
    original = {"spec": {"mine": 1, "old": 2, "list": [1]}}
    modified = {"spec": {"mine": 3, "list": [1, 2]}}
    current = {"spec": {"mine": 1, "old": 2, "list": [1], "theirs": 4}, "status": {}}
    patch = create_three_way(original, modified, current)
    assert patch == {"spec": {"mine": 3, "old": None, "list": [1, 2]}}
    assert apply(current, patch) == {"spec": {"mine": 3, "list": [1, 2], "theirs": 4}, "status": {}}


def test_three_ways_without_last_applied_remove_nothing() -> None:
    assert create_three_way(None, {"a": 1}, {"b": 2}) == {"a": 1}
    assert create_three_way({}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 3}) == {}


def test_an_empty_object_asked_for_is_kept_in_the_patch() -> None:
    assert create_three_way({}, {"a": {}}, {}) == {"a": {}}
    assert create_three_way({}, {"a": {}}, {"a": {"b": 1}}) == {}
