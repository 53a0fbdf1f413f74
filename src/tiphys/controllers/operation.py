"""One running operation of an Application: starts, steps, retries and ends it.

It holds no rule of its own: `sync.plan` says what is to be done, `sync.step` what comes next, `sync.apply` does it. Everything
it needs to go on after a crash stands in the Application's operationState before the first object is touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.health.assess import assess, has_health, needs_settling
from tiphys.engine.health.scripts import HealthLookup
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.states import (
    Action,
    Comparison,
    DriftKind,
    Live,
    OperationPhase,
    ResultCode,
    SyncPlan,
    TargetState,
    Task,
    TaskId,
    TaskResult,
)
from tiphys.engine.status.summary import resource_results
from tiphys.engine.sync.apply import Applier, Options, Performed
from tiphys.engine.sync.dryrun import faults
from tiphys.engine.sync.fieldowners import KUBECTL
from tiphys.engine.sync.plan import SKIP_MISSING, Wanted, plan
from tiphys.engine.sync.step import Advance, Observed, advance, dry_run_failed, terminate
from tiphys.engine.sync.write import propagation_of
from tiphys.model.annotations import CSA_MIGRATION_MANAGER
from tiphys.model.application import Application
from tiphys.model.operation import Operation, OperationState, SyncOperationResult
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import ConditionType, RevisionHistory
from tiphys.model.syncpolicy import ManagedNamespaceMetadata
from tiphys.runtime.clock import Clock, format_time

NOTHING_ASKED = "Invalid operation request: no operation specified"
NO_LOCAL_MANIFESTS = "Invalid operation request: a sync of local manifests is not supported"
HOOK_GONE_DEADLINE_S = 300.0  # how long a hook waits for its object of an earlier operation to go
UNREACHABLE_DEADLINE_S = 120.0  # how long an operation waits for a cluster that does not answer
LOOKED_AT_A_TIME = 16  # manifests, before others on the loop get their turn
SETTLE_S = 2.0  # how long a health without observedGeneration is not believed after a patch


@dataclass(slots=True)
class OperationRun:
    """An operation in progress. `results` are what `sync.step` starts from."""

    operation: Operation
    started_at: datetime
    revision: str
    sources: tuple[ApplicationSource, ...]
    multiple: bool
    options: Options
    target: TargetState | None = None  # None until Git has been asked for it
    render_keys: tuple[str, ...] = ()  # of the renders that `target` was made from
    plan: SyncPlan | None = None
    results: dict[TaskId, TaskResult] = field(default_factory=dict)
    retry_count: int = 0
    phase: OperationPhase = OperationPhase.RUNNING
    message: str = ""
    finished_at: datetime | None = None
    retry_at: float | None = None  # on the monotonic clock; set while waiting for the next attempt
    applied_at: dict[TaskId, float] = field(default_factory=dict)
    released: set[TaskId] = field(default_factory=set)
    waiting_for: tuple[TaskId, ...] = ()
    terminating: bool = False
    end_message: str = ""  # said instead of "Operation terminated"
    given_up: bool = False  # no other attempt follows, whatever the operation allows
    held_since: dict[TaskId, float] = field(default_factory=dict)
    checked: bool = False  # its manifests were looked at before the first object was touched
    managed_namespace: ManagedNamespaceMetadata | None = None  # what the destination's namespace gets
    lost_since: float | None = None  # since when the cluster does not answer, on the monotonic clock

    @property
    def automated(self) -> bool:
        """Nobody asked for it by hand."""
        return self.operation.initiated_by.automated

    @property
    def partial(self) -> bool:
        """It was asked for some resources only: no hooks, no history."""
        return self.operation.sync is not None and bool(self.operation.sync.resources)

    def heed(self, recorded: OperationState | None) -> None:
        """Somebody may have written into the Application that this operation is to stop."""
        if (
            recorded is not None
            and recorded.phase == OperationPhase.TERMINATING
            and recorded.started_at == self.started_at
        ):
            self.terminating = True

    def state(self) -> OperationState:
        """operationState as it is to be written."""
        sync = self.operation.sync
        operation = self.operation
        if sync is not None and not sync.revision:
            # The revision is pinned before anything is applied, so that a restart goes on with the same one.
            operation = replace(operation, sync=replace(sync, revision=self.revision))
        one = self.sources[0] if self.sources and not self.multiple else None
        result = SyncOperationResult(
            resources=resource_results(self.results),
            revision=self.revision,
            source=one,
            sources=self.sources if self.multiple else (),
            revisions=(self.revision,) * len(self.sources) if self.multiple else (),
            managed_namespace_metadata=self.managed_namespace,
        )
        return OperationState(
            operation=operation,
            phase=OperationPhase.TERMINATING.value
            if self.terminating and not self.phase.completed
            else self.phase.value,
            message=self.message,
            sync_result=result,
            started_at=self.started_at,
            finished_at=self.finished_at,
            retry_count=self.retry_count,
        )

    def waits_for_hook(self) -> bool:
        """A hook is running: no safe point to put a newer operation in its place."""
        if self.plan is None:
            return False
        hooks = {t.id for t in self.plan.tasks if t.action is Action.HOOK}
        return any(identity in hooks for identity in self.waiting_for)


def options_of(app: Application, operation: Operation, started_at: datetime, retry_count: int) -> Options:
    """How the tasks of this operation are performed."""
    sync = operation.sync
    assert sync is not None
    given = sync.sync_options or app.spec.policy.sync_options
    managed = app.spec.policy.managed_namespace_metadata
    return Options(
        operation=f"{format_time(started_at)}/{retry_count}",
        sync_options=tuple(given),
        force=sync.sync_strategy.force if sync.sync_strategy is not None else False,
        dry_run=sync.dry_run,
        propagation=propagation_of(tuple(given)),
        migration_manager=app.annotations.get(CSA_MIGRATION_MANAGER) or KUBECTL,
        namespace_labels=managed.labels if managed is not None else None,
        namespace_annotations=managed.annotations if managed is not None else None,
    )


def make_plan(
    run: OperationRun,
    comparison: Comparison,
    *,
    namespace: str,
    namespace_is_live: bool,
    kind_problem: Callable[[GroupKind, str], str | None],
) -> SyncPlan:
    """The plan of this attempt from a comparison made against the operation's own target."""
    sync = run.operation.sync
    assert sync is not None
    assert run.target is not None
    chosen = frozenset((r.group, r.kind, r.namespace, r.name) for r in sync.resources if not r.exclude)
    create = "CreateNamespace=true" in run.options.sync_options and bool(namespace)
    if namespace_is_live and run.options.namespace_labels is None and run.options.namespace_annotations is None:
        create = False
    if create and ResourceKey("", "Namespace", "", namespace) in run.target.resources:
        create = False
    wanted = Wanted(
        revision=run.revision,
        started_at=run.started_at,
        prune=sync.prune,
        prune_last="PruneLast=true" in run.options.sync_options,
        out_of_sync_only="ApplyOutOfSyncOnly=true" in run.options.sync_options,
        resources=chosen or None,
        hooks=not chosen and not sync.is_apply_strategy,
        create_namespace=namespace if create else "",
        skip_missing_kinds=SKIP_MISSING in run.options.sync_options,
    )
    drifts = [v.drift for v in comparison.verdicts.values()]
    return plan(drifts, run.target.hooks, wanted, kind_problem=kind_problem, denied=run.target.denied)


class Stepper:
    """Advances runs against one cluster."""

    def __init__(
        self,
        *,
        applier: Applier,
        index: LiveIndex,
        clock: Clock,
        override: HealthLookup | None,
        record: Callable[[], Awaitable[None]],
    ) -> None:
        """`record` writes the results so far into the Application. It is awaited before anything is let go of that a
        new process would need to see that a hook has run."""
        self._applier = applier
        self._index = index
        self._clock = clock
        self._override = override
        self._record = record

    async def step(self, run: OperationRun, *, wave_delay_s: float = 0.0, confirmed: bool = True) -> Advance:
        """Do what can be done now. RUNNING means that the cluster must change before there is more to do.

        `confirmed` says that somebody approved the prunes that ask for it.

        Raises ApiError, ClusterUnreachable, DiscoveryError, ScriptsUnavailable: the same step is then to be tried again.
        """
        assert run.plan is not None
        refused = await self._look_at_manifests(run)
        while True:
            if run.terminating:
                last = terminate(run.plan, run.results)
            elif refused is not None:
                last = refused
            else:
                last = advance(run.plan, run.results, self._observer(run), confirmed=confirmed)
                if self._override is not None and await self._override.settle():
                    self._override.require()
                    continue  # the scripts have answered: look again
            run.results = dict(last.results)
            run.waiting_for = last.waiting_for
            run.message = last.message
            await self._release_completed(run)
            if not last.actions:
                break
            done = await self._applier.run(last.actions, run.options)
            run.results.update(done.results)
            now = self._clock.monotonic()
            run.applied_at.update(dict.fromkeys(done.results, now))
            self._judge_lost(run, done, now)
            if self._judge_held(run, done, now):
                break
            left = any(t.id not in run.results for t in run.plan.tasks)
            if wave_delay_s > 0 and left and all(r.phase is not OperationPhase.FAILED for r in done.results.values()):
                await self._clock.sleep(wave_delay_s)
        if last.phase.completed and last.delete_hooks:
            await self._record()
            await self._applier.delete_hooks(last.delete_hooks)
        return last

    @staticmethod
    async def _look_at_manifests(run: OperationRun) -> Advance | None:
        """The end of an attempt with manifests that nothing could be made from; None when there are none."""
        if run.checked or run.results or run.terminating or run.plan is None or run.plan.problems:
            return None
        found: dict[TaskId, str] = {}
        for number, (identity, fault) in enumerate(faults(run.plan.tasks, run.options.sync_options)):
            if fault is not None:
                found[identity] = fault
            if number % LOOKED_AT_A_TIME == LOOKED_AT_A_TIME - 1:
                await asyncio.sleep(0)
        run.checked = not found
        return dry_run_failed(run.plan, found) if found else None

    @staticmethod
    def _judge_lost(run: OperationRun, done: Performed, now: float) -> None:
        """A cluster that does not answer is waited for, but not for ever."""
        if not done.lost:
            run.lost_since = None
            return
        if run.lost_since is None:
            run.lost_since = now
        if now - run.lost_since < UNREACHABLE_DEADLINE_S:
            raise next(iter(done.lost.values()))
        for identity, error in done.lost.items():
            run.results[identity] = failed(run, identity, str(error))

    @staticmethod
    def _judge_held(run: OperationRun, done: Performed, now: float) -> bool:
        """True when a hook waits for its object of an earlier operation to go."""
        if not done.held:
            run.held_since.clear()
            return False
        for identity in done.held:
            if now - run.held_since.setdefault(identity, now) >= HOOK_GONE_DEADLINE_S:
                run.results[identity] = failed(run, identity, f"{identity.key} of an earlier sync was not deleted")
        first = done.held[0].key
        run.message = f"waiting for deletion of hook {first.group}/{first.kind}/{first.name}"
        run.waiting_for = tuple(done.held)
        return all(identity not in run.results for identity in done.held)

    def settles_in(self, run: OperationRun) -> float | None:
        """Seconds until a status that may still be an old one can be believed; None when nothing waits for that."""
        now = self._clock.monotonic()
        due = [
            at + SETTLE_S - now
            for identity in run.waiting_for
            if (at := run.applied_at.get(identity)) is not None
            and (result := run.results.get(identity)) is not None
            and self._settling(identity, result)
            and at + SETTLE_S > now
        ]
        due += [max(at + HOOK_GONE_DEADLINE_S - now, 0.1) for at in run.held_since.values()]
        return min(due) if due else None

    def _settling(self, identity: TaskId, result: TaskResult) -> bool:
        kind = identity.key.group_kind
        by_script = self._override is not None and self._override.covers(kind)
        return not result.hook and result.message.endswith("configured") and (by_script or needs_settling(kind))

    def _observer(self, run: OperationRun) -> Callable[[Task, TaskResult], Observed]:
        def observe(task: Task, result: TaskResult) -> Observed:
            key = task.id.key
            live = self._index.get(key) or self._index.get(key._replace(namespace=""))
            if live is None:
                return Observed(exists=False)
            at = run.applied_at.get(task.id)
            fresh = not (at is not None and self._settling(task.id, result) and self._clock.monotonic() < at + SETTLE_S)
            health = assess(live.manifest, self._override) if self._may_have_health(live) else None
            return Observed(True, health, fresh, live.deleting)

        return observe

    def _may_have_health(self, live: Live) -> bool:
        # Most kinds have none, and the parse is not free.
        kind = live.key.group_kind
        return live.deleting or has_health(kind) or (self._override is not None and self._override.covers(kind))

    async def _release_completed(self, run: OperationRun) -> None:
        assert run.plan is not None
        done = [
            t
            for t in run.plan.tasks
            if t.action is Action.HOOK
            and t.id not in run.released
            and (r := run.results.get(t.id)) is not None
            and r.phase is not None
            and r.phase.completed
        ]
        if done:
            await self._record()
            await self._applier.release(done)
            run.released.update(t.id for t in done)


def failed(run: OperationRun, identity: TaskId, message: str) -> TaskResult:
    """The result of a task that could not be performed."""
    assert run.plan is not None
    task = next(t for t in run.plan.tasks if t.id == identity)
    return TaskResult(
        identity,
        task.target.version if task.target is not None else "v1",
        ResultCode.SYNC_FAILED,
        OperationPhase.FAILED,
        message,
        hook=task.action is Action.HOOK,
    )


def retry_message(message: str, attempt: int, wait: timedelta, now: datetime) -> str:
    """What stands in operationState while the next attempt is waited for."""
    at = now + wait
    hour = at.hour % 12 or 12
    return f"{message}. Retrying attempt #{attempt} at {hour}:{at.minute:02d}{'AM' if at.hour < 12 else 'PM'}."


def summarize(results: Mapping[TaskId, TaskResult]) -> dict[str, int]:
    """How many tasks ended how; for the ledger and the log."""
    counts: dict[str, int] = {}
    for result in results.values():
        word = result.status.value if result.status is not None else "Pending"
        counts[word] = counts.get(word, 0) + 1
    return counts


def refusal(asked: Operation | None) -> str:
    """Why a requested operation cannot even begin; empty when it can."""
    if asked is None:
        return ""
    if asked.sync is None:
        return NOTHING_ASKED
    return NO_LOCAL_MANIFESTS if asked.sync.manifests else ""


def comparison_errors(comparison: Comparison) -> str:
    """Why the operation cannot tell what it would change; empty when it can. What the project forbids is not its matter."""
    drifts = (verdict.drift for verdict in comparison.verdicts.values())
    found = [
        f"{ConditionType.COMPARISON_ERROR}: {drift.message}"
        for drift in drifts
        if drift.kind is DriftKind.UNKNOWN and drift.message and drift.key not in comparison.target.denied
    ]
    return "; ".join(dict.fromkeys(found))


def shared_resource(comparison: Comparison) -> str:
    """Which object belongs to another Application too; empty when none does."""
    return next((text for kind, text in comparison.conditions if kind == ConditionType.SHARED_RESOURCE_WARNING), "")


def is_request_for(found: Operation, run: OperationRun) -> bool:
    """`operation` in the Application is the one that ran, not one that was put there since."""
    ran = run.operation
    if found == ran:
        return True
    if found.sync is None or ran.sync is None:
        return False
    # A run that was resumed knows the operation with its revision pinned.
    return replace(found, sync=replace(found.sync, revision=ran.sync.revision)) == ran and found.sync.revision == ""


def history_entry(run: OperationRun) -> RevisionHistory:
    """What the Application's history keeps of a complete operation."""
    return RevisionHistory(
        revision=run.revision,
        deployed_at=run.finished_at,
        deploy_started_at=run.started_at,
        source=run.sources[0] if run.sources and not run.multiple else None,
        sources=run.sources if run.multiple else (),
        revisions=(run.revision,) * len(run.sources) if run.multiple else (),
        initiated_by=run.operation.initiated_by,
    )
