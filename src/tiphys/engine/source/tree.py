"""Files of one commit, read by object id from a bare repository; nothing is ever checked out.

Paths are resolved here, component by component, so a link can be followed only while it stays inside the tree.
"""

from __future__ import annotations

import posixpath
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tiphys.engine.states import FileEntry, FileKind, StageError

MODE_TREE = 0o040000
MODE_EXECUTABLE = 0o100755
MODE_LINK = 0o120000
MODE_SUBMODULE = 0o160000

MAX_LINKS = 40  # what Linux follows before it says ELOOP
MAX_LINK_BYTES = 4096
MAX_DEPTH = 256
# A tree whose subtrees are shared can name more files than there are atoms; a real repository has fewer than this.
MAX_ENTRIES = 200_000
# Directory entries kept per repository; about 250 bytes each.
KEPT_ENTRIES = 100_000


class Node(NamedTuple):
    """One entry of a directory: git's file mode and the hex id of its content."""

    mode: int
    oid: str


class TreeObjects:
    """Directories and files of one repository by object id; directories read lately are kept.

    libgit2 would parse a directory anew for each path that is looked up in it. Safe in threads.
    """

    def __init__(self, repository: Any) -> None:
        self._repository = repository
        self._odb = repository.odb
        self._listings: OrderedDict[str, dict[str, Node]] = OrderedDict()
        self._kept_entries = 0
        self._lock = threading.Lock()

    def listing(self, oid: str) -> dict[str, Node]:
        """Entries of a directory by name, in lexical order; not to be changed. Raises StageError for impossible names."""
        known = self._listings.get(oid)
        if known is not None:
            return known
        rows = sorted((entry.name, entry.filemode, str(entry.id)) for entry in self._repository[oid])
        for name, _, _ in rows:
            if name in ("", ".", "..") or "/" in name:
                raise _failed(f"directory {oid} of the commit holds an entry {name!r}, a name that no file may have")
        listing = {name: Node(mode, entry_oid) for name, mode, entry_oid in rows}
        with self._lock:
            if oid not in self._listings:
                self._listings[oid] = listing
                self._kept_entries += len(listing)
            while self._kept_entries > KEPT_ENTRIES and len(self._listings) > 1:
                self._kept_entries -= len(self._listings.popitem(last=False)[1])
        return listing

    def size(self, oid: str) -> int:
        """Size of a file in bytes."""
        size: int = self._odb.read_header(oid)[1]
        return size

    def read(self, oid: str) -> bytes:
        """Content of a file."""
        data: bytes = self._odb.read(oid)[1]
        return data


class GitTree:
    """`SourceTree` over one tree object. Safe in threads: it only reads, and libgit2 holds the interpreter's lock.

    A submodule is a directory without content. Links to directories are followed in the path that is asked for, never
    while walking.

    Source: compat 1.3 "Symlinks".
    Differs: only links that are met are judged, not every link of the repository, because one bad link elsewhere must
    not stop applications that never read it.
    """

    def __init__(self, objects: TreeObjects, tree_id: str) -> None:
        self._objects = objects
        self._root_id = tree_id

    def __repr__(self) -> str:
        return f"GitTree({self._root_id})"

    @property
    def root_id(self) -> str:
        """Hex id of the root folder."""
        return self._root_id

    def listing(self, oid: str) -> Mapping[str, Node]:
        """Entries of the folder with this id by name, links not followed. Raises StageError for impossible names."""
        return self._objects.listing(oid)

    def tree_id(self, path: str) -> str | None:
        """Hex id of the directory or file at `path`, None when there is none."""
        node = self._resolve(clean_path(path))
        return node.oid if node else None

    def entry(self, path: str) -> FileEntry | None:
        """The file or directory at `path` with links followed, None when there is none. A submodule is a directory."""
        path = clean_path(path)
        node = self._resolve(path)
        if node is None:
            return None
        if node.mode in (MODE_TREE, MODE_SUBMODULE):
            return FileEntry(path, FileKind.DIRECTORY, node.oid, 0)
        kind = FileKind.EXECUTABLE if node.mode == MODE_EXECUTABLE else FileKind.FILE
        return FileEntry(path, kind, node.oid, self._objects.size(node.oid))

    def linked(self, path: str) -> bool:
        """Is a link followed on the way to `path`, or at it? What is not there is not linked."""
        here = self._root_id
        for part in clean_path(path).split("/"):
            node = self._objects.listing(here).get(part) if part else None
            if node is None:
                return False
            if node.mode != MODE_TREE:
                return node.mode == MODE_LINK
            here = node.oid
        return False

    def entries(self, path: str, *, recurse: bool) -> Sequence[FileEntry]:
        """Files below directory `path`, lexical by path components; with `recurse` off also the directories in it.

        A link to a file is listed as LINK with id and size of the file it leads to; one that leads to a directory or to
        nothing as LINK with an empty id. Raises StageError(reason="ComparisonError") when `path` is missing or no
        directory, when a link leaves the root, and when there are more files than `MAX_ENTRIES`.
        """
        path = clean_path(path)
        node = self._resolve(path)
        if node is None:
            raise _failed(f"{path}: app path does not exist")
        if node.mode == MODE_SUBMODULE:
            return ()
        if node.mode != MODE_TREE:
            raise _failed(f"{path}: app path is not a directory")
        found: list[FileEntry] = []
        for entry in self._walk(node.oid, path, recurse):
            found.append(entry)
            if len(found) > MAX_ENTRIES:
                raise _failed(f"{path or '.'}: more than {MAX_ENTRIES} files (limit of files in one tree)")
        return found

    def read(self, oid: str) -> bytes:
        """Content of the file with this id."""
        return self._objects.read(oid)

    def _walk(self, tree_oid: str, base: str, recurse: bool) -> Iterator[FileEntry]:
        stack = [iter(self._objects.listing(tree_oid).items())]
        bases = [base]
        while stack:
            item = next(stack[-1], None)
            if item is None:
                stack.pop()
                bases.pop()
                continue
            name, node = item
            path = f"{bases[-1]}/{name}" if bases[-1] else name
            if node.mode in (MODE_TREE, MODE_SUBMODULE):
                if not recurse:
                    yield FileEntry(path, FileKind.DIRECTORY, node.oid, 0)
                elif node.mode == MODE_TREE:
                    if len(stack) >= MAX_DEPTH:
                        raise _failed(f"{path}: folders are nested deeper than {MAX_DEPTH} (limit of depth)")
                    stack.append(iter(self._objects.listing(node.oid).items()))
                    bases.append(path)
            elif node.mode == MODE_LINK:
                target = self._resolve(path)
                if target is None or target.mode in (MODE_TREE, MODE_SUBMODULE):
                    yield FileEntry(path, FileKind.LINK, "", 0)
                else:
                    yield FileEntry(path, FileKind.LINK, target.oid, self._objects.size(target.oid))
            else:
                kind = FileKind.EXECUTABLE if node.mode == MODE_EXECUTABLE else FileKind.FILE
                yield FileEntry(path, kind, node.oid, self._objects.size(node.oid))

    def _resolve(self, path: str) -> Node | None:
        """The file or directory at `path` with every link followed, None when there is none."""
        root = Node(MODE_TREE, self._root_id)
        trail = [root]  # the real directories from the root to where we are
        pending = [part for part in reversed(path.split("/")) if part]
        links = 0
        while pending:
            part = pending.pop()
            here = trail[-1]
            if here.mode == MODE_SUBMODULE and part != "..":
                return None
            if here.mode not in (MODE_TREE, MODE_SUBMODULE):
                return None
            if part == ".":
                continue
            if part == "..":
                if len(trail) == 1:
                    raise _failed(f"{path}: a link in this path leads out of the repository")
                trail.pop()
                continue
            node = self._objects.listing(here.oid).get(part)
            if node is None:
                return None
            if node.mode != MODE_LINK:
                trail.append(node)
                continue
            links += 1
            if links > MAX_LINKS:
                raise _failed(f"{path}: more than {MAX_LINKS} links to follow, they may form a circle")
            pending.extend(part for part in reversed(self._link_target(node.oid, path).split("/")) if part)
        return trail[-1]

    def _link_target(self, oid: str, path: str) -> str:
        if self._objects.size(oid) > MAX_LINK_BYTES:
            raise _failed(f"{path}: the target of a link is longer than {MAX_LINK_BYTES} bytes")
        target = self.read(oid).decode("utf-8", "surrogateescape")
        if target.startswith("/"):
            raise _failed(
                f"{path}: a link in this path is absolute ({target!r}); use a relative one inside the repository"
            )
        if "\0" in target:
            raise _failed(f"{path}: the target of a link holds a NUL byte")
        return target


def clean_path(path: str) -> str:
    """A path below the root without `.`, `..` and doubled slashes; the root is empty.

    Raises StageError(reason="ComparisonError") for absolute paths and paths that leave the root.
    """
    if path.startswith("/"):
        raise _failed(f"{path}: app path is absolute")
    cleaned = posixpath.normpath(path) if path else "."
    if cleaned == "..":
        raise _failed(f"{path}: app path outside root")
    if cleaned.startswith("../"):
        raise _failed(f"{path}: app path outside root")
    return "" if cleaned == "." else cleaned


def _failed(message: str) -> StageError:
    return StageError("source", "ComparisonError", message)
