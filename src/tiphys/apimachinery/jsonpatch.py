"""JSON patches (RFC 6902) as the API server applies them.

The server's library is a little laxer than the RFC: `replace` of an absent member adds it, `copy` of an absent member
gives null, a null and an absent member test as equal, and negative indices count from the end. All of that is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NoReturn

import orjson

from tiphys.apimachinery.apierrors import Invalid

MAX_OPERATIONS: Final = 10_000
"""Operations in one patch; the API server answers 413 for more."""

MAX_COPIED_BYTES: Final = 3 * 1024 * 1024
"""JSON that all `copy` operations of a patch may add: each can double a document, so that thirty would fill any memory."""


class JsonPatchError(ValueError):
    """A patch that cannot be applied to this document. A server answers `refusal()`."""


class JsonPatchTestFailedError(JsonPatchError):
    """A `test` operation that found something else."""


def refusal() -> Invalid:
    """The 422 an API server answers when a JSON patch does not apply; it keeps the reason to itself.

    Source: apiserver pkg/endpoints/handlers/patch.go applyJSPatch.
    """
    return Invalid("the server rejected our request due to an error in our request", details={})


def apply(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """The document after all operations, in order. Nothing of the input is changed. Raises JsonPatchError.

    Source: RFC 6902; gopkg.in/evanphx/json-patch.v4 patch.go.
    """
    result = _copy(document)
    copied = 0
    for operation in operations:
        if not isinstance(operation, Mapping):
            raise JsonPatchError("an operation is not an object")
        kind = operation.get("op")
        step = _STEPS.get(kind) if isinstance(kind, str) else None
        if step is None:
            raise JsonPatchError(f"Unexpected kind: {kind if isinstance(kind, str) else 'unknown'}")
        if kind == "copy":
            copied += _size_to_copy(result, operation)
            if copied > MAX_COPIED_BYTES:
                raise JsonPatchError(
                    f"Unable to complete the copy, the accumulated size increase of copy is {copied}, "
                    f"exceeding the limit {MAX_COPIED_BYTES}"
                )
        result = step(result, operation)
    return result


def _add(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation, "path", "add operation failed to decode path: missing value")
    target, key = _find(document, path)
    if target is None:
        _fail(f'add operation does not apply: doc is missing path: "{path}": missing value')
    _insert(target, key, _copy(operation.get("value")), f"error in add for path: '{path}'")
    return document


def _remove(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation, "path", "remove operation failed to decode path: missing value")
    target, key = _find(document, path)
    if target is None:
        _fail(f'remove operation does not apply: doc is missing path: "{path}": missing value')
    _delete(target, key, f"error in remove for path: '{path}'")
    return document


def _replace(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation, "path", f"replace operation failed to decode path: {_no_field('path')}")
    value = _copy(operation.get("value"))
    if path == "":
        if not isinstance(value, dict | list):
            _fail("replace operation value must be object or array")
        return value
    target, key = _find(document, path)
    if target is None:
        _fail(f"replace operation does not apply: doc is missing path: {path}: missing value")
    if isinstance(target, list):
        try:
            target[_index(target, key)] = value
        except JsonPatchError:
            _fail(f"replace operation does not apply: doc is missing key: {path}: missing value")
    else:
        target[key] = value
    return document


def _move(document: Any, operation: Mapping[str, Any]) -> Any:
    source = _pointer(operation, "from", f"move operation failed to decode from: {_no_field('from')}")
    target, key = _find(document, source)
    if target is None:
        _fail(f"move operation does not apply: doc is missing from path: {source}: missing value")
    value = _get(target, key, f"error in move for path: '{key}'")
    _delete(target, key, f"error in move for path: '{key}'")
    path = _pointer(operation, "path", f"move operation failed to decode path: {_no_field('path')}")
    target, key = _find(document, path)
    if target is None:
        _fail(f"move operation does not apply: doc is missing destination path: {path}: missing value")
    _insert(target, key, value, f"error in move for path: '{path}'")
    return document


def _copy_value(document: Any, operation: Mapping[str, Any]) -> Any:
    source = _pointer(operation, "from", f"copy operation failed to decode from: {_no_field('from')}")
    target, key = _find(document, source)
    if target is None:
        _fail(f"copy operation does not apply: doc is missing from path: {source}: missing value")
    value = _copy(_get(target, key, f"error in copy for from: '{source}'"))
    path = _pointer(operation, "path", "copy operation failed to decode path: missing value")
    target, key = _find(document, path)
    if target is None:
        _fail(f"copy operation does not apply: doc is missing destination path: {path}: missing value")
    _insert(target, key, value, "error while adding value during copy")
    return document


def _size_to_copy(document: Any, operation: Mapping[str, Any]) -> int:
    """Bytes of JSON a `copy` adds; 0 when it will be refused for another reason."""
    source = operation.get("from")
    target, key = _find(document, source) if isinstance(source, str) else (None, "")
    if target is None:
        return 0
    try:
        return len(orjson.dumps(_get(target, key, "")))
    except JsonPatchError:
        return 0
    except TypeError:
        return MAX_COPIED_BYTES + 1  # nested deeper than anything the API server would store


def _test(document: Any, operation: Mapping[str, Any]) -> Any:
    path = _pointer(operation, "path", f"test operation failed to decode path: {_no_field('path')}")
    if path == "":
        found = document
    else:
        target, key = _find(document, path)
        if target is None:
            _fail(f"test operation does not apply: is missing path: {path}: missing value")
        found = _get(target, key, f"error in test for path: '{path}'")
    if not _equal(found, operation.get("value")):
        raise JsonPatchTestFailedError(f"testing value {path} failed: test failed")
    return document


_STEPS: Final = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy_value,
    "test": _test,
}


def _fail(message: str) -> NoReturn:
    raise JsonPatchError(message)


def _no_field(name: str) -> str:
    return f"operation{',' if name == 'from' else ''} missing {name} field: missing value"


def _pointer(operation: Mapping[str, Any], name: str, missing: str) -> str:
    value = operation.get(name)
    return value if isinstance(value, str) else _fail(missing)


def _find(document: Any, pointer: str) -> tuple[Any, str]:
    """The container a pointer ends in, None when there is none, and the last key."""
    parts = pointer.split("/")
    if len(parts) < 2:
        return None, ""
    target = document
    for part in parts[1:-1]:
        key = _decoded(part)
        if isinstance(target, list):
            try:
                target = target[_index(target, key)]
            except JsonPatchError:
                return None, ""
        else:
            target = target.get(key)
        if not isinstance(target, dict | list):
            return None, ""
    return target, _decoded(parts[-1])


def _decoded(part: str) -> str:
    # In one pass from the left, as Go's replacer does: `~01` is `~1`.
    return re.sub("~[01]", lambda match: "/" if match.group() == "~1" else "~", part)


_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def _index(items: list[Any], key: str, *, growing: int = 0) -> int:
    """Position `key` says in `items`; `growing` is 1 where the position after the last one is good too."""
    if not _INTEGER.fullmatch(key):
        raise JsonPatchError(f'strconv.Atoi: parsing "{key}": invalid syntax')
    index = int(key)
    size = len(items) + growing
    if index >= size or index < -size:
        raise JsonPatchError(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index


def _get(target: Any, key: str, context: str) -> Any:
    if isinstance(target, dict):
        return target.get(key)
    try:
        return target[_index(target, key)]
    except JsonPatchError as error:
        raise JsonPatchError(f"{context}: {error}") from None


def _insert(target: Any, key: str, value: Any, context: str) -> None:
    if isinstance(target, dict):
        target[key] = value
    elif key == "-":
        target.append(value)
    else:
        if not _INTEGER.fullmatch(key):
            _fail(
                f"{context}: value was not a proper array index: '{key}': "
                f'strconv.Atoi: parsing "{key}": invalid syntax'
            )
        try:
            target.insert(_index(target, key, growing=1), value)
        except JsonPatchError as error:
            raise JsonPatchError(f"{context}: {error}") from None


def _delete(target: Any, key: str, context: str) -> None:
    if isinstance(target, dict):
        if key not in target:
            _fail(f"{context}: Unable to remove nonexistent key: {key}: missing value")
        del target[key]
        return
    try:
        del target[_index(target, key)]
    except JsonPatchError as error:
        raise JsonPatchError(f"{context}: {error}") from None


def _equal(left: Any, right: Any) -> bool:
    """Equality of JSON values: a boolean is no number, an integer no fraction."""
    if isinstance(left, dict):
        return (
            isinstance(right, dict)
            and left.keys() == right.keys()
            and all(_equal(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list):
        return (
            isinstance(right, list)
            and len(left) == len(right)
            and all(_equal(a, b) for a, b in zip(left, right, strict=True))
        )
    return type(left) is type(right) and bool(left == right)


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy(item) for item in value]
    return value
