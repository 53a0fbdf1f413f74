"""Watch: the events of one resource as one client wants them, from a version on, without end.

Each watch has a bounded queue. Its reader takes everything that waits in one go, so that many small events cost one write. A
reader that falls too far behind gets 410 and must list again: the server never keeps more for it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

from tiphys.apimachinery.apierrors import Expired
from tiphys.devcluster.selecting import Selection
from tiphys.devcluster.store import Event, Record, Store

QUEUE_LIMIT = 20_000  # events a slow reader may leave unread

WatchType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


class WatchEvent(NamedTuple):
    """One event for one reader. `source` lets readers with the same wishes share its rendered form."""

    type: WatchType
    record: Record | None  # None: a bookmark
    rv: int
    source: Event | None = None
    initial_end: bool = False


class Watch:
    """Events of one bucket that pass a Selection. Start with `start`, read with `take`, end with `stop`."""

    def __init__(self, store: Store, bucket: str, selection: Selection, *, limit: int = QUEUE_LIMIT) -> None:
        self._store = store
        self._bucket = bucket
        self._selection = selection
        self._limit = limit
        self._queue: deque[WatchEvent] = deque()
        self._wake: asyncio.Event = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self._everything = selection.is_all and selection.namespace is None
        self._after = 0  # what is not newer is not told
        self.overflowed = False
        self.closed = False

    def start(self, rv: int | None, *, initial: bool, mark_end: bool = False) -> None:
        """Begin. `initial`: first what exists, as ADDED; else what changed after `rv`. Raises Expired.

        Of a version yet to come nothing is told until it has come.
        `mark_end`: a bookmark that says the initial events have been sent follows them.
        """
        if initial:
            for record in self._store.scan(self._bucket, self._selection.namespace):
                if self._selection.matches(record):
                    self._queue.append(WatchEvent("ADDED", record, record.rv))
            if mark_end:
                self._queue.append(WatchEvent("BOOKMARK", None, self._store.committed_rv, initial_end=True))
        else:
            assert rv is not None
            if rv > self._store.last_rv:
                self._after = rv
            missed = self._store.since(self._bucket, min(rv, self._store.committed_rv))
            if missed is None:
                raise Expired(f"too old resource version: {rv} ({self._store.oldest_rv})")
            for event in missed:
                self.offer(event)
        self._unsubscribe = self._store.watch(self._bucket, self)
        if self._queue:
            self._wake.set()

    def offer(self, event: Event) -> None:
        """Take one committed event; objects that enter or leave the selection appear and disappear."""
        if self.overflowed or self.closed or event.rv <= self._after:
            return
        seen: WatchType = event.type
        record = event.record
        if not self._everything:
            found = self._as_seen(event)
            if found is None:
                return
            seen = found
            if seen == "DELETED" and event.type != "DELETED":
                record = event.left()  # it left the selection: its last state inside, at this version
        if len(self._queue) >= self._limit:
            self.overflowed = True
            self._queue.clear()
        else:
            self._queue.append(WatchEvent(seen, record, event.rv, event))
        self._wake.set()

    def _as_seen(self, event: Event) -> WatchType | None:
        matches = self._selection.matches
        now = event.type != "DELETED" and matches(event.record)
        before = event.previous is not None and matches(event.previous)
        if now:
            return "MODIFIED" if before else "ADDED"
        return "DELETED" if before else None

    async def take(self) -> list[WatchEvent]:
        """Wait for events and take all that are there; empty when the watch is closed. Raises Expired when too slow."""
        while not self._queue and not self.overflowed and not self.closed:
            self._wake.clear()
            await self._wake.wait()
        if self.overflowed:
            raise Expired("the watch fell too far behind and must start again from a list")
        found = list(self._queue)
        self._queue.clear()
        return found

    def poke_bookmark(self) -> None:
        """Put a bookmark at the end of the queue."""
        if not self.closed and not self.overflowed:
            self._queue.append(WatchEvent("BOOKMARK", None, self._store.committed_rv))
            self._wake.set()

    def stop(self) -> None:
        """End: `take` gives what is left and then nothing."""
        self.closed = True
        self._wake.set()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
