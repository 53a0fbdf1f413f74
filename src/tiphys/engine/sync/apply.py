"""Performs the actions of a SyncPlan on a cluster; the only writer of workloads.

A client-side apply creates what the live view says is absent and patches what is there with the three-way patch the
comparison already thinks in; the view being wrong costs one more request, never a wrong result.

Source: compat 2.1 "In-wave execution", 2.2, 2.3, 2.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.states import FIELD_MANAGER as FIELD_MANAGER
from tiphys.engine.states import Action, Live, StageError, Target, Task, TaskId, TaskResult
from tiphys.engine.sync.hooks import BEFORE_HOOK_CREATION, OPERATION_MARK
from tiphys.engine.sync.write import CRD as CRD
from tiphys.engine.sync.write import ObjectWriter, Patcher, Strategy, View, way_of
from tiphys.engine.sync.write import Options as Options
from tiphys.kube.client import APPLY, MERGE, KubeClient
from tiphys.kube.discovery import Discovery, DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import HOOK_FINALIZER, SYNC_OPTIONS, annotations_of
from tiphys.model.operation import OperationPhase, ResultCode

HOOK_GONE_S = 2.0  # how long a hook waits here for its earlier object to go; longer waits are the caller's
CRD_DEADLINE_S = 3.0  # source: compat 2.1 "CRD establish wait"
DISCOVERY_DEADLINE_S = 10.0  # an established kind that is still not served
DISCOVERY_PERIOD_S = 0.1


@dataclass(slots=True)
class Performed:
    """What became of tasks. Those in `held` and `lost` were not performed and are to be given again.

    `held` are hooks whose object of an earlier operation is not gone yet; `lost` tells why the cluster did not answer.
    """

    results: dict[TaskId, TaskResult] = field(default_factory=dict)
    held: list[TaskId] = field(default_factory=list)
    lost: dict[TaskId, ClusterUnreachable] = field(default_factory=dict)


class _HeldError(Exception):
    """The hook must wait until its earlier object is gone."""


class Applier:
    """Writes to one cluster."""

    def __init__(
        self,
        *,
        client: KubeClient,
        discovery: Discovery,
        view: View,
        patcher: Patcher,
        until: Callable[[Callable[[], bool], float], Awaitable[None]],
    ) -> None:
        """`until(condition, seconds)` is awaited until the view satisfies the condition; it raises TimeoutError."""
        self._client = client
        self._discovery = discovery
        self._view = view
        self._until = until
        self._writer = ObjectWriter(client=client, discovery=discovery, view=view, patcher=patcher, until=until)

    async def run(self, tasks: Sequence[Task], options: Options) -> Performed:
        """Perform tasks of one wave: prunes together, then applies kind by kind, the objects of a kind in parallel.

        A cluster that does not answer is nobody's failure: what was not performed is left out, and a kind that could not
        be written keeps the kinds after it waiting.
        """
        done = Performed()
        prunes = [t for t in tasks if t.action is Action.PRUNE]
        others = [t for t in tasks if t.action is not Action.PRUNE]
        groups = [prunes] if prunes else []
        groups += [list(group) for _kind, group in groupby(others, key=lambda t: (t.id.key.group, t.id.key.kind))]
        for group in groups:
            to_do = []
            for task in group:
                result = self._unchanged(task, options)
                if result is None:
                    to_do.append(task)
                else:
                    done.results[task.id] = result
            if len(to_do) == 1:
                await self._perform(to_do[0], options, done)
            elif to_do:
                async with asyncio.TaskGroup() as running:
                    for task in to_do:
                        running.create_task(self._perform(task, options, done))
            if done.lost:
                break
            if group[0].id.key.group_kind == CRD and group is not prunes and not options.dry_run:
                await self._until_established(group)
        # Answers come in any order; what is shown keeps the order of the plan.
        done.results = {t.id: done.results[t.id] for t in tasks if t.id in done.results}
        return done

    async def _until_established(self, tasks: Sequence[Task]) -> None:
        """Wait a little for the kinds just defined to be served; a custom resource may follow in the same wave."""

        def established() -> bool:
            return all(
                any(c.get("type") == "Established" and c.get("status") == "True" for c in _conditions(row))
                for t in tasks
                if (row := self._view.get(t.id.key)) is not None
            )

        try:
            await self._until(established, CRD_DEADLINE_S)
        except TimeoutError:
            pass  # not fatal: the custom resource then fails with the server's own words
        await self._until_discovered(tasks)

    async def _until_discovered(self, tasks: Sequence[Task]) -> None:
        """Ask again until the kinds stand in discovery, which follows Established by up to a second and tells no one."""
        wanted = {pair for t in tasks if t.target is not None for pair in defined_kinds(t.target.manifest)}
        try:
            async with asyncio.timeout(DISCOVERY_DEADLINE_S):
                while True:
                    catalogue = await self._discovery.refresh()
                    if all(catalogue.find(kind, version) is not None for kind, version in wanted):
                        return
                    await asyncio.sleep(DISCOVERY_PERIOD_S)
        except TimeoutError:
            pass  # not fatal either

    async def release(self, tasks: Sequence[Task]) -> None:
        """Take our finalizer off completed hooks, so that others may delete them."""
        for task in tasks:
            await self.release_object(task.id.key)

    async def release_object(self, key: ResourceKey) -> None:
        """Take our finalizer off one object, if it has it."""
        live = self._view.get(key)
        if live is None or HOOK_FINALIZER.encode() not in live.json:
            return
        resource = await self._writer.resource(key, live.version)
        metadata: Mapping[str, Any] = live.manifest["metadata"]
        for attempt in range(3):
            finalizers = metadata.get("finalizers") or []
            if metadata.get("uid") != live.uid or HOOK_FINALIZER not in finalizers:
                return
            rest = [f for f in finalizers if f != HOOK_FINALIZER]
            # The uid makes sure that it is this object, the version that no finalizer of somebody else is lost.
            version = metadata.get("resourceVersion")
            body = {"metadata": {"finalizers": rest or None, "uid": live.uid, "resourceVersion": version}}
            try:
                answer = await self._client.patch(
                    resource, key.name, body, key.namespace, content_type=MERGE, field_manager=FIELD_MANAGER
                )
            except NotFound:
                self._view.remove(key)
                return
            except Conflict:
                if attempt == 2:
                    raise
                try:
                    metadata = (await self._client.get(resource, key.name, key.namespace))["metadata"]
                except NotFound:
                    self._view.remove(key)
                    return
                continue
            if (answer.get("metadata") or {}).get("deletionTimestamp") and not rest:
                self._view.remove(key)
            else:
                self._view.upsert(answer)
            return

    async def delete(self, key: ResourceKey, version: str, *, uid: str, propagation: str) -> bool:
        """Delete one object if it still is the one with this uid. True when it is gone at once.

        `propagation` is foreground, background or orphan, as sync options and finalizers write it.
        """
        return await self._writer.delete(key, version, uid=uid, propagation=propagation)

    async def delete_hooks(self, tasks: Sequence[Task]) -> None:
        """Delete the objects of hooks whose policy says so."""
        await self.release(tasks)
        for task in tasks:
            live = self._view.get(task.id.key)
            if live is not None and not live.deleting:
                await self.delete(task.id.key, live.version, uid=live.uid, propagation="background")

    def _unchanged(self, task: Task, options: Options) -> TaskResult | None:
        """The result without asking: the comparison has seen that an apply sends nothing, of the object as it still is."""
        drift, target, live = task.drift, task.target, self._view.get(task.id.key)
        if task.action is not Action.APPLY or drift is None or not drift.applied or target is not drift.target:
            return None
        if target is None or live is None or drift.live is None:
            return None
        if (live.uid, live.resource_version) != (drift.live.uid, drift.live.resource_version):
            return None
        if way_of(target, live, options).strategy is not Strategy.CLIENT_SIDE:
            return None
        return TaskResult(
            task.id,
            target.version,
            ResultCode.SYNCED,
            OperationPhase.SUCCEEDED if options.dry_run else OperationPhase.RUNNING,
            _said(task.id.key, "unchanged", dry_run=options.dry_run),
            resource_version=live.resource_version,
            uid=live.uid,
            images=images_of(target.manifest) if b'"image"' in target.json else (),
        )

    async def _perform(self, task: Task, options: Options, done: Performed) -> None:
        try:
            done.results[task.id] = await self._result(task, options)
        except _HeldError:
            done.held.append(task.id)
        except ClusterUnreachable as error:
            done.lost[task.id] = error

    async def _result(self, task: Task, options: Options) -> TaskResult:
        live = _live(task)
        version = task.target.version if task.target is not None else (live.version if live is not None else "v1")
        base = TaskResult(task.id, version, hook=task.action is Action.HOOK)
        try:
            match task.action:
                case Action.PRUNE:
                    return await self._prune(task, base, options)
                case Action.CREATE_NAMESPACE:
                    return await self._create_namespace(task, base, options)
                case Action.HOOK:
                    return await self._hook(task, base, options)
                case Action.APPLY:
                    return await self._apply(task, base, options)
        except ApiError as error:
            return replace(base, status=ResultCode.SYNC_FAILED, phase=OperationPhase.FAILED, message=error.message)
        except (DiscoveryError, StageError, TimeoutError) as error:
            return replace(base, status=ResultCode.SYNC_FAILED, phase=OperationPhase.FAILED, message=str(error))

    async def _prune(self, task: Task, base: TaskResult, options: Options) -> TaskResult:
        done = replace(base, phase=OperationPhase.SUCCEEDED)
        if task.skip_reason:
            return replace(done, status=ResultCode.PRUNE_SKIPPED, message=task.skip_reason)
        if options.dry_run:
            return replace(done, status=ResultCode.PRUNED, message="pruned (dry run)")
        live = _live(task)
        if live is not None and not live.deleting:
            await self.delete(task.id.key, live.version, uid=live.uid, propagation=options.propagation)
        return replace(done, status=ResultCode.PRUNED, message="pruned")

    async def _create_namespace(self, task: Task, base: TaskResult, options: Options) -> TaskResult:
        """Make the destination's namespace. Metadata for it is applied server-side, also to one that is there."""
        name = task.id.key.name
        done = replace(base, version="v1", status=ResultCode.SYNCED, phase=OperationPhase.SUCCEEDED)
        managed = options.namespace_labels is not None or options.namespace_annotations is not None
        if options.dry_run:
            verb = "serverside-applied" if managed else "created"
            return replace(done, message=f"namespace/{name} {verb} (dry run)")
        resource = await self._writer.resource(task.id.key, "v1")
        metadata: dict[str, Any] = {"name": name}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        if managed:
            if options.namespace_labels:
                metadata["labels"] = dict(options.namespace_labels)
            metadata["annotations"] = {**(options.namespace_annotations or {}), SYNC_OPTIONS: "ServerSideApply=true"}
            answer = await self._client.patch(
                resource, name, body, content_type=APPLY, force=True, field_manager=FIELD_MANAGER
            )
            self._view.upsert(answer)
            return replace(done, message=f"namespace/{name} serverside-applied")
        try:
            self._view.upsert(await self._client.create(resource, body, field_manager=FIELD_MANAGER))
        except AlreadyExists:
            return replace(done, message=f"namespace/{name} unchanged")
        return replace(done, message=f"namespace/{name} created")

    async def _hook(self, task: Task, base: TaskResult, options: Options) -> TaskResult:
        assert task.target is not None
        manifest = task.target.manifest
        # One object may be a hook of several phases, one after the other.
        mark = f"{options.operation}/{task.id.phase.value}"
        manifest["metadata"].setdefault("annotations", {})[OPERATION_MARK] = mark
        if options.dry_run:
            return replace(base, status=ResultCode.SYNCED, phase=OperationPhase.SUCCEEDED, message="(dry run)")
        live = self._view.get(task.id.key)
        if live is not None and annotations_of(live.manifest).get(OPERATION_MARK) == mark:
            # Made by this very operation before it was interrupted: it must not run twice.
            return self._applied(base, live.manifest, task.target, "created", running=True)
        if live is not None and BEFORE_HOOK_CREATION in task.delete_policies:
            await self.release([task])
            current = self._view.get(task.id.key)
            if current is not None and not current.deleting:
                await self.delete(task.id.key, current.version, uid=current.uid, propagation="background")
            uid = live.uid
            # Usually it is gone in a moment. Where it was going before, its end wakes the operation again.
            within_s = 0.0 if live.deleting and current is not None else HOOK_GONE_S
            try:
                await self._until(lambda: (row := self._view.get(task.id.key)) is None or row.uid != uid, within_s)
            except TimeoutError:
                raise _HeldError from None
        return await self._write(task.target, manifest, base, options)

    async def _apply(self, task: Task, base: TaskResult, options: Options) -> TaskResult:
        assert task.target is not None
        return await self._write(task.target, task.target.manifest, base, options)

    async def _write(self, target: Target, manifest: dict[str, Any], base: TaskResult, options: Options) -> TaskResult:
        done = await self._writer.write(target, manifest, options)
        return self._applied(base, done.answer, target, done.verb, dry_run=options.dry_run)

    def _applied(
        self,
        base: TaskResult,
        answer: Mapping[str, Any],
        target: Target,
        verb: str,
        *,
        dry_run: bool = False,
        running: bool = False,
    ) -> TaskResult:
        if not dry_run and not running:
            self._view.upsert(answer)
        metadata = answer.get("metadata") or {}
        return replace(
            base,
            status=ResultCode.SYNCED,
            phase=OperationPhase.SUCCEEDED if dry_run else OperationPhase.RUNNING,
            message=_said(target.key, verb, dry_run=dry_run),
            resource_version=str(metadata.get("resourceVersion") or ""),
            uid=str(metadata.get("uid") or ""),
            images=images_of(target.manifest),
        )


def _said(key: ResourceKey, verb: str, *, dry_run: bool) -> str:
    """What kubectl says it did."""
    kind = f"{key.kind.lower()}.{key.group}" if key.group else key.kind.lower()
    return f"{key.kind if verb == 'updated' else kind}/{key.name} {verb}{' (dry run)' if dry_run else ''}"


def defined_kinds(crd: Mapping[str, Any]) -> list[tuple[GroupKind, str]]:
    """The kind and each version that a CRD serves."""
    spec = crd.get("spec") or {}
    kind = GroupKind(str(spec.get("group") or ""), str((spec.get("names") or {}).get("kind") or ""))
    return [(kind, str(version.get("name"))) for version in spec.get("versions") or () if version.get("served")]


def images_of(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    """Images of the pod template a manifest carries, in order, each once."""
    spec = manifest.get("spec") or {}
    template = spec
    for step in ("jobTemplate", "spec", "template", "spec"):
        inner = template.get(step) if isinstance(template, Mapping) else None
        if isinstance(inner, Mapping):
            template = inner
    found: dict[str, None] = {}
    for name in ("initContainers", "containers"):
        containers = template.get(name) if isinstance(template, Mapping) else None
        for container in containers if isinstance(containers, list) else ():
            if isinstance(container, Mapping) and container.get("image"):
                found[str(container["image"])] = None
    return tuple(found)


def _conditions(row: Live) -> Sequence[Mapping[str, Any]]:
    found = (row.manifest.get("status") or {}).get("conditions")
    return found if isinstance(found, list) else ()


def _live(task: Task) -> Live | None:
    return task.drift.live if task.drift is not None else None
