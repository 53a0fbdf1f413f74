"""GET/s and watch events/s of the Kubernetes client against a trivial server in another process, next to bare aiohttp.

python bench/kube_client.py [--uvloop]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from tiphys.kube.client import MERGE, ApiResource, KubeClient
from tiphys.kube.config import ClusterConfig
from tiphys.kube.watch import Reflector
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.secret import Secret

RES = ApiResource("apps", "v1", "Deployment", "deployments", True)
TASKS = 16
EVENTS = 200_000


def deployment(name: str, version: int) -> dict[str, Any]:
    labels = {"app": name, "app.kubernetes.io/instance": name}
    container = {
        "name": "main",
        "image": "example/app:1.2.3",
        "env": [{"name": f"E{n}", "value": "x" * 20} for n in range(20)],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default", "resourceVersion": str(version), "labels": labels},
        "spec": {"replicas": 1, "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}},
        "status": {"replicas": 1, "readyReplicas": 1},
    }


async def serve() -> None:
    """The server: prints its port, then answers until it is killed."""
    one = orjson.dumps(deployment("web", 1))
    page = orjson.dumps(
        {
            "kind": "DeploymentList",
            "metadata": {"resourceVersion": "1"},
            "items": [deployment(f"d{n}", n) for n in range(500)],
        }
    )
    lines = [orjson.dumps({"type": "MODIFIED", "object": deployment(f"d{n}", n)}) + b"\n" for n in range(100)]
    small = [
        orjson.dumps({"type": "MODIFIED", "object": {"metadata": {"name": f"d{n}", "resourceVersion": str(n)}}}) + b"\n"
        for n in range(100)
    ]

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            block = b"".join(small if request.query.get("labelSelector") else lines)
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            for _ in range(EVENTS // 100):
                await response.write(block)
            return response
        body = page if request.path.endswith("/deployments") else one
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


async def rate(what: str, act: Callable[[], Awaitable[object]], seconds: float = 3.0) -> None:
    """Run `act` in 16 tasks for some time; print calls per second and CPU per call of this process."""
    end = time.monotonic() + seconds
    count = 0

    async def loop() -> None:
        nonlocal count
        while time.monotonic() < end:
            await act()
            count += 1

    cpu = resource.getrusage(resource.RUSAGE_SELF)
    started = time.monotonic()
    await asyncio.gather(*(loop() for _ in range(TASKS)))
    report(what, count, time.monotonic() - started, cpu)


def report(what: str, count: int, wall_s: float, before: resource.struct_rusage) -> None:
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"what": what, "per_s": round(count / wall_s), "cpu_us_each": round(cpu_s / count * 1e6, 1)}))


async def measure(url: str) -> None:
    """All rows."""
    headers = {"Authorization": "Bearer x", "Accept": "application/json"}
    async with aiohttp.ClientSession() as session:

        async def bare() -> object:
            async with session.get(
                f"{url}/apis/apps/v1/namespaces/default/deployments/web", headers=headers
            ) as response:
                return orjson.loads(await response.read())

        await rate("bare aiohttp GET", bare)
    async with KubeClient(ClusterConfig(server=url, bearer_token=Secret("x")), user_agent="bench") as client:
        await rate("GET", lambda: client.get(RES, "web", "default"))
        patch = {"metadata": {"annotations": {"a": "b" * 400}}}
        await rate("PATCH", lambda: client.patch(RES, "web", patch, "default", content_type=MERGE, field_manager="m"))

        async def page() -> object:
            return [page async for page in client.list_pages(RES, "default")]

        await rate("LIST of 500", page)
        for size, selector in (("1.9 KB", ""), ("small", "small")):
            count = 0
            cpu, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
            async for batch in client.watch_batches(RES, resource_version="1", label_selector=selector):
                count += len(batch)
            report(f"watch events, {size}, in batches", count, time.monotonic() - started, cpu)
            count = 0
            cpu, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
            async for _ in client.watch(RES, resource_version="1", label_selector=selector):
                count += 1
            report(f"watch events, {size}, one by one", count, time.monotonic() - started, cpu)
            await reflect(client, selector, size)


async def reflect(client: KubeClient, selector: str, size: str) -> None:
    """The reflector, up to its first watch's end."""
    count = 0
    done = asyncio.Event()

    def on_event(kind: str, obj: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        if count == EVENTS:
            done.set()

    reflector = Reflector(
        client,
        RES,
        clock=SystemClock(),
        on_replace=lambda objects, version: None,
        on_event=on_event,
        label_selector=selector,
    )
    cpu, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    task = asyncio.get_running_loop().create_task(reflector.run())
    await done.wait()
    report(f"reflector events, {size}", count, time.monotonic() - started, cpu)
    task.cancel()
    await asyncio.wait([task])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    server = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        url = f"http://127.0.0.1:{int(server.stdout.readline())}"
        if options.uvloop:
            import uvloop

            uvloop.run(measure(url))
        else:
            asyncio.run(measure(url))
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
