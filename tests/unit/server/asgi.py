"""An ASGI client and in-memory doubles of the server's Protocols."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from tiphys.apimachinery.apierrors import already_exists, conflict, not_found
from tiphys.apimachinery.jsonpatch import apply as apply_json_patch
from tiphys.apimachinery.mergepatch import apply as apply_merge_patch
from tiphys.apimachinery.names import ResourceKey
from tiphys.identity.passwords import hash_password
from tiphys.identity.sessions import Sessions
from tiphys.model.application import Application
from tiphys.model.appproject import AppProject, appproject_object, default_project_object, parse_appproject
from tiphys.model.codec import decode
from tiphys.policy.rbac import RBAC, build_rbac
from tiphys.runtime.ids import SystemIds
from tiphys.runtime.log import SILENT
from tiphys.runtime.secret import Secret
from tiphys.server.app import App
from tiphys.server.cache import DELETED, MODIFIED, ApplicationCache
from tiphys.server.ports import Services
from tiphys.settings.load import load_settings, secret_data
from tiphys.settings.values import Account, ApiToken, Settings

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
PASSWORD = "correct horse"
HASH = Secret(hash_password(Secret(PASSWORD), rounds=4))


class TestClock:
    """Time that moves when a test says so."""

    __test__ = False

    def __init__(self) -> None:
        self.elapsed = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.elapsed)

    def monotonic(self) -> float:
        return self.elapsed

    async def sleep(self, seconds: float) -> None:
        self.elapsed += seconds


class MemoryWriter:
    """Applications in memory with versions, as an API server without a status subresource keeps them."""

    def __init__(self, cache: ApplicationCache) -> None:
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self._cache = cache
        self._version = 100
        self.before_patch: list[Mapping[str, Any]] = []  # changes by others that come in first

    def put(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        self._version += 1
        stored = copy.deepcopy(dict(obj))
        stored["metadata"] = {**stored["metadata"], "resourceVersion": str(self._version)}
        self.objects[(stored["metadata"]["namespace"], stored["metadata"]["name"])] = stored
        self._cache.event(MODIFIED, stored)
        return stored

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        if key in self.objects:
            raise already_exists("applications", "argoproj.io", key[1])
        return self.put({**obj, "metadata": {**obj["metadata"], "uid": f"uid-{key[1]}"}})

    async def get(self, namespace: str, name: str) -> dict[str, Any]:
        if (namespace, name) not in self.objects:
            raise not_found("applications", "argoproj.io", name)
        return self.objects[(namespace, name)]

    async def merge_patch(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        if self.before_patch:
            self.put(apply_merge_patch(await self.get(namespace, name), self.before_patch.pop(0)))
        current = await self.get(namespace, name)
        version = (patch.get("metadata") or {}).get("resourceVersion")
        if version and version != current["metadata"]["resourceVersion"]:
            raise conflict("applications", "argoproj.io", name)
        return self.put(apply_merge_patch(current, patch))

    async def json_patch(self, namespace: str, name: str, patch: list[dict[str, Any]]) -> dict[str, Any]:
        return self.put(apply_json_patch(await self.get(namespace, name), patch))

    async def delete(self, namespace: str, name: str) -> None:
        obj = await self.get(namespace, name)
        if obj["metadata"].get("finalizers"):
            self.put({**obj, "metadata": {**obj["metadata"], "deletionTimestamp": "2024-05-06T07:08:09Z"}})
        else:
            del self.objects[(namespace, name)]
            self._version += 1
            self._cache.event(DELETED, {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self._version)}})


@dataclass(frozen=True)
class Commit:
    """A commit."""

    author: str
    date: datetime
    message: str
    tags: tuple[str, ...]


@dataclass
class MemoryResource:
    """One live object; what was done to it is kept."""

    key: ResourceKey
    obj: dict[str, Any]
    uid: str = "uid-live"
    deleted: list[tuple[str, int | None]] = field(default_factory=list)
    ran: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def read(self) -> dict[str, Any]:
        return self.obj

    async def patch(self, patch: bytes, content_type: str) -> dict[str, Any]:
        self.obj = apply_merge_patch(self.obj, orjson.loads(patch))
        return {**self.obj, "type": content_type}

    async def delete(self, *, propagation: str, grace_period_s: int | None) -> None:
        self.deleted.append((propagation, grace_period_s))

    async def actions(self) -> list[Mapping[str, Any]]:
        return [{"name": "restart"}]

    async def run_action(self, name: str, params: Mapping[str, str]) -> str:
        if name != "restart":
            return f"there is no action {name!r}"
        self.ran.append((name, dict(params)))
        return ""


@dataclass
class MemoryResources:
    """Live objects of the Application `web`, with logs by Pod."""

    found: dict[ResourceKey, MemoryResource] = field(default_factory=dict)
    logs: dict[str, list[bytes] | Exception] = field(default_factory=dict)
    asked: list[Mapping[str, str]] = field(default_factory=list)
    quiet: asyncio.Event = field(default_factory=asyncio.Event)

    def find(self, app: tuple[str, str], key: ResourceKey, version: str = "") -> MemoryResource | None:
        return self.found.get(key) if app[1] == "web" else None

    def pods(
        self, app: tuple[str, str], *, group: str = "", kind: str = "", namespace: str = "", name: str = ""
    ) -> list[tuple[str, str]]:
        return [("shop", pod) for pod in sorted(self.logs) if not name or kind != "Pod" or pod == name]

    async def log(
        self, app: tuple[str, str], pod: tuple[str, str], query: Mapping[str, str]
    ) -> AsyncGenerator[bytes, None]:
        self.asked.append(query)
        lines = self.logs[pod[1]]
        if isinstance(lines, Exception):
            raise lines
        for line in lines:
            yield line
        if query.get("follow"):
            await self.quiet.wait()

    async def events(
        self, app: tuple[str, str], uid: str, about: tuple[str, str] | None
    ) -> list[Mapping[str, Any]] | None:
        return [{"reason": "Seen", "about": list(about or app), "uid": uid}] if about != ("", "alien") else None

    async def own_events(self, name: str, uid: str) -> list[Mapping[str, Any]]:
        return [{"reason": "Seen", "about": name}]


@dataclass
class World:
    """A server with everything behind it in memory."""

    settings: Settings
    rbac: RBAC
    clock: TestClock = field(default_factory=TestClock)
    projects: dict[str, AppProject] = field(default_factory=dict)
    secret: dict[str, Any] = field(default_factory=lambda: {"data": {}})
    refreshed: list[tuple[str, str, str]] = field(default_factory=list)
    tree: dict[str, Any] = field(default_factory=lambda: {"nodes": [{"kind": "Pod", "name": "p"}]})
    tree_moved: asyncio.Event = field(default_factory=asyncio.Event)
    live: MemoryResources = field(default_factory=lambda: MemoryResources())

    version: int = 0

    def __post_init__(self) -> None:
        self.cache = ApplicationCache()
        self.cache.replace([], "100")
        self.writer = MemoryWriter(self.cache)
        self.sessions = Sessions(settings=lambda: self.settings, clock=self.clock, ids=SystemIds())
        self.app = App(
            Services(
                namespace="argocd",
                applications=self.cache,
                writer=self.writer,
                projects=lambda: self.projects,
                clusters=lambda: (),
                settings=lambda: self.settings,
                rbac=lambda: self.rbac,
                sessions=self.sessions,
                secrets=self,
                refresher=self,
                clock=self.clock,
                log=SILENT,
                version="0.1.0",
                trees=self,
                resources=self.live,
                manifests=self,
                commits=self,
                project_writer=self,
                metrics=lambda: "up 1\n",
                version_details={"GoVersion": "none"},
            )
        )

    async def patch_settings_secret(self, patch: Mapping[str, Any]) -> None:
        self.secret = apply_merge_patch(self.secret, patch)
        loaded = load_settings({"argocd-secret": self.secret}).settings
        changed = {"admin": loaded.accounts["admin"]}
        for name, account in self.settings.accounts.items():
            if name != "admin":
                text = secret_data(self.secret).get(f"accounts.{name}.tokens", "[]")
                tokens = tuple(decode(ApiToken, item) for item in orjson.loads(text))
                changed[name] = replace(account, tokens=tokens)
        self.settings = replace(self.settings, accounts=changed)

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        name = obj["metadata"]["name"]
        if name in self.projects:
            raise already_exists("appprojects", "argoproj.io", name)
        return self.put_project(obj)

    async def replace(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        name, version = obj["metadata"]["name"], obj["metadata"].get("resourceVersion")
        if version != (await self.get(name))["metadata"]["resourceVersion"]:
            raise conflict("appprojects", "argoproj.io", name)
        return self.put_project(obj)

    async def delete(self, name: str) -> None:
        await self.get(name)
        del self.projects[name]

    async def get(self, name: str) -> dict[str, Any]:
        if name not in self.projects:
            raise not_found("appprojects", "argoproj.io", name)
        return appproject_object(self.projects[name])

    def put_project(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        self.version += 1
        stored = copy.deepcopy({**obj, "metadata": {**obj["metadata"], "resourceVersion": str(self.version)}})
        self.projects[obj["metadata"]["name"]] = parse_appproject(stored)
        return stored

    async def problem_of(self, app: Application) -> str:
        return next((f"Unable to read {s.path}" for s in app.spec.all_sources if s.path == "nowhere"), "")

    async def manifests(self, app: tuple[str, str], revisions: Mapping[int, str]) -> Mapping[str, Any]:
        return {"manifests": ["{}"], "revision": revisions.get(0, "head"), "app": "/".join(app)}

    async def commit_info(self, url: str, sha: str, project: str) -> Commit:
        return Commit(f"a@{url}", NOW, f"made {sha}", ("v1",))

    async def refresh(self, namespace: str, name: str, kind: str, timeout_s: float) -> bool:
        self.refreshed.append((namespace, name, kind))
        return True

    async def resource_tree(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.tree

    async def resource_health(self, namespace: str, name: str) -> Mapping[tuple[str, str, str, str], Mapping[str, str]]:
        return {("apps", "Deployment", "shop", "web"): {"status": "Degraded", "message": "no image"}}

    @contextmanager
    def follow_tree(self, namespace: str, name: str) -> Iterator[asyncio.Event]:
        yield self.tree_moved

    async def managed_resources(self, namespace: str, name: str) -> list[Mapping[str, Any]] | None:
        return [{"kind": "ConfigMap", "name": "a"}, {"kind": "Secret", "name": "b"}]

    def token(self, account: str = "admin") -> str:
        return self.sessions.issue(account)


def world(policy: str = "", **settings: Any) -> World:
    """A server with accounts admin and bob and the project default."""
    accounts = {
        name: Account(name=name, capabilities=frozenset(("login",)), password_hash=HASH) for name in ("admin", "bob")
    }
    built, problem = build_rbac(policy)
    assert problem == ""
    made = World(Settings(**{"accounts": accounts, "signing_key": Secret("k" * 64), **settings}), built)
    made.projects["default"] = parse_appproject(default_project_object("argocd"))
    return made


def application(name: str = "web", **changes: Any) -> dict[str, Any]:
    """An Application as a client sends it."""
    spec = {
        "project": "default",
        "source": {"repoURL": "https://example.com/config.git", "path": name},
        "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
    }
    return {
        "metadata": {"name": name, **changes.pop("metadata", {})},
        "spec": {**spec, **changes.pop("spec", {})},
        **changes,
    }


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


def _scope(method: str, target: str, headers: Mapping[str, str]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(key.lower().encode(), value.encode()) for key, value in headers.items()],
    }


async def call(
    w: World,
    method: str,
    target: str,
    body: Any = None,
    *,
    user: str | None = "admin",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request; `user` None sends no token. Bodies are sent as JSON."""
    sent = {"content-type": "application/json", **(headers or {})}
    if user is not None:
        sent.setdefault("authorization", f"Bearer {w.token(user)}")
    data = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
    messages: list[dict[str, Any]] = []
    unread = [{"type": "http.request", "body": data}]

    async def receive() -> dict[str, Any]:
        if not unread:
            await asyncio.Event().wait()  # the client stays
        return unread.pop()

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await w.app(_scope(method, target, sent), receive, send)
    start = messages[0]
    return Answer(
        start["status"],
        [(key.decode(), value.decode()) for key, value in start["headers"]],
        b"".join(message.get("body", b"") for message in messages[1:]),
    )


class Stream:
    """An open stream: lines as they come."""

    def __init__(self) -> None:
        self.start: dict[str, Any] = {}
        self.lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def next(self) -> Any:
        """The next item, None at the end. Fails after five seconds."""
        async with asyncio.timeout(5):
            line = await self.lines.get()
        return orjson.loads(line.removeprefix(b"data: ")) if line is not None else None


@asynccontextmanager
async def streaming(
    w: World, target: str, *, user: str = "admin", headers: Mapping[str, str] | None = None
) -> AsyncIterator[Stream]:
    """Open a stream; leaving closes it as a client that goes away."""
    stream, gone = Stream(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            stream.start = message
            return
        if message.get("body", b"").strip():
            stream.lines.put_nowait(message["body"])
        if not message.get("more_body"):
            stream.lines.put_nowait(None)

    sent = {"authorization": f"Bearer {w.token(user)}", **(headers or {})}
    async with asyncio.TaskGroup() as group:
        task = group.create_task(w.app(_scope("GET", target, sent), receive, send))
        try:
            yield stream
        finally:
            gone.set()
            async with asyncio.timeout(5):
                await asyncio.wait((task,))
