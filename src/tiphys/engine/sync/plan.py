"""Drift and hooks -> SyncPlan: phases, waves, kind order, prune order. Pure.

Source: compat 2.1 to 2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.apimachinery.yamljson import canonical_json
from tiphys.engine.states import Action, Drift, DriftKind, Phase, SyncPlan, Target, Task, TaskId
from tiphys.engine.sync.hooks import SYNC_PHASES, hook_name, with_hook_identity
from tiphys.model.annotations import annotations_of, hook_delete_policies, hook_types

KIND_ORDER: Mapping[str, int] = {
    kind: index
    for index, kind in enumerate(
        (
            "Namespace",
            "NetworkPolicy",
            "ResourceQuota",
            "LimitRange",
            "PodSecurityPolicy",
            "PodDisruptionBudget",
            "ServiceAccount",
            "Secret",
            "SecretList",
            "ConfigMap",
            "StorageClass",
            "PersistentVolume",
            "PersistentVolumeClaim",
            "CustomResourceDefinition",
            "ClusterRole",
            "ClusterRoleList",
            "ClusterRoleBinding",
            "ClusterRoleBindingList",
            "Role",
            "RoleList",
            "RoleBinding",
            "RoleBindingList",
            "Service",
            "DaemonSet",
            "Pod",
            "ReplicationController",
            "ReplicaSet",
            "Deployment",
            "HorizontalPodAutoscaler",
            "StatefulSet",
            "Job",
            "CronJob",
            "IngressClass",
            "Ingress",
            "APIService",
        )
    )
}
_LAST_KIND = len(KIND_ORDER)
PHASE_ORDER: Mapping[Phase, int] = {Phase.PRE_SYNC: 0, Phase.SYNC: 1, Phase.POST_SYNC: 2, Phase.SYNC_FAIL: 3}

NAMESPACE = GroupKind("", "Namespace")
CRD = GroupKind("apiextensions.k8s.io", "CustomResourceDefinition")
SKIP_MISSING = "SkipDryRunOnMissingResource=true"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the operation asks for."""

    revision: str
    started_at: datetime
    prune: bool = False
    prune_last: bool = False
    out_of_sync_only: bool = False
    resources: frozenset[tuple[str, str, str, str]] | None = None  # (group, kind, namespace or "", name); None is all
    hooks: bool = True  # partial syncs and the strategy `apply` run none
    create_namespace: str = ""  # make this namespace first, or give it its metadata
    skip_missing_kinds: bool = False  # a kind that is not served is no fault of the plan: it may come with this sync

    def selects(self, key: ResourceKey) -> bool:
        """The resource belongs to the operation. An empty namespace in the request matches any."""
        if self.resources is None:
            return True
        return (key.group, key.kind, key.namespace, key.name) in self.resources or (
            key.group,
            key.kind,
            "",
            key.name,
        ) in self.resources


KindProblem = Callable[
    [GroupKind, str], str | None
]  # (kind, version) -> why the cluster cannot take it, None when it can


def plan(
    drifts: Iterable[Drift],
    hooks: Sequence[Target],
    wanted: Wanted,
    *,
    kind_problem: KindProblem = lambda _kind, _version: None,
    denied: Mapping[ResourceKey, str] | None = None,
) -> SyncPlan:
    """The tasks of one operation in order.

    `kind_problem` tells kinds the cluster does not serve; `denied` the resources the project forbids. Both make the plan
    invalid rather than smaller: an operation that cannot be whole changes nothing.
    """
    tasks: list[Task] = []
    problems: list[tuple[TaskId, str]] = []
    for drift in drifts:
        if wanted.selects(drift.key):
            task = _resource_task(drift, wanted)
            if task is not None:
                tasks.append(task)
    if wanted.hooks:
        for hook in hooks:
            tasks.extend(_hook_tasks(hook, wanted))
    if wanted.create_namespace:
        key = ResourceKey("", "Namespace", "", wanted.create_namespace)
        tasks.append(Task(TaskId(key, Phase.PRE_SYNC), Action.CREATE_NAMESPACE, wave=0))
    tasks = _mirror_prune_waves(tasks)
    if wanted.prune_last:
        tasks = _prune_last(tasks, lambda _drift: True)
    else:
        tasks = _prune_last(tasks, lambda drift: drift.prune_last)
    tasks = _before_dependents(tasks)
    own_crds = {k for t in tasks if t.target is not None for k in _defined_kinds(t.target)}
    for task in tasks:
        reason = (denied or {}).get(task.id.key)
        if reason is None and task.target is not None:
            may_lack = wanted.skip_missing_kinds or SKIP_MISSING in task.target.options
            if not may_lack and task.id.key.group_kind not in own_crds:
                reason = kind_problem(task.id.key.group_kind, task.target.version)
            if reason is None and not task.id.key.name:
                reason = f"{task.id.key.kind} has neither metadata.name nor metadata.generateName"
        if reason is not None:
            problems.append((task.id, reason))
    return SyncPlan(tuple(sorted(tasks, key=_order)), tuple(problems))


def _resource_task(drift: Drift, wanted: Wanted) -> Task | None:
    identity = TaskId(drift.key, Phase.SYNC)
    if drift.kind is DriftKind.EXTRA:
        reason = ""
        if drift.prune_disabled:
            reason = "ignored (no prune)"
        elif not wanted.prune:
            reason = "ignored (requires pruning)"
        confirm = drift.prune_confirm and not reason
        return Task(identity, Action.PRUNE, drift.wave, drift=drift, skip_reason=reason, confirm=confirm)
    if drift.target is None or (wanted.out_of_sync_only and not drift.out_of_sync):
        return None
    return Task(identity, Action.APPLY, drift.wave, target=drift.target, drift=drift)


def _hook_tasks(hook: Target, wanted: Wanted) -> list[Task]:
    """One for each phase of a sync; hooks that run when the Application is deleted have none."""
    tasks: list[Task] = []
    manifest = hook.manifest
    annotations = annotations_of(manifest)
    for kind in hook_types(annotations):
        phase = SYNC_PHASES.get(kind.value)
        if phase is None:
            continue
        name = hook_name(manifest, wanted.revision, phase, wanted.started_at)
        key = hook.key._replace(name=name)
        named = canonical_json(with_hook_identity(manifest, name))
        tasks.append(
            Task(
                TaskId(key, phase),
                Action.HOOK,
                hook.wave,
                target=replace(hook, key=key, json=named),
                delete_policies=frozenset(policy.value for policy in hook_delete_policies(annotations)),
            )
        )
    return tasks


def _mirror_prune_waves(tasks: Sequence[Task]) -> list[Task]:
    """Prune waves swapped first with last, so that what was created last is deleted first.

    Only the distinct waves that hold a prune take part: 0, 5, 7 become 7, 5, 0. Others keep their wave.
    """
    waves = sorted({t.wave for t in tasks if t.action is Action.PRUNE})
    mirror = dict(zip(waves, reversed(waves), strict=True))
    return [replace(t, wave=mirror[t.wave]) if t.action is Action.PRUNE else t for t in tasks]


def _prune_last(tasks: Sequence[Task], applies: Callable[[Drift], bool]) -> list[Task]:
    """Prunes that asked for it in a wave after the last one of the Sync phase, which counts as 0 at least."""
    last = max((0, *(t.wave for t in tasks if t.id.phase is Phase.SYNC)))
    return [
        replace(t, wave=last + 1) if t.action is Action.PRUNE and t.drift is not None and applies(t.drift) else t
        for t in tasks
    ]


def _defined_kinds(target: Target) -> list[GroupKind]:
    if target.key.group_kind != CRD:
        return []
    spec = target.manifest.get("spec")
    names = spec.get("names") if isinstance(spec, Mapping) else None
    kind = names.get("kind") if isinstance(names, Mapping) else None
    return [GroupKind(str(spec.get("group") or ""), str(kind))] if kind and isinstance(spec, Mapping) else []


def _before_dependents(tasks: Sequence[Task]) -> list[Task]:
    """Namespaces moved before the first object in them, CRDs before the first object of their kind.

    The moved task takes the phase and wave of the first task that needs it, when that runs earlier.
    """
    first_in_namespace: dict[str, Task] = {}
    first_of_kind: dict[GroupKind, Task] = {}
    for task in sorted(tasks, key=_order):
        if task.action is Action.PRUNE:
            continue
        if task.id.key.namespace:
            first_in_namespace.setdefault(task.id.key.namespace, task)
        first_of_kind.setdefault(task.id.key.group_kind, task)
    moved: list[Task] = []
    for task in tasks:
        dependents: list[Task] = []
        if task.action is Action.PRUNE:
            pass
        elif task.id.key.group_kind == NAMESPACE:
            dependents = [d for d in [first_in_namespace.get(task.id.key.name)] if d is not None]
        elif task.target is not None:
            dependents = [d for kind in _defined_kinds(task.target) if (d := first_of_kind.get(kind)) is not None]
        for dependent in dependents:
            if (PHASE_ORDER[dependent.id.phase], dependent.wave) < (PHASE_ORDER[task.id.phase], task.wave):
                task = replace(task, id=TaskId(task.id.key, dependent.id.phase), wave=dependent.wave)
        moved.append(task)
    return moved


def kind_rank(kind: str) -> int:
    """Place of a kind inside one wave; unknown kinds (all custom resources) come last."""
    return KIND_ORDER.get(kind, _LAST_KIND)


def _order(task: Task) -> tuple[int, int, int, str, str, str]:
    key = task.id.key
    return (PHASE_ORDER[task.id.phase], task.wave, kind_rank(key.kind), key.kind, key.namespace, key.name)
