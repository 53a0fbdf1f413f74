"""Protobuf request bodies, as kubectl 1.37 sent them (tests/devcluster/recorded)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.goshapes import DecodeError
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster import protobuf

RECORDED: dict[str, dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "devcluster" / "recorded" / "kubectl-protobuf-1.37.json").read_text(encoding="utf-8")
)


def canonical(body: bytes) -> dict[str, Any]:
    envelope = protobuf.open_envelope(body)
    decoded = goshapes.decode(protobuf.decode_object(envelope), envelope.gvk)
    assert decoded.unknown == []
    return decoded.obj


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def message(*fields: tuple[int, int | bytes]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3) + varint(value & 0xFFFFFFFFFFFFFFFF)
        else:
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def body(api_version: str, kind: str, raw: bytes) -> bytes:
    return protobuf.MAGIC + message((1, message((1, api_version.encode()), (2, kind.encode()))), (2, raw))


@pytest.mark.parametrize("case", sorted(name for name, one in RECORDED.items() if "object" in one))
def test_a_recorded_body_is_the_object_kubectl_prints(case: str) -> None:
    recorded = RECORDED[case]
    data = bytes.fromhex(recorded["hex"])
    envelope = protobuf.open_envelope(data)
    assert canonical(data) == goshapes.decode(recorded["object"], envelope.gvk).obj


def test_can_i_names_the_attributes_asked_for() -> None:
    assert canonical(bytes.fromhex(RECORDED["can-i"]["hex"]))["spec"] == {
        "resourceAttributes": {
            "namespace": "default",
            "verb": "get",
            "group": "apps",
            "resource": "deployments",
            "name": "web",
        }
    }


def test_whoami_and_token_requests_are_read() -> None:
    assert canonical(bytes.fromhex(RECORDED["whoami"]["hex"]))["kind"] == "SelfSubjectReview"
    assert canonical(bytes.fromhex(RECORDED["token"]["hex"]))["spec"] == {
        "audiences": ["a"],
        "expirationSeconds": 600,
        "boundObjectRef": None,
    }


def test_delete_options_are_read_in_any_group() -> None:
    raw = message((1, 5), (2, message((1, b"some-uid"))), (4, b"Foreground"), (5, b"All"))
    for api_version in ("v1", "apps/v1", "meta.k8s.io/v1"):
        assert canonical(body(api_version, "DeleteOptions", raw)) == {
            "kind": "DeleteOptions",
            "apiVersion": api_version,
            "gracePeriodSeconds": 5,
            "preconditions": {"uid": "some-uid"},
            "propagationPolicy": "Foreground",
            "dryRun": ["All"],
        }


def test_times_quantities_and_negative_numbers_are_read() -> None:
    meta = message((1, b"l"), (8, message((1, 1577836800), (2, 0))), (10, -1))
    raw = message((1, meta), (2, message((2, 15), (4, message((1, 1577836800), (2, 123456000))))))
    obj = canonical(body("coordination.k8s.io/v1", "Lease", raw))
    assert obj["metadata"] == {
        "name": "l",
        "creationTimestamp": "2020-01-01T00:00:00Z",
        "deletionGracePeriodSeconds": -1,
    }
    assert obj["spec"] == {"leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.123456Z"}


def test_fields_of_newer_versions_are_skipped() -> None:
    raw = message((1, message((1, b"c"))), (2, message((1, b"a"), (2, b"b"))), (900, b"new"))
    assert canonical(body("v1", "ConfigMap", raw))["data"] == {"a": "b"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b'{"kind":"ConfigMap"}',
        protobuf.MAGIC + b"\xff",
        protobuf.MAGIC + b"\x12\x7f",
        body("v1", "ConfigMap", b"\x0a\x05ab"),
        body("v1", "ConfigMap", b"\x0f"),
        body("v1", "ConfigMap", b"\xff" * 12),
        body("v1", "ConfigMap", message((1, message((1, b"\xff\xfe"))))),
    ],
)
def test_malformed_bodies_are_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        protobuf.decode_object(protobuf.open_envelope(data))


def test_deeply_nested_messages_are_refused() -> None:
    schema = b""
    for _ in range(500):
        schema = message((28, schema))  # `not`
    crd = message((2, message((7, message((4, message((1, schema))))))))
    data = body("apiextensions.k8s.io/v1", "CustomResourceDefinition", crd)
    with pytest.raises(DecodeError, match="protobuf: message nested too deeply"):
        protobuf.decode_object(protobuf.open_envelope(data))


def test_schemas_in_definitions_are_read() -> None:
    prop = message((5, b"string"))
    schema = message((5, b"object"), (29, message((1, b"a"), (2, prop))), (30, message((1, 0))))
    version = message((1, b"v1"), (2, 1), (3, 1), (4, message((1, schema))))
    raw = message((2, message((1, b"x.io"), (7, version))))
    obj = canonical(body("apiextensions.k8s.io/v1", "CustomResourceDefinition", raw))
    got = obj["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert got == {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False}


def test_kinds_that_are_not_built_in_are_not_known() -> None:
    with pytest.raises(KeyError):
        protobuf.decode_object(protobuf.Envelope(GroupVersionKind("x.io", "v1", "Foo"), b"", ""))
