"""B5: one application of 2,000 ConfigMaps: first sync, one of them changed, a sync with no change, 200 removed."""

from __future__ import annotations

import asyncio
import random
import time

from bench import workload
from bench.api import Key, Object
from bench.benches.monorepo import at, has
from bench.engines.protocol import Verdict, settled
from bench.equivalence import gate
from bench.floor import floor
from bench.meter import Meter, Spent, memory_of
from bench.run import TAIL_S, Figures, Run, spread

FILES, PER_FILE = 20, 100
NAMESPACE = "bench-big"
LIMIT_S = 900.0
ROUNDS = 3
PRUNED_FILES = 2
WRITES = ("ssa", "delete", "post", "delete")


def one(number: int, version: str = "0") -> Object:
    """One of the 2,000."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"big-{number:04d}", "namespace": NAMESPACE},
        "data": {"version": version, "payload": workload.text(10_000 + number, 512)},
    }


def file_of(index: int, versions: dict[int, str]) -> workload.Files:
    """One of the twenty files."""
    numbers = range(index * PER_FILE, (index + 1) * PER_FILE)
    texts = [workload.to_yaml(one(number, versions.get(number, "0"))) for number in numbers]
    return {f"big/cm-{index:02d}.yaml": "---\n".join(texts)}


def key_of(number: int) -> Key:
    """Where one of them is."""
    return NAMESPACE, f"big-{number:04d}"


async def big_application(run: Run) -> Figures:
    """The four in this order."""
    versions: dict[int, str] = {}
    count = FILES * PER_FILE
    await run.namespaces([NAMESPACE])
    files = {name: text for index in range(FILES) for name, text in file_of(index, versions).items()}
    await run.repository("big", files)
    found: Figures = {"objects": count}
    if run.options.floor:
        found["floor"] = await floor(run.site, run.api, [one(number) for number in range(count)], WRITES)
        await asyncio.sleep(2)
    found["first_sync"] = await _first(run)
    found["first_sync"]["live"] = await _gate(run, count, versions)
    await run.rest()
    found["one_changed"] = await _one_changed(run, versions, count)
    found["no_change"] = await _no_change(run)
    found["pruned"] = await _pruned(run, count)
    found["live"] = await _gate(run, count - PRUNED_FILES * PER_FILE, versions)
    found["memory"] = memory_of(run.engine)
    return found


async def _first(run: Run) -> Figures:
    app = workload.App(name="big", namespace=NAMESPACE, repo="big", path="big")
    meter, started = Meter(run.site, run.engine), time.monotonic()
    await run.engine.submit(run.api, [app], run.urls)
    done = await run.verdicts.one(run.engine.key("big"), settled, within_s=LIMIT_S, what="the application")
    await asyncio.sleep(TAIL_S)
    return {"wall_s": round(done - started, 2), **meter.read().totals()}


async def _one_changed(run: Run, versions: dict[int, str], count: int) -> Figures:
    live, settle, total = [], [], Spent()
    for turn, number in enumerate(random.Random(5).sample(range(count - PRUNED_FILES * PER_FILE), ROUNDS)):
        versions[number] = f"b{turn}"
        meter = Meter(run.site, run.engine)
        seen = asyncio.get_running_loop().create_task(
            run.configs.one(key_of(number), has("version", f"b{turn}"), within_s=LIMIT_S, what="the change")
        )
        push = await run.push(run.repos["big"], file_of(number // PER_FILE, versions), tell=False)
        pushed = time.monotonic()
        await run.engine.pushed(run.api, push)
        live.append(max(await seen - pushed, 0.0))
        done = await run.verdicts.one(run.engine.key("big"), at(push.after), within_s=LIMIT_S, what="the application")
        settle.append(done - pushed)
        await asyncio.sleep(TAIL_S)
        total = total.plus(meter.read())
    return {
        "push_to_live_ms": spread(live),
        "push_to_settled_ms": spread(settle),
        **total.per(ROUNDS, "change"),
        **total.above(run.idle, ROUNDS, "change"),
    }


async def _no_change(run: Run) -> Figures:
    times, total, key = [], Spent(), run.engine.key("big")
    for _ in range(ROUNDS):
        await asyncio.sleep(1.1)  # operations are told apart by the second in which they ended
        before = run.verdicts.state[key].ended

        def ended(verdict: Verdict, before: str = before) -> bool:
            return bool(verdict.ended) and verdict.ended != before and verdict.ready

        meter, started = Meter(run.site, run.engine), time.monotonic()
        await run.engine.sync(run.api, "big")
        times.append(await run.verdicts.one(key, ended, within_s=LIMIT_S, what="the sync") - started)
        await asyncio.sleep(TAIL_S)
        total = total.plus(meter.read())
    return {"request_to_ended_ms": spread(times), **total.per(ROUNDS, "sync"), **total.above(run.idle, ROUNDS, "sync")}


async def _pruned(run: Run, count: int) -> Figures:
    gone = [key_of(number) for number in range(count - PRUNED_FILES * PER_FILE, count)]
    names = [f"big/cm-{index:02d}.yaml" for index in range(FILES - PRUNED_FILES, FILES)]
    meter = Meter(run.site, run.engine)
    push = await run.push(run.repos["big"], {}, removed=names, tell=False)
    pushed = time.monotonic()
    await run.engine.pushed(run.api, push)
    last = await run.configs.each(gone, None, within_s=LIMIT_S, what="the removed objects")
    done = await run.verdicts.one(run.engine.key("big"), at(push.after), within_s=LIMIT_S, what="the application")
    await asyncio.sleep(TAIL_S)
    return {
        "removed": len(gone),
        "push_to_last_gone_s": round(last - pushed, 3),
        "push_to_settled_s": round(done - pushed, 3),
        **meter.read().totals(),
    }


async def _gate(run: Run, count: int, versions: dict[int, str]) -> Figures:
    declared = [one(number, versions.get(number, "0")) for number in range(count)]
    return await gate(run.api, declared, NAMESPACE)
