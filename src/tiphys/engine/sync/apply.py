"""Performs the actions of a SyncPlan on a cluster; the only writer of workloads.

A client-side apply creates what the live view says is absent and patches what is there with the three-way patch the
comparison already thinks in; the view being wrong costs one more request, never a wrong result.

Source: compat 2.1 "In-wave execution", 2.2, 2.3, 2.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any, Protocol

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, Conflict, NotFound
from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.states import Action, Live, StageError, Target, Task, TaskId, TaskResult
from tiphys.engine.sync.hooks import BEFORE_HOOK_CREATION, OPERATION_MARK
from tiphys.kube.client import APPLY, MERGE, STRATEGIC, ApiResource, KubeClient
from tiphys.kube.discovery import Discovery, DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import HOOK_FINALIZER, annotations_of, effective_option
from tiphys.model.operation import OperationPhase, ResultCode

FIELD_MANAGER = "argocd-controller"
DELETE_DEADLINE_S = 60.0  # an object that must go before it is made anew, because it cannot be patched
HOOK_GONE_S = 2.0  # how long a hook waits here for its earlier object to go; longer waits are the caller's
CRD_DEADLINE_S = 3.0  # source: compat 2.1 "CRD establish wait"
DISCOVERY_DEADLINE_S = 10.0  # an established kind that is still not served
DISCOVERY_PERIOD_S = 0.1
CRD = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")


class Patcher(Protocol):
    """How the comparison stage makes objects to create and patches to send."""

    def to_create(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """The object to POST: the manifest with its last-applied annotation."""

    def to_patch(self, target: Mapping[str, Any], live: Mapping[str, Any]) -> tuple[dict[str, Any], bool] | None:
        """The patch to send and whether it is a strategic one; None when there is nothing to send."""


class View(Protocol):
    """The live view: what the applier reads before it writes, and what it tells about its own writes."""

    def get(self, key: ResourceKey) -> Live | None:
        """The live object as last seen."""

    def upsert(self, obj: Mapping[str, Any]) -> None:
        """An object the API server answered a write with."""

    def remove(self, key: ResourceKey, resource_version: str = "") -> None:
        """An object the API server says is gone."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of one operation that decide how its tasks are performed."""

    operation: str  # mark that tells this operation's hook objects from older ones
    sync_options: tuple[str, ...] = ()
    force: bool = False
    dry_run: bool = False
    propagation: str = "foreground"
    namespace_labels: Mapping[str, str] | None = None
    namespace_annotations: Mapping[str, str] | None = None


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
        until: Callable[[Callable[[], bool], float], Any],
    ) -> None:
        """`until(condition, seconds)` is awaited until the view satisfies the condition; it raises TimeoutError."""
        self._client = client
        self._discovery = discovery
        self._view = view
        self._patcher = patcher
        self._until = until

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
            if len(group) == 1:
                await self._perform(group[0], options, done)
            else:
                async with asyncio.TaskGroup() as running:
                    for task in group:
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
        resource = await self._resource(key, live.version)
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
        resource = await self._resource(key, version)
        policy = propagation.capitalize()
        try:
            answer = await self._client.delete(resource, key.name, key.namespace, propagation=policy, uid=uid)
        except NotFound:
            self._view.remove(key)
            return True
        except ApiError as error:
            if error.reason == "Conflict":  # another object has the name by now: ours is gone
                return True
            raise
        if answer.get("kind") == "Status":
            self._view.remove(key)
            return True
        self._view.upsert(answer)
        return False

    async def delete_hooks(self, tasks: Sequence[Task]) -> None:
        """Delete the objects of hooks whose policy says so."""
        await self.release(tasks)
        for task in tasks:
            live = self._view.get(task.id.key)
            if live is not None and not live.deleting:
                await self.delete(task.id.key, live.version, uid=live.uid, propagation="background")

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
        name = task.id.key.name
        metadata: dict[str, Any] = {"name": name}
        if options.namespace_labels:
            metadata["labels"] = dict(options.namespace_labels)
        if options.namespace_annotations:
            metadata["annotations"] = dict(options.namespace_annotations)
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        done = replace(base, version="v1", status=ResultCode.SYNCED, phase=OperationPhase.SUCCEEDED)
        if options.dry_run:
            return replace(done, message=f"namespace/{name} created (dry run)")
        resource = await self._resource(task.id.key, "v1")
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
        return await self._create_or_patch(task.target, manifest, base, options)

    async def _apply(self, task: Task, base: TaskResult, options: Options) -> TaskResult:
        assert task.target is not None
        return await self._create_or_patch(task.target, task.target.manifest, base, options)

    async def _create_or_patch(
        self, target: Target, manifest: dict[str, Any], base: TaskResult, options: Options
    ) -> TaskResult:
        resource = await self._resource(target.key, target.version)
        if not resource.namespaced and "namespace" in manifest["metadata"]:
            # The kind was not served when the target was built, so its scope was not known.
            manifest = {**manifest, "metadata": {k: v for k, v in manifest["metadata"].items() if k != "namespace"}}
        validate = effective_option(target.options, options.sync_options, "Validate") != "false"
        validation = "Strict" if validate else "Ignore"
        common: dict[str, Any] = {
            "field_manager": FIELD_MANAGER,
            "field_validation": validation,
            "dry_run": options.dry_run,
        }
        if effective_option(target.options, options.sync_options, "ServerSideApply") == "true" and not options.dry_run:
            answer = await self._client.patch(
                resource,
                target.key.name,
                manifest,
                target.key.namespace,
                content_type=APPLY,
                force=True,
                field_manager=FIELD_MANAGER,
                field_validation=validation,
            )
            return self._applied(base, answer, target, "serverside-applied")
        live = self._view.get(target.key)
        seen: Mapping[str, Any] | None = live.manifest if live is not None else None
        if live is not None and live.version != target.version:
            # Watched in another version than Git writes: a patch made from that would speak of other fields.
            try:
                seen = await self._client.get(resource, target.key.name, target.key.namespace)
            except NotFound:
                seen = None
        for _attempt in range(3):
            if seen is None:
                try:
                    answer = await self._client.create(
                        resource, self._patcher.to_create(manifest), target.key.namespace, **common
                    )
                except AlreadyExists:
                    seen = await self._client.get(resource, target.key.name, target.key.namespace)
                    continue
                return self._applied(base, answer, target, "created", dry_run=options.dry_run)
            patch = self._patcher.to_patch(manifest, seen)
            if patch is None:
                return self._applied(base, seen, target, "unchanged", dry_run=options.dry_run)
            body, strategic = patch
            try:
                answer = await self._client.patch(
                    resource,
                    target.key.name,
                    body,
                    target.key.namespace,
                    content_type=STRATEGIC if strategic else MERGE,
                    **common,
                )
            except NotFound:
                seen = None
                continue
            except ApiError as error:
                if not self._must_replace(error, target, options):
                    raise
                await self._recreate(target, seen)
                seen = None
                continue
            verb = "unchanged" if _declared(seen) == _declared(answer) else "configured"
            return self._applied(base, answer, target, verb, dry_run=options.dry_run)
        raise StageError("sync", "SyncError", f"{target.key} changes as fast as it is applied; try again")

    def _must_replace(self, error: ApiError, target: Target, options: Options) -> bool:
        forced = options.force or "Force=true" in target.options
        return forced and error.reason == "Invalid" and not options.dry_run

    async def _recreate(self, target: Target, seen: Mapping[str, Any]) -> None:
        """Delete an object that cannot be patched, and wait until it is gone."""
        uid = str((seen.get("metadata") or {}).get("uid") or "")
        await self.delete(target.key, target.version, uid=uid, propagation="background")
        await self._until(lambda: (row := self._view.get(target.key)) is None or row.uid != uid, DELETE_DEADLINE_S)

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
        kind = f"{target.key.kind.lower()}.{target.key.group}" if target.key.group else target.key.kind.lower()
        return replace(
            base,
            status=ResultCode.SYNCED,
            phase=OperationPhase.SUCCEEDED if dry_run else OperationPhase.RUNNING,
            message=f"{kind}/{target.key.name} {verb}{' (dry run)' if dry_run else ''}",
            resource_version=str(metadata.get("resourceVersion") or ""),
            uid=str(metadata.get("uid") or ""),
            images=images_of(target.manifest),
        )

    async def _resource(self, key: ResourceKey, version: str) -> ApiResource:
        found = await self._discovery.lookup(key.group_kind, version)
        if found is None:
            raise StageError("sync", "SyncError", not_served(key))
        return found


def not_served(key: ResourceKey) -> str:
    """What Argo CD says of a kind the cluster does not know."""
    group = key.group or "v1"
    return (
        f"The Kubernetes API could not find {group}/{key.kind} for requested resource {key.namespace}/{key.name}. "
        f'Make sure the "{key.kind}" CRD is installed on the destination cluster.'
    )


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


def _declared(obj: Mapping[str, Any]) -> dict[str, Any]:
    """What a patch of ours could have changed; a controller may move version and status at any time."""
    metadata = obj.get("metadata") or {}
    kept = {name: metadata.get(name) or None for name in ("labels", "annotations", "finalizers", "ownerReferences")}
    return {"metadata": kept, **{k: v for k, v in obj.items() if k not in ("metadata", "status")}}


def _conditions(row: Live) -> Sequence[Mapping[str, Any]]:
    found = (row.manifest.get("status") or {}).get("conditions")
    return found if isinstance(found, list) else ()


def _live(task: Task) -> Live | None:
    return task.drift.live if task.drift is not None else None
