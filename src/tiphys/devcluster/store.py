"""Store: every object of the embedded cluster, in memory, with its history and its watchers; written through to a Disk.

A write takes effect in memory at once and becomes visible when it is committed: answers, reads and watch events wait for
`committed(rv)`. Without a disk, commits are immediate. Objects are immutable: a Record is made, never changed.

When the disk is full, what was not committed is undone, its writers are refused, and the next write tries again; nobody has
seen what is undone. Any other trouble with the disk is final.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

import orjson

from tiphys.apimachinery.apierrors import ApiError, internal_error
from tiphys.apimachinery.yamljson import tight
from tiphys.devcluster.disk import Batch, Disk, Row, StoreError, may_pass

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
MAX_OBJECT_BYTES = 3 * 1024 * 1024 // 2  # etcd's limit of a request
RV_BLOCK = 4096  # resourceVersions reserved on disk at a time; a crash skips at most one block
RING_SIZE = 20_000  # events kept for watches that resume and lists that continue
RING_BYTES = 32 * 1024 * 1024  # fewer when their objects are large
PARSED_KEPT = 4096  # parsed objects kept beside their bytes; the others are parsed again when needed
RENDERED_KEPT = 512  # newest events whose rendered forms are kept; a watch further behind renders its own


class Record:
    """One object in one version: its bytes, and what is looked up without parsing them."""

    __slots__ = ("_obj", "data", "deleting", "key", "labels", "name", "namespace", "owners", "rv", "uid")

    def __init__(self, key: str, rv: int, data: bytes, obj: dict[str, Any] | None) -> None:
        self.key = key
        self.namespace, _, self.name = key.partition("/")
        self.rv = rv
        self.data = data
        self._obj = obj
        metadata = (obj if obj is not None else orjson.loads(data)).get("metadata") or {}
        self.labels: Mapping[str, str] = metadata.get("labels") or {}
        self.uid: str = metadata.get("uid") or ""
        self.deleting = "deletionTimestamp" in metadata
        # (uid, blocks the owner's deletion) of each owner
        self.owners: tuple[tuple[str, bool], ...] = tuple(
            (str(one.get("uid") or ""), one.get("blockOwnerDeletion") is True)
            for one in metadata.get("ownerReferences") or ()
        )

    @property
    def obj(self) -> dict[str, Any]:
        """The object; shared, not to be changed."""
        found = self._obj
        return orjson.loads(self.data) if found is None else found

    def keep_bytes_only(self) -> None:
        """Give the parsed object back to whoever still uses it."""
        self._obj = None


class Event:
    """One committed change. `record` of a DELETED event is the last state with the resourceVersion of the deletion."""

    __slots__ = ("_left", "bucket", "lines", "previous", "record", "rv", "type")

    def __init__(self, rv: int, bucket: str, type_: EventType, record: Record, previous: Record | None) -> None:
        self.rv = rv
        self.bucket = bucket
        self.type: EventType = type_
        self.record = record
        self.previous = previous
        self.lines: dict[object, bytes] = {}  # rendered forms, shared by all watchers that want the same one
        self._left: Record | None = None

    def left(self) -> Record:
        """The object as it was before, at the version of this event: what a watch that loses sight of it is told."""
        if self._left is None:
            assert self.previous is not None
            obj = self.previous.obj
            obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.rv)}}
            self._left = Record(self.previous.key, self.rv, _packed(obj), obj)
            self._left.keep_bytes_only()
        return self._left


class Watching(Protocol):
    """Someone who wants the events of a bucket (or of all)."""

    def offer(self, event: Event) -> None:
        """Called on the event loop for each committed event, in order; must not block or raise."""


class _Bucket:
    __slots__ = ("keys", "last_rv", "records")

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self.keys: list[str] = []
        self.last_rv = 0


class Store:
    """Objects by bucket and key. All methods belong to the event loop's thread."""

    def __init__(self, disk: Disk | None = None, *, ring_size: int = RING_SIZE) -> None:
        self._disk = disk
        self._ring_size = ring_size
        self._buckets: dict[str, _Bucket] = {}
        self._ring: deque[Event] = deque()
        self._ring_bytes = 0
        self._ring_start = 0  # events after this version are in the ring
        self._rv = 0
        self._reserved = 0
        self.committed_rv = 0
        self._gathered: list[Row] = []
        self._undelivered: deque[Event] = deque()
        self._writing = False
        self._delivering = False
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._undone = (0, 0, "")  # versions after the first up to the second were undone last, and why
        self._watchers: dict[str, list[Watching]] = {}
        self._parsed: deque[Record] = deque()
        self._rendered: deque[Event] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.failure: Exception | None = None
        self.on_failure: Callable[[Exception], None] | None = None
        self.on_undone: Callable[[Exception], None] | None = None

    # ---- life ----

    def open(self) -> None:
        """Load what the disk has. Raises StoreError when another process holds it or it is newer than this program."""
        if self._disk is None:
            return
        self._rv = self._reserved = self._disk.open()
        for row in self._disk.load():
            assert row.body is not None
            bucket = self._buckets.setdefault(row.bucket, _Bucket())
            bucket.records[row.key] = Record(row.key, row.rv, row.body, None)
            bucket.last_rv = max(bucket.last_rv, row.rv)
            self._rv = max(self._rv, row.rv)
        for bucket in self._buckets.values():
            bucket.keys = sorted(bucket.records)
        self.committed_rv = self._ring_start = self._rv
        self._disk.start()

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop commits are reported to; needed before the first write when there is a disk."""
        self._loop = loop

    def close(self) -> None:
        """Write what is pending and give the disk back."""
        if self._disk is None:
            return
        if self._gathered and self.failure is None:
            rows, self._gathered = self._gathered, []
            self._disk.submit(Batch(rows, self._reserved), lambda _exc: None)
        self._disk.close(None if self.failure else self._rv)

    # ---- reading ----

    def get(self, bucket: str, key: str) -> Record | None:
        """The object with this `namespace/name` (`/name` when cluster-scoped)."""
        found = self._buckets.get(bucket)
        return found.records.get(key) if found is not None else None

    def scan(self, bucket: str, namespace: str | None = None) -> list[Record]:
        """Objects in key order, of one namespace or all."""
        found = self._buckets.get(bucket)
        if found is None:
            return []
        records = found.records
        if namespace is None:
            return [records[key] for key in found.keys]
        low = bisect_left(found.keys, namespace + "/")
        high = bisect_left(found.keys, namespace + "0", low)  # "0" follows "/" in ASCII
        return [records[key] for key in found.keys[low:high]]

    def scan_at(self, bucket: str, namespace: str | None, rv: int) -> list[Record] | None:
        """Objects as they were at version `rv`, in key order; None when that is too long ago."""
        found = self._buckets.get(bucket)
        if found is None or found.last_rv <= rv:
            return self.scan(bucket, namespace)
        if rv < self._ring_start:
            return None
        undone: dict[str, Record | None] = {}
        for event in reversed(self._ring):
            if event.rv <= rv:
                break
            if event.bucket == bucket:
                undone[event.record.key] = event.previous
        current = {record.key: record for record in self.scan(bucket, namespace)}
        prefix = None if namespace is None else namespace + "/"
        for key, record in undone.items():
            if record is None:
                current.pop(key, None)
            elif prefix is None or key.startswith(prefix):
                current[key] = record
        return [current[key] for key in sorted(current)]

    def count(self, bucket: str) -> int:
        """Number of objects in a bucket."""
        found = self._buckets.get(bucket)
        return len(found.records) if found is not None else 0

    @property
    def last_rv(self) -> int:
        """The newest version given out, committed or not."""
        return self._rv

    def bucket_rv(self, bucket: str) -> int:
        """The newest version in a bucket."""
        found = self._buckets.get(bucket)
        return found.last_rv if found is not None else 0

    # ---- writing ----

    def put(self, bucket: str, key: str, obj: dict[str, Any]) -> Record:
        """Create or replace an object, which is the store's from here on; gives it its resourceVersion.

        Raises ApiError, as etcd does, for one that is too large.
        """
        rv = self._next_rv()
        obj["metadata"]["resourceVersion"] = str(rv)
        record = Record(key, rv, _packed(obj), obj)
        if len(record.data) > MAX_OBJECT_BYTES:
            raise ApiError("etcdserver: request is too large", code=500, reason="")
        self._remember_parsed(record)
        kept = self._buckets.setdefault(bucket, _Bucket())
        previous = kept.records.get(key)
        if previous is None:
            insort(kept.keys, key)
        kept.records[key] = record
        kept.last_rv = rv
        self._changed(Event(rv, bucket, "MODIFIED" if previous else "ADDED", record, previous), record.data)
        return record

    def remove(self, bucket: str, key: str, last: dict[str, Any] | None = None) -> Record:
        """Delete an object; the record carries its last state (`last` when it differs from what is stored)."""
        rv = self._next_rv()
        kept = self._buckets[bucket]
        previous = kept.records.pop(key)
        del kept.keys[bisect_left(kept.keys, key)]
        obj = last if last is not None else previous.obj
        obj = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(rv)}}
        record = Record(key, rv, _packed(obj), obj)
        self._remember_parsed(record)
        kept.last_rv = rv
        self._changed(Event(rv, bucket, "DELETED", record, previous), None)
        return record

    def _next_rv(self) -> int:
        if self.failure is not None:
            raise StoreError(f"the store failed: {self.failure}")
        self._rv += 1
        return self._rv

    def _remember_parsed(self, record: Record) -> None:
        self._parsed.append(record)
        if len(self._parsed) > PARSED_KEPT:
            self._parsed.popleft().keep_bytes_only()

    def _changed(self, event: Event, body: bytes | None) -> None:
        self._ring.append(event)
        self._ring_bytes += len(event.record.data)
        while len(self._ring) > self._ring_size or self._ring_bytes > RING_BYTES:
            oldest = self._ring.popleft()
            self._ring_start = oldest.rv
            self._ring_bytes -= len(oldest.record.data)
        self._undelivered.append(event)
        self._rendered.append(event)
        if len(self._rendered) > RENDERED_KEPT:
            self._rendered.popleft().lines.clear()
        if self._disk is None:
            self.committed_rv = event.rv
            self._deliver_committed()
            return
        self._gathered.append(Row(event.bucket, event.record.key, event.rv, body))
        if not self._writing:
            # Not at once: writes of the same turn of the loop share one transaction.
            self._writing = True
            assert self._loop is not None
            self._loop.call_soon(self._submit)

    def _submit(self) -> None:
        assert self._disk is not None
        assert self._loop is not None
        loop = self._loop
        rows, self._gathered = self._gathered, []
        reserved = None
        if self._rv > self._reserved:
            reserved = self._reserved = self._rv + RV_BLOCK
        upto = self._rv

        def done(exc: Exception | None) -> None:
            try:
                loop.call_soon_threadsafe(self._written, upto, exc)
            except RuntimeError:
                pass  # the loop is closed: nobody waits for this any more

        self._disk.submit(Batch(rows, reserved), done)

    def _written(self, upto: int, exc: Exception | None) -> None:
        if exc is not None:
            if may_pass(exc):
                self._undo(exc)
            else:
                self._fail(exc)
            return
        self.committed_rv = upto
        self._deliver_committed()
        while self._waiters and self._waiters[0][0] <= upto:
            future = self._waiters.popleft()[1]
            if not future.done():
                future.set_result(None)
        self._writing = bool(self._gathered)
        if self._writing:
            self._submit()

    def _fail(self, exc: Exception) -> None:
        self.failure = exc
        while self._waiters:
            future = self._waiters.popleft()[1]
            if not future.done():
                future.set_exception(StoreError(f"the store failed: {exc}"))
        if self.on_failure is not None:
            self.on_failure(exc)

    def _undo(self, exc: Exception) -> None:
        """Forget everything that is not committed, newest first; its versions are never used again."""
        for event in reversed(self._undelivered):
            kept, key = self._buckets[event.bucket], event.record.key
            if event.type == "DELETED":
                assert event.previous is not None
                insort(kept.keys, key)
                kept.records[key] = event.previous
            elif event.previous is not None:
                kept.records[key] = event.previous
            else:
                del kept.records[key]
                del kept.keys[bisect_left(kept.keys, key)]
            kept.last_rv = min(kept.last_rv, self.committed_rv)
        self._undone = (self.committed_rv, self._rv, str(exc))
        self._undelivered.clear()
        self._gathered.clear()
        while self._ring and self._ring[-1].rv > self.committed_rv:
            self._ring_bytes -= len(self._ring.pop().record.data)
        self._ring_start = min(self._ring_start, self.committed_rv)
        self._reserved = 0  # whether the reservation was written is not known
        self._writing = False
        while self._waiters:
            future = self._waiters.popleft()[1]
            if not future.done():
                future.set_exception(_refused(str(exc)))
        if self.on_undone is not None:
            self.on_undone(exc)

    async def committed(self, rv: int) -> None:
        """Wait until everything up to `rv` survives a kill of the process.

        Raises InternalError when it was undone, StoreError when writing failed for good.
        """
        after, upto, why = self._undone
        if after < rv <= upto:
            raise _refused(why)
        if rv <= self.committed_rv:
            return
        if self.failure is not None:
            raise StoreError(f"the store failed: {self.failure}")
        future = asyncio.get_running_loop().create_future()
        # Waiters come in any order; the deque is kept sorted, appended to in nearly every case.
        if self._waiters and self._waiters[-1][0] > rv:
            rows = [one[0] for one in self._waiters]
            self._waiters.insert(bisect_right(rows, rv), (rv, future))
        else:
            self._waiters.append((rv, future))
        await future

    async def settled(self, bucket: str) -> None:
        """Wait until what a bucket shows now is committed or undone. Raises StoreError when writing failed for good."""
        try:
            await self.committed(self.bucket_rv(bucket))
        except ApiError:
            pass  # undone: the bucket shows what is committed

    # ---- watching ----

    def _deliver_committed(self) -> None:
        # A watcher may write: its event waits its turn, so that all watchers see one order.
        if self._delivering:
            return
        self._delivering = True
        try:
            while self._undelivered and self._undelivered[0].rv <= self.committed_rv:
                event = self._undelivered.popleft()
                for watcher in tuple(self._watchers.get(event.bucket, ())):
                    watcher.offer(event)
                for watcher in tuple(self._watchers.get("*", ())):
                    watcher.offer(event)
        finally:
            self._delivering = False

    def watch(self, bucket: str, watcher: Watching) -> Callable[[], None]:
        """Give committed events of a bucket (`*`: all) to `watcher` from now on; the result ends that."""
        watchers = self._watchers.setdefault(bucket, [])
        watchers.append(watcher)

        def stop() -> None:
            if watcher in watchers:
                watchers.remove(watcher)

        return stop

    def since(self, bucket: str, rv: int) -> list[Event] | None:
        """Committed events of a bucket after version `rv`; None when that is too long ago."""
        if rv < self._ring_start:
            return None
        found: list[Event] = []
        for event in reversed(self._ring):
            if event.rv <= rv:
                break
            if event.bucket == bucket and event.rv <= self.committed_rv:
                found.append(event)
        found.reverse()
        return found

    @property
    def oldest_rv(self) -> int:
        """Watches can resume from this version or a later one."""
        return self._ring_start


def _packed(obj: dict[str, Any]) -> bytes:
    return tight(orjson.dumps(obj))


def _refused(why: str) -> ApiError:
    return internal_error(f"the cluster's store cannot be written, nothing was changed: {why}")
