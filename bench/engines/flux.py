"""Flux as processes of this machine: source controller and kustomize controller, with one Kustomization for each application.

The binaries are named by `BENCH_FLUX_SOURCE` and `BENCH_FLUX_KUSTOMIZE`, the files with their CustomResourceDefinitions by
`BENCH_FLUX_CRDS` (separated by colons), a folder on a tmpfs for their temporary files by `BENCH_TMPFS`. Without them Flux
is not measured. Helm charts need a third controller and are not measured.

Source: performance 5.0, 0.1 (tuned: twenty at once, temporary files in memory).
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.processes import Program

from bench.api import MERGE, Api, Key, Object, RefusedError
from bench.engines.argocd import alive, create_all, free_ports, kubeconfig_in
from bench.engines.protocol import NotMeasuredError, Verdict, conditions
from bench.repository import Push
from bench.site import Site
from bench.workload import App

NAMESPACE = "flux-system"
SERVICE_ACCOUNT = "kustomize-controller"
KUSTOMIZATIONS = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/kustomizations"
SOURCES = f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{NAMESPACE}/gitrepositories"
REQUESTED = "reconcile.fluxcd.io/requestedAt"
CONCURRENT = 20


class Flux:
    """Source and kustomize controller, tuned."""

    name = "flux"
    user = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
    verdicts = KUSTOMIZATIONS

    def __init__(self, *, env: Mapping[str, str] | None = None) -> None:
        """`env` is read for the binaries; the process's by default."""
        self._env = dict(os.environ if env is None else env)
        self._programs: dict[str, Program] = {}
        self._ports: list[int] = []
        self._home = self._kubeconfig = Path()

    def missing(self) -> str:
        """A binary."""
        names = ("BENCH_FLUX_SOURCE", "BENCH_FLUX_KUSTOMIZE")
        return next((f"{name} names no binary" for name in names if not self._env.get(name)), "")

    async def start(self, site: Site, api: Api) -> None:
        """CustomResourceDefinitions, then both processes."""
        if problem := self.missing():
            raise NotMeasuredError(problem)
        if site.git is None:
            raise NotMeasuredError("Flux reads no repository by a path of the machine")
        self._kubeconfig = kubeconfig_in(site.identity(NAMESPACE, SERVICE_ACCOUNT), NAMESPACE)
        await create_all(api, self._env.get("BENCH_FLUX_CRDS", ""))
        self._home = site.folder("flux")
        for name in ("storage", "home", "tmp"):
            (self._home / name).mkdir()
        self._ports = free_ports(5)
        await self.restart()
        await alive(self._programs, 10)

    async def wave_delay(self, api: Api, seconds: int) -> None:
        """Waves are Kustomizations that depend on each other; there is no pause to set."""
        if seconds:
            raise NotMeasuredError("Flux has no pause between waves")

    def web(self) -> str:
        """It has no API of its own."""
        raise NotMeasuredError("Flux has no API of its own")

    async def login(self, api: Api) -> Mapping[str, str]:
        """Nor users."""
        return {}

    def forget(self) -> None:
        """The artifacts."""
        shutil.rmtree(self._home / "storage")
        (self._home / "storage").mkdir()

    async def restart(self) -> None:
        """Start both."""
        env = {
            "PATH": self._env.get("PATH", ""),
            "HOME": str(self._home / "home"),
            "TMPDIR": self._env.get("BENCH_TMPFS") or str(self._home / "tmp"),
            "KUBECONFIG": str(self._kubeconfig),
            "RUNTIME_NAMESPACE": NAMESPACE,
            "SOURCE_CONTROLLER_LOCALHOST": f"127.0.0.1:{self._ports[0]}",
        }
        for name, command in commands(self._env, self._home / "storage", self._ports).items():
            self._programs[name] = Program(command, log=self._home / f"{name}.log", env=env)

    async def submit(self, api: Api, apps: Sequence[App], urls: Mapping[str, str]) -> None:
        """A GitRepository for each repository, a Kustomization for each application."""
        if any(app.flavour == "helm" for app in apps):
            raise NotMeasuredError("Flux deploys charts by another controller")
        if any(not app.automated for app in apps):
            raise NotMeasuredError("Flux has no application that is compared and not deployed")
        for repo in dict.fromkeys(app.repo for app in apps):
            try:
                await api.call("POST", SOURCES, git_repository(repo, urls[repo]))
            except RefusedError as error:
                if error.status != 409:
                    raise
        bodies = [kustomization(app) for app in apps]
        await api.pool([lambda body=body: api.call("POST", KUSTOMIZATIONS, body) for body in bodies])  # type: ignore[misc]

    def key(self, app: str) -> Key:
        """Kustomizations live in one namespace."""
        return NAMESPACE, app

    def verdict(self, obj: Object) -> Verdict:
        """Ready for the generation that is there."""
        status = obj.get("status") or {}
        ready = conditions(obj).get("Ready", {}).get("status") == "True"
        current = status.get("observedGeneration") == obj["metadata"].get("generation")
        revision = str(status.get("lastAppliedRevision", "")).rpartition(":")[2]
        done, handled = ready and current, str(status.get("lastHandledReconcileAt", ""))
        return Verdict(done, done, revision, handled, handled if done else "")

    async def pushed(self, api: Api, push: Push) -> None:
        """What its receiver does for a webhook: the source is asked to look."""
        await self._request(api, f"{SOURCES}/{push.name}", str(time.time_ns()))

    async def refresh(self, api: Api, app: str, mark: str) -> None:
        """The annotation of a manual reconciliation."""
        await self._request(api, f"{KUSTOMIZATIONS}/{app}", mark)

    def answered(self, verdict: Verdict, mark: str) -> bool:
        """It repeats the mark when it has reconciled."""
        return verdict.answered == mark and verdict.ready

    async def sync(self, api: Api, app: str) -> None:
        """A reconciliation is a sync."""
        await self.refresh(api, app, str(time.time_ns()))

    async def _request(self, api: Api, path: str, mark: str) -> None:
        await api.call("PATCH", path, {"metadata": {"annotations": {REQUESTED: mark}}}, MERGE)

    def processes(self) -> Mapping[str, int]:
        """Two."""
        return {name: program.pid for name, program in self._programs.items()}

    def halt(self) -> None:
        """End them."""
        for program in reversed(self._programs.values()):
            program.stop()
        self._programs.clear()

    def stop(self) -> None:
        """End them."""
        self.halt()


def commands(env: Mapping[str, str], storage: Path, ports: Sequence[int]) -> dict[str, list[str]]:
    """Command lines by process. `ports`: artifacts, then metrics and health of each."""
    common = ["--watch-all-namespaces=true", "--log-level=info", "--log-encoding=json", "--events-addr="]
    artifacts, *others = (f"127.0.0.1:{port}" for port in ports)
    return {
        "source-controller": [
            env["BENCH_FLUX_SOURCE"],
            *common,
            f"--storage-path={storage}",
            f"--storage-addr={artifacts}",
            f"--storage-adv-addr={artifacts}",
            f"--metrics-addr={others[0]}",
            f"--health-addr={others[1]}",
        ],
        "kustomize-controller": [
            env["BENCH_FLUX_KUSTOMIZE"],
            *common,
            f"--metrics-addr={others[2]}",
            f"--health-addr={others[3]}",
            f"--concurrent={CONCURRENT}",
        ],
    }


def git_repository(name: str, url: str, interval: str = "1m") -> Object:
    """A GitRepository."""
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"interval": interval, "url": url, "ref": {"branch": "main"}},
    }


def kustomization(app: App, interval: str = "10m") -> Object:
    """A Kustomization that waits until its objects are healthy."""
    spec: Object = {
        "interval": interval,
        "path": f"./{app.path}",
        "prune": True,
        "wait": True,
        "sourceRef": {"kind": "GitRepository", "name": app.repo},
    }
    if app.after:
        spec["dependsOn"] = [{"name": app.after}]
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": app.name, "namespace": NAMESPACE},
        "spec": spec,
    }
