"""Watches of one cluster: which kinds, since when, and whether their view is complete.

Kinds are watched by need. A kind counts only after its first list is in; one that cannot be listed makes its own resources
Unknown and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.live.tree import with_children
from tiphys.kube.client import ApiResource, ClusterUnreachable, KubeClient
from tiphys.kube.discovery import Discovery
from tiphys.kube.watch import Reflector
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger

FIRST_LIST_DEADLINE_S = 60.0
_RETRY_UNSERVED_S = 10.0


@dataclass(slots=True)
class _Watch:
    """One watched kind."""

    resource: ApiResource
    listed: asyncio.Event = field(default_factory=asyncio.Event)
    problem: str = ""


class ClusterLive:
    """The live view of one cluster. `run` owns the watches; `require` says which are needed."""

    def __init__(
        self,
        *,
        client: KubeClient,
        discovery: Discovery,
        index: LiveIndex,
        clock: Clock,
        log: Logger = SILENT,
        state_changed: Callable[[], None] = lambda: None,
    ) -> None:
        """`state_changed` is told when a kind becomes complete or fails, so that who waits for it can look again."""
        self.index = index
        self._client = client
        self._discovery = discovery
        self._clock = clock
        self._log = log
        self._state_changed = state_changed
        self._watches: dict[GroupKind, _Watch] = {}
        self._group: asyncio.TaskGroup | None = None
        self._unserved_until: dict[GroupKind, float] = {}
        self._moved = asyncio.Condition()

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Any]) -> None:
        """Hold the watches until told to stop."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            ready()
            await until_stopped()
            self._group = None
            for task in tuple(self._tasks):
                task.cancel()

    _tasks: set[asyncio.Task[None]]

    async def require(self, kinds: Iterable[GroupKind]) -> Mapping[GroupKind, str]:
        """Watch these kinds and the kinds below them; returns when each has listed once.

        The answer maps the kinds whose view cannot be trusted to the reason. A kind the cluster does not serve has no
        objects, so it is no problem here.
        """
        wanted = with_children(kinds)
        new = [kind for kind in wanted if kind not in self._watches]
        if new:
            await self._start(new)
        waiting = [w for kind in wanted if (w := self._watches.get(kind)) is not None and not w.listed.is_set()]
        if waiting:
            try:
                async with asyncio.timeout(FIRST_LIST_DEADLINE_S):
                    for watch in waiting:
                        if not watch.problem:
                            await watch.listed.wait()
            except TimeoutError:
                pass  # said below, kind by kind
        problems: dict[GroupKind, str] = {}
        for kind in wanted:
            watch = self._watches.get(kind)
            if watch is not None and (watch.problem or not watch.listed.is_set()):
                problems[kind] = watch.problem or f"{kind} was not listed within {FIRST_LIST_DEADLINE_S:.0f} s"
        return problems

    def watched(self) -> Mapping[GroupKind, str]:
        """The watched kinds with the problem each has, empty when it is fine."""
        return {kind: watch.problem for kind, watch in self._watches.items()}

    async def _start(self, kinds: Iterable[GroupKind]) -> None:
        now = self._clock.monotonic()
        for kind in kinds:
            if self._unserved_until.get(kind, 0.0) > now:
                continue
            resource = await self._discovery.lookup(kind)
            if resource is None:
                self._unserved_until[kind] = now + _RETRY_UNSERVED_S
                continue
            if kind in self._watches or self._group is None:
                continue
            if not {"list", "watch"} <= resource.verbs:
                continue
            watch = _Watch(resource)
            self._watches[kind] = watch
            task = self._group.create_task(self._follow(kind, watch), name=f"watch-{kind}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _follow(self, kind: GroupKind, watch: _Watch) -> None:
        raise NotImplementedError
