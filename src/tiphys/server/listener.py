"""Serves the API on a socket, over TLS or plain, until told to stop.

Signals are left alone: they belong to the supervisor. When stopping, open streams are ended first, so that clients which
watch for hours do not hold the process up.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from tiphys.runtime.httpserver import HttpServer, Tls, open_listener
from tiphys.runtime.supervisor import Lifetime
from tiphys.server.app import App

__all__ = ["open_listener", "serve"]


async def serve(
    app: App, listener: socket.socket, lifetime: Lifetime, *, certificate: Path | None = None, key: Path | None = None
) -> None:
    """Serve until `lifetime` says stop; ready once connections are answered. With `certificate` and `key` (PEM files) TLS."""
    server = HttpServer(app, tls=Tls(certificate, key) if certificate is not None and key is not None else None)
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(listener))
        stopping = group.create_task(lifetime.until_stopped())
        answering = group.create_task(server.until_answering())
        await asyncio.wait((answering, stopping), return_when=asyncio.FIRST_COMPLETED)
        if answering.done() and answering.result():
            lifetime.ready()
        await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
        app.end_streams()
        server.stop()
        stopping.cancel()
