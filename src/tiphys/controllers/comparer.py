"""Keeps the comparison of an Application current: what it refers to, what Git declares, how the cluster differs."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from tiphys.apimachinery.apierrors import ApiError
from tiphys.controllers.clusters import ClusterSession, OpenCluster
from tiphys.controllers.comparison import Compared, Context, compare_target, problem_of, spec_hash, target_of
from tiphys.controllers.controlplane import ControlPlane, Key
from tiphys.controllers.known import Interests, Known, Reads, name_of
from tiphys.controllers.rendercontext import Capabilities, contexts_at, render_context
from tiphys.controllers.repositories import RepositoryWatch
from tiphys.controllers.standing import At
from tiphys.engine.health.scripts import HealthLookup, HealthScripts
from tiphys.engine.render.tools import RenderContext
from tiphys.engine.source.resolve import revision_expression
from tiphys.engine.states import Comparison, Snapshot, StageError, SyncStatus, TargetState
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import REFRESH_HARD, refresh_type
from tiphys.model.application import Application
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import ConditionType
from tiphys.policy.project import ProjectScope
from tiphys.policy.spec import DestinationError, missing_project, resolve_destination, spec_problems
from tiphys.runtime.log import SILENT, Logger
from tiphys.scripting.service import Scripts

# (snapshot, source, what else it may depend on, name of the Application for the log) -> Rendered
RenderSource = Callable[[Any, ApplicationSource, RenderContext, str], Awaitable[Any]]
ContextOf = Callable[[Snapshot], RenderContext]
# (source, key of its render, ...) -> what that render has read.
ReadsOf = Callable[[ApplicationSource, str, ContextOf], Reads]


class Comparer:
    """Compares Applications; what it finds is kept in their `Known`."""

    def __init__(
        self,
        *,
        plane: ControlPlane,
        clusters: OpenCluster,
        repositories: RepositoryWatch,
        render: RenderSource,
        reads: ReadsOf,
        interests: Interests,
        health: HealthScripts | None = None,
        scripts: Scripts | None = None,
        log: Logger = SILENT,
    ) -> None:
        self._plane = plane
        self._clusters = clusters
        self._repositories = repositories
        self._render = render
        self._reads = reads
        self._capabilities = Capabilities()
        self._interests = interests
        self._health = health
        self._scripts = scripts
        self._log = log

    async def context(self, app: Application, known: Known) -> Context:
        """What the Application refers to. Raises StageError(InvalidSpecError) with every problem."""
        if known.session is not None and known.session.ended.is_set():
            known.session, known.compared.comparison = None, None  # that view is gone
        project = self._plane.projects.get(app.project_name)
        if project is None:
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, missing_project(app.project_name))
        clusters = self._plane.clusters
        scope = ProjectScope(
            repositories=self._repositories.of_project(project.name),
            clusters=tuple(c for c in clusters if c.project and c.project == project.name),
        )
        problems = spec_problems(app.spec, project, clusters, scope)
        if problems:
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, "; ".join(problems))
        try:
            destination = resolve_destination(app.spec.destination, clusters)
        except DestinationError as error:
            raise StageError("target", ConditionType.INVALID_SPEC_ERROR, str(error)) from None
        session = await self._clusters(destination.server)
        known.session = session
        return Context(
            app=app,
            instance=known.instance,
            project=project,
            settings=self._plane.settings,
            session=session,
            destination=destination,
            scope=scope,
            override=self.health_lookup(),
            scripts=self._scripts,
        )

    def health_lookup(self) -> HealthLookup | None:
        """Health by the scripts of `argocd-cm` as they are now."""
        return self._health.lookup(self._plane.settings.overrides) if self._health is not None else None

    async def compare(self, key: Key, app: Application, known: Known, context: Context) -> None:
        """Bring `known.compared` up to date, or say in `known.trouble` why that is not possible now.

        Git is asked only when something there, in the spec or around it moved, or when somebody asked.
        """
        asked = refresh_type(app.annotations) or ""
        if known.hashed is None or known.hashed[0] is not app.spec:
            known.hashed = app.spec, spec_hash(app.spec)
        fingerprint = known.hashed[1]
        compared = known.compared
        due = known.moved or bool(asked) or fingerprint != compared.spec_hash or bool(compared.unserved)
        if known.trouble is not None and not due:
            return  # only what makes it due can help
        known.asked = asked or known.asked
        if (away := context.session.trouble) is not None:
            self._note_trouble(key, known, away)
            return
        try:
            if due:
                known.moved = False
                await self._learn(key, app, known, context, asked, fingerprint)
            assert compared.target is not None
            compared.comparison = await compare_target(context, compared, compared.target)
        except (StageError, ApiError, ClusterUnreachable, DiscoveryError) as error:
            if isinstance(error, ClusterUnreachable):
                context.session.suspected.set()
            self._note_trouble(key, known, problem_of(error))
        except BaseException:
            known.moved = True
            raise
        else:
            known.trouble = None

    async def _learn(
        self, key: Key, app: Application, known: Known, context: Context, asked: str, fingerprint: str
    ) -> None:
        """What Git declares now."""
        compared = known.compared
        uses: dict[str, set[str]] = {}
        for source in app.spec.all_sources:
            uses.setdefault(source.repo_url, set()).add(_expression(source))
        known.reads = None
        elsewhere = self._repositories.uses(key, uses, app.project_name) and compared.spec_hash != ""
        compared.spec_hash = fingerprint
        if asked == REFRESH_HARD:
            compared.memory.noise.clear()
            compared.memory.verdicts.clear()
            context.session.discovery.invalidate()
        if not asked:
            for url in sorted(uses):
                self._repositories.require_well(url, app.project_name)
        since = self._plane.asked_at.get(key, math.inf) if not elsewhere else math.inf
        target, keys = await self.target(
            context, app.spec.all_sources, previous=compared.target, refresh=bool(asked) or elsewhere, since=since
        )
        compared.target, compared.render_keys = target, keys
        compared.unserved = frozenset(
            resource.group_kind
            for resource, wanted in target.resources.items()
            if context.session.scope(resource.group_kind, wanted.version) is None
        )
        self._interests.change(key, known, frozenset(target.resources))

    def stands(self, known: Known) -> bool:
        """Whether a new commit changed nothing that the Application reads; then its revision is all that moves.

        False also means "not known": a reconciliation then finds out. An Application that is not Synced is always looked
        at: a new commit may be what its automation waits for.
        """
        snapshot = self._named(known)
        if snapshot is None:
            return False
        reads = self._reads_of(known)
        try:
            if not reads.unchanged(snapshot):
                return False
        except StageError:
            return False
        self.is_at(known, snapshot.revision)
        return True

    @staticmethod
    def is_at(known: Known, revision: str) -> None:
        """A commit changed nothing that the Application reads: the last comparison is one with that commit too."""
        compared = known.compared
        if compared.target is None or compared.comparison is None or compared.target.revision == revision:
            return
        compared.target = replace(compared.target, revision=revision)
        compared.comparison = replace(compared.comparison, target=compared.target)

    def standing(self, known: Known) -> tuple[At, str, frozenset[str], object] | None:
        """Where the Application stands: what it follows, the commit, the paths that decide whether it stands at another
        one too, and what besides them does. None when it must be looked at by itself.
        """
        snapshot = self._named(known)
        app, target = known.app, known.compared.target
        if snapshot is None or app is None or target is None or target.revision != snapshot.revision:
            return None
        try:
            read = self._reads_of(known).paths(snapshot)
        except StageError:
            return None
        source = app.spec.source
        if read is None or source is None:
            return None
        url, scope = self._repositories.reach(source.repo_url, app.project_name)
        kube = None if read[1] is None else (known.session, read[1])
        return At(url, scope, _expression(source)), snapshot.revision, read[0], kube

    def still_given(self, given: object) -> bool:
        """Whether what a render was told of its cluster is what it would be told now."""
        if given is None:
            return True
        session, kube = cast("tuple[ClusterSession, object]", given)
        return self._capabilities.of(session) == kube

    def _named(self, known: Known) -> Snapshot | None:
        """The commit that the source of an Application names, when all is well with it and it has but one."""
        app, compared = known.app, known.compared
        target, comparison = compared.target, compared.comparison
        if app is None or target is None or comparison is None or comparison.sync is not SyncStatus.SYNCED:
            return None
        if known.moved or known.trouble is not None or known.run is not None or self._plane.settings.eager_status:
            return None
        source = app.spec.source
        if source is None or app.spec.has_multiple_sources or len(compared.render_keys) != 1:
            return None
        try:
            self._repositories.require_well(source.repo_url, app.project_name)
        except StageError:
            return None
        return self._repositories.named(source.repo_url, _expression(source), app.project_name)

    def _reads_of(self, known: Known) -> Reads:
        if known.reads is None:
            app, kube = known.app, self._capabilities.of(known.session)
            assert app is not None and app.spec.source is not None  # noqa: PT018 - seen by `_named`
            source = app.spec.source
            contexts = contexts_at(app, known.instance, source, kube, self._plane.settings)
            known.reads = self._reads(source, known.compared.render_keys[0], contexts)
        return known.reads

    def _note_trouble(self, key: Key, known: Known, error: StageError) -> None:
        # A repository tells when it is well again, and bytes that cannot be rendered only change by a commit. For all
        # else the world is asked again at the next reconciliation.
        known.moved = error.stage not in ("source", "render") or (
            error.stage == "render" and error.retry_after_s is not None
        )
        known.trouble = error
        self._log.info(
            "an Application cannot be compared", application=name_of(key), stage=error.stage, problem=error.message
        )

    async def target(
        self,
        context: Context,
        sources: Sequence[ApplicationSource],
        *,
        previous: TargetState | None,
        refresh: bool,
        since: float = math.inf,
    ) -> tuple[TargetState, tuple[str, ...]]:
        """What Git declares at these sources, and the keys of its renders. Raises StageError, ApiError,
        ClusterUnreachable, DiscoveryError."""
        keys: list[str] = []

        async def fetch(source: ApplicationSource) -> Any:
            project = context.app.project_name
            return await self._repositories.snapshot(
                source.repo_url, _expression(source), refresh=refresh, since=since, project=project
            )

        async def render(snapshot: Any, source: ApplicationSource) -> Any:
            app = context.app
            kube = await self._capabilities.learn(context.session)
            what = render_context(app, context.instance, source, snapshot.revision, kube, self._plane.settings)
            rendered = await self._render(snapshot, source, what, f"{app.namespace}/{app.name}")
            keys.append(rendered.key)
            return rendered

        target = await target_of(context, sources, fetch=fetch, render=render, previous=previous)
        return target, tuple(keys)

    async def comparison_for(self, context: Context, known: Known, target: TargetState) -> Comparison:
        """The comparison an operation's plan is made from: its own target against the cluster as it is now."""
        if target is known.compared.target and known.compared.comparison is not None and known.trouble is None:
            return known.compared.comparison
        return await compare_target(context, Compared(), target)

    def last_read(self, urls: Iterable[str], project: str) -> str:
        """When the repositories that are in trouble could last be read; empty when none is."""
        return self._repositories.last_read(urls, project)


def _expression(source: ApplicationSource) -> str:
    return revision_expression(source.target_revision, source.tag_prefix)
