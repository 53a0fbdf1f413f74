"""Aggregated APIs: stored, and said to be unavailable, because nothing here forwards requests to another server."""

from __future__ import annotations

from typing import Any

from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.writes import Writer
from tiphys.runtime.clock import format_time

BUCKET = "apiservices.apiregistration.k8s.io"
MANAGER = "kube-apiserver"
WHY = "the embedded cluster does not forward requests to other API servers"


class AggregatedApis:
    """Gives every APIService that names a Service the condition Available=False."""

    def __init__(self, *, store: Store, registry: Registry, writer: Writer) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer

    def start(self) -> None:
        """Look at what is stored and follow changes from now on."""
        self.look()
        self._store.watch(BUCKET, self)

    def look(self) -> None:
        """Look at what is stored."""
        for record in self._store.scan(BUCKET):
            self._look(record)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        if event.type != "DELETED":
            self._look(event.record)

    def _look(self, record: Record) -> None:
        resource = self._registry.stored(BUCKET)
        spec = record.obj.get("spec") or {}
        status: dict[str, Any] = record.obj.get("status") or {}
        if resource is None or not spec.get("service") or status.get("conditions"):
            return
        condition = {
            "type": "Available",
            "status": "False",
            "lastTransitionTime": format_time(self._writer.clock.now()),
            "reason": "EmbeddedCluster",
            "message": WHY,
        }
        self._writer.change_status(resource, record, {**status, "conditions": [condition]}, manager=MANAGER)
