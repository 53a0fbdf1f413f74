"""Measures the embedded cluster over TLS: requests per second and the server's CPU time, by kind of request; watch events.

    python scripts/measure_devcluster.py [--seconds 3] [--connections 16] [--disk]

Starts `tiphys devcluster` as a process of its own on a free port and stops it. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d", "labels": {"app": "d"}},
    "spec": {
        "replicas": 0,
        "selector": {"matchLabels": {"app": "d"}},
        "template": {
            "metadata": {"labels": {"app": "d"}},
            "spec": {
                "containers": [
                    {
                        "name": "c",
                        "image": "nginx:1",
                        "ports": [{"containerPort": 80}],
                        "env": [{"name": f"V{i}", "value": str(i)} for i in range(5)],
                        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    }
                ]
            },
        },
    },
}
MAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"

Call = Callable[[int], Awaitable[None]]


class Client:
    """One pool of connections to one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext) -> None:
        self._session = session
        self._url = url
        self._tls = tls

    async def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> None:
        """One request that must succeed."""
        data = None if body is None else json.dumps(body).encode()
        async with self._session.request(
            method, self._url + path, data=data, headers={"content-type": kind}, ssl=self._tls
        ) as answer:
            text = await answer.read()
            if answer.status >= 300:
                raise SystemExit(f"{method} {path}: {answer.status} {text[:300]!r}")

    async def watch(self, path: str, until: int, ready: asyncio.Event) -> None:
        """Read events until so many have been seen."""
        seen = 0
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(self._url + path, ssl=self._tls, timeout=timeout) as answer:
            ready.set()
            async for chunk in answer.content.iter_any():
                seen += chunk.count(b"\n")
                if seen >= until:
                    return


async def rate(call: Call, *, seconds: float, connections: int) -> float:
    """Calls per second with so many callers at once."""
    end = time.monotonic() + seconds
    counts = [0] * connections

    async def caller(index: int) -> None:
        while time.monotonic() < end:
            await call(index * 1_000_000 + counts[index])
            counts[index] += 1

    start = time.monotonic()
    await asyncio.gather(*(caller(index) for index in range(connections)))
    return sum(counts) / (time.monotonic() - start)


def calls(client: Client) -> dict[str, Call]:
    """What is measured, in this order."""
    apply = "application/apply-patch+yaml"
    merge = "application/merge-patch+json"

    def applied(number: int) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(json.dumps(DEPLOYMENT))
        body["metadata"]["name"] = f"s{number // 1_000_000}"
        body["spec"]["template"]["spec"]["containers"][0]["image"] = f"nginx:{number}"
        return body

    return {
        "get ConfigMap": lambda n: client.send("GET", f"{MAPS}/m{n % 100}"),
        "create ConfigMap": lambda n: client.send("POST", MAPS, {"metadata": {"name": f"c{n}"}, "data": {"a": "b"}}),
        "merge patch ConfigMap": lambda n: client.send("PATCH", f"{MAPS}/m{n % 100}", {"data": {"a": str(n)}}, merge),
        "create Deployment": lambda n: client.send(
            "POST", DEPLOYMENTS, {**DEPLOYMENT, "metadata": {"name": f"d{n}", "labels": {"app": "d"}}}
        ),
        "server-side apply Deployment": lambda n: client.send(
            "PATCH", f"{DEPLOYMENTS}/s{n // 1_000_000}?fieldManager=m&force=true", applied(n), apply
        ),
        "list 500 ConfigMaps": lambda n: client.send("GET", f"{MAPS}?limit=500"),
    }


async def fan_out(client: Client, *, watchers: int, changes: int) -> float:
    """Events per second delivered to all watchers together while one object is changed so often."""
    ready = [asyncio.Event() for _ in range(watchers)]
    path = f"{MAPS}?watch=1&resourceVersion=0&fieldSelector=metadata.name=m0"
    async with asyncio.TaskGroup() as group:
        for event in ready:
            group.create_task(client.watch(path, changes + 1, event))
        for event in ready:
            await event.wait()
        start = time.monotonic()
        for number in range(changes):
            await client.send(
                "PATCH", f"{MAPS}/m0", {"data": {"w": f"{number} {start}"}}, "application/merge-patch+json"
            )
    return watchers * changes / (time.monotonic() - start)


async def measure(
    pid: int, url: str, ca: Path, token: str, *, seconds: float, connections: int
) -> dict[str, tuple[float, float]]:
    """(per second, microseconds of the server's CPU for each) by name."""
    tls = ssl.create_default_context(cafile=str(ca))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"authorization": f"Bearer {token}"}) as session:
        client = Client(session, url, tls)
        for number in range(500):
            await client.send("POST", MAPS, {"metadata": {"name": f"m{number}"}, "data": {"a": "b"}})
        found: dict[str, tuple[float, float]] = {}

        async def add(name: str, work: Awaitable[float]) -> None:
            start, spent = time.monotonic(), cpu_s(pid)
            figure = await work
            took = time.monotonic() - start
            found[name] = (figure, (cpu_s(pid) - spent) / max(1.0, figure * took) * 1e6)

        for name, call in calls(client).items():
            await add(name, rate(call, seconds=seconds, connections=connections))
        await add("watch events, 1 watcher", fan_out(client, watchers=1, changes=1000))
        await add("watch events, 50 watchers", fan_out(client, watchers=50, changes=300))
        return found


def cpu_s(pid: int) -> float:
    """CPU seconds a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Start, measure, print, stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--disk", action="store_true", help="with the SQLite store instead of in memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        command = [sys.executable, "-m", "tiphys", "devcluster", "--home", folder, "--port", "0", "--no-simulation"]
        if not options.disk:
            command.append("--in-memory")
        start = time.monotonic()
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            started = time.monotonic() - start
            url = next(word for word in line.replace(",", " ").split() if word.startswith("https://"))
            token = (home / "pki" / "admin.token").read_text().strip()
            empty = memory_mb(server.pid)
            found = asyncio.run(
                measure(
                    server.pid,
                    url,
                    home / "pki" / "ca.crt",
                    token,
                    seconds=options.seconds,
                    connections=options.connections,
                )
            )
            print(f"start {started:.2f} s; resident {empty:.0f} MB empty, {memory_mb(server.pid):.0f} MB at the end\n")
            print("| request | per second | server CPU, µs each |\n|---|---|---|")
            for name, (figure, cost) in found.items():
                print(f"| {name} | {figure:,.0f} | {cost:,.0f} |")
        finally:
            server.terminate()
            server.wait(timeout=10)


if __name__ == "__main__":
    main()
