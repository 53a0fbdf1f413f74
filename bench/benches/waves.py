"""B6: ten waves of one ConfigMap each, with no pause between waves and with Argo CD's default pause of two seconds."""

from __future__ import annotations

import asyncio
import time

from bench import workload
from bench.api import Object
from bench.engines.flux import Flux
from bench.engines.protocol import NotMeasuredError, settled
from bench.floor import send
from bench.meter import Meter, Spent
from bench.run import Figures, Run, spread

WAVES = 10
DELAYS = {0: 3, 2: 2}
"""Applications one after the other, by the pause between waves in seconds."""

NAMESPACE = "bench-waves"
LIMIT_S = 900.0


def wave(name: str, number: int) -> Object:
    """The ConfigMap of one wave."""
    metadata = {
        "name": f"wave-{name}-{number}",
        "namespace": NAMESPACE,
        "annotations": {"argocd.argoproj.io/sync-wave": str(number)},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"wave": str(number)}}


def files(name: str) -> workload.Files:
    """One folder with all waves, and a folder for each wave where waves are applications."""
    found = {}
    for number in range(WAVES):
        text = workload.to_yaml(wave(name, number))
        found[f"waves/{name}/wave-{number}.yaml"] = text
        found[f"chain/{name}/{number}/cm.yaml"] = text
    return found


def applications(name: str, *, chained: bool) -> list[workload.App]:
    """One application, or ten that wait for each other."""
    if not chained:
        return [workload.App(name=f"waves-{name}", namespace=NAMESPACE, repo="waves", path=f"waves/{name}")]
    return [
        workload.App(
            name=f"chain-{name}-{number}",
            namespace=NAMESPACE,
            repo="waves",
            path=f"chain/{name}/{number}",
            after=f"chain-{name}-{number - 1}" if number else "",
        )
        for number in range(WAVES)
    ]


async def ten_waves(run: Run) -> Figures:
    """Several applications one after the other, for each pause; the first meets caches that are cold."""
    await run.namespaces([NAMESPACE])
    names = [f"d{delay}s{turn}" for delay, sets in DELAYS.items() for turn in range(sets)]
    await run.repository("waves", {path: text for name in names for path, text in files(name).items()})
    found: Figures = {}
    if run.options.floor:
        found["floor"] = await _floor(run)
    for delay in DELAYS:
        try:
            await run.engine.wave_delay(run.api, delay)
        except NotMeasuredError as error:
            found[f"delay_{delay}_s"] = {"not_measured": str(error)}
            continue
        found[f"delay_{delay}_s"] = await _waves(run, delay)
    return found


async def _waves(run: Run, delay: int) -> Figures:
    times, total = [], Spent()
    for turn in range(DELAYS[delay]):
        apps = applications(f"d{delay}s{turn}", chained=isinstance(run.engine, Flux))
        meter, started = Meter(run.site, run.engine), time.monotonic()
        await run.engine.submit(run.api, apps, run.urls)
        keys = [run.engine.key(app.name) for app in apps]
        times.append(await run.verdicts.each(keys, settled, within_s=LIMIT_S, what="ten waves") - started)
        await asyncio.sleep(2)
        total = total.plus(meter.read())
    return {"wall_ms": spread(times), "first_wall_ms": round(times[0] * 1000, 1), **total.per(len(times), "app")}


async def _floor(run: Run) -> Figures:
    """The ten objects one after the other."""
    objects = [wave("floor", number) for number in range(WAVES)]
    started = time.monotonic()
    for obj in objects:
        await send(run.api, obj, "post")
    wall = time.monotonic() - started
    for obj in objects:
        await send(run.api, obj, "delete")
    return {"ten_posts_ms": round(wall * 1000, 1)}
