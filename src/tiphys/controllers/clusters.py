"""What is held of each destination cluster while the engine runs: client, discovery, live view."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from tiphys.apimachinery.names import GroupKind, GroupVersionKind
from tiphys.engine.live.cluster import ClusterLive
from tiphys.engine.live.index import LiveIndex
from tiphys.kube.client import KubeClient
from tiphys.kube.discovery import Catalogue, Discovery


@dataclass(slots=True)
class ClusterSession:
    """One destination cluster."""

    server: str
    client: KubeClient
    discovery: Discovery
    index: LiveIndex
    live: ClusterLive
    changes: ChangeSignal

    catalogue: Catalogue | None = None

    async def learn(self, kinds: Iterable[GroupVersionKind]) -> None:
        """Make sure discovery has been asked about these kinds, so that `scope` can answer without waiting."""
        self.catalogue = await self.discovery.catalogue()
        missing = [gvk for gvk in kinds if self.catalogue.find(gvk.group_kind, gvk.version) is None]
        for gvk in missing:
            await self.discovery.lookup(gvk.group_kind, gvk.version)
        if missing:
            self.catalogue = await self.discovery.catalogue()

    def scope(self, kind: GroupKind, version: str) -> bool | None:
        """The kind is namespaced; None when the cluster does not serve it."""
        found = self.catalogue.find(kind, version) if self.catalogue is not None else None
        return None if found is None else found.namespaced


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


OpenCluster = Callable[[str], Awaitable[ClusterSession]]  # server URL -> session; raises StageError for an unknown one
