"""What the API shows of live resources: the resource tree and the managed resources with their differences.

Secret values are masked here, from the parsed object, so that no route has to remember it.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from tiphys.controllers.application import ApplicationController
from tiphys.controllers.clusters import ClusterSession
from tiphys.engine.live.tree import descend, resource_node
from tiphys.engine.reconcile import health_of
from tiphys.engine.states import Comparison, DriftKind, Live, Target
from tiphys.model.annotations import LAST_APPLIED

_MASK = "++++++++"


class EngineViews:
    """Answers from the engine's memory; nothing is asked of a cluster."""

    def __init__(self, controller: ApplicationController) -> None:
        self._controller = controller

    async def resource_tree(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """Nodes of an Application's live resources, parents first; None when it has not been compared yet."""
        found = self._controller.comparison((namespace, name))
        if found is None:
            return None
        comparison, session = found
        nodes = [
            resource_node(row, parent, health_of) for row, parent in descend(session.index, _roots(comparison, session))
        ]
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
        healths: dict[tuple[str, str, str, str], Mapping[str, str]] = {}
        for key, verdict in comparison.verdicts.items():
            row = session.index.get(key)
            if row is None:
                if verdict.drift.kind is DriftKind.MISSING:
                    healths[key] = {"status": "Missing"}
                continue
            health = health_of(row)
            if health is not None:
                message = {"message": health.message} if health.message else {}
                healths[key] = {"status": health.status.value, **message}
        return healths

    async def managed_resources(self, namespace: str, name: str) -> Sequence[Mapping[str, Any]] | None:
        """Target and live state of each managed resource as JSON texts; None when it has not been compared yet."""
        found = self._controller.comparison((namespace, name))
        if found is None:
            return None
        comparison, session = found
        return [
            _resource_diff(verdict.drift.target, session.index.get(key), verdict.drift.kind, key)
            for key, verdict in sorted(comparison.verdicts.items())
        ]


def _roots(comparison: Comparison, session: ClusterSession) -> Iterator[Live]:
    for key in comparison.verdicts:
        row = session.index.get(key)
        if row is not None:
            yield row


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
    if key.group == "" and key.kind == "Secret":
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


def mask_secrets(*objects: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, ...]:
    """Copies of Secrets with every value masked; equal values have equal masks, so that differences stay visible.

    The copy of the values in the last-applied annotation is masked with them. Source: compat 3.5 "Secret display".
    """
    masks: dict[str, str] = {}

    def mask(value: object) -> str:
        return masks.setdefault(str(value), _MASK + "++++" * len(masks))

    return tuple(None if obj is None else _masked(obj, mask) for obj in objects)


def _masked(obj: Mapping[str, Any], mask: Callable[[object], str]) -> dict[str, Any]:
    copy = dict(obj)
    plain = copy.pop("stringData", None)
    data = dict(copy.get("data") or {})
    if isinstance(plain, Mapping):
        data.update({k: base64.b64encode(str(v).encode()).decode() for k, v in plain.items()})
    if data:
        copy["data"] = {name: mask(value) for name, value in data.items()}
    metadata = dict(copy.get("metadata") or {})
    annotations = dict(metadata.get("annotations") or {})
    text = annotations.get(LAST_APPLIED)
    if isinstance(text, str):
        try:
            applied = orjson.loads(text)
        except orjson.JSONDecodeError:
            applied = None
        annotations[LAST_APPLIED] = (
            orjson.dumps(_masked(applied, mask)).decode() if isinstance(applied, dict) else _MASK
        )
        metadata["annotations"] = annotations
        copy["metadata"] = metadata
    return copy
