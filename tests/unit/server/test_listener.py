"""The API on a real socket: answers, streams, and stops although a stream is open."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime

import aiohttp
from tests.unit.server.asgi import application, world

from tiphys.policy.rbac import Subject
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.supervisor import Lifetime
from tiphys.server.listener import open_listener, serve
from tiphys.server.rbac import RBACInForce
from tiphys.settings.values import Settings


async def test_stopping_ends_open_streams() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    listener = open_listener("127.0.0.1", 0)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}"
    lifetime = Lifetime()
    headers = {"Authorization": f"Bearer {w.token()}"}
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        serving = group.create_task(serve(w.app, listener, lifetime))
        await lifetime.until_ready()
        async with (
            aiohttp.ClientSession(base, headers=headers) as http,
            http.get("/api/v1/stream/applications") as stream,
        ):
            assert b'"ADDED"' in await stream.content.readline()
            async with http.get("/api/v1/applications") as answer:
                assert len((await answer.json())["items"]) == 1
                said = parsedate_to_datetime(answer.headers["Date"])
                assert abs((said - SystemClock().now()).total_seconds()) < 5
            lifetime.stop()
            assert await stream.content.readline() == b""
        await serving


def test_rbac_follows_the_settings() -> None:
    held = [Settings()]
    rbac = RBACInForce(lambda: held[0])
    first = rbac()
    assert rbac() is first
    assert not first.enforce(Subject("bob"), "applications", "get", "p/a")
    held[0] = Settings(rbac_default_role="role:readonly")
    assert rbac().enforce(Subject("bob"), "applications", "get", "p/a")
    held[0] = Settings(rbac_policy="nonsense", rbac_default_role="role:readonly")
    assert rbac().enforce(Subject("bob"), "applications", "get", "p/a")
