"""/api/v1/applications as a list: filtered by what is asked for and may be seen, cut to fields, in pages.

Source: api-ui 2.3 "Paging". Differs: `limit`, `offset`, `search` and `sort` are honoured; who does not send them gets everything.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from tiphys.apimachinery.selector import LabelSelector, parse_labels
from tiphys.model.repository import normalize_git_url
from tiphys.policy.rbac import Permissions
from tiphys.server.cache import StoredApplication
from tiphys.server.context import Context
from tiphys.server.errors import invalid_argument
from tiphys.server.fieldmask import FieldMask
from tiphys.server.http import Response

_LIST_PART = 500  # Applications looked at in one go: a few milliseconds


class Filter:
    """Which Applications a list or stream is asked for, and which of them the caller may see."""

    def __init__(self, context: Context) -> None:
        request = context.request
        self._context = context
        self._name = request.query("name")
        self._namespace = request.query("appNamespace")
        self._projects = frozenset(request.query_list("projects", "project"))
        self._repo = normalize_git_url(request.query("repo"))
        self._search = request.query("search").lower()
        self._selector: LabelSelector = parse_labels(request.query("selector"))
        self._permissions: dict[str, Permissions | None] = {}  # None: everything in the project may be seen
        self._own_namespace = context.services.namespace
        self._is_narrow = bool(
            self._name
            or self._namespace
            or self._search
            or self._projects
            or self._repo
            or not self._selector.everything
        )

    def shows(self, app: StoredApplication) -> bool:
        """Whether the Application is asked for and may be seen."""
        return (not self._is_narrow or self._matches(app)) and self.permits(app)

    def _matches(self, app: StoredApplication) -> bool:
        if (self._name and app.name != self._name) or (self._namespace and app.namespace != self._namespace):
            return False
        if self._search and self._search not in app.name.lower():
            return False
        if self._projects and app.project not in self._projects:
            return False
        if not self._selector.everything and not self._selector.matches(app.metadata.get("labels") or {}):
            return False
        return not self._repo or any(normalize_git_url(url) == self._repo for url in _repo_urls(app.obj))

    def shows_all(self, places: Iterable[tuple[str, str]]) -> bool:
        """Whether everything in these projects and namespaces is asked for and may be seen. False may still be so."""
        if self._is_narrow:
            return False
        return all(self._of(project) is None and self._serves(namespace) for project, namespace in places)

    def _of(self, project: str) -> Permissions | None:
        try:
            return self._permissions[project]
        except KeyError:
            asked = self._context.permissions("applications", "get", project)
            found = self._permissions[project] = None if asked.covers_project(project) else asked
            return found

    def _serves(self, namespace: str) -> bool:
        return namespace == self._own_namespace or self._context.serves(namespace)

    def permits(self, app: StoredApplication) -> bool:
        """Whether the caller may see it."""
        permissions = self._of(app.project)
        if not self._serves(app.namespace):
            return False
        return permissions is None or bool(permissions.of(app.rbac_object(self._own_namespace)))

    def forget_permissions(self) -> None:
        """Ask anew: roles may have changed."""
        self._permissions.clear()


async def list_applications(context: Context) -> Response:
    """GET /applications: all that the caller may see, sorted by name unless `sort` says otherwise."""
    request, cache = context.request, context.services.applications
    wanted = Filter(context)
    limit, offset = request.query_int("limit"), request.query_int("offset")
    if limit < 0 or offset < 0:
        raise invalid_argument("limit and offset must not be negative")
    mask = FieldMask(request.query("fields")) if request.query("fields") else None
    now = cache.shown()  # others run between the parts below
    everything = _sorted(now.apps, request.query("sort"))
    is_whole = wanted.shows_all(now.places)
    if is_whole and mask is not None and everything is now.apps and not (limit or offset):
        return _answer(mask.apply({"resourceVersion": cache.resource_version}, "metadata"), now.cut(mask))
    shown = everything if is_whole else await _only(wanted, everything)
    page = shown[offset : offset + limit] if limit else shown[offset:]
    metadata: dict[str, Any] | None = {"resourceVersion": cache.resource_version}
    left = len(shown) - offset - len(page)
    if metadata is not None and left > 0:
        metadata["remainingItemCount"] = left
    if mask is not None:
        metadata = mask.apply(metadata, "metadata")
    items: list[bytes] = []
    for start in range(0, len(page), _LIST_PART):
        part = page[start : start + _LIST_PART]
        if mask is None:
            items += [app.encoded for app in part]
        else:
            items += [app.cut(mask) for app in part]
        await asyncio.sleep(0)
    return _answer(metadata, b",".join(items))


async def _only(wanted: Filter, apps: Sequence[StoredApplication]) -> Sequence[StoredApplication]:
    found: list[StoredApplication] = []
    for start in range(0, len(apps), _LIST_PART):
        found += [app for app in apps[start : start + _LIST_PART] if wanted.shows(app)]
        await asyncio.sleep(0)
    return found


def _answer(metadata: Any, items: bytes) -> Response:
    head = b'"metadata":' + orjson.dumps(metadata) + b"," if metadata is not None else b""
    return Response(b"".join((b"{", head, b'"items":[', items, b"]}")))


def _status(*path: str) -> Callable[[StoredApplication], str]:
    def read(app: StoredApplication) -> str:
        value: Any = app.obj.get("status")
        for name in path:
            value = value.get(name) if isinstance(value, Mapping) else None
        return str(value or "")

    return read


_SORT: Mapping[str, Callable[[StoredApplication], str]] = {
    "name": lambda app: app.name,
    "namespace": lambda app: app.namespace,
    "project": lambda app: app.project,
    "createdAt": lambda app: str(app.metadata.get("creationTimestamp") or ""),
    "health": _status("health", "status"),
    "sync": _status("sync", "status"),
    "synchronizedAt": _status("operationState", "finishedAt"),
}


def _sorted(apps: Sequence[StoredApplication], by: str) -> Sequence[StoredApplication]:
    """`apps`, which come by name, in the order asked for; `-` in front turns it round. Raises RequestError."""
    field = by.removeprefix("-")
    if not by or by == "name":
        return apps
    if field not in _SORT:
        raise invalid_argument(f"applications cannot be sorted by {field[:64]}; by {', '.join(_SORT)} they can")
    return sorted(apps, key=_SORT[field], reverse=by.startswith("-"))


def _repo_urls(obj: Mapping[str, Any]) -> list[str]:
    spec = obj.get("spec") or {}
    sources = spec.get("sources") or [spec.get("source") or {}]
    return [str(source.get("repoURL") or "") for source in sources if isinstance(source, Mapping)]
