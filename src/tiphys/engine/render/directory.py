"""Plain YAML/JSON, include and exclude globs: which files a directory source reads, and the key they make.

The closure of a directory is known before anything runs: it is the files that match. So the key needs no file content,
and two commits are compared without reading any.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiphys import __version__
from tiphys.engine.render.globs import Glob
from tiphys.engine.render.protocol import JSON_FORM, YAML_FORM
from tiphys.engine.render.spec import DIRECTORY, RenderSource
from tiphys.engine.states import FileEntry, FileKind, StageError

# `reposerver.max.combined.directory.manifests.size`, 10M as a quantity.
DEFAULT_MAX_BYTES = 10_000_000
# Part of every key. Raise it when the same file gives other objects than before.
PARSER_VERSION = 1

_EXTENSIONS = re.compile(r"^.*\.(yaml|yml|json|jsonnet)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file that is read. `path` is from the repository root."""

    path: str
    oid: str
    form: str
    size_bytes: int


def select_files(
    entries: Iterable[FileEntry], source: RenderSource, *, max_bytes: int = DEFAULT_MAX_BYTES
) -> tuple[ManifestFile, ...]:
    """The files that a directory source reads, in the order in which their objects come.

    Raises StageError when together they are larger than `max_bytes`, and for .jsonnet files.

    Source: compat 1.3 "Extensions", "include / exclude", "Size cap".
    """
    include = Glob(source.include) if source.include else None
    exclude = Glob(source.exclude) if source.exclude else None
    start = len(source.path) + 1 if source.path else 0
    found: list[ManifestFile] = []
    for entry in entries:
        if entry.kind is FileKind.DIRECTORY or not entry.oid:  # no id: a link to a directory or to nothing
            continue
        relative = entry.path[start:]
        if not source.all_extensions and not _EXTENSIONS.match(relative):
            continue
        if exclude is not None and exclude.matches(relative):
            continue
        if include is not None and not include.matches(relative):
            continue
        if relative.endswith(".jsonnet"):
            raise _failed(f"{entry.path}: Jsonnet is not supported yet; commit its output, or exclude the file")
        form = JSON_FORM if relative.endswith(".json") else YAML_FORM
        found.append(ManifestFile(entry.path, entry.oid, form, entry.size_bytes))
    total = sum(file.size_bytes for file in found)
    if total > max_bytes:
        largest = max(found, key=lambda file: file.size_bytes)
        raise _failed(
            f"exceeded max combined manifest file size: {total} bytes in {len(found)} files below {source.path or '.'} are "
            f"more than {max_bytes} (reposerver.max.combined.directory.manifests.size); "
            f"the largest is {largest.path} with {largest.size_bytes} bytes"
        )
    return tuple(found)


def directory_key(files: Sequence[ManifestFile], source: RenderSource) -> str:
    """Key of the render: hash of the tool's version and of path (below the source's path) and id of every file read."""
    start = len(source.path) + 1 if source.path else 0
    rows = [f"{DIRECTORY}\0{__version__}\0{PARSER_VERSION}"]
    rows += [f"{file.path[start:]}\0{file.oid}" for file in files]
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


def _failed(message: str) -> StageError:
    return StageError("render", "ComparisonError", message)
