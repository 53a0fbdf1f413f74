"""A front of an API server that knows its callers by client certificate, as kube-apiserver does."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.unit.kube.certificates import make_pki

NAME = "cluster.test"


@dataclass(frozen=True)
class Front:
    """Where it answers, and what a caller needs: `caData`, `certData`, `keyData` as PEM bytes; its name is NAME."""

    url: str
    material: Mapping[str, bytes]


@contextmanager
def client_certificate_front(root: Path, server: str, token: str) -> Iterator[Front]:
    """Who comes with a certificate is let through with this token; who comes without one is not let in."""
    pki = make_pki([NAME])
    cert = root / "front.pem"
    cert.write_bytes(pki.server_cert + pki.server_key)
    ca = root / "front-ca.pem"
    ca.write_bytes(pki.ca)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(cert)
    behind = ssl.create_default_context()
    behind.check_hostname, behind.verify_mode = False, ssl.CERT_NONE
    target = urlsplit(server)
    loop = asyncio.new_event_loop()
    listening: list[int] = []
    ready = threading.Event()
    stop = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(target.hostname, target.port, ssl=behind)
        pumps = [
            asyncio.ensure_future(_identified(reader, up_writer, token)),
            asyncio.ensure_future(_copied(up_reader, writer)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for one in (writer, up_writer):
            one.close()

    async def run() -> None:
        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
        listening.append(listener.sockets[0].getsockname()[1])
        ready.set()
        await stop.wait()
        listener.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        material = {"caData": pki.ca, "certData": pki.client_cert, "keyData": pki.client_key}
        yield Front(f"https://127.0.0.1:{listening[0]}", material)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _identified(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, token: str) -> None:
    """Requests, one after the other, with the token put in."""
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return
        assert b"authorization:" not in head.lower()
        line, rest = head.split(b"\r\n", 1)
        writer.write(line + b"\r\nAuthorization: Bearer " + token.encode() + b"\r\n" + rest)
        length = next(
            (
                int(field.split(b":")[1])
                for field in rest.lower().split(b"\r\n")
                if field.startswith(b"content-length:")
            ),
            0,
        )
        if length:
            writer.write(await reader.readexactly(length))
        await writer.drain()
