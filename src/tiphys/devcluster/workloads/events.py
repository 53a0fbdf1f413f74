"""Writes core/v1 Events as `kubectl describe` shows them; equal ones are counted up.

Telling never waits. What cannot be written is dropped: an Event is a courtesy.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from datetime import datetime, timedelta
from typing import NamedTuple

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import ApiError
from tiphys.devcluster.access import ClusterAccess
from tiphys.devcluster.workloads.fields import Json, Obj
from tiphys.runtime.clock import Clock, format_time

SOURCE = "embedded-cluster"
MAX_WAITING = 2000
_REMEMBERED = 2048
_SIMILAR = 10
_SIMILAR_FOR = timedelta(minutes=10)
_COMBINED = "(combined from similar events): "


class Said(NamedTuple):
    """One Event before it is written. `field` is a path in the object such as `spec.containers{web}`."""

    kind: str  # Normal or Warning
    reason: str
    message: str
    field: str = ""


class _Waiting(NamedTuple):
    involved: Json
    said: Said
    at: str
    combined: bool = False


class EventRecorder:
    """Takes Events and writes them one after another in `run`."""

    def __init__(self, access: ClusterAccess, *, clock: Clock, enabled: bool = True) -> None:
        self._access = access
        self._clock = clock
        self._enabled = enabled
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._similar: OrderedDict[tuple[str, str, str], tuple[set[str], datetime]] = OrderedDict()
        self._last_ns = 0
        self._written: OrderedDict[tuple[str, Said], tuple[str, int]] = OrderedDict()

    def tell(self, api_version: str, kind: str, obj: Obj, said: Said) -> None:
        """Put an Event about `obj` on its way."""
        if not self._enabled or len(self._waiting) >= MAX_WAITING:
            return
        involved: Json = {
            "kind": kind,
            "namespace": meta.namespace(obj),
            "name": meta.name(obj),
            "uid": meta.uid(obj),
            "apiVersion": api_version,
            "resourceVersion": meta.resource_version(obj),
        }
        if said.field:
            involved["fieldPath"] = said.field
        self._waiting.append(_Waiting(involved, said, format_time(self._clock.now())))
        self._wake.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            while self._waiting:
                await self._write(self._waiting.popleft())
            self._wake.clear()
            await self._wake.wait()

    async def _write(self, event: _Waiting) -> None:
        event = self._combined(event)
        key = (str(event.involved["uid"]), event.said._replace(message=_COMBINED) if event.combined else event.said)
        namespace = str(event.involved["namespace"]) or "default"
        try:
            known = self._written.get(key)
            if known is not None:
                name, count = known
                self._written[key] = (name, count + 1)
                body: Json = {"count": count + 1, "lastTimestamp": event.at}
                if event.combined:
                    body["message"] = event.said.message[:1024]
                await self._access.patch("v1/events", namespace, name, body, field_manager=SOURCE)
                return
            created = await self._access.create("v1/events", namespace, self._body(event, namespace))
        except ApiError:
            self._written.pop(key, None)
            return
        self._written[key] = (meta.name(created), 1)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _combined(self, event: _Waiting) -> _Waiting:
        """The Event as it is written: the tenth of one reason that says something else, and those after it, are one.

        Source: client-go tools/record EventAggregator.
        """
        said, now = event.said, self._clock.now()
        key = (str(event.involved["uid"]), said.kind, said.reason)
        seen, last = self._similar.pop(key, (set(), now))
        if now - last > _SIMILAR_FOR:
            seen = set()
        seen.add(said.message)
        combined = len(seen) >= _SIMILAR
        if combined:
            seen.pop()
        self._similar[key] = (seen, now)
        if len(self._similar) > _REMEMBERED:
            self._similar.popitem(last=False)
        return (
            event._replace(said=said._replace(message=_COMBINED + said.message), combined=True) if combined else event
        )

    def _moment(self) -> int:
        """Now in nanoseconds and greater than ever before, so that names are in the order of what happened."""
        now = self._clock.now()
        self._last_ns = max((int(now.timestamp()) * 1_000_000 + now.microsecond) * 1000, self._last_ns + 1)
        return self._last_ns

    def _body(self, event: _Waiting, namespace: str) -> Json:
        said = event.said
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{event.involved['name']}.{self._moment():x}", "namespace": namespace},
            "involvedObject": {name: value for name, value in event.involved.items() if value},
            "reason": said.reason,
            "message": said.message[:1024],
            "source": {"component": SOURCE},
            "firstTimestamp": event.at,
            "lastTimestamp": event.at,
            "count": 1,
            "type": said.kind,
            "reportingComponent": SOURCE,
            "reportingInstance": "",
        }
