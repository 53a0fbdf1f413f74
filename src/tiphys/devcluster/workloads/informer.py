"""A cache of one resource kept current by list and watch; whoever changes an object sees its own change at once.

Events that are older than what is held are passed over, so an answer to a write may arrive before or after its event.
A lost watch or an expired version leads to a new list; changes in between reach the handlers as differences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import aclosing
from typing import Any, cast

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import ApiError, Gone, NotFound
from tiphys.devcluster.access import ClusterAccess
from tiphys.devcluster.workloads.fields import Key, Obj, key_of, version_number
from tiphys.runtime.backoff import Backoff
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger

Handler = Callable[[Obj | None, Obj | None], None]

RELIST = Backoff(initial_s=0.1, factor=2.0, max_s=15.0)


class Informer:
    """Objects of one resource by key, by namespace and by controller. `synced` is set after the first list."""

    def __init__(self, resource: str, access: ClusterAccess, *, clock: Clock, log: Logger) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        self._access = access
        self._clock = clock
        self._log = log.bind(resource=resource)
        self._objects: dict[Key, Obj] = {}
        self._namespaces: dict[str, dict[Key, None]] = {}
        self._owned: dict[str, dict[Key, None]] = {}
        self._orphans: dict[str, dict[Key, None]] = {}
        self._handlers: list[Handler] = []
        self._seen = 0  # newest version the watch has delivered

    # ---- reading ----

    def get(self, key: Key) -> Obj | None:
        """One object."""
        return self._objects.get(key)

    def all(self) -> list[Obj]:
        """All objects."""
        return list(self._objects.values())

    def in_namespace(self, namespace: str) -> list[Obj]:
        """All objects of a namespace."""
        return [self._objects[key] for key in self._namespaces.get(namespace, ())]

    def owned_by(self, owner: Obj) -> list[Obj]:
        """Objects whose controller is `owner`."""
        return [self._objects[key] for key in self._owned.get(meta.uid(owner), ())]

    def orphans(self, namespace: str) -> list[Obj]:
        """Objects of a namespace that no controller owns."""
        return [self._objects[key] for key in self._orphans.get(namespace, ())]

    def subscribe(self, handler: Handler) -> None:
        """Tell `handler` (old, new) of every change; old is None for a new object, new is None for one that is gone."""
        self._handlers.append(handler)

    # ---- own writes ----

    def wrote(self, obj: Obj) -> None:
        """Take in the answer to a write, unless the watch has been past it already."""
        version = version_number(obj)
        held = self._objects.get(key_of(obj))
        if held is None and version <= self._seen:
            return  # created, and gone again before the answer came
        if held is not None and version <= version_number(held):
            return
        if meta.is_deleting(obj) and not meta.finalizers(obj) and _grace(obj) == 0:
            self._drop(key_of(obj))  # the write took the last finalizer away
            return
        self._set(obj)

    def asked_to_delete(self, obj: Obj) -> None:
        """Count an object as being deleted from now on; the event that says so is on its way."""
        held = self._objects.get(key_of(obj))
        if held is None or meta.uid(held) != meta.uid(obj) or meta.is_deleting(held):
            return
        now = meta.format_time(self._clock.now())
        self._set({**held, "metadata": {**held["metadata"], "deletionTimestamp": now}})

    def gone(self, obj: Obj) -> None:
        """Forget an object the server says is not there."""
        held = self._objects.get(key_of(obj))
        if held is not None and meta.uid(held) == meta.uid(obj):
            self._drop(key_of(obj))

    # ---- following ----

    async def run(self) -> None:
        """List and watch until cancelled."""
        failures = 0
        while True:
            try:
                items, version = await self._access.list(self.resource)
                self._replace(cast("list[Obj]", items), version)
                self.synced.set()
                async with aclosing(cast(Any, self._access.watch(self.resource, version))) as events:
                    async for kind, obj in events:
                        failures = 0
                        self._take(kind, obj)
                why = "the watch ended"
            except Gone as error:
                why = error.message
                if failures == 0:
                    failures = 1
                    continue
            except NotFound as error:
                why = error.message
                self.synced.set()  # a server without the resource has no objects of it
            except ApiError as error:
                why = error.message
            failures += 1
            delay = RELIST.delay_s(failures)
            if failures == 1:  # said once for an outage, however long it is
                self._log.warning("the cluster cannot be followed; trying again", why=why)
            await self._clock.sleep(delay)

    def _take(self, kind: str, obj: Obj) -> None:
        version = version_number(obj)
        self._seen = max(self._seen, version)
        if kind == "BOOKMARK":
            return
        key = key_of(obj)
        held = self._objects.get(key)
        if held is not None and version < version_number(held):
            return  # older than the answer to a write of ours
        if kind == "DELETED":
            if held is not None:
                self._drop(key, obj)
            return
        self._set(obj)

    def _replace(self, items: Iterable[Obj], version: str) -> None:
        listed = int(version) if version.isascii() and version.isdigit() else 0
        self._seen = max(self._seen, listed)
        found = {key_of(obj): obj for obj in items}
        for key, held in list(self._objects.items()):
            if key not in found and version_number(held) <= listed:
                self._drop(key)
        for key, obj in found.items():
            known = self._objects.get(key)
            if known is None or version_number(known) < version_number(obj):
                self._set(obj)

    def _set(self, obj: Obj) -> None:
        key = key_of(obj)
        old = self._objects.get(key)
        if old is not None:
            self._unindex(key, old)
        self._objects[key] = obj
        self._namespaces.setdefault(key[0], {})[key] = None
        owner = meta.controller_of(obj)
        if owner is not None:
            self._owned.setdefault(str(owner.get("uid")), {})[key] = None
        else:
            self._orphans.setdefault(key[0], {})[key] = None
        for handler in self._handlers:
            handler(old, obj)

    def _drop(self, key: Key, last: Obj | None = None) -> None:
        old = self._objects.pop(key, None)
        if old is None:
            return
        self._unindex(key, old)
        for handler in self._handlers:
            handler(last or old, None)

    def _unindex(self, key: Key, obj: Obj) -> None:
        owner = meta.controller_of(obj)
        held = (self._owned, str(owner.get("uid"))) if owner is not None else (self._orphans, key[0])
        for index, value in ((self._namespaces, key[0]), held):
            keys = index.get(value)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del index[value]


def _grace(obj: Obj) -> int:
    found = meta.metadata(obj).get("deletionGracePeriodSeconds")
    return found if isinstance(found, int) else 0
