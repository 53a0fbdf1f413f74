"""(plan, results so far, live) -> next actions or an end. Pure state machine.

It starts from results alone, so an operation that was interrupted at any point goes on from what is recorded.

Source: compat 2.1 (health gate, execution order, messages), 2.2 (hook completion, SyncFail, delete policies).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tiphys.engine.states import (
    Action,
    Health,
    HealthStatus,
    Phase,
    SyncPlan,
    Task,
    TaskId,
    TaskResult,
)
from tiphys.engine.sync.hooks import HOOK_FAILED, HOOK_SUCCEEDED
from tiphys.model.operation import OperationPhase, ResultCode

TASKS_RUN = "successfully synced (all tasks run)"
NO_MORE_TASKS = "successfully synced (no more tasks)"
NOT_VALID = "one or more synchronization tasks are not valid"
FAILED_TO_APPLY = "one or more objects failed to apply"
UNSUCCESSFUL = "one or more synchronization tasks completed unsuccessfully"
SYNC_FAIL_FAILED = "one or more SyncFail hooks failed"
TERMINATED = "Operation terminated"
HOOK_TERMINATED = "Deleted"
NAMESPACE_FAILED = "the namespace failed to apply"
DRY_RUN_FAILED = "one or more objects failed to apply (dry run)"


@dataclass(frozen=True, slots=True)
class Observed:
    """What the cluster shows of a task's object. `fresh` is False while the view may be older than our own apply."""

    exists: bool
    health: Health | None = None  # None: the kind has no health
    fresh: bool = True
    terminating: bool = False


Observe = Callable[[Task, TaskResult], Observed]


@dataclass(frozen=True, slots=True)
class Advance:
    """What to do now. `actions` are to be run in order; `phase` is RUNNING or the end of the operation."""

    phase: OperationPhase
    message: str
    results: Mapping[TaskId, TaskResult]
    actions: tuple[Task, ...] = ()
    delete_hooks: tuple[Task, ...] = ()
    waiting_for: tuple[TaskId, ...] = ()


def advance(
    plan: SyncPlan, results: Mapping[TaskId, TaskResult], observe: Observe, *, confirmed: bool = True
) -> Advance:
    """The next step of the operation. `confirmed` says that somebody approved the prunes that ask for it."""
    results = dict(results)
    if plan.problems:
        return _not_valid(plan, results)
    _settle_running(plan, results, observe)
    regular = [t for t in plan.tasks if t.id.phase is not Phase.SYNC_FAIL]
    waiting = _waiting(plan, regular, results, observe)
    failed = [t for t in regular if _unsuccessful(results.get(t.id))]
    if failed and not waiting:
        return _failing(plan, results, failed)
    if waiting:
        names = tuple(t.id for t in waiting)
        return Advance(OperationPhase.RUNNING, _waiting_message(waiting), results, waiting_for=names)
    pending = [t for t in regular if t.id not in results]
    if not pending:
        hooks_at_end = any(t.action is Action.HOOK for t in _last_step(plan, regular))
        message = NO_MORE_TASKS if hooks_at_end or not regular else TASKS_RUN
        hooks = _hooks_to_delete(regular, results, HOOK_SUCCEEDED)
        return Advance(OperationPhase.SUCCEEDED, message, results, delete_hooks=hooks)
    step = (pending[0].id.phase, pending[0].wave)
    actions = [t for t in pending if (t.id.phase, t.wave) == step]
    unapproved = [] if confirmed else [t for t in actions if t.confirm]
    if unapproved:
        names = tuple(t.id for t in unapproved)
        return Advance(OperationPhase.RUNNING, _confirmation_message(unapproved), results, waiting_for=names)
    actions.sort(key=lambda t: t.action is not Action.PRUNE)  # stable: prunes first, else plan order
    return Advance(OperationPhase.RUNNING, "one or more tasks are running", results, actions=tuple(actions))


def dry_run_failed(plan: SyncPlan, faults: Mapping[TaskId, str]) -> Advance:
    """The end of an operation of which some manifests cannot be applied; nothing was touched."""
    tasks = {t.id: t for t in plan.tasks}
    results = {
        identity: TaskResult(
            identity,
            target.version if (target := tasks[identity].target) is not None else "",
            ResultCode.SYNC_FAILED,
            OperationPhase.FAILED,
            fault,
            hook=tasks[identity].action is Action.HOOK,
        )
        for identity, fault in faults.items()
    }
    return Advance(OperationPhase.FAILED, DRY_RUN_FAILED, results)


def terminate(plan: SyncPlan, results: Mapping[TaskId, TaskResult]) -> Advance:
    """The end of an operation somebody stopped: running hooks are deleted, the rest stays as it is.

    Differs: a hook that was stopped counts as Failed, not as Succeeded, because nobody knows what it has done.
    """
    settled = dict(results)
    running: list[Task] = []
    for task in plan.tasks:
        result = settled.get(task.id)
        if result is None or result.phase is not OperationPhase.RUNNING:
            continue
        if task.action is Action.HOOK:
            running.append(task)
            settled[task.id] = replace(result, phase=OperationPhase.FAILED, message=HOOK_TERMINATED)
        else:
            settled[task.id] = replace(result, phase=OperationPhase.SUCCEEDED)
    return Advance(OperationPhase.FAILED, TERMINATED, settled, delete_hooks=tuple(running))


def _not_valid(plan: SyncPlan, results: dict[TaskId, TaskResult]) -> Advance:
    versions = {t.id: t.target.version if t.target else "" for t in plan.tasks}
    for identity, reason in plan.problems:
        results[identity] = TaskResult(
            identity, versions.get(identity, ""), ResultCode.SYNC_FAILED, OperationPhase.FAILED, reason
        )
    reasons = ",".join(dict.fromkeys(reason for _identity, reason in plan.problems))
    return Advance(OperationPhase.FAILED, f"{NOT_VALID}, reason: {reasons}", results)


def _settle_running(plan: SyncPlan, results: dict[TaskId, TaskResult], observe: Observe) -> None:
    """Completes the running tasks whose objects show that they are done, failed or gone."""
    for task in plan.tasks:
        result = results.get(task.id)
        if result is None or result.phase is not OperationPhase.RUNNING or task.action is Action.PRUNE:
            continue
        seen = observe(task, result)
        if not seen.fresh:
            continue
        results[task.id] = _settled(task, result, seen)


def _settled(task: Task, result: TaskResult, seen: Observed) -> TaskResult:
    hook = task.action is Action.HOOK
    if not seen.exists:
        message = f"{'hook' if hook else 'resource'} {task.id.key.kind}/{task.id.key.name} was deleted while it was waited for"
        return replace(result, status=ResultCode.SYNC_FAILED, phase=OperationPhase.FAILED, message=message)
    health = seen.health
    if health is None:
        return replace(result, phase=OperationPhase.SUCCEEDED)
    if health.status is HealthStatus.HEALTHY:
        # Of a resource it stays told what the apply did to it.
        message = (health.message or result.message) if hook else result.message
        return replace(result, phase=OperationPhase.SUCCEEDED, message=message)
    if health.status is HealthStatus.DEGRADED or (hook and health.status is HealthStatus.UNKNOWN):
        return replace(result, phase=OperationPhase.FAILED, message=health.message)
    return result


def _unsuccessful(result: TaskResult | None) -> bool:
    return result is not None and result.phase in (OperationPhase.FAILED, OperationPhase.ERROR)


def _last_step(plan: SyncPlan, regular: Sequence[Task]) -> list[Task]:
    steps = plan.steps
    return [t for t in regular if steps and (t.id.phase, t.wave) == steps[-1]]


def _waiting(
    plan: SyncPlan, regular: Iterable[Task], results: Mapping[TaskId, TaskResult], observe: Observe
) -> list[Task]:
    """Tasks that hold back the next step.

    Hooks always do. Resources do when another step follows them, or when hooks stand beside them in the last one; a sync of
    one wave and no hooks ends as soon as everything is applied. A prune holds back what follows, and the end, until its
    object is gone.
    """
    regular = list(regular)
    last = plan.steps[-1] if plan.steps else None
    hooks_at_end = any(t.action is Action.HOOK for t in _last_step(plan, regular))
    several = len(plan.steps) > 1
    waiting: list[Task] = []
    for task in regular:
        result = results.get(task.id)
        if result is None:
            continue
        ends = (task.id.phase, task.wave) == last
        if task.action is Action.PRUNE:
            if result.status is ResultCode.PRUNED:
                seen = observe(task, result)
                if seen.exists and seen.terminating:
                    waiting.append(task)
        elif result.phase is OperationPhase.RUNNING and (
            task.action is Action.HOOK or (several and (not ends or hooks_at_end))
        ):
            waiting.append(task)
    return waiting


def _waiting_message(waiting: Sequence[Task]) -> str:
    """Says what is waited for, as Argo CD words it: the first one and how many more."""
    first = waiting[0]
    what = {
        Action.HOOK: "waiting for completion of hook",
        Action.PRUNE: "waiting for deletion of",
    }.get(first.action, "waiting for healthy state of")
    key = first.id.key
    name = f"{key.group}/{key.kind}/{key.name}" if key.group else f"/{key.kind}/{key.name}"
    more = len(waiting) - 1
    if more <= 0:
        return f"{what} {name}"
    return f"{what} {name} and {more} more {'hooks' if first.action is Action.HOOK else 'resources'}"


def _confirmation_message(tasks: Sequence[Task]) -> str:
    first = tasks[0]
    live = first.drift.live if first.drift is not None else None
    key = first.id.key
    version = live.version if live is not None else "v1"
    api_version = f"{key.group}/{version}" if key.group else version
    more = f" and {len(tasks) - 1} more resources" if len(tasks) > 1 else ""
    return f"Waiting for pruning confirmation of {api_version}/{key.kind}/{key.name}{more}"


def _failing(plan: SyncPlan, results: dict[TaskId, TaskResult], failed: Sequence[Task]) -> Advance:
    """SyncFail hooks run and are waited for, then the operation fails."""
    not_applied = [t for t in failed if results[t.id].status is ResultCode.SYNC_FAILED]
    base = FAILED_TO_APPLY if not_applied else UNSUCCESSFUL
    if any(t.action is Action.CREATE_NAMESPACE for t in not_applied):
        base = NAMESPACE_FAILED
    reasons = [results[t.id].message for t in (not_applied or failed) if results[t.id].message]
    message = f"{base}, reason: {','.join(dict.fromkeys(reasons))}" if reasons else base
    rescue = [t for t in plan.tasks if t.id.phase is Phase.SYNC_FAIL]
    pending = [t for t in rescue if t.id not in results]
    if pending:
        wave = pending[0].wave
        running = [t for t in rescue if (r := results.get(t.id)) is not None and r.phase is OperationPhase.RUNNING]
        if not running:
            actions = tuple(t for t in pending if t.wave == wave)
            return Advance(OperationPhase.RUNNING, message, results, actions=actions)
    running = [t for t in rescue if (r := results.get(t.id)) is not None and r.phase is OperationPhase.RUNNING]
    if running:
        return Advance(
            OperationPhase.RUNNING, _waiting_message(running), results, waiting_for=tuple(t.id for t in running)
        )
    broken = [results[t.id].message for t in rescue if _unsuccessful(results.get(t.id))]
    if broken:
        message = f"{message}\n{SYNC_FAIL_FAILED}, reason: {','.join(broken)}"
    hooks = _hooks_to_delete(plan.tasks, results, HOOK_FAILED)
    return Advance(OperationPhase.FAILED, message, results, delete_hooks=hooks)


def _hooks_to_delete(tasks: Iterable[Task], results: Mapping[TaskId, TaskResult], policy: str) -> tuple[Task, ...]:
    wanted = OperationPhase.SUCCEEDED if policy == HOOK_SUCCEEDED else OperationPhase.FAILED
    return tuple(
        t
        for t in tasks
        if t.action is Action.HOOK
        and policy in t.delete_policies
        and (r := results.get(t.id)) is not None
        and (r.phase is wanted or policy == HOOK_FAILED)
    )
