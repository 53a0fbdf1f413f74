"""B1: N applications created in one burst, until the observer has seen the last of them in sync and healthy."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

from bench import workload
from bench.engines.protocol import settled
from bench.engines.tiphys import Tiphys
from bench.equivalence import gate
from bench.floor import floor
from bench.meter import Meter, memory_of
from bench.run import TAIL_S, Figures, LagProbe, Run, spread

LIMIT_S = 60.0
LIMIT_PER_APP_S = 1.5


async def first_deploy(run: Run) -> Figures:
    """The floor's passes first, then the engine, in the same cluster."""
    n, flavour = run.options.n, run.options.flavour
    run.apps = workload.fleet(n, flavour)
    # Flux reads no folder without a kustomization, so that its folders have one beside the same three files.
    await run.repository(
        "fleet", workload.files(n, "listed" if run.engine.name == "flux" and flavour == "plain" else flavour)
    )
    await run.namespaces(sorted({app.namespace for app in run.apps}))
    found: Figures = {}
    if run.options.floor:
        found["floor"] = await floor(run.site, run.api, run.declared())
        await asyncio.sleep(2)
    async with AsyncExitStack() as stack:
        probe = None
        if run.options.lag and isinstance(run.engine, Tiphys):
            probe = await stack.enter_async_context(LagProbe(run.api, run.engine.address))
        found |= await _deploy(run)
    if probe is not None and probe.seconds:
        found["loop_lag_ms"] = spread(probe.seconds)
    found["live"] = await gate(run.api, run.declared())
    run.deployed = found
    return found


async def _deploy(run: Run) -> Figures:
    n = len(run.apps)
    meter, started, events = Meter(run.site, run.engine), time.monotonic(), run.verdicts.events
    await run.engine.submit(run.api, run.apps, run.urls)
    accepted = time.monotonic() - started
    last = await run.verdicts.each(
        run.keys, settled, within_s=LIMIT_S + LIMIT_PER_APP_S * n, what=f"{n} applications in sync and healthy"
    )
    memory = memory_of(run.engine)
    await asyncio.sleep(TAIL_S)
    spent = meter.read()
    return {
        "wall_s": round(last - started, 2),
        "accepted_s": round(accepted, 2),
        **spent.per(n, "app"),
        "verdict_events_per_app": round((run.verdicts.events - events) / n, 2),
        "memory": memory,
        "others_cores": spent.totals()["others_cores"],
    }


async def deployed(run: Run) -> None:
    """The fleet is there: deployed by B1 if that was asked for, else now."""
    if run.deployed is None:
        await first_deploy(run)
