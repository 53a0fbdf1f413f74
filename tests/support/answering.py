"""A cluster for a while, given out when its API server answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.environment import Cluster, start_cluster
from tests.support.expect import Pending, eventually
from tests.support.kubectl import Kubectl


@contextmanager
def answering_cluster(config: pytest.Config, root: Path) -> Iterator[Cluster]:
    """What --cluster asks for. The kubeconfig may be there before the server listens, so it is asked first."""
    with start_cluster(config, root) as cluster:
        kubectl = Kubectl(cluster.kubeconfig, root / "kubectl-cache")

        def look() -> bool | Pending:
            done = kubectl.run("get", "namespace", "default")
            return True if done.returncode == 0 else Pending(done.stderr)

        eventually(look, within_s=30, what="an answer of the API server")
        yield cluster
