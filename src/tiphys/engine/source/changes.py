"""What differs between two commits of one repository, by ids alone: folders with equal ids are not looked into."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tiphys.engine.source.tree import MODE_LINK, MODE_SUBMODULE, MODE_TREE, GitTree, Node, clean_path
from tiphys.engine.states import SourceTree, StageError

MAX_CHANGES = 5_000  # more than that is not looked through: everybody may be concerned


class Changes(NamedTuple):
    """`paths`: files and folders that are other ones now, the root is the empty path. At `below` and below it anything may
    be other: something came there, went, or turned into something else."""

    paths: frozenset[str]
    below: tuple[str, ...]

    def concern(self, path: str) -> bool:
        """Whether what is at a path may be another thing now."""
        return path in self.paths or any(path == top or path.startswith(f"{top}/") for top in self.below)


def changes(before: SourceTree, after: SourceTree) -> Changes | None:
    """What differs; None when that cannot be told, or is too much. It may run on the event loop: it reads folders only."""
    if not isinstance(before, GitTree) or not isinstance(after, GitTree):
        return None
    paths: set[str] = set()
    below: list[str] = []
    waiting = [("", before.root_id, after.root_id)]
    try:
        while waiting:
            path, old_id, new_id = waiting.pop()
            if old_id == new_id:
                continue
            paths.add(path)
            old, new = before.listing(old_id), after.listing(new_id)
            for name in {name for name, _node in old.items() ^ new.items()}:
                here = f"{path}/{name}" if path else name
                left, right = old.get(name), new.get(name)
                if left is not None and right is not None and left.mode == right.mode == MODE_TREE:
                    waiting.append((here, left.oid, right.oid))
                elif left is not None and right is not None and _is_file(left) and _is_file(right):
                    paths.add(here)
                else:
                    below.append(here)
            if len(paths) + len(below) > MAX_CHANGES:
                return None
    except StageError:
        return None
    return Changes(frozenset(paths), tuple(below))


def plain_paths(tree: SourceTree, paths: Iterable[str]) -> frozenset[str] | None:
    """The paths in their shortest form; None when a link, a submodule or a bad path is among them: what is found there
    does not depend on that path alone."""
    if not isinstance(tree, GitTree):
        return None
    found: set[str] = set()
    try:
        for path in paths:
            clean = clean_path(path)
            node: Node | None = Node(MODE_TREE, tree.root_id)
            for part in clean.split("/") if clean else ():
                if node is None or node.mode != MODE_TREE:
                    break
                node = tree.listing(node.oid).get(part)
                if node is not None and node.mode in (MODE_LINK, MODE_SUBMODULE):
                    return None
            found.add(clean)
    except StageError:
        return None
    return frozenset(found)


def _is_file(node: Node) -> bool:
    return node.mode not in (MODE_TREE, MODE_LINK, MODE_SUBMODULE)
