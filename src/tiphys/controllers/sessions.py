"""Sessions of destination clusters: opened when needed, watched over, closed when nobody needs them.

Nothing here waits for a cluster on behalf of anybody: a session is there at once, and who uses it asks it whether its
cluster can be reached. One task per session finds that out and tells when the answer changes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.apierrors import ApiError
from tiphys.controllers.clusters import AWAY, ClusterSession, Connection, ConnectionStatus
from tiphys.engine.states import StageError
from tiphys.kube.config import ClusterConfigError
from tiphys.kube.discovery import DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.annotations import REFRESH
from tiphys.model.cluster import Cluster, in_cluster
from tiphys.model.destination import IN_CLUSTER_SERVER
from tiphys.runtime.backoff import Backoff
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger

RETRY = Backoff(initial_s=0.5, factor=2.0, max_s=5.0, jitter=0.2)  # one small request to a cluster that is away
LOOK_WITHIN_S = 15.0
CONFIRM_AFTER_S = 0.5  # a cluster that was there is asked twice before it is called unreachable
BROKEN_S = 30.0  # after a failure of our own; it would most likely happen again
IDLE_S = 60.0  # a session nobody uses is kept this long; a request under way when it ends has this long to end


class ClusterSessions:
    """The session of each destination cluster, by server URL."""

    def __init__(
        self,
        home: ClusterSession,
        *,
        clusters: Callable[[], Sequence[Cluster]],
        connect: Callable[[Cluster], ClusterSession | None],
        clock: Clock,
        log: Logger = SILENT,
        idle_s: float | None = None,
    ) -> None:
        """`connect` builds a session, without talking to anybody; None when the cluster is the engine's own. It raises
        ClusterConfigError."""
        self.home = home
        self._clusters = clusters
        self._connect = connect
        self._clock = clock
        self._log = log
        self._idle_s = IDLE_S if idle_s is None else idle_s
        self._sessions: dict[str, ClusterSession] = {}
        self._unusable: dict[str, Connection] = {}
        self._broken: dict[str, tuple[float, str]] = {}  # until when not to try again, and why
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._look = asyncio.Event()
        # Told when it changes whether a cluster can be reached.
        self.connection_changed: Callable[[ClusterSession], None] = lambda _session: None
        self.in_use: Callable[[], Iterable[ClusterSession]] = lambda: ()

    async def __call__(self, server: str) -> ClusterSession:
        """The session of a destination, opened if need be. Raises StageError for a cluster that is not known or whose
        configuration cannot be used."""
        found = self._sessions.get(server)
        if found is None:
            found = self._open(server)
        found.asked_at = self._clock.monotonic()
        return found

    def open_sessions(self) -> Sequence[ClusterSession]:
        """Those that are open, one for each server, the engine's own cluster first."""
        return list({IN_CLUSTER_SERVER: self.home, **self._sessions}.values())

    def connection(self, server: str) -> tuple[Connection, ClusterSession | None]:
        """How a cluster is doing, without opening a session: Unknown when nobody uses it."""
        session = self._sessions.get(server) or (self.home if server == IN_CLUSTER_SERVER else None)
        if session is None:
            return self._unusable.get(server, Connection()), None
        return session.connection, session

    def _open(self, server: str) -> ClusterSession:
        cluster = next((c for c in self._clusters() if c.server == server), None)
        if cluster is None:
            if server != IN_CLUSTER_SERVER:
                raise StageError("live", "InvalidSpecError", f'cluster "{server}" not found')
            cluster = in_cluster()
        until, why = self._broken.get(server, (0.0, ""))
        if until > self._clock.monotonic():
            raise StageError("live", AWAY, why, retry_after_s=until - self._clock.monotonic())
        self._broken.pop(server, None)
        if self._group is None:
            raise StageError("live", AWAY, "the engine is stopping", retry_after_s=1.0)
        try:
            session = self._connect(cluster)
        except ClusterConfigError as error:
            message = f"cluster {server} cannot be used: {error}"
            self._unusable[server] = Connection(ConnectionStatus.FAILED, message, self._clock.now())
            raise StageError("live", AWAY, message) from None
        self._unusable.pop(server, None)
        if session is None:
            self.home.cluster = cluster
            session = self.home
        else:
            session.opened_at = self._clock.monotonic()
            self._start(self._serve(session), f"cluster-{server}")
            self._log.info("a destination cluster is connected to", cluster=server, name=cluster.name)
        self._sessions[server] = session
        return session

    def secrets_changed(self) -> None:
        """Cluster Secrets changed: sessions whose cluster is gone, or is described otherwise now, end."""
        now = {cluster.server: cluster for cluster in reversed(self._clusters())}
        self._unusable.clear()
        for server, session in list(self._sessions.items()):
            after = now.get(server) or (in_cluster() if server == IN_CLUSTER_SERVER else None)
            if after is None or _is_other(session.cluster, after):
                self._end(server, session)
            else:
                if after.annotations.get(REFRESH) != session.cluster.annotations.get(REFRESH):
                    session.discovery.invalidate()
                    session.suspected.set()
                session.cluster = after

    def usage_changed(self) -> None:
        """An Application went, or goes to another cluster: see later whether a session is not needed any more."""
        self._look.set()

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]]) -> None:
        """Hold the sessions until told to stop."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start(self._serve(self.home), "cluster-home")
            self._start(self._end_unused(), "clusters-unused")
            ready()
            try:
                await until_stopped()
            finally:
                self._group = None
                for task in tuple(self._tasks):
                    task.cancel()

    def _start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        assert self._group is not None
        task = self._group.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _end(self, server: str, session: ClusterSession) -> None:
        del self._sessions[server]
        if session is not self.home:
            session.ended.set()

    async def _end_unused(self) -> None:
        while True:
            await self._look.wait()
            await self._clock.sleep(self._idle_s)
            self._look.clear()
            used = {id(session) for session in self.in_use()}
            now = self._clock.monotonic()
            for server, session in list(self._sessions.items()):
                if id(session) in used or session is self.home:
                    continue
                if now - session.asked_at < self._idle_s:
                    self._look.set()
                else:
                    self._log.info("a destination cluster is not used any more", cluster=server)
                    self._end(server, session)

    async def _serve(self, session: ClusterSession) -> None:
        """A session's life: its watches and its monitor until it ends; its client a little longer."""

        async def ended() -> None:
            await session.ended.wait()

        try:
            async with asyncio.TaskGroup() as group:
                live = group.create_task(session.live.run(lambda: None, ended))
                monitor = group.create_task(self._watch_over(session))
                await session.ended.wait()
                monitor.cancel()
                await asyncio.wait([live])
            await self._clock.sleep(
                self._idle_s
            )  # who is in the middle of something ends it with the view it began with
            session.index.clear()
        except* Exception as errors:
            # What one cluster answers must not end the service of the others.
            if session is self.home:
                raise
            self._log.exception("the session of a cluster failed", errors.exceptions[0], cluster=session.server)
            self._failed(session, errors.exceptions[0])
        finally:
            if session is not self.home:
                await session.client.close()

    def _failed(self, session: ClusterSession, error: BaseException) -> None:
        """A bug met in one session: what uses it is told, and a later use opens another."""
        session.ended.set()
        if self._sessions.get(session.server) is session:
            del self._sessions[session.server]
        problem = ClusterUnreachable(session.server, f"{type(error).__name__} while following it")
        session.was_missed(problem, self._clock.now())
        self._broken[session.server] = (self._clock.monotonic() + BROKEN_S, str(problem))
        self.connection_changed(session)

    # Whether it can be reached

    async def _watch_over(self, session: ClusterSession) -> None:
        """Find out whether the cluster can be reached, again whenever something goes wrong, and until it can."""
        failures = 0
        while True:
            session.suspected.clear()
            try:
                version = await self._ask(session)
            except (ApiError, ClusterUnreachable, DiscoveryError) as error:
                failures += 1
                if failures == 1 and session.connection.status is ConnectionStatus.SUCCESSFUL:
                    await self._clock.sleep(CONFIRM_AFTER_S)
                    continue
                if session.was_missed(error, self._clock.now()):
                    self._log.warning("a cluster cannot be used", cluster=session.server, problem=str(error))
                    self.connection_changed(session)
                await self._clock.sleep(RETRY.delay_s(failures))
                continue
            failures = 0
            if session.was_reached(version, self._clock.now()):
                session.live.retry()
                self.connection_changed(session)
            await session.suspected.wait()

    async def _ask(self, session: ClusterSession) -> str:
        """The version of the cluster. Raises ApiError, ClusterUnreachable, DiscoveryError."""
        if session.connection.status is ConnectionStatus.FAILED:
            session.discovery.invalidate()  # it may have come back as another version
        try:
            async with asyncio.timeout(LOOK_WITHIN_S):
                version = await session.client.version()
                session.catalogue = await session.discovery.catalogue()
        except TimeoutError:
            raise ClusterUnreachable(session.server, f"no answer within {LOOK_WITHIN_S:g} s") from None
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            why = f"its answer cannot be understood ({type(error).__name__})"
            raise ClusterUnreachable(session.server, why) from error
        return version_of(version)


def version_of(answer: Mapping[str, Any]) -> str:
    """`1.33` of a server's /version."""
    return ".".join(str(answer[part]) for part in ("major", "minor") if answer.get(part))


def _is_other(before: Cluster, after: Cluster) -> bool:
    """What a session was made from is not what it would be made from now."""
    return (
        before.config != after.config
        or before.namespaces != after.namespaces
        or before.cluster_resources != after.cluster_resources
    )
