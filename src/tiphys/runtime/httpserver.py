"""HttpServer: an ASGI application on a listening address, over TLS or plain, until told to stop.

uvicorn does the work. What it lacks for servers that strangers can reach is added: a limit on headers, and on waiting for
them. What it does too much is left out: signal handlers, which belong to whoever runs the process, and a clock that ticks ten
times a second, which would be most of what an idle server does.

Source: Go's net/http has the same two limits, MaxHeaderBytes (1 MiB, answered with 431) and ReadHeaderTimeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEADER_BYTES = 1024 * 1024
MAX_HEADERS = 1000
HEADERS_WITHIN_S = 30.0
KEEP_ALIVE_S = (
    75  # above what pooled clients keep a connection for: theirs must end first, or requests are lost at random
)
GRACE_S = 3
_BACKLOG = 2048

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"connection: close\r\n\r\n431 Request Header Fields Too Large"
)


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files of a server. With `client_authority`, clients may show certificates it signed; others are refused."""

    certificate: Path
    key: Path
    client_authority: Path | None = None


def open_listener(host: str, port: int) -> socket.socket:
    """A listening address; port 0 takes a free one. Raises OSError when it is taken."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


class _State(ServerState):
    """uvicorn's, with the Date of answers made when one is given."""

    dated = True
    _headers: list[tuple[bytes, bytes]]

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        return [(b"date", formatdate(usegmt=True).encode()), *self._headers] if self.dated else self._headers

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers


class _Server(uvicorn.Server):
    """uvicorn without signal handlers and without its clock."""

    def __init__(self, config: uvicorn.Config, *, dated: bool) -> None:
        super().__init__(config)
        self.server_state = _State()
        self.server_state.dated = dated
        self.answering = asyncio.Event()
        self.stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say so when connections are answered."""
        await super().startup(sockets)
        self.answering.set()

    async def main_loop(self) -> None:
        """Return when it is time to stop."""
        self.server_state.default_headers = self.config.encoded_headers
        await self.stopping.wait()


class HttpServer:
    """Serves `app` once `serve` is called. An application finds a client's certificate (DER) as `client_certificate` in the
    scope of a request, None without one. `dated` answers carry a Date header."""

    def __init__(self, app: Any, *, tls: Tls | None = None, dated: bool = True) -> None:
        authority = tls.client_authority if tls is not None else None
        config = uvicorn.Config(
            app,
            ssl_certfile=tls.certificate if tls is not None else None,
            ssl_keyfile=tls.key if tls is not None else None,
            ssl_ca_certs=None if authority is None else str(authority),
            ssl_cert_reqs=ssl.CERT_NONE if authority is None else ssl.CERT_OPTIONAL,
            http=LimitedProtocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Server(config, dated=dated)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are about upgrades we refuse

    async def serve(self, listener: socket.socket) -> None:
        """Answer connections until `stop` is called and everything is closed, the listener too."""
        try:
            await self._server.serve(sockets=[listener])
        finally:
            self._server.answering.set()  # nobody waits for what cannot come any more

    async def until_answering(self) -> bool:
        """Wait until connections are answered; False when serving has ended before."""
        await self._server.answering.wait()
        return self._server.started

    def stop(self) -> None:
        """Take no more connections, finish what is being answered, return from `serve`."""
        self._server.should_exit = True
        self._server.stopping.set()


class LimitedProtocol(HttpToolsProtocol):
    """One connection. It is closed when headers are too large, or not complete in time."""

    _header_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _refused = False
    _certificate: bytes | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection that sends nothing at all is closed as well."""
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self._certificate = secured.getpeercert(binary_form=True)
        self._wait_for_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the deadline."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, unless too much came before."""
        if self._refused:
            return
        if self._deadline is not None:
            # Counted here, because the parser hands a header over only when it is whole.
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse()
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The next request's headers are awaited."""
        if not self._refused:
            self._header_bytes = 0
            self._wait_for_headers()
        super().on_message_begin()
        if self._certificate is not None:
            self.scope["client_certificate"] = self._certificate  # type: ignore[typeddict-unknown-key]

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if len(self.headers) >= MAX_HEADERS:
            self._refuse()
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request."""
        self._stop_waiting()
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is here."""
        if not self._refused:
            super().on_message_complete()

    def _wait_for_headers(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADERS_WITHIN_S, self._too_late)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _refuse(self) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop_waiting()
        self.transport.write(_TOO_LARGE)
        self.transport.close()
