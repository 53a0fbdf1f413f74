"""Charts installed by a real helm and kustomizations applied by kubectl leave what a real control plane of Kubernetes 1.36 was
recorded holding: every object, its fields and who owns them.

With `--cluster=real` the recording itself is judged. `python -m tests.devcluster.charts.run` takes it anew and shows what
differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.conformance.helm.oracle import NoOracleError, helm_program
from tests.devcluster.charts.run import Steps, cases, compared, read_recording, told_of
from tests.support.environment import Cluster, start_cluster

SHOWN = 40
GOES = 2
"""How often a case is tried again on a real control plane."""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with start_cluster(request.config, tmp_path_factory.mktemp("charts")) as running:
        yield running


@pytest.fixture(scope="module")
def told(request: pytest.FixtureRequest) -> dict[str, Steps]:
    """All cases at once; without a helm program only the kustomizations.

    A real control plane may do what it was not seen doing before; a recording that is wrong differs each time.
    """
    names = list(cases())
    try:
        helm_program()
    except NoOracleError:
        names = [name for name in names if not name.startswith("chart ")]
    cluster: Cluster = request.getfixturevalue("cluster")
    kubeconfig, recorded = Path(cluster.kubeconfig), read_recording()
    found = told_of(kubeconfig, names, wanted=recorded)
    for turn in range(GOES if cluster.kind != "embedded" else 0):
        odd = [name for name in names if compared(name, recorded[name], found[name])]
        found |= told_of(kubeconfig, odd, f"again{turn}", wanted=recorded) if odd else {}
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(cases()))
def test_after_each_step_the_cluster_holds_what_the_real_one_was_recorded_holding(
    told: dict[str, Steps], name: str
) -> None:
    if name not in told:
        pytest.skip(
            "there is no helm program to install charts with; `python tests/conformance/helm/oracle.py` fetches it"
        )
    lines = compared(name, read_recording()[name], told[name])
    assert lines[:SHOWN] == []


def test_there_are_at_least_ten_charts_and_five_kustomizations_and_each_is_recorded() -> None:
    charts = [name for name in cases() if name.startswith("chart ")]
    assert len(charts) >= 10
    assert len(cases()) - len(charts) >= 5
    assert sorted(read_recording()) == sorted(cases())
