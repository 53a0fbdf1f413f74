"""Rules of the work queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.support.clock import VirtualClock, settle

from tiphys.runtime.backoff import Backoff
from tiphys.runtime.workqueue import After, Done, Result, Retry, WorkQueue

Handler = Callable[[str], Awaitable[Result]]


class Log:
    """What ran, and when."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.ran: list[tuple[float, str]] = []
        self.errors: list[tuple[str, str]] = []

    def note(self, key: str) -> None:
        self.ran.append((self.clock.monotonic(), key))

    def fail(self, key: str, error: Exception) -> None:
        self.errors.append((key, str(error)))


@asynccontextmanager
async def running(queue: WorkQueue[str], handler: Handler, log: Log, workers: int = 2) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(queue.run(handler, workers=workers, on_error=log.fail))
        await settle()
        yield
        queue.stop()


def make() -> tuple[VirtualClock, WorkQueue[str], Log]:
    clock = VirtualClock()
    return clock, WorkQueue(clock=clock, backoff=Backoff(initial_s=1, factor=2, max_s=5)), Log(clock)


async def test_one_key_is_never_in_two_workers_at_once() -> None:
    _, queue, log = make()
    inside = most = 0
    gate = asyncio.Event()

    async def handle(key: str) -> Result:
        nonlocal inside, most
        log.note(key)
        inside += 1
        most = max(most, inside)
        await gate.wait()
        inside -= 1
        return Done()

    async with running(queue, handle, log, workers=4):
        queue.add("a")
        await settle()
        queue.add("a")
        queue.add("a")
        await settle()
        assert (most, len(log.ran)) == (1, 1)
        gate.set()
        await queue.wait_idle()
    assert (most, len(log.ran)) == (1, 2)  # what was added meanwhile runs once more


async def test_waiting_duplicates_collapse_and_order_is_kept() -> None:
    _, queue, log = make()

    async def handle(key: str) -> Result:
        log.note(key)
        return Done()

    for key in ("a", "b", "a", "c", "b"):
        queue.add(key)
    queue.add("c", front=True)
    async with running(queue, handle, log, workers=1):
        await queue.wait_idle()
    assert [key for _, key in log.ran] == ["c", "a", "b"]


async def test_keys_run_in_parallel() -> None:
    _, queue, log = make()
    gate = asyncio.Event()

    async def handle(key: str) -> Result:
        log.note(key)
        await gate.wait()
        return Done()

    async with running(queue, handle, log, workers=2):
        for key in "abc":
            queue.add(key)
        await settle()
        assert queue.active == {"a", "b"}
        gate.set()
        await queue.wait_idle()
    assert len(log.ran) == 3


async def test_the_earliest_time_set_from_outside_stands() -> None:
    clock, queue, log = make()

    async def handle(key: str) -> Result:
        log.note(key)
        return Done()

    async with running(queue, handle, log):
        queue.add_after("a", 10)
        queue.add_after("a", 3)
        queue.add_after("a", 7)
        await clock.advance(20)
    assert log.ran == [(3, "a")]


async def test_an_answer_replaces_the_schedule_of_earlier_answers() -> None:
    clock, queue, log = make()

    async def handle(key: str) -> Result:
        log.note(key)
        return After(120)

    async with running(queue, handle, log):
        queue.add("a")
        await clock.advance(100)
        queue.add("a")
        await clock.advance(110)
        assert [when for when, _ in log.ran] == [0, 100]
        await clock.advance(15)
        assert [when for when, _ in log.ran] == [0, 100, 220]


async def test_an_answer_keeps_times_set_from_outside() -> None:
    clock, queue, log = make()

    async def handle(key: str) -> Result:
        log.note(key)
        return After(100)

    async with running(queue, handle, log):
        queue.add_after("a", 30)
        queue.add("a")
        await clock.advance(50)
    assert [when for when, _ in log.ran] == [0, 30]


async def test_failures_back_off_per_key_and_success_clears_them() -> None:
    clock, queue, log = make()
    broken = True

    async def handle(key: str) -> Result:
        log.note(key)
        if key == "bad" and broken:
            raise RuntimeError("no")
        return Done()

    async with running(queue, handle, log):
        queue.add("bad")
        queue.add("good")
        await clock.advance(13)
        assert [when for when, key in log.ran if key == "bad"] == [0, 1, 3, 7, 12]
        assert log.errors == [("bad", "no")] * 5
        assert queue.failures("bad") == 5
        broken = False
        await clock.advance(5)
        assert queue.failures("bad") == 0
        await clock.advance(100)
    assert len([key for _, key in log.ran if key == "good"]) == 1
    assert len([key for _, key in log.ran if key == "bad"]) == 6


async def test_a_known_failure_backs_off_without_being_an_error() -> None:
    clock, queue, log = make()

    async def handle(key: str) -> Result:
        log.note(key)
        return Retry()

    async with running(queue, handle, log):
        queue.add("a")
        await clock.advance(4)
        assert [when for when, _ in log.ran] == [0, 1, 3]
        queue.forget("a")
        await clock.advance(100)
    assert (len(log.ran), log.errors) == (3, [])


async def test_a_key_added_during_back_off_runs_at_once() -> None:
    clock, queue, log = make()

    async def handle(key: str) -> Result:
        log.note(key)
        return Retry()

    async with running(queue, handle, log):
        queue.add("a")
        await clock.advance(0.5)
        queue.add("a")
        await clock.advance(0)
    assert [when for when, _ in log.ran] == [0, 0.5]


async def test_stop_finishes_what_is_held_and_takes_nothing_more() -> None:
    clock, queue, log = make()
    gate = asyncio.Event()

    async def handle(key: str) -> Result:
        log.note(key)
        await gate.wait()
        log.note(key + " done")
        return After(1)

    queue.add("a")
    queue.add("b")
    task = asyncio.get_running_loop().create_task(queue.run(handle, workers=1, on_error=log.fail))
    await settle()
    queue.stop()
    queue.add("c")
    await settle()
    assert not task.done()
    gate.set()
    await asyncio.wait_for(task, 1)
    await clock.advance(10)
    assert [key for _, key in log.ran] == ["a", "a done"]


async def test_cancelling_run_cancels_the_handlers() -> None:
    _, queue, log = make()
    ended: list[str] = []

    async def handle(key: str) -> Result:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(key)
        return Done()

    task = asyncio.get_running_loop().create_task(queue.run(handle, workers=2, on_error=log.fail))
    queue.add("a")
    await settle()
    task.cancel()
    await asyncio.wait([task], timeout=1)
    assert (task.cancelled(), ended) == (True, ["a"])
