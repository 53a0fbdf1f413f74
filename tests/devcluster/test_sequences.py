"""What happens to objects over time, against what a real control plane of Kubernetes 1.36 was recorded doing.

With `--cluster=real` the recording itself is judged. `python -m tests.devcluster.sequences.compare` takes it anew and shows
what differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.devcluster.sequences.compare import Row, differences, read_recording, rows, told_of
from tests.devcluster.sequences.facets import Facets
from tests.devcluster.sequences.stories import STORIES
from tests.support.environment import Cluster, start_cluster

GOES = 2
"""How often a story is told again on a real control plane."""


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with start_cluster(request.config, tmp_path_factory.mktemp("sequences")) as running:
        yield running


@pytest.fixture(scope="module")
def told(cluster: Cluster) -> dict[str, Facets]:
    """All stories at once: most of their time is waiting.

    A real control plane may do what it was not seen doing before; a recording that is wrong differs each time.
    """
    kubeconfig = Path(cluster.kubeconfig)
    found = told_of(kubeconfig, sorted(STORIES))
    for turn in range(GOES if cluster.kind != "embedded" else 0):
        odd = [story for story in STORIES if unlisted(story, found[story])]
        found |= told_of(kubeconfig, odd, prefix=f"again{turn}") if odd else {}
    return found


def unlisted(story: str, facets: Facets) -> list[str]:
    """What differs from the recording and is in no row."""
    known = rows()
    found = differences(read_recording(), {story: facets})
    return [str(one) for one in found if not any(row.covers(one) for row in known)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("story", sorted(STORIES))
def test_a_story_goes_as_the_real_control_plane_was_recorded_to_let_it_go(told: dict[str, Facets], story: str) -> None:
    assert unlisted(story, told[story]) == []


def test_every_difference_that_is_listed_is_still_one(cluster: Cluster, told: dict[str, Facets]) -> None:
    """A row about the order of things may rest; any other has to be needed."""
    if cluster.kind != "embedded":
        pytest.skip("the table is about the embedded cluster")
    found = list(differences(read_recording(), told))

    def is_idle(row: Row) -> bool:
        return not row.reason.startswith("order:") and not any(row.covers(one) for one in found)

    assert [row for row in rows() if is_idle(row)] == []


def test_every_story_is_recorded_and_every_recording_is_a_story() -> None:
    assert sorted(read_recording()) == sorted(STORIES)
