"""Requests and streams against a small server on the loopback address."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from tiphys.client.api import Api
from tiphys.client.errors import ApiFailure, TimedOut, Unreachable
from tiphys.client.transport import Endpoint, Transport
from tiphys.runtime.secret import Secret


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: ClassVar[list[dict[str, Any]]] = []
    answers: ClassVar[dict[str, tuple[int, str, str]]] = {}
    hold: ClassVar[threading.Event]

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.seen.append({"method": self.command, "path": self.path, "headers": headers, "body": body.decode()})
        if self.path.startswith("/api/v1/stream/"):
            self._stream()
            return
        status, kind, text = self.answers.get(self.path.split("?")[0], (404, "text/plain", "Not Found\n"))
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        line = json.dumps({"result": {"type": "ADDED", "application": {"metadata": {"name": "a"}}}}) + "\n"
        self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())
        self.wfile.flush()
        self.hold.wait(10)
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PUT = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """A server whose answers tests set."""
    _Handler.seen.clear()
    _Handler.answers.clear()
    _Handler.hold = threading.Event()
    found = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield found
    _Handler.hold.set()
    found.shutdown()
    found.server_close()
    thread.join(5)


@pytest.fixture
def api(server: ThreadingHTTPServer) -> Iterator[Api]:
    """A client of it."""
    endpoint = Endpoint(
        server=f"127.0.0.1:{server.server_port}",
        plain_text=True,
        token=Secret("jwt"),
        root_path="/base/",
        headers=(("X-Team", "shop"),),
    )
    found = Api(Transport(endpoint))
    yield found
    found.close()


def test_every_request_carries_token_headers_and_the_content_type(api: Api) -> None:
    """Also a DELETE without a body: the server refuses others."""
    _Handler.answers["/base/api/v1/applications/a"] = (200, "application/json", "{}")
    api.delete_application("a", "ns", cascade=False)
    request = _Handler.seen[0]
    assert request["method"] == "DELETE"
    assert request["path"] == "/base/api/v1/applications/a?appNamespace=ns&cascade=false"
    assert request["headers"]["authorization"] == "Bearer jwt"
    assert request["headers"]["content-type"] == "application/json"
    assert request["headers"]["x-team"] == "shop"


def test_names_with_slashes_stay_one_segment(api: Api) -> None:
    """Percent-encoded once."""
    _Handler.answers["/base/api/v1/account/can-i/applications/sync/default%2F%2A"] = (
        200,
        "application/json",
        '{"value":"yes"}',
    )
    assert api.can_i("sync", "applications", "default/*")


def test_errors_are_the_server_s_in_grpc_s_words(api: Api) -> None:
    """Code and message come from the body."""
    body = '{"error":"permission denied","code":7,"message":"permission denied"}'
    _Handler.answers["/base/api/v1/applications/a"] = (403, "application/json", body)
    with pytest.raises(ApiFailure) as caught:
        api.get_application("a")
    assert caught.value.code == 7
    assert str(caught.value) == "rpc error: code = PermissionDenied desc = permission denied"


def test_an_answer_of_something_else_is_told_apart(api: Api) -> None:
    """A proxy's page with status 200 is no answer of the API."""
    _Handler.answers["/base/api/version"] = (200, "text/html", "<html>")
    with pytest.raises(ApiFailure, match="unexpected answer of type text/html"):
        api.version()
    with pytest.raises(ApiFailure, match="code = NotFound desc = Not Found"):
        api.settings()


def test_nobody_listening_is_unavailable() -> None:
    """With the address."""
    api = Api(Transport(Endpoint(server="127.0.0.1:9", plain_text=True)))
    with pytest.raises(Unreachable, match=r"code = Unavailable desc = .*127\.0\.0\.1:9: connection refused"):
        api.version()


def test_tls_against_a_plain_server_is_a_tls_error(server: ThreadingHTTPServer) -> None:
    """So that login can ask about it."""
    api = Api(Transport(Endpoint(server=f"127.0.0.1:{server.server_port}")))
    with pytest.raises(Unreachable) as caught:
        api.version()
    assert caught.value.tls


def test_a_stream_has_deadlines_and_ends(api: Api, server: ThreadingHTTPServer) -> None:
    """Waiting gives up in time; the end of the stream is None."""
    api = Api(Transport(Endpoint(server=f"127.0.0.1:{server.server_port}", plain_text=True)))
    with api.watch_application("a") as stream:
        assert stream.next(5) == {"type": "ADDED", "application": {"metadata": {"name": "a"}}}
        with pytest.raises(TimedOut):
            stream.next(0.05)
        _Handler.hold.set()
        assert stream.next(5) is None


@pytest.mark.parametrize(
    ("server", "plain", "url"),
    [
        ("h", False, "https://h"),
        ("h:8080", False, "https://h:8080"),
        ("h:443", False, "https://h"),
        ("h", True, "http://h"),
    ],
)
def test_the_url_leaves_the_usual_port_out(server: str, plain: bool, url: str) -> None:
    """As people write it."""
    assert Endpoint(server=server, plain_text=plain).url == url
