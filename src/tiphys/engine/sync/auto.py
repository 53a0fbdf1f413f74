"""Whether an Application is to be synced without being asked: automated sync, prune, self-heal. Pure.

Source: compat 2.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from tiphys.engine.states import Comparison, SyncStatus
from tiphys.engine.sync.retry import self_heal_wait_s
from tiphys.model.application import ApplicationSpec
from tiphys.model.operation import (
    Operation,
    OperationInitiator,
    OperationPhase,
    OperationState,
    SyncOperation,
    SyncOperationResource,
)
from tiphys.model.syncpolicy import AUTO_SYNC_RETRY_LIMIT, RetryStrategy


@dataclass(frozen=True, slots=True)
class Decision:
    """Start `operation` now, look again after `wait_s`, or do nothing. `problem` is a SyncError to show."""

    operation: Operation | None = None
    wait_s: float | None = None
    problem: str = ""


NOTHING = Decision()


def decide(
    spec: ApplicationSpec,
    comparison: Comparison,
    last: OperationState | None,
    *,
    revision: str,
    same_as_last: bool,
    now: datetime,
) -> Decision:
    """The automated operation for this comparison.

    `same_as_last` says that the last operation was for what Git declares now: the same source at a revision with the same
    content. Then only self-heal may act.
    """
    automated = spec.policy.automated
    if automated is None or not spec.policy.is_automated or comparison.sync is not SyncStatus.OUT_OF_SYNC:
        return NOTHING
    drifts = [v.drift for v in comparison.verdicts.values() if v.drift.out_of_sync]
    if drifts and not automated.prune and all(d.requires_prune for d in drifts):
        return NOTHING
    retry = spec.policy.retry or RetryStrategy(limit=AUTO_SYNC_RETRY_LIMIT)
    sync = SyncOperation(revision=revision, prune=automated.prune, sync_options=spec.policy.sync_options)
    if last is not None and last.completed and same_as_last:
        if last.phase != OperationPhase.SUCCEEDED:
            return Decision(problem=f"Failed last sync attempt to [{revision}]: {last.message}")
        if not automated.self_heal:
            return NOTHING
        attempts = last.operation.sync.auto_heal_attempts_count if last.operation.sync is not None else 0
        finished = last.finished_at or now
        # The end of an operation may be stamped up to a second ahead, because starts are a second apart.
        due = self_heal_wait_s(attempts) - max(0.0, (now - finished).total_seconds())
        if due > 0:
            return Decision(wait_s=due)
        resources = tuple(
            SyncOperationResource(group=d.key.group, kind=d.key.kind, name=d.key.name)
            for d in drifts
            if not (d.requires_prune and (d.prune_disabled or not automated.prune))
        )
        if not resources:
            return NOTHING
        sync = SyncOperation(
            revision=revision,
            prune=automated.prune,
            sync_options=spec.policy.sync_options,
            resources=resources,
            auto_heal_attempts_count=attempts + 1,
        )
    if automated.prune and not automated.allow_empty and wipes_out(comparison):
        return Decision(problem=f"Skipping sync attempt to [{revision}]: auto-sync will wipe out all resources")
    operation = Operation(sync=sync, initiated_by=OperationInitiator(automated=True), retry=retry)
    return Decision(operation=operation)


def wipes_out(comparison: Comparison) -> bool:
    """Every resource the Application has would be pruned; true as well when it has none."""
    return all(v.drift.requires_prune for v in comparison.verdicts.values() if not v.hook)
