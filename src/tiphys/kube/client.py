"""get, list, create, patch, apply, delete, watch; objects are plain dicts.

Server-side apply is `patch` with content type APPLY. Errors the server answers are `ApiError`s, everything else that
goes wrong between here and there is `ClusterUnreachable`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import quote

import orjson

from tiphys.apimachinery.apierrors import ApiError, unexpected
from tiphys.apimachinery.names import GroupKind, GroupVersionKind
from tiphys.kube.auth import Auth
from tiphys.kube.config import ClusterConfig
from tiphys.kube.lines import LineSplitter, LineTooLongError
from tiphys.kube.transport import ClusterUnreachable, Observe, Response, Transport
from tiphys.runtime.clock import Clock
from tiphys.runtime.httpclient import CONNECTION_LIMIT

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"  # JSON is YAML, and parsed faster

PAGE_SIZE = 500
MAX_EVENT_BYTES = 32 * 1024 * 1024  # etcd holds 1.5 MiB by default; aggregated API servers may send more
WATCH_GRACE_S = 30.0
_TEXT_LIMIT = 2048

Json = dict[str, Any]


_PLAIN_NAME = re.compile(r"[A-Za-z0-9._:\-]+").fullmatch


class ApiResource(NamedTuple):
    """One resource an API server serves."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str] = frozenset()

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def gvk(self) -> GroupVersionKind:
        """Group, version and kind."""
        return GroupVersionKind(self.group, self.version, self.kind)

    @property
    def group_kind(self) -> GroupKind:
        """Group and kind."""
        return GroupKind(self.group, self.kind)

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Path on the server; without namespace that of all namespaces, without name that of the collection."""
        path = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if namespace and self.namespaced:
            path += f"/namespaces/{_segment(namespace)}"
        path += f"/{self.plural}"
        if name:
            path += f"/{_segment(name)}"
        return f"{path}/{subresource}" if subresource else path


class ListPage(NamedTuple):
    """Some of a list's objects. `resource_version` is the list's and the same on every page."""

    items: list[Json]
    resource_version: str


class WatchEvent(NamedTuple):
    """ADDED, MODIFIED, DELETED or BOOKMARK, with the object."""

    type: str
    object: Json


class KubeClient:
    """Talks to one API server. An async context manager; one client serves any number of tasks."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        user_agent: str,
        auth: Auth | None = None,
        clock: Clock | None = None,
        env: Mapping[str, str] | None = None,
        connection_limit: int = CONNECTION_LIMIT,
        timeout_s: float = 60.0,
        observe: Observe | None = None,
    ) -> None:
        """`env` is the environment exec plugins start from; watches do not count against `connection_limit`.

        `observe` is told about every answer, for metrics.
        """
        self.transport = Transport(
            config,
            user_agent=user_agent,
            auth=auth,
            clock=clock,
            env=env,
            connection_limit=connection_limit,
            timeout_s=timeout_s,
            observe=observe,
        )
        self.config = config

    @property
    def server(self) -> str:
        """URL of the API server, without a trailing slash."""
        return self.transport.server

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str = "application/json",
        timeout_s: float | None = None,
    ) -> Response:
        """Send any request; every status is an answer. Raises ClusterUnreachable."""
        return await self.transport.request(
            method, path, query=query, body=body, content_type=content_type, accept=accept, timeout_s=timeout_s
        )

    async def request_json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        timeout_s: float | None = None,
    ) -> Json:
        """Send any request and parse its answer. Raises ApiError for a status from 400 on, ClusterUnreachable."""
        answer = await self.transport.request(
            method, path, query=query, body=body, content_type=content_type, timeout_s=timeout_s
        )
        if answer.status >= 300:
            raise error_of(answer)
        return self._parse(answer)

    async def get(self, res: ApiResource, name: str, namespace: str = "", *, subresource: str = "") -> Json:
        """One object."""
        return await self.request_json("GET", res.path(namespace, name, subresource))

    async def create(
        self,
        res: ApiResource,
        obj: Mapping[str, object],
        namespace: str = "",
        *,
        field_manager: str,
        dry_run: bool = False,
        field_validation: str | None = None,
        name: str = "",
        subresource: str = "",
    ) -> Json:
        """Create an object; without `namespace`, in the one written in it. `name` and `subresource` are for e.g. evictions."""
        path = res.path(namespace or _metadata(obj, "namespace"), name, subresource)
        query = _write_query(field_manager, dry_run, field_validation)
        return await self.request_json("POST", path, query=query, body=_dump(obj), content_type="application/json")

    async def replace(
        self,
        res: ApiResource,
        obj: Mapping[str, object],
        namespace: str = "",
        *,
        field_manager: str,
        dry_run: bool = False,
        subresource: str = "",
        field_validation: str | None = None,
    ) -> Json:
        """Put an object in the place of the one of its name."""
        path = res.path(namespace or _metadata(obj, "namespace"), _metadata(obj, "name"), subresource)
        query = _write_query(field_manager, dry_run, field_validation)
        return await self.request_json("PUT", path, query=query, body=_dump(obj), content_type="application/json")

    async def patch(
        self,
        res: ApiResource,
        name: str,
        body: Mapping[str, object] | list[Any] | bytes,
        namespace: str = "",
        *,
        content_type: str,
        field_manager: str,
        force: bool = False,
        dry_run: bool = False,
        subresource: str = "",
        field_validation: str | None = None,
    ) -> Json:
        """Change an object with a patch of the given content type; bytes are sent as they are. `force` is APPLY's."""
        query = _write_query(field_manager, dry_run, field_validation)
        if force:
            query["force"] = "true"
        data = body if isinstance(body, bytes) else _dump(body)
        path = res.path(namespace, name, subresource)
        return await self.request_json("PATCH", path, query=query, body=data, content_type=content_type)

    async def delete(
        self,
        res: ApiResource,
        name: str,
        namespace: str = "",
        *,
        propagation: str | None = None,
        grace_period_s: int | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
    ) -> Json:
        """Delete an object; `uid` and `resource_version` are preconditions. Gives the object or a Status."""
        options: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if propagation is not None:
            options["propagationPolicy"] = propagation
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        if given := {key: value for key, value in preconditions.items() if value is not None}:
            options["preconditions"] = given
        if dry_run:
            options["dryRun"] = ["All"]
        path = res.path(namespace, name)
        return await self.request_json("DELETE", path, body=_dump(options), content_type="application/json")

    async def list_pages(
        self,
        res: ApiResource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        resource_version: str | None = None,
    ) -> AsyncIterator[ListPage]:
        """All objects, in pages of `limit` (0: in one). Each object says its apiVersion and kind.

        `resource_version` "0" takes what the server has in memory, which may be old and ignores `limit`. Raises
        ApiError; `Expired` in the middle means that the list must be started again.
        """
        path = res.path(namespace)
        query = _select_query(label_selector, field_selector)
        if limit:
            query["limit"] = str(limit)
        if resource_version is not None:
            query["resourceVersion"] = resource_version
        while True:
            page = await self.request_json("GET", path, query=query)
            items: list[Json] = page.get("items") or []
            for item in items:  # the items of built-in lists leave out what the list says once
                if "kind" not in item:
                    item["kind"] = res.kind
                    item["apiVersion"] = res.api_version
            metadata = page.get("metadata") or {}
            yield ListPage(items, metadata.get("resourceVersion") or "")
            token = metadata.get("continue")
            if not token:
                return
            query["continue"] = token
            query.pop("resourceVersion", None)

    async def watch(
        self,
        res: ApiResource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_s: int = 300,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, until the server ends the watch (at the latest after `timeout_s`).

        Raises Gone when the version is too old, other ApiErrors, ClusterUnreachable.
        """
        batches = self.watch_batches(
            res,
            namespace,
            resource_version=resource_version,
            label_selector=label_selector,
            field_selector=field_selector,
            bookmarks=bookmarks,
            timeout_s=timeout_s,
        )
        async with aclosing(batches):
            async for batch in batches:
                for event in batch:
                    yield event

    async def watch_batches(
        self,
        res: ApiResource,
        namespace: str = "",
        *,
        resource_version: str,
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_s: int = 300,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> AsyncGenerator[list[WatchEvent], None]:
        """As `watch`, with the events that arrived together in one list, which costs less. The first list may be empty:
        it says that the server has accepted the watch."""
        query = _select_query(label_selector, field_selector)
        query |= {"watch": "1", "resourceVersion": resource_version, "timeoutSeconds": str(timeout_s)}
        if bookmarks:
            query["allowWatchBookmarks"] = "true"
        splitter = LineSplitter(max_event_bytes)
        path = res.path(namespace)
        async with self.transport.stream(path, query=query, timeout_s=timeout_s + WATCH_GRACE_S) as response:
            if response.status != 200:
                try:
                    body = await response.content.read(65536)
                except Exception as error:
                    raise self.transport.unreachable(error) from None
                raise error_of(Response(response.status, response.headers, body))
            yield []
            chunks = response.content.iter_any()
            while True:
                try:
                    chunk = await anext(chunks, None)
                    lines = splitter.feed(chunk) if chunk is not None else splitter.rest()
                    events = [event for line in lines if (event := _parse_event(line)) is not None]
                except (ApiError, ClusterUnreachable):
                    raise
                except orjson.JSONDecodeError:
                    raise ClusterUnreachable(self.server, "a watch event is no JSON") from None
                except LineTooLongError as error:
                    raise ClusterUnreachable(self.server, str(error)) from None
                except Exception as error:
                    raise self.transport.unreachable(error) from None
                if events:
                    yield events
                if chunk is None:
                    return

    async def version(self) -> Json:
        """The server's /version: gitVersion, major, minor, platform and more."""
        return await self.request_json("GET", "/version")

    def _parse(self, answer: Response) -> Json:
        try:
            parsed = orjson.loads(answer.body)
        except orjson.JSONDecodeError:
            raise ClusterUnreachable(self.server, f"its answer ({answer.status}) is no JSON") from None
        if not isinstance(parsed, dict):
            raise ClusterUnreachable(self.server, f"its answer ({answer.status}) is no JSON object")
        return parsed


def error_of(answer: Response) -> ApiError:
    """The ApiError an answer with an error status stands for, from its Status or from its plain text."""
    try:
        status = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return ApiError.from_status(status, answer.status)
    media_type = answer.headers.get("Content-Type", "")
    text = "unknown"
    if not media_type or media_type.startswith("text/"):
        text = answer.body[:_TEXT_LIMIT].decode("utf-8", "replace").strip()
    retry = answer.headers.get("Retry-After", "")
    return unexpected(answer.status, text, retry_after_s=int(retry) if retry.isascii() and retry.isdigit() else 0)


def _parse_event(line: bytes) -> WatchEvent | None:
    """One line of a watch; None for an empty one. Raises the ApiError of an ERROR event."""
    if not line:
        return None
    event = orjson.loads(line)
    kind, obj = event["type"], event["object"]
    if kind == "ERROR":
        raise ApiError.from_status(obj, int(obj.get("code") or 500))
    return WatchEvent(kind, obj)


def _segment(name: str) -> str:
    """A name as a part of a path; nearly all need no quoting, and looking is cheaper than quoting."""
    return name if _PLAIN_NAME(name) else quote(name, safe=":")


def _write_query(field_manager: str, dry_run: bool, field_validation: str | None) -> dict[str, str]:
    query = {"fieldManager": field_manager} if field_manager else {}
    if dry_run:
        query["dryRun"] = "All"
    if field_validation:
        query["fieldValidation"] = field_validation
    return query


def _select_query(label_selector: str, field_selector: str) -> dict[str, str]:
    query = {}
    if label_selector:
        query["labelSelector"] = label_selector
    if field_selector:
        query["fieldSelector"] = field_selector
    return query


def _metadata(obj: Mapping[str, object], field: str) -> str:
    metadata = obj.get("metadata")
    return str(metadata.get(field) or "") if isinstance(metadata, Mapping) else ""


def _dump(obj: object) -> bytes:
    return orjson.dumps(obj, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is nothing JSON can hold")
