"""Automated sync: when it starts, when it holds back. Source: compat 2.6."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.support.plans import STARTED, drift, manifest

from tiphys.engine.states import (
    Comparison,
    Drift,
    DriftKind,
    Health,
    HealthStatus,
    ResourceVerdict,
    SyncStatus,
    TargetState,
)
from tiphys.engine.sync.auto import decide
from tiphys.engine.sync.retry import self_heal_wait_s
from tiphys.model.application import ApplicationSpec
from tiphys.model.operation import Operation, OperationState, SyncOperation
from tiphys.model.syncpolicy import SyncPolicy, SyncPolicyAutomated


def compared(*drifts: Drift) -> Comparison:
    """A comparison of these drifts."""
    verdicts = {d.key: ResourceVerdict(d, None) for d in drifts}
    out = any(d.out_of_sync for d in drifts)
    target = TargetState("r1", "Directory", "", {})
    return Comparison(
        target, verdicts, Health(HealthStatus.HEALTHY), SyncStatus.OUT_OF_SYNC if out else SyncStatus.SYNCED
    )


def spec(**automated: Any) -> ApplicationSpec:
    """An automated Application."""
    return ApplicationSpec(sync_policy=SyncPolicy(automated=SyncPolicyAutomated(**automated)))


def last(phase: str = "Succeeded", attempts: int = 0, message: str = "") -> OperationState:
    """The operation before, ended at STARTED."""
    return OperationState(
        operation=Operation(sync=SyncOperation(auto_heal_attempts_count=attempts)),
        phase=phase,
        message=message,
        started_at=STARTED,
        finished_at=STARTED,
    )


CHANGED = drift(manifest(), DriftKind.MODIFIED)
EXTRA = drift(manifest(name="old"), DriftKind.EXTRA)


def test_a_new_revision_starts_an_operation_with_the_policys_options() -> None:
    """Retry limit 5 when the policy has none."""
    wanted = ApplicationSpec(
        sync_policy=SyncPolicy(automated=SyncPolicyAutomated(prune=True), sync_options=("CreateNamespace=true",))
    )

    found = decide(wanted, compared(CHANGED), None, revision="r1", same_as_last=False, now=STARTED).operation

    assert found is not None
    assert found.sync is not None
    assert (found.sync.revision, found.sync.prune, found.sync.sync_options) == ("r1", True, ("CreateNamespace=true",))
    assert found.initiated_by.automated
    assert found.retry.limit == 5


def test_nothing_starts_without_automation_or_when_synced() -> None:
    """`enabled: false` turns it off."""
    for wanted, comparison in (
        (ApplicationSpec(), compared(CHANGED)),
        (spec(enabled=False), compared(CHANGED)),
        (spec(), compared(drift(manifest(), DriftKind.SAME))),
    ):
        assert decide(wanted, comparison, None, revision="r1", same_as_last=False, now=STARTED).operation is None


def test_only_prunes_left_and_prune_off_starts_nothing() -> None:
    """It would end in the same state."""
    assert decide(spec(), compared(EXTRA), None, revision="r1", same_as_last=False, now=STARTED).operation is None


def test_the_same_revision_is_not_tried_twice_after_a_failure() -> None:
    """The condition says what happened."""
    found = decide(
        spec(), compared(CHANGED), last("Failed", message="boom"), revision="r1", same_as_last=True, now=STARTED
    )

    assert found.operation is None
    assert found.problem == "Failed last sync attempt to [r1]: boom"


def test_drift_is_healed_at_once_and_only_where_it_is() -> None:
    """Namespaces are left out of the request, as upstream does."""
    same = drift(manifest(name="fine"), DriftKind.SAME)

    found = decide(
        spec(self_heal=True), compared(CHANGED, same), last(), revision="r1", same_as_last=True, now=STARTED
    ).operation

    assert found is not None
    assert found.sync is not None
    assert [(r.kind, r.name, r.namespace) for r in found.sync.resources] == [("ConfigMap", "a", "")]
    assert found.sync.auto_heal_attempts_count == 1


def test_self_heal_backs_off() -> None:
    """0, 2, 6, 18 s after the last one, at most 300."""
    found = decide(
        spec(self_heal=True),
        compared(CHANGED),
        last(attempts=2),
        revision="r1",
        same_as_last=True,
        now=STARTED + timedelta(seconds=1),
    )

    assert [self_heal_wait_s(n) for n in (0, 1, 2, 3, 9)] == [0.0, 2.0, 6.0, 18.0, 300.0]
    assert found.operation is None
    assert found.wait_s == 5.0


def test_without_self_heal_drift_stays() -> None:
    """The Application is OutOfSync, nothing else."""
    assert decide(spec(), compared(CHANGED), last(), revision="r1", same_as_last=True, now=STARTED).operation is None


def test_everything_is_never_pruned_by_accident() -> None:
    """Unless allowEmpty says so."""
    refused = decide(spec(prune=True), compared(EXTRA), None, revision="r1", same_as_last=False, now=STARTED)
    allowed = decide(
        spec(prune=True, allow_empty=True), compared(EXTRA), None, revision="r1", same_as_last=False, now=STARTED
    )

    assert refused.problem == "Skipping sync attempt to [r1]: auto-sync will wipe out all resources"
    assert refused.operation is None
    assert allowed.operation is not None


def test_an_unknown_comparison_starts_nothing() -> None:
    """Could not tell is not out of sync."""
    unknown = replace(compared(CHANGED), sync=SyncStatus.UNKNOWN)

    assert decide(spec(prune=True), unknown, None, revision="r1", same_as_last=False, now=STARTED).operation is None
