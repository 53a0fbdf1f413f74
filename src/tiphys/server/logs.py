"""/api/v1/applications/{name}/logs: lines of the Application's Pods, as a stream or as a file.

Source: api-ui 2.3 "Streams"; compat 13.1.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from tiphys.apimachinery.apierrors import ApiError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.model.time import format_time
from tiphys.runtime.clock import Clock, parse_time
from tiphys.server.authz import still_permitted
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, invalid_argument
from tiphys.server.http import Request, Response
from tiphys.server.resources import live
from tiphys.server.stream import CHECK_S, framed, stream_response, wants_events

MAX_PODS = 10
_WAITING = 1000  # lines that wait for a slow client, over all Pods
_TOGETHER_S = 0.05  # lines of several Pods that come within this time are put into their order


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a Pod's log. `text_time` keeps the digits that the cluster wrote."""

    pod: str
    content: str
    time: datetime
    text_time: str

    def item(self, *, last: bool = False) -> dict[str, Any]:
        """Argo CD's LogEntry in a stream."""
        return {
            "result": {
                "content": self.content,
                "timeStamp": format_time(self.time),
                "last": last,
                "timeStampStr": self.text_time,
                "podName": self.pod,
            }
        }


class _End(Enum):
    OF_A_POD = 1
    OF_ALL = 2


class _Wanted:
    """Which lines are asked for."""

    def __init__(self, request: Request) -> None:
        text = request.query("filter")
        self._inverse = text.startswith("!")
        self._match_case = request.query_bool("matchCase")
        self._text = text.removeprefix("!") if self._match_case else text.removeprefix("!").lower()
        self._any = not text
        self.until: datetime | None = None
        if request.query("untilTime"):
            try:
                self.until = parse_time(request.query("untilTime"))
            except ValueError as error:
                raise invalid_argument(f"invalid untilTime parameter value: {error}") from None

    def shows(self, line: Line) -> bool:
        """The filter lets it through."""
        if self._any:
            return True
        content = line.content if self._match_case else line.content.lower()
        return (self._text in content) is not self._inverse


async def pod_logs(context: Context) -> Response:
    """GET /applications/{name}/logs and /pods/{podName}/logs."""
    request, app = context.request, context.application
    resources = live(context)
    pod_name = request.params.get("podName") or request.query("podName")
    pods = resources.pods(
        app.key,
        group="" if pod_name else request.query("group"),
        kind="Pod" if pod_name else request.query("kind"),
        namespace=request.query("namespace"),
        name=pod_name or request.query("resourceName"),
    )
    if len(pods) > MAX_PODS:
        raise invalid_argument("max pods to view logs are reached. Please provide more granular query")
    query, wanted = _query(request), _Wanted(request)
    sources = [(pod[1], resources.log(app.key, pod, query)) for pod in pods]
    follow, ended = request.query_bool("follow"), context.services.applications.ended
    lines = _merged(sources, context.services.clock, follow=follow, ended=ended)
    if request.query_bool("download"):
        named = (request.query("namespace"), pod_name, request.query("container"))
        name = "-".join(named) if all(named) else "log"
        headers = [("Content-Disposition", f'attachment; filename="{_safe(name)}.log"')]
        return Response(content_type="application/octet-stream", headers=headers, parts=_file(context, lines, wanted))
    if not pods:
        return stream_response(request, framed(_nothing(), wants_events(request)))
    return stream_response(request, framed(_items(context, lines, wanted), wants_events(request)))


def _query(request: Request) -> dict[str, str]:
    """The Kubernetes API's parameters for a log."""
    query = {"timestamps": "true"}
    for name, theirs in (("follow", "follow"), ("previous", "previous")):
        if request.query_bool(name):
            query[theirs] = "true"
    if request.query("container"):
        query["container"] = request.query("container")
    for name, theirs in (("tailLines", "tailLines"), ("sinceSeconds", "sinceSeconds")):
        if request.query_int(name) > 0:
            query[theirs] = str(request.query_int(name))
    since = request.query("sinceTime")
    if since:
        try:
            query["sinceTime"] = format_time(parse_time(since))
        except ValueError as error:
            raise invalid_argument(f"invalid sinceTime parameter value: {error}") from None
    elif request.query_int("sinceTime.seconds") > 0:
        query["sinceTime"] = format_time(datetime.fromtimestamp(request.query_int("sinceTime.seconds"), UTC))
    return query


async def _items(
    context: Context, lines: AsyncGenerator[Line | None, None], wanted: _Wanted
) -> AsyncGenerator[dict[str, Any] | None, None]:
    """Items of the stream; None from time to time while nothing happens."""
    async with aclosing(lines):
        async for line in lines:
            if line is None:
                if not still_permitted(context, "applications", "logs"):
                    yield RequestError(Code.UNAUTHENTICATED, "the session has ended").stream_error()
                    return
                yield None
            elif wanted.until is not None and line.time > wanted.until:
                yield line.item(last=True)
                return
            elif wanted.shows(line):
                yield line.item()
    now = context.services.clock.now()
    yield Line("", "", now, format_time(now)).item(last=True)


async def _file(
    context: Context, lines: AsyncGenerator[Line | None, None], wanted: _Wanted
) -> AsyncGenerator[bytes, None]:
    async with aclosing(lines):
        async for line in lines:
            if line is None:
                if not still_permitted(context, "applications", "logs"):
                    return
                yield b""
            elif wanted.until is not None and line.time > wanted.until:
                return
            elif wanted.shows(line):
                yield f"{line.content}\n".encode()


async def _nothing() -> AsyncGenerator[dict[str, Any] | None, None]:
    nothing: tuple[dict[str, Any], ...] = ()
    for item in nothing:
        yield item


async def _merged(
    sources: Sequence[tuple[str, AsyncGenerator[bytes, None]]], clock: Clock, *, follow: bool, ended: asyncio.Event
) -> AsyncGenerator[Line | None, None]:
    """Lines of all Pods in the order of their times, as far as they come together; None while nothing comes.

    A log that cannot be read is a line that says why.
    """
    queue: asyncio.Queue[Line | _End] = asyncio.Queue(_WAITING)

    async def read(pod: str, lines: AsyncGenerator[bytes, None]) -> None:
        try:
            async with aclosing(lines):
                async for raw in lines:
                    await queue.put(parse_line(pod, raw, clock))
        except (ApiError, ClusterUnreachable) as error:
            now = clock.now()
            await queue.put(Line(pod, str(error), now, format_time(now)))
        await queue.put(_End.OF_A_POD)

    async def stop() -> None:
        await ended.wait()
        await queue.put(_End.OF_ALL)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(read(pod, lines)) for pod, lines in sources]
        tasks.append(group.create_task(stop()))
        left = len(sources)
        batch: list[Line] = []
        try:
            while left > 0:
                got = await _next(queue, _TOGETHER_S if batch and follow else CHECK_S)
                if isinstance(got, Line):
                    batch.append(got)
                elif got is not None:
                    left = left - 1 if got is _End.OF_A_POD else 0
                elif not batch:
                    yield None
                if got is None or len(sources) == 1 or len(batch) >= _WAITING or not left:
                    for one in _in_order(batch):
                        yield one
                    batch = []
        except GeneratorExit:
            pass  # a task group would make a group of it
        for task in tasks:
            task.cancel()


async def _next(queue: asyncio.Queue[Line | _End], within_s: float) -> Line | _End | None:
    """The next of the queue, None when there was none in time."""
    try:
        async with asyncio.timeout(within_s):
            return await queue.get()
    except TimeoutError:
        return None


def _in_order(lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: (line.time, line.text_time)) if len(lines) > 1 else list(lines)


def parse_line(pod: str, raw: bytes, clock: Clock) -> Line:
    """A line with the time in front that the cluster puts there; one without is as old as it came."""
    text = raw.decode("utf-8", "replace").removesuffix("\r")
    stamp, space, content = text.partition(" ")
    try:
        return Line(pod, content if space else "", parse_time(stamp), stamp)
    except ValueError:
        now = clock.now()
        return Line(pod, text, now, format_time(now))


def _safe(name: str) -> str:
    return "".join(char for char in name if char.isalnum() or char in "-._")
