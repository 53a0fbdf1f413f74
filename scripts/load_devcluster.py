"""Loads the embedded cluster for minutes and checks that it stays honest: caches, memory, restart; prints Markdown.

    python -m scripts.load_devcluster [--minutes 10] [--objects 20000] [--watchers 100] [--writers 8] [--real]

Starts `tiphys devcluster` with its SQLite store on a free port. Writers create, patch, apply, replace and delete while watchers
keep caches as informers do. At the end every cache has to equal a list, and a server killed and started again has to hold the
same objects. The exit code is 1 when anything is not so. With --real the rates of single kinds of requests are measured on
this server and on the kube-apiserver of tests/realcluster, one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from scripts.measure_devcluster import Client, calls, cpu_s, rate

NAMESPACES = 20
CATCH_UP_S = 60.0
SAMPLES = 10
GROWTH_ALLOWED = 0.1  # of memory after the history is full, which takes so many writes
HISTORY = 20_000
KINDS = (("configmaps", "/api/v1", 0.65), ("secrets", "/api/v1", 0.25), ("deployments", "/apis/apps/v1", 0.10))


def path_of(kind: str, namespace: str = "", name: str = "") -> str:
    """The URL path of a kind, a namespace of it or one object."""
    root = next(prefix for plural, prefix, _ in KINDS if plural == kind)
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"{root}{inside}/{kind}" + (f"/{name}" if name else "")


def body_of(kind: str, name: str, number: int) -> dict[str, Any]:
    """An object of some hundred bytes."""
    metadata = {"name": name, "labels": {"shard": str(number % 10), "app": "load"}}
    if kind == "configmaps":
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {"n": str(number), "t": "x" * 200},
        }
    if kind == "secrets":
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"n": str(number)}}
    template = {
        "metadata": {"labels": {"app": "load"}},
        "spec": {"containers": [{"name": "c", "image": f"i:{number}"}]},
    }
    spec = {"replicas": 0, "paused": True, "selector": {"matchLabels": {"app": "load"}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


class Api:
    """One server through one pool of connections."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext) -> None:
        self._session = session
        self._url = url
        self._tls = tls

    async def send(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> tuple[int, Any]:
        """Status and parsed answer."""
        data = None if body is None else orjson.dumps(body)
        headers = {"content-type": kind}
        async with self._session.request(method, self._url + path, data=data, headers=headers, ssl=self._tls) as answer:
            return answer.status, orjson.loads(await answer.read())

    async def listed(self, path: str, selector: str) -> tuple[dict[str, str], str]:
        """resourceVersion by object, in pages, and the version of the list."""
        found: dict[str, str] = {}
        following = ""
        while True:
            query = f"?limit=500&labelSelector={selector}" + (f"&continue={following}" if following else "")
            status, answer = await self.send("GET", path + query)
            if status != 200:
                raise RuntimeError(f"list of {path}: {status} {answer.get('message')}")
            found |= {_key(one): one["metadata"]["resourceVersion"] for one in answer["items"]}
            following = answer["metadata"].get("continue", "")
            if not following:
                return found, answer["metadata"]["resourceVersion"]

    def watch(self, path: str, selector: str, version: str) -> Any:
        """The streamed answer of a watch."""
        query = f"?watch=1&allowWatchBookmarks=true&resourceVersion={version}&labelSelector={selector}"
        timeout = aiohttp.ClientTimeout(total=None)
        return self._session.get(self._url + path + query, ssl=self._tls, timeout=timeout)


def _key(obj: Any) -> str:
    return f"{obj['metadata'].get('namespace', '')}/{obj['metadata']['name']}"


@dataclass
class Watcher:
    """An informer: a cache by list and watch, listed again when the server has forgotten its version."""

    api: Api
    path: str
    selector: str
    cache: dict[str, str] = field(default_factory=dict)
    events: int = 0
    lists: int = 0

    async def run(self, ready: asyncio.Semaphore) -> None:
        """Follow until cancelled."""
        while True:
            self.cache, version = await self.api.listed(self.path, self.selector)
            self.lists += 1
            if self.lists == 1:
                ready.release()
            while version:
                version = await self._follow(version)

    async def _follow(self, version: str) -> str:
        """Read one watch to its end; the version to go on from, empty when that is gone."""
        try:
            async with self.api.watch(self.path, self.selector, version) as answer:
                if answer.status == 410:
                    return ""
                rest = b""
                async for chunk in answer.content.iter_any():
                    *lines, rest = (rest + chunk).split(b"\n")
                    for line in lines:
                        event = orjson.loads(line)
                        if event["type"] == "ERROR":
                            return ""
                        obj = event["object"]
                        version = obj["metadata"]["resourceVersion"]
                        if event["type"] == "DELETED":
                            self.cache.pop(_key(obj), None)
                        elif event["type"] != "BOOKMARK":
                            self.cache[_key(obj)] = version
                        self.events += event["type"] != "BOOKMARK"
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.5)
        return version


class Load:
    """The writers' view of what is there."""

    def __init__(self, api: Api, *, objects: int, seed: int) -> None:
        self._api = api
        self._random = random.Random(seed)
        self._objects = objects
        self._names: list[tuple[str, str, str]] = []
        self._next = 0
        self.answers: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    async def fill(self, writers: int) -> None:
        """Make namespaces and objects."""
        for number in range(NAMESPACES):
            await self._api.send("POST", "/api/v1/namespaces", {"metadata": {"name": f"load-{number}"}})
        left = iter(range(self._objects))

        async def fill() -> None:
            for _ in left:
                await self._create()

        await asyncio.gather(*(fill() for _ in range(writers)))

    async def write(self, until: float) -> None:
        """Mixed writes until a moment; the number of objects stays about the same."""
        while time.monotonic() < until:
            step = self._random.random()
            if step < 0.15 or not self._names:
                await self._create()
            elif step < 0.30:
                await self._delete()
            else:
                await self._change(step)

    async def _create(self) -> None:
        self._next += 1
        number = self._next
        kind = self._random.choices([one[0] for one in KINDS], [one[2] for one in KINDS])[0]
        namespace, name = f"load-{number % NAMESPACES}", f"o{number}"
        status, _ = await self._count("create", "POST", path_of(kind, namespace), body_of(kind, name, number))
        if status == 201:
            self._names.append((kind, namespace, name))

    async def _delete(self) -> None:
        at = self._random.randrange(len(self._names))
        self._names[at], self._names[-1] = self._names[-1], self._names[at]
        kind, namespace, name = self._names.pop()
        await self._count("delete", "DELETE", path_of(kind, namespace, name))

    async def _change(self, step: float) -> None:
        kind, namespace, name = self._random.choice(self._names)
        path, number = path_of(kind, namespace, name), self._random.randrange(1_000_000)
        if step < 0.65:
            labels = {"metadata": {"labels": {"shard": str(number % 10)}, "annotations": {"n": str(number)}}}
            await self._count("merge patch", "PATCH", path, labels, "application/merge-patch+json")
        elif step < 0.85:
            body = body_of(kind, name, number)
            if kind == "secrets":
                body["data"] = {"n": "eA=="}
                del body["stringData"]
            apply = f"{path}?fieldManager=load&force=true"
            await self._count("server-side apply", "PATCH", apply, body, "application/apply-patch+yaml")
        else:
            await self._count("replace", "PUT", path, body_of(kind, name, number))

    async def _count(self, what: str, *request: Any) -> tuple[int, Any]:
        status, answer = await self._api.send(*request)
        self.answers[what] += 1
        if status >= 300 and status not in (404, 409):  # another writer was there first
            self.failures[f"{what}: {status} {answer.get('message', '')[:200]}"] += 1
        return status, answer


def _watchers(api: Api, count: int) -> list[Watcher]:
    """A tenth each of whole kinds and of a selection; the rest watch ConfigMaps of one namespace."""
    tenth = max(1, count // 10)
    found = [Watcher(api, path_of(kind), "") for kind, _, _ in KINDS for _ in range(tenth)]
    found += [Watcher(api, path_of("configmaps"), f"shard%3D{number % 10}") for number in range(tenth)]
    while len(found) < count:
        found.append(Watcher(api, path_of("configmaps", f"load-{len(found) % NAMESPACES}"), ""))
    return found[:count]


def memory_mb(pid: int) -> tuple[float, float]:
    """Proportional and resident memory of a process."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rows = {line.split()[0]: int(line.split()[1]) / 1024 for line in text.splitlines()[1:]}
    return rows["Pss:"], rows["Rss:"]


@dataclass
class Sample:
    """How the server stands at a moment of the load."""

    at_s: float
    writes: int
    pss: float
    rss: float


class Server:
    """A process of the embedded cluster over one home folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        started = time.monotonic()
        command = [sys.executable, "-m", "tiphys", "devcluster", "--home", str(home), "--port", "0"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.ready_s = time.monotonic() - started
        self.ready_cpu_s = cpu_s(self.process.pid)
        self.url = next((word for word in line.replace(",", " ").split() if word.startswith("https://")), "")
        if not self.url:
            self.kill()
            raise SystemExit(f"the server does not start: {line}")

    def session(self) -> aiohttp.ClientSession:
        """A client with the administrator's token."""
        token = (self.home / "pki" / "admin.token").read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)

    def tls(self) -> ssl.SSLContext:
        """Trust in its certificate."""
        return ssl.create_default_context(cafile=str(self.home / "pki" / "ca.crt"))

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End the process."""
        self.process.send_signal(how)
        self.process.wait(timeout=20)


async def run(server: Server, options: argparse.Namespace) -> list[str]:
    """The load; what was not as it has to be."""
    wrong: list[str] = []
    async with server.session() as session:
        api = Api(session, server.url, server.tls())
        load = Load(api, objects=options.objects, seed=options.seed)
        started = time.monotonic()
        await load.fill(options.writers)
        print(f"filled {options.objects} objects in {time.monotonic() - started:.0f} s", file=sys.stderr)
        watchers = _watchers(api, options.watchers)
        ready = asyncio.Semaphore(0)
        following = [asyncio.create_task(one.run(ready)) for one in watchers]
        for _ in watchers:
            await asyncio.wait_for(ready.acquire(), 120)
        load.answers.clear()
        began, spent = time.monotonic(), cpu_s(server.process.pid)
        until = began + options.minutes * 60
        writing = [asyncio.create_task(load.write(until)) for _ in range(options.writers)]
        samples = []
        for number in range(1, SAMPLES + 1):
            await asyncio.sleep(max(0.0, began + number * (until - began) / SAMPLES - time.monotonic()))
            at = time.monotonic() - began
            samples.append(Sample(at, sum(load.answers.values()), *memory_mb(server.process.pid)))
            print(samples[-1], file=sys.stderr)
        await asyncio.gather(*writing)
        took = time.monotonic() - began
        late = await _unequal(watchers)
        spent = cpu_s(server.process.pid) - spent
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
        wrong += [f"cache of {one.path} {one.selector} differs from a list" for one in late]
        wrong += [f"{count} times {what}" for what, count in load.failures.items()]
        wrong += _grown(samples)
        held = {kind: (await api.listed(path_of(kind), ""))[0] for kind, _, _ in KINDS}
    wrong += await _restarted(server.home, server, held)
    writes = sum(load.answers.values())
    events = sum(one.events for one in watchers)
    print("| | |\n|---|---|")
    print(
        f"| objects, watchers, writers, minutes | {options.objects:,}, {len(watchers)}, {options.writers}, {took / 60:.1f} |"
    )
    print(f"| writes | {writes:,} ({writes / took:,.0f} a second) |")
    print("| of them | " + ", ".join(f"{what} {count:,}" for what, count in sorted(load.answers.items())) + " |")
    print(f"| watch events delivered | {events:,} ({events / took:,.0f} a second) |")
    print(
        f"| server CPU | {spent / took:.0%} of a core, {spent / max(1, writes) * 1e3:.1f} ms for a write and its events |"
    )
    print(f"| caches equal to a list at the end | {len(watchers) - len(late)} of {len(watchers)} |")
    print(f"| watchers that had to list again | {sum(one.lists > 1 for one in watchers)} |")
    print(f"| machine | {os.cpu_count()} cores, load {os.getloadavg()[2]:.0f} |")
    print("\n| minute | writes | PSS, MB | RSS, MB |\n|---|---|---|---|")
    for one in samples:
        print(f"| {one.at_s / 60:.1f} | {one.writes:,} | {one.pss:.0f} | {one.rss:.0f} |")
    return wrong


def _grown(samples: Sequence[Sample]) -> list[str]:
    """What grows although the history of changes, which has a fixed length, is full."""
    full = [one for one in samples if one.writes >= HISTORY]
    if len(full) < 2 or full[-1].pss <= full[0].pss * (1 + GROWTH_ALLOWED):
        return []
    return [f"memory grew from {full[0].pss:.0f} to {full[-1].pss:.0f} MB"]


async def _unequal(watchers: Sequence[Watcher]) -> list[Watcher]:
    """Watchers whose caches do not come to equal a list in time."""
    deadline = time.monotonic() + CATCH_UP_S
    lists: dict[tuple[str, str], dict[str, str]] = {}
    for one in watchers:
        place = (one.path, one.selector)
        if place not in lists:
            lists[place], _ = await one.api.listed(*place)
    while True:
        late = [one for one in watchers if one.cache != lists[one.path, one.selector]]
        if not late or time.monotonic() > deadline:
            return late
        await asyncio.sleep(0.2)


async def _restarted(home: Path, server: Server, held: dict[str, dict[str, str]]) -> list[str]:
    """Kill the server, start another on its store; what the new one does not hold as it was."""
    server.kill()
    again = Server(home)
    try:
        async with again.session() as session:
            api = Api(session, again.url, again.tls())
            wrong = [
                f"{kind} are others after the restart"
                for kind, objects in held.items()
                if (await api.listed(path_of(kind), ""))[0] != objects
            ]
        pss, _ = memory_mb(again.process.pid)
        cpu = again.ready_cpu_s
        print(
            f"Killed by SIGKILL and started again: ready after {again.ready_s:.1f} s ({cpu:.1f} s of CPU), {pss:.0f} MB.\n"
        )
        return wrong
    finally:
        again.kill(signal.SIGTERM)


Figures = dict[str, tuple[float, float]]
"""Requests per second and CPU microseconds of the server for each, by kind of request."""


async def rates(url: str, tls: ssl.SSLContext, token: str, seconds: float, spent: Callable[[], float]) -> Figures:
    """Figures with 16 connections; `spent` gives the CPU seconds used so far."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    found: Figures = {}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as session:
        client = Client(session, url, tls)
        for number in range(500):
            await client.send("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": f"m{number}"}})
        for name, call in calls(client).items():
            before, start = spent(), time.monotonic()
            figure = await rate(call, seconds=seconds, connections=16)
            found[name] = (figure, (spent() - before) / max(1.0, figure * (time.monotonic() - start)) * 1e6)
    return found


def beside_real(seconds: float) -> None:
    """Print the rates of both servers."""
    from tests.realcluster.cluster import running

    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "embedded")
        try:
            token = (server.home / "pki" / "admin.token").read_text().strip()
            pid = server.process.pid
            here = asyncio.run(rates(server.url, server.tls(), token, seconds, lambda: cpu_s(pid)))
        finally:
            server.kill(signal.SIGTERM)
        with running(Path(folder) / "real") as real:
            tls = ssl.create_default_context(cafile=str(real.certificate_authority))
            keys = real.certificate_authority.parent
            tls.load_cert_chain(keys / "admin.crt", keys / "admin.key")
            processes = json.loads((real.directory / "state.json").read_text())["processes"]
            pids = [int(pid) for name, pid, *_ in processes if name in ("etcd", "kube-apiserver")]
            there = asyncio.run(rates(real.url, tls, "", seconds, lambda: sum(map(cpu_s, pids))))
    print("\n| request | embedded, a second | CPU, µs each | kube-apiserver and etcd, a second | CPU, µs each |")
    print("|---|---|---|---|---|")
    for name, (figure, cost) in here.items():
        other, other_cost = there[name]
        print(f"| {name} | {figure:,.0f} | {cost:,.0f} | {other:,.0f} | {other_cost:,.0f} |")


def main() -> int:
    """Load, check, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--objects", type=int, default=20_000)
    parser.add_argument("--watchers", type=int, default=100)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--real", action="store_true", help="measure single requests here and on a real kube-apiserver")
    options = parser.parse_args()
    wrong: list[str] = []
    if options.minutes:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder))
            try:
                wrong = asyncio.run(run(server, options))
            finally:
                if server.process.poll() is None:
                    server.kill()
    if options.real:
        beside_real(3.0)
    for line in wrong:
        print(f"WRONG: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
