"""JSON merge patches (RFC 7386): apply, create, and the three-way patch kubectl uses for custom resources.

A patch is an object; null removes a member, lists are replaced as a whole. Nothing passed in is changed; results share
with the inputs what did not change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def apply(original: Any, patch: Any) -> Any:
    """`original` after the merge patch.

    Source: RFC 7386; gopkg.in/evanphx/json-patch.v4 merge.go, which also takes nulls out of objects inside a list that
    replaces something.
    """
    if not isinstance(patch, Mapping):
        return _without_nulls(patch)
    if not isinstance(original, Mapping):
        return _without_nulls(patch)
    result = dict(original)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
            continue
        current = result.get(key)
        if isinstance(current, Mapping):
            result[key] = apply(current, value) if isinstance(value, Mapping) else value
        else:
            result[key] = _without_nulls(value)
    return result


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_nulls(item) for item in value]
    return value


def create(original: Mapping[str, Any], modified: Mapping[str, Any]) -> dict[str, Any]:
    """The patch that turns `original` into `modified`; empty when they are equal."""
    patch: dict[str, Any] = {}
    for key, value in modified.items():
        if key not in original:
            patch[key] = value
            continue
        before = original[key]
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            inner = create(before, value)
            if inner:
                patch[key] = inner
        elif not equal(before, value):
            patch[key] = value
    for key in original:
        if key not in modified:
            patch[key] = None
    return patch


def create_three_way(
    original: Mapping[str, Any] | None, modified: Mapping[str, Any], current: Mapping[str, Any]
) -> dict[str, Any]:
    """The patch for `current` that adds and changes what `modified` says and removes what only `original` had.

    `original` is the manifest applied last, None before the first time; what others added to `current` stays.

    Source: apimachinery pkg/util/jsonmergepatch CreateThreeWayJSONMergePatch.
    """
    changes = _changes(create(current, modified))
    deletions = _deletions(create(original or {}, modified))
    merged: dict[str, Any] = apply(deletions, changes)
    return merged


def _changes(patch: Mapping[str, Any]) -> dict[str, Any]:
    """The patch without its removals; an object left empty by that is left out."""
    kept: dict[str, Any] = {}
    for key, value in patch.items():
        if isinstance(value, Mapping) and value:
            inner = _changes(value)
            if inner:
                kept[key] = inner
        elif value is not None:
            kept[key] = value
    return kept


def _deletions(patch: Mapping[str, Any]) -> dict[str, Any]:
    """Only the removals of the patch."""
    kept: dict[str, Any] = {}
    for key, value in patch.items():
        if value is None:
            kept[key] = None
        elif isinstance(value, Mapping):
            inner = _deletions(value)
            if inner:
                kept[key] = inner
    return kept


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same; a boolean is no number here, while 1 and 1.0 are one number."""
    if isinstance(left, Mapping):
        return (
            isinstance(right, Mapping)
            and left.keys() == right.keys()
            and all(equal(value, right[key]) for key, value in left.items())
        )
    if isinstance(left, list | tuple):
        return (
            isinstance(right, list | tuple)
            and len(left) == len(right)
            and all(equal(a, b) for a, b in zip(left, right, strict=True))
        )
    return isinstance(left, bool) is isinstance(right, bool) and bool(left == right)
