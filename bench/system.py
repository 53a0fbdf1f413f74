"""A cluster with the engine beside it, as processes whose cost can be told apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.realcluster.cluster import COMPONENTS, ENGINE_USER, audit_counts, running
from tests.realcluster.cluster import Cluster as RealCluster
from tests.support.environment import Cluster, engine_command
from tests.support.processes import TIPHYS, Program, clean_env, wait_for

from bench.machine import cpu_s


@dataclass
class System:
    """What a benchmark drives. `admin` is the kubeconfig of the observer, never of the engine."""

    kind: str
    root: Path
    admin: Path
    engine: Program
    cluster_pids: tuple[int, ...]
    real: RealCluster | None

    def engine_cpu_s(self) -> float:
        """CPU seconds of the engine with its render workers and git children."""
        return cpu_s(self.engine.pid)

    def cluster_cpu_s(self) -> float:
        """CPU seconds of API server and etcd, or of the embedded cluster's one process."""
        return sum(cpu_s(pid) for pid in self.cluster_pids)

    def audit_position(self) -> int:
        """Where the audit log ends now; 0 on a cluster that keeps none."""
        return self.real.audit_log.stat().st_size if self.real is not None else 0

    def engine_requests(self, since: int) -> Mapping[tuple[str, str], int]:
        """Requests of the engine's identity by verb and resource; empty on a cluster that keeps no audit log."""
        if self.real is None:
            return {}
        return audit_counts(self.real.audit_log, ENGINE_USER, offset=since)


WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def by_verb(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Requests by verb, the most frequent first."""
    found: Counter[str] = Counter()
    for (verb, _resource), count in counts.items():
        found[verb] += count
    return dict(found.most_common())


def by_request(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Requests as `verb resource`, the most frequent first."""
    return {f"{verb} {resource}": count for (verb, resource), count in sorted(counts.items(), key=lambda kv: -kv[1])}


def writes(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Writes that are not the engine's Lease."""
    return {
        f"{verb} {resource}": count
        for (verb, resource), count in counts.items()
        if verb in WRITES and not resource.startswith("leases.")
    }


@contextmanager
def system(kind: str, root: Path, *, nodes: bool = True, wrap: tuple[str, ...] = ()) -> Iterator[System]:
    """Start a cluster of a kind (real or embedded) and the engine; all of it is stopped at the end.

    Without `nodes` the Pods of a real cluster stay Pending. `wrap` is put before the engine's command line, such as a
    profiler.
    """
    root.mkdir(parents=True, exist_ok=True)
    if kind == "real":
        with ExitStack() as stack:
            real = stack.enter_context(running(root / "realcluster"))
            if nodes:
                command = [TIPHYS, "nodesim", "--kubeconfig", str(real.kubeconfig)]
                simulator = Program(command, log=root / "nodesim.log", env=clean_env())
                stack.callback(simulator.stop)
            cluster = Cluster("real", real.kubeconfig, real.engine_credentials(), real=real)
            pids = tuple(real.pid(name) for name in COMPONENTS[:2])
            engine = stack.enter_context(_engine(cluster, root, wrap))
            yield System(kind, root, real.kubeconfig, engine, pids, real)
        return
    kubeconfig = root / "embedded.kubeconfig"
    command = [TIPHYS, "devcluster", "--home", str(root / "cluster"), "--port", "0", "--kubeconfig-out"]
    program = Program([*command, str(kubeconfig)], log=root / "devcluster.log", env=clean_env())
    try:
        wait_for(kubeconfig, program)
        with _engine(Cluster("embedded", kubeconfig, kubeconfig), root, wrap) as engine:
            yield System(kind, root, kubeconfig, engine, (program.pid,), None)
    finally:
        program.stop()


@contextmanager
def _engine(cluster: Cluster, root: Path, wrap: tuple[str, ...]) -> Iterator[Program]:
    program = Program([*wrap, *engine_command(cluster, root)], log=root / "engine.log", env=clean_env())
    try:
        wait_for(root / "engine.address", program)
        yield program
    finally:
        program.stop()
