"""Deletes paths from JSON values. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tiphys.scripting.protocol import Path


def deleted(obj: Any, paths: Iterable[Path]) -> Any:
    """A copy of `obj` without what is at these paths; `obj` itself when there is nothing. Later positions go first, so
    that the earlier ones still say what they said."""
    tree: dict[Any, Any] = {}
    for path in paths:
        node = tree
        for step in path[:-1]:
            inner = node.setdefault(step, {})
            if inner is None:
                break  # what is above it goes anyway
            node = inner
        else:
            if not path:
                return None
            node[path[-1]] = None
    return _without(obj, tree)


def _without(value: Any, tree: dict[Any, Any]) -> Any:
    if isinstance(value, dict):
        changed: dict[str, Any] | None = None
        for key, below in tree.items():
            if not isinstance(key, str) or key not in value:
                continue
            if below is None:
                changed = dict(value) if changed is None else changed
                del changed[key]
                continue
            inner = _without(value[key], below)
            if inner is not value[key]:
                changed = dict(value) if changed is None else changed
                changed[key] = inner
        return value if changed is None else changed
    if isinstance(value, list):
        items: list[Any] | None = None
        # A negative position counts from the end, as jq's do.
        at = {
            (key + len(value) if key < 0 else key): below
            for key, below in tree.items()
            if isinstance(key, int) and -len(value) <= key < len(value)
        }
        for position in sorted(at, reverse=True):
            items = list(value) if items is None else items
            if at[position] is None:
                del items[position]
            else:
                items[position] = _without(items[position], at[position])
        return value if items is None else items
    return value
