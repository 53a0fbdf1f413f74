"""JSON patches (RFC 6902) of the simple kind: `add`, `replace` and `remove` of what is there.

Source: kustomize api/filters/patchjson6902; evanphx/json-patch v4.
"""

from __future__ import annotations

import re
from typing import Any, Final

from tiphys.engine.render.kustomize.direct.texts import UnclearError, copy

_INDEX = re.compile(r"0|[1-9][0-9]{0,4}")
# What makes an object another one.
_IDENTITY: Final = (["apiVersion"], ["kind"], ["metadata"], ["metadata", "name"], ["metadata", "namespace"])


def patch_json(obj: dict[str, Any], operations: list[dict[str, Any]]) -> None:
    """Change `obj`. Raises UnclearError for what fails or is not surely understood."""
    if not _is_plain(obj):
        raise UnclearError("number or null")  # Kustomize writes them anew here
    for operation in operations:
        op, path = operation.get("op"), operation.get("path")
        wanted = {"op", "path"} if op == "remove" else {"op", "path", "value"}
        if op not in ("add", "replace", "remove") or operation.keys() != wanted or not isinstance(path, str):
            raise UnclearError("operation")
        parts = _parts(path)
        if parts in _IDENTITY:
            raise UnclearError("identity")
        value = operation.get("value")
        if op != "remove" and not _is_plain(value):
            raise UnclearError("value")
        _apply(_container(obj, parts[:-1]), parts[-1], op, copy(value))


def paths_of(operations: list[dict[str, Any]]) -> list[str]:
    """All names on the paths that operations change."""
    return [part for operation in operations for part in _parts(str(operation.get("path")))]


def _parts(path: str) -> list[str]:
    if not path.startswith("/") or path == "/" or re.search("~(?![01])", path):
        raise UnclearError("path")
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]


def _container(value: Any, parts: list[str]) -> Any:
    for part in parts:
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
            value = value[int(part)]
        else:
            raise UnclearError("path")
    return value


def _apply(container: Any, last: str, op: str, value: Any) -> None:
    if isinstance(container, dict):
        if op != "add" and last not in container:
            raise UnclearError("path")
        if op == "remove":
            del container[last]
        else:
            container[last] = value
        return
    if not isinstance(container, list):
        raise UnclearError("path")
    if op == "add" and last == "-":
        container.append(value)
        return
    if not _INDEX.fullmatch(last) or int(last) >= len(container) + (op == "add"):
        raise UnclearError("path")
    if op == "add":
        container.insert(int(last), value)
    elif op == "replace":
        container[int(last)] = value
    else:
        del container[int(last)]


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is not None and (value.__class__ is not int or abs(value) < 1_000_000)
