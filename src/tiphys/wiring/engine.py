"""Composition root: settings in, running services out; the only place that builds I/O objects.

The order in which the engine's services start, and why: the store first, because an operation is written down before it
acts; then the Lease, because only its holder writes; then the render workers and the cluster's live view; then our own
namespace, whose first list is the work; then what works on it; the API last, so that it never answers from an empty view.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from tiphys import __version__
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.bootstrap import ensure_namespace, prepare
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.leadership import LEASE, Leadership, refuse_beside_argocd
from tiphys.controllers.measures import build_metrics
from tiphys.controllers.repositories import RepositoryWatch
from tiphys.controllers.sessions import ClusterSessions
from tiphys.engine.source.git import GitRepositories
from tiphys.kube.client import KubeClient
from tiphys.kube.lease import LeaseLock
from tiphys.runtime.clock import Clock, SystemClock, format_time
from tiphys.runtime.files import make_private_folder, write_atomic
from tiphys.runtime.ids import SystemIds
from tiphys.runtime.log import Logger, LogSink
from tiphys.runtime.supervisor import Lifetime, Service, Supervisor
from tiphys.server.cache import ApplicationCache, Freshness
from tiphys.store.database import Database, sqlite_url
from tiphys.store.ledger import Ledger
from tiphys.wiring.api import ApiService, build_services
from tiphys.wiring.clusters import Clusters
from tiphys.wiring.home import HomeClaim
from tiphys.wiring.options import EngineOptions, cluster_config
from tiphys.wiring.rendering import Rendering
from tiphys.wiring.scripting import Scripting
from tiphys.wiring.sources import ReachableCommits, RepositorySecrets, open_repositories

USER_AGENT = f"tiphys/{__version__}"
WORKERS = 16


@dataclass(slots=True)
class Engine:
    """The composed engine: its parts, for the API, and the supervisor that runs them."""

    plane: ControlPlane
    controller: ApplicationController
    repositories: GitRepositories
    ledger: Ledger
    supervisor: Supervisor
    client: KubeClient
    clusters: ClusterSessions


def build_engine(
    options: EngineOptions, *, sink: LogSink, env: Mapping[str, str], clock: Clock | None = None
) -> Engine:
    """Everything `tiphys run` runs; nothing is started."""
    clock = clock or SystemClock()
    log = Logger(sink)
    make_private_folder(options.home)
    config = cluster_config(options, env)
    client = KubeClient(config, user_agent=USER_AGENT, clock=clock, env=env)
    plane = ControlPlane(client, namespace=options.namespace, clock=clock, log=log.bind(part="control-plane"))
    database = Database(options.store_url or sqlite_url(options.home / "store.db"))
    ledger = Ledger(database)
    git = open_repositories(options, env=env, clock=clock)
    scripting = Scripting(options, clock=clock, log=log)
    rendering = Rendering(options, env=env, database=database, plane=plane, clock=clock, log=log)
    clusters = Clusters(client, plane=plane, env=env, clock=clock, log=log)

    secrets = RepositorySecrets(clock=clock)
    watch = RepositoryWatch(
        git,
        clock=clock,
        interval_s=lambda: plane.settings.reconciliation_timeout.total_seconds(),
        fraction=random.random,
        moved=lambda key: controller.repository_moved(key),
        access=secrets,
        log=log.bind(part="repositories"),
    )
    secrets.tie(plane, watch)
    controller = ApplicationController(
        plane=plane,
        clusters=clusters.sessions,
        repositories=watch,
        render=rendering.render,
        reads=rendering.reads,
        ledger=ledger,
        health=scripting.health,
        scripts=scripting.scripts,
        clock=clock,
        fraction=random.random,
        log=log.bind(part="applications"),
    )
    clusters.tie(controller)

    claim = HomeClaim(options.home)

    async def store(life: Lifetime) -> None:
        claim.take()
        await database.start()
        life.ready()
        try:
            await life.until_stopped()
        finally:
            await database.stop()
            claim.release()

    async def connection(life: Lifetime) -> None:
        try:
            await refuse_beside_argocd(client, namespace=options.namespace, take_over=options.take_over)
            await ensure_namespace(client, options.namespace, log.bind(part="bootstrap"))
            life.ready()
            await life.until_stopped()
        finally:
            await client.close()

    def lease(on_lost: Callable[[str], None]) -> LeaseLock:
        return LeaseLock(
            client,
            namespace=options.namespace,
            name=LEASE,
            identity=claim.identity,
            clock=clock,
            on_lost=on_lost,
            fraction=random.random,
        )

    leadership = Leadership(
        lease,
        namespace=options.namespace,
        prepare=lambda: prepare(
            client, namespace=options.namespace, clock=clock, ids=SystemIds(), log=log.bind(part="bootstrap")
        ),
        act=controller.act,
        halt=controller.halt,
        log=log.bind(part="leadership"),
    )

    cache = ApplicationCache()
    plane.application_told = lambda word, obj: cache.event(word, obj)
    freshness = lru_cache(maxsize=64)(lambda moved: Freshness(format_time(moved.at), moved.revision))
    cache.fresh_of = lambda key: freshness(moved) if (moved := controller.moved(key)) is not None else None
    cache.fresh_turns = lambda: controller.turns
    controller.fresh_told = lambda key, sync, now: cache.freshen(
        *key, Freshness(reconciled_at=format_time(now), revision=sync.revision, revisions=sync.revisions)
    )
    metrics = build_metrics(plane, controller, clusters.sessions, lambda: rendering.renderer.renders)
    services = replace(
        build_services(
            options,
            plane,
            client,
            controller,
            cache,
            clock,
            log,
            ledger=ledger,
            kept=rendering.kept,
            commits=ReachableCommits(git, secrets),
        ),
        metrics=metrics.render,
        pushed=watch.pushed,
        repository_book=lambda: secrets.book,
        repository_state=watch.connection,
        clusters=lambda: plane.clusters,
        cluster_book=clusters.admin(plane),
    )

    api = ApiService(services, options, plane=plane, clock=clock)

    async def serve_api(life: Lifetime) -> None:
        cache.synced.set()
        await api.run(life)

    async def announce(life: Lifetime) -> None:
        log.info("engine ready", url=api.address, cluster=client.server, namespace=options.namespace)
        if options.address_out is not None:
            write_atomic(options.address_out, f"{api.address}\n".encode())
        life.ready()
        await life.until_stopped()

    def service(
        name: str, run: Callable[[Callable[[], None], Callable[[], Awaitable[None]]], Awaitable[None]]
    ) -> Service:
        return Service(name, lambda life: run(life.ready, life.until_stopped))

    groups = [
        [Service("store", store), Service("api-server", connection)],
        [service("leadership", leadership.run)],
        [
            Service("render-workers", rendering.pool.serve),
            Service("script-workers", scripting.pool.serve),
            Service("tool-workers", rendering.tool_pool.serve),
            service("clusters", clusters.sessions.run),
        ],
        [service("control-plane", plane.run)],
        [
            service("repositories", watch.run),
            service("applications", lambda ready, until: controller.run(ready, until, WORKERS)),
        ],
        [Service("api", serve_api)],
        [Service("announce", announce)],
    ]
    supervisor = Supervisor(groups, on_event=lambda event, name: log.debug("service", event=event, name=name))
    return Engine(plane, controller, git, ledger, supervisor, client, clusters.sessions)
