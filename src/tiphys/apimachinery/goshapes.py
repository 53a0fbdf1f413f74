"""Objects of the built-in kinds as an API server would write them after decoding them into its Go structs.

A field the struct does not have is dropped and its path reported; a zero value of an `omitempty` field is dropped; a
struct that is not a pointer is present whether or not it was given; quantities, times, integers-or-strings and base64
get their canonical spelling; a value of the wrong JSON type is an error. What is not done here is defaulting.

Every Go struct becomes one function on first use, bound to a table of its fields, so that decoding a Deployment costs
tens of microseconds. The tables come from struct tags of k8s.io/api, apimachinery, apiextensions-apiserver and
kube-aggregator (see scripts/gen_goshapes.py).
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from tiphys.apimachinery.names import GroupVersionKind
from tiphys.apimachinery.quantity import canonical

JsonObject = dict[str, Any]
Decode = Callable[[Any, list[str]], Any]  # (value, paths of unknown fields found so far) -> canonical value

META_KINDS = frozenset({"DeleteOptions", "CreateOptions", "UpdateOptions", "PatchOptions", "Status"})
"""Kinds of meta/v1 that every group-version knows under its own name."""

INT_LIMITS = {"int32": 1 << 31, "int64": 1 << 63, "int": 1 << 63}

_META = "apimachinery.pkg.apis.meta.v1."
_CRD = "apiextensions-apiserver.pkg.apis.apiextensions.v1."
_RAW_EXTENSION = "apimachinery.pkg.runtime.RawExtension"

_RFC3339_UTC = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ"
)  # valid in any month
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)",
)
_BASE64_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


class Decoded(NamedTuple):
    """An object in canonical form, and the paths of fields its kind does not have, such as `spec.replikas`.

    `obj` shares nothing with the input but values that have no Go type of their own (RawExtension, FieldsV1, JSON), which
    must not be changed in place.
    """

    obj: JsonObject
    unknown: list[str]


class DecodeError(ValueError):
    """A value cannot be read into its Go type; the text is encoding/json's."""


class UnmarshalTypeError(DecodeError):
    """A value of the wrong JSON type.

    `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`: the innermost
    struct, the path from the root without list indices and map keys, and the Go type.

    Source: dev-cluster 2, "Rules to implement".
    """

    def __init__(self, value: str, go_type: str) -> None:
        super().__init__()
        self.value = value
        self.go_type = go_type
        self.struct = ""
        self.path: list[str] = []

    def within(self, struct: str, field: str) -> None:
        """Record that the value was found in `field` of `struct`; called from the inside out."""
        self.struct = self.struct or struct
        self.path.insert(0, field)

    def __str__(self) -> str:
        if not self.struct:
            return f"json: cannot unmarshal {self.value} into Go value of type {self.go_type}"
        field = ".".join(self.path)
        return f"json: cannot unmarshal {self.value} into Go struct field {self.struct}.{field} of type {self.go_type}"


class Shapes:
    """Decoders of all kinds in one table. Immutable to its users; what was compiled is kept."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._types: Mapping[str, Mapping[str, list[str]]] = table["types"]
        self._alias: Mapping[str, str] = table["alias"]
        self._kinds: Mapping[str, str] = table["kinds"]
        self._structs: dict[str, Decode] = {}
        self._by_gvk: dict[GroupVersionKind, Decode | None] = {}

    def decoder(self, gvk: GroupVersionKind) -> Decode | None:
        """The function for a kind, None when the kind is not built in."""
        try:
            return self._by_gvk[gvk]
        except KeyError:
            pass
        name = self.type_name(gvk)
        decode = None if name is None else self._struct(name)
        if len(self._by_gvk) < 4096:  # names come from outside: the memory they take is bounded
            self._by_gvk[gvk] = decode
        return decode

    def type_name(self, gvk: GroupVersionKind) -> str | None:
        """Full name of the kind's Go struct, `api.core.v1.ConfigMap`; None when the kind is not built in."""
        name = self._kinds.get("/".join(gvk))
        if name is None and gvk.kind in META_KINDS:
            name = self._kinds[f"meta.k8s.io/v1/{gvk.kind}"]
        return name

    def fields(self, name: str) -> Mapping[str, list[str]] | None:
        """The fields of a struct by its full name, in Go's order, each with its type first; None when it is no struct."""
        return self._types.get(self._alias.get(name, name))

    def value_decoder(self, name: str) -> Decode | None:
        """The function for a type by its full name, `api.core.v1.PodSpec`; None when there is no such type."""
        if name not in self._types and name not in self._alias and name not in _SPECIAL:
            return None
        return self._resolve(name, "")[0]

    def _struct(self, name: str) -> Decode:
        made = self._structs.get(name)
        if made is not None:
            return made
        fields: dict[str, tuple[type, bool, Decode]] = {}
        always: list[tuple[str, Callable[[], Any]]] = []
        decode = _struct_decoder(_go_name(name), self._go_type(name), fields, always)
        self._structs[name] = decode  # before its fields, which may contain it
        for field, (target, flags) in self._types[name].items():
            self._add_field(fields, always, field, target, flags)
        if name == _CRD + "CustomResourceDefinitionSpec":
            # Kept as JSON, so that an empty list is not none.
            fast, _, child = fields["versions"]
            fields["versions"] = fast, False, child
        return decode

    def _add_field(
        self,
        fields: dict[str, tuple[type, bool, Decode]],
        always: list[tuple[str, Callable[[], Any]]],
        field: str,
        target: str,
        flags: str,
    ) -> None:
        decode, fast, zero = self._resolve(target, flags)
        pointer = "p" in flags
        container = zero is _none
        is_struct = not (pointer or container) and zero not in (_empty, _zero, _false)
        # Storage is protobuf, which does not tell an empty list or map from none: both come back as none.
        drop = container or ("o" in flags and not pointer and not is_struct)
        fields[field] = (fast, drop, decode)
        if "z" in flags or ("o" in flags and not is_struct):
            return
        always.append((field, _none if pointer else zero))

    def _resolve(self, target: str, flags: str) -> tuple[Decode, type, Callable[[], Any]]:
        """(decoder, JSON type that needs no decoding, zero value) of a field."""
        if "l" in flags:
            element, _, zero = self._resolve(target, "")
            return _list_decoder(element, zero, "[]" + self._go_type(target)), _Never, _none
        if "m" in flags:
            element, _, zero = self._resolve(target, "")
            zero = _empty if target == "bytes" else zero
            return _map_decoder(element, zero, "map[string]" + self._go_type(target)), _Never, _none
        base = self._alias.get(target, target)
        if base.startswith("list:"):
            element, _, zero = self._resolve(base[5:], "")
            return _list_decoder(element, zero, self._go_type(target)), _Never, _none
        if base.startswith("map:"):
            element, _, zero = self._resolve(base[4:], "")
            return _map_decoder(element, zero, self._go_type(target)), _Never, _none
        go_type = self._go_type(target)
        if base == "string":
            return _string_decoder(go_type), str, _empty
        if base == "bool":
            return _bool_decoder(go_type), bool, _false
        if base in INT_LIMITS:
            return _int_decoder(go_type, INT_LIMITS[base]), _Never, _zero
        if base == "float64":
            return _float_decoder(go_type), _Never, _zero
        if base == "bytes":
            return _bytes, _Never, _none
        if base in _SPECIAL:
            decode, special_zero = _SPECIAL[base]
            return decode, _Never, special_zero
        if base.startswith(_CRD + "JSONSchemaPropsOr"):
            schema = self._struct(_CRD + "JSONSchemaProps")
            return _schema_or(schema, base.rsplit("Or", 1)[1]), _Never, _null_value
        decode = self._struct(base)
        return decode, _Never, lambda: decode({}, [])

    def _go_type(self, target: str) -> str:
        """Name reflection prints: `v1.PullPolicy`, `[]uint8`, `int32`."""
        if target == "bytes":
            return "[]uint8"
        return ".".join(target.rsplit(".", 2)[1:]) if "." in target else target


class _Never:
    """A type no JSON value has: the field's decoder is always called."""


@lru_cache(maxsize=1)
def builtin() -> Shapes:
    """Decoders of the kinds Kubernetes 1.36 has built in, beta and older versions included."""
    data = files("tiphys.apimachinery").joinpath("data/goshapes.json.gz").read_bytes()
    return Shapes(orjson.loads(gzip.decompress(data)))


def known(gvk: GroupVersionKind) -> bool:
    """Whether `decode` has the Go struct of this kind."""
    return builtin().decoder(gvk) is not None


def decode(obj: Mapping[str, Any], gvk: GroupVersionKind) -> Decoded:
    """`obj` as the server would write it after reading it into the Go struct of `gvk`, without defaulting.

    A Secret's `stringData` is folded into `data`, as its conversion does. `apiVersion` and `kind` are set to those of
    `gvk`. Raises `DecodeError` with upstream's text for a value of the wrong type, `KeyError` when the kind is not
    built in (ask `known`). Of several type errors the first in document order is raised.

    Source: dev-cluster 0 (decode-into-Go-struct canonicalisation), 2.
    """
    function = builtin().decoder(gvk)
    if function is None:
        raise KeyError(gvk)
    unknown: list[str] = []
    body = function(obj, unknown)
    out: JsonObject = {"kind": gvk.kind, "apiVersion": gvk.api_version}
    body.pop("kind", None)
    body.pop("apiVersion", None)
    out.update(body)
    if gvk.kind == "Secret" and gvk.group == "":
        _fold_string_data(out)
    return Decoded(out, unknown)


def _fold_string_data(secret: JsonObject) -> None:
    plain = secret.pop("stringData", None)
    if plain:
        data = secret.setdefault("data", {})
        for key, value in plain.items():
            data[key] = base64.b64encode(value.encode()).decode()


def _go_name(type_name: str) -> str:
    return type_name.rsplit(".", 1)[-1]


def _none() -> None:
    return None


def _null_value() -> None:
    return None


def _empty() -> str:
    return ""


def _zero() -> int:
    return 0


def _false() -> bool:
    return False


def _quantity_zero() -> str:
    return "0"


def _int_or_string_zero() -> int:
    return 0


def _mismatch(value: Any, go_type: str) -> UnmarshalTypeError:
    return UnmarshalTypeError(_json_type(value), go_type)


def _json_type(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _number_text(value: float) -> str:
    return f"number {value}"


def _struct_decoder(
    name: str,
    go_type: str,
    fields: dict[str, tuple[type, bool, Decode]],
    always: list[tuple[str, Callable[[], Any]]],
) -> Decode:
    def decode(value: Any, unknown: list[str]) -> Any:
        if type(value) is not dict:
            if value is None:
                value = {}
            elif isinstance(value, Mapping):
                value = dict(value)
            else:
                raise _mismatch(value, go_type)
        out: JsonObject = {}
        for key, item in value.items():
            field = fields.get(key)
            if field is None:
                unknown.append(key)
                continue
            if item is None:
                continue
            fast, drop, child = field
            if type(item) is fast:
                if item or not drop:
                    out[key] = item
                continue
            before = len(unknown)
            try:
                item = child(item, unknown)
            except UnmarshalTypeError as error:
                error.within(name, key)
                raise
            if item or not drop:
                out[key] = item
            if len(unknown) != before:
                _prefix(unknown, before, key)
        for key, zero in always:
            if key not in out:
                out[key] = zero()
        return out

    return decode


def _prefix(unknown: list[str], start: int, key: str) -> None:
    for index in range(start, len(unknown)):
        path = unknown[index]
        unknown[index] = key + path if path[0] == "[" else f"{key}.{path}"


def _list_decoder(element: Decode, zero: Callable[[], Any], go_type: str) -> Decode:
    simple = zero is _empty

    def decode(value: Any, unknown: list[str]) -> Any:
        if type(value) is not list:
            raise _mismatch(value, go_type)
        if simple:
            return [item if type(item) is str else "" if item is None else element(item, unknown) for item in value]
        out = []
        for index, item in enumerate(value):
            before = len(unknown)
            out.append(zero() if item is None else element(item, unknown))
            if len(unknown) != before:
                _prefix(unknown, before, f"[{index}]")
        return out

    return decode


def _map_decoder(element: Decode, zero: Callable[[], Any], go_type: str) -> Decode:
    simple = zero is _empty and element is not _bytes

    def decode(value: Any, unknown: list[str]) -> Any:
        if type(value) is not dict:
            raise _mismatch(value, go_type)
        if simple:
            return {
                key: item if type(item) is str else "" if item is None else element(item, unknown)
                for key, item in value.items()
            }
        out = {}
        for key, item in value.items():
            before = len(unknown)
            out[key] = zero() if item is None else element(item, unknown)
            if len(unknown) != before:
                _prefix(unknown, before, key)
        return out

    return decode


def _string_decoder(go_type: str) -> Decode:
    def decode(value: Any, unknown: list[str]) -> Any:
        if isinstance(value, str):
            return value
        raise _mismatch(value, go_type)

    return decode


def _bool_decoder(go_type: str) -> Decode:
    def decode(value: Any, unknown: list[str]) -> Any:
        if isinstance(value, bool):
            return value
        raise _mismatch(value, go_type)

    return decode


def _int_decoder(go_type: str, limit: int) -> Decode:
    def decode(value: Any, unknown: list[str]) -> Any:
        if type(value) is int:
            if -limit <= value < limit:
                return value
            raise UnmarshalTypeError(_number_text(value), go_type)
        if type(value) is float:
            raise UnmarshalTypeError(_number_text(value), go_type)
        raise _mismatch(value, go_type)

    return decode


def _float_decoder(go_type: str) -> Decode:
    def decode(value: Any, unknown: list[str]) -> Any:
        if type(value) is int:
            return value
        if type(value) is float:
            return int(value) if value.is_integer() and abs(value) < 1e21 else value
        raise _mismatch(value, go_type)

    return decode


def _bytes(value: Any, unknown: list[str]) -> Any:
    if not isinstance(value, str):
        raise _mismatch(value, "[]uint8")
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        decoded = _forgiving_base64(value)
    else:
        if len(value) % 4 == 0:
            tail = value[-4:]
            if "=" not in tail:
                return value
    return base64.b64encode(decoded).decode()


def _forgiving_base64(text: str) -> bytes:
    """Bytes of base64 with line breaks in it; raises with the offset at which Go's decoder gives up."""
    group = 0
    index = 0
    while index < len(text):
        char = text[index]
        index += 1
        if char in "\r\n":
            continue
        if char in _BASE64_ALPHABET:
            group = (group + 1) % 4
            continue
        if char == "=" and group >= 2:
            index = _padding_end(text, index, group)
            break
        raise _illegal_base64(text, index - 1)
    else:
        if group:
            raise _illegal_base64(text, len(text) - group)
    if index < len(text):
        raise _illegal_base64(text, index)
    return base64.b64decode(text.replace("\r", "").replace("\n", ""))


def _padding_end(text: str, index: int, group: int) -> int:
    """Offset after the padding whose first `=` is before `index`, and any line breaks after it."""
    if group == 2:
        while index < len(text) and text[index] in "\r\n":
            index += 1
        if index == len(text):
            raise _illegal_base64(text, len(text))
        if text[index] != "=":
            raise _illegal_base64(text, index - 1)
        index += 1
    while index < len(text) and text[index] in "\r\n":
        index += 1
    return index


def _illegal_base64(text: str, index: int) -> DecodeError:
    return DecodeError(f"illegal base64 data at input byte {len(text[:index].encode())}")


_canonical_quantity = lru_cache(maxsize=1024)(canonical)  # few spellings occur, and they occur everywhere


def _quantity(value: Any, unknown: list[str]) -> Any:
    if not isinstance(value, str):
        value = json.dumps(value)
    try:
        return _canonical_quantity(value) if len(value) < 32 else canonical(value)
    except ValueError as error:
        raise DecodeError(str(error)) from error


def _int_or_string(value: Any, unknown: list[str]) -> Any:
    if isinstance(value, str):
        return value
    return _INT32(value, unknown)


def _time(value: Any, unknown: list[str]) -> Any:
    if type(value) is str and len(value) == 20 and _RFC3339_UTC.fullmatch(value):
        return value
    return _instant(value, micro=False).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(value: Any, unknown: list[str]) -> Any:
    return _instant(value, micro=True).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _instant(value: Any, *, micro: bool) -> datetime:
    if not isinstance(value, str):
        raise _mismatch(value, "string")
    found = _RFC3339.fullmatch(value)
    if found is None or (micro and len(found[2] or "") != 6):
        raise DecodeError(_time_problem(value, micro))
    zone = "+00:00" if found[3] == "Z" else found[3]
    try:
        return datetime.fromisoformat(f"{found[1]}.{found[2] if micro else '0'}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise DecodeError(f'parsing time "{value}": {_out_of_range(found[1])} out of range') from None


def _time_problem(value: str, micro: bool) -> str:
    """Where Go's time.Parse gives up: the rest of the text and the element of the layout it cannot be."""
    elements = [
        "2006",
        "-",
        "01",
        "-",
        "02",
        "T",
        "15",
        ":",
        "04",
        ":",
        "05",
        *([".000000"] if micro else []),
        "Z07:00",
    ]
    rest = value
    for element in elements:
        pattern = "Z|[+-][0-9]{2}:[0-9]{2}" if element == "Z07:00" else re.sub("[0-9]", "[0-9]", re.escape(element))
        if element == "05" and not micro:
            pattern += "(?:[.,][0-9]+)?"
        matched = re.match(pattern, rest)
        if matched is None:
            return f'parsing time "{value}" as "{"".join(elements)}": cannot parse "{rest}" as "{element}"'
        rest = rest[matched.end() :]
    return f'parsing time "{value}": extra text: "{rest}"'


def _out_of_range(text: str) -> str:
    if not 1 <= int(text[5:7]) <= 12:
        return "month"
    for start, limit, word in ((11, 23, "hour"), (14, 59, "minute"), (17, 59, "second")):
        if int(text[start : start + 2]) > limit:
            return word
    return "day"


def _opaque(value: Any, unknown: list[str]) -> Any:
    return value


def _schema_or(schema: Decode, other: str) -> Decode:
    """A JSONSchemaProps, or what the type's name says may stand in its place: an array, a bool, strings."""

    def decode(value: Any, unknown: list[str]) -> Any:
        if isinstance(value, dict):
            return schema(value, unknown)
        if other == "Bool" and isinstance(value, bool):
            return value
        if other == "Array" and isinstance(value, list):
            return [schema(item, unknown) for item in value]
        if other == "StringArray" and isinstance(value, list):
            return list(value)
        if other == "Bool":
            raise DecodeError("boolean or JSON schema expected")
        return None

    return decode


_INT32 = _int_decoder("int32", INT_LIMITS["int32"])

_SPECIAL: dict[str, tuple[Decode, Callable[[], Any]]] = {
    "apimachinery.pkg.api.resource.Quantity": (_quantity, _quantity_zero),
    "apimachinery.pkg.util.intstr.IntOrString": (_int_or_string, _int_or_string_zero),
    _META + "Time": (_time, _null_value),
    _META + "MicroTime": (_micro_time, _null_value),
    _META + "FieldsV1": (_opaque, _null_value),
    _META + "Duration": (_opaque, lambda: "0s"),
    _RAW_EXTENSION: (_opaque, _null_value),
    _CRD + "JSON": (_opaque, _null_value),
}
