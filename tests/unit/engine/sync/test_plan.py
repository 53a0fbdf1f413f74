"""Order, waves, hooks and prunes of a plan. Source: compat 2.1 to 2.3."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.plans import drift, manifest, target, task_id, wanted

from tiphys.apimachinery.names import GroupKind
from tiphys.engine.states import Action, DriftKind, Phase, SyncPlan
from tiphys.engine.sync.plan import plan

WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"


def shown(made: SyncPlan) -> list[tuple[str, int, str, str]]:
    """The plan as (phase, wave, kind, name)."""
    return [(t.id.phase.value, t.wave, t.id.key.kind, t.id.key.name) for t in made.tasks]


def test_kind_order_applies_inside_a_wave() -> None:
    """A Service goes before a Deployment, both before an unknown kind; a lower wave goes before all."""
    drifts = [
        drift(manifest("Widget", "w", apiVersion="example.com/v1")),
        drift(manifest("Deployment", "d")),
        drift(manifest("Service", "s")),
        drift(manifest("Deployment", "first", annotations={WAVE: "-1"})),
    ]

    made = plan(drifts, (), wanted())

    assert shown(made) == [
        ("Sync", -1, "Deployment", "first"),
        ("Sync", 0, "Service", "s"),
        ("Sync", 0, "Deployment", "d"),
        ("Sync", 0, "Widget", "w"),
    ]


def test_prune_waves_are_mirrored_and_others_keep_theirs() -> None:
    """Waves 0, 5, 7 of pruned objects become 7, 5, 0."""
    drifts = [
        drift(manifest(name=f"p{wave}", annotations={WAVE: str(wave)}), DriftKind.EXTRA) for wave in (0, 5, 7)
    ] + [drift(manifest(name="kept", annotations={WAVE: "5"}))]

    made = plan(drifts, (), wanted(prune=True))

    assert {(t.id.key.name, t.wave) for t in made.tasks} == {("p0", 7), ("p5", 5), ("p7", 0), ("kept", 5)}


def test_prune_last_comes_after_every_wave_of_the_sync_phase() -> None:
    """Also when only the live object asks for it."""
    drifts = [
        drift(manifest(name="new", annotations={WAVE: "3"})),
        drift(manifest(name="old"), DriftKind.EXTRA, prune_last=True),
        drift(manifest(name="older"), DriftKind.EXTRA),
    ]

    assert {(t.id.key.name, t.wave) for t in plan(drifts, (), wanted(prune=True)).tasks} == {
        ("new", 3),
        ("old", 4),
        ("older", 0),
    }
    every = plan(drifts, (), wanted(prune=True, prune_last=True))
    assert {t.wave for t in every.tasks if t.action is Action.PRUNE} == {4}


@pytest.mark.parametrize(
    ("prune", "disabled", "reason"),
    [
        (False, False, "ignored (requires pruning)"),
        (True, False, ""),
        (True, True, "ignored (no prune)"),
        (False, True, "ignored (no prune)"),
    ],
)
def test_a_prune_that_is_not_done_says_why(prune: bool, disabled: bool, reason: str) -> None:
    """The task is there in any case, so that the result is shown."""
    made = plan([drift(manifest(), DriftKind.EXTRA, prune_disabled=disabled)], (), wanted(prune=prune))

    assert [t.skip_reason for t in made.tasks] == [reason]


def test_hooks_stand_in_their_phases_and_are_named_after_the_operation() -> None:
    """generateName gets revision, phase and start, so that a retry finds the same object; its tracking id says so too."""
    tracking = "argocd.argoproj.io/tracking-id"
    hooks = [
        target(manifest("Job", "migrate", annotations={HOOK: "PreSync"})),
        target(manifest("Job", generate_name="smoke-", annotations={HOOK: "PostSync", tracking: "app:batch/Job:ns/"})),
    ]

    made = plan([drift(manifest("Deployment", "d"))], hooks, wanted())

    assert shown(made) == [
        ("PreSync", 0, "Job", "migrate"),
        ("Sync", 0, "Deployment", "d"),
        ("PostSync", 0, "Job", "smoke-0123456-postsync-1772366400"),
    ]
    smoke = made.tasks[-1].target
    assert smoke is not None
    assert smoke.manifest["metadata"]["finalizers"] == ["argocd.argoproj.io/hook-finalizer"]
    assert "generateName" not in smoke.manifest["metadata"]
    assert smoke.manifest["metadata"]["annotations"][tracking] == "app:batch/Job:ns/smoke-0123456-postsync-1772366400"


def test_a_hook_of_two_phases_runs_in_both() -> None:
    """One manifest, two tasks."""
    hook = target(manifest("Job", "check", annotations={HOOK: "PreSync,PostSync"}))

    assert [t.id.phase for t in plan([], [hook], wanted()).tasks] == [Phase.PRE_SYNC, Phase.POST_SYNC]


def test_hooks_of_the_deletion_are_no_part_of_a_sync() -> None:
    """They run when the Application is deleted."""
    hooks = [target(manifest("Job", "bye", annotations={HOOK: kind})) for kind in ("PreDelete", "PostDelete")]

    made = plan([drift(manifest())], hooks, wanted())

    assert shown(made) == [("Sync", 0, "ConfigMap", "a")]
    assert made.problems == ()


def test_a_partial_sync_runs_no_hooks_and_only_what_it_names() -> None:
    """An empty namespace in the request matches any."""
    hook = target(manifest("Job", "migrate", annotations={HOOK: "PreSync"}))
    chosen = frozenset({("", "ConfigMap", "", "a")})

    made = plan([drift(manifest(name="a")), drift(manifest(name="b"))], [hook], wanted(resources=chosen, hooks=False))

    assert shown(made) == [("Sync", 0, "ConfigMap", "a")]


def test_a_namespace_goes_before_the_first_object_in_it() -> None:
    """Even when that is a PreSync hook."""
    hook = target(manifest("Job", "migrate", namespace="team", annotations={HOOK: "PreSync", WAVE: "-2"}))

    made = plan([drift(manifest("Namespace", "team", namespace=""))], [hook], wanted())

    assert shown(made) == [("PreSync", -2, "Namespace", "team"), ("PreSync", -2, "Job", "migrate")]


def test_a_crd_goes_before_the_first_object_of_its_kind() -> None:
    """And its kind is no problem although the cluster does not know it yet."""
    crd: dict[str, Any] = manifest(
        "CustomResourceDefinition",
        "widgets.example.com",
        namespace="",
        annotations={WAVE: "3"},
        spec={"group": "example.com", "names": {"kind": "Widget"}},
    )
    widget = manifest("Widget", "w", apiVersion="example.com/v1", annotations={WAVE: "1"})

    made = plan(
        [drift(crd), drift(widget)],
        (),
        wanted(),
        kind_problem=lambda kind, _version: "not served" if kind.kind == "Widget" else None,
    )

    assert shown(made) == [
        ("Sync", 1, "CustomResourceDefinition", "widgets.example.com"),
        ("Sync", 1, "Widget", "w"),
    ]
    assert made.problems == ()


def test_what_the_cluster_cannot_take_makes_the_plan_invalid() -> None:
    """Nothing of it is to be applied."""
    made = plan(
        [drift(manifest()), drift(manifest("Deployment", "d"))], (), wanted(), kind_problem=lambda k, _v: k.kind
    )

    assert [task.key.kind for task, _reason in made.problems] == ["ConfigMap", "Deployment"]


def test_a_kind_that_may_be_missing_is_no_fault_of_the_plan() -> None:
    """SkipDryRunOnMissingResource: somebody else defines the kind while the sync runs."""
    alone = drift(manifest("Widget", "w", apiVersion="example.com/v1"))
    assert alone.target is not None
    annotated = replace(alone, target=replace(alone.target, options=frozenset({"SkipDryRunOnMissingResource=true"})))

    def missing(kind: GroupKind, _version: str) -> str:
        return kind.kind

    assert plan([alone], (), wanted(), kind_problem=missing).problems != ()
    assert plan([annotated], (), wanted(), kind_problem=missing).problems == ()
    assert plan([alone], (), wanted(skip_missing_kinds=True), kind_problem=missing).problems == ()


@pytest.mark.parametrize(("prune", "confirm"), [(True, True), (False, False)])
def test_a_prune_that_asks_for_approval_is_one_that_would_be_done(prune: bool, confirm: bool) -> None:
    """Without pruning there is nothing to approve."""
    made = plan([drift(manifest(), DriftKind.EXTRA, prune_confirm=True)], (), wanted(prune=prune))

    assert [t.confirm for t in made.tasks] == [confirm]


def test_prune_last_counts_from_wave_zero() -> None:
    """Where every other wave is below it."""
    drifts = [
        drift(manifest(name="new", annotations={WAVE: "-5"})),
        drift(manifest(name="old", annotations={WAVE: "-7"}), DriftKind.EXTRA),
    ]

    made = plan(drifts, (), wanted(prune=True, prune_last=True))

    assert shown(made)[-1] == ("Sync", 1, "ConfigMap", "old")


def test_only_what_is_out_of_sync_is_applied_when_asked() -> None:
    """ApplyOutOfSyncOnly=true leaves the rest alone."""
    drifts = [drift(manifest(name="same"), DriftKind.SAME), drift(manifest(name="new"))]

    assert len(plan(drifts, (), wanted()).tasks) == 2
    hook = target(manifest("Job", "check", annotations={HOOK: "PreSync"}))
    made = plan(drifts, [hook], wanted(out_of_sync_only=True))
    assert [t.id.key.name for t in made.tasks] == ["check", "new"]


def test_create_namespace_is_a_task_of_its_own_before_everything() -> None:
    """Its result is shown like any other."""
    made = plan([drift(manifest("Deployment", "d", namespace="team"))], (), wanted(create_namespace="team"))

    assert made.tasks[0].action is Action.CREATE_NAMESPACE
    assert made.tasks[0].id == task_id("Namespace", "team", Phase.PRE_SYNC, namespace="")
