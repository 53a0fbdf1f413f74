"""Comparison -> what stands in the Application's status: resources, images, links, results. Pure.

Source: compat 1.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.states import (
    Comparison,
    Health,
    OperationPhase,
    Phase,
    ResourceVerdict,
    ResultCode,
    TaskId,
    TaskResult,
)
from tiphys.model.operation import ResourceResult
from tiphys.model.statuses import ApplicationSummary, HealthState, ResourceStatus


class ResourceRows:
    """status.resources of one Application; a row is made once for each verdict."""

    def __init__(self) -> None:
        self._made: dict[ResourceKey, tuple[ResourceVerdict, ResourceStatus]] = {}
        self._verdicts: Mapping[ResourceKey, ResourceVerdict] | None = None
        self._rows: tuple[ResourceStatus, ...] = ()

    def of(self, comparison: Comparison) -> tuple[ResourceStatus, ...]:
        """Sorted; hooks have no sync status. Health is left to the resource tree, as upstream's default is."""
        verdicts, made = comparison.verdicts, self._made
        if verdicts is self._verdicts:
            return self._rows
        kept: dict[ResourceKey, tuple[ResourceVerdict, ResourceStatus]] = {}
        for key, verdict in verdicts.items():
            known = made.get(key)
            kept[key] = known if known is not None and known[0] is verdict else (verdict, _row(key, verdict))
        # A key sorts as its row does: group, kind, namespace, name.
        self._rows = tuple(kept[key][1] for key in sorted(kept))
        self._made, self._verdicts = kept, verdicts
        return self._rows


def _row(key: ResourceKey, verdict: ResourceVerdict) -> ResourceStatus:
    drift = verdict.drift
    version = drift.target.version if drift.target is not None else (drift.live.version if drift.live else "")
    if drift.kind == "unknown":
        status = "Unknown"
    else:
        status = "OutOfSync" if drift.out_of_sync else "Synced"
    return ResourceStatus(
        group=key.group,
        version=version,
        kind=key.kind,
        namespace=key.namespace,
        name=key.name,
        status="" if verdict.hook else status,
        hook=verdict.hook,
        requires_pruning=drift.requires_prune,
        sync_wave=drift.wave,
        requires_deletion_confirmation=drift.needs_confirmation,
    )


def health_state(health: Health, before: HealthState | None, now: datetime) -> HealthState:
    """status.health; lastTransitionTime moves only when the word changes."""
    if before is not None and before.status == health.status and before.last_transition_time is not None:
        return HealthState(
            status=health.status, message=health.message, last_transition_time=before.last_transition_time
        )
    return HealthState(status=health.status, message=health.message, last_transition_time=now)


def summary(images: Iterable[str], comparison: Comparison) -> ApplicationSummary:
    """status.summary: images sorted and unique."""
    apps = any(key.group_kind == ("argoproj.io", "Application") for key in comparison.verdicts)
    return ApplicationSummary(images=tuple(sorted(set(images))), is_app_of_apps=apps)


def resource_results(results: Mapping[TaskId, TaskResult]) -> tuple[ResourceResult, ...]:
    """operationState.syncResult.resources in the order the tasks were run."""
    return tuple(
        ResourceResult(
            group=identity.key.group,
            version=result.version,
            kind=identity.key.kind,
            namespace=identity.key.namespace,
            name=identity.key.name,
            status=result.status.value if result.status is not None else "",
            message=result.message,
            hook_type=identity.phase.value if result.hook else "",
            hook_phase=result.phase.value if result.phase is not None else "",
            sync_phase=identity.phase.value,
            images=result.images,
        )
        for identity, result in results.items()
    )


def recorded_results(resources: Iterable[ResourceResult]) -> dict[TaskId, TaskResult]:
    """The results an interrupted operation had recorded; unreadable rows are left out and their tasks run again."""
    found: dict[TaskId, TaskResult] = {}
    for row in resources:
        try:
            phase = Phase(row.sync_phase or Phase.SYNC.value)
            status = ResultCode(row.status) if row.status else None
            state = OperationPhase(row.hook_phase) if row.hook_phase else None
        except ValueError:
            continue
        key = ResourceKey(row.group, row.kind, row.namespace, row.name)
        identity = TaskId(key, phase)
        found[identity] = TaskResult(
            identity, row.version, status, state, row.message, hook=bool(row.hook_type), images=row.images
        )
    return found
