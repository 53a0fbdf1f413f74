"""Namespaces: what every namespace is born with, and how one ends.

A new namespace gets the `default` ServiceAccount and the ConfigMap `kube-root-ca.crt`. A deleted one is emptied, and when the
last object is gone its `kubernetes` finalizer is taken away.
"""

from __future__ import annotations

from typing import Any

from tiphys.devcluster import deletion
from tiphys.devcluster.background import Background
from tiphys.devcluster.deletion import DeleteOptions
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.writes import WriteOptions, Writer
from tiphys.runtime.clock import format_time

Object = dict[str, Any]

MANAGER = "kube-controller-manager"
ROOT_CA = "kube-root-ca.crt"
ROOT_CA_NOTE = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as"
    " the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes"
    " clusters."
)
_BORN_WITH = {("serviceaccounts", "default"), ("configmaps", ROOT_CA)}


class Namespaces:
    """Follows namespaces and what is in those that are ending."""

    def __init__(
        self, *, store: Store, registry: Registry, writer: Writer, background: Background, ca_pem: str
    ) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background
        self._ca_pem = ca_pem
        self._ending: set[str] = set()

    def start(self) -> None:
        """Look at every namespace and follow changes from now on."""
        self.look()
        self._store.watch("*", self)

    def look(self) -> None:
        """Look at every namespace."""
        for record in self._store.scan("namespaces"):
            self._look(record)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        if event.bucket == "namespaces":
            if event.type == "DELETED":
                self._ending.discard(event.record.name)
            else:
                self._look(event.record)
        elif event.type == "DELETED":
            namespace = event.record.namespace
            if namespace in self._ending:
                self._queue_drain(namespace)
            elif (event.bucket, event.record.name) in _BORN_WITH:
                self._background.add(("born", namespace), lambda: self._equip(namespace))

    def _look(self, record: Record) -> None:
        name = record.name
        if record.deleting:
            self._ending.add(name)
            self._queue_drain(name)
        else:
            self._background.add(("born", name), lambda: self._equip(name))

    def _equip(self, namespace: str) -> None:
        """Create what is missing of what every namespace has."""
        found = self._store.get("namespaces", "/" + namespace)
        if found is None or found.deleting:
            return
        options = WriteOptions(manager=MANAGER)
        accounts, maps = self._registry.stored("serviceaccounts"), self._registry.stored("configmaps")
        if accounts is not None and self._store.get("serviceaccounts", f"{namespace}/default") is None:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self._writer.create(accounts, namespace, self._writer.rules.decode(accounts, account).obj, options)
        if maps is not None and self._store.get("configmaps", f"{namespace}/{ROOT_CA}") is None:
            config_map = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": ROOT_CA, "annotations": {"kubernetes.io/description": ROOT_CA_NOTE}},
                "data": {"ca.crt": self._ca_pem},
            }
            self._writer.create(maps, namespace, self._writer.rules.decode(maps, config_map).obj, options)

    def _queue_drain(self, namespace: str) -> None:
        self._background.add(("drain", namespace), lambda: self._drain(namespace))

    def _drain(self, namespace: str) -> None:
        """Ask every object to go, or finish when there is none."""
        record = self._store.get("namespaces", "/" + namespace)
        if record is None or not record.deleting:
            return
        remaining: dict[str, int] = {}
        finalizers: dict[str, int] = {}
        # Pods end before anything they may need: other content is touched when none is left.
        pods_first = bool(self._store.scan("pods", namespace))
        for resource in self._registry.buckets():
            if not resource.namespaced or (pods_first and resource.bucket != "pods"):
                continue
            for one in self._store.scan(resource.bucket, namespace):
                remaining[str(resource)] = remaining.get(str(resource), 0) + 1
                for name in one.obj["metadata"].get("finalizers") or ():
                    finalizers[name] = finalizers.get(name, 0) + 1
                if not one.deleting:
                    self._queue_delete(resource.bucket, one.key)
        record = self._say_remaining(record, remaining, finalizers)
        if not remaining:
            self._finish(record)

    def _queue_delete(self, bucket: str, key: str) -> None:
        def work() -> None:
            record, resource = self._store.get(bucket, key), self._registry.stored(bucket)
            if record is not None and resource is not None and not record.deleting:
                options = DeleteOptions(propagation="Background")
                deletion.delete(self._store, resource, record, options, self._writer.clock)

        self._background.add(("empty", bucket, key), work)

    def _say_remaining(self, record: Record, remaining: dict[str, int], finalizers: dict[str, int]) -> Record:
        """Conditions of a namespace that is being emptied.

        Source: kubernetes pkg/controller/namespace/deletion/status_condition_utils.go.
        """
        resource = self._registry.stored("namespaces")
        assert resource is not None
        counted = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.items()))
        kept = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        wanted = (
            (
                "NamespaceDeletionDiscoveryFailure",
                False,
                "ResourcesDiscovered",
                "All resources successfully discovered",
            ),
            (
                "NamespaceDeletionGroupVersionParsingFailure",
                False,
                "ParsedGroupVersions",
                "All legacy kube types successfully parsed",
            ),
            (
                "NamespaceDeletionContentFailure",
                False,
                "ContentDeleted",
                "All content successfully deleted, may be waiting on finalization",
            ),
            (
                "NamespaceContentRemaining",
                bool(remaining),
                "SomeResourcesRemain" if remaining else "ContentRemoved",
                f"Some resources are remaining: {counted}" if remaining else "All content successfully removed",
            ),
            (
                "NamespaceFinalizersRemaining",
                bool(kept),
                "SomeFinalizersRemain" if kept else "ContentHasNoFinalizers",
                f"Some content in the namespace has finalizers remaining: {kept}"
                if kept
                else "All content-preserving finalizers finished",
            ),
        )
        status = record.obj.get("status") or {}
        before = {one.get("type"): one for one in status.get("conditions") or ()}
        now = format_time(self._writer.clock.now())
        conditions = []
        for type_, holds, reason, message in wanted:
            one = {"type": type_, "status": "True" if holds else "False", "reason": reason, "message": message}
            old = before.get(type_) or {}
            changed = old.get("status") != one["status"] or not old
            one["lastTransitionTime"] = now if changed else old["lastTransitionTime"]
            conditions.append(one)
        return self._writer.change_status(resource, record, {**status, "conditions": conditions}, manager=MANAGER)

    def _finish(self, record: Record) -> None:
        resource = self._registry.stored("namespaces")
        assert resource is not None
        live = record.obj
        kept = [name for name in (live.get("spec") or {}).get("finalizers") or () if name != "kubernetes"]
        finalize(self._store, self._writer, record, kept)


def finalize(store: Store, writer: Writer, record: Record, finalizers: list[str]) -> Object:
    """Set a namespace's spec.finalizers; when none of any sort is left and it is being deleted, it is gone."""
    live = record.obj
    spec = {key: value for key, value in (live.get("spec") or {}).items() if key != "finalizers"}
    if finalizers:
        spec["finalizers"] = finalizers
    new: Object = {**live, "metadata": {**live["metadata"]}, "spec": spec}
    resource = writer.registry.stored("namespaces")
    assert resource is not None
    gone = deletion.finish_if_due(store, resource, record, new)
    if gone is not None:
        return new
    if new["spec"] == (live.get("spec") or {}):
        return live
    return store.put(resource.bucket, record.key, new).obj
