"""HTTP/1.1 requests to one API server over pooled connections, for answers that are wanted whole.

A general client spends about twice the CPU on each request, and an engine's work is thousands of small ones. What is not
done here is done by the general client: streams and proxies. Errors are those of the general client, so that callers put
both into words in one place.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections import deque
from collections.abc import Mapping, Sequence

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientPayloadError,
    ServerDisconnectedError,
)
from aiohttp.client_reqrep import ConnectionKey
from yarl import URL

from tiphys.kube.connection import Answer, Connection
from tiphys.runtime.httpclient import CONNECT_TIMEOUT_S, KEEP_ALIVE_S, notice_loss

_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say that the data has a gzip header
_LARGE_BODY_BYTES = 256 * 1024  # unpacked in a thread from here on
_TARGET = re.compile(r"/[\x21-\x7e]*").fullmatch
_HEADER = re.compile(r"[\x20-\x7e\x80-\xff\t]*").fullmatch
_REMEMBERED_HEADS = 64
# May be sent twice (RFC 9110 9.2.2): where a connection that had been idle turns out to be closed, on a new one.
_IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})

Pairs = Sequence[tuple[str, str]]


class Wire:
    """Connections to one server. Use it on one event loop; whoever made it closes it."""

    def __init__(self, server: str, *, tls: ssl.SSLContext | None, user_agent: str, limit: int, compress: bool) -> None:
        """`server` is a URL that may have a path, which comes before that of every request."""
        url = URL(server)
        self._host, self._port, self._tls = url.host or "", url.port or (443 if tls is not None else 80), tls
        self._prefix = url.raw_path.rstrip("/")
        at = f"[{self._host}]" if ":" in self._host else self._host
        at += "" if url.is_default_port() else f":{self._port}"
        self._compress = compress
        encoding = "gzip" if compress else "identity"
        self._fixed = f" HTTP/1.1\r\nHost: {at}\r\nUser-Agent: {_clean(user_agent)}\r\nAccept-Encoding: {encoding}\r\n"
        self._heads: dict[tuple[tuple[str, str], ...], str] = {}  # what headers look like
        self._idle: deque[Connection] = deque()
        self._all: set[Connection] = set()
        self._room = asyncio.Semaphore(limit)
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    async def request(
        self, method: str, target: str, headers: Pairs, body: bytes | None, timeout_s: float
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and whole body. `target` is the path with its query, encoded.

        Raises aiohttp's errors, TimeoutError and OSError; ValueError for what cannot stand in a request.
        """
        data = self._head(method, target, headers, body)
        async with asyncio.timeout(timeout_s):
            async with self._room:
                status, found, content = await self._ask(method, data)
            if self._compress and found.has(b"content-encoding") and found["Content-Encoding"] == "gzip":
                content = await _unpacked(content)
        return status, found, content

    async def _ask(self, method: str, data: bytes) -> Answer:
        while True:
            connection = self._idle_connection()
            fresh = connection is None
            if connection is None:
                connection = await self._connect()
            try:
                answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
                connection.send(data, answer)
                return await answer
            except (ServerDisconnectedError, ConnectionError):
                # The server closed it while it was idle, and our request crossed that on the way.
                if fresh or connection.answered or method not in _IDEMPOTENT or self._closed:
                    raise
            finally:
                self._take_back(connection)

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

    def _head(self, method: str, target: str, headers: Pairs, body: bytes | None) -> bytes:
        target = self._prefix + target
        if not _TARGET(target):
            raise ValueError(f"{target!r} cannot be asked for: it holds characters that no URL may have")
        lines = self._lines(tuple(headers))
        if body is not None:
            lines += f"Content-Length: {len(body)}\r\n"
        elif method not in ("GET", "DELETE"):
            lines += "Content-Length: 0\r\n"
        head = f"{method} {target}{self._fixed}{lines}\r\n".encode("latin-1")
        return head + body if body else head

    def _lines(self, headers: tuple[tuple[str, str], ...]) -> str:
        lines = self._heads.get(headers)
        if lines is None:
            if len(self._heads) >= _REMEMBERED_HEADS:
                self._heads.clear()
            lines = self._heads[headers] = "".join(f"{name}: {_clean(value)}\r\n" for name, value in headers)
        return lines

    def _idle_connection(self) -> Connection | None:
        if self._closed:
            raise ServerDisconnectedError("the client is closed")
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.open and now - connection.idle_since < KEEP_ALIVE_S:
                return connection
            self._drop(connection)
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        host = self._host if self._tls is not None else None
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _transport, connection = await loop.create_connection(
                    Connection, self._host, self._port, ssl=self._tls, server_hostname=host
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
        notice_loss(connection.transport.get_extra_info("socket"))
        self._all.add(connection)
        return connection

    def _key(self) -> ConnectionKey:
        return ConnectionKey(self._host, self._port, self._tls is not None, True, None, None, None)

    def _take_back(self, connection: Connection) -> None:
        if not connection.open or self._closed:
            self._drop(connection)
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._sweep is None:
            self._sweep = loop.call_later(KEEP_ALIVE_S, self._close_idle)

    def _drop(self, connection: Connection) -> None:
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
