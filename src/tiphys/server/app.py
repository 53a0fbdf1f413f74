"""Route table, order of the checks, one error handler: the ASGI application.

Order: content type, route, session, access check, handler. Source: api-ui 2.3.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing

import orjson

from tiphys.server import clusters, repositories, session, settings, webhook
from tiphys.server.authz import PUBLIC, SIGNED_IN, authenticate, require_session
from tiphys.server.context import Context
from tiphys.server.errors import Code, PlainError, RequestError, request_error
from tiphys.server.http import Receive, Request, Response, Scope, Send, text_response
from tiphys.server.ports import Services
from tiphys.server.routetable import account_routes, application_routes, project_routes
from tiphys.server.routing import Access, Route, Router

V1 = "/api/v1"
WEBHOOK = "/api/webhook"
_LOGS = re.compile(rf"{V1}/applications/[^/]+(/pods/[^/]+)?/logs").fullmatch
_HEADERS = [
    ("X-Frame-Options", "sameorigin"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cache-Control", "no-store"),
]


def routes(*, metrics: bool = False) -> tuple[Route, ...]:
    """Every route with its access check."""
    table = [
        Route("GET", "/healthz", _healthz, PUBLIC),
        Route("GET", "/api/version", settings.get_version, PUBLIC),
        Route("POST", WEBHOOK, webhook.receive, PUBLIC),
        Route("GET", "/auth/logout", session.logout, PUBLIC),
        Route("POST", f"{V1}/session", session.create_session, PUBLIC),
        Route("DELETE", f"{V1}/session", session.delete_session, PUBLIC),
        Route("GET", f"{V1}/session/userinfo", session.user_info, PUBLIC),
        Route("GET", f"{V1}/settings", settings.get_settings, PUBLIC),
        Route("GET", f"{V1}/settings/plugins", settings.get_plugins, SIGNED_IN),
    ]
    table += application_routes(V1) + project_routes(V1) + account_routes(V1)
    table += clusters.routes(V1)
    table += repositories.routes(V1)
    if metrics:
        table.append(Route("GET", "/metrics", _metrics, _METRICS))
    return tuple(table)


class App:
    """The HTTP API as an ASGI application."""

    def __init__(self, services: Services, *, extra_routes: tuple[Route, ...] = ()) -> None:
        self._services = services
        self.router = Router((*routes(metrics=services.metrics is not None), *extra_routes))

    def end_streams(self) -> None:
        """End all open streams, so that the server can stop."""
        self._services.applications.end_followers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise RuntimeError(f"no {scope['type']} connections are served")
        request = Request(scope, receive)
        response = await self._answer(request)
        response.headers += _HEADERS
        await send(response.start_message())
        if response.parts is None:
            await send({"type": "http.response.body", "body": response.body})
        else:
            await _send_parts(request, response.parts, send)

    async def _answer(self, request: Request) -> Response:
        try:
            _check_content_type(request)
            route, request.params = self.router.find(request.method, request.raw_path)
            context = Context(request, self._services)
            authenticate(context)
            access = route.access
            assert access is not None
            if access.session:
                require_session(context)
            await access.check(context)
            response = await route.handler(context)
            self._renew(context, response)
            return response
        except PlainError as error:
            return text_response(error.text, error.status)
        except Exception as error:
            return self._error(request, error)

    def _renew(self, context: Context, response: Response) -> None:
        """A browser's session that is about to end is issued anew."""
        principal, sessions = context.principal, self._services.sessions
        if principal is None or "argocd.token" not in context.request.headers.get("cookie", ""):
            return
        if sessions.is_ending(principal) and not any(name == "Set-Cookie" for name, _ in response.headers):
            token = sessions.issue(principal.name)
            response.headers += session.session_cookies(token, secure=self._services.secure)

    def _error(self, request: Request, error: Exception) -> Response:
        known = request_error(error)
        if known is None:
            self._services.log.exception("request failed", error, method=request.method, path=request.raw_path)
            known = RequestError(Code.INTERNAL, "internal error; the server's log says more")
        if request.raw_path.startswith(f"{V1}/stream/") or _LOGS(request.raw_path):
            return Response(orjson.dumps(known.stream_error()), known.http_status)
        return Response(known.body(), known.http_status)


async def _check_metrics(context: Context) -> None:
    """Metrics name every Application: they are for whoever may see all of them."""
    context.enforce("applications", "get", "*/*")


_METRICS = Access("applications, get, */*", _check_metrics)


def _check_content_type(request: Request) -> None:
    """Against cross-site requests: whatever changes something says it is JSON, which a form cannot.

    Webhooks have no session that another site could use.
    """
    path = request.raw_path
    if request.method in ("GET", "HEAD", "OPTIONS") or path == WEBHOOK or not path.startswith("/api/"):
        return
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise PlainError(415, "Invalid content type")


async def _send_parts(request: Request, parts: AsyncGenerator[bytes, None], send: Send) -> None:
    """Send a stream until it ends or the client goes."""

    async def pump() -> None:
        async with aclosing(parts) as open_parts:
            async for part in open_parts:
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async with asyncio.TaskGroup() as group:
        pumping = group.create_task(pump())
        leaving = group.create_task(request.disconnected())
        await asyncio.wait((pumping, leaving), return_when=asyncio.FIRST_COMPLETED)
        pumping.cancel()
        leaving.cancel()


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _healthz(context: Context) -> Response:
    """GET /healthz: ok once Applications have been read."""
    if not context.services.applications.synced.is_set():
        return text_response("applications have not been read yet", 503)
    return Response(b"ok", content_type="text/plain; charset=utf-8")


async def _metrics(context: Context) -> Response:
    """GET /metrics in Prometheus' text form."""
    metrics = context.services.metrics
    return Response((metrics() if metrics else "").encode(), content_type="text/plain; version=0.0.4; charset=utf-8")
