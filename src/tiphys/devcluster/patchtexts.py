"""What messages quote of a patch that cannot be read: the object it made, or the patch, as Go would print it.

The JSON is that of gopkg.in/evanphx/json-patch.v4, which keeps the text of what it did not have to open: an object that a
patch reached into has its members in alphabetic order, all others are as Go wrote the live object.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from tiphys.apimachinery import goshapes

Object = dict[str, Any]

_TYPE_ERROR = re.compile(r"json: cannot unmarshal (\w+)( [-+.\w]+)? into Go (?:struct field \S+|value) of type (\S+)")
_HIDDEN = "***"


def go_value(value: Any) -> str:
    """A value as Go's %v prints it: `map[a:1 b:[x y]]`."""
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{go_value(value[key])}" for key in sorted(value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join(go_value(one) for one in value) + "]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)


def merged_text(type_name: str | None, live: Object, patch: Object, made: Object) -> str:
    """The object a merge patch made of `live`. `type_name`: its Go type, None for a custom kind."""
    if type_name is None:
        return _text(_sorted(made))
    return _text(_masked(type_name, _merged(type_name, live, patch, made)))


def operated_text(type_name: str | None, operations: Sequence[Mapping[str, Any]], made: Object) -> str:
    """The object a JSON patch made."""
    if type_name is None:
        return _text(_sorted(made))
    opened: set[tuple[str, ...]] = {()}
    for one in operations:
        for pointer in (one.get("path"), one.get("from")):
            parts = [part.replace("~1", "/").replace("~0", "~") for part in str(pointer or "").split("/")[1:-1]]
            opened.update(tuple(parts[:length]) for length in range(1, len(parts) + 1))
    return _text(_masked(type_name, _operated(type_name, made, opened, ())))


def converter_problem(problem: str) -> str:
    """What the reader of unstructured objects says where encoding/json says `problem`.

    Source: apimachinery pkg/runtime/converter.go, as answered by kube-apiserver 1.36.
    """
    found = _TYPE_ERROR.fullmatch(problem)
    if found is None:
        return f"error decoding from json: {problem}" if "base64" in problem else problem
    given, shown, wanted = found.groups()
    is_float = "." in (shown or "")
    kind = {"object": "map", "array": "slice", "number": "float64" if is_float else "int64"}.get(given, given)
    if wanted.startswith("map["):
        return f"cannot restore map from {kind}"
    if wanted.startswith("[]"):
        return f"cannot restore slice from {kind}"
    if wanted[wanted.rfind(".") + 1 :][:1].isupper() and kind != "map":
        return f"cannot restore struct from: {kind}"
    if (kind == "int64" and wanted == "string") or (kind == "float64" and wanted.startswith("int")):
        return f"cannot convert {kind} to {wanted}"
    return f"unrecognized type: {wanted}"


def _text(value: Any) -> str:
    text = orjson.dumps(value).decode()
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _merged(type_name: str | None, live: Any, patch: Any, made: Any) -> Any:
    if not isinstance(made, dict) or not isinstance(patch, Mapping) or not isinstance(live, Mapping):
        return _sorted(made)
    found = {}
    for key in sorted(made):
        below = _member(type_name, key)
        if key not in patch:
            found[key] = _as_written(below, made[key])
        else:
            found[key] = _merged(below, live.get(key), patch[key], made[key])
    return found


def _operated(type_name: str | None, made: Any, opened: set[tuple[str, ...]], path: tuple[str, ...]) -> Any:
    if path not in opened or not isinstance(made, dict | list):
        return _as_written(type_name, made)
    if isinstance(made, list):
        return [_operated(type_name, one, opened, (*path, str(index))) for index, one in enumerate(made)]
    return {key: _operated(_member(type_name, key), made[key], opened, (*path, key)) for key in sorted(made)}


def _as_written(type_name: str | None, value: Any) -> Any:
    """The value with members in the order of their Go type; those of a map in alphabetic order."""
    if isinstance(value, list):
        return [_as_written(type_name, one) for one in value]
    if not isinstance(value, dict):
        return value
    fields = goshapes.builtin().fields(type_name) if type_name else None
    if fields is None:
        return {key: _as_written(type_name, value[key]) for key in sorted(value)}
    known = {key: _as_written(_member(type_name, key), value[key]) for key in fields if key in value}
    return known | {key: value[key] for key in value if key not in known}


def _member(type_name: str | None, key: str) -> str | None:
    fields = goshapes.builtin().fields(type_name) if type_name else None
    return fields[key][0] if fields is not None and key in fields else None


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(one) for one in value] if isinstance(value, list) else value


def _masked(type_name: str, made: Any) -> Any:
    """The object, a Secret without its values."""
    if type_name != "api.core.v1.Secret" or not isinstance(made, dict):
        return made
    hidden = {
        key: dict.fromkeys(made[key], _HIDDEN) if isinstance(made.get(key), dict) else _HIDDEN
        for key in ("data", "stringData")
        if key in made
    }
    return {**made, **hidden}
