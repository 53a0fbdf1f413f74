"""LocalAccess: `access.ClusterAccess` inside the server, without HTTP; simulated controllers use it like any client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

from tiphys.apimachinery import apierrors
from tiphys.devcluster import deletion
from tiphys.devcluster.access import Manifest, PatchKind, Propagation
from tiphys.devcluster.conversion import convert
from tiphys.devcluster.core import Core
from tiphys.devcluster.deletion import DeleteOptions
from tiphys.devcluster.handlers import not_found_path
from tiphys.devcluster.patches import PatchRequest
from tiphys.devcluster.reads import fetch, parse_version
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.selecting import Selection
from tiphys.devcluster.store import Record
from tiphys.devcluster.strategy import find_resource
from tiphys.devcluster.watch import Watch
from tiphys.devcluster.writes import WriteOptions


class LocalAccess:
    """One client of the cluster; `manager` owns the fields it writes unless a call names another."""

    def __init__(self, core: Core, *, manager: str) -> None:
        self._core = core
        self._manager = manager

    def _resource(self, name: str) -> Resource:
        found = find_resource(self._core.registry, name)
        if found is None:
            raise not_found_path()
        return found

    def _shown(self, resource: Resource, record: Record) -> Manifest:
        stored = self._core.registry.stored(resource.bucket) or resource
        return convert(record.obj, stored, resource)

    async def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = ""
    ) -> tuple[list[Manifest], str]:
        """See ClusterAccess."""
        found, store = self._resource(resource), self._core.store
        await store.settled(found.bucket)
        selection = Selection(found, namespace, label_selector, "")
        records = store.scan(found.bucket, namespace)
        items = [self._shown(found, record) for record in records if selection.is_all or selection.matches(record)]
        return items, str(store.committed_rv)

    async def watch(self, resource: str, resource_version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """See ClusterAccess."""
        found = self._resource(resource)
        watch = Watch(self._core.store, found.bucket, Selection(found, None, "", ""))
        watch.start(parse_version(resource_version), initial=False)
        try:
            while events := await watch.take():
                for event in events:
                    if event.record is not None:
                        yield event.type, self._shown(found, event.record)
        finally:
            watch.stop()

    async def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """See ClusterAccess."""
        found = self._resource(resource)
        return self._shown(found, await fetch(self._core.store, found, namespace, name))

    async def create(self, resource: str, namespace: str, obj: Manifest) -> Manifest:
        """See ClusterAccess."""
        found = self._resource(resource)
        decoded = self._core.rules.decode(found, cast("dict[str, Any]", obj)).obj
        outcome = self._core.writer.create(found, namespace, decoded, WriteOptions(manager=self._manager))
        await self._core.store.committed(outcome.rv)
        return outcome.obj

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: object,
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Manifest:
        """See ClusterAccess."""
        found = self._resource(resource)
        options = WriteOptions(manager=field_manager or self._manager, field_validation="Ignore", force=force)
        request = PatchRequest(kind, body)
        outcome = self._core.writer.patch(found, namespace, name, request, options, subresource=subresource)
        await self._core.store.committed(outcome.rv)
        return outcome.obj

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_s: int | None = None,
    ) -> None:
        """See ClusterAccess."""
        found = self._resource(resource)
        stored = self._core.registry.stored(found.bucket) or found
        record = self._core.store.get(found.bucket, f"{namespace}/{name}")
        if record is None:
            raise apierrors.not_found(found.plural, found.group, name)
        options = DeleteOptions(grace_period_s=grace_period_s, propagation=propagation or "", uid=uid or "")
        done = deletion.delete(self._core.store, stored, record, options, self._core.clock)
        await self._core.store.committed(done.rv)
