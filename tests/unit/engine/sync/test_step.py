"""What comes next in an operation, from its results alone. Source: compat 2.1, 2.2."""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.plans import drift, manifest, result, target, wanted

from tiphys.engine.states import DriftKind, Health, HealthStatus, Phase, SyncPlan, Task, TaskId, TaskResult
from tiphys.engine.sync.plan import plan
from tiphys.engine.sync.step import Observed, advance, dry_run_failed, terminate
from tiphys.model.operation import OperationPhase, ResultCode

WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"
POLICY = "argocd.argoproj.io/hook-delete-policy"


def seen(**by_name: Observed) -> object:
    """Observations by object name; what is not named is there and Healthy."""

    def observe(task: Task, _result: TaskResult) -> Observed:
        return by_name.get(task.id.key.name, Observed(True, Health(HealthStatus.HEALTHY)))

    return observe


def applied(made: SyncPlan, *names: str, **fields: object) -> dict[TaskId, TaskResult]:
    """Results of the tasks with these names, applied and running."""
    return {t.id: result(t, **fields) for t in made.tasks if t.id.key.name in names}  # type: ignore[arg-type]


def go(made: SyncPlan, results: Mapping[TaskId, TaskResult], **by_name: Observed):  # type: ignore[no-untyped-def]
    """One step."""
    return advance(made, results, seen(**by_name))  # type: ignore[arg-type]


PROGRESSING = Observed(True, Health(HealthStatus.PROGRESSING, "on its way"))
DEGRADED = Observed(True, Health(HealthStatus.DEGRADED, "broken"))
GONE = Observed(False)


def test_one_wave_without_hooks_ends_when_everything_is_applied() -> None:
    """Health is not waited for: it equals an asynchronous kubectl apply."""
    made = plan([drift(manifest("Deployment", "d")), drift(manifest(name="c"))], (), wanted())

    first = go(made, {})
    last = go(made, applied(made, "d", "c"), d=PROGRESSING)

    assert [t.id.key.name for t in first.actions] == ["c", "d"]
    assert (last.phase, last.message) == (OperationPhase.SUCCEEDED, "successfully synced (all tasks run)")


def test_the_next_wave_waits_until_this_one_is_healthy() -> None:
    """And says what it waits for."""
    made = plan(
        [drift(manifest("Deployment", "one")), drift(manifest("Deployment", "two", annotations={WAVE: "1"}))],
        (),
        wanted(),
    )

    waiting = go(made, applied(made, "one"), one=PROGRESSING)
    ready = go(made, applied(made, "one"))

    assert (waiting.phase, waiting.actions) == (OperationPhase.RUNNING, ())
    assert waiting.message == "waiting for healthy state of apps/Deployment/one"
    assert [t.id.key.name for t in ready.actions] == ["two"]


def test_a_view_older_than_our_own_apply_does_not_end_the_wait() -> None:
    """Health that may speak of the object before the apply is not believed."""
    made = plan(
        [drift(manifest("Deployment", "one")), drift(manifest("Deployment", "two", annotations={WAVE: "1"}))],
        (),
        wanted(),
    )

    stale = Observed(True, Health(HealthStatus.HEALTHY), fresh=False)

    assert go(made, applied(made, "one"), one=stale).actions == ()


def test_a_degraded_object_fails_the_wave_with_its_message() -> None:
    """Later waves are not started."""
    made = plan(
        [drift(manifest("Deployment", "one")), drift(manifest("Deployment", "two", annotations={WAVE: "1"}))],
        (),
        wanted(),
    )

    last = go(made, applied(made, "one"), one=DEGRADED)

    assert last.phase is OperationPhase.FAILED
    assert last.message == "one or more synchronization tasks completed unsuccessfully, reason: broken"


def test_an_object_deleted_by_somebody_else_ends_the_wait() -> None:
    """Instead of waiting for ever."""
    made = plan(
        [drift(manifest("Deployment", "one")), drift(manifest("Deployment", "two", annotations={WAVE: "1"}))],
        (),
        wanted(),
    )

    last = go(made, applied(made, "one"), one=GONE)

    assert last.phase is OperationPhase.FAILED
    assert last.results[made.tasks[0].id].status is ResultCode.SYNC_FAILED


def hook(name: str, phase: str, policy: str = "") -> dict[str, object]:
    """A hook Job."""
    annotations = {HOOK: phase} | ({POLICY: policy} if policy else {})
    return manifest("Job", name, annotations=annotations)


def test_hooks_hold_back_the_phase_after_them() -> None:
    """PreSync, then Sync, then PostSync; the last message says that nothing is left."""
    made = plan(
        [drift(manifest("Deployment", "d"))],
        [target(hook("before", "PreSync")), target(hook("after", "PostSync"))],
        wanted(),
    )

    one = go(made, {})
    two = go(made, applied(made, "before"), before=PROGRESSING)
    three = go(made, applied(made, "before"))
    four = go(made, applied(made, "before", "d", "after"), after=PROGRESSING)
    five = go(made, applied(made, "before", "d", "after"))

    assert [t.id.key.name for t in one.actions] == ["before"]
    assert two.message == "waiting for completion of hook batch/Job/before"
    assert [t.id.key.name for t in three.actions] == ["d"]
    assert four.phase is OperationPhase.RUNNING
    assert (five.phase, five.message) == (OperationPhase.SUCCEEDED, "successfully synced (no more tasks)")


def test_hooks_are_deleted_by_their_policy_when_everything_has_succeeded() -> None:
    """Not right after the hook itself."""
    made = plan(
        [drift(manifest("Deployment", "d"))],
        [target(hook("tidy", "PreSync", "HookSucceeded")), target(hook("kept", "PreSync", "HookFailed"))],
        wanted(),
    )

    early = go(made, applied(made, "tidy", "kept"))
    end = go(made, applied(made, "tidy", "kept", "d"))

    assert early.delete_hooks == ()
    assert [t.id.key.name for t in end.delete_hooks] == ["tidy"]


def test_a_failed_hook_stops_the_sync_and_runs_the_sync_fail_hooks() -> None:
    """The operation fails after they ended, with the first failure as the reason."""
    made = plan(
        [drift(manifest("Deployment", "d"))],
        [target(hook("before", "PreSync")), target(hook("rescue", "SyncFail"))],
        wanted(),
    )

    rescue = go(made, applied(made, "before"), before=DEGRADED)
    waiting = go(made, rescue.results | applied(made, "rescue"), rescue=PROGRESSING)
    end = go(made, rescue.results | applied(made, "rescue"))

    assert [(t.id.key.name, t.id.phase) for t in rescue.actions] == [("rescue", Phase.SYNC_FAIL)]
    assert waiting.phase is OperationPhase.RUNNING
    assert end.phase is OperationPhase.FAILED
    assert end.message == "one or more synchronization tasks completed unsuccessfully, reason: broken"


def test_an_object_that_cannot_be_applied_fails_the_operation() -> None:
    """With the server's words."""
    made = plan([drift(manifest(name="c"))], (), wanted())
    refused = applied(
        made, "c", phase=OperationPhase.FAILED, status=ResultCode.SYNC_FAILED, message='configmaps "c" is forbidden'
    )

    last = go(made, refused)

    assert last.message == 'one or more objects failed to apply, reason: configmaps "c" is forbidden'


def test_an_invalid_plan_changes_nothing() -> None:
    """Each bad task says why, and so does the operation."""
    made = plan([drift(manifest(name="c"))], (), wanted(), kind_problem=lambda _k, _v: "no such kind")

    last = go(made, {})

    assert last.actions == ()
    assert last.phase is OperationPhase.FAILED
    assert last.message == "one or more synchronization tasks are not valid, reason: no such kind"
    assert [r.status for r in last.results.values()] == [ResultCode.SYNC_FAILED]


def test_a_prune_holds_back_the_next_wave_until_the_object_is_gone() -> None:
    """Finalizers may keep it."""
    made = plan(
        [
            drift(manifest(name="old"), DriftKind.EXTRA),
            drift(manifest(name="new", annotations={WAVE: "1"})),
        ],
        (),
        wanted(prune=True),
    )
    pruned = applied(made, "old", phase=OperationPhase.SUCCEEDED, status=ResultCode.PRUNED)

    waiting = go(made, pruned, old=Observed(True, terminating=True))
    ready = go(made, pruned, old=GONE)

    assert waiting.message == "waiting for deletion of /ConfigMap/old"
    assert [t.id.key.name for t in ready.actions] == ["new"]


def test_the_operation_does_not_end_before_what_it_pruned_is_gone() -> None:
    """A finalizer may keep it a while; an automated sync that ended earlier would prune it again."""
    made = plan([drift(manifest(name="old"), DriftKind.EXTRA)], (), wanted(prune=True))
    pruned = applied(made, "old", phase=OperationPhase.SUCCEEDED, status=ResultCode.PRUNED)

    waiting = go(made, pruned, old=Observed(True, terminating=True))

    assert (waiting.phase, waiting.message) == (OperationPhase.RUNNING, "waiting for deletion of /ConfigMap/old")
    assert go(made, pruned, old=GONE).phase is OperationPhase.SUCCEEDED
    assert go(made, pruned, old=Observed(True)).phase is OperationPhase.SUCCEEDED  # a dry-run deletes nothing


def test_prunes_of_a_wave_come_before_its_applies() -> None:
    """In one step."""
    made = plan([drift(manifest(name="a")), drift(manifest(name="z"), DriftKind.EXTRA)], (), wanted(prune=True))

    assert [t.id.key.name for t in go(made, {}).actions] == ["z", "a"]


def test_termination_deletes_running_hooks_and_fails() -> None:
    """What was applied stays."""
    made = plan([drift(manifest("Deployment", "d"))], [target(hook("before", "PreSync"))], wanted())

    last = terminate(made, applied(made, "before"))

    assert (last.phase, last.message) == (OperationPhase.FAILED, "Operation terminated")
    assert [t.id.key.name for t in last.delete_hooks] == ["before"]
    assert [(r.phase, r.message) for r in last.results.values()] == [(OperationPhase.FAILED, "Deleted")]


def test_an_operation_without_tasks_succeeds() -> None:
    """As when ApplyOutOfSyncOnly leaves nothing to do."""
    last = go(plan([], (), wanted()), {})

    assert (last.phase, last.message) == (OperationPhase.SUCCEEDED, "successfully synced (no more tasks)")


def test_a_namespace_that_cannot_be_made_ends_the_operation_by_its_name() -> None:
    """Nothing else is applied."""
    made = plan([drift(manifest())], (), wanted(create_namespace="ns"))
    first = go(made, {})
    failed = applied(made, "ns", phase=OperationPhase.FAILED, status=ResultCode.SYNC_FAILED, message="no")

    last = go(made, failed)

    assert [t.id.key.kind for t in first.actions] == ["Namespace"]
    assert (last.phase, last.message) == (OperationPhase.FAILED, "the namespace failed to apply, reason: no")


def test_a_prune_that_asks_for_approval_holds_back_its_whole_wave() -> None:
    """What was done in earlier waves stays; with the approval it goes on."""
    made = plan(
        [
            drift(manifest(name="first", annotations={WAVE: "-1"})),
            drift(manifest(name="old"), DriftKind.EXTRA, prune_confirm=True),
            drift(manifest(name="older"), DriftKind.EXTRA, prune_confirm=True),
            drift(manifest(name="new")),
        ],
        (),
        wanted(prune=True),
    )
    done = applied(made, "first", phase=OperationPhase.SUCCEEDED)

    first = advance(made, {}, seen(), confirmed=False)  # type: ignore[arg-type]
    then = advance(made, done, seen(), confirmed=False)  # type: ignore[arg-type]
    approved = advance(made, done, seen(), confirmed=True)  # type: ignore[arg-type]

    assert [t.id.key.name for t in first.actions] == ["first"]
    assert (then.phase, then.actions) == (OperationPhase.RUNNING, ())
    assert then.message == "Waiting for pruning confirmation of v1/ConfigMap/old and 1 more resources"
    assert {i.key.name for i in then.waiting_for} == {"old", "older"}
    assert [t.id.key.name for t in approved.actions] == ["old", "older", "new"]


def test_manifests_that_cannot_be_read_end_the_operation_before_it_begins() -> None:
    """Each says what is wrong with it."""
    made = plan([drift(manifest(name="good")), drift(manifest(name="bad"))], (), wanted())
    bad = next(t.id for t in made.tasks if t.id.key.name == "bad")

    last = dry_run_failed(made, {bad: "no"})

    assert (last.phase, last.message) == (
        OperationPhase.FAILED,
        "one or more objects failed to apply (dry run)",
    )
    assert {i.key.name: (r.status, r.message) for i, r in last.results.items()} == {
        "bad": (ResultCode.SYNC_FAILED, "no")
    }
