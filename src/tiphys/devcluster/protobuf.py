"""Request bodies in `application/vnd.kubernetes.protobuf`, as kubectl sends them, turned into JSON objects.

A body is the four bytes `k8s\\0` and a runtime.Unknown message that names the kind and carries the object's own message.
Field numbers come from Kubernetes' generated.proto files. What comes out is what a JSON body would have held, zero
values included; `goshapes.decode` then makes it canonical.
"""

from __future__ import annotations

import base64
import gzip
import json
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.goshapes import DecodeError
from tiphys.apimachinery.names import GroupVersionKind, split_api_version

MAGIC = b"k8s\x00"

MAX_DEPTH = 200  # messages in messages; only schemas of definitions nest at all deeply

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_META = "apimachinery.pkg.apis.meta.v1."
_CRD = "apiextensions_apiserver.pkg.apis.apiextensions.v1."
_ITEMS_ONLY = frozenset({_META + "Verbs"})


class Envelope(NamedTuple):
    """What a protobuf body says it holds, and the bytes of the object's message."""

    gvk: GroupVersionKind
    raw: bytes
    content_type: str


class Messages:
    """Decoders of all messages in one table."""

    def __init__(self, table: Mapping[str, Mapping[str, list[str]]]) -> None:
        self._table = table
        self._fields: dict[str, dict[int, tuple[str, str, str]]] = {}

    def decode(self, message: str, data: bytes, depth: int = 0) -> Any:
        """The JSON value of one message. Raises DecodeError for malformed data or an unknown message."""
        if depth > MAX_DEPTH:
            raise DecodeError("protobuf: message nested too deeply")
        special = _SPECIAL.get(message)
        if special is not None:
            return special(self, data, depth)
        fields = self._fields_of(message)
        if message in _ITEMS_ONLY or message.endswith(".ExtraValue"):
            return [_text(value) for number, _, value in _scan(data) if number == 1]
        out: dict[str, Any] = {}
        self._read_into(out, fields, data, depth)
        return out

    def _fields_of(self, message: str) -> dict[int, tuple[str, str, str]]:
        """Number -> (name, type, `r` repeated | `m` map | `i` embedded | empty)."""
        fields = self._fields.get(message)
        if fields is None:
            shapes = self._table.get(message)
            if shapes is None:
                raise DecodeError(f"protobuf: message {message} is not known")
            fields = {
                int(number): (shape[0], shape[1], shape[3] if len(shape) > 3 else shape[2])
                for number, shape in shapes.items()
            }
            self._fields[message] = fields
        return fields

    def _read_into(self, out: dict[str, Any], fields: dict[int, tuple[str, str, str]], data: bytes, depth: int) -> None:
        for number, wire, value in _scan(data):
            field = fields.get(number)
            if field is None:
                continue  # a field of a newer version: proto readers skip what they do not know
            name, kind, flags = field
            if flags == "i":
                self._read_into(out, self._fields_of(kind), _expect_bytes(value), depth + 1)
            elif flags == "m":
                key, item = self._entry(kind, _expect_bytes(value), depth)
                out.setdefault(name, {})[key] = item
            elif flags == "r":
                into = out.setdefault(name, [])
                if wire == _BYTES and kind in _PACKABLE:
                    into.extend(_PACKABLE[kind](number) for number in _packed(_expect_bytes(value)))
                else:
                    into.append(self._value(kind, value, depth))
            else:
                out[name] = self._value(kind, value, depth)

    def _entry(self, kind: str, data: bytes, depth: int) -> tuple[str, Any]:
        key = ""
        raw: int | bytes | None = None
        for number, _, value in _scan(data):
            if number == 1:
                key = _text(value)
            elif number == 2:
                raw = value
        if raw is None:
            raw = 0 if kind in _PACKABLE else b""
        return key, self._value(kind, raw, depth)

    def _value(self, kind: str, value: int | bytes, depth: int) -> Any:
        scalar = _SCALARS.get(kind)
        if scalar is not None:
            return scalar(value)
        return self.decode(kind, _expect_bytes(value), depth + 1)


@lru_cache(maxsize=1)
def builtin() -> Messages:
    """The messages of the kinds Kubernetes 1.36 has built in."""
    data = files("tiphys.devcluster").joinpath("data/proto.json.gz").read_bytes()
    return Messages(json.loads(gzip.decompress(data)))


def open_envelope(body: bytes, *, default: GroupVersionKind | None = None) -> Envelope:
    """The kind and the object bytes of a request body. Raises DecodeError when it is no such body.

    `default` is the kind assumed where the body names none.
    """
    if not body.startswith(MAGIC):
        raise DecodeError("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    api_version = kind = content_type = ""
    raw = b""
    for number, _, value in _scan(body[len(MAGIC) :]):
        if number == 1:
            for inner, _, text in _scan(_expect_bytes(value)):
                if inner == 1:
                    api_version = _text(text)
                elif inner == 2:
                    kind = _text(text)
        elif number == 2:
            raw = _expect_bytes(value)
        elif number == 4:
            content_type = _text(value)
    group, version = split_api_version(api_version)
    gvk = GroupVersionKind(group, version, kind)
    if default is not None and not kind:
        gvk = default
    return Envelope(gvk, raw, content_type)


def decode_object(envelope: Envelope) -> dict[str, Any]:
    """The object of an envelope as a JSON object with `kind` and `apiVersion`, not yet canonical.

    Raises DecodeError for malformed bytes, KeyError when the kind is not built in.

    Source: dev-cluster 0 (kubectl sends protobuf request bodies), apimachinery runtime/serializer/protobuf.
    """
    gvk = envelope.gvk
    name = goshapes.builtin().type_name(gvk)
    if name is None:
        raise KeyError(gvk)
    message = name.replace("apiextensions-apiserver", "apiextensions_apiserver").replace(
        "kube-aggregator", "kube_aggregator"
    )
    body = builtin().decode(message, envelope.raw)
    return {"kind": gvk.kind, "apiVersion": gvk.api_version, **body}


# ---- the wire ----


def _scan(data: bytes) -> list[tuple[int, int, int | bytes]]:
    """(field number, wire type, integer or bytes) of a message, in order."""
    found: list[tuple[int, int, int | bytes]] = []
    index = 0
    size = len(data)
    while index < size:
        tag = data[index]
        if tag < 0x80:  # the usual case, without a call
            index += 1
        else:
            tag, index = _varint(data, index)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise DecodeError("proto: illegal tag 0 (wire type 0)")
        if wire == _VARINT:
            value, index = _varint(data, index)
            found.append((number, wire, value))
            continue
        if wire == _BYTES:
            length, index = _varint(data, index)
        elif wire == _FIXED64:
            length = 8
        elif wire == _FIXED32:
            length = 4
        else:
            raise DecodeError(f"proto: illegal wireType {wire}")
        end = index + length
        if end > size:
            raise DecodeError("unexpected EOF")
        found.append((number, wire, data[index:end]))
        index = end
    return found


def _varint(data: bytes, index: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        if index >= len(data):
            raise DecodeError("unexpected EOF")
        byte = data[index]
        index += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFFFFFFFFFFFFFF, index
        shift += 7
        if shift >= 64:
            raise DecodeError("proto: integer overflow")


def _packed(data: bytes) -> list[int]:
    found = []
    index = 0
    while index < len(data):
        value, index = _varint(data, index)
        found.append(value)
    return found


def _expect_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise DecodeError("proto: wrong wireType = 0 for a length-delimited field")
    return value


def _text(value: int | bytes) -> str:
    try:
        return _expect_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise DecodeError("proto: field contains invalid UTF-8") from error


def _integer(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise DecodeError("proto: wrong wireType = 2 for an integer field")
    return value - (1 << 64) if value >= 1 << 63 else value


def _boolean(value: int | bytes) -> bool:
    return _integer(value) != 0


def _double(value: int | bytes) -> float:
    data = _expect_bytes(value)
    if len(data) != 8:
        raise DecodeError("proto: wrong wireType for a double field")
    return float(struct.unpack("<d", data)[0])


def _base64(value: int | bytes) -> str:
    return base64.b64encode(_expect_bytes(value)).decode()


_PACKABLE: dict[str, Callable[[int | bytes], Any]] = {"int32": _integer, "int64": _integer, "bool": _boolean}
_SCALARS: dict[str, Callable[[int | bytes], Any]] = {
    **_PACKABLE,
    "string": _text,
    "bytes": _base64,
    "double": _double,
}

# ---- messages whose JSON is not an object of their fields ----


def _instant(data: bytes) -> datetime | None:
    """A Timestamp; None for the empty message, which stands for the zero time."""
    if not data:
        return None
    seconds = nanos = 0
    for number, _, value in _scan(data):
        if number == 1:
            seconds = _integer(value)
        elif number == 2:
            nanos = _integer(value)
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)
    except OverflowError as error:
        raise DecodeError("timestamp out of range") from error


def _time(messages: Messages, data: bytes, depth: int) -> str | None:
    instant = _instant(data)
    return None if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(messages: Messages, data: bytes, depth: int) -> str | None:
    instant = _instant(data)
    return None if instant is None else instant.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _quantity(messages: Messages, data: bytes, depth: int) -> str:
    return next((_text(value) for number, _, value in _scan(data) if number == 1), "0") or "0"


def _int_or_string(messages: Messages, data: bytes, depth: int) -> int | str:
    kind = number_value = 0
    text = ""
    for number, _, value in _scan(data):
        if number == 1:
            kind = _integer(value)
        elif number == 2:
            number_value = _integer(value)
        elif number == 3:
            text = _text(value)
    return text if kind == 1 else number_value


def _raw_json(messages: Messages, data: bytes, depth: int) -> Any:
    raw = next((_expect_bytes(value) for number, _, value in _scan(data) if number == 1), b"")
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError as error:
        raise DecodeError("protobuf: an embedded object is not JSON") from error


def _schema_or_array(messages: Messages, data: bytes, depth: int) -> Any:
    fields = _scan(data)
    schemas = [messages.decode(_CRD + "JSONSchemaProps", _expect_bytes(v), depth + 1) for n, _, v in fields if n == 2]
    return schemas or _schema_of(messages, fields, depth)


def _schema_or_bool(messages: Messages, data: bytes, depth: int) -> Any:
    fields = _scan(data)
    schema = _schema_of(messages, fields, depth)
    return schema if schema is not None else any(number == 1 and _boolean(value) for number, _, value in fields)


def _schema_or_strings(messages: Messages, data: bytes, depth: int) -> Any:
    fields = _scan(data)
    strings = [_text(value) for number, _, value in fields if number == 2]
    return strings or _schema_of(messages, fields, depth)


def _schema_of(messages: Messages, fields: list[tuple[int, int, int | bytes]], depth: int) -> Any:
    for number, wire, value in fields:
        if wire == _BYTES and number in (1, 2):
            return messages.decode(_CRD + "JSONSchemaProps", _expect_bytes(value), depth + 1)
    return None


_SPECIAL: dict[str, Callable[[Messages, bytes, int], Any]] = {
    _META + "Time": _time,
    _META + "Timestamp": _time,
    _META + "MicroTime": _micro_time,
    _META + "FieldsV1": _raw_json,
    "apimachinery.pkg.api.resource.Quantity": _quantity,
    "apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    "apimachinery.pkg.runtime.RawExtension": _raw_json,
    _CRD + "JSON": _raw_json,
    _CRD + "JSONSchemaPropsOrArray": _schema_or_array,
    _CRD + "JSONSchemaPropsOrBool": _schema_or_bool,
    _CRD + "JSONSchemaPropsOrStringArray": _schema_or_strings,
}
