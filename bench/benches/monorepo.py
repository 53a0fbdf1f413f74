"""B3: one of N applications of one repository gets a new version by a push, again and again.

Timed from the return of `git push`; the engine is told as a forge's webhook does it. Then, once each: a commit to the chart
and to the base that applications share, and a commit to a file that none of them reads.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from bench import workload
from bench.api import Key
from bench.benches.deploy import deployed
from bench.engines.protocol import Verdict
from bench.equivalence import gate
from bench.floor import send
from bench.machine import self_cpu_s
from bench.meter import Meter, Spent
from bench.run import Figures, Run, spread

LIVE_LIMIT_S = 300.0
EVERYONE_LIMIT_S = 240.0
TAIL_S = 2.0

Test = Callable[[dict[str, str]], bool]
VerdictTest = Callable[[Verdict], bool]


async def one_of_many(run: Run) -> Figures:
    """Commits to one application of each flavour there is, then to what they share."""
    await deployed(run)
    n, found = run.options.n, Figures()
    choice = random.Random(7)
    for flavour in workload.FLAVOURS:
        numbers = [i for i in range(n) if workload.flavour_of(i, run.options.flavour) == flavour]
        if not numbers:
            continue
        chosen = [choice.choice(numbers) for _ in range(run.options.rounds)]
        found[flavour] = await commits(run, chosen)
        if flavour == "helm":
            found["shared_chart"] = await shared(run, workload.chart("other"), numbers)
        if flavour == "kustomize":
            found["shared_base"] = await shared(run, workload.base("other"), numbers)
    found["unread"] = await unread(run)
    if run.options.floor:
        found["floor"] = await one_patch(run)
    return found


def everyone_s(run: Run) -> float:
    """How long to wait for every application to name a commit: not where an engine writes that in its own time."""
    if run.options.everyone_s is not None:
        return run.options.everyone_s
    return 0.0 if run.engine.name in ("tiphys", "argocd-paths", "argocd-novalidate-paths") else EVERYONE_LIMIT_S


async def commits(run: Run, numbers: list[int]) -> Figures:
    """A commit to each of these applications, one at a time."""
    idle = await run.rest()
    live, settle, everyone, total = [], [], [], Spent()
    revision = ""
    for turn, number in enumerate(numbers):
        version = f"v{turn + 1}-{number}"
        files = workload.changed_files(number, run.options.flavour, version)
        run.versions[number] = version
        key = (workload.namespace_of(number), workload.app_name(number))
        meter = Meter(run.site, run.engine)
        seen = asyncio.get_running_loop().create_task(
            run.configs.one(key, has("version", version), within_s=LIVE_LIMIT_S, what=f"{key[1]} at {version}")
        )
        repo = run.repos["fleet"]
        push = await asyncio.to_thread(repo.commit, files)
        revision = push.after
        await asyncio.to_thread(repo.push, push)
        pushed = time.monotonic()
        await run.engine.pushed(run.api, push)
        live.append(max(await seen - pushed, 0.0))
        own = run.engine.key(key[1])
        settle.append(max(await run.verdicts.one(own, at(revision), within_s=60, what=f"{key[1]} done") - pushed, 0.0))
        if limit := everyone_s(run):
            try:
                done = await run.verdicts.each(run.keys, at(revision), within_s=limit, what="every application")
                everyone.append(max(done - pushed, 0.0))
            except TimeoutError:
                pass  # an engine may name the commit at its next poll only; then there is no figure
        await asyncio.sleep(TAIL_S)
        total = total.plus(meter.read())
    found: Figures = {
        "push_to_live_ms": spread(live),
        "push_to_settled_ms": spread(settle),
        **total.per(len(numbers), "commit"),
        **total.above(idle, len(numbers), "commit"),
        "others_cores": total.totals()["others_cores"],
    }
    if everyone:
        found["push_to_everyone_ms"] = spread(everyone)
    if run.options.flush:
        found["flush"] = await _flush(run, revision)
    found["live"] = await gate(run.api, run.declared())
    return found


async def _flush(run: Run, revision: str) -> Figures:
    """Until every application names the last commit, which an engine may write in its own time."""
    meter = Meter(run.site, run.engine)
    await run.verdicts.each(
        run.keys, at(revision), within_s=EVERYONE_LIMIT_S, what="every application at the last commit"
    )
    return meter.read().totals()


async def shared(run: Run, files: workload.Files, numbers: list[int]) -> Figures:
    """A commit to what these applications share, until the last of them is live; then back."""
    keys = [(workload.namespace_of(i), workload.app_name(i)) for i in numbers]
    found: Figures = {}
    back = {**workload.chart(), **workload.base()}
    for text, wanted in ((files, "other"), ({name: back[name] for name in files}, None)):
        meter = Meter(run.site, run.engine)
        push = await run.push(run.repos["fleet"], text, tell=False)
        pushed = time.monotonic()
        await run.engine.pushed(run.api, push)
        last = await run.configs.each(keys, has("shared", wanted), within_s=LIVE_LIMIT_S, what="what is shared")
        states = [run.engine.key(key[1]) for key in keys]
        await run.verdicts.each(states, at(push.after), within_s=LIVE_LIMIT_S, what="the applications that share it")
        await asyncio.sleep(TAIL_S)
        spent = meter.read()
        found = found or {
            "applications": len(numbers),
            "push_to_last_live_s": round(max(last - pushed, 0.0), 3),
            **spent.per(len(numbers), "app"),
        }
    return found


async def unread(run: Run) -> Figures:
    """A commit to a file that no application reads: what it costs within two seconds."""
    total, rounds = Spent(), 3
    for turn in range(rounds):
        meter = Meter(run.site, run.engine)
        push = await run.push(run.repos["fleet"], {"README.md": f"A fleet, {turn}.\n"})
        if limit := everyone_s(run):
            try:
                await run.verdicts.each(run.keys, at(push.after), within_s=limit, what="every application")
            except TimeoutError:
                pass
        await asyncio.sleep(TAIL_S)
        total = total.plus(meter.read())
    return {**total.per(rounds, "commit"), **total.above(await run.rest(), rounds, "commit")}


async def one_patch(run: Run) -> Figures:
    """The floor of a change: one PATCH of one ConfigMap by this process, until the observer has seen it.

    It is put back by the engine, which is not timed here.
    """
    times, cpu, client = [], 0.0, 0.0
    for turn in range(run.options.rounds):
        number = turn % run.options.n
        obj = workload.objects(number, run.versions.get(number, "0"))[2]
        obj["data"]["floor"] = f"f{turn}"
        key: Key = (obj["metadata"]["namespace"], obj["metadata"]["name"])
        seen = asyncio.get_running_loop().create_task(
            run.configs.one(key, has("floor", f"f{turn}"), within_s=30, what="the floor's change")
        )
        await asyncio.sleep(0)
        meter, own, started = Meter(run.site, None), self_cpu_s(), time.monotonic()
        await send(run.api, obj, "merge")
        times.append(await seen - started)
        cpu += meter.read().cluster_cpu_s
        client += self_cpu_s() - own
        obj["data"]["floor"] = None  # a merge patch removes it
        await send(run.api, obj, "merge")
        await asyncio.sleep(0.2)
    return {"patch_to_seen_ms": spread(times), "cluster_cpu_ms": round(cpu / len(times) * 1000, 2)}


def has(name: str, value: str | None) -> Test:
    """Whether a ConfigMap's data has this value."""
    return lambda data: data.get(name) == value


def at(revision: str) -> VerdictTest:
    """Whether an application is done at this revision."""
    return lambda verdict: verdict.ready and verdict.revision == revision
