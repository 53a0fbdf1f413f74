"""dict <-> dataclass with the CRD's field names, keeping unknown fields and naming every type error at once.

A class of the model is a frozen, slotted, keyword-only dataclass deriving from `Wire`. Its annotations say what the wire
carries. A field's wire name is the attribute in camelCase unless `wire("repoURL")` says otherwise. One decoder and one
encoder per class are made from the annotations at first use.

    annotation                  absent or null     written when
    str, int, bool              default            not zero, or always=True
    str | None, ...             None               not None
    tuple[X, ...]               ()                 not empty, or always=True
    tuple[X, ...] | None        None               not None: `[]` and absent differ
    Mapping[str, X]             {}                 not empty
    X (a Wire class)            X()                not empty, or always=True
    X | None                    None               not None: `{}` and absent differ
    datetime | None             None               not None; RFC 3339, whole seconds, Z
    object                      None               not None; any JSON, not looked into

Source: compat 5 (nil and empty lists), api-ui 2.2 (how Go reads and writes JSON).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from typing import Any, NamedTuple, NoReturn, TypeVar

from tiphys.model.time import format_time, parse_time

W = TypeVar("W", bound="Wire")

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


class EmptyMapping(dict[str, Any]):
    """The empty mapping that all absent maps share; it cannot be filled."""

    __slots__ = ()

    def __setitem__(self, key: str, value: Any) -> NoReturn:
        raise TypeError("the shared empty mapping cannot be changed")

    def __hash__(self) -> int:  # type: ignore[override]  # dataclasses take hashable defaults only
        return 0


EMPTY: Mapping[str, Any] = EmptyMapping()


class InvalidObject(ValueError):
    """An object whose fields have the wrong types. `problems` has a sentence per field, each starting with its path."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """Base of everything with a wire form. `extra` holds the fields this version does not know, as they were read."""

    extra: Mapping[str, Any] = EMPTY


ALWAYS: Mapping[str, object] = {"always": True}  # metadata of a field that is written even when it is zero


def wire(name: str = "", *, default: Any = MISSING, always: bool = False) -> Any:
    """A dataclass field with its wire name; `always` writes it even when it is zero."""
    return field(default=default, metadata={"wire": name, "always": always})


def camel_case(attribute: str) -> str:
    """`target_revision` -> `targetRevision`."""
    head, *rest = attribute.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


class _Context:
    """What one decode carries along: the problems found so far and how field names are matched.

    Paths are made only when `tracing`: objects are nearly always right, so the first pass goes without.
    """

    __slots__ = ("fold", "problems", "tracing")

    def __init__(self, *, fold: bool, tracing: bool) -> None:
        self.fold = fold
        self.tracing = tracing
        self.problems: list[str] = []

    @staticmethod
    def below(path: str, name: str) -> str:
        return f"{path}.{name}" if path else name

    def wrong(self, path: str, expected: str, value: object) -> None:
        self.problems.append(f"{path}: expected {expected}, got {_kind_of(value)}")


Decoder = Callable[[Any, str, _Context], Any]  # (value, path, context) -> value; a wrong type is put into the context
Encoder = Callable[[Any], Any]


class FieldInfo(NamedTuple):
    """One field as the codec sees it; the CRD schemas are made from these too."""

    attribute: str
    name: str  # on the wire
    annotation: Any  # resolved
    always: bool


class _Plan(NamedTuple):
    by_name: dict[str, tuple[str, type | None, Decoder]]  # wire name -> attribute, type that needs no decoding, decoder
    folded: dict[str, tuple[str, type | None, Decoder]]
    slots: tuple[tuple[str, Callable[[Any, Any], None], Any], ...]  # attribute, how to set it past `frozen`, default
    encoders: tuple[tuple[str, str, Callable[[Any], bool] | None, Encoder | None], ...]  # attribute, name, skip, encode


def decode(cls: type[W], data: Mapping[str, Any], *, path: str = "", fold_case: bool = False) -> W:
    """A value of `cls` from parsed JSON.

    Raises InvalidObject naming every field of a wrong type. `fold_case` also takes field names that differ in case only,
    as Go's decoder does with requests.
    """
    context = _Context(fold=fold_case, tracing=False)
    value = _decode_wire(cls, data, path, context)
    if not context.problems and value is not None:
        return value
    context = _Context(fold=fold_case, tracing=True)
    _decode_wire(cls, data, path, context)
    raise InvalidObject(tuple(context.problems))


def encode(value: Wire) -> dict[str, Any]:
    """The wire form, unknown fields last. Free JSON inside is shared with `value`, not copied."""
    out: dict[str, Any] = {}
    for attribute, name, skip, encoder in _plan(type(value)).encoders:
        item = getattr(value, attribute)
        if item is None or (skip is not None and skip(item)):
            continue
        if encoder is not None:
            item = encoder(item)
            if item is _NOTHING:
                continue
        out[name] = item
    if value.extra:
        out.update(value.extra)
    return out


def unknown_fields(value: Wire, path: str = "") -> list[str]:
    """Paths of the fields that no class of the model knows, as `spec.destination.servr` or `spec.sources[0].repo`."""
    found = [_Context.below(path, name) for name in value.extra]
    for info in field_infos(type(value)):
        item, where = getattr(value, info.attribute), _Context.below(path, info.name)
        if isinstance(item, Wire):
            found += unknown_fields(item, where)
        elif isinstance(item, tuple):
            for index, element in enumerate(item):
                found += unknown_fields(element, f"{where}[{index}]") if isinstance(element, Wire) else ()
    return found


def field_infos(cls: type[Any]) -> tuple[FieldInfo, ...]:
    """Fields of `cls` in their order, `extra` left out."""
    hints = typing.get_type_hints(cls)
    return tuple(
        FieldInfo(
            f.name,
            f.metadata.get("wire") or camel_case(f.name),
            hints[f.name],
            bool(f.metadata.get("always")),
        )
        for f in fields(cls)
        if f.name != "extra"
    )


_PLANS: dict[type, _Plan] = {}  # a memo: what is in it follows from the class alone


def _plan(cls: type) -> _Plan:
    plan = _PLANS.get(cls)
    if plan is None:
        plan = _PLANS[cls] = _build_plan(cls)
    return plan


def _build_plan(cls: type) -> _Plan:
    by_name: dict[str, tuple[str, type | None, Decoder]] = {}
    encoders = []
    for info in field_infos(cls):
        plain, _ = _without_none(info.annotation)
        by_name[info.name] = (info.attribute, plain if plain in (str, bool) else None, _decoder_of(info.annotation))
        skip, encoder = _encoder_of(info.annotation, always=info.always)
        encoders.append((info.attribute, info.name, skip, encoder))
    slots = tuple((f.name, getattr(cls, f.name).__set__, f.default) for f in fields(cls))
    return _Plan(by_name, {name.lower(): entry for name, entry in by_name.items()}, slots, tuple(encoders))


def _decode_wire(cls: type[W], data: Any, path: str, context: _Context) -> W | None:
    if data.__class__ is not dict and not isinstance(data, Mapping):
        context.wrong(path or cls.__name__, "an object", data)
        return None
    plan = _plan(cls)
    by_name, tracing = plan.by_name, context.tracing
    found: dict[str, Any] = {}
    extra: dict[str, Any] | None = None
    for name, value in data.items():
        entry = by_name.get(name)
        if entry is None and context.fold:
            entry = plan.folded.get(name.lower())
        if entry is None:
            if extra is None:
                extra = {}
            extra[name] = value
        elif value is not None:
            attribute, kind, decoder = entry
            if value.__class__ is kind:
                found[attribute] = value
            else:
                found[attribute] = decoder(value, context.below(path, name) if tracing else path, context)
    if extra is not None:
        found["extra"] = extra
    if context.problems:
        return None
    made: W = cls.__new__(cls)
    get = found.get
    for attribute, put, default in plan.slots:
        put(made, get(attribute, default))
    return made


# One decoder per shape. They give back something of the right type or note a problem; the object is then thrown away.


def _decode_str(value: Any, path: str, context: _Context) -> Any:
    if value.__class__ is not str:
        context.wrong(path, "a string", value)
    return value


def _decode_bool(value: Any, path: str, context: _Context) -> Any:
    if value.__class__ is not bool:
        context.wrong(path, "a boolean", value)
    return value


def _decode_int(value: Any, path: str, context: _Context) -> Any:
    if value.__class__ is not int or not _INT64_MIN <= value <= _INT64_MAX:
        context.wrong(path, "an integer", value)
    return value


def _decode_int_or_str(value: Any, path: str, context: _Context) -> Any:
    if value.__class__ is not str:
        return _decode_int(value, path, context)
    return value


def _decode_time(value: Any, path: str, context: _Context) -> Any:
    if value.__class__ is not str:
        context.wrong(path, "a time", value)
        return None
    if not value:
        return None
    try:
        return parse_time(value)
    except ValueError as error:
        context.problems.append(f"{path}: {error}")
        return None


def _decode_any(value: Any, path: str, context: _Context) -> Any:
    return value


def _decode_object(value: Any, path: str, context: _Context) -> Any:
    if not isinstance(value, Mapping):
        context.wrong(path, "an object", value)
    return value


def _list_decoder(item: Decoder) -> Decoder:
    if item is _decode_any:

        def decode_plain_list(value: Any, path: str, context: _Context) -> Any:
            if value.__class__ is not list and not isinstance(value, tuple):
                context.wrong(path, "a list", value)
                return ()
            return tuple(value)

        return decode_plain_list

    def decode_list(value: Any, path: str, context: _Context) -> Any:
        if value.__class__ is not list and not isinstance(value, tuple):
            context.wrong(path, "a list", value)
            return ()
        out = []
        tracing = context.tracing
        for index, element in enumerate(value):
            where = f"{path}[{index}]" if tracing else path
            if element is None:
                context.wrong(where, "a value", element)
            else:
                out.append(item(element, where, context))
        return tuple(out)

    return decode_list


def _map_decoder(item: Decoder) -> Decoder:
    if item is _decode_any:
        return _decode_object

    def decode_map(value: Any, path: str, context: _Context) -> Any:
        if not isinstance(value, Mapping):
            context.wrong(path, "an object", value)
            return EMPTY
        # A null value is Go's zero value; for the maps of the model that is the empty string.
        return {
            key: item("" if element is None else element, f"{path}.{key}", context) for key, element in value.items()
        }

    return decode_map


def _decoder_of(annotation: Any) -> Decoder:
    annotation, _ = _without_none(annotation)
    simple = _SIMPLE_DECODERS.get(annotation)
    if simple is not None:
        return simple
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is tuple:
        return _list_decoder(_decoder_of(args[0]))
    if origin is Mapping:
        return _map_decoder(_decoder_of(args[1]))
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        cls = annotation
        return lambda value, path, context: _decode_wire(cls, value, path, context)
    if set(args) == {int, str}:
        return _decode_int_or_str
    raise TypeError(f"the codec has no wire form for {annotation!r}")


_SIMPLE_DECODERS: dict[Any, Decoder] = {
    str: _decode_str,
    bool: _decode_bool,
    int: _decode_int,
    datetime: _decode_time,
    object: _decode_any,
    Any: _decode_any,
}


class _Nothing:
    """An encoded value that is to be left out."""


_NOTHING = _Nothing()


def _encoder_of(annotation: Any, *, always: bool) -> tuple[Callable[[Any], bool] | None, Encoder | None]:
    """(when to leave the field out besides None, how to make its value JSON or None when it is already)."""
    annotation, optional = _without_none(annotation)
    value_encoder = _value_encoder(annotation)
    if optional or always or annotation in (object, Any):
        return None, value_encoder
    if isinstance(annotation, type) and issubclass(annotation, Wire):

        def encode_non_empty(value: Any) -> Any:
            return encode(value) or _NOTHING

        return None, encode_non_empty
    return _is_zero, value_encoder


def _value_encoder(annotation: Any) -> Encoder | None:
    annotation, _ = _without_none(annotation)
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is datetime:
        return format_time
    if origin is tuple:
        item = _value_encoder(args[0])
        return list if item is None else _list_encoder(item)
    if origin is Mapping:
        item = _value_encoder(args[1])
        return None if item is None else _map_encoder(item)
    if isinstance(annotation, type) and issubclass(annotation, Wire):
        return encode
    return None


def _list_encoder(item: Encoder) -> Encoder:
    return lambda value: [item(element) for element in value]


def _map_encoder(item: Encoder) -> Encoder:
    return lambda value: {key: item(element) for key, element in value.items()}


def _is_zero(value: Any) -> bool:
    return not value


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """`X | None` -> (X, True); anything else as it is."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        rest = tuple(arg for arg in typing.get_args(annotation) if arg is not type(None))
        if len(rest) < len(typing.get_args(annotation)):
            return (rest[0] if len(rest) == 1 else typing.Union[rest]), True  # noqa: UP007 - built at run time
    return annotation, False


def _kind_of(value: object) -> str:
    """What a JSON value is, in words, never the value itself: it may be secret."""
    if value is None:
        return "null"
    for kind, words in ((bool, "a boolean"), (int, "a number"), (float, "a number"), (str, "a string")):
        if isinstance(value, kind):
            return words
    return "a list" if isinstance(value, list | tuple) else "an object"
