"""The HTTP server: client certificates reach the application, and an idle server has nothing to do."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tiphys.devcluster.pki import Pki, ensure_pki
from tiphys.runtime.httpserver import HttpServer, Tls, open_listener

NOW = datetime.now(UTC)
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


async def shows_certificate(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the common name of the client's certificate."""
    found = scope.get("client_certificate")
    name = b"nobody"
    if found is not None:
        subject = x509.load_der_x509_certificate(found).subject
        name = str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(name))]})
    await send({"type": "http.response.body", "body": name})


@asynccontextmanager
async def serving(tls: Tls | None, *, dated: bool = True) -> AsyncIterator[int]:
    listener = open_listener("127.0.0.1", 0)
    port: int = listener.getsockname()[1]
    server = HttpServer(shows_certificate, tls=tls, dated=dated)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(server.serve(listener))
        assert await server.until_answering()
        try:
            yield port
        finally:
            server.stop()


async def ask(port: int, context: ssl.SSLContext | None) -> bytes:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost" if context else None
    )
    try:
        writer.write(REQUEST)
        return await reader.read()
    finally:
        writer.close()


def signed(folder: Path, authority: Path, name: str) -> tuple[Path, Path]:
    """A client certificate of this name, and its key."""
    ca = x509.load_pem_x509_certificate((authority / "ca.crt").read_bytes())
    signer = serialization.load_pem_private_key((authority / "ca.key").read_bytes(), password=None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(minutes=1))
        .not_valid_after(NOW + timedelta(hours=1))
        .sign(signer, hashes.SHA256())
    )
    chain, private = folder / f"{name}.crt", folder / f"{name}.key"
    chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return chain, private


def trusting(pki: Pki) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pki.ca_pem)


async def test_a_verified_client_certificate_reaches_the_application(tmp_path: Path) -> None:
    pki = ensure_pki(tmp_path / "pki", now=NOW, new_token="x")
    other = tmp_path / "other"
    ensure_pki(other, now=NOW, new_token="x")
    async with serving(Tls(pki.cert_path, pki.key_path, tmp_path / "pki" / "ca.crt")) as port:
        assert (await ask(port, trusting(pki))).endswith(b"\r\n\r\nnobody")
        known = trusting(pki)
        known.load_cert_chain(*signed(tmp_path, tmp_path / "pki", "alice"))
        assert (await ask(port, known)).endswith(b"\r\n\r\nalice")
        stranger = trusting(pki)
        stranger.load_cert_chain(*signed(tmp_path, other, "mallory"))
        try:
            answer = await ask(port, stranger)
        except (ssl.SSLError, ConnectionError):
            answer = b""
        assert answer == b""


async def test_answers_are_dated_when_asked_to() -> None:
    async with serving(None) as port:
        assert b"\r\ndate: " in await ask(port, None)
    async with serving(None, dated=False) as port:
        assert b"\r\ndate: " not in await ask(port, None)


async def test_an_idle_server_has_no_timer() -> None:
    async with serving(None):
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        timers = [one for one in getattr(loop, "_scheduled", ()) if not one.cancelled()]
        # The one there is belongs to the deadline of this test.
        assert len(timers) <= 1, timers


async def test_a_server_that_cannot_start_says_so(tmp_path: Path) -> None:
    listener = open_listener("127.0.0.1", 0)
    listener.close()
    server = HttpServer(shows_certificate)
    serving_task = asyncio.ensure_future(server.serve(listener))
    async with asyncio.timeout(5):
        assert not await server.until_answering()
    with pytest.raises(OSError):  # noqa: PT011 - what a closed socket says differs between systems
        await serving_task
