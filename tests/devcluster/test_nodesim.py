"""`tiphys nodesim` as a process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.environment import Cluster, start_cluster
from tests.support.processes import TIPHYS, Program


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with start_cluster(request.config, tmp_path_factory.mktemp("nodesim")) as running:
        yield running


def test_it_says_when_the_node_is_registered_and_stops_when_told(cluster: Cluster, tmp_path: Path) -> None:
    program = Program([TIPHYS, "nodesim", "--kubeconfig", str(cluster.kubeconfig)], log=tmp_path / "log")
    try:
        deadline = time.monotonic() + 30
        while "node 'embedded' is registered at https://" not in program.output():
            assert program.poll() is None, program.output()
            assert time.monotonic() < deadline, program.output()
            time.sleep(0.05)
        started = time.monotonic()
        assert program.stop() == 0
        assert time.monotonic() - started < 5
        assert program.output().count("\n") == 1
    finally:
        program.stop()


def test_a_kubeconfig_that_names_no_cluster_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("apiVersion: v1\nkind: Config\n")
    program = Program([TIPHYS, "nodesim", "--kubeconfig", str(file)], log=tmp_path / "log")
    program._process.wait(30)
    assert program.stop() == 1
    assert "current context" in program.output()
