"""What strangers may send to the API's socket: answered with 4xx or closed, and the server goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.server.asgi import world

from tiphys.runtime import httpserver
from tiphys.runtime.supervisor import Lifetime
from tiphys.server import http
from tiphys.server.listener import open_listener, serve

JSON = b"Content-Type: application/json\r\n"


@asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """The API on a port of its own."""
    listener = open_listener("127.0.0.1", 0)
    lifetime = Lifetime()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        group.create_task(serve(world().app, listener, lifetime))
        await lifetime.until_ready()
        try:
            yield listener.getsockname()[1]
        finally:
            lifetime.stop()


async def exchange(port: int, *parts: bytes) -> bytes:
    """All that is answered to these bytes until the server closes; empty when it closes without a word."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


def post(body: bytes, headers: bytes = JSON) -> bytes:
    """A login with this body."""
    head = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return head + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


def get(target: bytes, headers: bytes = b"") -> bytes:
    """A GET."""
    return b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + headers + b"\r\n"


HOSTILE: dict[str, tuple[bytes, int]] = {
    "no HTTP": (b"\x00\x01garbage\r\n\r\n", 400),
    "HTTP/2 without being asked": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "an unknown method": (b"FOO / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "bytes in the path": (get(b"/api/v1/\xff\xfe"), 400),
    "two lengths": (
        b"POST /api/v1/session HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        400,
    ),
    "no number as length": (b"POST /api/v1/session HTTP/1.1\r\nContent-Length: abc\r\n\r\n", 400),
    "percent-encoded bytes": (get(b"/api/v1/applications/%ff%fe"), 401),
    "a NUL": (get(b"/api/v1/applications/%00"), 401),
    "a path upwards": (get(b"/api/v1/../../etc/passwd"), 404),
    "a query of a megabyte": (get(b"/api/version?" + b"a=1&" * 250_000), 400),
    "a header of two megabytes": (get(b"/api/version", b"X-A: " + b"a" * 2_000_000 + b"\r\n"), 431),
    "two thousand headers": (get(b"/api/version", b"X-A: a\r\n" * 2000), 431),
    "a token of bytes": (get(b"/api/v1/account", b"token: \xff.\xff.\xff\r\n"), 401),
    "a cookie of many parts": (get(b"/api/v1/account", b"Cookie: argocd.token=99999999999999999999:a\r\n"), 401),
    "no content type": (post(b"{}", b""), 415),
    "a form": (post(b"{}", b"Content-Type: application/x-www-form-urlencoded\r\n"), 415),
    "JSON as a parameter of text": (post(b"{}", b"Content-Type: text/plain; application/json\r\n"), 415),
    "half of a JSON object": (post(b'{"username":'), 400),
    "a list": (post(b"[]"), 400),
    "lists in lists": (post(b"[" * 100_000), 400),
    "objects in objects": (post(b'{"a":' * 100_000), 400),
    "no UTF-8": (post(b'{"username":"\xff"}'), 400),
    "half of a surrogate pair": (post(b'{"username":"\\ud800","password":"x"}'), 400),
    "a number as name": (post(b'{"username":' + b"9" * 5000 + b"}"), 400),
    "an object as name": (post(b'{"username":{},"password":[]}'), 400),
    "a body of five megabytes": (post(b'{"username":"' + b"a" * 5_000_000 + b'"}'), 413),
}


@pytest.mark.parametrize("what", HOSTILE)
async def test_hostile_bytes_are_refused_and_the_server_goes_on(what: str) -> None:
    sent, status = HOSTILE[what]
    async with serving() as port:
        answer = await exchange(port, sent)
        assert answer.split(b" ", 2)[1:2] in ([str(status).encode()], []), answer[:200]
        assert (await exchange(port, get(b"/api/version"))).startswith(b"HTTP/1.1 200 ")


async def test_headers_that_never_end_are_not_kept() -> None:
    async with serving() as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n")
        sent = 0
        while sent < 1_000_000_000:
            writer.write(b"X-A: " + b"a" * 100_000 + b"\r\n")
            sent += 100_000
            try:
                await writer.drain()
            except ConnectionError:
                break
        writer.close()
        assert sent < 100_000_000  # what the sockets hold, and not more


async def test_a_request_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(httpserver, "HEADERS_WITHIN_S", 0.2)
    monkeypatch.setattr(http, "BODY_WITHIN_S", 0.2)
    async with serving() as port:
        assert await exchange(port) == b""
        assert await exchange(port, b"GET /api/version HT") == b""
        assert await exchange(port, b"GET /api/version HTTP/1.1\r\nHost:") == b""
        slow = b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + JSON
        answer = await exchange(port, slow + b"Content-Length: 1000000000000\r\n\r\n{")
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert (await exchange(port, get(b"/api/version"))).startswith(b"HTTP/1.1 200 ")
