"""Resumable watch: list in pages, then follow; bookmarks, 410 Gone, relist, back-off.

What a caller may rely on: `on_replace` comes first and again after every gap that could not be bridged, with everything
there is; between two of them `on_event` tells every change in order. Nothing is told twice by resuming, and nothing is
left out silently: a version that is too old leads to a new list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery.apierrors import ApiError, Gone
from tiphys.kube.client import PAGE_SIZE, ApiResource, Json, KubeClient
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.backoff import Backoff
from tiphys.runtime.clock import Clock

RETRY = Backoff(initial_s=0.8, factor=2.0, max_s=30.0, jitter=0.5)
MIN_WATCH_S = 300  # client-go's: each watch ends after 5 to 10 minutes, so that load spreads over API servers
_YIELD_EVENTS = 64  # a burst is parsed in pieces of this many events at least, with a turn for other tasks between them
_SHORT_WATCH_S = 1.0


@dataclass(frozen=True, slots=True)
class ReflectorState:
    """How a reflector is doing.

    `synced`: it has listed at least once. `failing`: why it cannot list or watch now, empty when all is well;
    `since_s` is the monotonic time of the last change of either. `lists` counts full lists.
    """

    synced: bool = False
    failing: str = ""
    since_s: float = 0.0
    lists: int = 0


class Reflector:
    """Follows one resource in one cluster (or one namespace of it)."""

    def __init__(
        self,
        client: KubeClient,
        res: ApiResource,
        *,
        clock: Clock,
        on_replace: Callable[[list[Any], str], None],
        on_event: Callable[[str, Json], None],
        on_state: Callable[[ReflectorState], None] = lambda state: None,
        shrink: Callable[[Json], Any] = lambda obj: obj,
        fraction: Callable[[], float] = lambda: 0.5,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        page_size: int = PAGE_SIZE,
        backoff: Backoff = RETRY,
    ) -> None:
        """Callbacks are plain functions and must be quick.

        `on_replace` gets what `shrink` made of each listed object, and the list's version; pages are shrunk as they
        come, so a list is never in memory whole and raw. `on_event` gets ADDED, MODIFIED or DELETED with the object as
        it came.
        """
        self.res = res
        self.namespace = namespace
        self.state = ReflectorState()
        self._client = client
        self._clock = clock
        self._on_replace = on_replace
        self._on_event = on_event
        self._on_state = on_state
        self._shrink = shrink
        self._fraction = fraction
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._page_size = page_size
        self._backoff = backoff
        self._resource_version = ""
        self._synced = asyncio.Event()
        self._retry = asyncio.Event()
        self._failures = 0
        self._expired_lists = 0
        self._expired = 0

    @property
    def resource_version(self) -> str:
        """The version everything told so far is from."""
        return self._resource_version

    async def wait_synced(self) -> None:
        """Return once everything has been listed."""
        await self._synced.wait()

    def retry_now(self) -> None:
        """Whatever it failed for may be over: end the wait after an error."""
        self._retry.set()

    async def run(self) -> None:
        """List and follow until cancelled. Trouble with the server is a state and a retry, never an exception."""
        while True:
            try:
                if not self._resource_version:
                    await self._list()
                await self._follow()
            except Gone:
                self._resource_version = ""
                self._expired += 1
                if self._expired > 1:  # what was just listed is too old again: do not spin
                    await self._clock.sleep(self._backoff.delay_s(self._expired - 1, self._fraction()))
            except (ApiError, ClusterUnreachable) as error:
                await self._wait(error)

    async def _list(self) -> None:
        # A page token that expired once may do so again: the second attempt takes everything in one answer.
        limit = self._page_size if not self._expired_lists else 0
        found: list[Any] = []
        version = ""
        pages = self._client.list_pages(
            self.res,
            self.namespace,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            limit=limit,
        )
        shrink = self._shrink
        try:
            async for page in pages:
                version = page.resource_version
                for start in range(0, len(page.items), PAGE_SIZE):
                    found += [shrink(obj) for obj in page.items[start : start + PAGE_SIZE]]
                    await asyncio.sleep(0)
        except Gone:
            self._expired_lists += 1
            raise
        self._expired_lists = 0
        self._resource_version = version
        self._on_replace(found, version)
        self._synced.set()
        self._say(ReflectorState(True, "", self._clock.monotonic(), self.state.lists + 1))

    async def _follow(self) -> None:
        """One watch after the other, from the version that was told last."""
        while True:
            started = self._clock.monotonic()
            heard = False
            try:
                heard = await self._follow_once()
            finally:
                if heard or self._clock.monotonic() - started > self._backoff.max_s:
                    self._failures = 0  # it worked for a while: whatever ended it is a new trouble
            if not heard and self._clock.monotonic() - started < _SHORT_WATCH_S:
                # The server ends watches as soon as they start; asking again at once would be a storm.
                self._failures += 1
                await self._clock.sleep(self._backoff.delay_s(self._failures, self._fraction()))

    async def _follow_once(self) -> bool:
        """One watch to its end; True when it brought anything."""
        heard = False
        pending = 0
        batches = self._client.watch_batches(
            self.res,
            self.namespace,
            resource_version=self._resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_s=int(MIN_WATCH_S * (1.0 + self._fraction())),
        )
        on_event = self._on_event
        async with aclosing(batches):
            async for batch in batches:
                if self.state.failing:
                    self._say(ReflectorState(self.state.synced, "", self._clock.monotonic(), self.state.lists))
                for kind, obj in batch:
                    version = obj["metadata"].get("resourceVersion", "")
                    if kind != "BOOKMARK":
                        on_event(kind, obj)
                    if version:
                        self._resource_version = version
                if batch:
                    heard = True
                    self._failures = self._expired = 0
                    pending += len(batch)
                    if pending >= _YIELD_EVENTS:
                        pending = 0
                        await asyncio.sleep(0)
        return heard

    async def _wait(self, error: ApiError | ClusterUnreachable) -> None:
        self._failures += 1
        why = f"{error.reason}: {error.message}" if isinstance(error, ApiError) and error.reason else str(error)
        if why != self.state.failing:
            self._say(ReflectorState(self.state.synced, why, self._clock.monotonic(), self.state.lists))
        delay = self._backoff.delay_s(self._failures, self._fraction())
        if isinstance(error, ApiError) and error.retry_after_s:
            delay = max(delay, error.retry_after_s)
        async with asyncio.TaskGroup() as group:
            time = group.create_task(self._clock.sleep(delay))
            told = group.create_task(self._retry.wait())
            await asyncio.wait((time, told), return_when=asyncio.FIRST_COMPLETED)
            time.cancel()
            told.cancel()
        self._retry.clear()

    def _say(self, state: ReflectorState) -> None:
        self.state = state
        self._on_state(state)
