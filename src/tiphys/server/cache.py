"""Applications as they are answered: held encoded, so that a list is a join of bytes, and followed by streams.

Fed from a watch (`replace`, `event`). Each stored Application is encoded once per version. A follower gets every change
in order or is told that it was too slow; it never holds up the feeder.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.apimachinery.yamljson import tight
from tiphys.server.fieldmask import FieldMask

_MAX_WAITING = 10_000  # changes a slow follower may be behind before it is cut off

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"


class StoredApplication:
    """One Application at one version. `obj` is never changed in place."""

    __slots__ = ("_cut", "_encoded", "_shown", "key", "name", "namespace", "obj", "project", "resource_version")

    def __init__(self, obj: Mapping[str, Any]) -> None:
        metadata = obj.get("metadata") or {}
        self.obj = obj
        self.namespace = str(metadata.get("namespace") or "")
        self.name = str(metadata.get("name") or "")
        self.key = (self.namespace, self.name)
        self.resource_version = str(metadata.get("resourceVersion") or "")
        spec = obj.get("spec")
        self.project = str((spec.get("project") if isinstance(spec, Mapping) else "") or "default")
        self._encoded: bytes | None = None
        self._cut: tuple[str, bytes] = ("", b"")
        self._shown: tuple[Freshness, StoredApplication] | None = None

    def shown_with(self, freshness: Freshness) -> StoredApplication:
        """With what is known beyond what it says; itself when that is nothing. Made once."""
        if self._shown is None or self._shown[0] is not freshness:
            obj = freshness.put_on(self.obj)
            self._shown = freshness, self if obj is None else StoredApplication(obj)
        return self._shown[1]

    @property
    def metadata(self) -> Mapping[str, Any]:
        """metadata of the object."""
        found = self.obj.get("metadata")
        return found if isinstance(found, Mapping) else {}

    @property
    def encoded(self) -> bytes:
        """JSON as answered, without apiVersion and kind, which Argo CD leaves out too, and without managedFields."""
        if self._encoded is None:
            self._encoded = tight(orjson.dumps(visible(self.obj)))
        return self._encoded

    def cut(self, mask: FieldMask) -> bytes:
        """JSON of an item of a list as `mask` leaves it. That of the last mask is kept: clients ask with the same again."""
        if self._cut[0] != mask.text:
            self._cut = mask.text, tight(orjson.dumps(mask.apply(visible(self.obj), "items") or {}))
        return self._cut[1]

    def rbac_object(self, controller_namespace: str) -> str:
        """`<project>/<name>`, or with the namespace between where it is not the control plane's."""
        if self.namespace == controller_namespace:
            return f"{self.project}/{self.name}"
        return f"{self.project}/{self.namespace}/{self.name}"


def visible(obj: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an Application object that clients get."""
    out = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    metadata = out.get("metadata")
    if isinstance(metadata, Mapping) and "managedFields" in metadata:
        out["metadata"] = {key: value for key, value in metadata.items() if key != "managedFields"}
    return out


@dataclass(frozen=True, slots=True)
class Change:
    """ADDED, MODIFIED or DELETED, with the Application as it is or last was."""

    type: str
    app: StoredApplication


@dataclass(frozen=True, slots=True)
class Freshness:
    """What the engine knows beyond what it has written: a later commit was looked at and changes nothing."""

    reconciled_at: str  # RFC 3339, UTC, whole seconds: these sort as text
    revision: str = ""
    revisions: tuple[str, ...] = ()

    def put_on(self, obj: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The object with this in its status; None when it says as much or more itself."""
        status = obj.get("status")
        sync = status.get("sync") if isinstance(status, Mapping) else None
        if not isinstance(status, Mapping) or not isinstance(sync, Mapping):
            return None
        if str(status.get("reconciledAt") or "") >= self.reconciled_at:
            return None
        sync = {**sync, "revisions": list(self.revisions)} if self.revisions else {**sync, "revision": self.revision}
        return {**obj, "status": {**status, "sync": sync, "reconciledAt": self.reconciled_at}}


class TooSlowError(Exception):
    """A follower did not keep up."""


class EndedError(Exception):
    """There is nothing more to follow: the server stops."""


class Follower:
    """Changes since it was opened. Close it when done."""

    def __init__(self, cache: ApplicationCache) -> None:
        self._cache = cache
        self._waiting: asyncio.Queue[Change | Exception] = asyncio.Queue()

    async def next(self) -> Change:
        """The next change. Raises TooSlowError once too many have piled up, EndedError when the server stops."""
        change = await self._waiting.get()
        if isinstance(change, Exception):
            raise change
        return change

    @property
    def waiting(self) -> int:
        """How many changes have not been taken yet."""
        return self._waiting.qsize()

    def close(self) -> None:
        """Stop following."""
        self._cache.drop(self)

    def offer(self, change: Change) -> None:
        """Called by the cache."""
        if self._waiting.qsize() >= _MAX_WAITING:
            self._cache.drop(self)
            self.end(TooSlowError("the stream did not keep up with the changes; list again and follow from there"))
        else:
            self._waiting.put_nowait(change)

    def end(self, reason: Exception) -> None:
        """Called by the cache: what waits is dropped, `next` raises `reason`."""
        while not self._waiting.empty():
            self._waiting.get_nowait()
        self._waiting.put_nowait(reason)


class Shown:
    """All Applications at one moment, sorted by name, then namespace."""

    def __init__(self, apps: tuple[StoredApplication, ...]) -> None:
        self.apps = apps
        self._places: frozenset[tuple[str, str]] | None = None
        self._cut: tuple[str, bytes] | None = None

    @property
    def places(self) -> frozenset[tuple[str, str]]:
        """Each pair of a project and a namespace that one of them has."""
        if self._places is None:
            self._places = frozenset((app.project, app.namespace) for app in self.apps)
        return self._places

    def cut(self, mask: FieldMask) -> bytes:
        """All of them as `mask` leaves them, with commas between. That of the last mask is kept."""
        if self._cut is None or self._cut[0] != mask.text:
            self._cut = mask.text, b",".join([app.cut(mask) for app in self.apps])
        return self._cut[1]


class ApplicationCache:
    """All Applications we know. Belongs to the event loop's thread."""

    def __init__(self) -> None:
        self._apps: dict[tuple[str, str], StoredApplication] = {}
        self._sorted: list[StoredApplication] | None = None  # as they were written
        self._followers: set[Follower] = set()
        self._gone: dict[tuple[str, str], str] = {}  # versions of deletions, against late answers of our own writes
        self._fresh: dict[tuple[str, str], Freshness] = {}
        # What is known of Applications that were not told of one by one.
        self.fresh_of: Callable[[tuple[str, str]], Freshness | None] = lambda _key: None
        self.fresh_turns: Callable[[], int] = lambda: 0  # rises whenever that may say something else
        self._shown: tuple[int, Shown] | None = None  # what `fresh_turns` said, and what was shown then
        self.resource_version = ""
        self.synced = asyncio.Event()
        self.ended = asyncio.Event()  # the server stops: open streams are to end

    def __iter__(self) -> Iterator[StoredApplication]:
        """Applications sorted by name, then namespace."""
        return iter(self.shown().apps)

    def shown(self) -> Shown:
        """All as they are shown now; the same value until something changes."""
        if self._sorted is None:
            self._sorted = sorted(self._apps.values(), key=_order)
        turns = self.fresh_turns()
        if self._shown is None or self._shown[0] != turns:
            self._shown = turns, Shown(tuple(map(self._freshened, self._sorted)))
        return self._shown[1]

    def __len__(self) -> int:
        return len(self._apps)

    def get(self, namespace: str, name: str) -> StoredApplication | None:
        """One Application."""
        app = self._apps.get((namespace, name))
        return self._freshened(app) if app is not None else None

    def follow(self) -> Follower:
        """Follow changes from now on."""
        follower = Follower(self)
        self._followers.add(follower)
        return follower

    def end_followers(self) -> None:
        """End all followers: the server stops."""
        self.ended.set()
        for follower in list(self._followers):
            self.drop(follower)
            follower.end(EndedError())

    def drop(self, follower: Follower) -> None:
        """Forget a follower."""
        self._followers.discard(follower)

    def replace(self, objects: Iterable[Mapping[str, Any]], resource_version: str) -> None:
        """Everything there is, after a list. Followers get the differences."""
        fresh = {app.key: app for app in map(StoredApplication, objects)}
        self._gone.clear()
        for key, old in list(self._apps.items()):
            if key not in fresh:
                self._remove(old)
        for app in fresh.values():
            self._put(app)
        self.resource_version = resource_version
        self.synced.set()

    def event(self, kind: str, obj: Mapping[str, Any]) -> None:
        """One watch event, or the answer to a write of our own as MODIFIED: what is older than what is held is ignored."""
        app = StoredApplication(obj)
        if kind == DELETED:
            self._remove(app)
        else:
            self._put(app)
        self.resource_version = app.resource_version or self.resource_version

    def freshen(self, namespace: str, name: str, freshness: Freshness) -> None:
        """Show a newer revision and time of comparison than the object says, until it says so itself.

        Followers are not told: a commit that changes nothing is no news, and there may be thousands of Applications.
        """
        self._fresh[namespace, name] = freshness
        self._shown = None

    def _freshened(self, app: StoredApplication) -> StoredApplication:
        """The Application with what is known beyond what it says."""
        key = app.key
        one, many = self._fresh.get(key), self.fresh_of(key)
        if many is not None and (one is None or many.reconciled_at >= one.reconciled_at):
            return app.shown_with(many)
        if one is None:
            return app
        shown = app.shown_with(one)
        if shown is app:
            del self._fresh[key]
        return shown

    def _store(self, key: tuple[str, str], app: StoredApplication, old: StoredApplication | None) -> None:
        self._apps[key] = app
        if old is None or self._sorted is None:
            self._sorted = None
        else:
            self._sorted[bisect_left(self._sorted, _order(old), key=_order)] = app

    def _put(self, app: StoredApplication) -> None:
        old = self._apps.get(app.key)
        if old is not None and _is_newer_or_same(old.resource_version, app.resource_version):
            return
        gone = self._gone.get(app.key)
        if gone is not None:
            if _is_newer_or_same(gone, app.resource_version):
                return
            del self._gone[app.key]
        self._store(app.key, app, old)
        self._tell(Change(ADDED if old is None else MODIFIED, self._freshened(app)))

    def _remove(self, app: StoredApplication) -> None:
        self._gone[app.key] = app.resource_version
        self._fresh.pop(app.key, None)
        if self._apps.pop(app.key, None) is not None:
            self._sorted = None
            self._tell(Change(DELETED, app))

    def _tell(self, change: Change) -> None:
        self._shown = None
        for follower in list(self._followers):
            follower.offer(change)


def _order(app: StoredApplication) -> tuple[str, str]:
    return app.name, app.namespace


def _is_newer_or_same(held: str, offered: str) -> bool:
    """Whether what is held is at least as new: our own writes come in before the watch tells of them."""
    try:
        return int(held) >= int(offered)
    except ValueError:
        return held == offered and held != ""
