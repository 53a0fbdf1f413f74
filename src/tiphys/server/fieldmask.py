"""`fields=` of lists and streams: which parts of an answer are wanted, or with a leading `-` unwanted.

Source: api-ui 2.3 "Field filter". Differs: any path is honoured, not a fixed set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Tree = dict[str, "Tree"]  # an empty tree stands for everything below


class FieldMask:
    """A parsed `fields` parameter. Paths go through lists: `items.metadata.name` means the name of every item."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.excludes = text.startswith("-")
        self._tree: Tree = {}
        for path in text.removeprefix("-").split(","):
            if path.strip():
                self._add(path.strip().split("."))

    def below(self, *names: str) -> Mapping[str, Any] | None:
        """The tree under a path: None when the path is not mentioned, empty when it is itself what is meant."""
        tree = self._tree
        for name in names:
            if name not in tree:
                return None
            tree = tree[name]
            if not tree:
                break
        return tree

    def apply(self, value: Any, *names: str) -> Any:
        """`value`, found under a path, as the mask leaves it; None when nothing is left."""
        tree = self.below(*names)
        if tree is None:
            return value if self.excludes else None
        if not tree:
            return None if self.excludes else value
        return _without(value, tree) if self.excludes else _only(value, tree)

    def _add(self, path: list[str]) -> None:
        tree = self._tree
        for index, name in enumerate(path):
            last = index == len(path) - 1
            if name in tree:
                if not tree[name]:
                    return  # an ancestor is already wanted whole
                if last:
                    tree[name].clear()
                    return
            else:
                tree[name] = {}
            tree = tree[name]


def _only(value: Any, tree: Mapping[str, Any]) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_only(item, tree) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {name: _only(value[name], below) for name, below in tree.items() if name in value}


def _without(value: Any, tree: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_without(item, tree) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _without(item, tree[name]) if name in tree else item
        for name, item in value.items()
        if name not in tree or tree[name]
    }
