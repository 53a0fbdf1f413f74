"""B8: one field of a live object is changed by hand, each time another application's, until it is put back."""

from __future__ import annotations

import asyncio
import random
import time

from bench import workload
from bench.api import MERGE, Key
from bench.benches.deploy import deployed
from bench.benches.monorepo import has
from bench.meter import Meter, Spent
from bench.run import Figures, Run, spread

LIMIT_S = 120.0
PAUSE_S = 1.0
FALSE_S = 3.0
BY_HAND = "by hand"


async def drift_reverted(run: Run) -> Figures:
    """From the answer of the patch until the observer has seen the declared value again; then a change that is no drift."""
    await deployed(run)
    idle = await run.rest()
    times, total = [], Spent()
    numbers = random.Random(11).sample(range(run.options.n), min(run.options.rounds, run.options.n))
    for number in numbers:
        key: Key = (workload.namespace_of(number), workload.app_name(number))
        path = f"/api/v1/namespaces/{key[0]}/configmaps/{key[1]}"
        version = run.configs.state[key]["version"]
        meter = Meter(run.site, run.engine)
        changed = asyncio.get_running_loop().create_task(
            run.configs.one(key, has("version", BY_HAND), within_s=10, what="the change")
        )
        await asyncio.sleep(0)
        await run.api.call("PATCH", path, {"data": {"version": BY_HAND}}, MERGE)
        patched = time.monotonic()
        await changed
        back = await run.configs.one(key, has("version", version), within_s=LIMIT_S, what=f"{key[1]} reverted")
        times.append(max(back - patched, 0.0))
        await asyncio.sleep(PAUSE_S)
        total = total.plus(meter.read())
    return {
        "drift_to_reverted_ms": spread(times),
        **total.per(len(times), "drift"),
        **total.above(idle, len(times), "drift"),
        "false_reverts": await _false_reverts(run),
        "others_cores": total.totals()["others_cores"],
    }


async def _false_reverts(run: Run) -> int:
    """How many labels of nobody's that were put on live objects were taken away again: none is right."""
    keys = [(workload.namespace_of(i), workload.app_name(i)) for i in range(min(5, run.options.n))]
    paths = [f"/api/v1/namespaces/{namespace}/configmaps/{name}" for namespace, name in keys]
    for path in paths:
        await run.api.call("PATCH", path, {"metadata": {"labels": {"bench.example/extra": "yes"}}}, MERGE)
    await asyncio.sleep(FALSE_S)
    labels = [(await run.api.get(path))["metadata"]["labels"] for path in paths]
    for path in paths:
        await run.api.call("PATCH", path, {"metadata": {"labels": {"bench.example/extra": None}}}, MERGE)
    return sum("bench.example/extra" not in each for each in labels)
