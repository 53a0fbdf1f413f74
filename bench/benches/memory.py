"""B7: memory with many objects in the cluster that belong to nobody, and a restart until every application has a new verdict."""

from __future__ import annotations

import asyncio
import time

from bench import workload
from bench.api import Object
from bench.benches.deploy import deployed
from bench.benches.renders import refresh
from bench.engines.protocol import Verdict
from bench.floor import drive
from bench.meter import Meter, memory_of
from bench.run import TAIL_S, Figures, Run

SETTLE_S = 15.0
LIMIT_S = 600.0
SPACES = 20


def stranger(number: int) -> Object:
    """An object that no engine manages, of about two kilobytes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"object-{number:06d}",
            "namespace": f"others-{number % SPACES:02d}",
            "labels": {"app": f"service-{number % 500}", "team": f"team-{number % 17}"},
        },
        "data": {"settings": workload.text(1_000_000 + number % 1000, 1600)},
    }


async def memory_and_restart(run: Run) -> Figures:
    """With the fleet alone, with the strangers, then restarted with what it had stored, then with nothing stored."""
    await deployed(run)
    await asyncio.sleep(SETTLE_S)
    found: Figures = {"fleet_alone": memory_of(run.engine)}
    count = run.options.objects
    await run.namespaces([f"others-{number:02d}" for number in range(SPACES)])
    meter, started = Meter(run.site, run.engine), time.monotonic()
    for first in range(0, count, 1000):
        await drive(run.api, [stranger(number) for number in range(first, min(first + 1000, count))], "post")
    created = time.monotonic() - started
    await asyncio.sleep(SETTLE_S)
    spent = meter.read(requests=False)
    found["objects"] = count
    found["created_s"] = round(created, 1)
    found["engine_cpu_us_per_foreign_event"] = round(spent.engine_cpu_s / count * 1e6, 1)
    found["with_objects"] = memory_of(run.engine)
    grown = found["with_objects"]["pss_mib"] - found["fleet_alone"]["pss_mib"]
    found["bytes_per_foreign_object"] = round(grown * 2**20 / count)
    found["restart"] = await _restart(run, forget=False)
    found["restart_with_nothing_stored"] = await _restart(run, forget=True)
    return found


async def _restart(run: Run, *, forget: bool) -> Figures:
    """Every application is asked for a new verdict while the engine is down, so that each has to make one."""
    run.engine.halt()
    if forget:
        run.engine.forget()
    mark = f"restart-{time.monotonic_ns()}"
    await refresh(run, run.apps, mark)
    await asyncio.sleep(2)

    def answered(verdict: Verdict) -> bool:
        return run.engine.answered(verdict, mark)

    peak = 0.0
    started = time.monotonic()
    await run.engine.restart()
    meter = Meter(run.site, run.engine)
    waiting = asyncio.get_running_loop().create_task(
        run.verdicts.each(run.keys, answered, within_s=LIMIT_S, what="a verdict of every application")
    )
    while not waiting.done():
        await asyncio.wait([waiting], timeout=0.5)
        peak = max(peak, memory_of(run.engine)["pss_mib"])
    seconds = await waiting - started
    await asyncio.sleep(TAIL_S)
    spent = meter.read()
    await asyncio.sleep(SETTLE_S)
    return {
        "seconds_to_every_verdict": round(seconds, 2),
        "peak_pss_mib": peak,
        "memory": memory_of(run.engine),
        **spent.totals(),
    }
