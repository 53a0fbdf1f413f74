"""Cascade deletion of an Application by its finalizer.

Source: compat 1.12. PreDelete and PostDelete hooks are not run yet.
"""

from __future__ import annotations

from tiphys.apimachinery.apierrors import ApiError, NotFound
from tiphys.apimachinery.names import GroupKind
from tiphys.controllers.clusters import OpenCluster
from tiphys.controllers.controlplane import ControlPlane, Key
from tiphys.engine.reconcile import ThreeWayPatcher
from tiphys.engine.states import Live, StageError
from tiphys.engine.sync.apply import CRD, Applier
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import (
    BACKGROUND_FINALIZER,
    FOREGROUND_FINALIZER,
    RESOURCES_FINALIZER,
    annotations_of,
    cascade_policy,
    effective_option,
    is_kept_by_helm,
    sync_options,
    sync_wave,
)
from tiphys.model.application import Application
from tiphys.model.statuses import ConditionType
from tiphys.policy.spec import DestinationError, resolve_destination
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.log import Logger

HOOK_KINDS = frozenset({GroupKind("batch", "Job"), GroupKind("", "Pod")})
OURS = frozenset({RESOURCES_FINALIZER, FOREGROUND_FINALIZER, BACKGROUND_FINALIZER})


class Deletion:
    """One step of an Application's deletion at a time."""

    def __init__(self, *, plane: ControlPlane, clusters: OpenCluster, clock: Clock, log: Logger) -> None:
        self._plane = plane
        self._clusters = clusters
        self._clock = clock
        self._log = log

    async def step(self, key: Key, app: Application, instance: str) -> float | None:
        """Delete the last wave that is left; without anything left take the finalizer off.

        Seconds after which to look again, None when an event of the cluster will wake us.
        """
        policy = cascade_policy(app.finalizers)
        if policy is None:
            return None
        try:
            destination = resolve_destination(app.spec.destination, self._plane.clusters)
        except DestinationError as error:
            self._log.warning("an Application of an unknown cluster is let go", application=key[1], problem=str(error))
            await self._let_go(key, app)
            return None
        try:
            session = await self._clusters(destination.server)
            await session.until_settled(self._clock.monotonic())
            if session.trouble is not None:
                raise session.trouble
            kinds = {GroupKind(r.group, r.kind) for r in app.status.resources}
            state = app.status.operation_state
            if state is not None:
                kinds |= HOOK_KINDS  # a hook may have been made that was not yet written down
            if state is not None and state.sync_result is not None:
                kinds |= {GroupKind(r.group, r.kind) for r in state.sync_result.resources}
            unknown = await session.live.require(kinds)
            if unknown:
                await self._say(key, app, "; ".join(unknown.values()))
                return 10.0
            left = [row for row in session.index.of_instance(instance) if self._cascades(row, app)]
            if not left:
                await self._let_go(key, app)
                return None
            applier = Applier(
                client=session.client,
                discovery=session.discovery,
                view=session.index,
                patcher=ThreeWayPatcher(),
                until=session.changes.until,
            )
            for row in left:
                await applier.release_object(row.key)  # nobody waits for the result of a hook any more
            left = [now for row in left if (now := session.index.get(row.key)) is not None and now.uid == row.uid]
            if any(row.deleting for row in left):
                return None
            if not left:
                return 0.0
            waves = {row.key: sync_wave(annotations_of(row.manifest)) for row in left}
            last = max(waves.values())
            for row in left:
                if waves[row.key] == last:
                    await applier.delete(row.key, row.version, uid=row.uid, propagation=policy)
        except StageError as error:
            await self._say(key, app, error.message)
            return 10.0
        except (ApiError, ClusterUnreachable) as error:
            await self._say(key, app, str(error))
            return 10.0
        # Background deletions may be over already; then the next wave, or the finalizer, is due at once.
        return 0.0 if not any(session.index.get(row.key) for row in left if waves[row.key] == last) else None

    @staticmethod
    def _cascades(row: Live, app: Application) -> bool:
        if row.key.group_kind == CRD or row.key == ("argoproj.io", "Application", app.namespace, app.name):
            return False
        annotations = annotations_of(row.manifest)
        if is_kept_by_helm(annotations):
            return False
        return effective_option(sync_options(annotations), app.spec.policy.sync_options, "Delete") != "false"

    async def _let_go(self, key: Key, app: Application) -> None:
        rest = [f for f in app.finalizers if f not in OURS]
        try:
            await self._plane.patch_application(key, {"metadata": {"finalizers": rest or None}})
        except NotFound:
            return
        self._log.info("an Application is gone", application=f"{key[0]}/{key[1]}")

    async def _say(self, key: Key, app: Application, message: str) -> None:
        kind = ConditionType.DELETION_ERROR
        if any(c.type == kind and c.message == message for c in app.status.conditions):
            return
        conditions = [
            {"type": c.type, "message": c.message} for c in app.status.conditions if c.type != kind and c.message
        ]
        conditions.append(
            {"type": kind.value, "message": message, "lastTransitionTime": format_time(self._clock.now())}
        )
        await self._plane.patch_application(key, {"status": {"conditions": conditions}})
