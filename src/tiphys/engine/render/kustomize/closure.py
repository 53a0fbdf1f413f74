"""The files of a repository that one Kustomize build reads, found without running it.

Kustomize is then given these files and nothing else, so what is not found here is not there for it either. Everything
is looked up by path in a commit's tree; nothing outside the repository can be named.

Source: dependencies 2 "File closure".
"""

from __future__ import annotations

import fnmatch
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.yamljson import YamlError, YamlLimits, load_all
from tiphys.engine.render.kustomize.fields import (
    HELM_FIELDS,
    KUSTOMIZATION_NAMES,
    Kind,
    Reference,
    canonical,
    is_remote,
    plugin_references,
    references,
)
from tiphys.engine.states import FileKind, SourceTree, StageError

MAX_KUSTOMIZATION_BYTES = 1024 * 1024
MAX_FILES = 10_000
MAX_TOTAL_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64
# How often directories are built in all: one that is named by several is built for each of them.
MAX_BUILDS = 10_000
_LIMITS = YamlLimits(depth=100, documents=1000, size_bytes=MAX_KUSTOMIZATION_BYTES, aliased_values=100_000)
_PLUGIN_FIELDS = ("generators", "transformers", "validators")

Edit = Callable[[dict[str, Any], str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Found:
    """What is at a path: `oid` is empty for a directory. `linked`: a link is in the way."""

    directory: bool
    oid: str = ""
    size_bytes: int = 0
    linked: bool = False


class Closure:
    """Collects what the kustomization in one directory, and all it leads to, reads.

    `reads` are path -> object id, or None where nothing is; `files` path -> object id of what Kustomize must see.
    Raises StageError(reason="ComparisonError") that names file and entry.

    Differs: a link is followed as if its target stood in its place, so Kustomize does not see that a linked file lies
    outside its root; a linked directory whose kustomization climbs out of it is refused.
    """

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self.reads: dict[str, str | None] = {}
        self.files: dict[str, str] = {}
        self._size = 0
        self._found: dict[str, Found | None] = {}
        self._listings: dict[str, list[str]] = {}
        self._open: list[str] = []
        self._builds: dict[str, int] = {}

    def add_root(self, directory: str, edit: Edit | None = None) -> tuple[str, dict[str, Any] | None]:
        """Walk from `directory`; path of its kustomization, and with `edit` what that made of its content."""
        name, data = self._open_kustomization(directory, directory)
        path = posixpath.join(directory, name)
        documents = self._parse(path, data)
        edited = None
        if edit is not None:
            if len(documents) != 1:
                raise failed(f"{path}: {len(documents)} documents where one kustomization is expected")
            edited = edit(documents[0], directory)
        self._walk(directory, path, edited or (documents[0] if documents else {}))
        return path, edited

    def find(self, path: str) -> Found | None:
        """What is at `path`, links followed; None when nothing is. Raises StageError for links out of the repository."""
        if path not in self._found:
            self._found[path] = self._find(path)
        return self._found[path]

    def _find(self, path: str) -> Found | None:
        if not path:
            return Found(directory=True)
        parent = self.find(posixpath.dirname(path))
        if parent is None or not parent.directory:
            return None
        entry = self._tree.entry(path)
        if entry is None:
            return None
        linked = parent.linked or self._tree.linked(path)
        if entry.kind is FileKind.DIRECTORY:
            return Found(directory=True, linked=linked)
        return Found(directory=False, oid=entry.oid, size_bytes=entry.size_bytes, linked=linked)

    def glob(self, directory: str, pattern: str) -> list[str]:
        """Entries below `directory`, written relative to it, that a pattern of Go's filepath.Glob stands for."""
        if is_remote(pattern):
            return [pattern]  # refused when it is followed
        if not any(char in pattern for char in "*?["):
            return [pattern] if self._exists(directory, pattern) else []
        found = [""]
        for part in pattern.split("/"):
            if not any(char in part for char in "*?["):
                found = [posixpath.join(base, part) for base in found]
                continue
            names = ((base, self._listing_at(directory, base)) for base in found)
            found = [posixpath.join(base, name) for base, listing in names for name in fnmatch.filter(listing, part)]
        return [entry for entry in found if self._exists(directory, entry)]

    def _listing_at(self, directory: str, entry: str) -> list[str]:
        path = self._path(directory, "kustomize.components", entry or ".")
        found = self.find(path)
        if found is None or not found.directory:
            return []
        self.reads[path] = self._tree.tree_id(path)
        return self._listing(path)

    def _exists(self, directory: str, entry: str) -> bool:
        path = self._path(directory, "kustomize.components", entry)
        if self.find(path) is not None:
            return True
        self.reads[path] = None
        return False

    def _listing(self, directory: str) -> list[str]:
        """Names in a directory, sorted; none when one of its links cannot be followed."""
        if directory not in self._listings:
            try:
                entries = self._tree.entries(directory, recurse=False)
            except StageError:
                entries = ()
            self._listings[directory] = sorted(posixpath.basename(entry.path) for entry in entries)
        return self._listings[directory]

    # ---- kustomizations ----

    def _add_directory(self, directory: str, where: str) -> int:
        """Walk the kustomization in `directory`; how many directories it takes to build it."""
        if directory in self._open:
            circle = " -> ".join([*self._open[self._open.index(directory) :], directory])
            raise failed(f"{where}: cycle detected: {circle}")
        if directory in self._builds:
            return self._builds[directory]
        name, data = self._open_kustomization(directory, where)
        path = posixpath.join(directory, name)
        documents = self._parse(path, data)
        return self._walk(directory, path, documents[0] if documents else {})

    def _open_kustomization(self, directory: str, where: str) -> tuple[str, bytes]:
        present = []
        for name in KUSTOMIZATION_NAMES:
            path = posixpath.join(directory, name)
            found = self.find(path)
            self.reads[path] = found.oid if found else None
            if found is not None and not found.directory:
                present.append((name, found))
        at = directory or "."
        if not present:
            raise failed(
                f"{where or '.'}: unable to find one of 'kustomization.yaml', 'kustomization.yml' or 'Kustomization' "
                f"in directory '{at}'"
            )
        if len(present) > 1:
            raise failed(
                f"{where or '.'}: Found multiple kustomization files under '{at}': {', '.join(n for n, _ in present)}"
            )
        name, found = present[0]
        path = posixpath.join(directory, name)
        self._add_file(path, found)
        return name, self._content(path, found)

    def _parse(self, path: str, data: bytes) -> list[dict[str, Any]]:
        try:
            documents = load_all(data, limits=_LIMITS)
        except YamlError as error:
            where = f"line {error.line}: " if error.line else ""
            raise failed(f"{path}: invalid Kustomization: {where}{error.problem}") from None
        if documents and not isinstance(documents[0], dict):
            raise failed(f"{path}: invalid Kustomization: it is not an object")
        return [canonical(document) for document in documents if isinstance(document, dict)]

    def _walk(self, directory: str, path: str, kustomization: dict[str, Any]) -> int:
        if len(self._open) >= MAX_DEPTH:
            raise failed(f"{path}: more than {MAX_DEPTH} kustomizations lead to this one (limit of depth)")
        helm = next((field for field in HELM_FIELDS if kustomization.get(field)), "")
        if helm:
            raise failed(f"{path}: {helm}: must specify --enable-helm, which is not supported yet")
        self._open.append(directory)
        builds = 1
        for reference in references(kustomization):
            builds += self._follow(directory, path, reference)
            if builds > MAX_BUILDS:
                raise failed(f"{path}: more than {MAX_BUILDS} directories to build (limit of builds)")
        self._open.pop()
        self._builds[directory] = builds
        return builds

    def _follow(self, directory: str, where: str, reference: Reference) -> int:
        """Add what an entry leads to; how many directories it takes to build it."""
        field, entry, kind = reference
        at = f"{where}: {field}"
        if kind in (Kind.PLUGIN, Kind.FILE_OR_INLINE):
            inline = self._inline(entry)
            if inline is not None:
                if kind is Kind.PLUGIN:
                    self._add_plugins(directory, where, field, inline)
                return 0
        remote = is_remote(entry)
        if remote and (kind is not Kind.FILE or "://" in entry):
            path = None if "://" in entry else self._path(directory, at, entry)
            found = self.find(path) if path else None
            if found is None:  # a folder of such a name is Kustomize's to judge
                if kind is Kind.OPTIONAL_FILE:
                    return 0
                raise failed(
                    f"{at}: '{entry}' is on another host; remote files and bases are not supported yet, "
                    "copy it into the repository"
                )
        if kind is Kind.OPTIONAL_FILE:
            self._add_optional(directory, entry)
            return 0
        path = self._path(directory, at, entry)
        found = self.find(path)
        if found is None:
            self.reads[path] = None
            raise failed(f"{at}: '{entry}': no such file or directory: {path}")
        if not found.directory:
            if kind is Kind.DIRECTORY:
                raise failed(f"{at}: '{entry}' is a file, not a directory with a kustomization")
            self._add_file(path, found)
            if kind is Kind.PLUGIN:
                self._add_plugins(directory, where, field, self._objects(path, found))
            return 0
        if kind in (Kind.FILE, Kind.FILE_OR_INLINE):
            raise failed(f"{at}: '{entry}' is a directory, not a file")
        builds = self._add_directory(path, at)
        if kind is Kind.PLUGIN:
            for resource in self._resources_below(path):
                self._add_plugins(directory, where, field, resource)
        return builds

    def _path(self, directory: str, at: str, entry: str) -> str:
        """Path of an entry below the root of the repository."""
        if "\0" in entry or len(entry) > 4096:
            raise failed(f"{at}: an entry that no path can be")
        if entry.startswith("/"):
            raise failed(f"{at}: '{entry}' cannot be absolute")
        path = posixpath.normpath(posixpath.join(directory, entry))
        if path == ".." or path.startswith("../"):
            raise failed(f"{at}: '{entry}' leads out of the repository")
        path = "" if path == "." else path
        link = self._link_above(directory)
        if link and path != link and not path.startswith(f"{link}/"):
            raise failed(
                f"{at}: '{entry}' leads out of '{link}', which is a link to a directory; name the directory itself"
            )
        return path

    def _link_above(self, directory: str) -> str:
        """The nearest directory on the way to this one, or itself, that is a link; empty when none is."""
        here = directory
        while here:
            found = self.find(here)
            if found is None or not found.linked:
                return ""
            parent = self.find(posixpath.dirname(here))
            if parent is None or not parent.linked:
                return here
            here = posixpath.dirname(here)
        return ""

    # ---- generators and transformers ----

    def _inline(self, entry: str) -> list[dict[str, Any]] | None:
        """The objects of an entry that holds YAML instead of naming a file."""
        if "\n" not in entry and not entry.lstrip().startswith(("{", "[")) and ": " not in entry:
            return None
        try:
            documents = load_all(entry, limits=_LIMITS)
        except YamlError:
            return []
        return [document for document in documents if isinstance(document, dict)]

    def _objects(self, path: str, found: Found) -> list[dict[str, Any]]:
        try:
            documents = load_all(self._content(path, found), limits=_LIMITS)
        except YamlError:
            return []  # Kustomize says what is wrong with it
        return [document for document in documents if isinstance(document, dict)]

    def _add_plugins(self, directory: str, where: str, field: str, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            for reference in plugin_references(field, document):
                self._follow(directory, where, reference)

    def _resources_below(self, directory: str) -> Iterator[list[dict[str, Any]]]:
        """Objects of all files that a walked directory of plugin configurations names as its resources."""
        pending, seen = [directory], {directory}
        while pending:
            here = pending.pop()
            for name in KUSTOMIZATION_NAMES:
                path = posixpath.join(here, name)
                found = self.find(path) if path in self.files else None
                if found is None:
                    continue
                for document in self._parse(path, self._content(path, found))[:1]:
                    for reference in references(document):
                        if reference.kind is not Kind.EITHER:
                            continue
                        target = self._path(here, path, reference.entry)
                        at_target = self.find(target)
                        if at_target is None or target in seen:
                            continue
                        seen.add(target)
                        if at_target.directory:
                            pending.append(target)
                        else:
                            yield self._objects(target, at_target)

    def _add_optional(self, directory: str, entry: str) -> None:
        path = posixpath.normpath(posixpath.join(directory, entry))
        if entry.startswith("/") or path.startswith("..") or "\0" in entry or "\n" in entry:
            return
        found = self.find(path)
        if found is None or found.directory:
            self.reads[path] = None
        else:
            self._add_file(path, found)

    # ---- files ----

    def _add_file(self, path: str, found: Found) -> None:
        self.reads[path] = found.oid
        if path in self.files:
            return
        self.files[path] = found.oid
        self._size += found.size_bytes
        if len(self.files) > MAX_FILES:
            raise failed(f"{path}: the kustomization reads more than {MAX_FILES} files (limit of files)")
        if self._size > MAX_TOTAL_BYTES:
            raise failed(f"{path}: the kustomization reads more than {MAX_TOTAL_BYTES} bytes (limit of size)")

    def _content(self, path: str, found: Found) -> bytes:
        if found.size_bytes > MAX_KUSTOMIZATION_BYTES:
            raise failed(
                f"{path}: {found.size_bytes} bytes are more than {MAX_KUSTOMIZATION_BYTES} (limit of a kustomization)"
            )
        return self._tree.read(found.oid)


def failed(message: str) -> StageError:
    """The StageError of a build that cannot be planned."""
    return StageError("render", "ComparisonError", message)
