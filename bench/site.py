"""Where a benchmark runs: a control plane, a Git server and a folder; all of it is gone at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.realcluster import cluster as realcluster
from tests.support.processes import TIPHYS, Program, clean_env, wait_for

from bench.repository import GitServer, Repository

CONTROLLERS = (
    "serviceaccount-controller",
    "namespace-controller",
    "garbage-collector-controller",
)
"""Nothing else in the workload needs the controller manager, and what it does is nobody's figure."""

ROLLOUT_CONTROLLERS = (*CONTROLLERS, "deployment-controller", "replicaset-controller")


@dataclass
class Site:
    """A running control plane, called `kind`: real or embedded. `admin` is the observer's kubeconfig, never an engine's."""

    kind: str
    root: Path
    admin: Path
    processes: Mapping[str, int]
    real: realcluster.Cluster | None
    git: GitServer | None

    def repository(self, name: str) -> Repository:
        """A new repository that engines can fetch."""
        return Repository(self.root / "git", name, self.git.url if self.git is not None else "")

    def identity(self, namespace: str, service_account: str) -> Path:
        """Kubeconfig of an engine with every right, under a user name that the audit log can tell."""
        if self.real is None:
            return self.admin
        return self.real.service_account_kubeconfig(namespace, service_account, cluster_role="cluster-admin")

    def folder(self, name: str) -> Path:
        """A folder of the run."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    @property
    def audit_log(self) -> Path | None:
        """Every request, one JSON event a line; None on a cluster that keeps none."""
        return self.real.audit_log if self.real is not None else None


@contextmanager
def running(
    kind: str,
    root: Path,
    *,
    http: bool = True,
    fsync: bool = True,
    controllers: Sequence[str] = CONTROLLERS,
) -> Iterator[Site]:
    """A control plane of a kind with a Git server. Without `http` repositories are read from the disk by their path."""
    with ExitStack() as stack:
        git = None
        if http:
            git = GitServer(root / "git", root / "gitserver.log")
            stack.callback(git.stop)
        if kind == "real":
            flags = {"kube-controller-manager": [f"--controllers={','.join(controllers)}"]}
            real = stack.enter_context(
                realcluster.running(root / "realcluster", fsync=fsync, extra_arguments=flags),
            )
            pids = {name: real.pid(name) for name in realcluster.COMPONENTS[:2]}
            yield Site(kind, root, real.kubeconfig, pids, real, git)
            return
        kubeconfig = root / "embedded.kubeconfig"
        command = [
            TIPHYS,
            "devcluster",
            "--home",
            str(root / "cluster"),
            "--port",
            "0",
            "--kubeconfig-out",
            str(kubeconfig),
        ]
        program = Program(command, log=root / "devcluster.log", env=clean_env())
        stack.callback(program.stop)
        wait_for(kubeconfig, program)
        yield Site(kind, root, kubeconfig, {"devcluster": program.pid}, None, git)
