"""Writes core/v1 Events; equal ones are counted, noisy subjects are slowed down.

Telling is a plain call that never waits and never fails; writing happens in `run`. What cannot be written is dropped and
counted: an Event is a courtesy.

Source: client-go tools/record for counting and the token bucket per subject.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.apierrors import ApiError, NotFound
from tiphys.kube.client import MERGE, ApiResource, KubeClient
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.clock import Clock, format_time

EVENTS = ApiResource(
    "", "v1", "Event", "events", True, frozenset(("create", "get", "list", "patch", "update", "watch"))
)

MAX_MESSAGE = 1024  # what the API allows
MAX_WAITING = 1000
SAME_WITHIN_S = 600.0  # an Event is gone from the server after an hour; a count should end well before
BURST = 25
REFILL_S = 300.0  # one more Event per subject in this time once the burst is used up
_REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Subject:
    """The object an Event is about. Events of cluster-scoped objects live in `default`."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""


@dataclass(slots=True)
class _Told:
    subject: Subject
    kind: str
    reason: str
    message: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    first: str
    last: str
    key: tuple[object, ...]
    count: int = 1


@dataclass(slots=True)
class _Written:
    namespace: str
    name: str
    count: int
    at: float


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class EventWriter:
    """Writes Events to one cluster. `dropped` counts those that were not written."""

    def __init__(self, client: KubeClient, *, component: str, clock: Clock, instance: str = "") -> None:
        """`component` is shown as the Event's source; `instance` names the replica."""
        self._client = client
        self._component = component
        self._instance = instance
        self._clock = clock
        self._waiting: deque[_Told] = deque()
        self._by_key: dict[tuple[object, ...], _Told] = {}
        self._written: OrderedDict[tuple[object, ...], _Written] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str, str, str], _Bucket] = OrderedDict()
        self._wake = asyncio.Event()
        self._stopping = False
        self._sequence = 0
        self.dropped = 0

    def tell(
        self,
        subject: Subject,
        reason: str,
        message: str,
        *,
        kind: str = "Normal",
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Put an Event on its way. `kind` is Normal or Warning."""
        message = message[:MAX_MESSAGE]
        now = format_time(self._clock.now())
        key = (subject.api_version, subject.kind, subject.namespace, subject.name, subject.uid, kind, reason, message)
        if (same := self._by_key.get(key)) is not None:
            same.count += 1
            same.last = now
            return
        if len(self._waiting) >= MAX_WAITING or not self._take_token(subject):
            self.dropped += 1
            return
        told = _Told(subject, kind, reason, message, labels or {}, annotations or {}, now, now, key)
        self._waiting.append(told)
        self._by_key[key] = told
        self._wake.set()

    async def run(self) -> None:
        """Write Events until `stop`, then what is left, once."""
        while True:
            while self._waiting:
                told = self._waiting.popleft()
                del self._by_key[told.key]
                await self._write(told)
            if self._stopping:
                return
            self._wake.clear()
            await self._wake.wait()

    def stop(self) -> None:
        """Let `run` return when it has written what waits."""
        self._stopping = True
        self._wake.set()

    async def _write(self, told: _Told) -> None:
        now = self._clock.monotonic()
        before = self._written.get(told.key)
        try:
            if before is not None and now - before.at < SAME_WITHIN_S and await self._count_up(before, told):
                return
            namespace = told.subject.namespace or "default"
            body = self._body(told, namespace)
            await self._client.create(EVENTS, body, namespace, field_manager=self._component)
        except (ApiError, ClusterUnreachable):
            self.dropped += told.count
            return
        self._written[told.key] = _Written(namespace, body["metadata"]["name"], told.count, now)
        self._written.move_to_end(told.key)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    async def _count_up(self, before: _Written, told: _Told) -> bool:
        """Raise the count of the Event written before; False when it is gone."""
        patch = {"count": before.count + told.count, "lastTimestamp": told.last}
        try:
            await self._client.patch(
                EVENTS, before.name, patch, before.namespace, content_type=MERGE, field_manager=self._component
            )
        except NotFound:
            return False
        before.count += told.count
        return True

    def _body(self, told: _Told, namespace: str) -> dict[str, Any]:
        subject = told.subject
        # The name is the subject's and a number that grows with time, as client-go's; the sequence keeps it unique.
        self._sequence += 1
        stamp = int(self._clock.now().timestamp() * 1e9) + self._sequence % 1000
        involved = {
            "apiVersion": subject.api_version,
            "kind": subject.kind,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
            "resourceVersion": subject.resource_version,
        }
        metadata: dict[str, Any] = {"name": f"{subject.name}.{stamp:x}", "namespace": namespace}
        if told.labels:
            metadata["labels"] = dict(told.labels)
        if told.annotations:
            metadata["annotations"] = dict(told.annotations)
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": metadata,
            "involvedObject": {key: value for key, value in involved.items() if value},
            "reason": told.reason,
            "message": told.message,
            "type": told.kind,
            "count": told.count,
            "firstTimestamp": told.first,
            "lastTimestamp": told.last,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": self._instance,
        }

    def _take_token(self, subject: Subject) -> bool:
        key = (subject.kind, subject.namespace, subject.name, subject.uid)
        now = self._clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(float(BURST), now)
            if len(self._buckets) > _REMEMBERED:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(key)
        bucket.tokens = min(float(BURST), bucket.tokens + (now - bucket.at) / REFILL_S)
        bucket.at = now
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True
