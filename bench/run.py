"""One block of a benchmark: a fresh control plane, one engine, the benchmarks asked for in their order."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bench import workload
from bench.api import Api, Key, Object, Watched
from bench.engines.protocol import Engine, Verdict
from bench.meter import Meter, Spent
from bench.repository import Push, Repository
from bench.site import Site

Figures = dict[str, Any]
"""What a benchmark found: numbers, and groups of them. Only what is JSON."""

TAIL_S = 5.0  # work that is put off a little is work of what was asked for
CREATE_LIMIT_S = 120.0
REST_S = 20.0


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    n: int = 300
    flavour: str = "plain"
    rounds: int = 10
    floor: bool = True
    everyone_s: float | None = None  # how long to wait for every Application to name a new commit
    flush: bool = False
    lag: bool = False
    idle_s: float = 120.0
    objects: int = 10_000
    clients: int = 10


@dataclass
class Run:
    """What a benchmark works with."""

    site: Site
    api: Api
    engine: Engine
    options: Options
    verdicts: Watched[Verdict]
    configs: Watched[dict[str, str]]
    repos: dict[str, Repository] = field(default_factory=dict)
    apps: list[workload.App] = field(default_factory=list)
    versions: dict[int, str] = field(default_factory=dict)
    deployed: Figures | None = None
    idle: Spent = field(default_factory=Spent)  # a stretch in which nothing happened

    @property
    def keys(self) -> list[Key]:
        """Where the verdicts of all applications are."""
        return [self.engine.key(app.name) for app in self.apps]

    @property
    def urls(self) -> dict[str, str]:
        """Repositories as engines know them."""
        return {name: repo.url for name, repo in self.repos.items()}

    async def repository(self, name: str, files: workload.Files) -> Repository:
        """A repository with its first commit."""
        repo = self.site.repository(name)
        await self.push(repo, files, tell=False)
        self.repos[name] = repo
        return repo

    async def rest(self) -> Spent:
        """A stretch in which nothing happens, measured once: what goes on by itself is subtracted from what costs little."""
        if not self.idle.seconds:
            await asyncio.sleep(TAIL_S)
            meter = Meter(self.site, self.engine)
            await asyncio.sleep(REST_S)
            self.idle = meter.read(requests=False)
        return self.idle

    async def push(
        self, repo: Repository, files: workload.Files, *, removed: Sequence[str] = (), tell: bool = True
    ) -> Push:
        """Commit, push, and tell the engine."""
        push = await asyncio.to_thread(repo.commit, files, "change", removed)
        await asyncio.to_thread(repo.push, push)
        if tell:
            await self.engine.pushed(self.api, push)
        return push

    async def namespaces(self, names: Sequence[str]) -> None:
        """Make namespaces, which no engine is asked to do."""
        bodies = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
        await self.api.pool([lambda body=body: self.api.create("/api/v1/namespaces", body) for body in bodies])  # type: ignore[misc]

    def declared(self) -> list[Object]:
        """The objects that are to be live."""
        return [obj for i in range(len(self.apps)) for obj in workload.objects(i, self.versions.get(i, "0"))]


@asynccontextmanager
async def started(site: Site, engine: Engine, options: Options) -> AsyncIterator[Run]:
    """The engine started on a control plane, observed."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(Api(site.admin))
        stack.callback(engine.stop)
        await engine.start(site, api)
        await reachable(api, engine.verdicts)
        verdicts = await stack.enter_async_context(Watched(api, engine.verdicts, engine.verdict))
        configs = await stack.enter_async_context(Watched(api, "/api/v1/configmaps", lambda obj: obj.get("data") or {}))
        yield Run(site, api, engine, options, verdicts, configs)


async def reachable(api: Api, path: str) -> None:
    """Wait until a collection is served."""
    async with asyncio.timeout(CREATE_LIMIT_S):
        while True:
            try:
                await api.get(f"{path}?limit=1")
                return
            except Exception:
                await asyncio.sleep(0.2)


class LagProbe:
    """Asks an engine's API for its health five times a second: how long anything else has to wait for its event loop."""

    def __init__(self, api: Api, address: str) -> None:
        self._api, self._address = api, address
        self._task: asyncio.Task[None] | None = None
        self.seconds: list[float] = []

    async def __aenter__(self) -> LagProbe:
        self._task = asyncio.get_running_loop().create_task(self._ask())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _ask(self) -> None:
        while True:
            started = time.monotonic()
            async with self._api.plain.get(f"{self._address}/healthz") as answer:
                await answer.read()
            self.seconds.append(time.monotonic() - started)
            await asyncio.sleep(0.2)


def spread(seconds: Sequence[float]) -> dict[str, float]:
    """Median, 99th percentile where there are enough, and range, in milliseconds."""
    ms = sorted(value * 1000 for value in seconds)
    found = {
        "median": round(statistics.median(ms), 1),
        "min": round(ms[0], 1),
        "max": round(ms[-1], 1),
        "count": len(ms),
    }
    if len(ms) >= 20:
        found["p99"] = round(ms[min(len(ms) - 1, int(len(ms) * 0.99))], 1)
    return found


def summarize(blocks: Sequence[Figures]) -> Figures:
    """Median and range of each number over blocks of the same shape; what is no number is taken from the first."""
    first = blocks[0]
    found: Figures = {}
    for name, value in first.items():
        values = [block[name] for block in blocks if name in block]
        if isinstance(value, dict) and all(isinstance(other, dict) for other in values):
            found[name] = summarize(values)
        elif isinstance(value, int | float) and not isinstance(value, bool) and len(values) > 1:
            found[name] = {"median": statistics.median(values), "min": min(values), "max": max(values)}
        else:
            found[name] = value
    return found
