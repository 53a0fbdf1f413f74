"""Push to live, and drift to reverted, one at a time, on one small application.

    python -m bench.path --cluster real --rounds 20

`push to live`: from the return of `git push` until a watch shows the Deployment with the new image. `push to settled`: until
the Application shows the new commit Synced and Healthy. `drift to reverted`: from the answer of a patch that an observer
sends until a watch shows the declared value again.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.manifests import deployment, my_app

from bench.machine import machine
from bench.observer import APPLICATIONS, DEPLOYMENTS, Object, Observer, done, observing
from bench.system import System, by_request, system
from bench.workload import Repository, application, show
from tiphys.kube.client import STRATEGIC

NAMESPACE, NAME = "path", "my-app"
WITHIN_S = 60.0
PAUSE_S = 1.5  # operations are named by the second they start in: two in one second are a case of its own


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, quartiles and range in milliseconds."""
    ms = sorted(s * 1000 for s in seconds)
    quartiles = statistics.quantiles(ms, n=4) if len(ms) > 1 else [ms[0]] * 3
    return {
        "median_ms": round(statistics.median(ms), 1),
        "p25_ms": round(quartiles[0], 1),
        "p75_ms": round(quartiles[2], 1),
        "min_ms": round(ms[0], 1),
        "max_ms": round(ms[-1], 1),
        "rounds": len(ms),
    }


def image_of(objects: dict[tuple[str, str], Object]) -> str:
    """The image of the application's Deployment as the observer sees it."""
    found = objects.get((NAMESPACE, NAME))
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"]) if found is not None else ""


def replicas_of(objects: dict[tuple[str, str], Object]) -> int:
    """The declared replicas of the application's Deployment as the observer sees it."""
    found = objects.get((NAMESPACE, NAME))
    return int(found["spec"]["replicas"]) if found is not None else -1


async def settled(observer: Observer, revision: str = "") -> float:
    """When the Application was done, at a revision if one is given."""

    def seen(objects: dict[tuple[str, str], Object]) -> bool:
        app = objects.get(("argocd", NAME))
        return app is not None and done(app) and (not revision or app["status"]["sync"]["revision"] == revision)

    return await observer.until(APPLICATIONS, seen, within_s=WITHIN_S, what="Synced and Healthy")


async def measure(observer: Observer, repo: Repository, rounds: int, sut: System) -> dict[str, Any]:
    """A push of a new image tag, then a change by hand, and so on: a push starts the back-off of self-heal anew."""
    live, from_start, settle, reverted = [], [], [], []
    group = asyncio.get_running_loop()
    cpu = {"engine_push": 0.0, "cluster_push": 0.0, "engine_drift": 0.0, "cluster_drift": 0.0}
    audit = sut.audit_position()
    for number in range(rounds):
        image = f"nginx:1.28.{number}"
        revision = await asyncio.to_thread(
            repo.commit, {"apps/my-app/deployment.yaml": deployment(image=image)}, f"image {image}"
        )
        before = sut.engine_cpu_s(), sut.cluster_cpu_s()
        waiting = group.create_task(
            observer.until(DEPLOYMENTS, lambda o, i=image: image_of(o) == i, within_s=WITHIN_S, what=image)  # type: ignore[misc]
        )
        started = time.monotonic()
        await asyncio.to_thread(repo.push)
        pushed = time.monotonic()
        seen = await waiting
        live.append(max(seen - pushed, 0.0))
        from_start.append(seen - started)
        settle.append(await settled(observer, revision) - pushed)
        await asyncio.sleep(PAUSE_S)
        middle = sut.engine_cpu_s(), sut.cluster_cpu_s()
        reverted.append(await drift(observer, 1 + number % 3))
        await settled(observer, revision)
        await asyncio.sleep(PAUSE_S)
        after = sut.engine_cpu_s(), sut.cluster_cpu_s()
        for name, spent in (("push", zip(before, middle, strict=True)), ("drift", zip(middle, after, strict=True))):
            for who, (first, last) in zip(("engine", "cluster"), spent, strict=True):
                cpu[f"{who}_{name}"] += last - first
    counts = sut.engine_requests(audit)
    return {
        "push_returned_to_live": spread(live),
        "push_started_to_live": spread(from_start),
        "push_returned_to_settled": spread(settle),
        "drift_to_reverted": spread(reverted),
        "cpu_ms_per_round": {name: round(value / rounds * 1000, 1) for name, value in cpu.items()},
        "engine_requests_per_round": {name: round(n / rounds, 2) for name, n in by_request(counts).items()},
    }


async def drift(observer: Observer, by: int) -> float:
    """Replicas changed by the observer's hand; seconds until they were put back."""
    wanted = replicas_of(observer.objects(DEPLOYMENTS))
    body = {"spec": {"replicas": wanted + by}}
    seen_changed = asyncio.get_running_loop().create_task(
        observer.until(DEPLOYMENTS, lambda o: replicas_of(o) != wanted, within_s=WITHIN_S, what="the drift")
    )
    await asyncio.sleep(0)  # it has to be waiting before the drift may come and go
    await observer.client.patch(
        DEPLOYMENTS, NAME, body, NAMESPACE, content_type=STRATEGIC, field_manager="kubectl-patch"
    )
    patched = time.monotonic()
    await seen_changed
    seen = await observer.until(
        DEPLOYMENTS, lambda o: replicas_of(o) == wanted, within_s=WITHIN_S, what="the declared replicas"
    )
    return seen - patched


async def run(sut: System, rounds: int, root: Path) -> dict[str, Any]:
    """Deploy the application, then measure."""
    repo = Repository(root / "git")
    files = {name: text for name, text in my_app().items() if text is not None}
    await asyncio.to_thread(repo.commit, files)
    await asyncio.to_thread(repo.push)
    async with observing(sut.admin, APPLICATIONS, DEPLOYMENTS) as observer:
        app = application(NAME, repo.url, path="apps/my-app", namespace=NAMESPACE, options=("CreateNamespace=true",))
        started = time.monotonic()
        await observer.client.create(APPLICATIONS, app, field_manager="bench")
        first = await settled(observer) - started
        await asyncio.sleep(2)
        figures = await measure(observer, repo, rounds, sut)
    return {"first_deploy_ms": round(first * 1000, 1), **figures}


def table(result: dict[str, Any]) -> str:
    """The figures as lines."""
    lines = [f"cluster: {result['cluster']}"]
    for name, value in result.items():
        if isinstance(value, dict) and "median_ms" in value:
            lines.append(
                f"{name:28} median {value['median_ms']:7.1f} ms   range {value['min_ms']:.1f} - {value['max_ms']:.1f} ms"
                f"   ({value['rounds']} rounds)"
            )
    lines.append(f"CPU ms per round: {result['cpu_ms_per_round']}")
    return "\n".join(lines)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", choices=("real", "embedded"), default="embedded")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-path-") as folder:
        root = Path(folder)
        with system(options.cluster, root / "system") as sut:
            figures = asyncio.run(run(sut, options.rounds, root))
    result = {"bench": "path", "cluster": options.cluster, "machine": machine(), **figures}
    print(table(result), file=sys.stderr)
    text = show(result)
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
