"""HTTP/1.1 requests over pooled connections to one server, for answers that are wanted whole.

A general client spends four times the CPU on each request (measured: 250 against 60 us for a small GET), and an engine's
work is thousands of small ones. What is not done here is done by the general client: proxies and streams. Errors are those
of the general client, so that callers put both into words in one place.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections import deque
from collections.abc import Mapping
from typing import Any, cast

import httptools
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientPayloadError,
    ServerDisconnectedError,
)
from aiohttp.client_reqrep import ConnectionKey
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from tiphys.runtime.httpclient import CONNECT_TIMEOUT_S, KEEP_ALIVE_S, keep_watching

_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say that the data has a gzip header
_LARGE_BODY_BYTES = 256 * 1024  # unpacked in a thread from here on
_TARGET = re.compile(r"/[\x21-\x7e]*").fullmatch
_HEADER = re.compile(r"[\x20-\x7e\x80-\xff\t]*").fullmatch

Answer = tuple[int, CIMultiDictProxy[str], bytes]


class _Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.reusable = False
        self._parser: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._headers: CIMultiDict[str] = CIMultiDict()
        self._parts: list[bytes] = []
        self._in_body = False

    def send(self, data: bytes, answer: asyncio.Future[Answer]) -> None:
        """Send a request; `answer` is told how it ends."""
        assert self.transport is not None
        self._answer, self._parser = answer, httptools.HttpResponseParser(self)
        self._headers, self._parts, self._in_body = CIMultiDict(), [], False
        self.reusable = False
        self.transport.write(data)

    def abort(self) -> None:
        """Close at once; a request that is under way fails."""
        self.reusable = False
        if self.transport is not None:
            self.transport.abort()

    @property
    def open(self) -> bool:
        """Another request may be sent."""
        return self.reusable and self.transport is not None and not self.transport.is_closing()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's class is none by name

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._parser is None:
            self.abort()  # nobody asked: whatever this is, it must not become the answer to the next request
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ClientPayloadError(f"the answer is no HTTP: {error}"))
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._answer is None:
            return
        if not self._in_body:
            self._fail(error if isinstance(error, OSError) else ServerDisconnectedError())
        elif error is None and not {"Content-Length", "Transfer-Encoding"} & self._headers.keys():
            self.on_message_complete()  # its end is the end of the connection
            self.reusable = False
        else:
            self._fail(ClientPayloadError("the connection broke in the middle of an answer"))

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.add(name.decode("latin-1"), value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        self._in_body = True

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)

    def on_message_complete(self) -> None:
        parser, answer = self._parser, self._answer
        if parser is None:
            self.abort()  # a second answer to one request
            return
        status: int = parser.get_status_code()
        if status < 200:
            self._headers, self._in_body = CIMultiDict(), False  # told beforehand; the answer is still to come
            return
        self._answer = self._parser = None
        self.reusable = parser.should_keep_alive()
        if answer is not None and not answer.done():
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            answer.set_result((status, CIMultiDictProxy(self._headers), body))
        self._parts = []

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)


class Wire:
    """Connections to one server. Use it on one event loop; whoever made it closes it."""

    def __init__(self, server: str, *, tls: ssl.SSLContext | None, user_agent: str, limit: int, compress: bool) -> None:
        """`server` is a URL that may have a path, which comes before that of every request."""
        url = URL(server)
        self._host, self._port, self._tls = url.host or "", url.port or (443 if tls is not None else 80), tls
        self._prefix = url.raw_path.rstrip("/")
        at = f"[{self._host}]" if ":" in self._host else self._host
        at += "" if url.is_default_port() else f":{self._port}"
        encoding = "gzip" if compress else "identity"
        self._fixed = f" HTTP/1.1\r\nHost: {at}\r\nUser-Agent: {_clean(user_agent)}\r\nAccept-Encoding: {encoding}\r\n"
        self._idle: deque[_Connection] = deque()
        self._all: set[_Connection] = set()
        self._room = asyncio.Semaphore(limit)
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None, timeout_s: float
    ) -> Answer:
        """Status, headers and whole body. `target` is the path with its query, encoded.

        Raises aiohttp's errors, TimeoutError and OSError; ValueError for what cannot stand in a request.
        """
        head = self._head(method, target, headers, body)
        async with asyncio.timeout(timeout_s):
            async with self._room:
                connection = await self._connection()
                try:
                    answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                    connection.send(head + body if body else head, answer)
                    status, found, content = await answer
                finally:
                    self._take_back(connection)
            if found.get("Content-Encoding", "") == "gzip":
                content = await _unpacked(content)
            return status, found, content

    async def close(self) -> None:
        """Close every connection; requests under way fail."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in tuple(self._all):
            connection.abort()
        self._all.clear()
        self._idle.clear()
        await asyncio.sleep(0)  # the loop tells the connections

    def _head(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        target = self._prefix + target
        if not _TARGET(target):
            raise ValueError(f"{target!r} cannot be asked for: it holds characters that no URL may have")
        lines = [f"{method} {target}{self._fixed}"]
        lines += [f"{name}: {_clean(value)}\r\n" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}\r\n")
        elif method not in ("GET", "DELETE"):
            lines.append("Content-Length: 0\r\n")
        lines.append("\r\n")
        return "".join(lines).encode("latin-1")

    async def _connection(self) -> _Connection:
        if self._closed:
            raise ServerDisconnectedError("the client is closed")
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now - connection.idle_since < KEEP_ALIVE_S:
                return connection
            self._drop(connection)
        return await self._connect()

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        host = self._host if self._tls is not None else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _transport, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._tls, server_hostname=host
                )
        except ssl.SSLCertVerificationError as error:
            raise ClientConnectorCertificateError(self._key(), error) from None
        except ssl.SSLError as error:
            raise ClientConnectorSSLError(self._key(), error) from None
        except TimeoutError:
            raise
        except OSError as error:
            raise ClientConnectorError(self._key(), error) from None
        assert connection.transport is not None
        keep_watching(connection.transport.get_extra_info("socket"))
        self._all.add(connection)
        return connection

    def _key(self) -> ConnectionKey:
        return ConnectionKey(self._host, self._port, self._tls is not None, True, None, None, None)

    def _take_back(self, connection: _Connection) -> None:
        if not connection.open or self._closed:
            self._drop(connection)
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(KEEP_ALIVE_S, self._close_idle)

    def _drop(self, connection: _Connection) -> None:
        self._all.discard(connection)
        connection.abort()

    def _close_idle(self) -> None:
        """Close what was not used for long; comes back while there is anything left."""
        loop = asyncio.get_running_loop()
        self._sweep = None
        while self._idle and loop.time() - self._idle[0].idle_since >= KEEP_ALIVE_S:
            self._drop(self._idle.popleft())
        if self._idle:
            due = self._idle[0].idle_since + KEEP_ALIVE_S
            self._sweep = loop.call_at(due, self._close_idle)


def _clean(value: str) -> str:
    if not _HEADER(value):
        raise ValueError("a header holds a line break or another character that no header may have")
    return value


async def _unpacked(content: bytes) -> bytes:
    try:
        if len(content) < _LARGE_BODY_BYTES:
            return zlib.decompress(content, _GZIP)
        return await asyncio.to_thread(zlib.decompress, content, _GZIP)
    except zlib.error:
        raise ClientPayloadError("the answer is not the gzip it says it is") from None
