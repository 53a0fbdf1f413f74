"""Virtual time for tests: it moves only when a test says so, and sleepers wake in the order they are due."""

from __future__ import annotations

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class VirtualClock:
    """A `Clock` whose time is set by `advance`. Nothing ever waits for real."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> datetime:
        """Start plus what was advanced."""
        return self._start + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        """Seconds advanced so far."""
        return self._elapsed

    @property
    def sleepers(self) -> int:
        """How many tasks wait for time to pass."""
        return sum(not future.done() for _, _, future in self._sleepers)

    async def sleep(self, seconds: float) -> None:
        """Wait until a test has advanced that far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._count += 1
        heapq.heappush(self._sleepers, (self._elapsed + seconds, self._count, future))
        await future

    async def advance(self, seconds: float, *, turns: int = 20) -> None:
        """Let `seconds` pass, waking sleepers one after the other; `turns` loop turns are given after each."""
        end = self._elapsed + seconds
        await settle(turns)
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, future = heapq.heappop(self._sleepers)
            self._elapsed = max(self._elapsed, due)
            if not future.done():
                future.set_result(None)
                await settle(turns)
        self._elapsed = end
        await settle(turns)

    async def advance_to_next(self, *, turns: int = 20) -> float:
        """Let time pass until the next sleeper is due; gives the seconds that took, 0 when nobody sleeps."""
        await settle(turns)
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        if not self._sleepers:
            return 0.0
        seconds = self._sleepers[0][0] - self._elapsed
        await self.advance(seconds, turns=turns)
        return seconds


async def settle(turns: int = 20) -> None:
    """Give every ready task its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)
