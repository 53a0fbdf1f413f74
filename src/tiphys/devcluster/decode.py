"""Request bodies turned into objects: media types, JSON, YAML, protobuf, strict validation, kind and version checks.

`decode_body` serves the built-in kinds. For a custom resource `parse_body` gives the object and its repeated fields;
after pruning, `settle_strict` turns those and the pruned paths into an error or warnings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.apierrors import ApiError, FieldCause, UnsupportedMediaType, bad_request, invalid
from tiphys.apimachinery.goshapes import DecodeError
from tiphys.apimachinery.names import GroupVersionKind, split_api_version
from tiphys.apimachinery.yamljson import YamlError, load_first
from tiphys.devcluster import protobuf
from tiphys.devcluster.gojson import read_json

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"

MAX_STRICT_PROBLEMS: Final = 100  # sigs.k8s.io/json stops collecting there

SCHEME: Final = "pkg/api/legacyscheme/scheme.go:30"  # where kube-apiserver's registry of types is named in messages

OPTIONS_GROUP: Final = "meta.k8s.io"

FIELD_VALIDATIONS: Final = ("Ignore", "Strict", "Warn")


@dataclass(frozen=True, slots=True)
class Body:
    """A decoded request body.

    `obj` is canonical (see goshapes), carries `apiVersion` and `kind`, and is the receiver's own to change.
    `warnings` are texts for `Warning: 299` headers.
    """

    obj: dict[str, Any]
    gvk: GroupVersionKind
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Parsed:
    """A body read as plain JSON: the object, its kind, and repeated fields in document order."""

    obj: dict[str, Any]
    gvk: GroupVersionKind
    duplicates: tuple[str, ...] = ()


def media_type(content_type: str | None, *, custom: bool = False) -> str:
    """Which of JSON, YAML and PROTOBUF a Content-Type names; JSON when there is none.

    `custom` leaves out protobuf, which custom resources do not have. Raises UnsupportedMediaType (415).
    """
    accepted = (JSON, YAML) if custom else (JSON, YAML, PROTOBUF)
    name = (content_type or JSON).partition(";")[0].strip().lower()
    if name in accepted:
        return name
    raise UnsupportedMediaType(
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
    )


def field_validation(query: str | None, *, options_kind: str = "CreateOptions") -> str:
    """The fieldValidation mode a query asks for, `Warn` when it asks for none.

    Raises Invalid (422) of `options_kind` (CreateOptions, UpdateOptions, PatchOptions) for any other word.
    """
    if not query:
        return "Warn"
    if query in FIELD_VALIDATIONS:
        return query
    supported = ", ".join(json.dumps(one) for one in ("", *FIELD_VALIDATIONS))
    cause = FieldCause(
        "FieldValueNotSupported",
        f"Unsupported value: {json.dumps(query)}: supported values: {supported}",
        "fieldValidation",
    )
    raise invalid(options_kind, "meta.k8s.io", "", [cause])


def decode_body(
    body: bytes,
    content_type: str | None,
    expected: GroupVersionKind,
    *,
    validation: str = "Warn",
    also: Collection[GroupVersionKind] = (),
) -> Body:
    """The object of a request that must carry a built-in kind.

    A body that names no kind or version is taken for `expected`. `also` are other kinds the path accepts (Eviction and
    Scale in older versions). Raises BadRequest (400) or UnsupportedMediaType (415) with kube-apiserver's texts.

    Source: dev-cluster 2; apiserver endpoints/handlers/create.go, rest.go (transformDecodeError).
    """
    media = media_type(content_type)
    if media == PROTOBUF:
        return _decode_protobuf(body, expected, also)
    parsed = parse_body(body, content_type, expected, strict=validation != "Ignore")
    gvk = parsed.gvk
    if not goshapes.known(gvk):
        raise _cannot_be_handled(gvk, expected, _not_registered(gvk))
    try:
        decoded = goshapes.decode(parsed.obj, gvk)
    except DecodeError as error:
        raise _cannot_be_handled(gvk, expected, str(error)) from error
    problems: Sequence[str] = ()
    if validation != "Ignore" and (decoded.unknown or parsed.duplicates):
        problems = strict_problems(parsed.obj, parsed.duplicates, decoded.unknown, body, media)
    _check_kind(gvk, expected, also)
    return Body(decoded.obj, gvk, settle_strict(problems, validation, gvk, expected))


def decode_options(body: bytes, content_type: str | None, kind: str = "DeleteOptions") -> dict[str, Any]:
    """The options a DELETE request carries, without `kind` and `apiVersion`; empty when there is no body.

    Raises BadRequest (400) or UnsupportedMediaType (415).
    """
    if not body.strip():
        return {}
    default = GroupVersionKind(OPTIONS_GROUP, "v1", kind)
    decoded = _decode_options_body(body, content_type, default)
    return {key: value for key, value in decoded.items() if key not in ("kind", "apiVersion")}


def _decode_options_body(body: bytes, content_type: str | None, default: GroupVersionKind) -> dict[str, Any]:
    if media_type(content_type) == PROTOBUF:
        envelope = _open_protobuf(body, default)
        if envelope.gvk.kind != default.kind:
            raise bad_request(f"decoded object cannot be converted to {default.kind}")
        return _canonical_protobuf(envelope, default)
    parsed = parse_body(body, content_type, default, strict=False)
    if not goshapes.known(parsed.gvk):
        raise bad_request(_not_registered(parsed.gvk))
    if parsed.gvk.kind != default.kind:
        raise bad_request(_not_registered(parsed.gvk))  # nothing but options is known where they are read
    try:
        return goshapes.decode(parsed.obj, parsed.gvk).obj
    except DecodeError as error:
        raise _cannot_be_handled(parsed.gvk, default, str(error)) from error


def parse_body(
    body: bytes, content_type: str | None, expected: GroupVersionKind, *, strict: bool, custom: bool = False
) -> Parsed:
    """A JSON or YAML body as a plain object whose kind and version are filled in from `expected`.

    With `strict` repeated fields are looked for. `custom` refuses protobuf. Raises BadRequest, UnsupportedMediaType.
    """
    media = media_type(content_type, custom=custom)
    duplicates: tuple[str, ...] = ()
    if media == YAML:
        obj, duplicates = _parse_yaml(body, expected, strict)
    else:
        try:
            obj = orjson.loads(body)
        except orjson.JSONDecodeError:
            obj = _reread(body, expected)
        if strict:
            duplicates = tuple(repeated_fields(obj, body))
    if obj is None:
        obj = {}
    if not isinstance(obj, dict):
        raise _unrecognised(body, expected, _not_an_object(obj))
    return Parsed(obj, _named_kind(obj, expected, body), duplicates)


def settle_strict(
    problems: Sequence[str], validation: str, gvk: GroupVersionKind, expected: GroupVersionKind
) -> tuple[str, ...]:
    """Warnings to send for `problems` under this fieldValidation; raises BadRequest when it is `Strict`."""
    if not problems or validation == "Ignore":
        return ()
    shown = tuple(problems[:MAX_STRICT_PROBLEMS])
    if validation == "Strict":
        raise _cannot_be_handled(gvk, expected, "strict decoding error: " + ", ".join(shown))
    return shown


def strict_problems(
    obj: Mapping[str, Any], duplicates: Sequence[str], unknown: Sequence[str], body: bytes, media: str = JSON
) -> list[str]:
    """`duplicate field "a.b"` and `unknown field "c"`, in the order of the document.

    A repeated field below an unknown one is not reported: the decoder never looks there.
    """
    if not duplicates or not unknown or media != JSON:
        return [*_repeated(duplicates, media), *(_unknown(path) for path in unknown)]
    lost = set(unknown)
    problems = []
    hidden: str | None = None
    for path, repeated in _paths(_pairs(body)):
        if hidden is not None and path.startswith(hidden) and path[len(hidden) : len(hidden) + 1] in (".", "["):
            continue
        hidden = None
        if path in lost:
            if not repeated:
                problems.append(_unknown(path))
            hidden = path
        elif repeated:
            problems.append(f'duplicate field "{path}"')
    return problems


def _repeated(duplicates: Sequence[str], media: str) -> list[str]:
    return list(duplicates) if media == YAML else [f'duplicate field "{path}"' for path in duplicates]


def _unknown(path: str) -> str:
    return f'unknown field "{path}"'


# ---- JSON and YAML ----


def _reread(body: bytes, expected: GroupVersionKind) -> Any:
    """A body orjson refused: what the standard reader makes of it, or Go's complaint."""
    try:
        return read_json(body)
    except ValueError as error:
        raise _unrecognised(body, expected, f"couldn't get version/kind; json parse error: {error}") from None


def repeated_fields(obj: Any, body: bytes) -> list[str]:
    """Paths of the fields that stand twice in a JSON body whose value is `obj`."""
    if not isinstance(obj, dict) or not _may_repeat(obj, body):
        return []
    return [path for path, repeated in _paths(_pairs(body)) if repeated]


def _may_repeat(obj: dict[str, Any], body: bytes) -> bool:
    """Whether a field may occur twice. Go clients send compact JSON, which equals its own rewriting in length."""
    return len(orjson.dumps(obj)) != len(body.rstrip())


class _Object(list[tuple[str, Any]]):
    """A JSON object as its members in order, repeated ones included."""


def _pairs(body: bytes) -> Any:
    return json.loads(body.decode("utf-8", "replace"), object_pairs_hook=_Object)


def _paths(value: Any, prefix: str = "") -> Iterator[tuple[str, bool]]:
    """(path, whether it stood before in the same object) of every member, in document order."""
    if isinstance(value, _Object):
        seen: set[str] = set()
        for key, item in value:
            path = f"{prefix}.{key}" if prefix else key
            yield path, key in seen
            seen.add(key)
            yield from _paths(item, path)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, f"{prefix}[{index}]")


def _parse_yaml(body: bytes, expected: GroupVersionKind, strict: bool) -> tuple[Any, tuple[str, ...]]:
    duplicates: tuple[str, ...] = ()
    if strict:
        try:
            return _sorted(load_first(body, strict=True)), ()
        except YamlError as error:
            if "already set in map" not in error.problem:
                raise _bad_yaml(body, expected, error) from error
            where = f"line {error.line}: " if error.line is not None else ""
            duplicates = (f"yaml: unmarshal errors:\n  {where}{error.problem}",)
    try:
        return _sorted(load_first(body)), duplicates
    except YamlError as error:
        raise _bad_yaml(body, expected, error) from error


def _sorted(value: Any) -> Any:
    """The value with members in alphabetic order: YAML is turned into JSON before it is read, through maps."""
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _bad_yaml(body: bytes, expected: GroupVersionKind, error: YamlError) -> ApiError:
    return _unrecognised(body, expected, yaml_problem(error))


_BAD_CHARACTER = re.compile(r'unacceptable character #x\w+: (.*) in "<byte string>", position \d+')


def yaml_problem(error: YamlError) -> str:
    """What Go's YAML reader says where ours says `error`. Source: go.yaml.in/yaml/v2 decode.go fail."""
    problem, line = error.problem, error.line or 0
    if found := _BAD_CHARACTER.fullmatch(problem):
        return f"yaml: {found[1]}"
    if line <= 1:  # of its first line it says nothing
        return f"yaml: {problem}"
    # It counts lines from nought but for what the scanner finds.
    return f"yaml: line {line - 1 if problem.startswith('did not find expected') else line}: {problem}"


_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'


def _not_an_object(value: Any) -> str:
    problem = f"json: cannot unmarshal {_json_kind(value)} into Go value of type {_TYPE_META}"
    return f"couldn't get version/kind; json parse error: {problem}"


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _named_kind(obj: dict[str, Any], expected: GroupVersionKind, body: bytes) -> GroupVersionKind:
    api_version = obj.get("apiVersion") or ""
    kind = obj.get("kind") or ""
    for value, field in ((api_version, "apiVersion"), (kind, "kind")):
        if not isinstance(value, str):
            found = _json_kind(value)
            problem = f"json: cannot unmarshal {found} into Go struct field .{field} of type string"
            raise _unrecognised(body, expected, f"couldn't get version/kind; json parse error: {problem}")
    if not api_version:
        group, version = expected.group, expected.version
    else:
        if api_version.count("/") > 1:
            raise _unrecognised(body, expected, f"unexpected GroupVersion string: {api_version}")
        group, version = split_api_version(api_version)
    return GroupVersionKind(group, version, kind or expected.kind)


# ---- protobuf ----


def _decode_protobuf(body: bytes, expected: GroupVersionKind, also: Collection[GroupVersionKind]) -> Body:
    envelope = _open_protobuf(body, expected)
    gvk = envelope.gvk
    obj = _canonical_protobuf(envelope, expected)
    _check_kind(gvk, expected, also)
    return Body(obj, gvk)


def _open_protobuf(body: bytes, expected: GroupVersionKind) -> protobuf.Envelope:
    if not body:
        raise _unrecognised(body, expected, "empty data")
    try:
        return protobuf.open_envelope(body, default=expected)
    except DecodeError as error:
        raise _unrecognised(body, expected, str(error)) from error


def _canonical_protobuf(envelope: protobuf.Envelope, expected: GroupVersionKind) -> dict[str, Any]:
    gvk = envelope.gvk
    if not goshapes.known(gvk):
        raise _cannot_be_handled(gvk, expected, _not_registered(gvk))
    try:
        return goshapes.decode(protobuf.decode_object(envelope), gvk).obj
    except DecodeError as error:
        raise _cannot_be_handled(gvk, expected, str(error)) from error


# ---- the sentences ----


def _check_kind(gvk: GroupVersionKind, expected: GroupVersionKind, also: Collection[GroupVersionKind]) -> None:
    if gvk == expected or gvk in also:
        return
    if gvk.kind != expected.kind:
        said = f"converting ({_package(gvk)}.{gvk.kind}) to ({_internal_package(expected)}.{expected.kind})"
        raise _cannot_be_handled(gvk, expected, f"{said}: unknown conversion")
    raise bad_request(
        f"the API version in the data ({gvk.api_version}) does not match the expected API version "
        f"({expected.api_version})"
    )


def _package(gvk: GroupVersionKind) -> str:
    return gvk.version


def _internal_package(gvk: GroupVersionKind) -> str:
    return gvk.group.partition(".")[0] or "core"


def _not_registered(gvk: GroupVersionKind) -> str:
    return f'no kind "{gvk.kind}" is registered for version "{gvk.api_version}" in scheme "{SCHEME}"'


def _cannot_be_handled(gvk: GroupVersionKind, expected: GroupVersionKind, problem: str) -> ApiError:
    if expected.group == OPTIONS_GROUP:  # options are read without saying what they were read for
        return bad_request(problem)
    return bad_request(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {expected.kind}: {problem}')


def _unrecognised(body: bytes, expected: GroupVersionKind, problem: str) -> ApiError:
    if expected.group == OPTIONS_GROUP:
        return bad_request(problem)
    return bad_request(
        f"the object provided is unrecognized (must be of type {expected.kind}): {problem} ({_summary(body)})"
    )


def _summary(body: bytes, limit: int = 30) -> str:
    """The beginning of a body for a message: text when it looks like JSON, else hex."""
    if not body:
        return "<empty>"
    cut = body[:limit]
    shown = cut.decode("utf-8", "replace") if body.startswith(b"{") else cut.hex()
    return shown + " ..." if len(body) > limit else shown
