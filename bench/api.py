"""The harness's own client of a Kubernetes API server: none of the code that is measured is used to measure.

`Api` sends requests, `Watched` follows one collection. Both speak JSON only.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import aiohttp
import orjson
import yaml

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name of an object."""

T = TypeVar("T")

JSON = "application/json"
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
WATCH_S = 3000


class RefusedError(Exception):
    """The API server answered with an error status; its words are in the message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Api:
    """One connection pool to one API server, as the user of a kubeconfig. An async context manager."""

    def __init__(self, kubeconfig: Path, *, connections: int = 32) -> None:
        """Describe it. `connections` is how many requests `pool` keeps going at once."""
        self.connections = connections
        self._kubeconfig = kubeconfig
        self._session: aiohttp.ClientSession | None = None
        self._plain: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Api:
        server, context, headers = credentials(self._kubeconfig)
        connector = aiohttp.TCPConnector(limit=0, ssl=context)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30)
        self._session = aiohttp.ClientSession(server, connector=connector, headers=headers, timeout=timeout)
        self._plain = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._session, self._plain):
            if session is not None:
                await session.close()

    @property
    def session(self) -> aiohttp.ClientSession:
        """The open session."""
        assert self._session is not None, "used outside of its `async with`"
        return self._session

    @property
    def plain(self) -> aiohttp.ClientSession:
        """A session without the cluster's credentials, for the engines' own APIs."""
        assert self._plain is not None, "used outside of its `async with`"
        return self._plain

    async def call(self, method: str, path: str, body: object = None, content_type: str = JSON) -> bytes:
        """One request; the answer's body. Raises RefusedError for every status from 300 on."""
        data = orjson.dumps(body) if body is not None else None
        async with self.session.request(method, path, data=data, headers={"Content-Type": content_type}) as answer:
            content = await answer.read()
            if answer.status >= 300:
                text = f"{method} {path}: {answer.status} {content[:500].decode(errors='replace')}"
                raise RefusedError(answer.status, text)
            return content

    async def get(self, path: str) -> Any:
        """One GET, parsed."""
        return orjson.loads(await self.call("GET", path))

    async def create(self, path: str, body: Object) -> None:
        """POST to a collection; an object that is there already is left as it is."""
        try:
            await self.call("POST", path, body)
        except RefusedError as error:
            if error.status != 409:
                raise

    async def items(self, path: str, page: int = 1000) -> list[Object]:
        """All objects of a collection, in pages."""
        found: list[Object] = []
        token = ""
        while True:
            answer = await self.get(f"{path}?limit={page}" + (f"&continue={token}" if token else ""))
            found.extend(answer["items"])
            token = answer["metadata"].get("continue", "")
            if not token:
                return found

    async def pool(self, calls: Iterable[Callable[[], Awaitable[object]]]) -> None:
        """Make calls in their order, a few at a time."""
        todo = iter(calls)

        async def work() -> None:
            for call in todo:
                await call()

        await asyncio.gather(*(work() for _ in range(self.connections)))


def credentials(kubeconfig: Path) -> tuple[str, ssl.SSLContext, dict[str, str]]:
    """Server, TLS context and headers of a kubeconfig's current context."""
    config = yaml.safe_load(kubeconfig.read_text())
    context = _named(config["contexts"], config["current-context"])["context"]
    cluster = _named(config["clusters"], context["cluster"])["cluster"]
    user = _named(config["users"], context["user"])["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    tls = ssl.create_default_context(cadata=authority)
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if "client-certificate-data" in user:
        with (
            tempfile.NamedTemporaryFile() as file
        ):  # the ssl module reads certificates from files only; this one is 0600
            file.write(base64.b64decode(user["client-certificate-data"]))
            file.write(base64.b64decode(user["client-key-data"]))
            file.flush()
            tls.load_cert_chain(file.name)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return cluster["server"], tls, headers


def _named(entries: list[Any], name: str) -> Any:
    return next(entry for entry in entries if entry["name"] == name)


def key_of(obj: Object) -> Key:
    """Namespace and name."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


@dataclass
class _Wait(Generic[T]):
    """Somebody waits until each of these keys passes a test."""

    pending: set[Key]
    keys: frozenset[Key]
    test: Callable[[T], bool] | None  # None: until they are gone
    done: asyncio.Future[float] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def look(self, key: Key, value: T | None, now: float) -> None:
        if self.done.done() or key not in self.keys:
            return
        if passes(value, self.test):
            self.pending.discard(key)
            if not self.pending:
                self.done.set_result(now)
        else:
            self.pending.add(key)


def passes(value: T | None, test: Callable[[T], bool] | None) -> bool:
    """Whether an object is as it is waited for; without a test it has to be gone."""
    if test is None:
        return value is None
    return value is not None and test(value)


class Watched(Generic[T]):
    """One collection as its watch tells it: what `read` takes of each object, and when the last event came in.

    A state counts from the moment the bytes of its watch event reached this process. An async context manager: the
    collection was listed when the block begins.
    """

    def __init__(self, api: Api, path: str, read: Callable[[Object], T]) -> None:
        self._api, self._path, self._read = api, path, read
        self._waits: list[_Wait[T]] = []
        self._task: asyncio.Task[None] | None = None
        self.state: dict[Key, T] = {}
        self.at: dict[Key, float] = {}
        self.events = 0

    async def __aenter__(self) -> Watched[T]:
        version = await self._list()
        self._task = asyncio.get_running_loop().create_task(self._follow(version))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def each(
        self, keys: Collection[Key], test: Callable[[T], bool] | None, *, within_s: float, what: str
    ) -> float:
        """Monotonic time at which the last of these objects passed the test, all of them passing; None: were all gone.

        Raises TimeoutError with what was awaited and what was seen of those that are missing.
        """
        missing = {key for key in keys if not passes(self.state.get(key), test)}
        if not missing:
            return max((self.at.get(key, 0.0) for key in keys), default=time.monotonic())
        wait = _Wait(missing, frozenset(keys), test)
        self._waits.append(wait)
        assert self._task is not None
        try:
            async with asyncio.timeout(within_s):
                either: list[asyncio.Future[Any]] = [wait.done, self._task]
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not wait.done.done():
                self._task.result()
            return wait.done.result()
        except TimeoutError:
            some = {key: self.state.get(key) for key in sorted(wait.pending)[:3]}
            raise TimeoutError(
                f"{what}: {len(wait.pending)} of {len(keys)} missing after {within_s:g} s, {some}"
            ) from None
        finally:
            self._waits.remove(wait)

    async def one(self, key: Key, test: Callable[[T], bool], *, within_s: float, what: str) -> float:
        """Monotonic time at which an object passed the test."""
        return await self.each([key], test, within_s=within_s, what=what)

    async def _list(self) -> str:
        answer = await self._api.get(self._path)
        now = time.monotonic()
        fresh = {key_of(obj): self._read(obj) for obj in answer["items"]}
        for key in self.state.keys() - fresh.keys():
            self._set(key, None, now)
        for key, value in fresh.items():
            self._set(key, value, now)
        return str(answer["metadata"]["resourceVersion"])

    async def _follow(self, version: str) -> None:
        while True:
            query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_S}&resourceVersion={version}"
            rest = b""
            async with self._api.session.get(f"{self._path}?{query}") as answer:
                async for chunk in answer.content.iter_any():
                    now = time.monotonic()
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = orjson.loads(line)
                        obj = event["object"]
                        if event["type"] == "ERROR":
                            version = await self._list()  # the version is too old
                            break
                        version = obj["metadata"]["resourceVersion"]
                        if event["type"] == "BOOKMARK":
                            continue
                        self.events += 1
                        self._set(key_of(obj), None if event["type"] == "DELETED" else self._read(obj), now)

    def _set(self, key: Key, value: T | None, now: float) -> None:
        if value is None:
            self.state.pop(key, None)
        else:
            self.state[key] = value
        self.at[key] = now
        for wait in self._waits:
            wait.look(key, value, now)
