"""B9: lists and streams of the engine's own API over N applications of ten resources each, for many clients at once."""

from __future__ import annotations

import asyncio
import functools
import statistics
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack

import aiohttp
import orjson

from bench import workload
from bench.api import MERGE, Api, Key, Object, Watched
from bench.engines.applications import APPLICATIONS
from bench.engines.protocol import Verdict
from bench.machine import cpu_s
from bench.meter import Meter, memory_of
from bench.run import TAIL_S, Figures, Run, spread

RESOURCES = 10
LISTS = 100
SUBSCRIBERS = 50
CHANGES = 40
CHANGES_PER_S = 20
LABEL = "bench.example/turn"
LIMIT_PER_APP_S = 0.5
FIELDS = ",".join(
    f"items.{path}"
    for path in (
        "metadata.name",
        "metadata.namespace",
        "metadata.annotations",
        "metadata.labels",
        "metadata.creationTimestamp",
        "metadata.deletionTimestamp",
        "spec",
        "operation.sync",
        "status.sync.status",
        "status.sync.revision",
        "status.health",
        "status.operationState.phase",
        "status.operationState.startedAt",
        "status.operationState.finishedAt",
        "status.summary",
    )
)
"""What a list of applications in a browser shows."""


async def lists_and_streams(run: Run) -> Figures:
    """Applications that are compared and not deployed; all of them read one folder."""
    address = run.engine.web()
    found = await _submit(run)
    headers = {**await run.engine.login(run.api), "Accept-Encoding": "gzip"}
    for name, query in (("list_fields", f"?fields=metadata.resourceVersion,{FIELDS}"), ("list_all", "")):
        url = f"{address}/api/v1/applications{query}"
        await _list(run.api, url, headers)
        found[name] = await _lists(run, url, headers)
    found["stream"] = await _stream(run, f"{address}/api/v1/stream/applications", headers)
    found["memory_after"] = memory_of(run.engine)
    return found


async def _submit(run: Run) -> Figures:
    objects = [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"part-{n}"}, "data": {"part": str(n)}}
        for n in range(RESOURCES)
    ]
    await run.repository("shared", {f"app/part-{n}.yaml": workload.to_yaml(obj) for n, obj in enumerate(objects)})
    apps = [
        workload.App(name=workload.app_name(i), namespace=f"web-{i:04d}", repo="shared", path="app", automated=False)
        for i in range(run.options.n)
    ]
    keys = [run.engine.key(app.name) for app in apps]
    meter, started = Meter(run.site, run.engine), time.monotonic()
    await run.engine.submit(run.api, apps, run.urls)
    last = await run.verdicts.each(
        keys, _compared, within_s=60 + LIMIT_PER_APP_S * len(apps), what="a verdict of every application"
    )
    await asyncio.sleep(TAIL_S)
    spent = meter.read()
    return {
        "applications": len(apps),
        "compared": {"wall_s": round(last - started, 2), **spent.per(len(apps), "app")},
        "memory": memory_of(run.engine),
    }


def _compared(verdict: Verdict) -> bool:
    return bool(verdict.revision)


async def _list(api: Api, url: str, headers: Mapping[str, str]) -> int:
    """One list; bytes as they were sent. Raises for anything but all of it."""
    async with api.plain.get(url, headers=headers) as answer:
        answer.raise_for_status()
        await answer.read()
        return int(answer.headers.get("Content-Length") or 0)


async def _lists(run: Run, url: str, headers: Mapping[str, str]) -> Figures:
    times: list[float] = []
    todo = iter(range(LISTS))
    cpu = _engine_cpu_s(run)

    async def client() -> None:
        for _ in todo:
            started = time.monotonic()
            await _list(run.api, url, headers)
            times.append(time.monotonic() - started)

    started = time.monotonic()
    await asyncio.gather(*(client() for _ in range(run.options.clients)))
    wall = time.monotonic() - started
    busy = _engine_cpu_s(run) - cpu
    alone = []
    for _ in range(10):
        before = time.monotonic()
        size = await _list(run.api, url, headers)
        alone.append(time.monotonic() - before)
    async with run.api.plain.get(url, headers=headers) as answer:
        content = await answer.read()
    items = len(orjson.loads(content)["items"])
    if items != run.options.n:
        raise RuntimeError(f"the list has {items} of {run.options.n} applications")
    return {
        "clients": run.options.clients,
        "milliseconds": spread(times),
        "one_client_milliseconds": spread(alone),
        "lists_per_s": round(LISTS / wall, 1),
        "engine_cpu_ms_per_list": round(busy / LISTS * 1000, 2),
        "bytes": len(content),
        "bytes_sent": size,
    }


def _engine_cpu_s(run: Run) -> float:
    return sum(cpu_s(pid) for pid in run.engine.processes().values())


async def _stream(run: Run, url: str, headers: Mapping[str, str]) -> Figures:
    """Labels are changed at a steady pace; how much later than the observer's own watch the subscribers are told."""
    listing = await run.api.get(f"{APPLICATIONS}?limit=1")
    version = listing["metadata"]["resourceVersion"]
    arrivals = Arrivals(CHANGES * SUBSCRIBERS)
    cpu = _engine_cpu_s(run)
    async with AsyncExitStack() as stack:
        labels = await stack.enter_async_context(Watched(run.api, APPLICATIONS, _label))
        tasks = []
        for _ in range(SUBSCRIBERS):
            query = f"?resourceVersion={version}&fields=result.type,result.application.metadata"
            answer = await stack.enter_async_context(
                run.api.plain.get(url + query, headers={**headers, "Accept": "text/event-stream"})
            )
            answer.raise_for_status()
            tasks.append(asyncio.get_running_loop().create_task(arrivals.read(answer.content)))
        await asyncio.sleep(1)
        own: dict[str, float] = {}
        for turn in range(CHANGES):
            name = workload.app_name(turn % run.options.n)
            key: Key = run.engine.key(name)
            body = {"metadata": {"labels": {LABEL: f"turn-{turn}"}}}
            await run.api.call("PATCH", f"{APPLICATIONS}/{name}", body, MERGE)
            own[f"turn-{turn}"] = await labels.one(
                key, functools.partial(str.__eq__, f"turn-{turn}"), within_s=30, what="the change"
            )
            await asyncio.sleep(1 / CHANGES_PER_S)
        async with asyncio.timeout(60):
            await arrivals.complete.wait()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    lags = [at - own[turn] for turn, at in arrivals.seen]
    busy = _engine_cpu_s(run) - cpu
    return {
        "subscribers": SUBSCRIBERS,
        "changes": CHANGES,
        "lag_ms": spread([max(lag, 0.0) for lag in lags]),
        "median_lag_ms": round(statistics.median(lags) * 1000, 2),
        "engine_cpu_ms_per_change": round(busy / CHANGES * 1000, 2),
    }


def _label(app: Object) -> str:
    return str((app["metadata"].get("labels") or {}).get(LABEL, ""))


class Arrivals:
    """When each subscriber was told of each change."""

    def __init__(self, count: int) -> None:
        """`complete` is set after so many."""
        self._count = count
        self.seen: list[tuple[str, float]] = []
        self.complete = asyncio.Event()

    async def read(self, stream: aiohttp.StreamReader) -> None:
        """Read one subscriber's stream to its end."""
        rest = b""
        async for chunk in stream.iter_any():
            now = time.monotonic()
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"data:"):
                    turn = _label(orjson.loads(line[5:])["result"]["application"])
                    if turn:
                        self.seen.append((turn, now))
            if len(self.seen) >= self._count:
                self.complete.set()
