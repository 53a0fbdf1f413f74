"""Events end an hour after they were last written, as on a real API server, whose `--event-ttl` is that."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime, timedelta
from typing import NamedTuple

from tiphys.apimachinery import meta
from tiphys.devcluster import deletion
from tiphys.devcluster.deletion import DeleteOptions
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.runtime.clock import Clock

BUCKET = "events"
LIFE = timedelta(hours=1)
_SOONEST_S = 1.0


class _Due(NamedTuple):
    at: datetime
    key: str
    rv: int


class EventLife:
    """Follows Events. What was written again since it was noted is not yet due."""

    def __init__(self, *, store: Store, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._due: deque[_Due] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Note what is stored and follow changes from now on."""
        now = self._clock.now()
        stored = [_Due(_written(record, now) + LIFE, record.key, record.rv) for record in self._store.scan(BUCKET)]
        self._due.extend(sorted(stored))
        self._arm()
        self._store.watch(BUCKET, self)

    def stop(self) -> None:
        """Forget all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._due.clear()

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        if event.type != "DELETED":
            self._due.append(_Due(self._clock.now() + LIFE, event.record.key, event.record.rv))
            self._arm()

    def expire(self) -> None:
        """Delete what is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.now()
        resource = self._registry.stored(BUCKET)
        try:
            while self._due and self._due[0].at <= now:
                due = self._due.popleft()
                record = self._store.get(BUCKET, due.key)
                if record is not None and record.rv == due.rv and resource is not None:
                    deletion.delete(self._store, resource, record, DeleteOptions(), self._clock)
        finally:
            self._arm()

    def _arm(self) -> None:
        if self._timer is None and self._due:
            left_s = (self._due[0].at - self._clock.now()).total_seconds()
            self._timer = asyncio.get_running_loop().call_later(max(left_s, _SOONEST_S), self.expire)


def _written(record: Record, now: datetime) -> datetime:
    """When a stored Event was last written, as far as it says so."""
    said = record.obj.get("lastTimestamp") or record.obj["metadata"].get("creationTimestamp")
    try:
        return min(meta.parse_time(str(said)), now)
    except ValueError:
        return now
