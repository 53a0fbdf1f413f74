"""Builds the HTTP client: TLS, proxy, limits, redacted errors.

Sessions never look at the environment: aiohttp would search proxies and netrc on every request, which costs most of its
speed and lets a variable change where credentials go. Long streams get a session of their own: without a total timeout,
without a limit of connections, because each holds one for as long as it lasts.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import sys
import tempfile
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tiphys.runtime.redact import redact_text
from tiphys.runtime.secret import Secret

CONNECTION_LIMIT = 32
CONNECT_TIMEOUT_S = 10.0
# Shorter than the 75 s our servers and the 90 s (Go's default) others keep an idle connection: the side that closes
# first must be the one that would send.
KEEP_ALIVE_S = 55.0
READ_BUFFER_BYTES = 256 * 1024


class TlsError(ValueError):
    """Certificates, keys or options do not make a usable TLS configuration."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How to check the server and who we are. PEM bytes; no CA means the system's.

    `server_name` is checked instead of the URL's host, and sent in the handshake.
    """

    ca: bytes | None = None
    client_cert: bytes | None = None
    client_key: Secret | None = None
    insecure: bool = False
    server_name: str | None = None


class _Context(ssl.SSLContext):
    """A context that knows the server's name: aiohttp takes one per request only, and forgets it behind a proxy."""

    expected_name: str | None = None

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """What asyncio and uvloop call for each connection."""
        return super().wrap_bio(incoming, outgoing, server_side, self.expected_name or server_hostname, session)


def build_ssl_context(tls: Tls) -> ssl.SSLContext:
    """TLS context of a client. Raises TlsError, also for `insecure` together with a CA.

    Differs: certificates are judged as Go's verifier does, because clusters' CAs were made for it: Python's strict
    profile (default from 3.13) is off, and a certificate in the CA bundle is trusted even if it is no root.
    """
    if tls.insecure and tls.ca:
        raise TlsError("specifying a root certificates file with the insecure flag is not allowed")
    if (tls.client_cert is None) != (tls.client_key is None):
        raise TlsError("a client certificate needs its key, and a key its certificate")
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.expected_name = tls.server_name
    try:
        if tls.ca:
            context.load_verify_locations(cadata=tls.ca.decode("ascii"))
        elif not tls.insecure:
            context.load_default_certs()
    except (ssl.SSLError, UnicodeDecodeError, ValueError):
        raise TlsError("the CA data holds no PEM certificate") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["http/1.1"])
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.client_cert is not None and tls.client_key is not None:
        _load_client_cert(context, tls.client_cert, tls.client_key)
    return context


def _load_client_cert(context: ssl.SSLContext, cert: bytes, key: Secret) -> None:
    """OpenSSL takes certificate and key from files only: on Linux from one that exists in memory alone."""
    data = cert.rstrip() + b"\n" + key.reveal().encode()
    try:
        if sys.platform == "linux":
            descriptor = os.memfd_create("client-cert", os.MFD_CLOEXEC)
            with open(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                context.load_cert_chain(f"/proc/self/fd/{descriptor}")
        else:
            with tempfile.NamedTemporaryFile(prefix="tiphys-") as file:  # created 0600
                file.write(data)
                file.flush()
                context.load_cert_chain(file.name)
    except (ssl.SSLError, OSError):
        raise TlsError("client certificate and key do not fit together or are no PEM") from None


def is_loopback(url: str) -> bool:
    """True when the URL's host is this machine: localhost or a loopback address."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_proxy(proxy: str) -> str:
    """The proxy URL. Raises ValueError for a scheme that cannot be used."""
    scheme = urlsplit(proxy).scheme
    if scheme not in ("http", "https"):
        raise ValueError(f"proxy scheme {scheme!r} is not supported: use http or https")
    return proxy


def build_session(
    *,
    tls: Tls | ssl.SSLContext | None = None,
    proxy: str | None = None,
    user_agent: str,
    connection_limit: int = CONNECTION_LIMIT,
    timeout_s: float | None = 60.0,
    compress: bool = True,
) -> aiohttp.ClientSession:
    """A session for requests that end. Call it on the running loop; whoever calls it closes it.

    `timeout_s` is for the whole request unless the request gives its own. Redirects and statuses are the caller's.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
    return _build(tls, proxy, user_agent, connection_limit, timeout, compress)


def build_stream_session(
    *,
    tls: Tls | ssl.SSLContext | None = None,
    proxy: str | None = None,
    user_agent: str,
) -> aiohttp.ClientSession:
    """A session for long streams: no total timeout, no limit of connections, no compression."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)
    return _build(tls, proxy, user_agent, 0, timeout, compress=False)


def _build(
    tls: Tls | ssl.SSLContext | None,
    proxy: str | None,
    user_agent: str,
    connection_limit: int,
    timeout: aiohttp.ClientTimeout,
    compress: bool,
) -> aiohttp.ClientSession:
    context = build_ssl_context(tls) if isinstance(tls, Tls) else tls
    connector = aiohttp.TCPConnector(
        ssl=context if context is not None else True,
        limit=connection_limit,
        socket_factory=_open_socket,
        keepalive_timeout=KEEP_ALIVE_S,
        ttl_dns_cache=30,
    )
    headers = {"User-Agent": user_agent}
    if not compress:
        headers["Accept-Encoding"] = "identity"
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        timeout=timeout,
        trust_env=False,
        auto_decompress=True,
        read_bufsize=READ_BUFFER_BYTES,
        proxy=check_proxy(proxy) if proxy else None,
    )


def _open_socket(info: tuple[Any, ...]) -> socket.socket:
    """A socket that notices within about a minute and a half that its other end is gone without a word."""
    family, kind, protocol = info[0], info[1], info[2]
    opened = socket.socket(family=family, type=kind, proto=protocol)
    notice_loss(opened)
    return opened


def notice_loss(opened: socket.socket) -> None:
    """Let the system notice, within about a minute and a half, that the other end of a connection is gone without a word."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    idle = getattr(socket, "TCP_KEEPIDLE", None) or getattr(socket, "TCP_KEEPALIVE", None)  # Linux's, macOS's name
    for option, value in (
        (idle, 30),
        (getattr(socket, "TCP_KEEPINTVL", None), 15),
        (getattr(socket, "TCP_KEEPCNT", None), 4),
    ):
        if option is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)


def describe_error(error: BaseException) -> str:
    """What went wrong with a connection, in words without credentials; never empty."""
    if isinstance(error, TimeoutError):
        return "timed out" if not str(error) else f"timed out: {redact_text(str(error))}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return redact_text(f"certificate is not trusted: {error.certificate_error}")
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return redact_text(f"TLS handshake with {error.host}:{error.port} failed: {error.os_error}")
    if isinstance(error, aiohttp.ClientConnectorError):
        why = error.os_error
        said = _CONNECT_CALL.sub(r"\1", str(why.strerror or why or "no route"))
        return redact_text(f"cannot connect to {error.host}:{error.port}: {said}")
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection broke in the middle of an answer"
    return redact_text(str(error) or type(error).__name__)


# asyncio's text of a refused connection repeats the address: `Connect call failed ('127.0.0.1', 1)`.
_CONNECT_CALL = re.compile(r"(Connect call failed) \(.*\)")
