"""What the API shows of live resources: the resource tree and the managed resources with their differences.

Secret values are masked here, from the parsed object, so that no route has to remember it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import orjson

from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.masking import SECRET, mask_secrets
from tiphys.engine.live.tree import descend, resource_node
from tiphys.engine.reconcile import health_of
from tiphys.engine.states import Comparison, DriftKind, Health, Live, Target

Made = TypeVar("Made")
Key = tuple[str, str]  # namespace and name of an Application


class EngineViews:
    """Answers from the engine's memory; nothing is asked of a cluster."""

    def __init__(self, controller: ApplicationController) -> None:
        self._controller = controller
        self._following: dict[Key, set[asyncio.Event]] = {}
        controller.looked_at = self._looked_at

    @contextmanager
    def follow_tree(self, namespace: str, name: str) -> Iterator[asyncio.Event]:
        """An event that is set whenever the tree may have changed; who waits for it clears it."""
        changed = asyncio.Event()
        following = self._following.setdefault((namespace, name), set())
        following.add(changed)
        try:
            yield changed
        finally:
            following.discard(changed)
            if not following:
                self._following.pop((namespace, name), None)

    def _looked_at(self, key: Key) -> None:
        for changed in self._following.get(key, ()):
            changed.set()

    async def resource_tree(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Nodes of an Application's live resources, parents first; None when it has not been compared yet."""
        found = self._controller.comparison((namespace, name))
        if found is None:
            return None
        comparison, session = found
        nodes = await self._with_scripts(
            lambda health: [
                resource_node(row, parent, health)
                for row, parent in descend(session.index, _roots(comparison, session))
            ]
        )
        missing = [
            _missing_node(v.drift.target) for v in comparison.verdicts.values() if v.drift.kind is DriftKind.MISSING
        ]
        return {"nodes": nodes + [node for node in missing if node is not None]}

    async def resource_health(self, namespace: str, name: str) -> Mapping[tuple[str, str, str, str], Mapping[str, str]]:
        """Health of each managed resource that has one; a resource that is wanted and not there is Missing."""
        found = self._controller.comparison((namespace, name))
        if found is None:
            return {}
        comparison, session = found
        return await self._with_scripts(lambda health: _healths(comparison, session, health))

    async def _with_scripts(self, make: Callable[[Callable[[Live], Health | None]], Made]) -> Made:
        """What `make` makes with the health of rows, once the scripts for them have answered."""
        lookup = self._controller.health_lookup()
        made = make(lambda row: health_of(row, lookup))
        if lookup is not None and await lookup.settle():
            made = make(lambda row: health_of(row, lookup))
        return made

    async def managed_resources(self, namespace: str, name: str) -> Sequence[Mapping[str, Any]] | None:
        """Target and live state of each managed resource as JSON texts; None when it has not been compared yet."""
        found = self._controller.comparison((namespace, name))
        if found is None:
            return None
        comparison, session = found
        return [
            _resource_diff(verdict.drift.target, _visible(comparison, session, key), verdict.drift.kind, key)
            for key, verdict in sorted(comparison.verdicts.items())
        ]


def _healths(
    comparison: Comparison, session: ClusterSession, health: Callable[[Live], Health | None]
) -> dict[tuple[str, str, str, str], Mapping[str, str]]:
    healths: dict[tuple[str, str, str, str], Mapping[str, str]] = {}
    for key, verdict in comparison.verdicts.items():
        row = session.index.get(key)
        if row is None:
            if verdict.drift.kind is DriftKind.MISSING:
                healths[key] = {"status": "Missing"}
            continue
        found = health(row)
        if found is not None:
            message = {"message": found.message} if found.message else {}
            healths[key] = {"status": found.status.value, **message}
    return healths


def _roots(comparison: Comparison, session: ClusterSession) -> Iterator[Live]:
    for key in comparison.verdicts:
        row = session.index.get(key)
        if row is not None and key not in comparison.target.denied:  # what the project forbids is nobody's to see here
            yield row


def _visible(comparison: Comparison, session: ClusterSession, key: ResourceKey) -> Live | None:
    return None if key in comparison.target.denied else session.index.get(key)


def _missing_node(target: Target | None) -> dict[str, Any] | None:
    if target is None:
        return None
    key = target.key
    node: dict[str, Any] = {
        "version": target.version,
        "kind": key.kind,
        "name": key.name,
        "health": {"status": "Missing"},
    }
    if key.group:
        node["group"] = key.group
    if key.namespace:
        node["namespace"] = key.namespace
    return node


def _resource_diff(target: Target | None, live: Live | None, kind: DriftKind, key: Any) -> dict[str, Any]:
    wanted = target.manifest if target is not None else None
    there = live.manifest if live is not None else None
    if key.group_kind == SECRET:
        wanted, there = mask_secrets(wanted, there)
    item: dict[str, Any] = {
        "kind": key.kind,
        "name": key.name,
        "targetState": _text(wanted),
        "liveState": _text(there),
        "normalizedLiveState": _text(there),
        "predictedLiveState": _text(there if kind is DriftKind.SAME else wanted),
    }
    if key.group:
        item["group"] = key.group
    if key.namespace:
        item["namespace"] = key.namespace
    if live is not None:
        item["resourceVersion"] = live.resource_version
    if kind in (DriftKind.MODIFIED, DriftKind.MISSING):
        item["modified"] = True
    return item


def _text(obj: Mapping[str, Any] | None) -> str:
    return "null" if obj is None else orjson.dumps(obj).decode()
