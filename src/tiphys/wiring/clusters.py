"""Sessions of destination clusters."""

from __future__ import annotations

from collections.abc import Callable

from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.clusters import ChangeSignal, ClusterSession
from tiphys.engine.live.cluster import ClusterLive
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.states import Live, StageError
from tiphys.kube.client import KubeClient
from tiphys.kube.discovery import Discovery
from tiphys.model.destination import IN_CLUSTER_SERVER
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger


class SingleCluster:
    """Sessions by server URL; only the engine's own cluster so far."""

    def __init__(self, session: ClusterSession) -> None:
        self._session = session

    async def __call__(self, server: str) -> ClusterSession:
        """The session of a destination. Raises StageError for a cluster that is not there."""
        if server != IN_CLUSTER_SERVER:
            raise StageError("live", "InvalidSpecError", f'cluster "{server}" not found')
        return self._session


class ListenedIndex(LiveIndex):
    """An index whose listener is set once the listener exists: index and controller need each other."""

    def __init__(self) -> None:
        self.listener: Callable[[ResourceKey, Live | None, Live | None], None] = lambda _key, _before, _after: None
        super().__init__(changed=lambda key, before, after: self.listener(key, before, after))


def open_session(client: KubeClient, clock: Clock, log: Logger) -> tuple[ClusterSession, ListenedIndex]:
    discovery = Discovery(client, clock=clock)
    index = ListenedIndex()
    live = ClusterLive(client=client, discovery=discovery, index=index, clock=clock, log=log.bind(part="live"))
    session = ClusterSession(IN_CLUSTER_SERVER, client, discovery, index, live, ChangeSignal())
    return session, index
