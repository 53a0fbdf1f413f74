"""Rules of the reflector, against a server on loopback and in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.support.clock import VirtualClock
from tests.unit.kube.scripted import (
    CONFIGMAPS,
    Scripted,
    bookmark,
    cluster,
    config_map,
    event,
    failure,
    send_stream,
    status,
    until,
)

from tiphys.kube.watch import Reflector, ReflectorState

Step = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Copy:
    """What a reflector told: a copy of the server's objects, and the story of it."""

    def __init__(self) -> None:
        self.objects: dict[str, str] = {}
        self.story: list[str] = []
        self.states: list[ReflectorState] = []

    def replace(self, found: list[Any], version: str) -> None:
        self.objects = dict(found)
        self.story.append(f"list@{version}")

    def event(self, kind: str, obj: dict[str, Any]) -> None:
        name, version = pair(obj)
        self.story.append(f"{kind} {name}@{version}")
        if kind == "DELETED":
            self.objects.pop(name)
        else:
            self.objects[name] = version


def pair(obj: dict[str, Any]) -> tuple[str, str]:
    return obj["metadata"]["name"], obj["metadata"]["resourceVersion"]


def listing(version: str, *objects: dict[str, Any], token: str = "") -> Step:
    async def answer(request: web.Request) -> web.StreamResponse:
        metadata = {"resourceVersion": version, **({"continue": token} if token else {})}
        return web.json_response({"kind": "ConfigMapList", "metadata": metadata, "items": list(objects)})

    return answer


def stream(*chunks: bytes, hold: asyncio.Event | None = None) -> Step:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await send_stream(request, *chunks, hold=hold)

    return answer


def fail(code: int, reason: str, message: str = "no") -> Step:
    async def answer(request: web.Request) -> web.StreamResponse:
        return failure(code, reason, message)

    return answer


async def abort(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def reflecting(*steps: Step, **options: Any) -> AsyncIterator[tuple[Copy, Scripted, Reflector, VirtualClock]]:
    """A reflector on a server that answers with these steps in turn and then keeps watches open for ever."""
    left = list(steps)
    end = asyncio.Event()
    clock = VirtualClock()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await (left.pop(0) if left else stream(hold=end))(request)

    copy = Copy()
    async with cluster(answer) as (client, server):
        reflector = Reflector(
            client,
            CONFIGMAPS,
            clock=clock,
            on_replace=copy.replace,
            on_event=copy.event,
            on_state=copy.states.append,
            shrink=pair,
            **options,
        )
        task = asyncio.get_running_loop().create_task(reflector.run())
        try:
            yield copy, server, reflector, clock
        finally:
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=1)
            assert done, "a reflector must stop at once"
            end.set()


def watches(server: Scripted) -> list[str]:
    return [seen.query["resourceVersion"] for seen in server.seen if "watch" in seen.query]


def lists(server: Scripted) -> list[dict[str, str]]:
    return [seen.query for seen in server.seen if "watch" not in seen.query]


async def test_it_lists_then_follows_from_the_lists_version() -> None:
    steps = (
        listing("5", config_map("a", "3"), token="t"),
        listing("5", config_map("b", "4")),
        stream(event("ADDED", config_map("c", "6")) + event("DELETED", config_map("a", "7"))),
    )
    async with reflecting(*steps, page_size=1) as (copy, server, reflector, _):
        await reflector.wait_synced()
        await until(lambda: len(server.seen) == 4, "the watch is resumed")
        assert copy.story == ["list@5", "ADDED c@6", "DELETED a@7"]
        assert copy.objects == {"b": "4", "c": "6"}
        assert watches(server) == ["5", "7"]
        assert (reflector.state.synced, reflector.state.failing, reflector.state.lists) == (True, "", 1)


async def test_it_resumes_from_a_bookmark_without_a_list() -> None:
    steps = (listing("5"), stream(bookmark("90")), stream(event("ADDED", config_map("a", "95"))))
    async with reflecting(*steps) as (copy, server, _r, _):
        await until(lambda: len(watches(server)) == 3, "three watches")
        assert watches(server) == ["5", "90", "95"]
        assert copy.story == ["list@5", "ADDED a@95"]


async def test_a_broken_watch_is_resumed_where_it_was() -> None:
    steps = (listing("5"), stream(event("ADDED", config_map("a", "6"))), abort, abort)
    async with reflecting(*steps) as (copy, server, reflector, clock):
        await until(lambda: bool(reflector.state.failing), "the trouble is told")
        assert reflector.state.synced
        await clock.advance(5)
        await until(lambda: not reflector.state.failing, "it works again")
        # A connection taken from the pool may have been closed meanwhile, so aiohttp sends the first again by itself.
        assert watches(server) == ["5", "6", "6", "6"]
        assert copy.story == ["list@5", "ADDED a@6"]


async def test_too_old_a_version_leads_to_a_new_list() -> None:
    error = event("ERROR", status(410, "Expired", "too old resource version"))
    steps = (
        listing("5", config_map("a", "3")),
        stream(event("ADDED", config_map("b", "6")), error),
        listing("50", config_map("b", "6")),
    )
    async with reflecting(*steps) as (copy, server, reflector, _):
        await until(lambda: len(watches(server)) == 2, "it follows again")
        assert copy.story == ["list@5", "ADDED b@6", "list@50"]
        assert copy.objects == {"b": "6"}
        assert (watches(server), reflector.state.lists) == (["5", "50"], 2)


async def test_a_server_that_always_says_too_old_is_not_stormed() -> None:
    gone = fail(410, "Expired")
    async with reflecting(listing("5"), gone, listing("6"), gone, listing("7"), gone) as (_, server, _r, clock):
        await until(lambda: clock.sleepers == 1, "it waits")
        assert len(lists(server)) == 2
        await clock.advance(0.8)
        await until(lambda: len(lists(server)) == 3, "it tries again")


async def test_a_page_token_that_expired_leads_to_one_whole_list() -> None:
    steps = (
        listing("5", config_map("a", "3"), token="t"),
        fail(410, "Expired"),
        listing("9", config_map("a", "3"), config_map("b", "8")),
    )
    async with reflecting(*steps, page_size=1) as (copy, server, reflector, _):
        await reflector.wait_synced()
        assert copy.objects == {"a": "3", "b": "8"}
        assert [query.get("limit") for query in lists(server)] == ["1", "1", None]


async def test_a_refused_list_is_a_state_and_is_tried_again_later_and_later() -> None:
    refused = fail(403, "Forbidden", "configmaps is forbidden")
    async with reflecting(refused, refused, refused, listing("5")) as (copy, server, reflector, clock):
        waits = []
        for count in (1, 2, 3):
            await until(lambda count=count: len(server.seen) == count and clock.sleepers == 1, "refused")  # type: ignore[misc]
            assert (reflector.state.synced, reflector.state.failing) == (False, "Forbidden: configmaps is forbidden")
            waits.append(await clock.advance_to_next())
        await asyncio.wait_for(reflector.wait_synced(), 2)
        assert waits == pytest.approx([0.8, 1.6, 3.2])
        assert [(state.synced, state.failing) for state in copy.states] == [
            (False, "Forbidden: configmaps is forbidden"),
            (True, ""),
        ]


async def test_a_wait_after_an_error_ends_when_it_is_told_to_try_again() -> None:
    refused = fail(403, "Forbidden")
    async with reflecting(refused, refused, listing("5")) as (_copy, server, reflector, clock):
        await until(lambda: len(server.seen) == 1 and clock.sleepers == 1, "refused")
        reflector.retry_now()
        await until(lambda: len(server.seen) == 2, "it tries again at once")
        await until(lambda: clock.sleepers == 1, "and waits again")
        assert not reflector.state.synced
        assert await clock.advance_to_next() == pytest.approx(1.6)
        await asyncio.wait_for(reflector.wait_synced(), 2)


async def test_watches_that_end_at_once_are_not_asked_for_without_a_pause() -> None:
    async with reflecting(listing("5"), stream(), stream()) as (_, server, _r, clock):
        await until(lambda: len(watches(server)) == 1 and clock.sleepers == 1, "it waits after the first")
        assert await clock.advance_to_next() == pytest.approx(0.8)
        await until(lambda: len(watches(server)) == 2 and clock.sleepers == 1, "it waits after the second")
        assert await clock.advance_to_next() == pytest.approx(1.6)


async def test_a_burst_lets_other_tasks_run() -> None:
    burst = b"".join(event("ADDED", config_map(f"m{n}", str(n))) for n in range(10, 3010))
    async with reflecting(listing("5"), stream(burst)) as (copy, _s, _r, _c):
        turns = 0
        while len(copy.objects) < 3000:
            await asyncio.sleep(0)
            turns += bool(copy.objects)
        assert turns > 1
        assert copy.objects["m3009"] == "3009"
