"""Deletion of an Application by its finalizers: hooks, the cascade over its resources, hooks.

Source: compat 1.12.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum

from tiphys.apimachinery.apierrors import ApiError, Conflict, NotFound
from tiphys.apimachinery.names import GroupKind
from tiphys.controllers.clusters import ClusterSession, OpenCluster
from tiphys.controllers.comparer import Comparer
from tiphys.controllers.comparison import Permissions
from tiphys.controllers.controlplane import ControlPlane, Key
from tiphys.controllers.deletehooks import (
    DONE,
    WAITING,
    DeleteHooks,
    Progress,
    applier_of,
    is_of_type,
    wanted_finalizers,
)
from tiphys.controllers.known import Known
from tiphys.engine.states import Live, StageError
from tiphys.engine.sync.apply import CRD
from tiphys.engine.target.build import Permit
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import (
    BACKGROUND_FINALIZER,
    CLEANUP_SUFFIX,
    FOREGROUND_FINALIZER,
    POST_DELETE_FINALIZER,
    PRE_DELETE_FINALIZER,
    RESOURCES_FINALIZER,
    HookType,
    annotations_of,
    cascade_policy,
    deletion_approved_at,
    effective_option,
    is_kept_by_helm,
    sync_options,
    sync_wave,
)
from tiphys.model.application import Application
from tiphys.model.destination import ApplicationDestination
from tiphys.model.statuses import ConditionType
from tiphys.policy.project import ProjectScope
from tiphys.policy.spec import DestinationError, resolve_destination
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.log import Logger

HOOK_KINDS = frozenset({GroupKind("batch", "Job"), GroupKind("", "Pod")})
_AGAIN_S = 10.0


class Stage(StrEnum):
    """The stages of a deletion in their order; the finalizer of each is on the Application until it is through."""

    PRE_DELETE = "pre-delete"
    PRE_DELETE_CLEANUP = "pre-delete cleanup"
    CASCADE = "cascade"
    POST_DELETE = "post-delete"
    POST_DELETE_CLEANUP = "post-delete cleanup"

    @property
    def finalizers(self) -> frozenset[str]:
        """Any of these says that the stage is still to come."""
        return _FINALIZERS[self]

    @property
    def hook_type(self) -> HookType:
        """Type of the hooks that it runs or cleans up."""
        return HookType.PRE_DELETE if self.value.startswith("pre") else HookType.POST_DELETE


_FINALIZERS = {
    Stage.PRE_DELETE: frozenset({PRE_DELETE_FINALIZER}),
    Stage.PRE_DELETE_CLEANUP: frozenset({PRE_DELETE_FINALIZER + CLEANUP_SUFFIX}),
    Stage.CASCADE: frozenset({RESOURCES_FINALIZER, FOREGROUND_FINALIZER, BACKGROUND_FINALIZER}),
    Stage.POST_DELETE: frozenset({POST_DELETE_FINALIZER}),
    Stage.POST_DELETE_CLEANUP: frozenset({POST_DELETE_FINALIZER + CLEANUP_SUFFIX}),
}
OURS = frozenset().union(*_FINALIZERS.values())


class Deletion:
    """One step of an Application's deletion at a time."""

    def __init__(
        self, *, plane: ControlPlane, clusters: OpenCluster, comparer: Comparer, clock: Clock, log: Logger
    ) -> None:
        self._plane = plane
        self._clusters = clusters
        self._comparer = comparer
        self._hooks = DeleteHooks(comparer)
        self._clock = clock
        self._log = log

    async def guard(self, key: Key, app: Application, known: Known) -> None:
        """See to it that the Application cannot go before the hooks that Git declares for its deletion have run."""
        target = known.compared.target
        if known.trouble is not None or target is None:
            return
        finalizers = wanted_finalizers(app, target)
        if finalizers == tuple(app.finalizers):
            return
        metadata = {"finalizers": list(finalizers) or None, "resourceVersion": app.resource_version}
        try:
            await self._plane.patch_application(key, {"metadata": metadata})
        except (Conflict, NotFound):
            return  # it was changed meanwhile, which has it looked at again

    async def step(self, key: Key, app: Application, known: Known) -> float | None:
        """One step: PreDelete hooks, the resources from the last wave to the first, PostDelete hooks.

        Each takes its finalizer off when it is through. Seconds after which to look again, None when an event of the
        cluster or of the Application will wake us.
        """
        stage = _stage(app)
        if stage is None:
            return None
        try:
            destination = resolve_destination(app.spec.destination, self._plane.clusters)
        except DestinationError as error:
            self._log.warning("an Application of an unknown cluster is let go", application=key[1], problem=str(error))
            await self._drop(key, app, OURS)
            return None
        try:
            session = await self._clusters(destination.server)
            known.session = session
            await session.until_settled(self._clock.monotonic())
            if session.trouble is not None:
                raise session.trouble
            if stage is Stage.CASCADE:
                progress = await self._cascade(app, known.instance, session, self._permit(app, destination))
            else:
                context = await self._comparer.context(app, known)
                kind = stage.hook_type
                if stage in (Stage.PRE_DELETE, Stage.POST_DELETE):
                    progress = await self._hooks.run(kind, app, known, context)
                else:
                    progress = await self._hooks.clean(kind, known, context)
        except StageError as error:
            progress = Progress(False, error.message, _AGAIN_S)
        except (ApiError, ClusterUnreachable, DiscoveryError) as error:
            progress = Progress(False, str(error), _AGAIN_S)
        if progress.done:
            await self._drop(key, app, stage.finalizers)
            return 0.0
        await self._say(key, app, progress.problem)
        return progress.wait_s

    def _permit(self, app: Application, destination: ApplicationDestination) -> Permit:
        """What the project lets its Applications touch; an Application whose project is gone may still be deleted."""
        project, clusters = self._plane.projects.get(app.project_name), self._plane.clusters
        if project is None:
            return lambda _kind, _namespaced, _namespace, _name: None
        scope = ProjectScope(clusters=tuple(c for c in clusters if c.project and c.project == project.name))
        return Permissions(project, destination, scope)

    async def _cascade(self, app: Application, instance: str, session: ClusterSession, permit: Permit) -> Progress:
        """Delete the last wave that is left."""
        policy = cascade_policy(app.finalizers)
        assert policy is not None
        kinds = {GroupKind(r.group, r.kind) for r in app.status.resources}
        state = app.status.operation_state
        if state is not None:
            kinds |= HOOK_KINDS  # a hook may have been made that was not yet written down
        if state is not None and state.sync_result is not None:
            kinds |= {GroupKind(r.group, r.kind) for r in state.sync_result.resources}
        unknown = await session.live.require(kinds)
        if unknown:
            return Progress(False, "; ".join(unknown.values()), _AGAIN_S)
        left = [
            row
            for row in session.index.of_instance(instance)
            if self._cascades(row, app)
            and permit(row.key.group_kind, bool(row.key.namespace), row.key.namespace, row.key.name) is None
        ]
        if not left:
            return DONE
        if not _approved(app) and _asks_for_approval(app, left):
            self._log.info("a deletion waits for approval", application=f"{app.namespace}/{app.name}")
            return WAITING
        applier = applier_of(session)
        for row in left:
            await applier.release_object(row.key)  # nobody waits for the result of a hook any more
        left = [now for row in left if (now := session.index.get(row.key)) is not None and now.uid == row.uid]
        if any(row.deleting for row in left):
            return WAITING
        if not left:
            return Progress(False, wait_s=0.0)
        waves = {row.key: sync_wave(annotations_of(row.manifest)) for row in left}
        last = max(waves.values())
        for row in left:
            if waves[row.key] == last:
                await applier.delete(row.key, row.version, uid=row.uid, propagation=policy)
        # Background deletions may be over already; then the next wave, or the finalizer, is due at once.
        over = not any(session.index.get(row.key) for row in left if waves[row.key] == last)
        return Progress(False, wait_s=0.0 if over else None)

    @staticmethod
    def _cascades(row: Live, app: Application) -> bool:
        if row.key.group_kind == CRD or row.key == ("argoproj.io", "Application", app.namespace, app.name):
            return False
        if is_of_type(row, HookType.POST_DELETE):
            return False
        annotations = annotations_of(row.manifest)
        if is_kept_by_helm(annotations):
            return False
        return effective_option(sync_options(annotations), app.spec.policy.sync_options, "Delete") != "false"

    async def _drop(self, key: Key, app: Application, finalizers: Collection[str]) -> None:
        rest = [f for f in app.finalizers if f not in finalizers]
        body = {"metadata": {"finalizers": rest or None, "resourceVersion": app.resource_version}}
        try:
            await self._plane.patch_application(key, body)
        except Conflict:
            await self._plane.read_application(key)  # somebody else has changed it: the next look sees how
            return
        except NotFound:
            return
        if not rest:
            self._log.info("an Application is gone", application=f"{key[0]}/{key[1]}")

    async def _say(self, key: Key, app: Application, message: str) -> None:
        """Show what holds the deletion up; an empty message takes away what was shown."""
        kind = ConditionType.DELETION_ERROR
        if [c.message for c in app.status.conditions if c.type == kind] == ([message] if message else []):
            return
        conditions = [
            {"type": c.type, "message": c.message, "lastTransitionTime": format_time(c.last_transition_time)}
            if c.last_transition_time is not None
            else {"type": c.type, "message": c.message}
            for c in app.status.conditions
            if c.type != kind and c.message
        ]
        if message:
            now = format_time(self._clock.now())
            conditions.append({"type": kind.value, "message": message, "lastTransitionTime": now})
        await self._plane.patch_application(key, {"status": {"conditions": conditions}})


def _stage(app: Application) -> Stage | None:
    return next((stage for stage in Stage if not stage.finalizers.isdisjoint(app.finalizers)), None)


def _approved(app: Application) -> bool:
    approved = deletion_approved_at(app.annotations)
    return approved is not None and app.deletion_timestamp is not None and approved >= app.deletion_timestamp


def _asks_for_approval(app: Application, left: Sequence[Live]) -> bool:
    """The status says so of a resource, or a live object does."""
    if any(resource.requires_deletion_confirmation for resource in app.status.resources):
        return True
    options = app.spec.policy.sync_options
    return any(
        effective_option(sync_options(annotations_of(row.manifest)), options, option) == "confirm"
        for row in left
        for option in ("Delete", "Prune")
    )
