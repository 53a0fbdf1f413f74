"""/api/v1/stream: changes as newline-delimited JSON or server-sent events, with backpressure.

Source: api-ui 2.3 "Streams". A stream ends within seconds when its session does, and shows nothing its caller may no
longer see.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from tiphys.server.applist import Filter
from tiphys.server.authz import still_permitted, still_valid
from tiphys.server.cache import ADDED, DELETED, Change, EndedError, Follower, TooSlowError, visible
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError
from tiphys.server.fieldmask import FieldMask
from tiphys.server.http import Request, Response

CHECK_S = 5.0  # how often an idle stream looks whether its session still counts
_TREE_PAUSE_S = 0.1
_CHECKS_PER_KEEPALIVE = 3  # server-sent events: a comment every 15 s


async def stream_applications(context: Context) -> Response:
    """GET /stream/applications: what there is as ADDED unless `resourceVersion` is given, then every change."""
    wanted = Filter(context)
    follower = context.services.applications.follow()
    return stream_response(context.request, framed(_changes(context, wanted, follower), wants_events(context.request)))


async def stream_resource_tree(context: Context) -> Response:
    """GET /stream/applications/{name}/resource-tree: the tree as it is, then again whenever it has changed."""
    return stream_response(context.request, framed(_trees(context), wants_events(context.request)))


def wants_events(request: Request) -> bool:
    """Whether the client takes server-sent events."""
    return request.headers.get("accept", "").strip().startswith("text/event-stream")


def stream_response(request: Request, parts: AsyncGenerator[bytes, None]) -> Response:
    """An answer of framed items."""
    events = wants_events(request)
    return Response(
        content_type="text/event-stream" if events else "application/json",
        headers=[("X-Content-Type-Options", "nosniff")] if events else [],
        parts=parts,
    )


async def _trees(context: Context) -> AsyncGenerator[dict[str, Any] | None, None]:
    trees, app, services = context.services.trees, context.application, context.services
    if trees is None:
        return
    told = b""
    with trees.follow_tree(*app.key) as changed:
        while still_permitted(context, "applications"):
            changed.clear()
            encoded = orjson.dumps(await trees.resource_tree(*app.key) or {})
            if encoded != told:
                told = encoded
                yield {"result": orjson.Fragment(encoded)}
                await services.clock.sleep(_TREE_PAUSE_S)  # a rollout changes many objects in a row
            if not await _either(changed, services.applications.ended):
                yield None
            if services.applications.ended.is_set():
                return
    if services.applications.get(*app.key) is not None:
        yield RequestError(Code.UNAUTHENTICATED, "the session has ended").stream_error()


async def _either(first: asyncio.Event, second: asyncio.Event) -> bool:
    """Wait until one of two events is set; False when neither was within the time of a check."""
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(event.wait()) for event in (first, second)]
        done, _ = await asyncio.wait(waiting, timeout=CHECK_S, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
    return bool(done)


async def _changes(context: Context, wanted: Filter, follower: Follower) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Items of the stream; None from time to time while nothing happens."""
    request = context.request
    mask = FieldMask(request.query("fields")) if request.query("fields") else None
    told: dict[tuple[str, str], bytes] = {}
    try:
        if not request.query("resourceVersion") or request.query("name"):
            for app in list(context.services.applications):
                if wanted.shows(app):
                    item = _item(Change(ADDED, app), mask, told)
                    if item is not None:
                        yield item
        # What happened while the first answers went out waits in the follower; what was just told is not told twice.
        while True:
            try:
                async with asyncio.timeout(CHECK_S):
                    change = await follower.next()
            except TimeoutError:
                if not still_valid(context):
                    raise RequestError(Code.UNAUTHENTICATED, "the session has ended") from None
                yield None
                continue
            wanted.forget_permissions()
            if not still_valid(context):
                raise RequestError(Code.UNAUTHENTICATED, "the session has ended")
            if wanted.shows(change.app):
                item = _item(change, mask, told)
                if item is not None:
                    yield item
    except EndedError:
        return
    except TooSlowError as error:
        yield RequestError(Code.RESOURCE_EXHAUSTED, str(error)).stream_error()
    except RequestError as error:
        yield error.stream_error()
    finally:
        follower.close()


def _item(change: Change, mask: FieldMask | None, told: dict[tuple[str, str], bytes]) -> dict[str, Any] | None:
    """The item for a change; None when, as filtered, it says nothing new."""
    if mask is None:
        shown: bytes | None = change.app.encoded
    else:
        masked = mask.apply(visible(change.app.obj), "result", "application")
        shown = orjson.dumps(masked) if masked is not None else None
    if change.type == DELETED:
        told.pop(change.app.key, None)
    elif told.get(change.app.key) == (shown or b""):
        return None
    else:
        told[change.app.key] = shown or b""
    result: dict[str, Any] = {}
    if mask is None or mask.apply(change.type, "result", "type") is not None:
        result["type"] = change.type
    if shown is not None:
        result["application"] = orjson.Fragment(shown)
    return {"result": result}


async def framed(items: AsyncGenerator[dict[str, Any] | None, None], events: bool) -> AsyncGenerator[bytes, None]:
    """Items as lines or as server-sent events; None is a pause, in which only a keep-alive goes out."""
    idle = 0
    async with aclosing(items):
        async for item in items:
            if item is None:
                idle += 1
                # An empty part makes the server notice a client that has gone.
                yield b":\n" if events and idle % _CHECKS_PER_KEEPALIVE == 0 else b""
                continue
            idle = 0
            encoded = orjson.dumps(item)
            yield b"data: " + encoded + b" \n\n" if events else encoded + b"\n"
