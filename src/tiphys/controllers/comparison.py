"""Compares one Application: what Git declares now against its cluster. Calls the spine; holds what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.names import GroupKind, ResourceKey, gvk_of
from tiphys.apimachinery.yamljson import canonical_json, digest
from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.ignoring import Ignoring
from tiphys.engine.diff.compare import Difference, counted, same_content
from tiphys.engine.diff.ignored import IgnoreRules
from tiphys.engine.health.scripts import HealthLookup, script_failures
from tiphys.engine.reconcile import Fetch, Memory, Render, Undecided, compare_with_live, desired
from tiphys.engine.states import Comparison, HealthStatus, StageError, SyncStatus, Target, TargetState
from tiphys.engine.sync.apply import CRD, FIELD_MANAGER
from tiphys.engine.target.build import Placement
from tiphys.engine.target.tracking import Mark, TrackingMethod
from tiphys.kube.client import APPLY, MERGE, STRATEGIC, ApiResource
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import option_value
from tiphys.model.application import Application, ApplicationSpec
from tiphys.model.appproject import AppProject
from tiphys.model.codec import encode
from tiphys.model.destination import ApplicationDestination
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import ApplicationStatus, ConditionType
from tiphys.policy.kinds import is_excluded
from tiphys.policy.project import NO_SCOPE, ProjectScope, permits_kind, permits_namespace
from tiphys.scripting.service import Scripts
from tiphys.settings.values import Settings


@dataclass(slots=True)
class Compared:
    """What is kept of an Application between reconciliations. Losing it costs one full comparison."""

    spec_hash: str = ""
    target: TargetState | None = None
    unserved: frozenset[GroupKind] = frozenset()  # kinds of the target that the cluster did not serve
    memory: Memory = field(default_factory=Memory)
    comparison: Comparison | None = None
    render_keys: tuple[str, ...] = ()
    rules: tuple[Any, ...] = ()  # what besides target and live state decides a verdict
    named: tuple[TargetState, ApplicationStatus, frozenset[GroupKind]] | None = None

    def kinds_of(self, target: TargetState, status: ApplicationStatus) -> frozenset[GroupKind]:
        """The kinds that Git declares and those the status speaks of; looked for once for each pair of them."""
        if self.named is None or self.named[0] is not target or self.named[1] is not status:
            rows = {(row.group, row.kind) for row in status.resources}
            if status.operation_state is not None and status.operation_state.sync_result is not None:
                rows |= {(row.group, row.kind) for row in status.operation_state.sync_result.resources}
            rows |= {(key.group, key.kind) for key in target.resources}
            rows |= {(hook.key.group, hook.key.kind) for hook in target.hooks}
            self.named = target, status, frozenset(GroupKind(*row) for row in rows)
        return self.named[2]


@dataclass(frozen=True, slots=True)
class Context:
    """What one comparison is made with."""

    app: Application
    instance: str
    project: AppProject
    settings: Settings
    session: ClusterSession
    destination: ApplicationDestination  # server and name filled in
    scope: ProjectScope = NO_SCOPE
    override: HealthLookup | None = None

    def options(self, given: Sequence[str] | None = None) -> tuple[str, ...]:
        """These sync options, or the Application's, with what the instance's settings add where they say nothing."""
        options = tuple(self.app.spec.policy.sync_options if given is None else given)
        if self.settings.server_side_apply and option_value(options, "ServerSideApply") is None:
            options += ("ServerSideApply=true",)
        return options

    scripts: Scripts | None = None

    def ignore_rules(self) -> IgnoreRules:
        """Which differences do not count."""
        settings = self.settings
        return IgnoreRules(
            self.app.spec.ignore_differences,
            settings.overrides,
            status_field=settings.ignore_status_field,
            aggregated_roles=settings.ignore_aggregated_roles,
        )

    def ignoring(self) -> Ignoring:
        """Who is asked about them."""
        return Ignoring(self.session, self.scripts)


def spec_hash(spec: ApplicationSpec) -> str:
    """Changes exactly when something was edited that a comparison depends on."""
    return digest(canonical_json(encode(spec)))


class Permissions:
    """The project's answer for each object: its kind, and the namespace it goes to."""

    def __init__(
        self, project: AppProject, destination: ApplicationDestination, scope: ProjectScope = NO_SCOPE
    ) -> None:
        self._project = project
        self._scope = scope
        self._destination = destination
        self._namespaces: dict[str, str | None] = {}
        self._kinds: dict[tuple[str, str, bool], str | None] = {}
        self._by_name = any(
            rule.name
            for rule in (
                *(project.spec.cluster_resource_whitelist or ()),
                *(project.spec.cluster_resource_blacklist or ()),
            )
        )

    def __call__(self, kind: GroupKind, namespaced: bool, namespace: str, name: str) -> str | None:
        """Why the object must not be touched, None when it may."""
        if not namespaced and self._by_name:
            answer = permits_kind(self._project, kind.group, kind.kind, namespaced=False, name=name)
            return None if answer else answer.reason
        at = (kind.group, kind.kind, namespaced)
        if at not in self._kinds:
            answer = permits_kind(self._project, kind.group, kind.kind, namespaced=namespaced)
            self._kinds[at] = None if answer else answer.reason
        reason = self._kinds[at]
        if reason is not None or not namespaced:
            return reason
        if namespace not in self._namespaces:
            where = ApplicationDestination(
                server=self._destination.server, name=self._destination.name, namespace=namespace
            )
            allowed = permits_namespace(self._project, where, self._scope)
            self._namespaces[namespace] = None if allowed else allowed.reason
        return self._namespaces[namespace]


async def target_of(
    context: Context,
    sources: Sequence[ApplicationSource],
    *,
    fetch: Fetch,
    render: Render,
    previous: TargetState | None,
) -> TargetState:
    """What Git declares. Raises StageError."""
    settings, session = context.settings, context.session
    method = TrackingMethod(settings.tracking_method) if settings.tracking_method in set(TrackingMethod) else None
    placement = Placement(
        instance=context.instance,
        namespace=context.destination.namespace,
        mark=Mark(method or TrackingMethod.ANNOTATION, settings.instance_label_key, settings.installation_id),
    )

    async def render_and_learn(snapshot: Any, source: ApplicationSource) -> Any:
        rendered = await render(snapshot, source)
        await session.learn({item.gvk for item in rendered.objects})
        return rendered

    return await desired(
        sources,
        fetch=fetch,
        render=render_and_learn,
        placement=placement,
        scope=session.scope,
        permit=Permissions(context.project, context.destination, context.scope),
        excluded=lambda kind: is_excluded(settings, kind.group, kind.kind, context.destination.server),
        previous=previous,
    )


async def compare_target(context: Context, state: Compared, target: TargetState) -> Comparison:
    """Git against cluster, with the API server asked where a difference may be its own defaulting."""
    app, session = context.app, context.session
    for key in target.resources if session.cluster.namespaces else ():
        if unmanaged := session.unmanaged(key.kind, key.namespace, key.name):
            raise StageError("live", "ComparisonError", unmanaged)
    kinds = set(state.kinds_of(target, app.status))
    if context.destination.namespace:
        kinds.add(GroupKind("", "Namespace"))
    if state.unserved:
        kinds.add(CRD)  # somebody may define them
    unknown = await session.live.require(kinds)
    permit = Permissions(context.project, context.destination, context.scope)
    ignored, settings = context.ignore_rules(), context.settings
    await context.ignoring().require_readable(ignored)
    compared = (settings.overrides, settings.ignore_status_field, settings.ignore_aggregated_roles)
    options = context.options()
    rules = (app.spec.ignore_differences, options, *compared)
    for _round in range(4):  # read in another version, ask for a dry-run and for health, then all is known
        comparison, undecided = compare_with_live(
            target,
            session.index,
            context.instance,
            memory=state.memory,
            unknown=unknown,
            permit=permit,
            ignored=ignored.of,
            override=context.override,
            exempt=frozenset({ResourceKey("", "Namespace", "", context.destination.namespace)}),
            options=options,
            rules=rules,
            owner=f"{app.namespace}/{app.name}",
        )
        asked = await context.override.settle() if context.override is not None else frozenset()
        for key in asked:
            state.memory.verdicts.pop(key, None)
        if not undecided and not asked:
            break
        for doubt in undecided:
            await _decide(context, state.memory, doubt)
    if context.override is not None:
        comparison = _with_script_failures(comparison, context.override)
    if comparison.sync is SyncStatus.SYNCED and namespace_metadata_changed(app):
        comparison = replace(comparison, sync=SyncStatus.OUT_OF_SYNC)
    return comparison


def _with_script_failures(comparison: Comparison, lookup: HealthLookup) -> Comparison:
    """The comparison with a condition about the resources whose health check script failed.

    Source: argo-cd controller/health.go, controller/state.go.
    Differs: operations are not refused because of it, since a script of the instance's settings is at fault.
    """
    failures = [
        (key, problem)
        for key, verdict in comparison.verdicts.items()
        if verdict.health is not None
        and verdict.health.status is HealthStatus.UNKNOWN
        and verdict.drift.live is not None
        and (problem := lookup.problem(verdict.drift.live))
    ]
    if not failures:
        return comparison
    condition = (ConditionType.COMPARISON_ERROR, script_failures(failures))
    return replace(comparison, conditions=(*comparison.conditions, condition))


def namespace_metadata_changed(app: Application) -> bool:
    """The destination's namespace is to get other labels or annotations than the last operation gave it."""
    wanted, state = app.spec.policy.managed_namespace_metadata, app.status.operation_state
    return (
        wanted is not None
        and state is not None
        and state.sync_result is not None
        and state.sync_result.managed_namespace_metadata != wanted
    )


async def _decide(context: Context, memory: Memory, doubt: Undecided) -> None:
    """Ask the API server whether the apply would change the object; the answer holds for these two versions."""
    live, target, difference = doubt.live, doubt.target, doubt.difference
    resource = await context.session.discovery.lookup(target.key.group_kind, target.version)
    if difference is None:
        if resource is not None:
            await _read_in_version(context, memory, target, resource)
        return
    at = (target.digest, live.uid, live.resource_version)
    if doubt.ask_rules:
        memory.covered[at] = await _is_covered(context, doubt, difference)
        if len(memory.covered) > 4096:
            memory.covered.pop(next(iter(memory.covered)))
        return
    body: Mapping[str, Any] | bytes | None = target.json if difference.server_side else difference.patch
    if resource is None or body is None:
        memory.noise[at] = False
        return
    seen = memory.translated[target.key] if live.version != target.version else live
    kind = APPLY if difference.server_side else STRATEGIC if difference.strategic else MERGE
    try:
        answer = await context.session.client.patch(
            resource,
            target.key.name,
            body,
            target.key.namespace,
            content_type=kind,
            force=difference.server_side,
            field_manager=FIELD_MANAGER,
            dry_run=True,
        )
        memory.noise[at] = await _is_same(context, doubt, answer, seen.manifest)
    except (ApiError, ClusterUnreachable):
        memory.noise[at] = False  # an apply will say what is wrong, in the server's own words
    if len(memory.noise) > 4096:
        memory.noise.pop(next(iter(memory.noise)))


async def _is_covered(context: Context, doubt: Undecided, difference: Difference) -> bool:
    """Whether the whole difference is one that does not count."""
    if difference.predicted is None or difference.seen is None or difference.abandoned:
        return False
    try:
        return await context.ignoring().covers(doubt.ignored, doubt.target, difference.predicted, difference.seen)
    except (ApiError, ClusterUnreachable):
        return False  # it may be gone by now; the next look says more


async def _is_same(context: Context, doubt: Undecided, answer: Mapping[str, Any], seen: Mapping[str, Any]) -> bool:
    """Whether the server's answer is what is there, apart from what does not count."""
    if same_content(answer, seen, doubt.ignored):
        return True
    if not doubt.ignored.must_ask:
        return False
    gvk = gvk_of(answer)
    left, right = counted(answer, gvk, doubt.ignored), counted(seen, gvk, doubt.ignored)
    return await context.ignoring().covers(doubt.ignored, doubt.target, left, right)


async def _read_in_version(context: Context, memory: Memory, target: Target, resource: ApiResource) -> None:
    """The live object as the version that Git writes shows it; without it the object stays OutOfSync, and an apply says why."""
    try:
        answer = await context.session.client.get(resource, target.key.name, target.key.namespace)
    except (ApiError, ClusterUnreachable):
        return
    memory.translated[target.key] = context.session.index.row(answer)


def kind_problem(session: ClusterSession) -> Callable[[GroupKind, str], str | None]:
    """Why the cluster cannot take an object of a kind; the plan says it before anything is touched."""

    def problem(kind: GroupKind, version: str) -> str | None:
        if session.scope(kind, version) is not None:
            return None
        group = kind.group or "v1"
        return (
            f"The Kubernetes API could not find {group}/{kind.kind} for requested resource. "
            f'Make sure the "{kind.kind}" CRD is installed on the destination cluster.'
        )

    return problem


def problem_of(error: Exception) -> StageError:
    """An unexpected answer of the cluster as a StageError."""
    if isinstance(error, StageError):
        return error
    if isinstance(error, ApiError):
        return StageError("live", "ComparisonError", f"the cluster answered: {error.message}", retry_after_s=10.0)
    return StageError("live", "ComparisonError", str(error), retry_after_s=10.0)
