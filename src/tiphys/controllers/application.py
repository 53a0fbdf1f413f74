"""Reconciles Applications: watch -> key -> queue -> compare, operate, write.

One key is never in two workers at once, so everything kept for an Application is touched by one task at a time. A
reconciliation reads the world as it is then; what woke it is forgotten.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from datetime import datetime
from typing import Any

from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.clusters import ClusterSession, OpenCluster
from tiphys.controllers.comparer import Comparer, ReadsOf, RenderSource
from tiphys.controllers.comparison import Context, problem_of
from tiphys.controllers.controlplane import ControlPlane, Key, Unreadable
from tiphys.controllers.deletion import Deletion
from tiphys.controllers.holds import Holds
from tiphys.controllers.known import Interests, Known, name_of
from tiphys.controllers.records import Records
from tiphys.controllers.repositories import RepositoryWatch
from tiphys.controllers.running import Operations
from tiphys.controllers.standing import At, Moved, Standing
from tiphys.controllers.statuswriter import StatusWriter, flush_period_s
from tiphys.controllers.windows import project_windows
from tiphys.engine.health.scripts import HealthLookup, HealthScripts
from tiphys.engine.source.changes import changes
from tiphys.engine.states import Comparison, Snapshot, StageError, TargetState
from tiphys.engine.sync.apply import CRD
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import refresh_type, skips_reconcile
from tiphys.model.application import DEFAULT_PROJECT, Application
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import ConditionType, SyncState
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.workqueue import After, Done, Result, Retry, WorkQueue
from tiphys.scripting.service import Scripts, ScriptsUnavailable
from tiphys.store.ledger import Ledger

LATE_KIND_S = 0.5  # between two looks for a kind that was just defined and is not served yet


class ApplicationController:
    """Reconciles the Applications of one control plane, while it may act."""

    def __init__(
        self,
        *,
        plane: ControlPlane,
        clusters: OpenCluster,
        repositories: RepositoryWatch,
        render: RenderSource,
        reads: ReadsOf,
        ledger: Ledger,
        health: HealthScripts | None = None,
        scripts: Scripts | None = None,
        clock: Clock,
        fraction: Callable[[], float],
        log: Logger = SILENT,
    ) -> None:
        self._plane = plane
        self._repositories = repositories
        self._clock = clock
        self._log = log
        self._unseen: set[Key] = set()  # not reconciled yet since this engine acts
        self._since = 0.0
        self._known: dict[Key, Known] = {}
        self._by_instance: dict[str, Key] = {}
        self._interests = Interests()
        # Told of a newer revision that changed nothing and is not written yet.
        self.fresh_told: Callable[[Key, SyncState, datetime], None] = lambda _key, _sync, _now: None
        # Told of each Application that was reconciled: what there is to see of it may have changed.
        self.looked_at: Callable[[Key], None] = lambda _key: None
        self.usage_changed: Callable[[], None] = lambda: None  # a cluster may not be needed any more
        self._acting = asyncio.Event()
        self._halted = asyncio.Event()
        self.queue: WorkQueue[Key] = WorkQueue(clock=clock, fraction=fraction)
        self._comparer = Comparer(
            plane=plane,
            clusters=clusters,
            repositories=repositories,
            render=render,
            reads=reads,
            interests=self._interests,
            health=health,
            scripts=scripts,
            log=log,
        )
        self._writer = StatusWriter(
            plane=plane,
            comparer=self._comparer,
            clock=clock,
            fraction=fraction,
            later=self.queue.add_after,
            fresh=lambda key, sync, now: self.fresh_told(key, sync, now),
        )
        self._records = Records(ledger, clock=clock, log=log)
        self._operations = Operations(
            comparer=self._comparer,
            writer=self._writer,
            records=self._records,
            holds=Holds(plane=plane, comparer=self._comparer, clock=clock, log=log),
            clock=clock,
            again=self.queue.add,
            windows=project_windows(clock),
            log=log,
        )
        self._deletion = Deletion(plane=plane, clusters=clusters, comparer=self._comparer, clock=clock, log=log)
        self._standing = Standing(clock=clock, within_s=lambda: flush_period_s(plane.settings))
        repositories.standing = self._moved_on
        plane.application_changed = self.queue.add
        plane.everything_changed = self._everything_changed

    # What wakes us

    def _everything_changed(self) -> None:
        for key, known in self._known.items():
            known.moved = True
            self.queue.add(key)

    def _moved_on(self, url: str, scope: str, expression: str, before: Snapshot, after: Snapshot) -> Set[Key]:
        """A commit came after another: those who need not be told, because nothing that they read is another thing now."""
        at = At(url, scope, expression)
        if not self._standing.has(at):
            return frozenset()
        differ = changes(before.tree, after.tree)
        return self._standing.move(at, before.revision, after.revision, differ, given=self._comparer.still_given)

    def _catch_up(self, key: Key, known: Known) -> None:
        """What is known of an Application says where it stands by now."""
        moved = self._standing.moved(key)
        if moved is not None:
            self._comparer.is_at(known, moved.revision)

    def _look_apart(self, key: Key, known: Known) -> None:
        """An Application is looked at by itself; its revision, if that is not written yet, is its own matter again."""
        moved, since = self._standing.moved(key), self._standing.since(key)
        if moved is not None:
            self._comparer.is_at(known, moved.revision)
            known.fresh = (moved.revision, known.fresh[1] if known.fresh is not None else since or moved.at)
        self._standing.leave(key)

    def _look_together(self, key: Key, known: Known) -> None:
        """From now on an Application is looked at together with those that stand where it does, if that can be."""
        app = self._plane.applications.get(key)
        if app is None or app is not known.app or known.held is not None:
            return
        if skips_reconcile(known.app.annotations) or known.app.deletion_timestamp is not None:
            return
        where = self._comparer.standing(known)
        if where is not None:
            self._standing.admit(key, *where)

    def moved(self, key: Key) -> Moved | None:
        """A commit newer than what the Application says, at which it stands all the same."""
        return self._standing.moved(key)

    @property
    def turns(self) -> int:
        """Rises whenever what `moved` says of anybody may be another."""
        return self._standing.turns

    async def _stamp(self, key: Key, revision: str) -> None:
        """Write where an Application stands, and nothing else."""
        known = self._known.get(key)
        if known is None or key in self.queue.active:
            return
        try:
            if await self._writer.stamp(key, revision):
                known.fresh = None
                return
        except (ApiError, ClusterUnreachable):
            pass  # whatever it is, it is seen when the Application is looked at by itself
        except Exception as error:
            self._bug(key, error)  # one Application must not keep the others from being written
        self.queue.add(key)

    def repository_moved(self, key: Key) -> None:
        """The repository of an Application has a new commit where the Application looks.

        When nothing it reads was touched, that costs a look at some ids here and no reconciliation.
        """
        known = self._known.get(key)
        if known is not None:
            if key not in self.queue.active:
                self._look_apart(key, known)
                if self._comparer.stands(known):
                    self._writer.hold(key, known)
                    self._look_together(key, known)
                    return
            known.moved = True
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
            if found is not None and self._is_about(found, session):
                self.queue.add(found)
        for wanting in self._interests.of(key):
            if self._is_about(wanting, session):
                self.queue.add(wanting)
        if key.group_kind == CRD:
            session.defined(self._clock.monotonic())
            for waiting, known in self._known.items():
                if known.compared.unserved and known.session is session:
                    self.queue.add(waiting)

    def _is_about(self, key: Key, session: ClusterSession) -> bool:
        known = self._known.get(key)
        return known is None or known.session is None or known.session is session

    def live_state_changed(self, session: ClusterSession) -> None:
        """A kind of a cluster became complete, or cannot be listed any more; or the cluster came or went."""
        for key in self._known:
            if self._is_about(key, session):
                self.queue.add(key)

    def sessions_in_use(self) -> list[ClusterSession]:
        """Sessions that Applications were last reconciled with."""
        return [known.session for known in self._known.values() if known.session is not None]

    # Work

    def act(self) -> None:
        """Start to act. What was known is forgotten: somebody else may have acted since."""
        for key in list(self._known):
            self._forget(key)
        for key in self._plane.applications:
            self.queue.add(key)
        self._halted.clear()
        self._since = self._clock.monotonic()
        self._acting.set()

    def halt(self) -> None:
        """Stop acting at once, in the middle of whatever is being done; `act` starts anew."""
        self._acting.clear()
        self._halted.set()

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]], workers: int) -> None:
        """Work, while acting, until told to stop; what is being done then is finished or left to the next start."""
        async with asyncio.TaskGroup() as group:
            working = group.create_task(self._work(workers))
            ready()
            await until_stopped()
            self.queue.stop()
            if self._acting.is_set():
                await asyncio.wait([working], timeout=2.0)
            working.cancel()

    async def _work(self, workers: int) -> None:
        while True:
            await self._acting.wait()
            await self._records.settle(self._plane.applications)
            self._unseen = set(self._plane.applications)
            async with asyncio.TaskGroup() as group:
                work = group.create_task(self.queue.run(self.reconcile, workers=workers, on_error=self._bug))
                stamps = group.create_task(self._standing.run(self._stamp))
                halt = group.create_task(self._halted.wait())
                await asyncio.wait((work, halt), return_when=asyncio.FIRST_COMPLETED)
                stopped = work.done()
                work.cancel()
                halt.cancel()
                stamps.cancel()
            if stopped:
                return

    def _bug(self, key: Key, error: Exception) -> None:
        if isinstance(error, ApiError | ClusterUnreachable | DiscoveryError | ScriptsUnavailable):
            self._log.warning("an Application could not be reconciled", application=name_of(key), problem=str(error))
            return
        self._log.exception("reconciling an Application failed", error, application=name_of(key))

    async def reconcile(self, key: Key) -> Result:
        """Bring one Application one step on."""
        known = self._known.get(key)
        if known is not None:
            self._look_apart(key, known)
        try:
            result = await self._reconcile(key)
        finally:
            self.looked_at(key)
        known = self._known.get(key)
        if known is not None:
            self._look_together(key, known)
        if self._unseen:
            self._unseen.discard(key)
            if not self._unseen:
                took = round(self._clock.monotonic() - self._since, 3)
                self._log.info("every Application was looked at", applications=len(self._known), seconds=took)
        return result

    async def _reconcile(self, key: Key) -> Result:
        app = self._plane.applications.get(key)
        if app is None:
            known = self._known.get(key)
            if known is not None and known.app is not None:
                await self._operations.abandon(known.app, known)
            self._forget(key)
            return Done()
        if isinstance(app, Unreadable):
            await self._writer.report_unreadable(key, app)
            return Done()
        if skips_reconcile(app.annotations):
            return Done()
        known = await self._known_for(key, app)
        before = known.session
        if app.deletion_timestamp is not None:
            await self._operations.abandon(app, known)
            wait = await self._deletion.step(key, app, known)
            return After(wait) if wait is not None else Done()
        if not app.spec.project:
            await self._plane.patch_application(key, {"spec": {"project": DEFAULT_PROJECT}})
            return After(0.0)
        try:
            context = await self._comparer.context(app, known)
        except StageError as error:
            known.trouble, known.moved, known.asked = error, True, refresh_type(app.annotations) or ""
            await self._operations.refuse(key, app, known, error)
            return After(error.retry_after_s) if error.retry_after_s is not None else Done()
        except (ApiError, ClusterUnreachable, DiscoveryError) as error:
            known.trouble, known.moved = problem_of(error), True
            await self._writer.write(key, app, known)
            return Retry()
        if before is not None and before is not context.session:
            self.usage_changed()
        if not await context.session.until_settled(self._clock.monotonic()):
            return Done()  # it is being connected to; how that ends wakes us
        await self._comparer.compare(key, app, known, context)
        await self._deletion.guard(key, app, known)
        wait = await self._operations.advance(key, app, known, context)
        return self._next(known, context.session, wait)

    def _next(self, known: Known, session: ClusterSession, wait: float | None) -> Result:
        trouble = known.trouble
        if known.compared.unserved and session.may_serve_soon(self._clock.monotonic()):
            session.discovery.invalidate()
            wait = min(wait, LATE_KIND_S) if wait is not None else LATE_KIND_S
        if trouble is not None and trouble.retry_after_s is not None and trouble.stage != "source":
            wait = min(wait, trouble.retry_after_s) if wait is not None else trouble.retry_after_s
        return After(wait) if wait is not None else Done()

    async def _known_for(self, key: Key, app: Application) -> Known:
        known = self._known.get(key)
        if known is not None and known.uid != app.uid:
            if known.app is not None:
                await self._operations.abandon(known.app, known)
            self._forget(key)
            known = None
        if known is None:
            known = Known(uid=app.uid, instance=app.instance_name(self._plane.namespace))
            self._known[key] = known
            self._by_instance[known.instance] = key
        known.app = app
        return known

    def _forget(self, key: Key) -> None:
        known = self._known.pop(key, None)
        if known is None:
            return
        self._by_instance.pop(known.instance, None)
        self._standing.leave(key)
        self._interests.change(key, known, frozenset())
        if known.session is not None:
            self.usage_changed()
        self._repositories.forget(key)

    # What others may ask

    def comparison(self, key: Key) -> tuple[Comparison, ClusterSession] | None:
        """The last comparison of an Application with the cluster it is about."""
        known = self._known.get(key)
        if known is None or known.compared.comparison is None or known.session is None:
            return None
        self._catch_up(key, known)
        return known.compared.comparison, known.session

    def health_lookup(self) -> HealthLookup | None:
        """Health by the scripts of `argocd-cm`, None when there are none."""
        return self._comparer.health_lookup()

    async def context(self, key: Key) -> Context:
        """What an Application refers to: project, settings, cluster. Raises StageError."""
        app = self._plane.applications.get(key)
        if not isinstance(app, Application):
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, f"application {key[1]} cannot be read")
        return await self.context_of(app)

    async def context_of(self, app: Application) -> Context:
        """What an Application, which need not be there, refers to. Raises StageError."""
        known = Known(uid=app.uid, instance=app.instance_name(self._plane.namespace))
        return await self._comparer.context(app, known)

    async def target_at(self, context: Context, sources: Sequence[ApplicationSource]) -> TargetState:
        """What Git declares for an Application at these sources. Raises StageError, ApiError, ClusterUnreachable."""
        target, _keys = await self._comparer.target(context, sources, previous=None, refresh=False)
        return target
