"""Operations of Applications: when one starts, how it goes on after a crash, when it ends.

The Application's own `operation` and `status.operationState` are the state of record. An operation is written there before
anything is touched, together with the request that stands for it while it runs; its end and the request's removal are one
write. What is kept in memory is only a copy, and a new process goes on from what is written.

Source: compat 2.6, 2.7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from tiphys.apimachinery.apierrors import Conflict
from tiphys.controllers.comparer import Comparer
from tiphys.controllers.comparison import Context, kind_problem
from tiphys.controllers.controlplane import Key
from tiphys.controllers.holds import Holds
from tiphys.controllers.ignoring import wants_respect
from tiphys.controllers.known import Known, name_of
from tiphys.controllers.operation import (
    OperationRun,
    Stepper,
    comparison_errors,
    history_entry,
    is_request_for,
    make_plan,
    options_of,
    refusal,
    retry_message,
    shared_resource,
)
from tiphys.controllers.records import DELETED, Records
from tiphys.controllers.statuswriter import StatusWriter
from tiphys.engine.reconcile import ThreeWayPatcher
from tiphys.engine.states import OperationPhase, StageError
from tiphys.engine.status.summary import recorded_results
from tiphys.engine.sync.apply import Applier
from tiphys.engine.sync.auto import Decision, decide
from tiphys.engine.sync.step import TERMINATED
from tiphys.model.annotations import deletion_approved_at
from tiphys.model.application import Application
from tiphys.model.operation import Operation, OperationState
from tiphys.model.source import ApplicationSource
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger

BLOCKED = "Sync operation blocked by sync window"
_AGAIN_S = 0.5


@dataclass(frozen=True, slots=True)
class Blocked:
    """The Application must not be synced now; after `until_s` seconds the answer may be another, None: nobody knows when."""

    until_s: float | None = None
    message: str = BLOCKED


# (Application, context, the operation that runs or None, whether somebody asked for it by hand) -> None when it may go on.
# Consulted before automation starts an operation, and before every step of one.
Windows = Callable[[Application, Context, OperationRun | None, bool], Blocked | None]


class Operations:
    """Starts, advances and ends the operations of Applications."""

    def __init__(
        self,
        *,
        comparer: Comparer,
        writer: StatusWriter,
        records: Records,
        holds: Holds,
        clock: Clock,
        again: Callable[[Key], None],
        windows: Windows = lambda _app, _context, _run, _manual: None,
        log: Logger = SILENT,
    ) -> None:
        """`again` has an Application reconciled once more: what an operation found may call for the next one.

        `windows` says whether its project lets the Application be synced now.
        """
        self._comparer = comparer
        self._writer = writer
        self._records = records
        self._holds = holds
        self._clock = clock
        self._again = again
        self._windows = windows
        self._log = log

    async def advance(self, key: Key, app: Application, known: Known, context: Context) -> float | None:
        """Take up, start, step or end the operation, and write what is known.

        Seconds after which to look again, None when an event will wake us.
        """
        hold_ends = await self._holds.look(key, app, known, context)
        if known.run is None:
            await self._resume(app, known)
        if known.run is None:
            asked = app.operation
            problem = refusal(asked)
            if asked is not None and problem:
                await self._refuse(key, app, known, asked, problem)
                return None
            if asked is not None:
                decision = Decision(operation=asked)
            elif known.held is not None:
                decision = await self._holds.defend(app, known, context, app.status.operation_state)
            else:
                decision = self._decide(app, known)
            if decision.operation is None:
                await self._writer.write(key, app, known, sync_problem=decision.problem)
                return _earliest(decision.wait_s, hold_ends)
            if asked is None and (blocked := self._windows(app, context, None, False)) is not None:
                await self._writer.write(key, app, known)
                return _earliest(blocked.until_s, hold_ends)
            try:
                if not await self._begin(key, app, known, decision.operation):
                    return None
            except Conflict:
                return _AGAIN_S  # it was changed meanwhile: somebody may have asked for another operation
        assert known.run is not None
        return await self._step(key, self._writer.current(key, app), known, context, known.run)

    async def refuse(self, key: Key, app: Application, known: Known, error: StageError) -> None:
        """The Application's own spec forbids everything: what runs or was asked for ends in Error."""
        message = f"{error.reason}: {error.message}"
        if known.run is None:
            await self._resume(app, known)
        if known.run is not None:
            known.run.phase, known.run.message, known.run.given_up = OperationPhase.ERROR, message, True
            await self._end(key, app, known, known.run)
        elif app.operation is not None:
            await self._refuse(key, app, known, app.operation, message)
        else:
            await self._writer.write(key, app, known)

    async def abandon(self, app: Application, known: Known) -> None:
        """The Application is being deleted, or gone: nothing of its operation is done any more."""
        run, known.run = known.run, None
        if run is None:
            return
        run.phase, run.message, run.finished_at = OperationPhase.ERROR, DELETED, self._clock.now()
        await self._records.close(app, run)
        self._log.info("operation abandoned", application=f"{app.namespace}/{app.name}", text=DELETED)

    # Starting

    def _decide(self, app: Application, known: Known) -> Decision:
        """Whether automation starts one."""
        comparison, target = known.compared.comparison, known.compared.target
        if known.trouble is not None or comparison is None or target is None:
            return Decision()
        return decide(
            app.spec,
            comparison,
            app.status.operation_state,
            revision=target.revision,
            same_as_last=_same_as_last(app, known, target.revision),
            now=self._clock.now(),
        )

    async def _refuse(self, key: Key, app: Application, known: Known, asked: Operation, message: str) -> None:
        """End a requested operation before it began."""
        now = self._clock.now().replace(microsecond=0)
        state = OperationState(
            operation=asked, phase=OperationPhase.ERROR.value, message=message, started_at=now, finished_at=now
        )
        self._log.info("operation refused", application=name_of(key), text=message)
        await self._writer.end(key, app, known, state, is_ours=lambda found: found == asked)

    async def _begin(self, key: Key, app: Application, known: Known, operation: Operation) -> bool:
        """Write the operation down before anything is touched. False when the Application is gone. Raises Conflict."""
        sync = operation.sync
        assert sync is not None
        sources = sync.sources or ((sync.source,) if sync.source is not None else app.spec.all_sources)
        target = known.compared.target
        current = target is not None and known.trouble is None and sources == app.spec.all_sources
        started = self._clock.now().replace(microsecond=0)
        last = app.status.operation_state
        for before in (last.started_at if last is not None else None, known.last_start):
            if before is not None and before >= started:
                # The start names the operation, in its hooks and in the ledger.
                started = before + timedelta(seconds=1)
        run = OperationRun(
            operation=operation,
            started_at=started,
            revision=sync.revision or (target.revision if current and target is not None else ""),
            sources=tuple(sources),
            multiple=app.spec.has_multiple_sources,
            options=options_of(app, operation, started, 0),
            managed_namespace=app.spec.policy.managed_namespace_metadata,
            message="waiting to start",
        )
        ask = operation if app.operation is None else None
        if not await self._writer.begin(key, app, known, run.state(), ask):
            return False
        known.run, known.last_start = run, started
        known.lacking = known.compared.unserved
        await self._records.open(app, run)
        self._log.info(
            "operation started",
            application=name_of(key),
            revision=run.revision,
            automated=run.automated,
            partial=run.partial,
        )
        return True

    async def _resume(self, app: Application, known: Known) -> None:
        """Take up the operation an earlier process was in the middle of, from what it had written down."""
        recorded = app.status.operation_state
        if recorded is None or recorded.completed or recorded.operation.sync is None or recorded.started_at is None:
            return
        result = recorded.sync_result
        sources: tuple[ApplicationSource, ...] = ()
        if result is not None:
            sources = result.sources or ((result.source,) if result.source is not None else ())
        run = OperationRun(
            operation=recorded.operation,
            started_at=recorded.started_at,
            revision=(result.revision if result is not None else "") or recorded.operation.sync.revision,
            sources=sources or app.spec.all_sources,
            multiple=app.spec.has_multiple_sources,
            options=options_of(app, recorded.operation, recorded.started_at, recorded.retry_count),
            managed_namespace=app.spec.policy.managed_namespace_metadata,
            results=recorded_results(result.resources if result is not None else ()),
            retry_count=recorded.retry_count,
            terminating=recorded.phase == OperationPhase.TERMINATING,
            message=recorded.message,
        )
        now = self._clock.monotonic()
        # When they were applied is not known; a status that may be an old one is not believed at once.
        run.applied_at = {i: now for i, r in run.results.items() if r.phase is OperationPhase.RUNNING}
        if recorded.finished_at is not None:  # it was waiting for its next attempt
            run.finished_at = recorded.finished_at
            try:
                due = recorded.operation.retry.next_retry_at(recorded.finished_at, max(recorded.retry_count - 1, 0))
            except ValueError:  # a duration that cannot be read; the end of the attempt will say so
                due = recorded.finished_at
            run.retry_at = now + max(0.0, (due - self._clock.now()).total_seconds())
        known.run, known.last_start = run, recorded.started_at
        await self._records.open(app, run)
        self._log.info("operation resumed", application=f"{app.namespace}/{app.name}", revision=run.revision)

    # Stepping

    async def _step(
        self, key: Key, app: Application, known: Known, context: Context, run: OperationRun
    ) -> float | None:
        if run.phase.completed:  # its end could not be written when it came
            await self._end(key, app, known, run)
            return None
        left_s = self._look_for_stop(app, context, run)
        if self._is_superseded(known, run):
            assert known.compared.target is not None
            run.phase, run.given_up = OperationPhase.FAILED, True
            run.message = f"superseded by {known.compared.target.revision}"
            return await self._finish(key, app, known, context, run)
        if run.retry_at is not None and not run.terminating:
            now = self._clock.monotonic()
            if now < run.retry_at:
                await self._writer.write(key, app, known)
                return _earliest(run.retry_at - now, left_s)
            self._next_attempt(app, run)
        if not run.terminating:
            blocked = self._windows(app, context, run, not run.automated)
            if blocked is not None:
                run.message = blocked.message
                await self._writer.write(key, app, known)
                return _earliest(blocked.until_s, left_s)
        if not await self._prepare(known, context, run):
            return await self._finish(key, app, known, context, run)
        await self._writer.write(key, app, known)  # what is about to be done is written before it is done

        async def record() -> None:
            await self._writer.write(key, app, known)

        session = context.session
        applier = Applier(
            client=session.client,
            discovery=session.discovery,
            view=session.index,
            patcher=ThreeWayPatcher(),
            until=session.changes.until,
        )
        stepper = Stepper(
            applier=applier, index=session.index, clock=self._clock, override=context.override, record=record
        )
        approved = deletion_approved_at(app.annotations)
        last = await stepper.step(
            run,
            wave_delay_s=float(context.settings.sync_wave_delay_s),
            confirmed=approved is not None and approved >= run.started_at,
        )
        if last.phase.completed:
            run.phase = last.phase
            if run.terminating:
                run.message = run.end_message or last.message
            return await self._finish(key, app, known, context, run)
        await self._writer.write(key, app, known)
        return _earliest(stepper.settles_in(run), left_s)

    def _look_for_stop(self, app: Application, context: Context, run: OperationRun) -> float | None:
        """Notice that somebody, or the time limit of a sync, stops the operation. Seconds left until the limit."""
        run.heed(app.status.operation_state)
        limit = context.settings.sync_timeout_s
        if limit <= 0 or run.terminating:
            return None
        left = limit - (self._clock.now() - run.started_at).total_seconds()
        if left > 0:
            return left
        run.terminating = True
        run.end_message = f"{TERMINATED}, triggered by controller sync timeout"
        return None

    @staticmethod
    def _is_superseded(known: Known, run: OperationRun) -> bool:
        """A newer commit says something else, and the operation is at a point where it may be left."""
        target = known.compared.target
        return (
            run.automated
            and known.held is None
            and not run.terminating
            and known.trouble is None
            and target is not None
            and bool(run.revision)
            and target.revision != run.revision
            and (run.target is None or known.compared.render_keys != known.attempted)
            and (run.retry_at is not None or bool(run.waiting_for))
            and not run.waits_for_hook()
        )

    def _next_attempt(self, app: Application, run: OperationRun) -> None:
        """Nothing of the failed attempt counts."""
        run.retry_at = None
        run.finished_at = None
        run.plan = None
        run.checked = False
        run.results = {}
        run.applied_at.clear()
        run.released.clear()
        run.held_since.clear()
        run.lost_since = None
        run.waiting_for = ()
        run.phase = OperationPhase.RUNNING
        run.options = options_of(app, run.operation, run.started_at, run.retry_count)
        sync = run.operation.sync
        if run.operation.retry.refresh and (run.automated or (sync is not None and not sync.revision)):
            run.target, run.revision = None, ""

    async def _prepare(self, known: Known, context: Context, run: OperationRun) -> bool:
        """See to it that there is a plan; False when the operation ends instead, with phase and message set.

        Raises ApiError, ClusterUnreachable, DiscoveryError: the cluster could not be asked, which is no end.
        """
        if run.terminating and run.plan is None and not run.results:
            run.phase, run.message = OperationPhase.FAILED, run.end_message or TERMINATED
            return False
        try:
            if run.target is None:
                await self._aim(known, context, run)
            if run.plan is None:
                assert run.target is not None
                run.options = replace(run.options, sync_options=context.options(run.options.sync_options))
                comparison = await self._comparer.comparison_for(context, known, run.target)
                if errors := comparison_errors(comparison):
                    run.phase, run.message = OperationPhase.ERROR, errors
                    return False
                shared = shared_resource(comparison)
                if shared and "FailOnSharedResource=true" in run.options.sync_options:
                    run.phase, run.message = OperationPhase.FAILED, f"Shared resource found: {shared}"
                    return False
                session, namespace = context.session, context.destination.namespace
                plan = make_plan(
                    run,
                    comparison,
                    namespace=namespace,
                    namespace_is_live=session.namespace_is_live(namespace),
                    kind_problem=kind_problem(session),
                )
                if wants_respect(run.options.sync_options):
                    plan = await context.ignoring().respected_plan(plan, context.ignore_rules())
                run.plan = plan
        except StageError as error:
            run.phase, run.message = OperationPhase.ERROR, f"{error.reason}: {error.message}"
            return False
        return True

    async def _aim(self, known: Known, context: Context, run: OperationRun) -> None:
        """What the operation is to apply: what was just compared, or what another revision or source declares."""
        compared = known.compared
        own = context.app.spec.all_sources
        if (
            known.trouble is None
            and compared.target is not None
            and run.sources == own
            and run.revision in ("", compared.target.revision)
        ):
            run.target, known.attempted = compared.target, compared.render_keys
        else:
            pinned = run.sources
            if run.revision:
                pinned = tuple(replace(source, target_revision=run.revision) for source in run.sources)
            run.target, known.attempted = await self._comparer.target(
                context, pinned, previous=compared.target, refresh=False
            )
        run.revision, run.render_keys = run.target.revision, known.attempted

    # Ending

    async def _finish(
        self, key: Key, app: Application, known: Known, context: Context, run: OperationRun
    ) -> float | None:
        """End the operation or arrange its next attempt; the comparison is made again, so that one write says it all."""
        now = self._clock.now()
        run.finished_at = max(now.replace(microsecond=0), run.started_at)
        run.waiting_for = ()
        sync, retry = run.operation.sync, run.operation.retry
        assert sync is not None
        again = (
            run.phase in (OperationPhase.FAILED, OperationPhase.ERROR)
            and not run.terminating
            and not run.given_up
            and not sync.dry_run
            and retry.allows(run.retry_count)
        )
        if again:
            try:
                wait = retry.wait(run.retry_count)
            except ValueError as error:
                run.message, again = f"{run.message}; it is not retried: {error}", False
        if again:
            run.retry_count += 1
            run.message = retry_message(run.message, run.retry_count, wait, now)
            run.phase = OperationPhase.RUNNING
            run.retry_at = self._clock.monotonic() + wait.total_seconds()
            self._log.info("operation will be retried", application=name_of(key), text=run.message)
        app = self._writer.current(key, app)
        await self._comparer.compare(key, app, known, replace(context, app=app))
        if again:
            await self._writer.write(key, app, known)
            return wait.total_seconds()
        await self._end(key, app, known, run)
        return None

    async def _end(self, key: Key, app: Application, known: Known, run: OperationRun) -> None:
        """Write the end. Should that fail, the run stays, and the next reconciliation comes here again."""
        if run.finished_at is None:
            run.finished_at = max(self._clock.now().replace(microsecond=0), run.started_at)
        sync = run.operation.sync
        complete = run.phase is OperationPhase.SUCCEEDED and not run.partial and sync is not None and not sync.dry_run
        await self._writer.end(
            key,
            app,
            known,
            run.state(),
            is_ours=lambda found: is_request_for(found, run),
            history=history_entry(run) if complete else None,
        )
        known.run = None
        if complete:
            await self._holds.ended_by(key, known, run.revision)
        await self._records.close(app, run)
        self._log.info(
            "operation ended",
            application=name_of(key),
            revision=run.revision,
            phase=run.phase.value,
            text=run.message,
            seconds=round((self._clock.now() - run.started_at).total_seconds(), 3),
        )
        self._again(key)


def _same_as_last(app: Application, known: Known, revision: str) -> bool:
    """The last operation applied what Git declares now: the same sources, at this revision or one that renders the same."""
    last = app.status.operation_state
    if last is None or last.sync_result is None:
        return False
    if app.spec.policy.managed_namespace_metadata not in (None, last.sync_result.managed_namespace_metadata):
        return False
    if known.lacking - known.compared.unserved:
        return False  # somebody defined the kinds that it lacked: what could not be applied now can
    result = last.sync_result
    sources = result.sources or ((result.source,) if result.source is not None else ())
    if tuple(sources) != app.spec.all_sources:
        return False
    if result.revision == revision or revision in result.revisions:
        return True
    return bool(known.attempted) and known.attempted == known.compared.render_keys


def _earliest(*waits: float | None) -> float | None:
    return min((wait for wait in waits if wait is not None), default=None)
