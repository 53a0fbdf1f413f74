"""What a comparison writes into the status. Source: compat 1.10."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.support.plans import drift, manifest

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.states import (
    Comparison,
    Drift,
    DriftKind,
    Health,
    HealthStatus,
    Phase,
    ResourceVerdict,
    SyncStatus,
    TargetState,
    TaskId,
    TaskResult,
)
from tiphys.engine.status.summary import ResourceRows, health_state, recorded_results, resource_results, summary
from tiphys.model.operation import OperationPhase, ResourceResult, ResultCode

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def comparison(*drifts: Drift) -> Comparison:
    """Of these drifts."""
    verdicts = {d.key: ResourceVerdict(d, None) for d in drifts}
    target = TargetState("r", "Directory", "", {})
    return Comparison(target, verdicts, Health(HealthStatus.HEALTHY), SyncStatus.SYNCED)


def test_resources_are_sorted_and_say_how_they_are() -> None:
    """By group, kind, namespace, name; what Git no longer has requires pruning."""
    rows = ResourceRows().of(
        comparison(
            drift(manifest("Deployment", "web"), DriftKind.MODIFIED),
            drift(manifest(name="old"), DriftKind.EXTRA),
            drift(manifest(name="new", annotations={"argocd.argoproj.io/sync-wave": "2"}), DriftKind.MISSING),
            drift(manifest(name="b", namespace="aa"), DriftKind.SAME),
            drift(manifest("Secret", "s"), DriftKind.UNKNOWN),
        )
    )

    assert [(r.group, r.kind, r.namespace, r.name, r.status, r.requires_pruning, r.sync_wave) for r in rows] == [
        ("", "ConfigMap", "aa", "b", "Synced", False, 0),
        ("", "ConfigMap", "ns", "new", "OutOfSync", False, 2),
        ("", "ConfigMap", "ns", "old", "OutOfSync", True, 0),
        ("", "Secret", "ns", "s", "Unknown", False, 0),
        ("apps", "Deployment", "ns", "web", "OutOfSync", False, 0),
    ]
    assert {r.version for r in rows} == {"v1"}
    assert all(r.health is None for r in rows)


def test_rows_are_those_of_before_where_the_verdict_is() -> None:
    """One changed resource of many costs one row; the order stays, and what is gone goes."""
    rows = ResourceRows()
    before = comparison(*(drift(manifest(name=name), DriftKind.SAME) for name in ("a", "b", "c")))
    first = rows.of(before)
    changed = drift(manifest(name="b"), DriftKind.MODIFIED)
    left = {key: verdict for key, verdict in before.verdicts.items() if key.name != "c"}
    second = rows.of(replace(before, verdicts={**left, changed.key: ResourceVerdict(changed, None)}))

    assert rows.of(before) == first
    assert [(row.name, row.status) for row in second] == [("a", "Synced"), ("b", "OutOfSync")]
    assert second[0] is first[0]


def test_the_time_of_health_moves_with_its_word_only() -> None:
    """Another message is no transition."""
    later = NOW + timedelta(minutes=1)
    first = health_state(Health(HealthStatus.DEGRADED, "a"), None, NOW)
    second = health_state(Health(HealthStatus.DEGRADED, "b"), first, later)
    third = health_state(Health(HealthStatus.HEALTHY), second, later)

    assert (second.message, second.last_transition_time) == ("b", NOW)
    assert (third.status, third.message, third.last_transition_time) == ("Healthy", "", later)


def test_images_are_sorted_and_each_once() -> None:
    """An Application of Applications says so."""
    app = drift(manifest("Application", "child", apiVersion="argoproj.io/v1alpha1"))

    assert summary(["b", "a", "b"], comparison()).images == ("a", "b")
    assert summary([], comparison(app)).is_app_of_apps
    assert not summary([], comparison()).is_app_of_apps


def test_results_survive_being_written_down() -> None:
    """An operation goes on after a crash with what it had: status, phase, message, hooks."""
    key = ResourceKey("batch", "Job", "ns", "migrate")
    hook = TaskId(key, Phase.PRE_SYNC)
    again = TaskId(key, Phase.POST_SYNC)
    plain = TaskId(ResourceKey("", "ConfigMap", "ns", "a"), Phase.SYNC)
    results = {
        hook: TaskResult(hook, "v1", ResultCode.SYNCED, OperationPhase.SUCCEEDED, "done", hook=True, images=("i",)),
        again: TaskResult(again, "v1", ResultCode.SYNCED, OperationPhase.RUNNING, "created", hook=True),
        plain: TaskResult(plain, "v1", ResultCode.PRUNE_SKIPPED, OperationPhase.SUCCEEDED, "ignored (no prune)"),
    }

    written = resource_results(results)

    assert [(r.name, r.sync_phase, r.hook_type, r.hook_phase) for r in written] == [
        ("migrate", "PreSync", "PreSync", "Succeeded"),
        ("migrate", "PostSync", "PostSync", "Running"),
        ("a", "Sync", "", "Succeeded"),
    ]
    assert recorded_results(written) == results


def test_rows_that_cannot_be_read_are_left_out() -> None:
    """Their tasks run again; a row without a phase is one of Sync."""
    rows = [
        ResourceResult(kind="ConfigMap", name="a", status="Synced", sync_phase="Later"),
        ResourceResult(kind="ConfigMap", name="b", status="Guessed", sync_phase="Sync"),
        ResourceResult(kind="ConfigMap", name="c", status="Synced", hook_phase="Sleeping"),
        ResourceResult(kind="ConfigMap", name="d", status="Synced"),
    ]

    assert [(i.key.name, i.phase) for i in recorded_results(rows)] == [("d", Phase.SYNC)]
