"""Deduplicating, rate-limited queue: one key is never in two workers at once.

The queue holds names, never events or objects: whoever works on a key reads the world as it then is, so ten events for
one key cost one run. A key added while it is being worked on runs once more afterwards.

A handler's answer replaces the schedule its own earlier answers made (an `After(120)` given at 0 s and another given
at 100 s wake the key once, at 220 s); times set from outside with `add_after` are kept beside it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from tiphys.runtime.backoff import Backoff
from tiphys.runtime.clock import Clock

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing more to do until the key is added again. Clears the key's failures."""


@dataclass(frozen=True, slots=True)
class After:
    """Run the key again after `seconds`, unless it is added sooner. Clears the key's failures."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Retry:
    """It failed in a known way: run the key again after its back-off, which grows with each failure in a row."""


Result = Done | After | Retry

DEFAULT_BACKOFF = Backoff(initial_s=0.2, factor=2.0, max_s=180.0, jitter=0.1)


class WorkQueue(Generic[K]):
    """Keys waiting to be worked on. Nothing happens until `run`."""

    def __init__(
        self,
        *,
        clock: Clock,
        backoff: Backoff = DEFAULT_BACKOFF,
        fraction: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """`fraction` gives numbers in [0, 1) for the back-off's jitter."""
        self._clock = clock
        self._backoff = backoff
        self._fraction = fraction
        self._ready: deque[K] = deque()
        self._queued: set[K] = set()
        self._active: set[K] = set()
        self._again: dict[K, bool] = {}  # added while active -> goes to the front
        self._failures: dict[K, int] = {}
        self._timers: list[tuple[float, int, bool, K]] = []
        self._due: dict[tuple[bool, K], float] = {}  # (set by the handler?, key) -> when
        self._sequence = 0
        self._takers: deque[asyncio.Future[None]] = deque()
        self._timer_changed = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._stopping = False

    def __len__(self) -> int:
        """Keys ready to run now; neither those at work nor those waiting for their time."""
        return len(self._ready)

    @property
    def active(self) -> frozenset[K]:
        """Keys being worked on now."""
        return frozenset(self._active)

    def failures(self, key: K) -> int:
        """Failures of the key in a row."""
        return self._failures.get(key, 0)

    def add(self, key: K, *, front: bool = False) -> None:
        """Run the key as soon as a worker is free; `front` lets it pass the others (someone waits for it)."""
        if self._stopping:
            return
        if key in self._active:
            self._again[key] = front or self._again.get(key, False)
            return
        if key in self._queued:
            if front and self._ready[0] != key:
                self._ready.remove(key)
                self._ready.appendleft(key)
            return
        self._queued.add(key)
        self._idle.clear()
        if front:
            self._ready.appendleft(key)
        else:
            self._ready.append(key)
        self._wake_taker()

    def add_after(self, key: K, seconds: float) -> None:
        """Run the key after `seconds`; of several such times the earliest stands."""
        if seconds <= 0:
            self.add(key)
            return
        due = self._clock.monotonic() + seconds
        if due < self._due.get((False, key), float("inf")):
            self._schedule(key, due, own=False)

    def forget(self, key: K) -> None:
        """Drop the key's failures and every time set for it; what is ready or at work is left alone."""
        self._failures.pop(key, None)
        self._due.pop((True, key), None)
        self._due.pop((False, key), None)

    async def wait_idle(self) -> None:
        """Return once nothing is ready and nothing is at work; keys waiting for their time do not count."""
        await self._idle.wait()

    def stop(self) -> None:
        """Take no more keys; `run` returns when the workers have finished what they hold."""
        self._stopping = True
        self._ready.clear()
        self._queued.clear()
        self._again.clear()
        self._due.clear()
        self._timers.clear()
        for taker in self._takers:
            if not taker.done():
                taker.set_result(None)
        self._takers.clear()
        self._timer_changed.set()
        self._check_idle()

    async def run(
        self,
        handler: Callable[[K], Awaitable[Result]],
        *,
        workers: int,
        on_error: Callable[[K, Exception], None],
    ) -> None:
        """Work on keys with `workers` tasks until `stop`.

        An exception of the handler is given to `on_error` and counts as `Retry`; it never ends a worker. Cancelling
        this cancels the handlers.
        """
        async with asyncio.TaskGroup() as group:
            timer = group.create_task(self._run_timers(), name="workqueue-timer")
            tasks = [group.create_task(self._work(handler, on_error), name=f"worker-{n}") for n in range(workers)]
            await asyncio.wait(tasks)
            timer.cancel()

    async def _work(self, handler: Callable[[K], Awaitable[Result]], on_error: Callable[[K, Exception], None]) -> None:
        while (key := await self._take()) is not None:
            result: Result = Retry()
            try:
                result = await handler(key.value)
            except Exception as error:
                on_error(key.value, error)
            finally:
                self._finish(key.value, result)

    async def _take(self) -> _Taken[K] | None:
        while True:
            if self._stopping:
                return None
            if self._ready:
                key = self._ready.popleft()
                self._queued.discard(key)
                self._active.add(key)
                return _Taken(key)
            taker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._takers.append(taker)
            await taker

    def _finish(self, key: K, result: Result) -> None:
        self._active.discard(key)
        if self._stopping:
            self._check_idle()
            return
        self._due.pop((True, key), None)
        match result:
            case Done():
                self._failures.pop(key, None)
            case After(seconds):
                self._failures.pop(key, None)
                if seconds <= 0:
                    self._again.setdefault(key, False)
                else:
                    self._schedule(key, self._clock.monotonic() + seconds, own=True)
            case Retry():
                failures = self._failures[key] = self._failures.get(key, 0) + 1
                delay = self._backoff.delay_s(failures, self._fraction())
                self._schedule(key, self._clock.monotonic() + delay, own=True)
        front = self._again.pop(key, None)
        if front is not None:
            self.add(key, front=front)
        self._check_idle()

    def _schedule(self, key: K, due: float, *, own: bool) -> None:
        if self._stopping:
            return
        self._due[own, key] = due
        self._sequence += 1
        heapq.heappush(self._timers, (due, self._sequence, own, key))
        if self._timers[0][1] == self._sequence:
            self._timer_changed.set()

    async def _run_timers(self) -> None:
        """Add keys whose time has come. One task for all keys: a heap, and a sleep until its head is due."""
        while not self._stopping:
            self._timer_changed.clear()
            now = self._clock.monotonic()
            while self._timers:
                due, _, own, key = self._timers[0]
                if self._due.get((own, key)) != due:  # replaced or forgotten since
                    heapq.heappop(self._timers)
                    continue
                if due > now:
                    break
                heapq.heappop(self._timers)
                del self._due[own, key]
                self.add(key)
            await self._wait_timer(self._timers[0][0] - now if self._timers else None)

    async def _wait_timer(self, seconds: float | None) -> None:
        if seconds is None:
            await self._timer_changed.wait()
            return
        async with asyncio.TaskGroup() as group:
            sleep = group.create_task(self._clock.sleep(seconds))
            changed = group.create_task(self._timer_changed.wait())
            await asyncio.wait((sleep, changed), return_when=asyncio.FIRST_COMPLETED)
            sleep.cancel()
            changed.cancel()

    def _wake_taker(self) -> None:
        while self._takers:
            taker = self._takers.popleft()
            if not taker.done():
                taker.set_result(None)
                return

    def _check_idle(self) -> None:
        if not self._ready and not self._active:
            self._idle.set()


@dataclass(frozen=True, slots=True)
class _Taken(Generic[K]):
    """A key in a box, so that a key that is falsy or None is told apart from the end."""

    value: K
