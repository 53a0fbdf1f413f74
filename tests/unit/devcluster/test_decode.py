"""Request bodies turned into objects, with kube-apiserver's sentences."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tiphys.apimachinery.apierrors import BadRequest, Invalid, UnsupportedMediaType
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.decode import decode_body, decode_options, field_validation, media_type, parse_body
from tiphys.devcluster.gojson import syntax_error

CONFIG_MAP = GroupVersionKind("", "v1", "ConfigMap")
DEPLOYMENT = GroupVersionKind("apps", "v1", "Deployment")


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(BadRequest) as failed:
        call()
    assert failed.value.code == 400
    return failed.value.message


def body(obj: object) -> bytes:
    return json.dumps(obj).encode()


def test_a_body_without_kind_and_version_is_taken_for_what_the_path_serves() -> None:
    got = decode_body(b'{"metadata":{"name":"a"}}', None, CONFIG_MAP)
    assert got.obj == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}


def test_yaml_bodies_are_read() -> None:
    got = decode_body(b"metadata: {name: a}\ndata:\n  x: 'yes'\n", "application/yaml", CONFIG_MAP)
    assert got.obj["data"] == {"x": "yes"}


def test_strict_lists_repeated_and_unknown_fields_in_document_order() -> None:
    text = b'{"metadata":{"name":"a"},"data":{"a":"b","a":"c"},"foo":1}'
    assert refused(lambda: decode_body(text, "application/json", CONFIG_MAP, validation="Strict")) == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'duplicate field "data.a", unknown field "foo"'
    )


def test_warn_gives_one_warning_per_field_and_the_last_value_wins() -> None:
    text = b'{"foo":{"x":1,"x":2},"metadata":{"name":"a"},"data":{"a":"b","a":"c"}}'
    got = decode_body(text, "application/json", CONFIG_MAP, validation="Warn")
    assert got.warnings == ('unknown field "foo"', 'duplicate field "data.a"')
    assert got.obj["data"] == {"a": "c"}


def test_ignore_says_nothing() -> None:
    got = decode_body(b'{"foo":1,"data":{"a":"b","a":"c"}}', None, CONFIG_MAP, validation="Ignore")
    assert got.warnings == ()


def test_unknown_fields_of_a_deployment_are_named_by_path() -> None:
    text = body({"spec": {"replikas": 1, "template": {"spec": {"containers": [{"name": "c", "img": "x"}]}}}})
    assert refused(lambda: decode_body(text, None, DEPLOYMENT, validation="Strict")).endswith(
        'strict decoding error: unknown field "spec.replikas", unknown field "spec.template.spec.containers[0].img"'
    )


def test_repeated_keys_in_yaml_are_found_when_strict() -> None:
    text = b"data:\n  a: b\n  a: c\n"
    assert refused(lambda: decode_body(text, "application/yaml", CONFIG_MAP, validation="Strict")) == (
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        'yaml: unmarshal errors:\n  line 3: key "a" already set in map'
    )
    assert decode_body(text, "application/yaml", CONFIG_MAP, validation="Ignore").obj["data"] == {"a": "c"}


def test_values_of_the_wrong_type_are_refused_with_the_field() -> None:
    assert refused(lambda: decode_body(body({"spec": {"replicas": "x"}}), None, DEPLOYMENT)) == (
        'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct '
        "field DeploymentSpec.spec.replicas of type int32"
    )


def test_text_that_is_no_json_is_refused_with_gos_complaint() -> None:
    assert refused(lambda: decode_body(b"{bad", "application/json", CONFIG_MAP)) == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        "invalid character 'b' looking for beginning of object key string ({bad)"
    )


def test_an_empty_body_is_refused() -> None:
    assert refused(lambda: decode_body(b"", "application/json", CONFIG_MAP)) == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        "unexpected end of JSON input (<empty>)"
    )


def test_long_bodies_are_cut_in_messages() -> None:
    message = refused(lambda: decode_body(b'{"a":' + b"x" * 100, "application/json", CONFIG_MAP))
    assert message.endswith('({"a":xxxxxxxxxxxxxxxxxxxxxxxxx ...)')


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (
            {"apiVersion": "v1", "kind": "Foo"},
            'Foo in version "v1" cannot be handled as a ConfigMap: no kind "Foo" is registered for version "v1" in '
            'scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            {"apiVersion": "v2", "kind": "ConfigMap"},
            'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version '
            '"v2" in scheme "pkg/api/legacyscheme/scheme.go:30"',
        ),
        (
            {"apiVersion": "v1", "kind": "Secret"},
            'Secret in version "v1" cannot be handled as a ConfigMap: converting (v1.Secret) to (core.ConfigMap): '
            "unknown conversion",
        ),
    ],
)
def test_another_kind_than_the_paths_is_refused(head: dict[str, Any], message: str) -> None:
    assert refused(lambda: decode_body(body(head), "application/json", CONFIG_MAP)) == message


def test_another_version_than_the_paths_is_refused() -> None:
    text = body({"apiVersion": "apps/v1beta1", "kind": "Deployment"})
    assert refused(lambda: decode_body(text, None, DEPLOYMENT)) == (
        "the API version in the data (apps/v1beta1) does not match the expected API version (apps/v1)"
    )


def test_unknown_media_types_are_refused_with_the_list() -> None:
    with pytest.raises(UnsupportedMediaType) as failed:
        decode_body(b"x", "text/foo", CONFIG_MAP)
    assert failed.value.message == (
        "the body of the request was in an unknown format - accepted media types include: application/json, "
        "application/yaml, application/vnd.kubernetes.protobuf"
    )


def test_custom_resources_have_no_protobuf() -> None:
    with pytest.raises(UnsupportedMediaType) as failed:
        media_type("application/vnd.kubernetes.protobuf", custom=True)
    assert failed.value.message.endswith("include: application/json, application/yaml")


def test_parameters_of_media_types_are_ignored() -> None:
    assert media_type("Application/JSON; charset=utf-8") == "application/json"


def test_the_default_mode_of_field_validation_is_warn() -> None:
    assert field_validation(None) == "Warn"
    assert field_validation("") == "Warn"
    assert field_validation("Strict") == "Strict"


def test_another_mode_of_field_validation_is_invalid() -> None:
    with pytest.raises(Invalid) as failed:
        field_validation("foo")
    assert failed.value.message == (
        'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupported value: "foo": '
        'supported values: "", "Ignore", "Strict", "Warn"'
    )


def test_delete_options_come_without_kind_and_are_empty_without_a_body() -> None:
    assert decode_options(b"", None) == {}
    text = b'{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Foreground"}'
    assert decode_options(text, "application/json") == {"propagationPolicy": "Foreground"}
    assert decode_options(b'{"gracePeriodSeconds":0}', "application/json") == {"gracePeriodSeconds": 0}


def test_a_plain_parse_names_the_kind_and_repeated_fields() -> None:
    expected = GroupVersionKind("x.io", "v1", "Foo")
    parsed = parse_body(b'{"spec":{"a":1,"a":2,"b":[{"c":1,"c":2}]}}', None, expected, strict=True)
    assert parsed.gvk == expected
    assert parsed.duplicates == ("spec.a", "spec.b[0].c")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b"nul", "unexpected end of JSON input"),
        (b"nulx", "invalid character 'x' in literal null (expecting 'l')"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"1 2", "invalid character '2' after top-level value"),
        (b'"a\x01"', "invalid character '\\x01' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u12g4"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"'a'", "invalid character '\\'' looking for beginning of value"),
        (b'{"a":[1,2,{"b":null}]}', None),
    ],
)
def test_syntax_errors_are_worded_as_gos(text: bytes, problem: str | None) -> None:
    assert syntax_error(text) == problem


def test_null_reads_as_an_empty_object() -> None:
    assert decode_body(b"null", None, CONFIG_MAP).obj == {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {}}


def test_other_bodies_than_objects_are_refused() -> None:
    assert refused(lambda: decode_body(b"[]", None, CONFIG_MAP)) == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        'json: cannot unmarshal array into Go value of type struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
        'Kind string "json:\\"kind,omitempty\\"" } (5b5d)'
    )


def test_options_that_cannot_be_read_are_refused_without_a_frame() -> None:
    assert refused(lambda: decode_options(b"{bad", None)) == (
        "couldn't get version/kind; json parse error: invalid character 'b' looking for beginning of object key string"
    )
    assert refused(lambda: decode_options(b'{"kind":"Foo","apiVersion":"v1"}', None)).startswith('no kind "Foo" is')


def test_a_repeated_unknown_field_is_named_once() -> None:
    got = decode_body(b'{"x":{"y":1,"y":2},"x":3,"data":{"a":"b","a":"c"}}', None, CONFIG_MAP)
    assert got.warnings == ('unknown field "x"', 'duplicate field "data.a"')


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'{"kind":1}', "json: cannot unmarshal number into Go struct field .kind of type string"),
        (b'{"apiVersion":["a"]}', "json: cannot unmarshal array into Go struct field .apiVersion of type string"),
    ],
)
def test_a_kind_or_version_that_is_no_text_is_refused(text: bytes, problem: str) -> None:
    assert refused(lambda: decode_body(text, None, CONFIG_MAP)) == (
        "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
        f"{problem} ({text.decode()})"
    )


def test_a_version_with_two_slashes_is_refused() -> None:
    assert refused(lambda: decode_body(b'{"apiVersion":"a/b/c"}', None, CONFIG_MAP)) == (
        "the object provided is unrecognized (must be of type ConfigMap): unexpected GroupVersion string: a/b/c "
        '({"apiVersion":"a/b/c"})'
    )
