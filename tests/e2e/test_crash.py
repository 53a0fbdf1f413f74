"""kill -9 at random moments of a sync: of the engine, of the cluster, of both. What Git says comes true, once.

TIPHYS_CRASH_ROUNDS says how many rounds of each; the figures are printed with `pytest -s`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.crash import Scenario, World, embedded_world, moment, rounds, world
from tests.support.environment import start_cluster

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def crashing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cluster of its own, because it is killed."""
    root = tmp_path_factory.mktemp("crash")
    kind = request.config.getoption("--cluster")
    if kind == "embedded":
        with embedded_world(root) as made:
            yield made
    elif kind == "real":
        with start_cluster(request.config, root) as cluster, world(cluster, root) as made:
            yield made
    else:
        pytest.skip("the cluster of --cluster=kubeconfig is not ours to kill")


@pytest.mark.parametrize("target", ["engine", "cluster", "both"])
def test_what_is_killed_in_the_middle_of_a_sync_ends_as_git_says_and_nothing_runs_twice(
    crashing: World, tmp_path: Path, target: str
) -> None:
    scenario = Scenario(crashing, tmp_path, target)
    scenario.start()
    for number in range(rounds()):
        done = scenario.round(target, after_s=moment())
        print(
            f"{target} round {number + 1}: killed {done.after_s:.2f} s after the push ({done.phase_at_kill}), "
            f"converged {done.converged_s:.1f} s after the kill"
        )
    scenario.check()
