"""What is held of each destination cluster while the engine runs: client, discovery, live view, and how it is doing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.names import GroupKind, GroupVersionKind, ResourceKey
from tiphys.engine.live.cluster import ClusterLive
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.states import StageError
from tiphys.kube.client import KubeClient
from tiphys.kube.discovery import Catalogue, Discovery
from tiphys.model.cluster import Cluster, in_cluster

CONNECT_PATIENCE_S = 1.0  # an Application waits this long in its worker for a cluster that is just being connected to
DISCOVERY_DEADLINE_S = 10.0  # how long after a CRD's last change an API server may begin to serve its kind
AWAY = "ComparisonError"


class ConnectionStatus(StrEnum):
    """What the API says of a connection."""

    UNKNOWN = "Unknown"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Connection:
    """How a cluster was found at its last look."""

    status: ConnectionStatus = ConnectionStatus.UNKNOWN
    message: str = ""
    attempted_at: datetime | None = None
    version: str = ""  # `1.33`


@dataclass(slots=True)
class ClusterSession:
    """One destination cluster. `home`: the engine's own, which is there whenever anything can be written at all."""

    server: str
    client: KubeClient
    discovery: Discovery
    index: LiveIndex
    live: ClusterLive
    changes: ChangeSignal
    cluster: Cluster = field(default_factory=in_cluster)
    home: bool = False

    catalogue: Catalogue | None = None
    connection: Connection = field(default_factory=Connection)
    reached_at: datetime | None = None  # when its cluster was last found to be there after it was not
    opened_at: float = 0.0
    asked_at: float = 0.0
    defined_at: float | None = None  # when a CRD was last seen to change
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # it is known whether the cluster can be reached
    suspected: asyncio.Event = field(default_factory=asyncio.Event)  # something went wrong: look again
    ended: asyncio.Event = field(default_factory=asyncio.Event)  # not to be used any more

    async def learn(self, kinds: Iterable[GroupVersionKind]) -> None:
        """Make sure discovery has been asked about these kinds, so that `scope` can answer without waiting."""
        self.catalogue = await self.discovery.catalogue()
        missing = [gvk for gvk in kinds if self.catalogue.find(gvk.group_kind, gvk.version) is None]
        for gvk in missing:
            await self.discovery.lookup(gvk.group_kind, gvk.version)
        if missing:
            self.catalogue = await self.discovery.catalogue()

    def defined(self, now: float) -> None:
        """A CRD changed: what discovery said does not hold any more."""
        self.defined_at = now
        self.discovery.invalidate()

    def may_serve_soon(self, now: float) -> bool:
        """A CRD changed a moment ago. An API server serves the new kind some time after its last event about the CRD."""
        return self.defined_at is not None and now - self.defined_at < DISCOVERY_DEADLINE_S

    def scope(self, kind: GroupKind, version: str) -> bool | None:
        """The kind is namespaced; None when the cluster does not serve it."""
        found = self.catalogue.find(kind, version) if self.catalogue is not None else None
        return None if found is None else found.namespaced

    def unmanaged(self, kind: str, namespace: str, name: str) -> str | None:
        """Why an object cannot be managed in a cluster of which only some namespaces are; None when it can.

        Source: gitops-engine pkg/cache GetManagedLiveObjs.
        """
        namespaces = () if self.home else self.cluster.namespaces
        if not namespaces:
            return None
        if not namespace:
            if self.cluster.cluster_resources:
                return None
            return f'Cluster level {kind} "{name}" can not be managed when in namespaced mode'
        return None if namespace in namespaces else f'Namespace "{namespace}" for {kind} "{name}" is not managed'

    def namespace_is_live(self, namespace: str) -> bool:
        """The namespace exists; where Namespaces are not watched, whoever named it has to know."""
        if not self.home and self.cluster.namespaces and not self.cluster.cluster_resources:
            return True
        return self.index.get(ResourceKey("", "Namespace", "", namespace)) is not None

    async def until_settled(self, now: float) -> bool:
        """Whether it is known if the cluster can be reached; waits a moment after the session was opened, not longer."""
        if self.home or self.settled.is_set():
            return True
        try:
            async with asyncio.timeout(max(self.opened_at + CONNECT_PATIENCE_S - now, 0.0)):
                await self.settled.wait()
        except TimeoutError:
            return False
        return True

    @property
    def trouble(self) -> StageError | None:
        """Why nothing can be said of the cluster now; None when it is there. Who has it is woken when it is over."""
        if self.home or self.connection.status is not ConnectionStatus.FAILED:
            return None
        return StageError("live", AWAY, self.connection.message)

    def was_reached(self, version: str, now: datetime) -> bool:
        """The cluster answered; True when that is news."""
        news = self.connection.status is not ConnectionStatus.SUCCESSFUL
        self.connection = Connection(ConnectionStatus.SUCCESSFUL, "", now, version)
        if news:
            self.reached_at = now
        self.settled.set()
        return news

    def was_missed(self, error: Exception, now: datetime) -> bool:
        """The cluster did not answer, or not to us; True when that, or its reason, is news."""
        message = f"cluster {self.server} answered: {error.message}" if isinstance(error, ApiError) else str(error)
        before = self.connection
        self.connection = Connection(ConnectionStatus.FAILED, message, now, before.version)
        self.settled.set()
        return (before.status, before.message) != (ConnectionStatus.FAILED, message)


class ChangeSignal:
    """Wakes who waits for the live view to satisfy a condition."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()

    def changed(self) -> None:
        """The live view moved."""
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def until(self, condition: Callable[[], bool], within_s: float) -> None:
        """Wait until `condition` holds. Raises TimeoutError."""
        async with asyncio.timeout(within_s):
            while not condition():
                future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.add(future)
                await future


# Server URL -> session; raises StageError for an unknown one.
OpenCluster = Callable[[str], Awaitable[ClusterSession]]
