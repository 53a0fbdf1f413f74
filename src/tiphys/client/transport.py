"""HTTP to one API server over one kept connection; streams get a connection of their own.

The standard library's client, because a command line is over before a larger one is imported.
"""

from __future__ import annotations

import http.client
import os
import queue
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from tiphys.client.errors import ApiFailure, TimedOut, Unreachable, failure_of_answer
from tiphys.runtime.secret import Secret

CONNECT_WITHIN_S = 30.0
ANSWER_WITHIN_S = 120.0
_NOTHING = Secret("")
_MAX_ITEM_BYTES = 64 * 1024 * 1024

Query = Mapping[str, str | list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where the API is and how to talk to it. `server` is `host[:port]` as users write it; certificates are PEM."""

    server: str
    plain_text: bool = False
    insecure: bool = False
    root_path: str = ""
    token: Secret = _NOTHING
    headers: tuple[tuple[str, str], ...] = ()
    ca: str = ""
    client_cert: str = ""
    client_key: Secret = _NOTHING
    retries: int = 0
    proxy: str = ""
    user_agent: str = "tiphys"

    @property
    def address(self) -> tuple[str, int]:
        """Host and port; the port follows from the scheme where none is written."""
        parts = urlsplit(f"//{self.server}")
        try:
            port = parts.port
        except ValueError:
            raise Unreachable(f'connection error: desc = "invalid server address {self.server}"') from None
        return parts.hostname or "", port or (80 if self.plain_text else 443)

    @property
    def url(self) -> str:
        """The base URL, for people."""
        host, port = self.address
        scheme, usual = ("http", 80) if self.plain_text else ("https", 443)
        shown = f"[{host}]" if ":" in host else host
        root = self.root_path.strip("/")
        return f"{scheme}://{shown}{'' if port == usual else f':{port}'}{f'/{root}' if root else ''}"


class Transport:
    """Sends requests to one endpoint. Not for several threads at once."""

    def __init__(self, endpoint: Endpoint, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self.endpoint = endpoint
        self._answer_within_s = answer_within_s
        self._kept: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the kept connection."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: object = None,
        timeout_s: float | None = None,
    ) -> Any:
        """The answer's JSON value. Raises ApiFailure, or Unreachable when no answer came.

        A request that got no answer is sent again only when that cannot do anything twice: a GET, or one whose
        connection was refused.
        """
        timeout_s = self._answer_within_s if timeout_s is None else timeout_s
        payload = b"" if body is None else orjson.dumps(body)
        attempts = max(0, self.endpoint.retries) + 1
        while True:
            attempts -= 1
            reused = self._kept is not None
            connection = self._kept or self._connect(timeout_s)
            self._kept = connection
            try:
                if connection.sock is not None:
                    connection.sock.settimeout(timeout_s)
                connection.request(method, self._target(path, query), payload, self._headers())
                answer = connection.getresponse()
                data = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                again = method == "GET" and (reused or attempts > 0) and not isinstance(error, TimeoutError)
                if not again:
                    raise self._unreachable(error) from error
                continue
            if answer.will_close:
                self.close()
            try:
                return _read_answer(answer, data)
            except ApiFailure as error:
                error.path = path
                raise

    def stream(self, path: str, *, query: Query | None = None) -> Stream:
        """Open a stream of JSON lines. Raises ApiFailure."""
        connection = self._connect(CONNECT_WITHIN_S)
        try:
            connection.request("GET", self._target(path, query), headers=self._headers())
            answer = connection.getresponse()
            if answer.status != 200:
                _read_answer(answer, answer.read())
            if connection.sock is not None:
                connection.sock.settimeout(None)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error
        except ApiFailure as error:
            connection.close()
            error.path = path
            raise
        return Stream(connection, answer)

    def _target(self, path: str, query: Query | None) -> str:
        root = self.endpoint.root_path.strip("/")
        target = f"/{root}{path}" if root else path
        return f"{target}?{urlencode(query, doseq=True)}" if query else target

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": self.endpoint.user_agent,
        }
        if self.endpoint.token:
            headers["Authorization"] = f"Bearer {self.endpoint.token.reveal()}"
        headers.update(self.endpoint.headers)
        return headers

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self.endpoint.address
        proxy = urlsplit(self.endpoint.proxy) if self.endpoint.proxy else None
        where = (proxy.hostname or "", proxy.port or 80) if proxy else (host, port)
        try:
            if self.endpoint.plain_text:
                connection = http.client.HTTPConnection(*where, timeout=min(timeout_s, CONNECT_WITHIN_S))
            else:
                connection = http.client.HTTPSConnection(
                    *where, timeout=min(timeout_s, CONNECT_WITHIN_S), context=tls_context(self.endpoint)
                )
            if proxy:
                connection.set_tunnel(host, port)
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        return connection

    def _unreachable(self, error: BaseException) -> Unreachable:
        host, port = self.endpoint.address
        where = f"{host}:{port}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return Unreachable(
                f'connection error: desc = "tls: failed to verify certificate: {error.verify_message}"', tls=True
            )
        if isinstance(error, ssl.SSLError):
            return Unreachable(f'connection error: desc = "tls: {error.reason or error}"', tls=True)
        if isinstance(error, TimeoutError):
            return Unreachable(f'connection error: desc = "no answer from {where} in time"')
        if isinstance(error, socket.gaierror):
            return Unreachable(f'connection error: desc = "dial tcp: lookup {host}: {error.strerror}"')
        if isinstance(error, OSError):
            return Unreachable(f'connection error: desc = "dial tcp {where}: {(error.strerror or str(error)).lower()}"')
        return Unreachable(f'connection error: desc = "{where} does not speak HTTP: {type(error).__name__}"')


class Stream:
    """Items of an open stream. A thread reads, so that waiting has a deadline and Ctrl-C works."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._answer = answer
        self._lines: queue.SimpleQueue[bytes | BaseException] = queue.SimpleQueue()
        self._closing = False
        threading.Thread(target=self._read, name="stream", daemon=True).start()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def next(self, timeout_s: float | None) -> dict[str, Any] | None:
        """The next item's `result`, None when the stream ended. Raises TimedOut, ApiFailure."""
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise TimedOut from None
        if isinstance(line, BaseException):
            raise Unreachable(f'connection error: desc = "the stream broke: {line}"') from line
        if not line:
            return None
        item = orjson.loads(line)
        if "error" in item:
            raise failure_of_answer(500, item, "")
        found = item.get("result")
        return found if isinstance(found, dict) else {}

    def close(self) -> None:
        """End the stream."""
        self._closing = True
        sock = self._connection.sock or getattr(self._answer.fp, "raw", None)
        if isinstance(sock, socket.socket):
            try:
                sock.shutdown(socket.SHUT_RDWR)  # wakes the thread, which then closes
            except OSError:
                pass  # it is closed already
        self._connection.close()

    def _read(self) -> None:
        try:
            while True:
                line = self._answer.readline(_MAX_ITEM_BYTES)
                if line.strip() or not line:
                    self._lines.put(line.strip())
                if not line:
                    return
        except (
            Exception
        ) as error:  # what a connection that is closed under a reader raises is not written down anywhere
            self._lines.put(b"" if self._closing else error)


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """TLS of a client. Raises OSError for certificates that cannot be used.

    Differs: Python's strict profile is off and a certificate in the CA bundle is trusted even if it is no root, because
    the certificates people have were made for Go's verifier.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if endpoint.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif endpoint.ca:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=endpoint.ca)
    else:
        context.load_default_certs()
    if endpoint.client_cert and endpoint.client_key:
        _load_client_certificate(context, endpoint)
    return context


def _load_client_certificate(context: ssl.SSLContext, endpoint: Endpoint) -> None:
    """OpenSSL takes certificate and key from a file only: one that is private and gone at once."""
    with tempfile.NamedTemporaryFile(prefix="tiphys-", suffix=".pem") as file:  # created 0600
        file.write(f"{endpoint.client_cert.rstrip()}\n{endpoint.client_key.reveal()}".encode())
        file.flush()
        os.fsync(file.fileno())
        context.load_cert_chain(file.name)


def segment(text: str) -> str:
    """A path segment; a slash inside stays inside."""
    return quote(text, safe="")


def header_items(texts: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """`Name: value` texts as pairs. Raises ValueError."""
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise ValueError(f"additional headers must be colon(:)-separated: {text.split(':', 1)[0]}")
        yield name.strip(), value.strip()


def _read_answer(answer: http.client.HTTPResponse, data: bytes) -> Any:
    body: object = None
    if "json" in (answer.getheader("Content-Type") or "json"):
        try:
            body = orjson.loads(data) if data.strip() else {}
        except orjson.JSONDecodeError:
            body = None
    if 200 <= answer.status < 300:
        if body is None:
            kind = (answer.getheader("Content-Type") or "no content type").split(";")[0]
            raise ApiFailure(2, f"unexpected answer of type {kind}: is this the address of the API?")
        return body
    raise failure_of_answer(answer.status, body, data.decode(errors="replace"))
