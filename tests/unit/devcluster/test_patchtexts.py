"""What messages quote of a patch is in the order and the words of Go."""

from __future__ import annotations

import pytest

from tiphys.devcluster.patchtexts import converter_problem, go_value, merged_text, operated_text

LIVE = {
    "kind": "ConfigMap",
    "apiVersion": "v1",
    "metadata": {"uid": "u", "name": "one", "labels": {"b": "1", "a": "2"}},
    "data": {"z": "1", "a": "<&>"},
}


def test_what_a_merge_reached_into_is_sorted_and_the_rest_is_as_go_wrote_it() -> None:
    made = {**LIVE, "data": {"z": "1", "a": "<&>", "m": 1}}
    assert merged_text("api.core.v1.ConfigMap", LIVE, {"data": {"m": 1}}, made) == (
        '{"apiVersion":"v1","data":{"a":"\\u003c\\u0026\\u003e","m":1,"z":"1"},"kind":"ConfigMap",'
        '"metadata":{"name":"one","uid":"u","labels":{"a":"2","b":"1"}}}'
    )


def test_what_a_json_patch_opened_is_sorted() -> None:
    operations = [{"op": "add", "path": "/metadata/labels/c", "value": 3}]
    made = {**LIVE, "metadata": {**LIVE["metadata"], "labels": {"b": "1", "a": "2", "c": 3}}}  # type: ignore[dict-item]
    assert '"metadata":{"labels":{"a":"2","b":"1","c":3},"name":"one","uid":"u"}' in operated_text(
        "api.core.v1.ConfigMap", operations, made
    )


def test_a_custom_object_is_sorted_throughout() -> None:
    assert merged_text(None, {}, {}, {"kind": "X", "a": {"c": 1, "b": 2}}) == '{"a":{"b":2,"c":1},"kind":"X"}'


def test_values_of_secrets_are_not_quoted() -> None:
    made = {"kind": "Secret", "apiVersion": "v1", "data": {"a": "not base64"}, "type": 1}
    assert merged_text("api.core.v1.Secret", made, {"type": 1}, made) == (
        '{"apiVersion":"v1","data":{"a":"***"},"kind":"Secret","type":1}'
    )


def test_values_are_printed_as_go_prints_them() -> None:
    assert go_value({"b": [1, None, True], "a": "x"}) == "map[a:x b:[1 <nil> true]]"


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("number into Go struct field ConfigMap.data of type string", "cannot convert int64 to string"),
        ("number 1.5 into Go struct field X.spec.replicas of type int32", "cannot convert float64 to int32"),
        ("string into Go struct field X.spec.replicas of type int32", "unrecognized type: int32"),
        ("array into Go struct field ConfigMap.data of type map[string]string", "cannot restore map from slice"),
        ("string into Go struct field PodSpec.containers of type []v1.Container", "cannot restore slice from string"),
        ("string into Go struct field X.metadata of type v1.ObjectMeta", "cannot restore struct from: string"),
    ],
)
def test_a_strategic_patch_is_refused_in_the_words_of_its_own_reader(problem: str, said: str) -> None:
    assert converter_problem(f"json: cannot unmarshal {problem}") == said
