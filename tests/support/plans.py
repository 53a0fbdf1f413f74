"""Builders for plans, targets and live rows; a test says only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from tiphys.apimachinery.names import ResourceKey, gvk_of, key_of
from tiphys.apimachinery.yamljson import canonical_json, digest
from tiphys.engine.live.index import instance_by_annotation, row_of
from tiphys.engine.states import Action, Drift, DriftKind, Live, Phase, Target, Task, TaskId, TaskResult
from tiphys.engine.sync.plan import Wanted
from tiphys.model.annotations import annotations_of, is_hook, sync_wave
from tiphys.model.operation import OperationPhase, ResultCode

STARTED = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def manifest(kind: str = "ConfigMap", name: str = "a", *, namespace: str = "ns", **fields: Any) -> dict[str, Any]:
    """An object of a common kind; `annotations` and `generate_name` go to its metadata."""
    groups = {"Deployment": "apps/v1", "Job": "batch/v1", "CustomResourceDefinition": "apiextensions.k8s.io/v1"}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    if not namespace:
        del metadata["namespace"]
    if "generate_name" in fields:
        metadata["generateName"] = fields.pop("generate_name")
        del metadata["name"]
    if "annotations" in fields:
        metadata["annotations"] = fields.pop("annotations")
    api_version = fields.pop("apiVersion", groups.get(kind, "v1"))
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def target(obj: dict[str, Any]) -> Target:
    """The object as a Target."""
    json = canonical_json(obj)
    annotations = annotations_of(obj)
    return Target(
        key_of(obj), gvk_of(obj).version, digest(json), json, wave=sync_wave(annotations), hook=is_hook(annotations)
    )


def live(obj: dict[str, Any], *, uid: str = "u1", version: str = "1") -> Live:
    """The object as a row of the live view."""
    metadata = {**obj["metadata"], "uid": uid, "resourceVersion": version}
    return row_of({**obj, "metadata": metadata}, instance_by_annotation)


def drift(obj: dict[str, Any], kind: DriftKind = DriftKind.MISSING, **fields: Any) -> Drift:
    """A drift of the object; extra ones have no target."""
    wave = sync_wave(annotations_of(obj))
    if kind is DriftKind.EXTRA:
        return Drift(key_of(obj), kind, None, live(obj), "", wave, **fields)
    row = None if kind is DriftKind.MISSING else live(obj)
    return Drift(key_of(obj), kind, target(obj), row, "", wave, **fields)


def wanted(**fields: Any) -> Wanted:
    """An operation at revision 0123456789."""
    return Wanted(revision="0123456789", started_at=STARTED, **fields)


def result(task: Task, phase: OperationPhase | None = OperationPhase.RUNNING, **fields: Any) -> TaskResult:
    """A result of a task that was applied."""
    fields.setdefault("status", ResultCode.SYNCED)
    return TaskResult(task.id, "v1", phase=phase, hook=task.action is Action.HOOK, **fields)


def task_id(kind: str, name: str, phase: Phase = Phase.SYNC, *, namespace: str = "ns") -> TaskId:
    """Identity of a task of a common kind."""
    return TaskId(ResourceKey({"Deployment": "apps", "Job": "batch"}.get(kind, ""), kind, namespace, name), phase)


def parsed(row: Live) -> dict[str, Any]:
    """The object of a row."""
    found: dict[str, Any] = orjson.loads(row.json)
    return found
