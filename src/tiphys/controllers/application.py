"""Refreshes Applications and steps their operations: watch -> key -> queue -> reconcile.

One key is never in two workers at once, so everything kept for an Application is touched by one task at a time. A
reconciliation reads the world as it is then; what woke it is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tiphys.apimachinery import mergepatch
from tiphys.apimachinery.apierrors import ApiError, NotFound
from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.controllers.clusters import ClusterSession, OpenCluster
from tiphys.controllers.comparison import (
    Compared,
    Context,
    compare_target,
    kind_problem,
    problem_of,
    spec_hash,
    target_of,
)
from tiphys.controllers.controlplane import ControlPlane, Key, Unreadable
from tiphys.controllers.deletion import Deletion
from tiphys.controllers.operation import OperationRun, Stepper, make_plan, options_of, retry_message, summarize
from tiphys.controllers.repositories import RepositoryWatch
from tiphys.engine.live.tree import descend, pod_images
from tiphys.engine.reconcile import Render, ThreeWayPatcher
from tiphys.engine.states import Comparison, Health, HealthStatus, OperationPhase, StageError, SyncStatus, TargetState
from tiphys.engine.status.summary import health_state, recorded_results, resource_statuses, summary
from tiphys.engine.sync.apply import Applier, images_of
from tiphys.engine.sync.auto import decide
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import REFRESH, REFRESH_HARD, refresh_type, skips_reconcile
from tiphys.model.application import Application
from tiphys.model.codec import encode
from tiphys.model.operation import Operation, OperationState
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import (
    ApplicationCondition,
    ApplicationStatus,
    ComparedTo,
    ConditionType,
    RevisionHistory,
    SyncState,
    append_history,
    merge_conditions,
)
from tiphys.policy.spec import DestinationError, missing_project, resolve_destination, spec_problems
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.workqueue import After, Done, Result, WorkQueue
from tiphys.store.database import StoreError
from tiphys.store.ledger import Ledger, OperationRow

OWNED_CONDITIONS = frozenset(
    {
        ConditionType.INVALID_SPEC_ERROR,
        ConditionType.COMPARISON_ERROR,
        ConditionType.SYNC_ERROR,
        ConditionType.UNKNOWN_ERROR,
        ConditionType.SHARED_RESOURCE_WARNING,
        ConditionType.REPEATED_RESOURCE_WARNING,
        ConditionType.EXCLUDED_RESOURCE_WARNING,
    }
)
ERRORS_THAT_STOP = frozenset({ConditionType.INVALID_SPEC_ERROR, ConditionType.COMPARISON_ERROR})


@dataclass(slots=True)
class _State:
    """What is kept of one Application in memory. Losing it costs one full comparison, nothing else."""

    uid: str = ""
    compared: Compared = field(default_factory=Compared)
    run: OperationRun | None = None
    moved: bool = True  # the repository, the project or the settings may say something new
    attempted: tuple[str, ...] = ()  # render keys of what the last operation applied
    fresh: tuple[str, datetime] | None = None  # revision and time of a comparison that is not worth a write yet
    instance: str = ""
    wants: frozenset[ResourceKey] = frozenset()
    session: ClusterSession | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one reconciliation found, before it is written."""

    comparison: Comparison | None
    conditions: tuple[tuple[str, str], ...]
    revision: str = ""


class ApplicationController:
    """Reconciles the Applications of one control plane."""

    def __init__(
        self,
        *,
        plane: ControlPlane,
        clusters: OpenCluster,
        repositories: RepositoryWatch,
        render: Callable[[Any, ApplicationSource, Application], Awaitable[Any]],
        ledger: Ledger,
        clock: Clock,
        fraction: Callable[[], float],
        log: Logger = SILENT,
    ) -> None:
        self._plane = plane
        self._clusters = clusters
        self._repositories = repositories
        self._render = render
        self._ledger = ledger
        self._clock = clock
        self._fraction = fraction
        self._log = log
        self._states: dict[Key, _State] = {}
        self._by_instance: dict[str, Key] = {}
        self._wanted: dict[ResourceKey, set[Key]] = {}
        self.queue: WorkQueue[Key] = WorkQueue(clock=clock, fraction=fraction)
        plane.application_changed = self._application_changed
        plane.everything_changed = self._everything_changed

    # What wakes us

    def _application_changed(self, key: Key) -> None:
        self.queue.add(key)

    def _everything_changed(self) -> None:
        for key, state in self._states.items():
            state.moved = True
            self.queue.add(key)

    def repository_moved(self, key: Key) -> None:
        """The repository of an Application has a new commit where the Application looks."""
        state = self._states.get(key)
        if state is not None:
            state.moved = True
        self.queue.add(key)

    def live_changed(self, session: ClusterSession, key: ResourceKey, before: Any, after: Any) -> None:
        """An object of a destination cluster changed; wakes the Applications it belongs to or that want it."""
        session.changes.changed()
        instances = {row.instance for row in (before, after) if row is not None and row.instance}
        row = after or before
        if row is not None and row.owners:
            instances.update(root.instance for root in session.index.roots(row) if root.instance)
        for instance in instances:
            found = self._by_instance.get(instance)
            if found is not None:
                self.queue.add(found)
        for wanting in self._wanted.get(key, ()):
            self.queue.add(wanting)

    def live_state_changed(self) -> None:
        """A kind became complete, or cannot be listed any more."""
        for key in self._states:
            self.queue.add(key)

    # Work

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]], workers: int) -> None:
        """Work until told to stop; what is being done then is finished or left to the next start."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self.queue.run(self.reconcile, workers=workers, on_error=self._bug))
            ready()
            await until_stopped()
            self.queue.stop()
            await asyncio.wait([working], timeout=2.0)
            working.cancel()

    def _bug(self, key: Key, error: Exception) -> None:
        if isinstance(error, ApiError | ClusterUnreachable):
            self._log.warning("an Application could not be reconciled", application=_name(key), problem=str(error))
            return
        self._log.exception("reconciling an Application failed", error, application=_name(key))

    async def reconcile(self, key: Key) -> Result:
        """Bring one Application one step on."""
        found = self._plane.applications.get(key)
        if found is None:
            self._forget(key)
            return Done()
        if isinstance(found, Unreadable):
            await self._report_unreadable(key, found)
            return Done()
        app = found
        if skips_reconcile(app.annotations):
            return Done()
        state = self._state(key, app)
        if app.deletion_timestamp is not None:
            return await self._delete(key, app, state)
        try:
            context = await self._context(app, state)
            outcome = await self._compare(key, app, state, context)
        except StageError as error:
            return await self._stopped(key, app, state, error)
        except (ApiError, ClusterUnreachable, DiscoveryError) as error:
            return await self._stopped(key, app, state, problem_of(error))
        return await self._operate(key, app, state, context, outcome)

    def _state(self, key: Key, app: Application) -> _State:
        state = self._states.get(key)
        if state is None or state.uid != app.uid:
            self._forget(key)
            state = self._states[key] = _State(uid=app.uid)
            state.instance = app.instance_name(self._plane.namespace)
            self._by_instance[state.instance] = key
        return state

    def _forget(self, key: Key) -> None:
        state = self._states.pop(key, None)
        if state is None:
            return
        self._by_instance.pop(state.instance, None)
        self._want(key, state, frozenset())
        self._repositories.forget(key)

    def _want(self, key: Key, state: _State, wants: frozenset[ResourceKey]) -> None:
        for resource in state.wants - wants:
            waiting = self._wanted.get(resource)
            if waiting is not None:
                waiting.discard(key)
                if not waiting:
                    del self._wanted[resource]
        for resource in wants - state.wants:
            self._wanted.setdefault(resource, set()).add(key)
        state.wants = wants

    async def _report_unreadable(self, key: Key, found: Unreadable) -> None:
        message = "; ".join(found.problems)
        conditions = (found.object.get("status") or {}).get("conditions") or []
        if any(c.get("type") == ConditionType.INVALID_SPEC_ERROR and c.get("message") == message for c in conditions):
            return
        now = format_time(self._clock.now())
        condition = {"type": ConditionType.INVALID_SPEC_ERROR.value, "message": message, "lastTransitionTime": now}
        await self._plane.patch_application(
            key, {"status": {"conditions": [condition], "sync": {"status": SyncStatus.UNKNOWN.value}}}
        )

    async def _context(self, app: Application, state: _State) -> Context:
        """What the Application refers to. Raises StageError(InvalidSpecError) with every problem."""
        project = self._plane.projects.get(app.project_name)
        if project is None:
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, missing_project(app.project_name))
        problems = spec_problems(app.spec, project)
        if problems:
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, "; ".join(problems))
        try:
            destination = resolve_destination(app.spec.destination, ())
        except DestinationError as error:
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, str(error)) from None
        session = await self._clusters(destination.server)
        state.session = session
        return Context(
            app=app,
            instance=state.instance,
            project=project,
            settings=self._plane.settings,
            session=session,
            destination=destination,
        )

    # Comparing

    async def _compare(self, key: Key, app: Application, state: _State, context: Context) -> _Outcome:
        compared = state.compared
        asked = refresh_type(app.annotations)
        fingerprint = spec_hash(app.spec)
        if (
            compared.target is None
            or state.moved
            or asked is not None
            or fingerprint != compared.spec_hash
            or compared.unserved
        ):
            state.moved = False
            uses: dict[str, set[str]] = {}
            for source in app.spec.all_sources:
                uses.setdefault(source.repo_url, set()).add(source.target_revision)
            self._repositories.uses(key, uses)
            if asked == REFRESH_HARD:
                compared.memory.noise.clear()
                compared.memory.verdicts.clear()
                context.session.discovery.invalidate()
            target, keys = await self._target(
                context,
                app.spec.all_sources,
                previous=compared.target,
                refresh=asked is not None or fingerprint != compared.spec_hash,
            )
            compared.target, compared.render_keys, compared.spec_hash = target, keys, fingerprint
            compared.unserved = frozenset(
                resource.group_kind
                for resource, wanted in target.resources.items()
                if context.session.scope(resource.group_kind, wanted.version) is None
            )
            self._want(key, state, frozenset(target.resources))
        assert compared.target is not None
        comparison = await compare_target(context, compared, compared.target)
        compared.comparison = comparison
        return _Outcome(comparison, comparison.conditions, compared.target.revision)

    async def _target(
        self,
        context: Context,
        sources: tuple[ApplicationSource, ...],
        *,
        previous: TargetState | None,
        refresh: bool,
    ) -> tuple[TargetState, tuple[str, ...]]:
        keys: list[str] = []

        async def fetch(source: ApplicationSource) -> Any:
            return await self._repositories.snapshot(source.repo_url, source.target_revision, refresh=refresh)

        async def render(snapshot: Any, source: ApplicationSource) -> Any:
            rendered = await self._render(snapshot, source, context.app)
            keys.append(rendered.key)
            return rendered

        typed: Render = render
        target = await target_of(context, sources, fetch=fetch, render=typed, previous=previous)
        return target, tuple(keys)

    async def _stopped(self, key: Key, app: Application, state: _State, error: StageError) -> Result:
        """A stage could not give its value: say so, touch nothing that is deployed."""
        self._log.info(
            "an Application cannot be compared", application=_name(key), stage=error.stage, problem=error.message
        )
        state.moved = True
        message = error.message
        trouble = [
            f"{url} was last read {format_time(last)}"
            for url in {s.repo_url for s in app.spec.all_sources}
            if (told := self._repositories.trouble(url))[0] and (last := told[1]) is not None
        ]
        if error.stage == "source" and trouble:
            message = f"{message} ({'; '.join(trouble)})"
        now = self._clock.now()
        status = app.status
        run = state.run
        operation = status.operation_state
        requested = app.operation
        if run is not None:
            run.phase, run.message, run.finished_at = OperationPhase.ERROR, f"{error.reason}: {message}", now
            operation = run.state()
        elif requested is not None:
            operation = OperationState(
                operation=requested,
                phase=OperationPhase.ERROR.value,
                message=f"{error.reason}: {message}",
                started_at=now,
                finished_at=now,
            )
        conditions = merge_conditions(
            status.conditions, [ApplicationCondition(type=error.reason, message=message)], OWNED_CONDITIONS, now
        )
        health = health_state(Health(HealthStatus.UNKNOWN), status.health, now)
        sync = replace(status.sync or SyncState(), status=SyncStatus.UNKNOWN.value)
        after = replace(status, conditions=conditions, sync=sync, health=health, operation_state=operation)
        ended = run is not None or requested is not None
        await self._write(key, app, after, refreshed=True, operation_done=ended)
        if run is not None:
            await self._close_row(app, run)
            state.run = None
        return After(error.retry_after_s) if error.retry_after_s is not None else Done()

    # Operating

    async def _operate(self, key: Key, app: Application, state: _State, context: Context, outcome: _Outcome) -> Result:
        """Start, step or end the operation, then write what changed."""
        assert outcome.comparison is not None
        wait: float | None = None
        sync_problem = ""
        if state.run is None:
            state.run = await self._resume(app, state, context, outcome)
        if state.run is None:
            operation, wait, sync_problem = self._next_operation(app, state, outcome)
            if operation is not None:
                state.run = await self._begin(key, app, state, context, operation)
                if state.run is None:  # it could not even start; the status says why
                    return Done()
                app = self._current(key, app)
        run = state.run
        if run is None:
            await self._write_comparison(key, app, state, context, outcome, sync_problem, None)
            return After(wait) if wait is not None else Done()
        wait = await self._step(key, app, state, context, outcome, run)
        return After(wait) if wait is not None else Done()

    def _current(self, key: Key, app: Application) -> Application:
        found = self._plane.applications.get(key)
        return found if isinstance(found, Application) else app

    def _next_operation(
        self, app: Application, state: _State, outcome: _Outcome
    ) -> tuple[Operation | None, float | None, str]:
        if app.operation is not None and app.operation.sync is not None:
            return app.operation, None, ""
        assert outcome.comparison is not None
        last = app.status.operation_state
        decision = decide(
            app.spec,
            outcome.comparison,
            last,
            revision=outcome.revision,
            same_as_last=self._same_as_last(app, state, outcome.revision),
            now=self._clock.now(),
        )
        return decision.operation, decision.wait_s, decision.problem

    def _same_as_last(self, app: Application, state: _State, revision: str) -> bool:
        """The last operation applied what Git declares now: the same sources, at this revision or one that renders the same."""
        last = app.status.operation_state
        if last is None or last.sync_result is None:
            return False
        result = last.sync_result
        sources = result.sources or ((result.source,) if result.source is not None else ())
        if tuple(sources) != app.spec.all_sources:
            return False
        if result.revision == revision or revision in result.revisions:
            return True
        return bool(state.attempted) and state.attempted == state.compared.render_keys

    async def _begin(
        self, key: Key, app: Application, state: _State, context: Context, operation: Operation
    ) -> OperationRun | None:
        """Write the operation down before anything is touched: in the Application, and in the ledger."""
        sync = operation.sync
        assert sync is not None
        now = self._clock.now().replace(microsecond=0)
        last = app.status.operation_state
        if last is not None and last.started_at is not None and last.started_at >= now:
            now = last.started_at + timedelta(
                seconds=1
            )  # the start names the operation, in its hooks and in the ledger
        sources = sync.sources or ((sync.source,) if sync.source is not None else app.spec.all_sources)
        target = state.compared.target
        assert target is not None
        keys = state.compared.render_keys
        wanted = sync.revision
        if sources != app.spec.all_sources or (wanted and wanted != target.revision):
            pinned = tuple(replace(s, target_revision=wanted) if wanted else s for s in sources)
            target, keys = await self._target(context, pinned, previous=target, refresh=True)
        run = OperationRun(
            operation=operation,
            started_at=now,
            revision=target.revision,
            sources=tuple(sources),
            multiple=app.spec.has_multiple_sources,
            target=target,
            options=options_of(app, operation, now, 0),
            message="waiting to start",
        )
        state.attempted = keys
        status = replace(self._comparison_status(app, state, context, "", None), operation_state=run.state())
        await self._open_row(app, run)
        await self._write(key, app, status, refreshed=True)
        self._log.info(
            "operation started",
            application=_name(key),
            revision=run.revision,
            automated=run.automated,
            partial=run.partial,
        )
        return run

    async def _resume(
        self, app: Application, state: _State, context: Context, outcome: _Outcome
    ) -> OperationRun | None:
        """The operation an earlier process was in the middle of, from what it had written down."""
        recorded = app.status.operation_state
        if recorded is None or recorded.completed or recorded.operation.sync is None or recorded.started_at is None:
            return None
        sync = recorded.operation.sync
        result = recorded.sync_result
        revision = (result.revision if result is not None else "") or sync.revision or outcome.revision
        sources = (result.sources or ((result.source,) if result.source is not None else ())) if result else ()
        sources = sources or app.spec.all_sources
        target = state.compared.target
        assert target is not None
        keys = state.compared.render_keys
        if target.revision != revision or tuple(sources) != app.spec.all_sources:
            pinned = tuple(replace(s, target_revision=revision) for s in sources)
            target, keys = await self._target(context, pinned, previous=target, refresh=False)
        state.attempted = keys
        run = OperationRun(
            operation=recorded.operation,
            started_at=recorded.started_at,
            revision=revision,
            sources=tuple(sources),
            multiple=app.spec.has_multiple_sources,
            target=target,
            options=options_of(app, recorded.operation, recorded.started_at, recorded.retry_count),
            results=recorded_results(result.resources if result is not None else ()),
            retry_count=recorded.retry_count,
            terminating=recorded.phase == OperationPhase.TERMINATING,
            message=recorded.message,
        )
        if recorded.finished_at is not None:  # it was waiting for its next attempt
            run.finished_at = recorded.finished_at
            due = recorded.operation.retry.next_retry_at(recorded.finished_at, max(recorded.retry_count - 1, 0))
            run.retry_at = self._clock.monotonic() + max(0.0, (due - self._clock.now()).total_seconds())
        self._log.info("operation resumed", application=f"{app.namespace}/{app.name}", revision=revision)
        return run

    async def _step(
        self, key: Key, app: Application, state: _State, context: Context, outcome: _Outcome, run: OperationRun
    ) -> float | None:
        """Advance the operation; seconds after which to look again, None when an event will wake us."""
        now = self._clock.monotonic()
        recorded = app.status.operation_state
        if recorded is not None and recorded.phase == OperationPhase.TERMINATING:
            run.terminating = True
        superseded = (
            run.automated
            and not run.terminating
            and outcome.revision != run.revision
            and state.compared.render_keys != state.attempted
            and (run.retry_at is not None or bool(run.waiting_for))
            and not run.waits_for_hook()
        )
        if superseded:
            run.phase, run.message = OperationPhase.FAILED, f"superseded by {outcome.revision}"
            return await self._finish(key, app, state, context, run)
        if run.retry_at is not None and not run.terminating:
            if now < run.retry_at:
                await self._write_comparison(key, app, state, context, outcome, "", run)
                return run.retry_at - now
            self._again(app, run)
        session = context.session
        if run.plan is None:
            comparison = await self._comparison_for(context, state, run)
            namespace = context.destination.namespace
            run.plan = make_plan(
                run,
                comparison,
                namespace=namespace,
                namespace_is_live=session.index.get(ResourceKey("", "Namespace", "", namespace)) is not None,
                kind_problem=kind_problem(session),
            )
        applier = Applier(
            client=session.client,
            discovery=session.discovery,
            view=session.index,
            patcher=ThreeWayPatcher(),
            until=session.changes.until,
        )
        stepper = Stepper(applier=applier, index=session.index, clock=self._clock, override=context.override)
        before = run.state()
        last = await stepper.step(run, wave_delay_s=float(context.settings.sync_wave_delay_s))
        run.message = last.message
        if last.phase.completed:
            run.phase = last.phase
            return await self._finish(key, app, state, context, run)
        if run.state() != before:
            await self._write_comparison(key, self._current(key, app), state, context, outcome, "", run)
        return stepper.settles_in(run)

    def _again(self, app: Application, run: OperationRun) -> None:
        """The next attempt: nothing of the failed one counts."""
        run.retry_at = None
        run.finished_at = None
        run.plan = None
        run.results = {}
        run.applied_at.clear()
        run.released.clear()
        run.waiting_for = ()
        run.phase = OperationPhase.RUNNING
        run.options = options_of(app, run.operation, run.started_at, run.retry_count)

    async def _comparison_for(self, context: Context, state: _State, run: OperationRun) -> Comparison:
        """The comparison the plan is made from: the operation's own target against the cluster as it is now."""
        if run.target is state.compared.target and state.compared.comparison is not None:
            return state.compared.comparison
        return await compare_target(context, Compared(), run.target)

    async def _finish(
        self, key: Key, app: Application, state: _State, context: Context, run: OperationRun
    ) -> float | None:
        """End the operation or arrange its next attempt; the comparison is made again, so that one write says it all."""
        now = self._clock.now()
        run.finished_at = max(now.replace(microsecond=0), run.started_at)
        sync = run.operation.sync
        assert sync is not None
        retry = run.operation.retry
        failed = run.phase in (OperationPhase.FAILED, OperationPhase.ERROR)
        if failed and not run.terminating and not sync.dry_run and retry.allows(run.retry_count) and retry.limit != 0:
            wait = retry.wait(run.retry_count)
            run.retry_count += 1
            run.message = retry_message(run.message, run.retry_count, wait, now)
            run.phase = OperationPhase.RUNNING
            run.retry_at = self._clock.monotonic() + wait.total_seconds()
            self._log.info(
                "operation failed, will be retried", application=_name(key), revision=run.revision, text=run.message
            )
            outcome = await self._compare(key, self._current(key, app), state, context)
            await self._write_comparison(key, self._current(key, app), state, context, outcome, "", run)
            return wait.total_seconds()
        app = self._current(key, app)
        outcome = await self._compare(key, app, state, context)
        status = self._comparison_status(app, state, context, "", run)
        if run.phase is OperationPhase.SUCCEEDED and not run.partial and not sync.dry_run:
            status = replace(status, history=self._history(app, run))
        state.run = None
        await self._write(key, app, status, refreshed=True, operation_done=True)
        await self._close_row(app, run)
        self._log.info(
            "operation ended",
            application=_name(key),
            revision=run.revision,
            phase=run.phase.value,
            text=run.message,
            seconds=round((now - run.started_at).total_seconds(), 3),
        )
        self.queue.add(key)  # what the operation found may call for the next one
        return None

    def _history(self, app: Application, run: OperationRun) -> tuple[RevisionHistory, ...]:
        entry = RevisionHistory(
            revision=run.revision,
            deployed_at=run.finished_at,
            deploy_started_at=run.started_at,
            source=run.sources[0] if run.sources and not run.multiple else None,
            sources=run.sources if run.multiple else (),
            revisions=(run.revision,) * len(run.sources) if run.multiple else (),
            initiated_by=run.operation.initiated_by,
        )
        return append_history(app.status.history, entry, app.spec.revision_history_limit)

    # The ledger: losing a row loses history, never a deployment

    async def _open_row(self, app: Application, run: OperationRun) -> None:
        try:
            await self._ledger.open_operation(ledger_row(app, run))
        except StoreError as error:
            self._log.warning("the ledger could not note the start of an operation", problem=str(error))

    async def _close_row(self, app: Application, run: OperationRun) -> None:
        try:
            await self._ledger.close_operation(ledger_row(app, run))
        except StoreError as error:
            self._log.warning("the ledger could not note the end of an operation", problem=str(error))

    # Deleting

    async def _delete(self, key: Key, app: Application, state: _State) -> Result:
        deletion = Deletion(plane=self._plane, clusters=self._clusters, clock=self._clock, log=self._log)
        result = await deletion.step(key, app, state.instance)
        return After(result) if result is not None else Done()

    # Writing

    async def _write_comparison(
        self,
        key: Key,
        app: Application,
        state: _State,
        context: Context,
        outcome: _Outcome,
        sync_problem: str,
        run: OperationRun | None,
    ) -> None:
        status = self._comparison_status(app, state, context, sync_problem, run)
        await self._write(key, app, status, refreshed=refresh_type(app.annotations) is not None)

    def _comparison_status(
        self, app: Application, state: _State, context: Context, sync_problem: str, run: OperationRun | None
    ) -> ApplicationStatus:
        """The status that says what the last comparison and the running operation are."""
        now = self._clock.now()
        comparison, target = state.compared.comparison, state.compared.target
        assert comparison is not None
        assert target is not None
        before = app.status
        found = [ApplicationCondition(type=kind, message=text) for kind, text in comparison.conditions]
        if sync_problem:
            found.append(ApplicationCondition(type=ConditionType.SYNC_ERROR, message=sync_problem))
        for verdict in comparison.verdicts.values():
            if verdict.drift.message and verdict.drift.key not in target.denied:
                found.append(ApplicationCondition(type=ConditionType.COMPARISON_ERROR, message=verdict.drift.message))
        unique = list({(c.type, c.message): c for c in found}.values())
        multiple = app.spec.has_multiple_sources
        compared_to = ComparedTo(
            source=app.spec.source if not multiple else None,
            sources=app.spec.sources if multiple else (),
            destination=app.spec.destination,
            ignore_differences=app.spec.ignore_differences,
        )
        return replace(
            before,
            resources=resource_statuses(comparison),
            sync=SyncState(
                status=comparison.sync.value,
                compared_to=compared_to,
                revision="" if multiple else target.revision,
                revisions=(target.revision,) * len(app.spec.sources) if multiple else (),
            ),
            health=health_state(comparison.health, before.health, now),
            conditions=merge_conditions(before.conditions, unique, OWNED_CONDITIONS, now),
            operation_state=run.state() if run is not None else before.operation_state,
            source_type="" if multiple else target.source_type,
            source_types=(target.source_type,) * len(app.spec.sources) if multiple else (),
            summary=summary(self._images(comparison, context.session), comparison),
            resource_health_source="appTree",
            controller_namespace=self._plane.namespace,
        )

    def _images(self, comparison: Comparison, session: ClusterSession) -> set[str]:
        """Images that run for the Application: those of the Pods below its resources, else those it declares."""
        images: set[str] = set()
        for verdict in comparison.verdicts.values():
            live = verdict.drift.live
            if live is None or verdict.hook or b'"image"' not in live.json:
                continue
            images.update(images_of(live.manifest))
            for row, _parent in descend(session.index, [live]):
                if row.key.group_kind == GroupKind("", "Pod"):
                    images.update(pod_images(row.manifest))
        return images

    async def _write(
        self,
        key: Key,
        app: Application,
        after: ApplicationStatus,
        *,
        refreshed: bool,
        operation_done: bool = False,
    ) -> None:
        """Patch the Application if what is new means something.

        A commit that changed nothing for this Application moves only `sync.revision`; that is written with the next change,
        or when `timeout.reconciliation` has passed, and known to our own API at once.
        """
        before, now = app.status, self._clock.now()
        patch: dict[str, Any] = {}
        if not self._means_something(before, after) and not refreshed and not operation_done:
            revision = after.sync.revision if after.sync is not None else ""
            if before.sync is not None and revision != before.sync.revision:
                state = self._states.get(key)
                if self._plane.settings.eager_status or self._flush_due(key, state):
                    patch = {"status": {"sync": {"revision": revision}, "reconciledAt": format_time(now)}}
                elif state is not None and state.fresh is None:
                    state.fresh = (revision, now)
                    delay = self._plane.settings.reconciliation_timeout.total_seconds() or 120.0
                    self.queue.add_after(key, delay * (0.25 + 0.75 * self._fraction()))
                elif state is not None and state.fresh is not None:
                    state.fresh = (revision, state.fresh[1])
            if patch:
                await self._send(key, patch)
            return
        stamped = replace(after, reconciled_at=now.replace(microsecond=0))
        status_patch = mergepatch.create(encode(before), encode(stamped))
        if status_patch:
            patch["status"] = status_patch
        if refreshed and REFRESH in app.annotations:
            patch["metadata"] = {"annotations": {REFRESH: None}}
        if operation_done and app.operation is not None:
            patch["operation"] = None
        if patch:
            state = self._states.get(key)
            if state is not None:
                state.fresh = None
            await self._send(key, patch)

    def _flush_due(self, key: Key, state: _State | None) -> bool:
        if state is None or state.fresh is None:
            return False
        delay = self._plane.settings.reconciliation_timeout.total_seconds() or 120.0
        due = (self._clock.now() - state.fresh[1]).total_seconds() >= delay * 0.25
        if due:
            state.fresh = None
        return due

    async def _send(self, key: Key, patch: Mapping[str, Any]) -> None:
        try:
            await self._plane.patch_application(key, patch)
        except NotFound:
            self._forget(key)

    @staticmethod
    def _means_something(before: ApplicationStatus, after: ApplicationStatus) -> bool:
        def essence(status: ApplicationStatus) -> ApplicationStatus:
            sync = replace(status.sync, revision="", revisions=()) if status.sync is not None else None
            return replace(status, sync=sync, reconciled_at=None, observed_at=None)

        return essence(before) != essence(after)

    # What others may ask

    def fresh_revision(self, key: Key) -> tuple[str, datetime] | None:
        """Revision and time of a comparison that is not written yet; None when the Application says all there is."""
        state = self._states.get(key)
        return state.fresh if state is not None else None

    def comparison(self, key: Key) -> tuple[Comparison, ClusterSession] | None:
        """The last comparison of an Application with the cluster it is about."""
        state = self._states.get(key)
        if state is None or state.compared.comparison is None or state.session is None:
            return None
        return state.compared.comparison, state.session

    def operation_message(self, key: Key) -> str:
        """What the running operation waits for, empty when none runs."""
        state = self._states.get(key)
        return state.run.message if state is not None and state.run is not None else ""


def _name(key: Key) -> str:
    return f"{key[0]}/{key[1]}"


def ledger_row(app: Application, run: OperationRun) -> OperationRow:
    """The ledger's row of an operation as it stands."""
    return OperationRow(
        app_uid=app.uid,
        started_at=run.started_at,
        app_namespace=app.namespace,
        app_name=app.name,
        project=app.project_name,
        revision=run.revision,
        initiated_by=run.operation.initiated_by.username,
        automated=run.automated,
        finished_at=run.finished_at if run.phase.completed else None,
        phase=run.phase.value,
        message=run.message,
        resources=summarize(run.results),
    )
