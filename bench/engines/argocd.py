"""Argo CD as processes of this machine: application controller, repository server, API server for the webhook, Redis.

The binary is named by `BENCH_ARGOCD`, Redis by `BENCH_REDIS` (`redis-server` on the path by default), the files with its
CustomResourceDefinitions by `BENCH_ARGOCD_CRDS` (separated by colons). helm and kustomize are found on the path. Without
them Argo CD is not measured.

Source: performance 5.0 (host processes, the tuned settings), 0.1 (the rows); the flags as 3.6 has them.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

import yaml
from tests.support.processes import Program

from bench.api import Api, RefusedError
from bench.engines.applications import NAMESPACE, SERVICE_ACCOUNT, ApplicationEngine
from bench.engines.protocol import NotMeasuredError
from bench.repository import Push
from bench.site import Site
from bench.workload import App

PATHS = "argocd.argoproj.io/manifest-generate-paths"
TUNED_ENV = {"ARGOCD_K8S_CLIENT_QPS": "300", "ARGOCD_K8S_CLIENT_BURST": "600"}
TUNED_CONTROLLER = ("--status-processors=50", "--operation-processors=25", "--kubectl-parallelism-limit=50")
TUNED_REPO_SERVER = ("--parallelismlimit=4",)
PROGRAMS = ("repo-server", "controller", "server")
COMMANDS = {
    "repo-server": "argocd-repo-server",
    "controller": "argocd-application-controller",
    "server": "argocd-server",
}
PROJECT = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "AppProject",
    "metadata": {"name": "default", "namespace": NAMESPACE},
    "spec": {
        "sourceRepos": ["*"],
        "destinations": [{"namespace": "*", "server": "*"}],
        "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
    },
}


class ArgoCD(ApplicationEngine):
    """Argo CD with the tuned settings. `paths` annotates every Application with what its manifests are made of."""

    def __init__(
        self, *, paths: bool = False, options: tuple[str, ...] = (), env: Mapping[str, str] | None = None
    ) -> None:
        """`options` are sync options of every Application. `env` is read for the binaries; the process's by default."""
        self.name = "argocd" + ("-paths" if paths else "") + ("-novalidate" if options else "")
        self._paths, self._options = paths, options
        self._env = dict(os.environ if env is None else env)
        self._programs: dict[str, Program] = {}
        self._extra: dict[str, str] = {}
        self._ports: dict[str, int] = {}
        self._home = self._kubeconfig = Path()

    def annotations(self, app: App) -> Mapping[str, str]:
        """Paths whose changes matter: its own folder, and what its flavour shares."""
        if not self._paths:
            return {}
        shared = {"helm": f".;/apps/{app.name}", "kustomize": ".;/base"}
        return {PATHS: shared.get(app.flavour, ".")}

    def options(self, app: App) -> tuple[str, ...]:
        """The app's own, and those of this row."""
        return (*app.options, *self._options)

    def missing(self) -> str:
        """The binary, or Redis."""
        if not self._env.get("BENCH_ARGOCD"):
            return "BENCH_ARGOCD names no argocd binary"
        if not shutil.which(self._env.get("BENCH_REDIS", "redis-server"), path=self._env.get("PATH")):
            return "there is no redis-server"
        return ""

    async def start(self, site: Site, api: Api) -> None:
        """CustomResourceDefinitions, the default project, then the four processes."""
        if problem := self.missing():
            raise NotMeasuredError(problem)
        if site.git is None:
            raise NotMeasuredError("Argo CD reads no repository by a path of the machine")
        self._kubeconfig = kubeconfig_in(site.identity(NAMESPACE, SERVICE_ACCOUNT), NAMESPACE)
        await create_all(api, self._env.get("BENCH_ARGOCD_CRDS", ""))
        await api.create(f"/api/v1/namespaces/{NAMESPACE}/configmaps", _part_of("argocd-cm"))
        await api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", _part_of("argocd-secret"))
        await api.create(f"/apis/argoproj.io/v1alpha1/namespaces/{NAMESPACE}/appprojects", PROJECT)
        self._home = site.folder("argocd")
        for name in ("tmp", "tls", "ssh", "gpg", "plugins", "home"):
            (self._home / name).mkdir()
        names = ("redis", "repo-server", "server", "repo-metrics", "controller-metrics", "server-metrics")
        self._ports = dict(zip(names, free_ports(len(names)), strict=True))
        await self.restart()
        await alive(self._programs, 20)

    async def wave_delay(self, api: Api, seconds: int) -> None:
        """Its environment variable."""
        self._extra["ARGOCD_SYNC_WAVE_DELAY"] = str(seconds)
        self.halt()
        await self.restart()
        await alive(self._programs, 20)

    def web(self) -> str:
        """Its API server."""
        return f"http://127.0.0.1:{self._ports['server']}"

    async def login(self, api: Api) -> Mapping[str, str]:
        """It runs without authentication."""
        return {}

    def forget(self) -> None:
        """Nothing outlives its Redis but the checkouts."""
        shutil.rmtree(self._home / "tmp")
        (self._home / "tmp").mkdir()

    async def restart(self) -> None:
        """Start all four; the manifest cache of Redis is gone."""
        for name, command in commands(self._env, self._ports).items():
            log = self._home / f"{name}.log"
            self._programs[name] = Program(command, log=log, env=self.environment(name))
        await alive(self._programs, 2)

    def environment(self, name: str) -> dict[str, str]:
        """Environment of one of the processes."""
        home = self._home
        return {
            "PATH": self._env.get("PATH", ""),
            "HOME": str(home / "home"),
            "TMPDIR": str(home / "tmp"),
            "KUBECONFIG": str(self._kubeconfig),
            "HOSTNAME": "argocd-application-controller-0",
            "ARGOCD_CONTROLLER_REPLICAS": "1",
            "ARGOCD_BINARY_NAME": COMMANDS.get(name, name),
            "ARGOCD_FAKE_IN_CLUSTER": "true",
            "ARGOCD_TLS_DATA_PATH": str(home / "tls"),
            "ARGOCD_SSH_DATA_PATH": str(home / "ssh"),
            "ARGOCD_GPG_ENABLED": "false",
            "ARGOCD_GNUPGHOME": str(home / "gpg"),
            "ARGOCD_GPG_DATA_PATH": str(home / "gpg"),
            "ARGOCD_PLUGINSOCKFILEPATH": str(home / "plugins"),
            **TUNED_ENV,
            **self._extra,
        }

    async def pushed(self, api: Api, push: Push) -> None:
        """The webhook of its API server."""
        await self.notify(api, self.web(), push)

    def processes(self) -> Mapping[str, int]:
        """Four, with the tools they start as children."""
        return {name: program.pid for name, program in self._programs.items()}

    def halt(self) -> None:
        """End them, the controller first."""
        for name in reversed(self._programs):
            self._programs[name].stop()
        self._programs.clear()

    def stop(self) -> None:
        """End them."""
        self.halt()


def commands(env: Mapping[str, str], ports: Mapping[str, int]) -> dict[str, list[str]]:
    """Command lines by process, in starting order."""
    binary, redis = env["BENCH_ARGOCD"], f"127.0.0.1:{ports['redis']}"
    repo = f"--repo-server=127.0.0.1:{ports['repo-server']}"
    port = f"--port={ports['redis']}"
    return {
        "redis": [
            env.get("BENCH_REDIS", "redis-server"),
            "--save",
            "",
            "--appendonly",
            "no",
            "--bind",
            "127.0.0.1",
            port,
        ],
        "repo-server": [
            binary,
            f"--redis={redis}",
            "--address=127.0.0.1",
            f"--port={ports['repo-server']}",
            "--metrics-address=127.0.0.1",
            f"--metrics-port={ports['repo-metrics']}",
            *TUNED_REPO_SERVER,
        ],
        "controller": [
            binary,
            f"--redis={redis}",
            repo,
            f"--metrics-port={ports['controller-metrics']}",
            *TUNED_CONTROLLER,
        ],
        "server": [
            binary,
            f"--redis={redis}",
            repo,
            "--address=127.0.0.1",
            f"--port={ports['server']}",
            f"--metrics-port={ports['server-metrics']}",
            "--insecure",
            "--disable-auth",
        ],
    }


def free_ports(count: int) -> list[int]:
    """Ports that are free now; all are held until the last is chosen, so that they differ."""
    holders = [socket.socket() for _ in range(count)]
    try:
        for holder in holders:
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in holders]
    finally:
        for holder in holders:
            holder.close()


def kubeconfig_in(path: Path, namespace: str) -> Path:
    """A copy of a kubeconfig whose context is in a namespace, which these programs take for their own."""
    config = yaml.safe_load(path.read_text())
    for entry in config["contexts"]:
        entry["context"]["namespace"] = namespace
    copy = path.with_name(f"{path.stem}.{namespace}.kubeconfig")
    copy.touch(0o600)
    copy.write_text(yaml.safe_dump(config))
    return copy


async def create_all(api: Api, names: str) -> None:
    """Create the CustomResourceDefinitions of these files, and wait until they are served."""
    for name in filter(None, names.split(":")):
        for obj in yaml.safe_load_all(await asyncio.to_thread(Path(name).read_text)):
            if not obj or obj.get("kind") != "CustomResourceDefinition":
                continue
            await api.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", obj)
            spec = obj["spec"]
            version = next(entry["name"] for entry in spec["versions"] if entry["served"])
            await served(api, f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")


async def served(api: Api, path: str, within_s: float = 30.0) -> None:
    """Wait until a collection can be listed."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                await api.get(f"{path}?limit=1")
                return
            except RefusedError as error:
                if error.status != 404:
                    raise
            await asyncio.sleep(0.1)


async def alive(programs: Mapping[str, Program], seconds: float) -> None:
    """Let them start; fail with the log of one that has ended."""
    await asyncio.sleep(seconds)
    for name, program in programs.items():
        if program.poll() is not None:
            raise NotMeasuredError(f"{name} ended with {program.poll()}:\n{program.output()[-2000:]}")


def _part_of(name: str) -> dict[str, object]:
    return {"metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "argocd"}}}
