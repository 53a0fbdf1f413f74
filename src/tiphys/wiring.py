"""Composition root: settings in, running services out; the only place that builds I/O objects.

The order in which the engine's services start, and why: the store first, because an operation is written down before it
acts; then the Lease, because only its holder writes; then the render workers and the cluster's live view; then our own
namespace, whose first list is the work; then what works on it; the API last, so that it never answers from an empty view.
"""

from __future__ import annotations

import os
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiphys import __version__
from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.application import ApplicationController
from tiphys.controllers.bootstrap import ensure_namespace, prepare
from tiphys.controllers.clusters import ChangeSignal, ClusterSession
from tiphys.controllers.controlplane import ControlPlane
from tiphys.controllers.leadership import LEASE, Leadership, refuse_beside_argocd
from tiphys.controllers.measures import build_metrics
from tiphys.controllers.repositories import RepositoryWatch
from tiphys.controllers.views import EngineViews
from tiphys.devcluster.pki import ensure_pki
from tiphys.engine.live.cluster import ClusterLive
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.render.pool import WorkerPool, default_size
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.source.git import GitRepositories
from tiphys.engine.states import Live, Snapshot, StageError
from tiphys.identity.sessions import Sessions
from tiphys.kube.client import KubeClient
from tiphys.kube.config import ClusterConfig, in_cluster_config, read_kubeconfig
from tiphys.kube.discovery import Discovery
from tiphys.kube.lease import LeaseLock
from tiphys.model.application import Application
from tiphys.model.codec import encode
from tiphys.model.destination import IN_CLUSTER_SERVER
from tiphys.model.source import ApplicationSource
from tiphys.runtime.clock import Clock, SystemClock, format_time
from tiphys.runtime.files import FileLock, make_private_folder, write_atomic
from tiphys.runtime.ids import SystemIds
from tiphys.runtime.log import Logger, LogSink
from tiphys.runtime.supervisor import Lifetime, Service, Supervisor
from tiphys.server.app import App
from tiphys.server.cache import ApplicationCache, Freshness
from tiphys.server.kubewriter import AnnotationRefresher, KubeApplicationWriter, KubeSecretWriter
from tiphys.server.listener import open_listener, serve
from tiphys.server.ports import Services
from tiphys.server.rbac import RBACInForce
from tiphys.settings.values import Settings
from tiphys.store.database import Database, StoreError, sqlite_url
from tiphys.store.ledger import Ledger
from tiphys.store.renders import Renders
from tiphys.store.seal import Seal

USER_AGENT = f"tiphys/{__version__}"
WORKERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How one engine is run. `address_out` gets the URL once the engine is ready."""

    home: Path
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = "argocd"
    host: str = "127.0.0.1"
    port: int = 8080
    insecure: bool = False
    allow_file_repositories: bool = False
    address_out: Path | None = None
    store_url: str = ""
    take_over: bool = False  # act in the place of an Argo CD application controller that is scaled to zero


def cluster_config(options: EngineOptions, env: Mapping[str, str]) -> ClusterConfig:
    """Where the engine's own cluster is: a kubeconfig that is named, else the Pod it runs in, else the user's kubeconfig."""
    if options.kubeconfig is not None:
        return read_kubeconfig(options.kubeconfig, context=options.context)
    if env.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster_config(env)
    named = [Path(p) for p in env.get("KUBECONFIG", "").split(os.pathsep) if p]
    return read_kubeconfig(named or [Path.home() / ".kube" / "config"], context=options.context)


class ListenError(Exception):
    """The API's address cannot be listened on."""


@dataclass(slots=True)
class Engine:
    """The composed engine: its parts, for the API, and the supervisor that runs them."""

    plane: ControlPlane
    controller: ApplicationController
    repositories: GitRepositories
    ledger: Ledger
    supervisor: Supervisor
    client: KubeClient


class _HomeClaim:
    """A home folder in use by one process alone, and the name under which that process competes for the Lease.

    The name stays the same over restarts, so that a restarted engine need not wait for the Lease of the killed one to run
    out; the lock makes sure that the earlier one is really gone.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = FileLock(home / "engine.lock")
        self.identity = ""

    def take(self) -> None:
        """Raises LockHeldError when another process uses the folder."""
        self._lock.acquire(f"pid {os.getpid()}")
        path = self._home / "identity"
        try:
            name = path.read_text().strip()
        except FileNotFoundError:
            name = SystemIds().uuid()
            write_atomic(path, f"{name}\n".encode())
        # A copy of the folder is another engine, and so is the same folder on another machine.
        self.identity = f"{os.uname().nodename}_{name}_{self._home.stat().st_ino}"

    def release(self) -> None:
        """Let others use the folder."""
        self._lock.release()


class SingleCluster:
    """Sessions by server URL; only the engine's own cluster so far."""

    def __init__(self, session: ClusterSession) -> None:
        self._session = session

    async def __call__(self, server: str) -> ClusterSession:
        """The session of a destination. Raises StageError for a cluster that is not there."""
        if server != IN_CLUSTER_SERVER:
            raise StageError("live", "InvalidSpecError", f'cluster "{server}" not found')
        return self._session


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
    git_env = {k: v for k, v in env.items() if k in ("PATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")}
    git = GitRepositories(
        options.home / "mirrors", clock=clock, allow_file_urls=options.allow_file_repositories, env=git_env
    )
    pool = WorkerPool(root=options.home / "workers", clock=clock, size=default_size(), log=log.bind(part="render"))
    renderer = Renderer(
        pool, clock=clock, store=_SealedRenders(database, plane, clock, log), log=log.bind(part="render")
    )
    session, index = _session(client, clock, log)

    async def render(snapshot: Any, source: ApplicationSource, app: Application) -> Any:
        what = render_source(encode(source))
        return await renderer.render(snapshot, what, env={}, application=f"{app.namespace}/{app.name}")

    def reads(source: ApplicationSource, key: str) -> Callable[[Snapshot], bool]:
        what = render_source(encode(source))
        return lambda snapshot: renderer.unchanged(snapshot, what, key)

    watch = RepositoryWatch(
        git,
        clock=clock,
        interval_s=lambda: plane.settings.reconciliation_timeout.total_seconds(),
        fraction=random.random,
        moved=lambda key: controller.repository_moved(key),
        log=log.bind(part="repositories"),
    )
    controller = ApplicationController(
        plane=plane,
        clusters=SingleCluster(session),
        repositories=watch,
        render=render,
        reads=reads,
        ledger=ledger,
        clock=clock,
        fraction=random.random,
        log=log.bind(part="applications"),
    )
    index.listener = lambda key, before, after: controller.live_changed(session, key, before, after)
    session.live.state_changed = controller.live_state_changed

    claim = _HomeClaim(options.home)

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
    controller.fresh_told = lambda key, sync, now: cache.freshen(
        *key, Freshness(reconciled_at=format_time(now), revision=sync.revision, revisions=sync.revisions)
    )
    metrics = build_metrics(plane, controller, index, lambda: renderer.renders)
    services = replace(_services(options, plane, client, controller, cache, clock, log), metrics=metrics.render)

    address: list[str] = []

    async def api(life: Lifetime) -> None:
        cache.synced.set()
        certificate = key = None
        if not (options.insecure or plane.settings.server_insecure):
            certificate, key = _certificate(options.home, plane.settings, clock)

        try:
            listener = open_listener(options.host, options.port)
        except OSError as error:
            where = f"{options.host} port {options.port}"
            raise ListenError(f"cannot listen on {where}: {error.strerror}; choose another with --port") from error
        shown = f"[{options.host}]" if ":" in options.host else options.host
        address.append(f"{'https' if certificate else 'http'}://{shown}:{listener.getsockname()[1]}")
        await serve(App(services), listener, life, clock=clock, certificate=certificate, key=key)

    async def announce(life: Lifetime) -> None:
        log.info("engine ready", url=address[0], cluster=client.server, namespace=options.namespace)
        if options.address_out is not None:
            write_atomic(options.address_out, f"{address[0]}\n".encode())
        life.ready()
        await life.until_stopped()

    def service(
        name: str, run: Callable[[Callable[[], None], Callable[[], Awaitable[None]]], Awaitable[None]]
    ) -> Service:
        return Service(name, lambda life: run(life.ready, life.until_stopped))

    groups = [
        [Service("store", store), Service("api-server", connection)],
        [service("leadership", leadership.run)],
        [Service("render-workers", pool.serve), service("live", session.live.run)],
        [service("control-plane", plane.run)],
        [
            service("repositories", watch.run),
            service("applications", lambda ready, until: controller.run(ready, until, WORKERS)),
        ],
        [Service("api", api)],
        [Service("announce", announce)],
    ]
    supervisor = Supervisor(groups, on_event=lambda event, name: log.debug("service", event=event, name=name))
    return Engine(plane, controller, git, ledger, supervisor, client)


def _services(
    options: EngineOptions,
    plane: ControlPlane,
    client: KubeClient,
    controller: ApplicationController,
    cache: ApplicationCache,
    clock: Clock,
    log: Logger,
) -> Services:
    """What the API's handlers use."""
    writer = KubeApplicationWriter(client, cache)
    return Services(
        namespace=options.namespace,
        applications=cache,
        writer=writer,
        projects=lambda: plane.projects,
        clusters=lambda: (),
        settings=lambda: plane.settings,
        rbac=RBACInForce(lambda: plane.settings, log=log),
        sessions=Sessions(settings=lambda: plane.settings, clock=clock, ids=SystemIds()),
        secrets=KubeSecretWriter(client, options.namespace, on_change=plane.take_settings_object),
        refresher=AnnotationRefresher(writer, cache),
        clock=clock,
        log=log.bind(part="api"),
        version=__version__,
        secure=not options.insecure,
        trees=EngineViews(controller),
    )


def _certificate(home: Path, settings: Settings, clock: Clock) -> tuple[Path, Path]:
    """The certificate of `argocd-secret` or, without one, our own."""
    if settings.tls_certificate and settings.tls_key:
        folder = make_private_folder(home / "tls")
        write_atomic(folder / "tls.crt", settings.tls_certificate.encode())
        write_atomic(folder / "tls.key", settings.tls_key.reveal().encode())
        return folder / "tls.crt", folder / "tls.key"
    names = ("argocd-server", "argocd-server.argocd", "argocd-server.argocd.svc")
    pki = ensure_pki(home / "pki", now=clock.now(), new_token=SystemIds().token(), extra_hosts=names)
    return pki.cert_path, pki.key_path


class _SealedRenders:
    """Renders kept beyond a restart. They may hold Secrets, so they are sealed with the key of `argocd-secret`.

    A cache only: without a key, or when the store cannot be written, there is one render more and nothing else.
    """

    def __init__(self, database: Database, plane: ControlPlane, clock: Clock, log: Logger) -> None:
        self._database = database
        self._plane = plane
        self._clock = clock
        self._log = log
        self._of: str | None = None
        self._renders: Renders | None = None

    async def get(self, key: str) -> bytes | None:
        """What was kept under a key."""
        renders = self._current()
        try:
            return await renders.get(key) if renders is not None else None
        except StoreError as error:
            self._log.warning("a kept render could not be read", problem=str(error))
            return None

    async def put(self, key: str, data: bytes) -> None:
        """Keep a render."""
        renders = self._current()
        try:
            if renders is not None:
                await renders.put(key, data)
        except StoreError as error:
            self._log.warning("a render could not be kept", problem=str(error))

    def _current(self) -> Renders | None:
        key = self._plane.settings.signing_key
        if not key:
            return None
        if self._renders is None or self._of != key.reveal():
            self._of = key.reveal()
            self._renders = Renders(self._database, clock=self._clock, seal=Seal(key, random_bytes=os.urandom))
        return self._renders


class _ListenedIndex(LiveIndex):
    """An index whose listener is set once the listener exists: index and controller need each other."""

    def __init__(self) -> None:
        self.listener: Callable[[ResourceKey, Live | None, Live | None], None] = lambda _key, _before, _after: None
        super().__init__(changed=lambda key, before, after: self.listener(key, before, after))


def _session(client: KubeClient, clock: Clock, log: Logger) -> tuple[ClusterSession, _ListenedIndex]:
    discovery = Discovery(client, clock=clock)
    index = _ListenedIndex()
    live = ClusterLive(client=client, discovery=discovery, index=index, clock=clock, log=log.bind(part="live"))
    session = ClusterSession(IN_CLUSTER_SERVER, client, discovery, index, live, ChangeSignal())
    return session, index
