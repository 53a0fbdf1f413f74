"""Commits made in memory's speed: a tree object straight from a table's `files`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pygit2

from tiphys.engine.source.tree import GitTree, TreeObjects
from tiphys.engine.states import SourceTree

LINK = "-> "  # content that begins so is a symbolic link


class Trees:
    """A bare repository that holds nothing but trees."""

    def __init__(self, folder: Path) -> None:
        self._repository: Any = pygit2.init_repository(str(folder), bare=True)
        self._objects = TreeObjects(self._repository)

    def make(self, files: Mapping[str, str | bytes]) -> SourceTree:
        """The tree with these files; text that begins with `-> ` is a link to what follows."""
        nested: dict[str, Any] = {}
        for path, content in files.items():
            *folders, name = path.split("/")
            here = nested
            for folder in folders:
                here = here.setdefault(folder, {})
            here[name] = content
        return GitTree(self._objects, str(self._write(nested)))

    def _write(self, nested: Mapping[str, Any]) -> Any:
        builder = self._repository.TreeBuilder()
        for name, content in nested.items():
            if isinstance(content, dict):
                builder.insert(name, self._write(content), 0o040000)
            elif isinstance(content, str) and content.startswith(LINK):
                builder.insert(name, self._repository.create_blob(content[len(LINK) :].encode()), 0o120000)
            else:
                data = content.encode() if isinstance(content, str) else content
                builder.insert(name, self._repository.create_blob(data), 0o100644)
        return builder.write()


def write_files(root: Path, files: Mapping[str, str | bytes]) -> None:
    """The same files on disk, links as links."""
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith(LINK):
            target.symlink_to(content[len(LINK) :])
        else:
            target.write_bytes(content.encode() if isinstance(content, str) else content)
