"""Ownership graph of an Application's live objects, and what a root is waiting for. Pure.

Source: compat 13.1 "resource-tree".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tiphys.apimachinery.names import GroupKind
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.states import Live

# Kinds that stand below a kind that Git declares; they are watched with it.
CHILD_KINDS: Mapping[GroupKind, tuple[GroupKind, ...]] = {
    GroupKind("apps", "Deployment"): (GroupKind("apps", "ReplicaSet"), GroupKind("", "Pod")),
    GroupKind("apps", "ReplicaSet"): (GroupKind("", "Pod"),),
    GroupKind("apps", "StatefulSet"): (GroupKind("", "Pod"),),
    GroupKind("apps", "DaemonSet"): (GroupKind("", "Pod"),),
    GroupKind("batch", "Job"): (GroupKind("", "Pod"),),
    GroupKind("batch", "CronJob"): (GroupKind("batch", "Job"), GroupKind("", "Pod")),
}


def with_children(kinds: Iterable[GroupKind]) -> frozenset[GroupKind]:
    """The kinds and those that may stand below them."""
    found = set(kinds)
    for kind in tuple(found):
        found.update(CHILD_KINDS.get(kind, ()))
    return frozenset(found)


def descend(index: LiveIndex, roots: Iterable[Live]) -> Iterator[tuple[Live, Live | None]]:
    """Every object below the roots with its parent, parents first; an object with two parents comes once."""
    seen: set[str] = set()
    stack: list[tuple[Live, Live | None]] = [(root, None) for root in roots]
    while stack:
        row, parent = stack.pop()
        if row.uid in seen:
            continue
        seen.add(row.uid)
        yield row, parent
        stack.extend((child, row) for child in index.children(row.uid))


def pod_images(pod: Mapping[str, Any]) -> Iterator[str]:
    """Images a Pod's containers run."""
    spec = pod.get("spec") or {}
    for field in ("initContainers", "containers"):
        for container in spec.get(field) or ():
            if container.get("image"):
                yield str(container["image"])


def resource_node(row: Live, parent: Live | None, health: Callable[[Live], Any]) -> dict[str, Any]:
    """A node as `resource-tree` answers it; `health` gives a Health or None."""
    manifest = row.manifest
    metadata = manifest.get("metadata") or {}
    node: dict[str, Any] = {
        "version": row.version,
        "kind": row.key.kind,
        "name": row.key.name,
        "uid": row.uid,
        "resourceVersion": row.resource_version,
        "createdAt": metadata.get("creationTimestamp"),
    }
    if row.key.group:
        node["group"] = row.key.group
    if row.key.namespace:
        node["namespace"] = row.key.namespace
    if parent is not None:
        ref = {"kind": parent.key.kind, "name": parent.key.name, "uid": parent.uid}
        if parent.key.group:
            ref["group"] = parent.key.group
        if parent.key.namespace:
            ref["namespace"] = parent.key.namespace
        node["parentRefs"] = [ref]
    if row.key.group_kind == GroupKind("", "Pod"):
        node["images"] = list(pod_images(manifest))
    found = health(row)
    if found is not None:
        node["health"] = {"status": found.status.value, **({"message": found.message} if found.message else {})}
    return node
