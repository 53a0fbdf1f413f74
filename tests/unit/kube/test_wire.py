"""HTTP as it is on the wire: what a connection is used for again, and what is made of answers that are cut or strange."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientConnectorError, ClientPayloadError, ServerDisconnectedError

from tiphys.kube.wire import Wire

Talk = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers each request head with what `talk` writes; counts connections."""

    def __init__(self, talk: Talk) -> None:
        self.talk = talk
        self.connections = 0
        self.heads: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self.talk(head, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def talking(talk: Talk, **options: int) -> AsyncIterator[tuple[Wire, Server]]:
    server = Server(talk)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{server.port}/prefix/"
    wire = Wire(url, tls=None, user_agent="test", limit=options.get("limit", 4), compress=True)
    try:
        yield wire, server
    finally:
        await wire.close()
        listening.close()
        await listening.wait_closed()


def says(*parts: bytes, close: bool = False) -> Talk:
    async def talk(_head: bytes, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        if close:
            writer.close()

    return talk


async def get(wire: Wire, target: str = "/x", timeout_s: float = 5.0, **headers: str) -> tuple[int, bytes]:
    status, _, body = await wire.request("GET", target, list(headers.items()), None, timeout_s)
    return status, body


async def test_a_connection_is_used_again() -> None:
    async with talking(says(OK)) as (wire, server):
        for _ in range(3):
            assert await get(wire) == (200, b"ok")
        assert server.connections == 1
        assert server.heads[0].startswith(b"GET /prefix/x HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_no_more_connections_than_the_limit() -> None:
    async def talk(_head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.01)
        writer.write(OK)

    async with talking(talk, limit=2) as (wire, server):
        answers = await asyncio.gather(*(get(wire) for _ in range(8)))
        assert answers == [(200, b"ok")] * 8
        assert server.connections == 2


async def test_a_connection_the_server_wants_closed_is_not_used_again() -> None:
    async with talking(says(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")) as (wire, server):
        await get(wire)
        await get(wire)
        assert server.connections == 2


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async with talking(says(b"HTTP/1.1 200 OK\r\n\r\nhal", b"f", close=True)) as (wire, _):
        assert await get(wire) == (200, b"half")


async def test_chunks_are_put_together() -> None:
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"3\r\nabc\r\n2\r\n", b"de\r\n0\r\n\r\n"
    async with talking(says(*chunks)) as (wire, server):
        assert await get(wire) == (200, b"abcde")
        assert await get(wire) == (200, b"abcde")
        assert server.connections == 1


async def test_gzip_is_unpacked() -> None:
    body = gzip.compress(b"packed")
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with talking(says(head + body)) as (wire, _):
        assert await get(wire) == (200, b"packed")


async def test_an_answer_that_announces_another_is_passed_over() -> None:
    async with talking(says(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", OK)) as (wire, _):
        assert await get(wire) == (200, b"ok")


async def test_an_answer_that_is_cut_is_an_error() -> None:
    async with talking(says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhal", close=True)) as (wire, _):
        with pytest.raises(ClientPayloadError):
            await get(wire)


async def test_a_connection_that_ends_before_the_answer_is_an_error() -> None:
    async with talking(says(close=True)) as (wire, _):
        with pytest.raises(ServerDisconnectedError):
            await get(wire)


async def test_what_is_no_http_is_an_error() -> None:
    async with talking(says(b"SSH-2.0-OpenSSH\r\n")) as (wire, _):
        with pytest.raises(ClientPayloadError):
            await get(wire)


async def test_bytes_nobody_asked_for_are_no_answer_to_the_next_request() -> None:
    async with talking(says(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")) as (wire, _):
        assert await get(wire) == (200, b"ok")
        await asyncio.sleep(0.01)
        assert await get(wire) == (200, b"ok")


async def test_a_request_that_takes_too_long_ends_and_its_connection_with_it() -> None:
    slow = asyncio.Event()

    async def talk(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/slow" in head:
            await slow.wait()
        writer.write(OK)

    async with talking(talk) as (wire, server):
        with pytest.raises(TimeoutError):
            await get(wire, "/slow", timeout_s=0.02)
        slow.set()
        assert await get(wire) == (200, b"ok")
        assert server.connections == 2


async def test_nobody_listening_is_a_connector_error() -> None:
    async with talking(says(OK)) as (_, server):
        port = server.port
    wire = Wire(f"http://127.0.0.1:{port}", tls=None, user_agent="test", limit=1, compress=False)
    with pytest.raises(ClientConnectorError):
        await get(wire)
    await wire.close()


@pytest.mark.parametrize("target", ["/a b", "/a\r\nX: y", "/\u00e4"])
async def test_a_target_that_would_break_the_request_is_refused(target: str) -> None:
    async with talking(says(OK)) as (wire, server):
        with pytest.raises(ValueError, match="cannot be asked for"):
            await get(wire, target)
        assert server.connections == 0


async def test_a_header_with_a_line_break_is_refused() -> None:
    async with talking(says(OK)) as (wire, server):
        with pytest.raises(ValueError, match="header"):
            await get(wire, Authorization="Bearer a\r\nX: y")
        assert server.connections == 0


async def test_headers_are_found_in_any_case_and_repeated_ones_are_one() -> None:
    head = b"HTTP/1.1 200 OK\r\nX-One: 1\r\nx-two: a\r\nX-Two: b\r\nContent-Length: 0\r\n\r\n"
    async with talking(says(head)) as (wire, _):
        _, headers, _ = await wire.request("GET", "/x", (), None, 5.0)
        assert (headers["x-one"], headers.get("X-TWO"), headers.get("X-Three")) == ("1", "a, b", None)


@pytest.mark.parametrize(
    ("method", "again"), [("GET", True), ("PUT", True), ("DELETE", True), ("POST", False), ("PATCH", False)]
)
async def test_what_crossed_the_end_of_an_idle_connection_is_sent_again_only_if_twice_is_once(
    method: str, again: bool
) -> None:
    ended = False

    async def talk(head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal ended
        if b"/first " in head or ended:
            writer.write(OK)
        else:
            ended = True
            writer.close()

    async with talking(talk) as (wire, server):
        await get(wire, "/first")
        if again:
            assert (await wire.request(method, "/x", (), None, 5.0))[0] == 200
            assert server.connections == 2
        else:
            with pytest.raises((ServerDisconnectedError, ConnectionError)):
                await wire.request(method, "/x", (), None, 5.0)
            assert server.connections == 1


async def test_a_new_connection_that_ends_without_an_answer_is_not_asked_for_again() -> None:
    async with talking(says(close=True)) as (wire, server):
        with pytest.raises((ServerDisconnectedError, ConnectionError)):
            await get(wire)
        assert server.connections == 1


async def test_closing_fails_what_is_under_way() -> None:
    async with talking(says()) as (wire, server):
        asking = asyncio.ensure_future(get(wire))
        while not server.heads:
            await asyncio.sleep(0.001)
        await wire.close()
        with pytest.raises((ServerDisconnectedError, ConnectionError)):
            await asking
