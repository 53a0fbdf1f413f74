"""Rounds of a deployment with a kill in the middle, and what must hold after each.

An observer follows Jobs and Applications by watches of its own, so that what exists only for a moment is counted too.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.environment import Cluster, Environment, application, engine_command
from tests.support.expect import Pending, eventually
from tests.support.gitrepo import GitRepository
from tests.support.kubectl import Kubectl, KubectlError
from tests.support.manifests import config_map, deployment
from tests.support.processes import BIN, TIPHYS, Program, clean_env, wait_for

MARK = "tiphys.dev/operation"
CONVERGED_WITHIN_S = 120.0


class Observer:
    """Follows one resource by `kubectl get --watch`, over restarts of the API server."""

    def __init__(self, kubeconfig: Path, cache: Path, *args: str, seen: Callable[[Any], None]) -> None:
        kubectl = [str(BIN / "kubectl"), "--kubeconfig", str(kubeconfig), "--cache-dir", str(cache)]
        self._argv = [*kubectl, "get", *args, "--watch", "--output-watch-events", "-o", "json"]
        self._seen = seen
        self._stopped = threading.Event()
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        decoder = json.JSONDecoder()
        while not self._stopped.is_set():
            self._process = subprocess.Popen(
                self._argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=clean_env()
            )
            assert self._process.stdout is not None
            text = ""
            for line in self._process.stdout:
                text += line
                if line.rstrip() != "}":  # documents are indented: only their last line is this
                    continue
                event, _ = decoder.raw_decode(text)
                text = ""
                if event.get("type") in ("ADDED", "MODIFIED", "DELETED"):
                    self._seen(event["object"])
            self._process.wait()
            self._stopped.wait(0.2)

    def stop(self) -> None:
        """End the watch."""
        self._stopped.set()
        if self._process is not None:
            self._process.kill()
        self._thread.join(10)


@dataclass
class Seen:
    """What the observers saw."""

    jobs: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # mark -> uids
    phases: dict[str, dict[str, tuple[str, str]]] = field(default_factory=lambda: defaultdict(dict))

    def job(self, obj: Any) -> None:
        """A Job that carries the mark of an operation: one hook of one attempt."""
        metadata = obj["metadata"]
        mark = (metadata.get("annotations") or {}).get(MARK)
        if mark:
            name = f"{metadata['namespace']}/{metadata.get('generateName') or metadata['name']}"
            self.jobs[f"{name} {mark}"].add(metadata["uid"])

    def application(self, obj: Any) -> None:
        """The phase of the operation, by its start."""
        state = (obj.get("status") or {}).get("operationState") or {}
        if state.get("startedAt") and state.get("phase"):
            key = f"{obj['metadata']['uid']}"
            self.phases[key][state["startedAt"]] = (state["phase"], state.get("message", ""))


@dataclass
class World:
    """Cluster and engine as processes that can be killed."""

    environment: Environment
    seen: Seen
    restart_cluster: Callable[[], None]
    kill_cluster: Callable[[], None]
    engine_starts: int = 0

    def start_engine(self) -> None:
        """Start the engine; returns at once."""
        root = self.environment.root
        (root / "engine.address").unlink(missing_ok=True)
        self.engine_starts += 1
        self.environment.engine = Program(
            engine_command(self.environment.cluster, root), log=root / "engine.log", env=clean_env()
        )

    def until_engine(self) -> None:
        """Until the engine answers."""
        wait_for(self.environment.root / "engine.address", self.environment.engine)

    def ledger(self) -> list[dict[str, Any]]:
        """Rows of the ledger, oldest first."""
        path = self.environment.root / "engine" / "store.db"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
        try:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("select * from operations order by app_name, started_at").fetchall()
            return [dict(row) for row in rows]
        finally:
            connection.close()


@contextmanager
def world(cluster: Cluster, root: Path) -> Iterator[World]:
    """A real cluster whose API server can be killed, and an engine."""
    real = cluster.real

    def kill() -> None:
        os.kill(real.pid("kube-apiserver"), signal.SIGKILL)

    with _observed(cluster, root, kill, lambda: real.restart("kube-apiserver")) as made:
        yield made


@contextmanager
def embedded_world(root: Path) -> Iterator[World]:
    """An embedded cluster with its store on disk, and an engine."""
    kubeconfig = root / "embedded.kubeconfig"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [TIPHYS, "devcluster", "--home", str(root / "cluster"), "--port", str(port)]
    argv += ["--kubeconfig-out", str(kubeconfig)]
    running: list[Program] = []

    def start() -> None:
        kubeconfig.unlink(missing_ok=True)
        running.append(Program(argv, log=root / "devcluster.log"))
        wait_for(kubeconfig, running[-1])

    start()
    cluster = Cluster("embedded", kubeconfig, kubeconfig)
    try:
        with _observed(cluster, root, lambda: running[-1].kill(), start) as made:
            yield made
    finally:
        running[-1].stop()


@contextmanager
def _observed(cluster: Cluster, root: Path, kill: Callable[[], None], restart: Callable[[], None]) -> Iterator[World]:
    kubectl = Kubectl(cluster.kubeconfig, root / "kubectl-cache")
    seen = Seen()
    program = Program(engine_command(cluster, root), log=root / "engine.log", env=clean_env())
    environment = Environment(cluster, root, kubectl, program)
    made = World(environment, seen, restart, kill, 1)
    observers: list[Observer] = []
    try:
        made.until_engine()
        cache = root / "observer-cache"
        observers.append(Observer(cluster.kubeconfig, cache, "jobs", "--all-namespaces", seen=seen.job))
        observers.append(
            Observer(cluster.kubeconfig, cache, "applications", "--namespace", "argocd", seen=seen.application)
        )
        yield made
    finally:
        for observer in observers:
            observer.stop()
        environment.engine.stop()


@dataclass
class Round:
    """What one round came to."""

    killed: str
    after_s: float
    phase_at_kill: str
    converged_s: float


class Scenario:
    """Two Applications over one repository; every version changes, adds and prunes, and one of them needs a retry."""

    def __init__(self, made: World, root: Path, name: str) -> None:
        self.world = made
        self.name = name
        self.namespace = f"crash-{name}"
        root.mkdir(parents=True, exist_ok=True)
        self.repo = GitRepository(root)
        self.version = 0
        self._uids: dict[str, str] = {}

    def start(self) -> None:
        """Deploy the first version."""
        self._commit()
        self._late_namespace()
        retry = "    retry:\n      limit: 60\n      backoff:\n        duration: 1s\n        factor: 1\n"
        for app, path in ((f"{self.name}-waves", "apps/waves"), (f"{self.name}-retry", "apps/retry")):
            text = application(app, self.repo.url, path=path, namespace=self.namespace)
            head, _, _ = text.partition("    retry:\n")
            self.world.environment.apply(head + retry)
        self._until_converged()

    def round(self, target: str, *, after_s: float) -> Round:
        """Push a version, kill in the middle, start again, and see that it all becomes what Git says."""
        self._commit()
        time.sleep(after_s)
        engine, began = self.world.environment.engine, time.monotonic()
        phase = self._phase() if target == "engine" else ""
        if target in ("engine", "both"):
            engine.kill()
        if target in ("cluster", "both"):
            self.world.kill_cluster()
            self.world.restart_cluster()
        if target in ("engine", "both"):
            engine.stop()
            self.world.start_engine()
        self._late_namespace()
        self._until_converged()
        took = time.monotonic() - began
        self.check()
        return Round(target, after_s, phase, took)

    def check(self) -> None:
        """Nothing is there twice, nothing is left over, and the ledger says what the Applications said."""
        twice = {mark: uids for mark, uids in self.world.seen.jobs.items() if len(uids) != 1}
        assert not twice, f"hooks that ran twice: {twice}"
        kubectl = self.world.environment.kubectl
        found = {o["metadata"]["name"] for o in kubectl.json("get", "configmaps", "-n", self.namespace)["items"]}
        wanted = {"settings", "last", f"only-{self.version}", "retried"}
        assert found - {"kube-root-ca.crt"} == wanted
        late = kubectl.json("get", "configmaps", "-A", "-l", f"crash={self.name}")["items"]
        assert [o["metadata"]["namespace"] for o in late] == [self._late(self.version)]
        web = kubectl.json("get", "deployment", "web", "-n", self.namespace)
        assert self._uids.setdefault("web", web["metadata"]["uid"]) == web["metadata"]["uid"], "it was made anew"
        self._check_ledger()

    def _check_ledger(self) -> None:
        apps = {
            o["metadata"]["uid"]: o
            for o in self.world.environment.kubectl.json("get", "applications", "-n", "argocd")["items"]
            if o["metadata"]["name"].startswith(f"{self.name}-")
        }

        def closed() -> bool | Pending:
            left = [r for r in self.world.ledger() if r["app_uid"] in apps and r["finished_at"] is None]
            return not left or Pending(left)

        # The row is closed after the Application says that the operation ended.
        eventually(closed, within_s=10, what="every row closed")
        rows = {(r["app_uid"], r["started_at"]): r for r in self.world.ledger() if r["app_uid"] in apps}
        for uid, app in apps.items():
            state = app["status"]["operationState"]
            row = rows[uid, state["startedAt"]]
            assert (row["phase"], row["message"], row["finished_at"], row["revision"]) == (
                state["phase"],
                state["message"],
                state["finishedAt"],
                state["syncResult"]["revision"],
            )
            assert "operation" not in app
            for started, (phase, message) in list(self.world.seen.phases[uid].items()):
                assert (uid, started) in rows, f"no row for the operation of {started}"
                if phase in ("Succeeded", "Failed", "Error"):
                    found = rows[uid, started]
                    assert (found["phase"], found["message"]) == (phase, message)

    def _late(self, version: int) -> str:
        return f"{self.namespace}-late-{version}"

    def _late_namespace(self) -> None:
        """What the second Application waits for."""

        def made() -> bool | Pending:
            done = self.world.environment.kubectl.run("create", "namespace", self._late(self.version))
            return done.returncode == 0 or "AlreadyExists" in done.stderr or Pending(done.stderr)

        eventually(made, within_s=60, what="a namespace")

    def _commit(self) -> None:
        self.version += 1
        n = self.version
        files: dict[str, str | None] = {
            "apps/waves/migrate.yaml": _job("name: migrate", "PreSync", "BeforeHookCreation"),
            "apps/waves/settings.yaml": config_map("settings", version=str(n)),
            "apps/waves/web.yaml": _waved(deployment("web", image=f"nginx:1.{n}"), 1),
            "apps/waves/last.yaml": _waved(config_map("last", version=str(n)), 2),
            f"apps/waves/only-{n}.yaml": config_map(f"only-{n}", version=str(n)),
            "apps/waves/smoke.yaml": _job("generateName: smoke-", "PostSync", "HookSucceeded"),
            "apps/retry/before.yaml": _job("name: before", "PreSync", "BeforeHookCreation"),
            "apps/retry/retried.yaml": config_map("retried", version=str(n)),
            "apps/retry/late.yaml": config_map("late", version=str(n)).replace(
                "  name: late\n", f"  name: late\n  namespace: {self._late(n)}\n  labels:\n    crash: {self.name}\n"
            ),
        }
        if n > 1:
            files[f"apps/waves/only-{n - 1}.yaml"] = None
        self._sha = self.repo.commit(files, message=f"version {n}")

    def _phase(self) -> str:
        app = self.world.environment.application(f"{self.name}-waves") or {}
        state = (app.get("status") or {}).get("operationState") or {}
        current = (state.get("syncResult") or {}).get("revision") == self._sha
        return f"{state.get('phase')} {state.get('message')}" if current else "not begun"

    def _until_converged(self) -> None:
        def look() -> bool | Pending:
            seen = []
            for name in (f"{self.name}-waves", f"{self.name}-retry"):
                try:
                    app = self.world.environment.application(name) or {}
                except KubectlError as error:
                    return Pending(error)
                status = app.get("status") or {}
                state = status.get("operationState") or {}
                words = (
                    (status.get("sync") or {}).get("status"),
                    (status.get("health") or {}).get("status"),
                    state.get("phase"),
                    (status.get("sync") or {}).get("revision") == self._sha,
                )
                if words != ("Synced", "Healthy", "Succeeded", True):
                    seen.append((name, words, state.get("message"), status.get("conditions")))
            ended = self.world.environment.engine.poll()
            if ended is not None:
                return Pending(f"the engine ended with {ended}: {self.world.environment.engine.output()[-4000:]}")
            return not seen or Pending(seen)

        eventually(look, within_s=CONVERGED_WITHIN_S, what=f"version {self.version} everywhere")


def rounds() -> int:
    """How many rounds of each kind: TIPHYS_CRASH_ROUNDS, else three."""
    return int(os.environ.get("TIPHYS_CRASH_ROUNDS", "3"))


def moment() -> float:
    """A random moment of a sync, which takes about three seconds."""
    return random.uniform(0.0, 3.5)


def _waved(manifest: str, wave: int) -> str:
    return manifest.replace(
        "metadata:\n", f'metadata:\n  annotations:\n    argocd.argoproj.io/sync-wave: "{wave}"\n', 1
    )


def _job(name: str, hook: str, policy: str) -> str:
    return f"""\
apiVersion: batch/v1
kind: Job
metadata:
  {name}
  annotations:
    argocd.argoproj.io/hook: {hook}
    argocd.argoproj.io/hook-delete-policy: {policy}
spec:
  backoffLimit: 0
  template:
    metadata:
      annotations:
        embedded.tiphys.dev/run-seconds: "0.5"
    spec:
      restartPolicy: Never
      containers:
        - name: main
          image: busybox:1.36
"""
