"""Something below these folders changed: inotify on Linux, watchfiles elsewhere.

inotify is used directly because it costs nothing while nothing happens and answers within a millisecond; watchfiles
wakes a thread every step (measured: 0.3 % of a core at 20 ms).
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

WATCHFILES_STEP_MS = 20
_WATCHFILES_TURN_MS = 60_000

_IN_CLOSE_WRITE, _IN_MOVED_FROM, _IN_MOVED_TO = 0x8, 0x40, 0x80
_IN_CREATE, _IN_DELETE, _IN_DELETE_SELF, _IN_MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_IN_ONLYDIR, _IN_Q_OVERFLOW, _IN_IGNORED = 0x01000000, 0x4000, 0x8000
_EVENT = struct.Struct("=iIII")  # watch descriptor, mask, cookie, length of the name that follows
_MASK = (
    _IN_CLOSE_WRITE
    | _IN_MOVED_FROM
    | _IN_MOVED_TO
    | _IN_CREATE
    | _IN_DELETE
    | _IN_DELETE_SELF
    | _IN_MOVE_SELF
    | _IN_ONLYDIR
)


class FileEvents(Protocol):
    """A context manager that watches folders while it is open."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def cover(self, folders: Sequence[str]) -> None:
        """Watch the direct content of these folders too; repeating one is free. May be called in a thread.

        Raises OSError when the first is not there.
        """

    async def wait(self, timeout_s: float | None) -> bool:
        """True once something changed since the last call, False when `timeout_s` passed first."""


def system_file_events() -> Callable[[], FileEvents]:
    """Makes watchers of the best kind of this platform; those of one maker share what the system gives sparingly."""
    return Inotify().events if sys.platform == "linux" else WatchfilesEvents


class Inotify:
    """Linux: one inotify instance for any number of watchers, open while one of them is.

    A user has 128 instances by default, which is fewer than the repositories an engine may have.
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = -1
        self._open = 0
        self._lock = threading.Lock()  # folders are covered in threads
        self._watched: dict[int, set[InotifyEvents]] = {}  # by watch descriptor

    def events(self) -> FileEvents:
        """A new watcher, to be used on the event loop."""
        return InotifyEvents(self)

    def opened(self) -> None:
        """One watcher more. Raises OSError when the system has no instance left."""
        if self._open == 0:
            self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if self._descriptor < 0:
                raise _last_error("inotify")
            asyncio.get_running_loop().add_reader(self._descriptor, self._drain)
        self._open += 1

    def closed(self, watcher: InotifyEvents) -> None:
        """One watcher fewer."""
        with self._lock:
            for number in [number for number, watchers in self._watched.items() if watcher in watchers]:
                self._watched[number].discard(watcher)
                if not self._watched[number]:
                    del self._watched[number]
                    self._libc.inotify_rm_watch(self._descriptor, number)
        self._open -= 1
        if self._open == 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def cover(self, watcher: InotifyEvents, folder: str) -> None:
        """Watch one folder for one watcher. Raises OSError."""
        with self._lock:
            number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MASK)
            if number < 0:
                raise _last_error(folder)
            self._watched.setdefault(number, set()).add(watcher)

    def _drain(self) -> None:
        told: set[InotifyEvents] = set()
        try:
            while data := os.read(self._descriptor, 65536):
                at = 0
                while at < len(data):
                    number, mask, _cookie, length = _EVENT.unpack_from(data, at)
                    at += _EVENT.size + length
                    with self._lock:
                        if mask & _IN_Q_OVERFLOW:
                            told.update(*self._watched.values())
                        told |= self._watched.get(number, set())
                        if mask & _IN_IGNORED:
                            self._watched.pop(number, None)
        except BlockingIOError:
            pass
        for watcher in told:
            watcher.something.set()


class InotifyEvents:
    """One watcher. What happened is not looked at, only that something did."""

    def __init__(self, shared: Inotify) -> None:
        self._shared = shared
        self.something = asyncio.Event()

    def __enter__(self) -> Self:
        self._shared.opened()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._shared.closed(self)

    def cover(self, folders: Sequence[str]) -> None:
        for number, folder in enumerate(folders):
            try:
                self._shared.cover(self, folder)
            except OSError as error:
                if number == 0 or error.errno != errno.ENOENT:  # a folder below may vanish at any moment
                    raise

    async def wait(self, timeout_s: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout_s):
                await self.something.wait()
        except TimeoutError:
            return False
        self.something.clear()
        return True


class WatchfilesEvents:
    """Any platform that watchfiles supports."""

    def __init__(self, step_ms: int = WATCHFILES_STEP_MS) -> None:
        self._step_ms = step_ms
        self._covered: frozenset[str] = frozenset()
        self._watcher: object = None
        self._stop = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._close()

    def cover(self, folders: Sequence[str]) -> None:
        if self._covered.issuperset(folders):
            return
        from watchfiles._rust_notify import RustNotify  # the loop below is ours: it must be told when to stop

        self._close()
        self._watcher = RustNotify(list(folders), False, False, 0, False, True)
        self._covered = frozenset(folders)

    async def wait(self, timeout_s: float | None) -> bool:
        turn_ms = _WATCHFILES_TURN_MS if timeout_s is None else max(1, int(timeout_s * 1000))
        stop = self._stop = threading.Event()
        watch = self._watcher.watch  # type: ignore[attr-defined]
        while True:
            try:
                seen = await asyncio.to_thread(watch, 10 * self._step_ms, self._step_ms, turn_ms, stop)
            except asyncio.CancelledError:
                stop.set()  # the thread would wait on
                raise
            if seen != "timeout":
                return True
            if timeout_s is not None:
                return False

    def _close(self) -> None:
        if self._watcher is not None:
            self._watcher.close()  # type: ignore[attr-defined]
            self._watcher = None


def _last_error(what: str) -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code), what)
