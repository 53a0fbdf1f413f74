"""Writes what is known of an Application into the Application: once, when it means something.

Written at once: the start and the end of an operation, any change of sync, health, conditions or resources, the answer to
a refresh. A commit that changed nothing for the Application moves only `sync.revision`; that is written with the next
change, or when `timeout.reconciliation` has passed, and is known to our own API at once.

Source: compat 1.10, 2.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from tiphys.apimachinery import mergepatch
from tiphys.apimachinery.apierrors import ApiError, Conflict, NotFound
from tiphys.apimachinery.names import GroupKind
from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.comparer import Comparer
from tiphys.controllers.controlplane import ControlPlane, Key, Unreadable
from tiphys.controllers.known import Known
from tiphys.engine.live.tree import descend, pod_images
from tiphys.engine.states import Comparison, Health, HealthStatus, Live, StageError, SyncStatus, TargetState
from tiphys.engine.status.summary import health_state, summary
from tiphys.engine.sync.apply import images_of
from tiphys.model.annotations import REFRESH
from tiphys.model.application import Application
from tiphys.model.codec import encode
from tiphys.model.hold import describe_hold
from tiphys.model.operation import Operation, OperationState, SyncOperationResult
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
from tiphys.runtime.clock import Clock, format_time
from tiphys.settings.values import Settings

# Every condition that a reconciliation evaluates: what it does not find is cleared.
OWNED_CONDITIONS = frozenset(
    {
        ConditionType.INVALID_SPEC_ERROR,
        ConditionType.COMPARISON_ERROR,
        ConditionType.SYNC_ERROR,
        ConditionType.UNKNOWN_ERROR,
        ConditionType.SHARED_RESOURCE_WARNING,
        ConditionType.REPEATED_RESOURCE_WARNING,
        ConditionType.EXCLUDED_RESOURCE_WARNING,
        ConditionType.ORPHANED_RESOURCE_WARNING,
        ConditionType.HELD_WARNING,
    }
)
_DEFAULT_FLUSH_S = 120.0
_ATTEMPTS = 5


def flush_period_s(settings: Settings) -> float:
    """Seconds within which a revision that changed nothing else is written."""
    return settings.reconciliation_timeout.total_seconds() or _DEFAULT_FLUSH_S


class StatusWriter:
    """Writes status, and the operation that was asked for, of Applications."""

    def __init__(
        self,
        *,
        plane: ControlPlane,
        comparer: Comparer,
        clock: Clock,
        fraction: Callable[[], float],
        later: Callable[[Key, float], None],
        fresh: Callable[[Key, SyncState, datetime], None] = lambda _key, _sync, _now: None,
    ) -> None:
        """`later` brings an Application back after seconds, to flush a revision that was not worth a write; `fresh` is told
        of it at once."""
        self._plane = plane
        self._comparer = comparer
        self._clock = clock
        self._fraction = fraction
        self._later = later
        self._fresh = fresh
        self._images: dict[str, tuple[str, frozenset[str]]] = {}  # uid of a Pod -> (version, images)

    def current(self, key: Key, app: Application) -> Application:
        """The Application as it was last seen, which may be newer than `app`."""
        found = self._plane.applications.get(key)
        return found if isinstance(found, Application) and found.uid == app.uid else app

    async def write(self, key: Key, app: Application, known: Known, *, sync_problem: str = "") -> None:
        """Write what is known now, if it means something or a refresh is to be answered."""
        app = self.current(key, app)
        operation = app.status.operation_state
        if known.run is not None:
            known.run.heed(operation)  # or the order to stop, come since the operation was last looked at, were undone
            operation = known.run.state()
        after = self._status(app, known, operation, sync_problem)
        if not known.asked and not _means_something(app.status, after):
            await self._flush(key, app, known, after)
            return
        try:
            await self._send(key, self._patch(app, known, after), known)
        except ApiError as error:
            if not _is_too_large(error):
                raise
            await self._say_too_large(key, app, known, after, error)

    async def _say_too_large(
        self, key: Key, app: Application, known: Known, after: ApplicationStatus, error: ApiError
    ) -> None:
        """The status cannot be stored: say so in one that can, instead of saying nothing at all."""
        message = (
            f"the status of this Application is too large for the API server: it has {len(after.resources)} resources; "
            f"divide it into several Applications ({error.message})"
        )
        less = self._in_trouble(app, known, StageError("status", ConditionType.COMPARISON_ERROR, message))
        if known.asked or _means_something(app.status, less):
            await self._send(key, self._patch(app, known, less), known)

    async def begin(
        self, key: Key, app: Application, known: Known, state: OperationState, ask: Operation | None
    ) -> bool:
        """Write that an operation starts; `ask` is put into `operation` when nobody asked for it by hand.

        False when there is no such Application any more, or its status is too large to be stored: nothing is applied that
        could not be told of. Raises Conflict when somebody changed the Application
        meanwhile: they may have asked for another operation.
        """
        app = self.current(key, app)
        patch = self._patch(app, known, self._status(app, known, state, ""))
        if ask is not None:
            patch["operation"] = encode(ask)
            patch.setdefault("metadata", {})["resourceVersion"] = app.resource_version
        try:
            return await self._send(key, patch, known)
        except ApiError as error:
            if not _is_too_large(error):
                raise
            await self._say_too_large(key, app, known, self._status(app, known, state, ""), error)
            return False

    async def end(
        self,
        key: Key,
        app: Application,
        known: Known,
        state: OperationState,
        *,
        is_ours: Callable[[Operation], bool],
        history: RevisionHistory | None = None,
    ) -> None:
        """Write how an operation ended, and clear the request for it; a request that came meanwhile stays."""
        for attempt in range(_ATTEMPTS):
            app = self.current(key, app)
            after = self._status(app, known, state, "")
            if history is not None:
                kept = append_history(app.status.history, history, app.spec.revision_history_limit)
                after = replace(after, history=kept)
            patch = self._patch(app, known, after)
            if app.operation is not None and is_ours(app.operation):
                patch["operation"] = None
                patch.setdefault("metadata", {})["resourceVersion"] = app.resource_version
            try:
                await self._send(key, patch, known)
            except Conflict:
                if attempt == _ATTEMPTS - 1:
                    raise
                if await self._plane.read_application(key) is None:
                    return
            else:
                return

    def hold(self, key: Key, known: Known) -> None:
        """A new revision changed nothing else: keep it in memory, to be written when its time has come.

        It is that of the last comparison, of an Application with one source.
        """
        before, target = known.app.status.sync if known.app is not None else None, known.compared.target
        if before is None or target is None or before.revision == target.revision:
            known.fresh = None
            return
        self._hold(key, known, replace(before, revision=target.revision))

    async def stamp(self, key: Key, revision: str) -> bool:
        """Write the revision alone, into an Application for which nothing else is new. False when it is another one by now.

        Raises ApiError, ClusterUnreachable.
        """
        app = self._plane.applications.get(key)
        if not isinstance(app, Application) or app.status.sync is None:
            return False
        if app.status.sync.revision == revision:
            return True
        patch = {
            "metadata": {"resourceVersion": app.resource_version},  # whoever changed it meanwhile has more to say
            "status": {"sync": {"revision": revision}, "reconciledAt": format_time(self._clock.now())},
        }
        await self._plane.patch_application(key, patch)
        return True

    def _hold(self, key: Key, known: Known, sync: SyncState) -> None:
        now = self._clock.now()
        first = known.fresh[1] if known.fresh is not None else None
        known.fresh = (sync.revision, first or now)
        self._fresh(key, sync, now)
        if first is None:
            delay = flush_period_s(self._plane.settings)
            self._later(key, delay * (0.25 + 0.75 * self._fraction()))

    async def report_unreadable(self, key: Key, found: Unreadable) -> None:
        """Say in an Application that cannot be decoded what is wrong with it."""
        message = "; ".join(found.problems)
        status = found.object.get("status")
        conditions = (status.get("conditions") if isinstance(status, Mapping) else None) or []
        if isinstance(conditions, list) and any(
            isinstance(c, Mapping) and c.get("type") == ConditionType.INVALID_SPEC_ERROR and c.get("message") == message
            for c in conditions
        ):
            return
        now = format_time(self._clock.now())
        condition = {"type": ConditionType.INVALID_SPEC_ERROR.value, "message": message, "lastTransitionTime": now}
        body = {"status": {"conditions": [condition], "sync": {"status": SyncStatus.UNKNOWN.value}}}
        try:
            await self._plane.patch_application(key, body)
        except NotFound:
            return

    # What is to stand there

    def _status(
        self, app: Application, known: Known, operation: OperationState | None, sync_problem: str
    ) -> ApplicationStatus:
        comparison, target = known.compared.comparison, known.compared.target
        if known.trouble is not None:
            status = self._in_trouble(app, known, known.trouble)
        elif comparison is not None and target is not None and known.session is not None:
            status = self._compared(app, known, comparison, target, known.session, sync_problem)
        else:
            status = app.status
        return replace(status, operation_state=operation)

    def _in_trouble(self, app: Application, known: Known, error: StageError) -> ApplicationStatus:
        """A stage could not give its value: that is said, and nothing is said of the resources."""
        now, before = self._now(), app.status
        message = error.message
        if error.stage == "source":
            told = self._comparer.last_read((s.repo_url for s in app.spec.all_sources), app.project_name)
            message = f"{message} ({told})" if told else message
        condition = ApplicationCondition(type=error.reason, message=message)
        return replace(
            before,
            conditions=merge_conditions(before.conditions, [condition, *_held(app, known)], OWNED_CONDITIONS, now),
            sync=replace(before.sync or SyncState(), status=SyncStatus.UNKNOWN.value),
            health=health_state(Health(HealthStatus.UNKNOWN), before.health, now),
        )

    def _compared(
        self,
        app: Application,
        known: Known,
        comparison: Comparison,
        target: TargetState,
        session: ClusterSession,
        sync_problem: str,
    ) -> ApplicationStatus:
        now, before = self._now(), app.status
        found = [ApplicationCondition(type=kind, message=text) for kind, text in comparison.conditions]
        if sync_problem:
            found.append(ApplicationCondition(type=ConditionType.SYNC_ERROR, message=sync_problem))
        for verdict in comparison.verdicts.values():
            if verdict.drift.message and verdict.drift.key not in target.denied:
                found.append(ApplicationCondition(type=ConditionType.COMPARISON_ERROR, message=verdict.drift.message))
        found += _held(app, known)
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
            resources=known.rows.of(comparison),
            sync=SyncState(
                status=comparison.sync.value,
                compared_to=compared_to,
                revision="" if multiple else target.revision,
                revisions=(target.revision,) * len(app.spec.sources) if multiple else (),
            ),
            health=health_state(comparison.health, before.health, now),
            conditions=merge_conditions(before.conditions, unique, OWNED_CONDITIONS, now),
            source_type="" if multiple else target.source_type,
            source_types=(target.source_type,) * len(app.spec.sources) if multiple else (),
            summary=summary(self._running_images(comparison, session), comparison),
            resource_health_source="appTree",
            controller_namespace=self._plane.namespace,
        )

    def _running_images(self, comparison: Comparison, session: ClusterSession) -> set[str]:
        """Images of the Application's live resources and of the Pods below them."""
        images: set[str] = set()
        for verdict in comparison.verdicts.values():
            live = verdict.drift.live
            if live is None or verdict.hook or b'"image"' not in live.json:
                continue
            images.update(self._images_of(live, lambda row: images_of(row.manifest)))
            for row, _parent in descend(session.index, [live]):
                if row.key.group_kind == GroupKind("", "Pod"):
                    images.update(self._images_of(row, lambda row: pod_images(row.manifest)))
        return images

    def _images_of(self, row: Live, read: Callable[[Live], Any]) -> frozenset[str]:
        """Read once for each version of an object: a parse for every look would be most of the work."""
        known = self._images.get(row.uid)
        if known is None or known[0] != row.resource_version:
            if len(self._images) > 100_000:
                self._images.clear()
            known = self._images[row.uid] = (row.resource_version, frozenset(read(row)))
        return known[1]

    # How it gets there

    def _patch(self, app: Application, known: Known, after: ApplicationStatus) -> dict[str, Any]:
        ended = after.operation_state.finished_at if after.operation_state is not None else None
        # Clients take an operation for unfinished until a comparison is at least as new as its end.
        stamped = replace(after, reconciled_at=max(self._now(), ended or self._now()))
        patch: dict[str, Any] = {}
        status = mergepatch.create(*_encoded_where_different(app.status, stamped))
        if status:
            patch["status"] = status
        if known.asked and REFRESH in app.annotations:
            patch["metadata"] = {"annotations": {REFRESH: None}}
        return patch

    async def _send(self, key: Key, patch: Mapping[str, Any], known: Known) -> bool:
        """False when there is no such Application any more."""
        if patch:
            try:
                await self._plane.patch_application(key, patch)
            except NotFound:
                await self._plane.read_application(key)  # forgets it, should its deletion have been missed
                return False
        known.asked = ""
        known.fresh = None
        return True

    async def _flush(self, key: Key, app: Application, known: Known, after: ApplicationStatus) -> None:
        """A new revision that changed nothing else: kept in memory, written when its time has come."""
        before, now = app.status.sync, self._clock.now()
        if before is None or after.sync is None or _revisions(before) == _revisions(after.sync):
            known.fresh = None
            return
        delay = flush_period_s(self._plane.settings)
        first = known.fresh[1] if known.fresh is not None else None
        if self._plane.settings.eager_status or (first is not None and (now - first).total_seconds() >= delay * 0.25):
            sync: dict[str, Any] = {"revision": after.sync.revision or None}
            if after.sync.revisions:
                sync = {"revisions": list(after.sync.revisions)}
            await self._send(key, {"status": {"sync": sync, "reconciledAt": format_time(now)}}, known)
            return
        self._hold(key, known, after.sync)

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)


def _encoded_where_different(before: ApplicationStatus, after: ApplicationStatus) -> tuple[Any, Any]:
    """Both as JSON, without the long lists where they are the same."""
    if before.resources == after.resources:
        before, after = replace(before, resources=()), replace(after, resources=())
    old, new = _results(before), _results(after)
    if old is not None and new is not None and old.resources == new.resources:
        before, after = _without_results(before), _without_results(after)
    return encode(before), encode(after)


def _results(status: ApplicationStatus) -> SyncOperationResult | None:
    return status.operation_state.sync_result if status.operation_state is not None else None


def _without_results(status: ApplicationStatus) -> ApplicationStatus:
    state = status.operation_state
    assert state is not None
    assert state.sync_result is not None
    return replace(status, operation_state=replace(state, sync_result=replace(state.sync_result, resources=())))


def _held(app: Application, known: Known) -> list[ApplicationCondition]:
    if known.held is None:
        return []
    return [ApplicationCondition(type=ConditionType.HELD_WARNING, message=describe_hold(known.held.hold, app.name))]


def _is_too_large(error: ApiError) -> bool:
    # The API server says 413 above its own limit, and hands on etcd's words above that one's.
    return error.code == 413 or "request is too large" in error.message


def _revisions(sync: SyncState) -> tuple[str, tuple[str, ...]]:
    return sync.revision, sync.revisions


def _means_something(before: ApplicationStatus, after: ApplicationStatus) -> bool:
    def essence(status: ApplicationStatus) -> ApplicationStatus:
        sync = replace(status.sync, revision="", revisions=()) if status.sync is not None else None
        return replace(status, sync=sync, reconciled_at=None, observed_at=None)

    return essence(before) != essence(after)
