"""Serves the API on a socket, over TLS or plain, until told to stop.

Signals are left alone: they belong to the supervisor. When stopping, open streams are ended first, so that clients which
watch for hours do not hold the process up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import uvicorn
from uvicorn.server import ServerState

from tiphys.runtime.clock import Clock
from tiphys.runtime.httpserver import LimitedProtocol
from tiphys.runtime.supervisor import Lifetime
from tiphys.server.app import App

KEEP_ALIVE_S = (
    75  # above what pooled clients keep a connection for: theirs must end first, or requests are lost at random
)
GRACE_S = 3
_START_POLL_S = 0.01
_BACKLOG = 2048


class _State(ServerState):
    """uvicorn's, with the Date of answers made when one is given."""

    _headers: list[tuple[bytes, bytes]]

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:
        """Headers of every answer."""
        return [(b"date", formatdate(usegmt=True).encode()), *self._headers]

    @default_headers.setter
    def default_headers(self, headers: list[tuple[bytes, bytes]]) -> None:
        self._headers = headers


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, and without its clock: that ticks ten times a second, which would be most of what
    an idle engine does."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = _State()
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def main_loop(self) -> None:
        """Return when it is time to stop."""
        self.server_state.default_headers = self.config.encoded_headers
        await self._stopping.wait()

    def stop(self) -> None:
        """Take no more connections, finish what is being answered, return from `serve`."""
        self.should_exit = True
        self._stopping.set()


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


async def serve(
    app: App,
    listener: socket.socket,
    lifetime: Lifetime,
    *,
    clock: Clock,
    certificate: Path | None = None,
    key: Path | None = None,
) -> None:
    """Serve until `lifetime` says stop; ready once connections are answered. With `certificate` and `key` (PEM files) TLS."""
    config = uvicorn.Config(
        app,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        http=LimitedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are about upgrades we refuse
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(sockets=[listener]))
        stopping = group.create_task(lifetime.until_stopped())
        while not server.started and not serving.done() and not lifetime.stopping:
            await clock.sleep(_START_POLL_S)  # uvicorn has no event for this
        if server.started:
            lifetime.ready()
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        app.end_streams()
        server.stop()
        stopping.cancel()
