"""Rules of the supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from tests.support.clock import settle

from tiphys.runtime.supervisor import Lifetime, Service, ServiceError, Supervisor


def service(name: str, seen: list[str], *, deaf: bool = False) -> Service:
    async def run(life: Lifetime) -> None:
        seen.append(f"{name} up")
        life.ready()
        try:
            if deaf:
                await asyncio.Event().wait()
            await life.until_stopped()
        finally:
            seen.append(f"{name} down")

    return Service(name, run)


def failing(name: str, after: Callable[[Lifetime], Awaitable[None]]) -> Service:
    async def run(life: Lifetime) -> None:
        await after(life)
        raise RuntimeError("broken")

    return Service(name, run)


async def test_groups_start_in_order_and_stop_in_reverse() -> None:
    seen: list[str] = []
    events: list[tuple[str, str]] = []
    supervisor = Supervisor(
        [[service("store", seen)], [service("watch", seen)], [service("api", seen)]],
        on_event=lambda event, name: events.append((event, name)),
    )
    task = asyncio.get_running_loop().create_task(supervisor.run(handle_signals=False))
    await settle(60)
    supervisor.stop()
    await asyncio.wait_for(task, 2)
    assert seen == ["store up", "watch up", "api up", "api down", "watch down", "store down"]
    assert [name for event, name in events if event == "stopped"] == ["api", "watch", "store"]


async def test_a_group_waits_until_the_one_before_is_ready() -> None:
    seen: list[str] = []
    gate = asyncio.Event()

    async def slow(life: Lifetime) -> None:
        await gate.wait()
        life.ready()
        await life.until_stopped()

    supervisor = Supervisor([[Service("slow", slow)], [service("next", seen)]])
    task = asyncio.get_running_loop().create_task(supervisor.run(handle_signals=False))
    await settle(60)
    assert seen == []
    gate.set()
    await settle(60)
    assert seen == ["next up"]
    supervisor.stop()
    await asyncio.wait_for(task, 2)


async def test_the_first_failure_stops_all_and_is_carried_out() -> None:
    seen: list[str] = []

    async def soon(life: Lifetime) -> None:
        life.ready()
        await asyncio.sleep(0.01)

    supervisor = Supervisor([[service("store", seen)], [failing("controller", soon)]])
    with pytest.raises(ServiceError, match="controller: RuntimeError: broken") as caught:
        await asyncio.wait_for(supervisor.run(handle_signals=False), 2)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert seen == ["store up", "store down"]


async def test_a_failure_during_start_keeps_later_groups_from_starting() -> None:
    seen: list[str] = []

    async def at_once(life: Lifetime) -> None:
        return None

    supervisor = Supervisor([[failing("store", at_once)], [service("api", seen)]])
    with pytest.raises(ServiceError, match="store"):
        await asyncio.wait_for(supervisor.run(handle_signals=False), 2)
    assert seen == []


async def test_ending_early_is_a_failure_unless_allowed() -> None:
    async def brief(life: Lifetime) -> None:
        return None

    with pytest.raises(ServiceError, match="ended although"):
        await asyncio.wait_for(Supervisor([[Service("brief", brief)]]).run(handle_signals=False), 2)

    seen: list[str] = []
    supervisor = Supervisor([[Service("migrate", brief, may_end=True)], [service("api", seen)]])
    task = asyncio.get_running_loop().create_task(supervisor.run(handle_signals=False))
    await settle(60)
    assert seen == ["api up"]
    supervisor.stop()
    await asyncio.wait_for(task, 2)


async def test_a_service_that_is_never_ready_fails_with_its_name() -> None:
    async def mute(life: Lifetime) -> None:
        await life.until_stopped()

    with pytest.raises(ServiceError, match=r"mute: not ready after 0\.02 s"):
        await Supervisor([[Service("mute", mute)]], start_timeout_s=0.02).run(handle_signals=False)


async def test_a_service_deaf_to_stop_is_cancelled_after_the_deadline() -> None:
    seen: list[str] = []
    events: list[tuple[str, str]] = []
    supervisor = Supervisor(
        [[service("good", seen)], [service("deaf", seen, deaf=True)]],
        stop_timeout_s=0.05,
        on_event=lambda event, name: events.append((event, name)),
    )
    task = asyncio.get_running_loop().create_task(supervisor.run(handle_signals=False))
    await settle(60)
    supervisor.stop()
    await asyncio.wait_for(task, 2)
    assert seen == ["good up", "deaf up", "deaf down", "good down"]
    assert ("cancelled", "deaf") in events


async def test_a_second_stop_does_not_wait_for_the_deadline() -> None:
    seen: list[str] = []
    supervisor = Supervisor([[service("deaf", seen, deaf=True)]], stop_timeout_s=60)
    task = asyncio.get_running_loop().create_task(supervisor.run(handle_signals=False))
    await settle(60)
    supervisor.stop()
    await settle(60)
    assert not task.done()
    supervisor.stop()
    await asyncio.wait_for(task, 2)
    assert seen == ["deaf up", "deaf down"]


async def test_sigterm_stops_in_order() -> None:
    seen: list[str] = []
    supervisor = Supervisor([[service("one", seen)], [service("two", seen)]])
    task = asyncio.get_running_loop().create_task(supervisor.run())
    await settle(60)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, 2)
    assert seen == ["one up", "two up", "two down", "one down"]


async def test_cancelling_run_stops_services() -> None:
    seen: list[str] = []
    supervisor = Supervisor([[service("one", seen)]])
    task = asyncio.get_running_loop().create_task(supervisor.run(handle_signals=False))
    await settle(60)
    task.cancel()
    await asyncio.wait([task], timeout=2)
    assert (task.cancelled(), seen) == (True, ["one up", "one down"])
