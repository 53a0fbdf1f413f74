"""PreDelete and PostDelete hooks: what runs before an Application's resources are deleted, and after.

Finalizers on the Application hold its deletion until the hooks are through; they are there while Git declares such hooks.

Source: compat 1.11, 1.12, 2.2.
Differs: the waves of hooks are kept, and an object that an earlier deletion left behind does not stand for this one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from tiphys.apimachinery.yamljson import canonical_json
from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.comparer import Comparer
from tiphys.controllers.comparison import Context
from tiphys.controllers.known import Known
from tiphys.engine.health.assess import assess
from tiphys.engine.reconcile import ThreeWayPatcher
from tiphys.engine.states import (
    Action,
    Health,
    HealthStatus,
    Live,
    OperationPhase,
    Phase,
    StageError,
    Target,
    TargetState,
    Task,
    TaskId,
)
from tiphys.engine.sync.apply import Applier
from tiphys.engine.sync.hooks import HOOK_FAILED, HOOK_SUCCEEDED, OPERATION_MARK, hook_name, with_name
from tiphys.engine.sync.write import Options
from tiphys.model.annotations import (
    CLEANUP_SUFFIX,
    POST_DELETE_FINALIZER,
    PRE_DELETE_FINALIZER,
    HookType,
    annotations_of,
    hook_delete_policies,
    hook_types,
)
from tiphys.model.application import Application
from tiphys.runtime.clock import format_time

FINALIZERS = {HookType.PRE_DELETE: PRE_DELETE_FINALIZER, HookType.POST_DELETE: POST_DELETE_FINALIZER}
_NAMES = (b"PreDelete", b"PostDelete", b"pre-delete", b"post-delete")
# Results are told apart by a phase of a sync; these never stand in one operation with hooks of a sync.
_PHASES = {HookType.PRE_DELETE: Phase.PRE_SYNC, HookType.POST_DELETE: Phase.POST_SYNC}


def wanted_finalizers(app: Application, target: TargetState) -> tuple[str, ...]:
    """The Application's finalizers, with those of its delete hooks just as far as Git declares such hooks."""
    # Rare, and the parse is not free: look for their names first.
    declared = [hook for hook in target.hooks if any(name in hook.json for name in _NAMES)]
    kinds = {kind for hook in declared for kind in hook_types(annotations_of(hook.manifest))}
    kept = list(app.finalizers)
    for kind, finalizer in FINALIZERS.items():
        for name in (finalizer, finalizer + CLEANUP_SUFFIX):
            if kind in kinds and name not in kept:
                kept.append(name)
            elif kind not in kinds and name in kept:
                kept.remove(name)
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the hooks of one type are. `problem` says why they do not get on; `wait_s` when to look again, None: events tell."""

    done: bool
    problem: str = ""
    wait_s: float | None = None


DONE, WAITING = Progress(True), Progress(False)


class DeleteHooks:
    """Runs and cleans up the hooks of one deletion, a step at a time."""

    def __init__(self, comparer: Comparer) -> None:
        self._comparer = comparer

    async def run(self, kind: HookType, app: Application, known: Known, context: Context) -> Progress:
        """Run the hooks, one wave after the other. Raises StageError, ApiError, ClusterUnreachable, DiscoveryError."""
        target = await self._target(app, known, context)
        mark = f"{format_time(_deleted_at(app))}/{kind.value}"
        tasks = list(_tasks(target, kind, app))
        unknown = await context.session.live.require({t.id.key.group_kind for t in tasks})
        if unknown:
            return Progress(False, "; ".join(unknown.values()), 10.0)
        for task in tasks:
            if task.id.key in target.denied:
                return Progress(False, f"{kind.value} hook {task.id.key}: {target.denied[task.id.key]}")
        applier = applier_of(context.session)
        for _wave, group in groupby(tasks, key=lambda t: t.wave):
            progress = await self._wave(list(group), mark, kind, applier, context)
            if not progress.done:
                return progress
        return DONE

    async def clean(self, kind: HookType, known: Known, context: Context) -> Progress:
        """Delete the objects of hooks whose policy says so."""
        index = context.session.index
        rows = [row for row in index.of_instance(known.instance) if is_of_type(row, kind)]
        health = await _healths(rows, context)
        if any(h.status is HealthStatus.DEGRADED for h in health):
            due = HOOK_FAILED
        elif all(h.status is HealthStatus.HEALTHY for h in health):
            due = HOOK_SUCCEEDED
        else:
            return DONE
        applier, left = applier_of(context.session), False
        for row in rows:
            if due not in {p.value for p in hook_delete_policies(annotations_of(row.manifest))}:
                continue
            if row.deleting or not await applier.delete(row.key, row.version, uid=row.uid, propagation="background"):
                left = True
        return WAITING if left else DONE

    async def _target(self, app: Application, known: Known, context: Context) -> TargetState:
        """What Git declares: as last seen, because the repository may be gone before the Application is."""
        target = known.compared.target
        if target is None:
            target, _keys = await self._comparer.target(context, app.spec.all_sources, previous=None, refresh=False)
            known.compared.target = target
        return target

    async def _wave(
        self, tasks: Sequence[Task], mark: str, kind: HookType, applier: Applier, context: Context
    ) -> Progress:
        index = context.session.index

        def ours(task: Task) -> Live | None:
            row = index.get(task.id.key)
            made = row is not None and annotations_of(row.manifest).get(OPERATION_MARK, "").startswith(f"{mark}/")
            return row if made else None

        missing = [task for task in tasks if ours(task) is None]
        if missing:
            performed = await applier.run(missing, Options(operation=mark))
            for error in performed.lost.values():
                raise error
            for result in performed.results.values():
                if result.phase is OperationPhase.FAILED:
                    return Progress(False, f"{kind.value} hook {result.id.key}: {result.message}", 10.0)
            if performed.held:
                return WAITING
        rows = [row for task in tasks if (row := ours(task)) is not None]
        if len(rows) < len(tasks):
            return Progress(False, wait_s=1.0)  # somebody deleted one at once: it is made again
        healths = await _healths(rows, context)
        for row, health in zip(rows, healths, strict=True):
            if health.status in (HealthStatus.DEGRADED, HealthStatus.UNKNOWN):
                return Progress(False, f"{kind.value} hook {row.key} failed: {health.message}")
        if any(health.status is not HealthStatus.HEALTHY for health in healths):
            return WAITING
        return DONE


def applier_of(session: ClusterSession) -> Applier:
    """Writes to the cluster of a session."""
    return Applier(
        client=session.client,
        discovery=session.discovery,
        view=session.index,
        patcher=ThreeWayPatcher(),
        until=session.changes.until,
    )


def is_of_type(row: Live, kind: HookType) -> bool:
    """The live object is a hook of this type."""
    return b"/hook" in row.json and kind in hook_types(annotations_of(row.manifest))


def _tasks(target: TargetState, kind: HookType, app: Application) -> Iterator[Task]:
    """In the order of their waves."""
    for hook in sorted(target.hooks, key=lambda h: (h.wave, h.key)):
        manifest = hook.manifest
        annotations = annotations_of(manifest)
        if kind not in hook_types(annotations):
            continue
        name = hook_name(manifest, target.revision, kind, _deleted_at(app))
        named: Target = replace(hook, key=hook.key._replace(name=name), json=canonical_json(with_name(manifest, name)))
        policies = frozenset(policy.value for policy in hook_delete_policies(annotations))
        yield Task(TaskId(named.key, _PHASES[kind]), Action.HOOK, hook.wave, target=named, delete_policies=policies)


def _deleted_at(app: Application) -> datetime:
    if app.deletion_timestamp is None:
        raise StageError("sync", "DeletionError", f"{app.name} is not being deleted")
    return app.deletion_timestamp


async def _healths(rows: Sequence[Live], context: Context) -> list[Health]:
    """A kind without health is done when it is there."""
    while True:
        found = [assess(row.manifest, context.override) or Health(HealthStatus.HEALTHY) for row in rows]
        if context.override is None or not await context.override.settle():
            return found
        context.override.require()
