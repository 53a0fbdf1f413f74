"""Many small applications: what the first deployment costs, what an idle fleet costs, and what one commit costs.

    python -m bench.fleet --n 300 --idle-minutes 10 --commits 10 --drifts 10

Each application is a ServiceAccount, a Service, a Deployment without replicas and a ConfigMap of 2 KB, all from one
repository; the Applications are created in one burst. The engine's CPU includes its render workers and git. Requests are
those of the engine's identity in the API server's audit log.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import workload
from bench.machine import busy_s, machine, memory, own_cpu_s
from bench.observer import APPLICATIONS, CONFIG_MAPS, NAMESPACES, Key, Object, Observer, done, observing
from bench.path import spread
from bench.system import System, by_request, by_verb, system, writes
from tiphys.kube.client import MERGE, KubeClient
from tiphys.kube.config import read_kubeconfig

CREATORS = 16
SETTLE_S = 30.0


class Meter:
    """What a stretch of the run has spent."""

    def __init__(self, sut: System) -> None:
        self._sut = sut
        self._audit = sut.audit_position()
        self._engine, self._cluster, self._busy = sut.engine_cpu_s(), sut.cluster_cpu_s(), busy_s()
        self._own = own_cpu_s(sut.engine.pid)
        self._started = time.monotonic()

    def read(self) -> dict[str, Any]:
        """Everything since the start."""
        engine, cluster = self._sut.engine_cpu_s() - self._engine, self._sut.cluster_cpu_s() - self._cluster
        return {
            "seconds": round(time.monotonic() - self._started, 2),
            "engine_cpu_s": round(engine, 2),
            "engine_main_process_cpu_s": round(own_cpu_s(self._sut.engine.pid) - self._own, 2),
            "cluster_cpu_s": round(cluster, 2),
            "machine_busy_s": round(busy_s() - self._busy, 2),
            "requests": self._sut.engine_requests(self._audit),
        }


def told(meter: dict[str, Any]) -> dict[str, Any]:
    """A meter's reading with its requests as text."""
    counts: Mapping[tuple[str, str], int] = meter["requests"]
    return {**{k: v for k, v in meter.items() if k != "requests"}, "requests": by_request(counts)}


async def in_parallel(calls: list[Any]) -> None:
    """Run calls, a few at a time."""
    todo = iter(calls)

    async def work() -> None:
        for call in todo:
            await call()

    await asyncio.gather(*(work() for _ in range(CREATORS)))


def revision_of(app: Object) -> str:
    """The revision an Application shows."""
    return str(((app.get("status") or {}).get("sync") or {}).get("revision", ""))


async def first_deploy(observer: Observer, repo: workload.Repository, n: int, sut: System) -> dict[str, Any]:
    """Create all Applications in one burst and wait until all are done."""
    apps = [
        workload.application(
            workload.app_name(i), repo.url, path=f"apps/{workload.app_name(i)}", namespace=workload.namespace_of(i)
        )
        for i in range(n)
    ]
    meter = Meter(sut)
    started = time.monotonic()
    create = observer.client.create
    last = 0

    def all_done(objects: Mapping[Key, Object]) -> bool:
        # Looks first at the one that was not done last time: this is asked at every event.
        nonlocal last
        if len(objects) < n:
            return False
        while last < n:
            if not done(objects["argocd", workload.app_name(last)]):
                return False
            last += 1
        last = 0 if not all(map(done, objects.values())) else last
        return last == n

    waiting = asyncio.get_running_loop().create_task(
        observer.until(
            APPLICATIONS,
            all_done,
            within_s=60 + n * 1.0,
            what=f"{n} applications Synced and Healthy",
        )
    )
    await in_parallel([lambda app=app: create(APPLICATIONS, app, field_manager="bench") for app in apps])
    created = time.monotonic() - started
    finished = await waiting - started
    at_end = asdict(memory(sut.engine.pid))
    await asyncio.sleep(5)
    spent = meter.read()
    counts: Mapping[tuple[str, str], int] = spent["requests"]
    return {
        "applications": n,
        "create_s": round(created, 2),
        "wall_s": round(finished, 2),
        "engine_cpu_ms_per_app": round(spent["engine_cpu_s"] / n * 1000, 2),
        "engine_main_process_cpu_ms_per_app": round(spent["engine_main_process_cpu_s"] / n * 1000, 2),
        "cluster_cpu_ms_per_app": round(spent["cluster_cpu_s"] / n * 1000, 2),
        "requests_per_app": round(sum(counts.values()) / n, 2),
        "requests_per_app_by_verb": {verb: round(count / n, 2) for verb, count in by_verb(counts).items()},
        "memory_mib_at_end": at_end,
        **told(spent),
    }


async def idle(minutes: float, sut: System) -> dict[str, Any]:
    """Nothing happens."""
    await asyncio.sleep(SETTLE_S)
    meter = Meter(sut)
    await asyncio.sleep(minutes * 60)
    spent = meter.read()
    counts = spent["requests"]
    return {
        "minutes": minutes,
        "engine_cpu_s_per_min": round(spent["engine_cpu_s"] / minutes, 4),
        "writes_but_lease": writes(counts),
        "memory_mib": asdict(memory(sut.engine.pid)),
        **told(spent),
    }


async def commits(observer: Observer, repo: workload.Repository, n: int, count: int, sut: System) -> dict[str, Any]:
    """One application of N gets a new ConfigMap by a push, again and again."""
    live, settle, spent_engine, spent_cluster = [], [], 0.0, 0.0
    choice = random.Random(7)
    audit = sut.audit_position()
    for number in range(count):
        i = choice.randrange(n)
        key: Key = (workload.namespace_of(i), workload.app_name(i))
        version = f"v{number + 1}"
        files = {f"apps/{key[1]}/configmap.yaml": workload.config_map(i, version)}
        revision = await asyncio.to_thread(repo.commit, files)
        before = sut.engine_cpu_s(), sut.cluster_cpu_s()

        def is_live(objects: Mapping[Key, Object], key: Key = key, version: str = version) -> bool:
            return bool(objects[key]["data"]["version"] == version)

        def is_done(objects: Mapping[Key, Object], name: str = key[1], revision: str = revision) -> bool:
            app = objects["argocd", name]
            return done(app) and revision_of(app) == revision

        waiting = asyncio.get_running_loop().create_task(
            observer.until(CONFIG_MAPS, is_live, within_s=60, what=f"{version} of {key[1]}")
        )
        await asyncio.to_thread(repo.push)
        pushed = time.monotonic()
        live.append(max(await waiting - pushed, 0.0))
        settle.append(await observer.until(APPLICATIONS, is_done, within_s=60, what=f"{key[1]} done") - pushed)
        await asyncio.sleep(2)
        spent_engine += sut.engine_cpu_s() - before[0]
        spent_cluster += sut.cluster_cpu_s() - before[1]
    return {
        "push_returned_to_live": spread(live),
        "push_returned_to_settled": spread(settle),
        "engine_cpu_ms_per_commit": round(spent_engine / count * 1000, 1),
        "cluster_cpu_ms_per_commit": round(spent_cluster / count * 1000, 1),
        "requests_per_commit": {k: round(v / count, 2) for k, v in by_request(sut.engine_requests(audit)).items()},
    }


async def drifts(observer: Observer, n: int, count: int, sut: System) -> dict[str, Any]:
    """A ConfigMap of a different application is changed by hand each time."""
    reverted, spent = [], 0.0
    audit = sut.audit_position()
    for i in random.Random(11).sample(range(n), count):
        key: Key = (workload.namespace_of(i), workload.app_name(i))
        version = observer.objects(CONFIG_MAPS)[key]["data"]["version"]
        before = sut.engine_cpu_s()

        def changed(objects: Mapping[Key, Object], key: Key = key, version: str = version) -> bool:
            return bool(objects[key]["data"]["version"] != version)

        def back(objects: Mapping[Key, Object], key: Key = key, version: str = version) -> bool:
            return bool(objects[key]["data"]["version"] == version)

        drifted = asyncio.get_running_loop().create_task(
            observer.until(CONFIG_MAPS, changed, within_s=60, what=f"drift of {key[1]}")
        )
        await asyncio.sleep(0)
        body = {"data": {"version": "by hand"}}
        await observer.client.patch(
            CONFIG_MAPS, key[1], body, key[0], content_type=MERGE, field_manager="kubectl-patch"
        )
        patched = time.monotonic()
        await drifted
        reverted.append(await observer.until(CONFIG_MAPS, back, within_s=60, what=f"{key[1]} reverted") - patched)
        await asyncio.sleep(1)
        spent += sut.engine_cpu_s() - before
    return {
        "drift_to_reverted": spread(reverted),
        "engine_cpu_ms_per_drift": round(spent / count * 1000, 1),
        "requests_per_drift": {k: round(v / count, 2) for k, v in by_request(sut.engine_requests(audit)).items()},
    }


async def prepare(sut: System, repo: workload.Repository, n: int) -> None:
    """Fill the repository and make the namespaces."""
    files = {name: text for i in range(n) for name, text in workload.manifests(i).items()}
    await asyncio.to_thread(repo.commit, files)
    await asyncio.to_thread(repo.push)
    async with KubeClient(read_kubeconfig(sut.admin), user_agent="bench-observer") as client:
        for name in sorted({workload.namespace_of(i) for i in range(n)}):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await client.create(NAMESPACES, body, field_manager="bench")
    await asyncio.sleep(3)


async def run(sut: System, options: argparse.Namespace, root: Path) -> dict[str, Any]:
    """The stretches in their order."""
    repo = workload.Repository(root / "git")
    await prepare(sut, repo, options.n)
    result: dict[str, Any] = {"memory_mib_before": asdict(memory(sut.engine.pid))}
    async with observing(sut.admin, APPLICATIONS, CONFIG_MAPS) as observer:
        result["first_deploy"] = await first_deploy(observer, repo, options.n, sut)
        if options.commits:
            result["commits"] = await commits(observer, repo, options.n, options.commits, sut)
        if options.drifts:
            result["drifts"] = await drifts(observer, options.n, options.drifts, sut)
    if options.idle_minutes:
        result["idle"] = await idle(options.idle_minutes, sut)
    return result


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", choices=("real", "embedded"), default="real")
    parser.add_argument("--n", type=int, default=300, help="applications")
    parser.add_argument("--idle-minutes", type=float, default=0.0)
    parser.add_argument("--commits", type=int, default=0, help="pushes that change one application")
    parser.add_argument("--drifts", type=int, default=0, help="changes by hand")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--logs", type=Path, help="keep the engine's log here")
    parser.add_argument("--profiler", default="", help="command put before the engine's, such as a profiler")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-fleet-") as folder:
        root = Path(folder)
        with system(options.cluster, root / "system", nodes=False, wrap=tuple(options.profiler.split())) as sut:
            try:
                figures = asyncio.run(run(sut, options, root))
            finally:
                if options.logs is not None:
                    options.logs.write_bytes(sut.engine.log.read_bytes())
    result = {"bench": "fleet", "cluster": options.cluster, "machine": machine(), **figures}
    text = workload.show(result)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
