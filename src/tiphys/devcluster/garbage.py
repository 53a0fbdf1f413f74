"""Garbage: deletes what owners leave behind (background), holds owners back (foreground), or cuts the ties (orphan).

Follows the ownerReferences of every object by uid. Driven by the store's events; nothing is polled.

Source: kubernetes pkg/controller/garbagecollector; dev-cluster 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.names import split_api_version
from tiphys.devcluster import deletion
from tiphys.devcluster.background import Background
from tiphys.devcluster.deletion import FOREGROUND, ORPHAN, DeleteOptions
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.writes import Writer

Place = tuple[str, str]  # bucket, key
MANAGER = "kube-controller-manager"


class GarbageCollector:
    """Knows every object by uid and every dependent by its owners' uids."""

    def __init__(self, *, store: Store, registry: Registry, writer: Writer, background: Background) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background
        self._places: dict[str, Place] = {}
        self._dependents: dict[str, set[Place]] = {}

    def start(self) -> None:
        """Learn what is there, look at what may be left from before, and follow changes from now on."""
        for resource in self._registry.buckets():
            for record in self._store.scan(resource.bucket):
                self._learn(resource.bucket, record)
        self.look()
        self._store.watch("*", self)

    def look(self) -> None:
        """Look at every object."""
        for resource in self._registry.buckets():
            for record in self._store.scan(resource.bucket):
                self._look(resource.bucket, record)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        record = event.record
        place = (event.bucket, record.key)
        if event.type == "DELETED":
            if self._places.get(record.uid) == place:
                del self._places[record.uid]
            for uid, _ in event.previous.owners if event.previous is not None else record.owners:
                self._forget(uid, place)
                self._look_at_owner(uid)
            for dependent in self._dependents.get(record.uid, ()):
                self._queue_check(dependent)
            return
        if event.previous is not None and event.previous.owners != record.owners:
            for uid, _ in event.previous.owners:
                self._forget(uid, place)
                self._look_at_owner(uid)
        self._learn(event.bucket, record)
        self._look(event.bucket, record)

    def _learn(self, bucket: str, record: Record) -> None:
        place = (bucket, record.key)
        self._places[record.uid] = place
        for uid, _ in record.owners:
            self._dependents.setdefault(uid, set()).add(place)

    def _forget(self, owner: str, place: Place) -> None:
        found = self._dependents.get(owner)
        if found is not None:
            found.discard(place)
            if not found:
                del self._dependents[owner]

    def _look(self, bucket: str, record: Record) -> None:
        if record.deleting:
            self._background.add(("finalize", bucket, record.key), lambda: self._finalize(bucket, record.key))
        elif record.owners:
            self._queue_check((bucket, record.key))

    def _look_at_owner(self, uid: str) -> None:
        place = self._places.get(uid)
        if place is not None:
            owner = self._store.get(*place)
            if owner is not None and owner.deleting:
                self._look(place[0], owner)

    def _queue_check(self, place: Place) -> None:
        self._background.add(("check", *place), lambda: self._check(place))

    # ---- one dependent ----

    def _check(self, place: Place) -> None:
        """Delete an object whose owners are all gone (or wait for it to go); drop references to owners that are gone."""
        bucket, key = place
        record = self._store.get(bucket, key)
        if record is None or record.deleting or not record.owners:
            return
        if not all(self._is_served(one) for one in record.obj["metadata"]["ownerReferences"]):
            return  # nobody can tell whether such an owner is there
        solid, gone, waiting = [], [], []
        for uid, blocking in record.owners:
            owner = self._owner(uid, record)
            if owner is None:
                gone.append(uid)
            elif blocking and owner.deleting and FOREGROUND in _finalizers(owner):
                waiting.append(uid)
            else:
                solid.append(uid)
        if solid:
            if gone or waiting:
                self._drop_references(bucket, record, {*gone, *waiting})
            return
        if not gone and not waiting:
            return
        finalizers = _finalizers(record)
        if waiting and self._dependents.get(record.uid):
            policy = "Foreground"
        elif ORPHAN in finalizers:
            policy = "Orphan"
        elif FOREGROUND in finalizers:
            policy = "Foreground"
        else:
            policy = "Background"
        self._delete(bucket, record, policy)

    def _is_served(self, reference: Mapping[str, Any]) -> bool:
        group, version = split_api_version(str(reference.get("apiVersion") or ""))
        served = self._registry.groups().get(group, {}).get(version, {})
        return any(one.kind == reference.get("kind") for one in served.values())

    def _owner(self, uid: str, dependent: Record) -> Record | None:
        place = self._places.get(uid)
        owner = self._store.get(*place) if place is not None else None
        # An owner must be cluster-scoped or in the dependent's own namespace.
        if owner is None or owner.uid != uid or owner.namespace not in ("", dependent.namespace):
            return None
        return owner

    def _delete(self, bucket: str, record: Record, policy: str) -> None:
        resource = self._registry.stored(bucket)
        if resource is not None:
            options = DeleteOptions(propagation=policy, uid=record.uid)
            deletion.delete(self._store, resource, record, options, self._writer.clock)

    def _drop_references(self, bucket: str, record: Record, uids: set[str]) -> None:
        def change(metadata: dict[str, Any]) -> None:
            metadata["ownerReferences"] = [one for one in metadata["ownerReferences"] if one.get("uid") not in uids]

        resource = self._registry.stored(bucket)
        if resource is not None:
            self._writer.change_metadata(resource, record, change, manager=MANAGER)

    # ---- one owner ----

    def _finalize(self, bucket: str, key: str) -> None:
        """Do what an owner's propagation finalizer asks for, and take it away when that is done."""
        record = self._store.get(bucket, key)
        if record is None or not record.deleting:
            return
        finalizers = _finalizers(record)
        dependents = sorted(self._dependents.get(record.uid, ()))
        if ORPHAN in finalizers:
            for place in dependents:
                dependent = self._store.get(*place)
                if dependent is not None:
                    self._drop_references(place[0], dependent, {record.uid})
            self._remove_finalizer(bucket, key, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = [place for place in dependents if self._blocks(place, record.uid)]
            for place in blocking:
                self._queue_check(place)
            if not blocking:
                self._remove_finalizer(bucket, key, FOREGROUND)

    def _blocks(self, place: Place, uid: str) -> bool:
        dependent = self._store.get(*place)
        return dependent is not None and (uid, True) in dependent.owners

    def _remove_finalizer(self, bucket: str, key: str, name: str) -> None:
        record, resource = self._store.get(bucket, key), self._registry.stored(bucket)
        if record is None or resource is None:
            return

        def change(metadata: dict[str, Any]) -> None:
            metadata["finalizers"] = [one for one in metadata.get("finalizers") or () if one != name]

        self._writer.change_metadata(resource, record, change, manager=MANAGER)


def _finalizers(record: Record) -> list[str]:
    return record.obj["metadata"].get("finalizers") or []
