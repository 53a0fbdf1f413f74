"""Watches of one cluster: which kinds, since when, and whether their view is complete.

Kinds are watched by need. A kind counts only after its first list is in; one that cannot be listed makes its own resources
Unknown and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.names import GroupKind, ResourceKey
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.live.tree import with_children
from tiphys.engine.states import Live
from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.discovery import Catalogue, Discovery, DiscoveryError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.kube.watch import Reflector, ReflectorState
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger

FIRST_LIST_DEADLINE_S = 60.0
_RETRY_UNSERVED_S = 10.0


@dataclass(slots=True)
class _Watch:
    """One watched kind."""

    resource: ApiResource
    told: asyncio.Event = field(default_factory=asyncio.Event)  # listed once, or failed for the first time
    lost: asyncio.Event = field(default_factory=asyncio.Event)  # the server says that there is no such kind
    listed: bool = False
    problem: str = ""
    reflectors: tuple[Reflector, ...] = ()  # one, or one for each namespace

    @property
    def failing(self) -> str:
        """Why a part of it cannot be listed or watched now."""
        return next((r.state.failing for r in self.reflectors if r.state.failing), "")


@dataclass(frozen=True, slots=True)
class _Unserved:
    """A kind that discovery did not know. The answer holds for a while, unless the server is asked anew before."""

    catalogue: Catalogue
    until: float
    problem: str = ""  # why it is not even known whether the kind exists


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
        namespaces: Sequence[str] = (),
        cluster_resources: bool = False,
    ) -> None:
        """With `namespaces` only these are watched, and cluster-scoped kinds only with `cluster_resources`.

        `state_changed` is told when a kind becomes complete or fails, so that who waits for it can look again."""
        self.index = index
        self._client = client
        self._discovery = discovery
        self._clock = clock
        self._log = log
        self.state_changed = state_changed
        self._namespaces = tuple(namespaces)
        self._cluster_resources = cluster_resources
        self._watches: dict[GroupKind, _Watch] = {}
        self._group: asyncio.TaskGroup | None = None
        self._unserved: dict[GroupKind, _Unserved] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]]) -> None:
        """Hold the watches until told to stop."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            ready()
            await until_stopped()
            self._group = None
            for task in tuple(self._tasks):
                task.cancel()

    async def require(self, kinds: Iterable[GroupKind]) -> Mapping[GroupKind, str]:
        """Watch these kinds and the kinds below them; returns when each has listed once.

        The answer maps the kinds whose view cannot be trusted to the reason. A kind the cluster does not serve has no
        objects, so it is no problem here.
        """
        wanted = with_children(kinds)
        new = [kind for kind in wanted if kind not in self._watches]
        if new:
            await self._start(new)
        waiting = [w for kind in wanted if (w := self._watches.get(kind)) is not None and not w.told.is_set()]
        if waiting:
            try:
                async with asyncio.timeout(FIRST_LIST_DEADLINE_S):
                    for watch in waiting:
                        await watch.told.wait()
            except TimeoutError:
                pass  # said below, kind by kind
        problems: dict[GroupKind, str] = {}
        for kind in wanted:
            found = self._watches.get(kind)
            absent = self._unserved.get(kind)
            if found is None and absent is not None and absent.problem:
                problems[kind] = absent.problem
            if found is not None and not found.listed:
                why = found.problem or f"not listed within {FIRST_LIST_DEADLINE_S:.0f} s"
                problems[kind] = f"{kind} cannot be listed: {why}"
        return problems

    def watched(self) -> Mapping[GroupKind, str]:
        """The watched kinds with the problem each has, empty when it is fine."""
        return {kind: watch.problem for kind, watch in self._watches.items()}

    def retry(self) -> None:
        """The cluster can be reached again: watches that wait after an error do not wait any longer."""
        for watch in self._watches.values():
            for reflector in watch.reflectors:
                if reflector.state.failing:
                    reflector.retry_now()

    async def _start(self, kinds: Iterable[GroupKind]) -> None:
        now = self._clock.monotonic()
        for kind in kinds:
            absent = self._unserved.get(kind)
            if absent is not None and absent.until > now and absent.catalogue is await self._discovery.catalogue():
                continue
            resource, problem = None, ""
            try:
                resource = await self._discovery.lookup(kind)
            except DiscoveryError as error:
                problem = str(error)
            if resource is None:
                self._unserved[kind] = _Unserved(await self._discovery.catalogue(), now + _RETRY_UNSERVED_S, problem)
                continue
            self._unserved.pop(kind, None)
            if kind in self._watches or self._group is None:
                continue
            if not {"list", "watch"} <= resource.verbs:
                continue
            if self._namespaces and not resource.namespaced and not self._cluster_resources:
                continue
            watch = _Watch(resource)
            self._watches[kind] = watch
            task = self._group.create_task(self._follow(kind, watch), name=f"watch-{kind}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _follow(self, kind: GroupKind, watch: _Watch) -> None:
        def replace(rows: list[Live], version: str, *, namespace: str) -> None:
            self.index.replace(kind, rows, version, namespace=namespace)

        def event(word: str, obj: dict[str, Any]) -> None:
            if word == "DELETED":
                metadata = obj.get("metadata") or {}
                key = ResourceKey(
                    kind.group, kind.kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or "")
                )
                self.index.remove(key, str(metadata.get("resourceVersion") or ""))
            else:
                self.index.upsert(obj)

        def state(now: ReflectorState) -> None:
            before = (watch.listed, watch.problem)
            watch.listed, watch.problem = all(r.state.synced for r in watch.reflectors), watch.failing
            if watch.problem and watch.problem != before[1]:
                self._log.warning("a kind cannot be watched", kind=str(kind), problem=watch.problem)
            if watch.listed or watch.problem:
                watch.told.set()
            if now.failing.startswith("NotFound"):
                watch.lost.set()
            if before != (watch.listed, watch.problem):
                self.state_changed()

        namespaces = self._namespaces if self._namespaces and watch.resource.namespaced else ("",)
        watch.reflectors = tuple(
            Reflector(
                self._client,
                watch.resource,
                clock=self._clock,
                on_replace=partial(replace, namespace=namespace),
                on_event=event,
                on_state=state,
                shrink=self.index.row,
                namespace=namespace,
            )
            for namespace in namespaces
        )
        async with asyncio.TaskGroup() as group:
            following = [group.create_task(reflector.run()) for reflector in watch.reflectors]
            while not await self._is_served_no_more(watch):
                pass
            for task in following:
                task.cancel()
        # Its definition was deleted: it has no objects, and may be served again, or in another version, some day.
        self._watches.pop(kind, None)
        self.index.replace(kind, ())
        self._log.info("a kind is not served any more", kind=str(kind))
        self.state_changed()

    async def _is_served_no_more(self, watch: _Watch) -> bool:
        """Discovery confirms that the watched kind is gone; asked only after a watch or list was answered "not found"."""
        await watch.lost.wait()
        try:
            catalogue = await self._discovery.refresh()
        except (ApiError, ClusterUnreachable):
            catalogue = None
        resource = watch.resource
        kind = GroupKind(resource.group, resource.kind)
        if (
            catalogue is not None
            and catalogue.find(kind, resource.version) is None
            and catalogue.failure(resource.group, resource.version) is None
        ):
            return True
        await self._clock.sleep(_RETRY_UNSERVED_S)
        if not watch.failing.startswith("NotFound"):
            watch.lost.clear()
        return False
