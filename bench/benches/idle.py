"""B2: nothing happens. What the engine and the cluster spend, and what is written."""

from __future__ import annotations

import asyncio
import time

from bench.benches.deploy import deployed
from bench.benches.renders import refresh
from bench.engines.protocol import Verdict
from bench.meter import Meter, Spent, memory_of, writes
from bench.run import Figures, Run

SETTLE_S = 30.0
ALONE_S = 30.0
BACK_S = 300.0


async def nothing_happens(run: Run) -> Figures:
    """After the fleet was deployed and has settled. The floor is the cluster with the objects and without the engine."""
    await deployed(run)
    await asyncio.sleep(SETTLE_S)
    meter = Meter(run.site, run.engine)
    await asyncio.sleep(run.options.idle_s)
    spent = meter.read()
    found: Figures = {**_per_minute(spent), "memory": memory_of(run.engine)}
    if run.options.floor:
        run.engine.halt()
        await asyncio.sleep(5)
        meter = Meter(run.site, None)
        await asyncio.sleep(ALONE_S)
        alone = meter.read()
        found["floor"] = {"cluster_cpu_s_per_min": round(alone.cluster_cpu_s * 60 / alone.seconds, 3)}
        await run.engine.restart()
        await _back(run)
    return found


async def _back(run: Run) -> None:
    """The engine works again: every application has a new verdict."""
    mark = f"idle-{time.monotonic_ns()}"
    await refresh(run, run.apps, mark)

    def answered(verdict: Verdict) -> bool:
        return run.engine.answered(verdict, mark)

    await run.verdicts.each(run.keys, answered, within_s=BACK_S, what="a verdict of every application")


def _per_minute(spent: Spent) -> Figures:
    scale = 60 / spent.seconds
    changed = writes(spent.requests)
    leases = sum(
        n for (verb, resource), n in spent.requests.items() if resource.startswith("leases.") and verb == "update"
    )
    return {
        "seconds": round(spent.seconds, 1),
        "engine_cpu_s_per_min": round(spent.engine_cpu_s * scale, 4),
        "engine_children_cpu_s_per_min": round((spent.engine_cpu_s - spent.main_cpu_s) * scale, 4),
        "cluster_cpu_s_per_min": round(spent.cluster_cpu_s * scale, 3),
        "writes_but_lease_per_min": round(sum(changed.values()) * scale, 2),
        "writes_but_lease": changed,
        "lease_updates_per_min": round(leases * scale, 1),
        "requests_per_min": round(sum(spent.requests.values()) * scale, 1),
        "etcd_wal_kib_per_min": round(spent.wal_bytes * scale / 1024, 1),
        "others_cores": spent.totals()["others_cores"],
    }
