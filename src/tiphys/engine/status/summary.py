"""Comparison -> what stands in the Application's status: resources, images, links, results. Pure.

Source: compat 1.10.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.states import Comparison, Health, OperationPhase, Phase, ResultCode, TaskId, TaskResult
from tiphys.model.operation import ResourceResult
from tiphys.model.statuses import ApplicationSummary, HealthState, ResourceStatus


def resource_statuses(comparison: Comparison) -> tuple[ResourceStatus, ...]:
    """status.resources, sorted; hooks have no sync status. Health is left to the resource tree, as upstream's default is."""
    rows = []
    for key, verdict in comparison.verdicts.items():
        drift = verdict.drift
        version = drift.target.version if drift.target is not None else (drift.live.version if drift.live else "")
        if drift.kind == "unknown":
            status = "Unknown"
        else:
            status = "OutOfSync" if drift.out_of_sync else "Synced"
        rows.append(
            ResourceStatus(
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
        )
    return tuple(sorted(rows, key=lambda row: row.sort_key))


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
