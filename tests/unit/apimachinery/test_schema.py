"""Structural schemas: pruning, defaults, validation messages, formats and faults of schemas."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.re2 import compile_pattern
from tiphys.apimachinery.schema import Schema, apply_defaults, drop_nulls, fill, has_cel, prune, unknown_field_errors
from tiphys.apimachinery.schemaformats import string_format
from tiphys.apimachinery.schemastructural import structural_errors
from tiphys.apimachinery.schemavalidation import validate


def spec_schema(**properties: Any) -> Schema:
    return Schema({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def causes(value: Any, **properties: Any) -> list[tuple[str, str]]:
    return [(one.field, one.message) for one in validate({"spec": value}, spec_schema(**properties))]


# ---- pruning ----


def test_fields_nobody_declared_go_and_are_named() -> None:
    schema = spec_schema(
        a={"type": "integer"},
        items={"type": "array", "items": {"type": "object", "properties": {"b": {"type": "string"}}}},
        map={"type": "object", "additionalProperties": {"type": "object", "properties": {"c": {"type": "string"}}}},
    )
    obj = {
        "kind": "K",
        "metadata": {"anything": 1},
        "spec": {"a": 1, "x": 2, "items": [{"b": "1", "y": 1}], "map": {"k": {"c": "1", "z": 1}}},
        "other": 1,
    }
    pruned, unknown = prune(obj, schema)
    assert pruned == {
        "kind": "K",
        "metadata": {"anything": 1},
        "spec": {"a": 1, "items": [{"b": "1"}], "map": {"k": {"c": "1"}}},
    }
    assert unknown == ["other", "spec.items[0].y", "spec.map.k.z", "spec.x"]
    assert unknown_field_errors(["spec.x"]) == ['unknown field "spec.x"']
    assert "x" in obj["spec"]  # type: ignore[operator]


def test_what_is_preserved_stays_but_its_declared_parts_are_pruned() -> None:
    schema = spec_schema(
        free={
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"known": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        }
    )
    obj = {"spec": {"free": {"any": {"thing": 1}, "known": {"a": 1, "b": 2}}}}
    assert prune(obj, schema) == ({"spec": {"free": {"any": {"thing": 1}, "known": {"a": 1}}}}, ["spec.free.known.b"])


def test_embedded_resources_keep_their_own_fields() -> None:
    schema = spec_schema(
        pod={
            "type": "object",
            "x-kubernetes-embedded-resource": True,
            "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        }
    )
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "odd": 1},
        "spec": {"a": 1, "b": 1},
        "status": {},
    }
    pruned, unknown = prune({"spec": {"pod": pod}}, schema)
    assert pruned["spec"]["pod"] == {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"a": 1}}
    assert unknown == ["spec.pod.metadata.odd", "spec.pod.spec.b", "spec.pod.status"]


def test_an_object_that_fits_is_shared_with_the_argument() -> None:
    schema = spec_schema(a={"type": "integer"})
    obj = {"spec": {"a": 1}}
    assert prune(obj, schema)[0]["spec"] is obj["spec"]
    assert fill(obj, schema) is obj


# ---- nulls and defaults ----


def test_defaults_fill_what_is_missing_at_any_depth() -> None:
    schema = spec_schema(
        a={"type": "integer", "default": 3},
        nested={"type": "object", "default": {}, "properties": {"b": {"type": "string", "default": "x"}}},
        absent={"type": "object", "properties": {"c": {"type": "string", "default": "x"}}},
        items={
            "type": "array",
            "items": {"type": "object", "properties": {"d": {"type": "boolean", "default": False}}},
        },
        map={"type": "object", "additionalProperties": {"type": "object", "properties": {"e": {"default": 1}}}},
    )
    assert fill({"spec": {"items": [{}], "map": {"k": {}}}}, schema) == {
        "spec": {"a": 3, "nested": {"b": "x"}, "items": [{"d": False}], "map": {"k": {"e": 1}}}
    }


def test_nulls_stay_where_they_are_allowed_else_take_the_default_or_go() -> None:
    schema = spec_schema(
        a={"type": "integer"},
        b={"type": "integer", "default": 2},
        c={"type": "integer", "nullable": True, "default": 2},
    )
    obj = {"spec": {"a": None, "b": None, "c": None, "unknown": None}}
    assert fill(obj, schema) == {"spec": {"b": 2, "c": None, "unknown": None}}
    assert drop_nulls(obj, schema) == {"spec": {"b": None, "c": None, "unknown": None}}
    assert apply_defaults(obj, schema) == {"spec": {"a": None, "b": 2, "c": None, "unknown": None}}


# ---- validation ----


@pytest.mark.parametrize(
    ("value", "schema", "message"),
    [
        ("x", {"type": "integer"}, 'Invalid value: "string": spec.v in body must be of type integer: "string"'),
        (None, {"type": "integer"}, 'Invalid value: "null": spec.v in body must be of type integer: "null"'),
        (1.5, {"type": "string"}, 'Invalid value: "number": spec.v in body must be of type string: "number"'),
        ([], {"type": "object"}, 'Invalid value: "array": spec.v in body must be of type object: "array"'),
        (
            True,
            {"x-kubernetes-int-or-string": True},
            'Invalid value: "boolean": spec.v in body must be of type integer,string: "boolean"',
        ),
        (
            True,
            {"type": "integer", "format": "int32"},
            'Invalid value: "": spec.v in body must be of type int32: ""',
        ),
        ("c", {"type": "string", "enum": ["a", "b"]}, 'Unsupported value: "c": supported values: "a", "b"'),
        (0, {"type": "integer", "minimum": 1}, "Invalid value: 0: spec.v in body should be greater than or equal to 1"),
        (
            1,
            {"type": "integer", "minimum": 1, "exclusiveMinimum": True},
            "Invalid value: 1: spec.v in body should be greater than 1",
        ),
        (9, {"type": "integer", "maximum": 8}, "Invalid value: 9: spec.v in body should be less than or equal to 8"),
        (
            8,
            {"type": "integer", "maximum": 8, "exclusiveMaximum": True},
            "Invalid value: 8: spec.v in body should be less than 8",
        ),
        (3, {"type": "integer", "multipleOf": 2}, "Invalid value: 3: spec.v in body should be a multiple of 2"),
        ("a", {"type": "string", "minLength": 2}, 'Invalid value: "a": spec.v in body should be at least 2 chars long'),
        ("abc", {"type": "string", "maxLength": 2}, "Too long: may not be more than 2 bytes"),
        (
            "a1",
            {"type": "string", "pattern": "^[a-z]+$"},
            "Invalid value: \"a1\": spec.v in body should match '^[a-z]+$'",
        ),
        ([], {"type": "array", "minItems": 1}, "Invalid value: 0: spec.v in body should have at least 1 items"),
        ([1, 2], {"type": "array", "maxItems": 1}, "Too many: 2: must have at most 1 item"),
        (
            {},
            {"type": "object", "minProperties": 1},
            "Invalid value: 0: spec.v in body should have at least 1 properties",
        ),
        ({"a": 1, "b": 1}, {"type": "object", "maxProperties": 1}, "Too many: 2: must have at most 1 item"),
        (
            "x",
            {"type": "string", "format": "date-time"},
            'Invalid value: "x": spec.v in body must be of type date-time: "x"',
        ),
    ],
)
def test_a_broken_rule_is_told_in_the_words_of_the_api_server(value: Any, schema: dict[str, Any], message: str) -> None:
    assert causes({"v": value}, v=schema) == [("spec.v", message)]


def test_numbers_outside_their_format_are_told_without_a_field() -> None:
    text = 'Invalid value: "": Checked value must be of type integer with format int32 in spec.v'
    assert causes({"v": 2**31}, v={"type": "integer", "format": "int32"}) == [("<nil>", text)]
    assert causes({"v": 2**31}, v={"type": "integer", "format": "int64"}) == []


def test_all_problems_are_told_at_once() -> None:
    schema = Schema(
        {
            "type": "object",
            "required": ["spec", "other"],
            "properties": {
                "spec": {
                    "type": "object",
                    "required": ["a"],
                    "properties": {"b": {"type": "array", "items": {"type": "string", "minLength": 1}}},
                }
            },
        }
    )
    found = validate({"spec": {"b": ["", 1]}}, schema)
    assert [str(one) for one in found] == [
        'spec.b[0]: Invalid value: "": spec.b[0] in body should be at least 1 chars long',
        'spec.b[1]: Invalid value: "integer": spec.b[1] in body must be of type string: "integer"',
        "spec.a: Required value",
        "other: Required value",
    ]


def test_verdicts_over_alternatives_come_with_the_closest_one() -> None:
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    }
    none = 'Invalid value: "": "spec.v" must validate one and only one schema (oneOf). Found none valid'
    two = 'Invalid value: "": "spec.v" must validate one and only one schema (oneOf). Found 2 valid alternatives'
    assert causes({"v": {}}, v=schema) == [("<nil>", none), ("spec.v.a", "Required value")]
    assert causes({"v": {"a": 1, "b": 1}}, v=schema) == [("<nil>", two)]
    assert causes({"v": {"a": 1}}, v=schema) == []
    any_of = {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 2}]}
    assert ("<nil>", 'Invalid value: "": "spec.v" must validate at least one schema (anyOf)') in causes(
        {"v": 3}, v=any_of
    )
    all_of = {"type": "integer", "allOf": [{"minimum": 5}]}
    verdict = 'Invalid value: "": "spec.v" must validate all the schemas (allOf). None validated'
    assert ("<nil>", verdict) in causes({"v": 3}, v=all_of)
    never = {"type": "string", "not": {"enum": ["bad"]}}
    assert causes({"v": "bad"}, v=never) == [
        ("<nil>", 'Invalid value: "": "spec.v" must not validate the schema (not)')
    ]


def test_items_of_sets_and_keyed_lists_differ() -> None:
    tags = {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}
    assert causes({"v": ["a", "b", "a", "a"]}, v=tags) == [("spec.v[2]", 'Duplicate value: "a"')]
    keyed = {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "properties": {"k": {"type": "string"}}},
    }
    assert causes({"v": [{"k": "a"}, {"k": "a"}]}, v=keyed) == [("spec.v[1]", 'Duplicate value: {"k":"a"}')]


def test_what_did_not_change_is_forgiven_when_the_schema_became_stricter() -> None:
    schema = spec_schema(a={"type": "integer", "minimum": 5}, b={"type": "integer", "minimum": 5})
    old = {"spec": {"a": 1, "b": 1}}
    assert [one.field for one in validate({"spec": {"a": 2, "b": 1}}, schema, old=old)] == ["spec.a"]
    assert [one.field for one in validate({"spec": {"a": 1, "b": 1}}, schema)] == ["spec.a", "spec.b"]


def test_embedded_resources_need_a_type() -> None:
    pod = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    assert causes({"v": {}}, v=pod) == [("spec.v.apiVersion", "Required value"), ("spec.v.kind", "Required value")]
    assert causes({"v": {"apiVersion": "v1", "kind": ""}}, v=pod) == [
        ("spec.v.kind", 'Invalid value: "": must not be empty')
    ]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "date-time",
            ["2030-01-01T00:00:00Z", "2030-01-01t00:00:00.123+01:00"],
            ["2030-01-01", "x", "2030-01-01T24:00:00Z"],
        ),
        ("date", ["2030-01-01"], ["2030-13-01", "2030-1-1", "20300101"]),
        ("byte", ["aGk="], ["a", "###", ""]),
        ("uuid", ["26DC473B-6fe1-44af-9a3e-c6784f186e5a"], ["26dc"]),
        ("ipv4", ["1.2.3.4"], ["1.2.3", "::1"]),
        ("ipv6", ["::1"], ["1.2.3.4"]),
        ("cidr", ["10.0.0.0/8", "10.1.2.3/8"], ["10.0.0.0", "10.0.0.0/33"]),
        ("uri", ["https://x.io/a?b=c", "/a"], ["x", "a b"]),
        ("email", ["a@b.c"], ["a", "a@"]),
        ("hostname", ["a.b-c.io"], ["-a", "a..b"]),
        ("duration", ["1h30m", "5 minutes", "2w"], ["x", "5 parsecs"]),
        ("mac", ["01:23:45:67:89:ab"], ["01:23"]),
        ("k8s-short-name", ["a-b"], ["A", "-a", "a.b"]),
        ("k8s-long-name", ["a.b"], ["A", ".a"]),
        ("password", ["anything"], []),
    ],
)
def test_formats_accept_and_refuse(name: str, good: list[str], bad: list[str]) -> None:
    check = string_format(name)
    assert check is not None
    assert [text for text in good if not check(text)] == []
    assert [text for text in bad if check(text)] == []


def test_unknown_formats_say_nothing() -> None:
    assert string_format("x-made-up") is None
    assert causes({"v": "x"}, v={"type": "string", "format": "x-made-up"}) == []


def test_patterns_mean_what_they_mean_in_go() -> None:
    assert not compile_pattern("^a$").search("a\n")
    assert compile_pattern("^[$]$").search("$")
    assert compile_pattern("^[[:alpha:]]+$").search("abc")
    assert not compile_pattern(r"^\d$").search("٣")
    assert compile_pattern("b").search("abc")


def test_rules_in_cel_are_noticed() -> None:
    assert has_cel(spec_schema(a={"type": "integer", "x-kubernetes-validations": [{"rule": "self > 1"}]}))
    assert not has_cel(spec_schema(a={"type": "integer"}))


@pytest.mark.parametrize(
    ("schema", "faults"),
    [
        ({"type": "object", "properties": {"a": {"type": "string"}}}, []),
        (
            {"type": "object", "properties": {"a": {}}},
            ["s.properties[a].type: Required value: must not be empty for specified object fields"],
        ),
        (
            {"type": "string"},
            ['s.type: Invalid value: "string": must be object at the root'],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array"}}},
            ["s.properties[a].items: Required value: must be specified"],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "string", "oneOf": [{"type": "string"}]}}},
            ["s.properties[a].oneOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "object", "properties": {}}},
                "anyOf": [{"properties": {"b": {"minimum": 1}}}],
            },
            ["s.properties[b]: Required value: because it is defined in s.anyOf[0].properties[b]"],
        ),
        (
            {
                "type": "object",
                "properties": {
                    "p": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
                },
            },
            [],
        ),
    ],
)
def test_faults_of_schemas_are_named(schema: dict[str, Any], faults: list[str]) -> None:
    assert [str(one) for one in structural_errors(schema, "s")] == faults
