"""The observer and the Git server's bodies."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from bench.api import Api, RefusedError, Watched
from bench.gitserver import read_chunks


class Server:
    """A collection of ConfigMaps whose watch tells what it is given."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Any] = asyncio.Queue()
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method == "POST":
            return web.json_response({"message": "there already"}, status=409)
        if "watch" not in request.query:
            items = [config("a", "1")]
            return web.json_response({"items": items, "metadata": {"resourceVersion": "1"}})
        response = web.StreamResponse()
        await response.prepare(request)
        while (event := await self.events.get()) is not None:
            await response.write(orjson.dumps(event) + b"\n")
        return response

    def tell(self, word: str, obj: Any) -> None:
        self.events.put_nowait({"type": word, "object": obj})


def config(name: str, version: str) -> Any:
    metadata = {"namespace": "n", "name": name, "resourceVersion": version}
    return {"metadata": metadata, "data": {"version": version}}


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    found.events.put_nowait(None)
    await runner.cleanup()


@pytest.fixture
async def api(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr("bench.api.credentials", lambda _path: (server.url, True, {}))
    async with Api(Path("unused")) as found:
        yield found


def version(obj: Any) -> str:
    return str(obj["data"]["version"])


async def test_a_state_counts_when_its_event_came_in(api: Api, server: Server) -> None:
    async with Watched(api, "/configmaps", version) as watched:
        assert watched.state == {("n", "a"): "1"}
        waiting = asyncio.ensure_future(
            watched.each([("n", "a"), ("n", "b")], lambda v: v == "2", within_s=5, what="two")
        )
        await asyncio.sleep(0)
        server.tell("MODIFIED", config("a", "2"))
        server.tell("ADDED", config("b", "2"))

        seen = await waiting

        assert seen == max(watched.at["n", "a"], watched.at["n", "b"])
        assert watched.events == 2


async def test_an_object_that_changes_back_before_the_last_is_there_is_waited_for_again(
    api: Api, server: Server
) -> None:
    async with Watched(api, "/configmaps", version) as watched:
        waiting = asyncio.ensure_future(
            watched.each([("n", "a"), ("n", "b")], lambda v: v == "2", within_s=5, what="two")
        )
        await asyncio.sleep(0)
        for word, obj in (
            ("MODIFIED", config("a", "2")),
            ("MODIFIED", config("a", "3")),
            ("ADDED", config("b", "2")),
            ("MODIFIED", config("a", "2")),
        ):
            server.tell(word, obj)

        assert await waiting == watched.at["n", "a"]


async def test_removed_objects_are_gone_once_their_event_came_in(api: Api, server: Server) -> None:
    async with Watched(api, "/configmaps", version) as watched:
        waiting = asyncio.ensure_future(watched.each([("n", "a")], None, within_s=5, what="gone"))
        await asyncio.sleep(0)
        server.tell("DELETED", config("a", "2"))

        await waiting

        assert watched.state == {}


async def test_what_is_missing_is_said(api: Api) -> None:
    async with Watched(api, "/configmaps", version) as watched:
        with pytest.raises(TimeoutError, match=r"two: 1 of 1 missing after 0.01 s, \{\('n', 'a'\): '1'\}"):
            await watched.one(("n", "a"), lambda v: v == "2", within_s=0.01, what="two")


async def test_what_is_there_already_is_left(api: Api) -> None:
    await api.create("/configmaps", {})

    with pytest.raises(RefusedError, match="409"):
        await api.call("POST", "/configmaps", {})


def test_a_body_in_chunks_is_read_whole() -> None:
    stream = io.BytesIO(b"4\r\nabcd\r\n3;x=y\r\nefg\r\n0\r\n\r\n")

    assert read_chunks(stream) == b"abcdefg"
