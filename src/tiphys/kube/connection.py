"""One HTTP/1.1 connection to an API server: a request goes out, its answer comes back whole.

Errors are those of the general client, so that callers put both into words in one place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, cast

import httptools
from aiohttp import ClientPayloadError, ServerDisconnectedError


class Headers(Mapping[str, str]):
    """Headers of an answer, looked up in any case. They are read seldom, so they are kept as they came."""

    __slots__ = ("_fields", "_found")

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self._fields = fields
        self._found: dict[str, str] | None = None

    def _read(self) -> dict[str, str]:
        found = self._found
        if found is None:
            found = self._found = {}
            for name, value in self._fields:
                text = value.decode("latin-1")
                key = name.decode("latin-1").lower()
                found[key] = f"{found[key]}, {text}" if key in found else text
        return found

    def __getitem__(self, name: str) -> str:
        return self._read()[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def has(self, *names: bytes) -> bool:
        """One of these is there; names in lower case."""
        return any(name.lower() in names for name, _value in self._fields)


Answer = tuple[int, Headers, bytes]


class Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    __slots__ = (
        "_answer",
        "_fields",
        "_in_body",
        "_parser",
        "_parts",
        "answered",
        "idle_since",
        "reusable",
        "transport",
    )

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.idle_since = 0.0
        self.reusable = False
        self.answered = False  # the request under way was answered in part: the server has certainly seen it
        self._parser: Any = None
        self._answer: asyncio.Future[Answer] | None = None
        self._fields: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._in_body = False

    def send(self, data: bytes, answer: asyncio.Future[Answer]) -> None:
        """Send a request; `answer` is told how it ends."""
        assert self.transport is not None
        self._answer, self._parser = answer, httptools.HttpResponseParser(self)
        self._fields, self._parts, self._in_body = [], [], False
        self.reusable = self.answered = False
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
        if self._parser is None:
            self.abort()  # nobody asked: whatever this is, it must not become the answer to the next request
            return
        self.answered = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ClientPayloadError(f"the answer is no HTTP: {error}"))
            self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self.reusable = False
        if self._parser is None:
            return
        if not self._in_body:
            self._fail(error if isinstance(error, OSError) else ServerDisconnectedError())
        elif error is None and not Headers(self._fields).has(b"content-length", b"transfer-encoding"):
            self.on_message_complete()  # its end is the end of the connection
            self.reusable = False
        else:
            self._fail(ClientPayloadError("the connection broke in the middle of an answer"))

    # What the parser calls

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))

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
            self._fields, self._in_body = [], False  # told beforehand; the answer is still to come
            return
        self._answer = self._parser = None
        self.reusable = parser.should_keep_alive()
        if answer is not None and not answer.done():
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            answer.set_result((status, Headers(self._fields), body))
        self._parts = []

    def _fail(self, error: Exception) -> None:
        answer, self._answer, self._parser = self._answer, None, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
