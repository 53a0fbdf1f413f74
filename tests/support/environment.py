"""A cluster and the engine beside it, as end-to-end tests use them; both are processes, as users have them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.expect import Failed, Pending, eventually
from tests.support.kubectl import Kubectl
from tests.support.processes import TIPHYS, Program, clean_env, wait_for


@dataclass
class Cluster:
    """A running API server whose Pods become ready. `engine_kubeconfig` is the engine's own identity."""

    kind: str
    kubeconfig: Path
    engine_kubeconfig: Path
    real: Any = None
    process: Program | None = None


@dataclass
class Environment:
    """What a test works with."""

    cluster: Cluster
    root: Path
    kubectl: Kubectl
    engine: Program

    def apply(self, text: str) -> str:
        """kubectl apply."""
        return self.kubectl.apply(text)

    def application(self, name: str) -> Any:
        """The Application as it stands in the cluster, None when there is none."""
        return self.kubectl.json("get", "application", name, "-n", "argocd")

    def until_app(self, name: str, *, sync: str = "Synced", health: str = "Healthy", within_s: float = 60.0) -> Any:
        """Until the Application shows these words; the Application. Fails with what it showed last."""
        seen: dict[str, Any] = {}

        def look() -> bool | Pending | Failed:
            if self.engine.poll() is not None:
                return Failed(f"the engine ended:\n{self.engine.output()[-4000:]}")
            app = self.application(name)
            if app is None:
                return Pending("no such Application")
            seen["app"] = app
            status = app.get("status") or {}
            words = ((status.get("sync") or {}).get("status"), (status.get("health") or {}).get("status"))
            operation = (status.get("operationState") or {}).get("phase")
            if words == (sync, health) and operation != "Running":
                return True
            return Pending(json.dumps({k: status.get(k) for k in ("sync", "health", "conditions", "operationState")}))

        eventually(look, within_s=within_s, what=f"Application {name} {sync}/{health}")
        return seen["app"]

    def until(self, look: Any, *, within_s: float = 60.0, what: str = "") -> float:
        """Until `look` answers True; seconds it took."""
        return eventually(look, within_s=within_s, what=what)


def application(
    name: str,
    repo_url: str,
    *,
    path: str = "apps/my-app",
    namespace: str = "default",
    automated: bool = True,
    options: str = "CreateNamespace=true",
    finalizer: bool = True,
    extra: str = "",
) -> str:
    """The guide's my-app.yaml with other names."""
    finalizers = "\n  finalizers:\n    - resources-finalizer.argocd.argoproj.io" if finalizer else ""
    automation = "\n    automated:\n      prune: true\n      selfHeal: true" if automated else ""
    return f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  namespace: argocd{finalizers}
spec:
  project: default

  source:
    repoURL: {repo_url}
    targetRevision: main
    path: {path}

  destination:
    server: https://kubernetes.default.svc
    namespace: {namespace}

  syncPolicy:{automation}
    syncOptions:
      - {options}
    retry:
      limit: 3
      backoff:
        duration: 5s
        factor: 2
        maxDuration: 3m
{extra}"""


@contextmanager
def start_cluster(config: pytest.Config, root: Path) -> Iterator[Cluster]:
    """The cluster --cluster asks for; skipped with the reason where it cannot be had."""
    kind = config.getoption("--cluster")
    if kind == "embedded":
        with _embedded(root) as cluster:
            yield cluster
    elif kind == "real":
        with _real(root) as cluster:
            yield cluster
    else:
        path = config.getoption("--kubeconfig")
        if path is None:
            pytest.skip("--cluster=kubeconfig needs --kubeconfig FILE of a cluster that tests may change")
        yield Cluster("kubeconfig", Path(path), Path(path))


@contextmanager
def _embedded(root: Path) -> Iterator[Cluster]:
    kubeconfig = root / "embedded.kubeconfig"
    program = Program(
        [
            TIPHYS,
            "devcluster",
            "--in-memory",
            "--home",
            str(root / "cluster"),
            "--port",
            "0",
            "--kubeconfig-out",
            str(kubeconfig),
        ],
        log=root / "devcluster.log",
    )
    try:
        wait_for(kubeconfig, program)
        _until_answering(kubeconfig, root)
        yield Cluster("embedded", kubeconfig, kubeconfig, process=program)
    finally:
        program.stop()


def _until_answering(kubeconfig: Path, root: Path) -> None:
    """The kubeconfig may be there before the server listens."""
    kubectl = Kubectl(kubeconfig, root / "kubectl-cache")

    def look() -> bool | Pending:
        done = kubectl.run("get", "namespace", "default")
        return True if done.returncode == 0 else Pending(done.stderr)

    eventually(look, within_s=30, what="an answer of the API server")


@contextmanager
def _real(root: Path) -> Iterator[Cluster]:
    from tests.realcluster import build
    from tests.realcluster.cluster import running

    try:
        build.ensure()
    except (build.WrongGoError, build.BuildError) as error:
        pytest.skip(f"no real API server: {error}")
    with running(root / "realcluster") as real:
        simulator = Program(
            [TIPHYS, "nodesim", "--kubeconfig", str(real.kubeconfig)],
            log=root / "nodesim.log",
        )
        try:
            yield Cluster("real", real.kubeconfig, real.engine_credentials(), real=real, process=simulator)
        finally:
            simulator.stop()


def engine_command(cluster: Cluster, root: Path) -> list[str]:
    """The command line of the engine under test."""
    return [
        TIPHYS,
        "run",
        "--kubeconfig",
        str(cluster.engine_kubeconfig),
        "--home",
        str(root / "engine"),
        "--port",
        "0",
        "--address-out",
        str(root / "engine.address"),
        "--allow-file-repositories",
        "--insecure",
    ]


@contextmanager
def start_engine(cluster: Cluster, root: Path, **env: str) -> Iterator[Environment]:
    """The engine as a process of its own, with these environment variables."""
    program = Program(engine_command(cluster, root), log=root / "engine.log", env=clean_env(**env))
    try:
        wait_for(root / "engine.address", program)
        yield Environment(cluster, root, Kubectl(cluster.kubeconfig, root / "kubectl-cache"), program)
    finally:
        program.stop()
