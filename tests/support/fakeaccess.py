"""A cluster of dicts behind `ClusterAccess`: versions, uids, preconditions, finalizers and watches, and nothing else.

No defaults, no validation, no garbage collection: what a test needs of a spec it writes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from tiphys.apimachinery import mergepatch
from tiphys.apimachinery.apierrors import ApiError, Expired, already_exists, conflict, not_found
from tiphys.apimachinery.selector import parse_labels
from tiphys.devcluster.access import Manifest, PatchKind, Propagation
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.ids import Ids

Key = tuple[str, str]


class FakeAccess:
    """One cluster in memory. `refuse` makes writes of a resource fail; `expire` breaks every open watch."""

    def __init__(self, *, clock: Clock, ids: Ids) -> None:
        self._clock = clock
        self._ids = ids
        self._version = 0
        self._oldest = 0
        self._objects: dict[str, dict[Key, dict[str, Any]]] = {}
        self._history: list[tuple[int, str, str, dict[str, Any]]] = []
        self._changed = asyncio.Event()
        self.refused: dict[tuple[str, str], ApiError] = {}
        self.writes: list[tuple[str, str, str]] = []  # verb, resource with subresource, name

    # ---- for tests ----

    @property
    def version(self) -> int:
        """Grows with every change."""
        return self._version

    def expire(self) -> None:
        """Forget all history, so that watches have to be started anew from a list."""
        self._version += 1
        self._oldest = self._version
        self._history.clear()
        self._wake()

    def objects(self, resource: str) -> list[dict[str, Any]]:
        """All objects of a resource, as they are."""
        return list(self._objects.get(resource, {}).values())

    def put(self, resource: str, obj: Mapping[str, Any]) -> None:
        """Change an object behind everybody's back (but for the watch)."""
        metadata = obj["metadata"]
        self._store(resource, (metadata.get("namespace", ""), metadata["name"]), dict(obj), "MODIFIED")

    # ---- ClusterAccess ----

    async def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = ""
    ) -> tuple[list[Manifest], str]:
        """See ClusterAccess."""
        await asyncio.sleep(0)
        selector = parse_labels(label_selector)
        items: list[Manifest] = [
            obj
            for (place, _), obj in self._objects.get(resource, {}).items()
            if namespace in (None, place) and selector.matches(obj["metadata"].get("labels"))
        ]
        return items, str(self._version)

    async def watch(self, resource: str, resource_version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """See ClusterAccess."""
        seen = int(resource_version)
        while True:
            if seen < self._oldest:
                raise Expired(f"too old resource version: {seen} ({self._oldest})")
            fresh = [row for row in self._history if row[0] > seen]
            for version, where, kind, obj in fresh:
                seen = version
                if where == resource:
                    yield kind, obj
            changed = self._changed
            if not fresh:
                await changed.wait()

    async def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """See ClusterAccess."""
        return self._found(resource, namespace, name)

    async def create(self, resource: str, namespace: str, obj: Manifest) -> Manifest:
        """See ClusterAccess."""
        await asyncio.sleep(0)
        self._check(resource, "create")
        new: dict[str, Any] = mergepatch.apply({}, dict(obj))
        metadata = new.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = metadata["generateName"] + self._ids.suffix()
        if namespace:
            metadata["namespace"] = namespace
        key = (namespace, metadata["name"])
        if key in self._objects.get(resource, {}):
            raise already_exists(resource.rpartition("/")[2], "", metadata["name"])
        metadata |= {"uid": self._ids.uuid(), "generation": 1, "creationTimestamp": format_time(self._clock.now())}
        if resource == "v1/pods":
            new["status"] = {"phase": "Pending"}
        self.writes.append(("create", resource, metadata["name"]))
        return self._store(resource, key, new, "ADDED")

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: Any,
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Manifest:
        """See ClusterAccess. An apply is a merge that may create."""
        await asyncio.sleep(0)
        self._check(resource, "patch")
        if kind == "apply" and (namespace, name) not in self._objects.get(resource, {}):
            return await self.create(resource, namespace, body)
        old = self._found(resource, namespace, name)
        given = body.get("metadata") or {}
        for field in ("uid", "resourceVersion"):
            if given.get(field) not in (None, old["metadata"][field]):
                raise conflict(resource.rpartition("/")[2], "", name)
        new = mergepatch.apply(old, body)
        new["metadata"] = {**new["metadata"]}
        if subresource == "status":
            new = {**old, "status": new.get("status") or {}, "metadata": {**old["metadata"], **_annotations(new)}}
        elif subresource == "":
            new["status"] = old.get("status") or {}
        new["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"]
        if new == old:
            return old
        if new.get("spec") != old.get("spec"):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        self.writes.append(("patch", f"{resource}/{subresource}" if subresource else resource, name))
        return self._finish(resource, (namespace, name), new)

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
        """See ClusterAccess. Pods on a node get their grace period."""
        await asyncio.sleep(0)
        self._check(resource, "delete")
        old = self._found(resource, namespace, name)
        if uid not in (None, old["metadata"]["uid"]):
            raise conflict(resource.rpartition("/")[2], "", name)
        grace = 0
        if resource == "v1/pods" and (old.get("spec") or {}).get("nodeName"):
            grace = 30 if grace_period_s is None else grace_period_s
            if (old.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                grace = 0
        stamp = old["metadata"].get("deletionTimestamp") or format_time(self._clock.now())
        metadata = {**old["metadata"], "deletionTimestamp": stamp, "deletionGracePeriodSeconds": grace}
        if metadata != old["metadata"]:
            self.writes.append(("delete", resource, name))
            self._finish(resource, (namespace, name), {**old, "metadata": metadata})

    # ---- inside ----

    def _check(self, resource: str, verb: str) -> None:
        error = self.refused.get((resource, verb))
        if error is not None:
            raise error

    def _found(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        found = self._objects.get(resource, {}).get((namespace, name))
        if found is None:
            raise not_found(resource.rpartition("/")[2], "", name)
        return found

    def _finish(self, resource: str, key: Key, new: dict[str, Any]) -> dict[str, Any]:
        """Store, or remove what is being deleted and nothing holds."""
        metadata = new["metadata"]
        held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        ends = metadata.get("deletionTimestamp") and not held
        return self._store(resource, key, new, "DELETED" if ends else "MODIFIED")

    def _store(self, resource: str, key: Key, obj: dict[str, Any], event: str) -> dict[str, Any]:
        self._version += 1
        new = {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}}
        if event == "DELETED":
            del self._objects[resource][key]
        else:
            self._objects.setdefault(resource, {})[key] = new
        self._history.append((self._version, resource, event, new))
        self._wake()
        return new

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _annotations(obj: Mapping[str, Any]) -> dict[str, Any]:
    found = obj["metadata"].get("annotations")
    return {"annotations": found} if found else {}
