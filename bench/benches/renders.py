"""B4: N applications that are compared and not deployed: rendered cold, after a change of what they share, and with no change.

The rest of what a comparison costs is in the engine's figure too; of this repository's engine the figure of its children
is that of the render workers and git alone, of Argo CD that of `repo-server`.
"""

from __future__ import annotations

import asyncio
import functools
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import BIN

from bench import renderload, workload
from bench.api import Key
from bench.benches.monorepo import VerdictTest
from bench.engines.protocol import Verdict
from bench.machine import self_cpu_s
from bench.meter import Meter
from bench.run import TAIL_S, Figures, Run

LIMIT_S = 120.0
LIMIT_PER_APP_S = 2.0
TOOL_RUNS = 10


async def both_tools(run: Run) -> Figures:
    """Both tools, unless one was named by the flavour."""
    flavours = [run.options.flavour] if run.options.flavour in ("helm", "kustomize") else ["helm", "kustomize"]
    return {flavour: await _renders(run, flavour) for flavour in flavours}


async def _renders(run: Run, flavour: str) -> Figures:
    n = run.options.n
    apps = renderload.fleet(n, flavour)
    keys = [run.engine.key(app.name) for app in apps]
    repo = await run.repository(f"render-{flavour}", renderload.files(n, flavour))
    found: Figures = {"applications": n}
    await asyncio.sleep(2)

    meter, started = Meter(run.site, run.engine), time.monotonic()
    await run.engine.submit(run.api, apps, run.urls)
    last = await _until(run, keys, lambda verdict: bool(verdict.revision))
    found["cold"] = {**await _spent(meter, n), "wall_s": round(last - started, 2)}

    changed = renderload.chart("1") if flavour == "helm" else renderload.base("1")
    for name, files in (("shared_changed", changed), ("nothing_read_changed", {"README.md": "Rendered again.\n"})):
        meter, started = Meter(run.site, run.engine), time.monotonic()
        push = await run.push(repo, files)
        await refresh(run, apps, push.after)
        last = await _until(run, keys, _compared(run, push.after))
        found[name] = {**await _spent(meter, n), "wall_s": round(last - started, 2)}
    if run.options.floor:
        found["tool_alone"] = await asyncio.to_thread(_tool, repo_tree(run, flavour), flavour)
    return found


async def refresh(run: Run, apps: Sequence[workload.App], mark: str) -> None:
    """Ask for a new verdict on each of these applications."""
    await run.api.pool([functools.partial(run.engine.refresh, run.api, app.name, mark) for app in apps])


def repo_tree(run: Run, flavour: str) -> Path:
    """The work tree of the repository."""
    return run.site.root / "git" / f"render-{flavour}.tree"


def _compared(run: Run, revision: str) -> VerdictTest:
    """The refresh was done, at this commit."""

    def test(verdict: Verdict) -> bool:
        return verdict.revision == revision and run.engine.answered(verdict, revision)

    return test


async def _until(run: Run, keys: list[Key], test: VerdictTest) -> float:
    limit = LIMIT_S + LIMIT_PER_APP_S * len(keys)
    return await run.verdicts.each(keys, test, within_s=limit, what="a comparison of every application")


async def _spent(meter: Meter, n: int) -> Figures:
    await asyncio.sleep(TAIL_S)
    spent = meter.read()
    return {**spent.per(n, "app"), "others_cores": spent.totals()["others_cores"]}


def _tool(tree: Path, flavour: str) -> Figures:
    """The tool itself, started anew for each application as Argo CD does."""
    helm = shutil.which("helm")
    if flavour == "helm" and helm is None:
        return {"not_measured": "there is no helm on the path"}
    started, before = time.monotonic(), self_cpu_s()
    for number in range(TOOL_RUNS):
        name = workload.app_name(number)
        if flavour == "helm":
            command = [str(helm), "template", name, "chart", "-f", f"apps/{name}/values.yaml"]
        else:
            command = [str(BIN / "kubectl"), "kustomize", f"apps/{name}"]
        subprocess.run(command, cwd=tree, check=True, capture_output=True)
    wall, cpu = time.monotonic() - started, self_cpu_s() - before
    return {
        "tool": "helm template" if flavour == "helm" else "kubectl kustomize",
        "wall_ms_per_render": round(wall / TOOL_RUNS * 1000, 1),
        "cpu_ms_per_render": round(cpu / TOOL_RUNS * 1000, 1),
    }
