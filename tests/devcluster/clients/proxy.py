"""Proxy: passes requests on to an API server and keeps what was asked and answered."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEPT_HEADERS = ("accept", "content-type", "user-agent")
_OF_THE_CONNECTION = ("connection", "transfer-encoding", "keep-alive", "host", "authorization", "accept-encoding")


@dataclass
class Exchange:
    """One request and what the server answered, as much of it as the client waited for."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    code: int = 0
    answer: bytes = b""


@dataclass
class Upstream:
    """The server behind the proxy."""

    host: str
    context: ssl.SSLContext
    token: str
    exchanges: list[Exchange] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream: Upstream

    def _pass_on(self) -> None:
        size = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(size) if size else self._chunks()
        kept = {name: self.headers[name] for name in KEPT_HEADERS if self.headers.get(name)}
        exchange = Exchange(self.command, self.path, kept, body)
        with self.upstream.lock:
            self.upstream.exchanges.append(exchange)
        connection = http.client.HTTPSConnection(self.upstream.host, context=self.upstream.context, timeout=600)
        sent = {name: value for name, value in self.headers.items() if name.lower() not in _OF_THE_CONNECTION}
        sent["Authorization"] = f"Bearer {self.upstream.token}"
        try:
            connection.request(self.command, self.path, body or None, sent)
            answer = connection.getresponse()
            exchange.code = answer.status
            self._answer(answer, exchange)
        except OSError:
            self.close_connection = True
        finally:
            connection.close()

    def _chunks(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return b""
        found = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _answer(self, answer: http.client.HTTPResponse, exchange: Exchange) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_THE_CONNECTION and name.lower() != "content-length":
                self.send_header(name, value)
        if answer.status in (204, 304) or self.command == "HEAD":
            self.end_headers()
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while part := answer.read1(1 << 16):
            exchange.answer += part
            self.wfile.write(b"%x\r\n%b\r\n" % (len(part), part))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def proxy(upstream: Upstream) -> Iterator[str]:
    """A proxy on the loopback interface; its URL."""
    handler = type("Handler", (_Handler,), {"upstream": upstream})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(url: str, namespace: str) -> str:
    """A kubeconfig whose server is the proxy."""
    context = {"cluster": "c", "user": "u", "namespace": namespace}
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {"token": "none"}}],
        "contexts": [{"name": "x", "context": context}],
    })  # fmt: skip


def to_json(exchange: Exchange, path: str, body: bytes) -> dict[str, Any]:
    """A request as it is kept: its path and body are those with names for what a server draws."""
    kept: dict[str, Any] = {"method": exchange.method, "path": path, "headers": exchange.headers}
    if body:
        try:
            kept["body"] = body.decode()
        except UnicodeDecodeError:
            kept["bytes"] = base64.b64encode(body).decode()
    return kept
