"""The ASGI application: HTTP in and out, authentication, health, discovery; resources are `handlers`' work."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import orjson

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.yamljson import dump_yaml
from tiphys.devcluster.answers import write_event
from tiphys.devcluster.auth import ANONYMOUS, User
from tiphys.devcluster.core import Core
from tiphys.devcluster.discovery import Discovery, version_info
from tiphys.devcluster.handlers import Answer, Handlers, PageNotFoundError, Request, WatchAnswer, not_found_path
from tiphys.devcluster.negotiation import (
    AggregatedForm,
    Form,
    Query,
    discovery_form,
    document_as_yaml,
    object_form,
    writes_json,
)
from tiphys.devcluster.openapi import OpenApi
from tiphys.devcluster.rbac import Attributes
from tiphys.devcluster.rbac_gate import attributes_of
from tiphys.devcluster.routes import parse_object_path
from tiphys.devcluster.status import internal, is_too_deep, status_of, write_status
from tiphys.devcluster.watch import Watch

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

BODY_LIMIT = 3 * 1024 * 1024
BOOKMARK_EVERY_S = 60.0
LAST_BOOKMARK_S = 2.0  # before the end of a watch
MAX_WATCH_S = 3600.0  # a watch without timeoutSeconds ends some time, as on the real server

_JSON: Header = (b"content-type", b"application/json")
_YAML: Header = (b"content-type", b"application/yaml")
_TEXT: Header = (b"content-type", b"text/plain; charset=utf-8")
_NOT_CACHED: Header = (b"cache-control", b"no-cache, private")
_CHECKS = ("ping", "log", "etcd")
_NOT_SERVED = {
    "/metrics": "the embedded cluster keeps no metrics of itself; `tiphys` serves those of the engine at its own /metrics",
    "/openapi/v2": "the embedded cluster describes its API at /openapi/v3 only",
    "/debug/pprof": "the embedded cluster is no Go program and has no profiles",
    "/.well-known/openid-configuration": "the embedded cluster is no OpenID provider; a TokenReview judges its tokens",
    "/openid/v1/jwks": "the embedded cluster is no OpenID provider; a TokenReview judges its tokens",
}
_HEALTH = ("/healthz", "/livez", "/readyz")

_log = logging.getLogger(__name__)


class App:
    """Serves one Core. `stop` ends the open watches so that a graceful shutdown is quick."""

    def __init__(self, core: Core, *, address: str, bookmark_every_s: float = BOOKMARK_EVERY_S) -> None:
        self._core = core
        self._handlers = Handlers(core)
        self._discovery = Discovery(core.registry, address)
        self._openapi = OpenApi(core.registry)
        self._bookmark_every_s = bookmark_every_s
        self._watches: set[Watch] = set()
        self._stopping = False

    def stop(self) -> None:
        """End every open watch and refuse new ones."""
        self._stopping = True
        for watch in tuple(self._watches):
            watch.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry point."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        try:
            await self._serve(scope, headers, receive, send)
        except ApiError as exc:
            await _send_error(send, exc)
        except PageNotFoundError:
            await _send(send, 404, b"404 page not found\n", _TEXT)
        except Exception as exc:  # a bug or a failed store: said to the client, with details in the log
            if is_too_deep(exc):
                await _send_error(send, apierrors.bad_request("exceeded max depth"))
                return
            _log.exception("request failed", extra={"path": scope["path"], "method": scope["method"]})
            await _send_error(send, internal(exc))

    async def _serve(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send) -> None:
        if "/watch/" in scope["path"]:
            scope = _as_watch(scope)
        path: str = scope["path"]
        method: str = scope["method"]
        if path.startswith(_HEALTH) and (path in _HEALTH or path.rpartition("/")[2] in _CHECKS):
            await self._health(path, send)
            return
        if path in ("/version", "/version/"):
            _only_get(method)
            if not writes_json(_accept(headers)):
                refused = apierrors.NotAcceptable("406: Not Acceptable\n\nAvailable representations: application/json")
                await _send_error(send, refused, as_yaml=_wants_yaml(_accept(headers)))
                return
            await _send(send, 200, orjson.dumps(version_info()))
            return
        user = self._user_of(scope, headers)
        object_path = parse_object_path(path)
        if object_path is None:
            query = Query(scope["query_string"])
            self._core.gate.admit(user, method, path, None, query)
            await self._document(method, path, headers, query, send)
            return
        request = Request(
            method=method,
            path=object_path,
            query=Query(scope["query_string"]),
            user=user,
            accept=_accept(headers),
            content_type=headers.get(b"content-type", b"").decode("latin-1"),
            user_agent=headers.get(b"user-agent", b"").decode("latin-1"),
        )
        self._core.gate.admit(user, method, path, object_path, request.query)
        if method in ("POST", "PUT", "PATCH", "DELETE"):
            request.body = await _read_body(receive)
        if not object_path.name and object_path.plural == "watch":
            raise not_found_path()
        try:
            answer = await self._handlers.handle(request)
        except ApiError as exc:
            await _send_error(send, exc, request.warnings, as_yaml=_wants_yaml(request.accept))
            return
        if isinstance(answer, WatchAnswer):
            await self._stream(answer, receive, send, request.warnings)
            return
        await self._answer(request, answer, send)

    def _user_of(self, scope: Scope, headers: dict[bytes, bytes]) -> User:
        """As whom a request is made. Raises Unauthorized, Forbidden."""
        user = self._core.auth.user_of(headers.get(b"authorization", b""), scope.get("client_certificate"))
        if user is None or (user is ANONYMOUS and not self._core.gate.admits_anonymous):
            raise apierrors.unauthorized()
        if any(name.startswith(b"impersonate-") for name in headers):
            asker, path = user, scope["path"]

            def asked() -> Attributes:
                query = Query(scope["query_string"])
                return attributes_of(asker, scope["method"], path, parse_object_path(path), query)

            user = self._core.gate.act_as(user, scope["headers"], asked)
        return user

    async def _answer(self, request: Request, answer: Answer, send: Send) -> None:
        extra = _warnings(request.warnings + answer.warnings)
        if request.accept and answer.content_type == "application/json" and object_form(request.accept)[1]:
            body = dump_yaml(orjson.loads(answer.body)).encode()
            await _send(send, answer.code, body, (b"content-type", b"application/yaml"), extra)
            return
        await _send(send, answer.code, answer.body, (b"content-type", answer.content_type.encode()), extra)

    # ---- documents ----

    async def _health(self, path: str, send: Send) -> None:
        failure = self._core.store.failure
        if failure is not None:
            await _send(send, 500, b"[-]store failed\n", _TEXT)
            return
        await _send(send, 200, b"ok", _TEXT, sniffed=path not in _HEALTH)

    async def _document(self, method: str, path: str, headers: dict[bytes, bytes], query: Query, send: Send) -> None:
        """Discovery and OpenAPI. Most of it is answered whatever the method is, as on the real server."""
        parts = path.strip("/").split("/")
        accept = _accept(headers)
        if parts[:2] == ["openapi", "v3"] and len(parts) > 2:
            await self._openapi_document("/".join(parts[2:]), query, send)
            return
        if parts in (["api"], ["apis"]):
            form = discovery_form(accept)
            if form is not AggregatedForm.NONE and method == "GET":
                await self._aggregated("/" + parts[0], form, headers, send)
                return
        body = self._plain_document(parts)
        if body is None:
            if (why := _NOT_SERVED.get(path.rstrip("/"))) is not None:
                raise apierrors.NotFound(why)
            if path.startswith("/.well-known/openid-configuration/"):
                raise not_found_path()
            if parts[0] not in ("api", "apis") or (len(parts) > 2 and parts[1] not in self._core.registry.groups()):
                raise PageNotFoundError
            if parts[0] == "apis" and len(parts) == 2:
                raise PageNotFoundError
            raise not_found_path()
        routed = parts[0] == "api" or (len(parts) == 3 and not self._serves_custom(parts[1], parts[2]))
        if routed:
            _only_get(method)
        if parts[0] in ("api", "apis") and document_as_yaml(accept, routed=routed):
            await _send(send, 200, dump_yaml(orjson.loads(body)).encode(), _YAML)
            return
        await _send(send, 200, body)

    def _serves_custom(self, group: str, version: str) -> bool:
        found = self._core.registry.groups().get(group, {}).get(version, {})
        return any(one.custom is not None for one in found.values())

    def _plain_document(self, parts: list[str]) -> bytes | None:
        if parts == [""]:
            return self._discovery.paths()
        if parts == ["api"]:
            return self._discovery.core_versions()
        if parts == ["apis"]:
            return self._discovery.group_list()
        if parts[0] == "api" and len(parts) == 2:
            return self._discovery.resource_list("", parts[1])
        if parts[0] == "apis" and len(parts) == 2:
            return self._discovery.group(parts[1])
        if parts[0] == "apis" and len(parts) == 3:
            return self._discovery.resource_list(parts[1], parts[2])
        return self._openapi.index() if parts == ["openapi", "v3"] else None

    async def _openapi_document(self, path: str, query: Query, send: Send) -> None:
        found = self._openapi.document(path)
        if found is None:
            await _send(send, 404, b"", None)
            return
        body, digest = found
        extra: list[Header] = [(b"etag", f'"{digest}"'.encode()), (b"vary", b"Accept")]
        if query.text("hash") == digest:
            extra.append((b"cache-control", b"public, immutable, max-age=31536000"))
        await _send(send, 200, body, _JSON, extra)

    async def _aggregated(self, root: str, form: AggregatedForm, headers: dict[bytes, bytes], send: Send) -> None:
        body, etag = self._discovery.aggregated(root, form)
        kind = f"application/json;g=apidiscovery.k8s.io;v={form.value};as=APIGroupDiscoveryList".encode()
        extra: list[Header] = [(b"etag", etag.encode()), (b"vary", b"Accept")]
        if headers.get(b"if-none-match") == etag.encode():
            await _send(send, 304, b"", (b"content-type", kind), extra)
            return
        extra.append((b"cache-control", b"public"))
        await _send(send, 200, body, (b"content-type", kind), extra)

    # ---- watches ----

    async def _stream(self, answer: WatchAnswer, receive: Receive, send: Send, warnings: list[str]) -> None:
        """Send events until the client leaves, the time is over, or the watch falls behind."""
        await send(
            {"type": "http.response.start", "status": 200, "headers": [_JSON, _NOT_CACHED, *_warnings(warnings)]}
        )
        if answer.error is not None:
            await _send_watch_error(send, answer.error)
            return
        watch = answer.watch
        self._watches.add(watch)
        if self._stopping:
            watch.stop()
        loop = asyncio.get_running_loop()
        end = loop.call_later(answer.timeout_s or MAX_WATCH_S, watch.stop)
        try:
            async with asyncio.TaskGroup() as group:
                leaving = group.create_task(_until_left(receive, watch))
                if answer.bookmarks:
                    bookmarks = group.create_task(self._send_bookmarks(watch, answer.timeout_s))
                try:
                    await self._send_events(answer, send)
                finally:
                    leaving.cancel()
                    if answer.bookmarks:
                        bookmarks.cancel()
        finally:
            end.cancel()
            watch.stop()
            self._watches.discard(watch)

    async def _send_events(self, answer: WatchAnswer, send: Send) -> None:
        first = True
        while True:
            try:
                events = await answer.watch.take()
            except ApiError as exc:
                await _send_watch_error(send, exc)
                return
            if not events:
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            if answer.view.form.value == "Table":
                answer.view = answer.view._replace(now=self._core.clock.now())
            lines = []
            for event in events:
                lines.append(write_event(answer.view, event, first=first))
                first = False
            await send({"type": "http.response.body", "body": b"".join(lines), "more_body": True})

    async def _send_bookmarks(self, watch: Watch, timeout_s: float | None) -> None:
        """Now and then, and a last one shortly before the watch ends. Source: apiserver storage/cacher nextBookmarkTime."""
        left = (timeout_s or MAX_WATCH_S) - LAST_BOOKMARK_S
        while not watch.closed:
            pause = min(self._bookmark_every_s, left) if left > 0 else self._bookmark_every_s
            await self._core.clock.sleep(pause)
            left -= pause
            watch.poke_bookmark()


_WATCHED = re.compile(r"(/api/v1|/apis/[^/]+/[^/]+)/watch(/.+)")


def _as_watch(scope: Scope) -> Scope:
    """A GET below the deprecated prefix `/watch/` is one of the collection, with `watch=true`; of the one that is named."""
    found = _WATCHED.fullmatch(scope["path"])
    if found is None or scope["method"] != "GET":
        return scope
    path, query = found[1] + found[2], b"watch=1"
    words = found[2].split("/")[1:]
    if len(words) in (2, 4) and (len(words) == 4 or words[0] != "namespaces" or not found[1].startswith("/apis")):
        path, query = path.rpartition("/")[0], b"watch=1&fieldSelector=metadata.name%3D" + words[-1].encode()
    return {**scope, "path": path, "query_string": query + b"&" + scope["query_string"]}


def _accept(headers: dict[bytes, bytes]) -> str:
    return headers.get(b"accept", b"").decode("latin-1")


def _only_get(method: str) -> None:
    if method != "GET":
        raise apierrors.MethodNotAllowed("the server does not allow this method on the requested resource")


async def _until_left(receive: Receive, watch: Watch) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            watch.stop()
            return


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    parts = [body]
    size = len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise apierrors.bad_request("the client left before the body was complete")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT:
            raise apierrors.request_too_large(f"limit is {BODY_LIMIT}")
    return b"".join(parts)


def _wants_yaml(accept: str) -> bool:
    """Whether an error is to be written in YAML: whenever that is what the client would rather have."""
    if "yaml" not in accept:
        return False
    try:
        form, as_yaml = object_form(accept)
        return as_yaml and form is Form.FULL
    except ApiError:
        return False


def _warnings(texts: list[str]) -> list[Header]:
    return [(b"warning", _warning(text)) for text in dict.fromkeys(texts)]


def _warning(text: str) -> bytes:
    shown = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
    return f'299 - "{shown}"'.encode()


async def _send(
    send: Send,
    code: int,
    body: bytes,
    content_type: Header | None = _JSON,
    extra: list[Header] | None = None,
    *,
    sniffed: bool = False,
) -> None:
    headers: list[Header] = [(b"content-length", b"%d" % len(body))]
    if content_type is not None:
        headers.append(content_type)
        if content_type[1].startswith(b"text/plain;") and not sniffed:
            headers.append((b"x-content-type-options", b"nosniff"))
    if not extra or all(name != b"cache-control" for name, _ in extra):
        headers.append(_NOT_CACHED)
    if extra:
        headers += extra
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _send_error(send: Send, error: ApiError, warnings: list[str] | None = None, *, as_yaml: bool = False) -> None:
    extra = _warnings(warnings) if warnings else []
    if error.retry_after_s:
        extra.append((b"retry-after", b"%d" % int(error.retry_after_s)))
    if error.code == 401:
        extra.append((b"www-authenticate", b'Bearer realm="kubernetes"'))
    body = write_status(error)
    if as_yaml:
        await _send(send, error.code, dump_yaml(orjson.loads(body)).encode(), _YAML, extra)
        return
    await _send(send, error.code, body, _JSON, extra)


async def _send_watch_error(send: Send, error: ApiError) -> None:
    line = orjson.dumps({"type": "ERROR", "object": status_of(error)}) + b"\n"
    await send({"type": "http.response.body", "body": line, "more_body": False})
