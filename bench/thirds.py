"""One repository whose applications are plain manifests, a shared Helm chart and overlays of a shared Kustomize base.

    python -m bench.thirds --n 300

The chart and the base make the same four objects as the plain applications: ServiceAccount, Service, Deployment without
replicas, ConfigMap. Measured: the first deployment; a commit to one application of each kind; a commit to the shared base,
which changes a third of the applications; a commit that no application reads. Renders are the engine's own count (lines
"rendered" of its log); CPU of the engine includes its workers, kubectl and git.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench import workload
from bench.fleet import Meter, in_parallel, told
from bench.machine import machine
from bench.observer import APPLICATIONS, CONFIG_MAPS, NAMESPACES, Key, Object, Observer, done, observing
from bench.path import spread
from bench.system import System, system
from tiphys.kube.client import KubeClient
from tiphys.kube.config import read_kubeconfig

KINDS = ("plain", "helm", "kustomize")
_HELM_NAME = "{{ .Release.Name }}"


def kind_of(number: int) -> str:
    """Thirds, mixed."""
    return KINDS[number % 3]


def shared_files() -> dict[str, str]:
    """The chart and the base."""
    sample = {name.rsplit("/", 1)[1]: text for name, text in workload.manifests(0).items()}
    files = {
        "charts/service/Chart.yaml": "apiVersion: v2\nname: service\nversion: 0.1.0\n",
        "charts/service/values.yaml": 'version: "0"\nimage: nginx:1.27\n',
        "base/kustomization.yaml": "resources:\n" + "".join(f"  - {name}\n" for name in sample),
    }
    for name, text in sample.items():
        chart = text.replace(workload.app_name(0), _HELM_NAME).replace(
            'version: "0"', "version: {{ quote .Values.version }}"
        )
        files[f"charts/service/templates/{name}"] = chart.replace("image: nginx:1.27", "image: {{ .Values.image }}")
        files[f"base/{name}"] = text.replace(workload.app_name(0), "app")
    return files


def own_files(number: int, version: str) -> dict[str, str]:
    """What belongs to one application and holds its version."""
    name = workload.app_name(number)
    if kind_of(number) == "helm":
        return {f"charts/service/values-{name}.yaml": f'version: "{version}"\n'}
    if kind_of(number) == "kustomize":
        patch = f'apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: app\ndata:\n  version: "{version}"\n'
        overlay = f"namePrefix: {name}-\nresources:\n  - ../../base\npatches:\n  - path: version.yaml\n"
        return {f"apps/{name}/kustomization.yaml": overlay, f"apps/{name}/version.yaml": patch}
    files = workload.manifests(number, version=version)
    return files if version == "0" else {f"apps/{name}/configmap.yaml": files[f"apps/{name}/configmap.yaml"]}


def config_map_of(number: int) -> Key:
    """The ConfigMap that shows an application's version."""
    name = workload.app_name(number)
    return workload.namespace_of(number), f"{name}-app" if kind_of(number) == "kustomize" else name


def application(number: int, url: str) -> dict[str, Any]:
    """The Application."""
    name = workload.app_name(number)
    helm = kind_of(number) == "helm"
    app = workload.application(
        name, url, path="charts/service" if helm else f"apps/{name}", namespace=workload.namespace_of(number)
    )
    if helm:
        app["spec"]["source"]["helm"] = {"valueFiles": [f"values-{name}.yaml"]}
    return app


def rendered(sut: System) -> int:
    """Renders the engine has done."""
    return sut.engine.log.read_text(errors="replace").count('"msg":"rendered"')


async def first_deploy(observer: Observer, url: str, n: int, sut: System) -> dict[str, Any]:
    """Create all Applications in one burst and wait until all are done."""
    meter, started = Meter(sut), time.monotonic()
    create = observer.client.create

    def all_done(objects: Mapping[Key, Object]) -> bool:
        return len(objects) == n and all(map(done, objects.values()))

    waiting = asyncio.get_running_loop().create_task(
        observer.until(APPLICATIONS, all_done, within_s=60 + n * 1.5, what=f"{n} applications done")
    )
    apps = [application(i, url) for i in range(n)]
    await in_parallel([lambda app=app: create(APPLICATIONS, app, field_manager="bench") for app in apps])
    wall = await waiting - started
    await asyncio.sleep(3)
    spent = meter.read()
    workers = spent["engine_cpu_s"] - spent["engine_main_process_cpu_s"]
    return {
        "applications": n,
        "wall_s": round(wall, 2),
        "renders": rendered(sut),
        "engine_main_process_cpu_ms_per_app": round(spent["engine_main_process_cpu_s"] / n * 1000, 1),
        "workers_cpu_ms_per_app": round(workers / n * 1000, 1),
        **told(spent),
    }


async def commit(
    observer: Observer, repo: workload.Repository, sut: System, files: Mapping[str, str], waits: Mapping[Key, str]
) -> dict[str, Any]:
    """Push these files and wait until every ConfigMap of `waits` shows its version."""
    await asyncio.to_thread(repo.commit, files)

    def live(objects: Mapping[Key, Object]) -> bool:
        return all(objects[key]["data"]["version"] == version for key, version in waits.items())

    meter, before = Meter(sut), rendered(sut)
    waiting = asyncio.get_running_loop().create_task(
        observer.until(CONFIG_MAPS, live, within_s=300, what=f"{len(waits)} ConfigMaps")
    )
    await asyncio.to_thread(repo.push)
    pushed = time.monotonic()
    seconds = max(await waiting - pushed, 0.0)
    await asyncio.sleep(3)
    spent = meter.read()
    return {
        "push_to_live_s": round(seconds, 3),
        "renders": rendered(sut) - before,
        "engine_main_process_cpu_ms": round(spent["engine_main_process_cpu_s"] * 1000),
        "workers_cpu_ms": round((spent["engine_cpu_s"] - spent["engine_main_process_cpu_s"]) * 1000),
    }


async def run(sut: System, n: int, rounds: int, root: Path) -> dict[str, Any]:
    """The stretches in their order."""
    repo = workload.Repository(root / "git")
    files = shared_files()
    for i in range(n):
        files |= own_files(i, "0")
    await asyncio.to_thread(repo.commit, files)
    await asyncio.to_thread(repo.push)
    async with KubeClient(read_kubeconfig(sut.admin), user_agent="bench-observer") as client:
        for name in sorted({workload.namespace_of(i) for i in range(n)}):
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
            await client.create(NAMESPACES, body, field_manager="bench")
    result: dict[str, Any] = {}
    async with observing(sut.admin, APPLICATIONS, CONFIG_MAPS) as observer:
        result["first_deploy"] = await first_deploy(observer, repo.url, n, sut)
        for offset, kind in enumerate(KINDS):
            figures = []
            for turn in range(rounds):
                i, version = offset + 3 * turn, f"v{turn + 1}"
                figures.append(await commit(observer, repo, sut, own_files(i, version), {config_map_of(i): version}))
            result[f"commit_to_one_{kind}"] = {
                "push_to_live_ms": spread([f["push_to_live_s"] for f in figures]),
                **{
                    name: sorted(f[name] for f in figures)[len(figures) // 2]
                    for name in ("renders", "engine_main_process_cpu_ms", "workers_cpu_ms")
                },
            }
        base = shared_files()["base/configmap.yaml"].replace("setting.000=value-000", "setting.000=other")
        keys = [config_map_of(i) for i in range(2, n, 3)]
        result["commit_to_shared_base"] = await shared(observer, repo, sut, {"base/configmap.yaml": base}, keys)
        result["commit_that_nobody_reads"] = await commit(observer, repo, sut, {"README.md": "read me\n"}, {})
    return result


async def shared(
    observer: Observer, repo: workload.Repository, sut: System, files: Mapping[str, str], keys: list[Key]
) -> dict[str, Any]:
    """A commit to the base: until the ConfigMap of every overlay has the new setting."""
    await asyncio.to_thread(repo.commit, files)

    def live(objects: Mapping[Key, Object]) -> bool:
        return all("setting.000=other" in objects[key]["data"]["settings"] for key in keys)

    meter, before = Meter(sut), rendered(sut)
    waiting = asyncio.get_running_loop().create_task(
        observer.until(CONFIG_MAPS, live, within_s=300, what=f"{len(keys)} ConfigMaps of the base")
    )
    await asyncio.to_thread(repo.push)
    pushed = time.monotonic()
    seconds = max(await waiting - pushed, 0.0)
    await asyncio.sleep(3)
    spent = meter.read()
    return {
        "applications": len(keys),
        "push_to_last_live_s": round(seconds, 2),
        "renders": rendered(sut) - before,
        "engine_main_process_cpu_ms": round(spent["engine_main_process_cpu_s"] * 1000),
        "workers_cpu_ms": round((spent["engine_cpu_s"] - spent["engine_main_process_cpu_s"]) * 1000),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cluster", choices=("real", "embedded"), default="real")
    parser.add_argument("--n", type=int, default=300, help="applications")
    parser.add_argument("--rounds", type=int, default=5, help="commits to one application, for each kind")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--logs", type=Path, help="keep the engine's log here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-thirds-") as folder:
        root = Path(folder)
        with system(options.cluster, root / "system", nodes=False) as sut:
            try:
                figures = asyncio.run(run(sut, options.n, options.rounds, root))
            finally:
                if options.logs is not None:
                    options.logs.write_bytes(sut.engine.log.read_bytes())
    text = workload.show({"bench": "thirds", "cluster": options.cluster, "machine": machine(), **figures})
    print(text)
    if options.json is not None:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
