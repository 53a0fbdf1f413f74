"""JSON patches are applied and refused as the API server's library does."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tiphys.apimachinery.jsonpatch import JsonPatchError, JsonPatchTestFailedError, apply, refusal

DOCUMENT: dict[str, Any] = {"a": {"b": [1, 2]}, "c": None, "x/y": 1, "~": 2}


@pytest.mark.parametrize(
    ("operations", "result"),
    [
        ([{"op": "add", "path": "/a/d", "value": 1}], {"a": {"b": [1, 2], "d": 1}}),
        ([{"op": "add", "path": "/a/b/0", "value": 0}], {"a": {"b": [0, 1, 2]}}),
        ([{"op": "add", "path": "/a/b/-", "value": 3}], {"a": {"b": [1, 2, 3]}}),
        ([{"op": "add", "path": "/a/b/-1", "value": 3}], {"a": {"b": [1, 2, 3]}}),
        ([{"op": "remove", "path": "/a/b/-1"}], {"a": {"b": [1]}}),
        ([{"op": "replace", "path": "/a/b", "value": []}], {"a": {"b": []}}),
        ([{"op": "replace", "path": "/new", "value": 1}], {"new": 1}),
        ([{"op": "move", "from": "/a/b/0", "path": "/first"}], {"a": {"b": [2]}, "first": 1}),
        ([{"op": "copy", "from": "/a/b", "path": "/d"}], {"d": [1, 2]}),
        ([{"op": "test", "path": "/a/b/1", "value": 2}], {}),
        ([{"op": "test", "path": "/gone", "value": None}], {}),
        ([{"op": "test", "path": "/c"}], {}),
        ([{"op": "test", "path": "/x~1y", "value": 1}, {"op": "test", "path": "/~0", "value": 2}], {}),
    ],
)
def test_operations_change_the_document(operations: list[dict[str, Any]], result: dict[str, Any]) -> None:
    before = copy.deepcopy(DOCUMENT)
    assert apply(DOCUMENT, operations) == DOCUMENT | result
    assert before == DOCUMENT


def test_the_whole_document_can_be_replaced() -> None:
    assert apply({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}]) == {"b": 2}


def test_values_of_the_patch_are_not_shared() -> None:
    value: list[int] = []
    result = apply({}, [{"op": "add", "path": "/a", "value": value}, {"op": "add", "path": "/a/-", "value": 1}])
    assert (result, value) == ({"a": [1]}, [])


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        (
            {"op": "remove", "path": "/q"},
            "error in remove for path: '/q': Unable to remove nonexistent key: q: missing value",
        ),
        (
            {"op": "remove", "path": "/a/b/5"},
            "error in remove for path: '/a/b/5': Unable to access invalid index: 5: invalid index referenced",
        ),
        (
            {"op": "add", "path": "/q/r", "value": 1},
            'add operation does not apply: doc is missing path: "/q/r": missing value',
        ),
        ({"op": "add", "path": "", "value": 1}, 'add operation does not apply: doc is missing path: "": missing value'),
        (
            {"op": "replace", "path": "/a/b/5", "value": 1},
            "replace operation does not apply: doc is missing key: /a/b/5: missing value",
        ),
        (
            {"op": "move", "path": "/z"},
            "move operation failed to decode from: operation, missing from field: missing value",
        ),
        ({"op": "tset", "path": "/a"}, "Unexpected kind: tset"),
        ({"path": "/a"}, "Unexpected kind: unknown"),
        (
            {"op": "add", "path": "/a/b/x", "value": 1},
            "error in add for path: '/a/b/x': value was not a proper array index: 'x': "
            'strconv.Atoi: parsing "x": invalid syntax',
        ),
    ],
)
def test_what_does_not_apply_is_refused_in_upstream_words(operation: dict[str, Any], message: str) -> None:
    with pytest.raises(JsonPatchError) as error:
        apply(DOCUMENT, [operation])
    assert str(error.value) == message


@pytest.mark.parametrize("value", [1, 2.0, True, "2", None])
def test_a_failed_test_is_an_error_of_its_own(value: object) -> None:
    with pytest.raises(JsonPatchTestFailedError, match="testing value /a/b/1 failed: test failed"):
        apply(DOCUMENT, [{"op": "test", "path": "/a/b/1", "value": value}])


def test_the_server_answers_422_without_the_reason() -> None:
    status = refusal().to_status()
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert status["message"] == "the server rejected our request due to an error in our request"


def test_copies_that_double_a_document_are_stopped_before_they_cost_memory() -> None:
    document = {"metadata": {"annotations": {"a": "x" * 1000}}}
    bomb = [{"op": "copy", "from": "/metadata/annotations", "path": f"/metadata/annotations/b{n}"} for n in range(40)]
    with pytest.raises(
        JsonPatchError, match=r"accumulated size increase of copy is [0-9]+, exceeding the limit 3145728"
    ):
        apply(document, bomb)
    assert len(apply(document, bomb[:5])["metadata"]["annotations"]) == 6


def test_copies_that_nest_a_document_are_stopped() -> None:
    with pytest.raises(JsonPatchError, match="exceeding the limit"):
        apply({"a": {}}, [{"op": "copy", "from": "/a", "path": "/a/b"}] * 10_000)
