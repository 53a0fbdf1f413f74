"""Paths that cannot leave their root, scratch folders, atomic writes, file locks that tell who holds them."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700


class PathEscapeError(ValueError):
    """A path names something outside of its root."""

    def __init__(self, path: str) -> None:
        super().__init__(f"path {path!r} is outside of its root")
        self.path = path


class LockHeldError(Exception):
    """Someone else holds the lock; `holder` is what they wrote about themselves, empty when they wrote nothing."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is held by {holder or 'another process'}")
        self.holder = holder


def normalize_relative(path: str) -> str:
    """A relative POSIX path without `.`, `..` and empty parts; `""` for the root itself.

    Raises PathEscapeError for absolute paths, for paths with NUL and for `..` above the root. Only the text is looked
    at: links are the business of `resolve_inside`.
    """
    if path.startswith("/") or "\0" in path:
        raise PathEscapeError(path)
    parts: list[str] = []
    for part in PurePosixPath(path).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise PathEscapeError(path)
    return "/".join(parts)


def resolve_inside(root: str | Path, path: str) -> Path:
    """The real path of `path` below `root`, with every link followed. Raises PathEscapeError when it leads out.

    What does not exist yet is allowed. The answer is about this moment: a folder that others can write to may change
    before it is used.
    """
    real_root = os.path.realpath(root)
    real = os.path.realpath(os.path.join(real_root, normalize_relative(path)))
    if real != real_root and not real.startswith(real_root.rstrip("/") + "/"):
        raise PathEscapeError(path)
    return Path(real)


def make_private_folder(path: str | Path) -> Path:
    """Create a folder (and its parents) that only the owner can enter; an existing one is narrowed to that."""
    folder = Path(path)
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o777 != PRIVATE_FOLDER:
        folder.chmod(PRIVATE_FOLDER)
    return folder


def write_atomic(path: str | Path, data: bytes, *, mode: int = PRIVATE_FILE, sync: bool = False) -> None:
    """Replace the file's content in one step: readers see the old or the new whole, and never wider rights than `mode`.

    `sync` also makes it last through a power failure (about a millisecond or more).
    """
    target = os.fspath(path)
    folder = os.path.dirname(target) or "."
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(target)}.")
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        _remove_quietly(temporary)
        raise
    if sync:
        folder_descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(folder_descriptor)
        finally:
            os.close(folder_descriptor)


@contextmanager
def scratch_folder(parent: str | Path | None = None, *, prefix: str = "tiphys-") -> Iterator[Path]:
    """A new private folder that is gone afterwards, whatever rights its content was given."""
    folder = tempfile.mkdtemp(dir=parent, prefix=prefix)
    try:
        yield Path(folder)
    finally:
        remove_tree(folder)


def remove_tree(path: str | Path) -> None:
    """Delete a folder and all below it; folders without write permission do not stop it. Absent is fine."""
    shutil.rmtree(path, ignore_errors=True)
    if os.path.lexists(path):
        for folder, _, _ in os.walk(path):
            try:
                os.chmod(folder, PRIVATE_FOLDER)
            except OSError:
                pass  # someone else's; rmtree says so below
        shutil.rmtree(path)


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process, however that ends.

    The holder writes a line about itself into the file. The file stays when the lock is released: deleting it would let
    two processes lock two files of one name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """True while this object holds the lock."""
        return self._descriptor is not None

    def acquire(self, holder: str) -> None:
        """Take the lock at once and write `holder` into it. Raises LockHeldError."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            _lock_exclusively(descriptor)
        except BlockingIOError:
            text = _read_holder(descriptor)
            os.close(descriptor)
            raise LockHeldError(self.path, text) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self.describe(holder)

    def describe(self, holder: str) -> None:
        """Replace what the holder says about itself; only while held."""
        if self._descriptor is None:
            raise RuntimeError(f"{self.path} is not held")
        data = holder.encode()
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, data, 0)

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._descriptor is None:
            return
        os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def read_lock_holder(path: str | Path) -> str | None:
    """What the holder of the lock wrote about itself, None when nobody holds it (a line left by a killed process too)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read_holder(descriptor)
    finally:
        os.close(descriptor)
    return None


def _lock_exclusively(descriptor: int) -> None:
    """Take the lock; someone who only looks (`read_lock_holder`) holds it for an instant, so try a little longer."""
    for _ in range(3):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.01)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read_holder(descriptor: int) -> str:
    return os.pread(descriptor, 4096, 0).decode(errors="replace").strip()


def _remove_quietly(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass  # the first error is the one to tell
