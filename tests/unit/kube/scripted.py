"""A small HTTP server on loopback whose answers a test writes down; it remembers what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.config import ClusterConfig
from tiphys.runtime.clock import Clock

CONFIGMAPS = ApiResource("", "v1", "ConfigMap", "configmaps", True, frozenset(("list", "watch", "get")))
DEPLOYMENTS = ApiResource("apps", "v1", "Deployment", "deployments", True)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Scripted:
    """The server: `answer` is asked for every request."""

    answer: Answer
    url: str = ""
    seen: list[Seen] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.path, dict(request.query), request.headers, await request.read()))
        return await self.answer(request)


@asynccontextmanager
async def scripted(answer: Answer, *, ssl_context: Any = None) -> AsyncIterator[Scripted]:
    server = Scripted(answer)
    app = web.Application(client_max_size=1 << 28)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    port = runner.addresses[0][1]
    server.url = f"{'https' if ssl_context else 'http'}://127.0.0.1:{port}"
    try:
        yield server
    finally:
        await runner.cleanup()


@asynccontextmanager
async def cluster(
    answer: Answer, *, clock: Clock | None = None, **config: Any
) -> AsyncIterator[tuple[KubeClient, Scripted]]:
    """A scripted server and a client of it."""
    async with scripted(answer) as server:
        client = KubeClient(ClusterConfig(server=server.url, **config), user_agent="tiphys-test", clock=clock)
        try:
            yield client, server
        finally:
            await client.close()


def status(code: int, reason: str, message: str, **more: Any) -> dict[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
        **more,
    }


def failure(code: int, reason: str, message: str = "", headers: Mapping[str, str] | None = None) -> web.Response:
    return web.json_response(status(code, reason, message), status=code, headers=headers)


def config_map(name: str, version: str, **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": version},
        "data": data,
    }


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": obj}).encode() + b"\n"


def bookmark(version: str) -> bytes:
    return event("BOOKMARK", {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"resourceVersion": version}})


async def send_stream(request: web.Request, *chunks: bytes, hold: asyncio.Event | None = None) -> web.StreamResponse:
    """Send the chunks one by one, each in a packet of its own; with `hold` the stream stays open until it is set."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    for chunk in chunks:
        await response.write(chunk)
        await asyncio.sleep(0.001)
    if hold is not None:
        await hold.wait()
    return response


async def until(check: Callable[[], bool], what: str, timeout_s: float = 5.0) -> None:
    """Wait until something is so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    while not check():
        assert loop.time() < end, f"still not so: {what}"
        await asyncio.sleep(0.005)
