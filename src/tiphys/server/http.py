"""Request and Response over ASGI: just what the API needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from tiphys.model.annotations import parse_go_bool
from tiphys.server.errors import Code, PlainError, RequestError, invalid_argument

Scope = Mapping[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

MAX_BODY_BYTES = 4 * 1024 * 1024  # above etcd's object limit; what is larger cannot be stored anyway
BODY_WITHIN_S = 60.0


class Request:
    """One HTTP request. Path parameters are percent-decoded once, after matching."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        self.raw_path = raw.split(b"?", 1)[0].decode("latin-1")
        self.params: dict[str, str] = {}
        self._receive = receive
        self._query: dict[str, list[str]] | None = None
        self._headers: dict[str, str] | None = None
        self._body: bytes | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers by lower-case name; of repeated ones the last."""
        if self._headers is None:
            self._headers = {
                key.decode("latin-1").lower(): value.decode("latin-1") for key, value in self.scope["headers"]
            }
        return self._headers

    @property
    def cookies(self) -> dict[str, str]:
        """Cookies by name."""
        cookies = {}
        for part in self.headers.get("cookie", "").split(";"):
            name, equals, value = part.strip().partition("=")
            if equals:
                cookies[name] = value.strip('"')
        return cookies

    def query(self, name: str) -> str:
        """First value of a query parameter, empty when absent."""
        values = self._parsed_query().get(name)
        return values[0] if values else ""

    def query_list(self, *names: str) -> tuple[str, ...]:
        """All non-empty values of some query parameters."""
        parsed = self._parsed_query()
        return tuple(value for name in names for value in parsed.get(name, ()) if value)

    def query_bool(self, name: str, default: bool = False) -> bool:
        """A boolean as Go reads it. Raises RequestError for anything else."""
        text = self.query(name)
        if not text:
            return default
        value = parse_go_bool(text)
        if value is None:
            raise invalid_argument(f'parsing field "{name}": strconv.ParseBool: parsing "{text[:64]}": invalid syntax')
        return value

    def query_int(self, name: str) -> int:
        """A whole number, 0 when absent. Raises RequestError for anything else."""
        text = self.query(name)
        if not text:
            return 0
        if not text.removeprefix("-").isdecimal() or not text.isascii() or len(text) > 19:
            raise invalid_argument(f'parsing field "{name}": strconv.ParseInt: parsing "{text[:64]}": invalid syntax')
        return int(text)

    async def body(self, limit: int = MAX_BODY_BYTES) -> bytes:
        """The whole body. Raises PlainError above `limit` bytes, or when it takes longer than BODY_WITHIN_S to come."""
        if self._body is None:
            try:
                async with asyncio.timeout(BODY_WITHIN_S):
                    self._body = await self._read_body(limit)
            except TimeoutError:
                raise PlainError(408, "Request Timeout") from None
        return self._body

    async def _read_body(self, limit: int) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise RequestError(Code.CANCELLED, "the client went away")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                raise PlainError(413, "Request Entity Too Large")
            chunks.append(chunk)
            if not message.get("more_body"):
                return b"".join(chunks)

    async def json(self) -> Any:
        """The body as JSON; None when it is empty. Raises RequestError."""
        body = await self.body()
        if not body.strip():
            return None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise invalid_argument("the body is not JSON") from None

    async def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; empty is an empty object. Raises RequestError."""
        value = await self.json()
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise invalid_argument("the body is not a JSON object")
        return value

    async def disconnected(self) -> None:
        """Return when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _parsed_query(self) -> dict[str, list[str]]:
        if self._query is None:
            self._query = {}
            text = self.scope.get("query_string", b"").decode("latin-1")
            for name, value in parse_qsl(text, keep_blank_values=True):
                # `projects[]` is how some clients repeat a parameter.
                self._query.setdefault(name.removesuffix("[]"), []).append(value)
        return self._query


@dataclass(slots=True)
class Response:
    """A whole answer, or a stream of parts when `parts` is set."""

    body: bytes = b"{}"
    status: int = 200
    content_type: str = "application/json"
    headers: list[tuple[str, str]] = field(default_factory=list)
    parts: AsyncGenerator[bytes, None] | None = None

    def start_message(self) -> Message:
        """ASGI's first message of the answer."""
        headers = [(b"content-type", self.content_type.encode())]
        if self.parts is None:
            headers.append((b"content-length", str(len(self.body)).encode()))
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in self.headers]
        return {"type": "http.response.start", "status": self.status, "headers": headers}


def json_response(value: object, *, status: int = 200) -> Response:
    """An answer made of a JSON value."""
    return Response(orjson.dumps(value), status)


def text_response(text: str, status: int) -> Response:
    """An answer in plain text, with a newline at its end as Go's http.Error gives it."""
    return Response(f"{text}\n".encode(), status, "text/plain; charset=utf-8")


def decode_segment(segment: str) -> str:
    """A path segment without its percent-encoding."""
    return unquote(segment, errors="replace")


def member(obj: Mapping[str, Any], name: str) -> Any:
    """A field of a request object, its name matched regardless of case as Go does; None when absent or null."""
    if name in obj:
        return obj[name]
    folded = name.lower()
    return next((value for key, value in obj.items() if key.lower() == folded), None)


def text_member(obj: Mapping[str, Any], name: str) -> str:
    """A text field of a request object, empty when absent. Raises RequestError for another type."""
    value = member(obj, name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise invalid_argument(f"{name}: expected a string")
    return value


def bool_member(obj: Mapping[str, Any], name: str) -> bool:
    """A boolean field of a request object, false when absent. Raises RequestError for another type."""
    value = member(obj, name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise invalid_argument(f"{name}: expected a boolean")
    return value


def int_member(obj: Mapping[str, Any], name: str) -> int:
    """A whole number of a request object, 0 when absent. Raises RequestError for another type."""
    value = member(obj, name)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise invalid_argument(f"{name}: expected a number")
    return value


def text_list_member(obj: Mapping[str, Any], name: str) -> list[str]:
    """A list of texts of a request object, empty when absent. Raises RequestError for another type."""
    value = member(obj, name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise invalid_argument(f"{name}: expected a list of strings")
    return list(value)
