"""Large answers compressed for clients that read gzip, as the API server does from 128 KiB on.

Source: apiserver pkg/endpoints/handlers/responsewriters/writers.go: level 1, `Vary: Accept-Encoding`; watches, errors and
OpenAPI v3 documents never.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

THRESHOLD_BYTES = 128 * 1024

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Compressed:
    """An ASGI application whose large answers are compressed when the client asks for it."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] == "http" and not scope["path"].startswith("/openapi") and _reads_gzip(scope["headers"]):
            send = _Sender(send)
        await self._app(scope, receive, send)


class _Sender:
    """Holds the head of a large answer back until its body is here."""

    __slots__ = ("_head", "_send")

    def __init__(self, send: Send) -> None:
        self._send = send
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if _is_large(message):
                self._head = message
                return
        elif self._head is not None:
            head, self._head = self._head, None
            body = message.get("body", b"")
            if not message.get("more_body"):
                body = _gzip(body)
                head["headers"] = _headers(head["headers"], len(body))
                message = {**message, "body": body}
            await self._send(head)
        await self._send(message)


def _reads_gzip(headers: list[tuple[bytes, bytes]]) -> bool:
    for name, value in headers:
        if name == b"accept-encoding":
            return any(one.strip() == b"gzip" for one in value.split(b","))  # with a quality it is not read there
    return False


def _is_large(head: Message) -> bool:
    if head["status"] != 200:
        return False
    return any(name == b"content-length" and int(value) > THRESHOLD_BYTES for name, value in head["headers"])


def _headers(headers: list[tuple[bytes, bytes]], length: int) -> list[tuple[bytes, bytes]]:
    kept = [one for one in headers if one[0] != b"content-length"]
    return [
        *kept,
        (b"content-encoding", b"gzip"),
        (b"vary", b"Accept-Encoding"),
        (b"content-length", b"%d" % length),
    ]


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()
