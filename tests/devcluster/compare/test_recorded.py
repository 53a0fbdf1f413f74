"""The embedded cluster answers every request as a recorded kube-apiserver did; see test_requests_real.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devcluster.compare.allowed import judged, rows
from tests.devcluster.compare.normal import Difference, differences, plain
from tests.devcluster.compare.recording import FILE, read_recording
from tests.devcluster.compare.scenarios import scenarios
from tests.devcluster.compare.servers import embedded_server

SHOWN = 60
AGAIN = "record again: pytest tests/devcluster/compare/test_requests_real.py --cluster=real --record"


@pytest.mark.timeout(900)
def test_the_embedded_cluster_answers_as_recorded(tmp_path: Path) -> None:
    if not FILE.is_file():
        pytest.skip(f"there is no recording; {AGAIN}")
    listed = scenarios()
    recorded = read_recording()
    assert set(recorded) == {case for one in listed for case, _ in one.cases()}, AGAIN
    found: list[Difference] = []
    with embedded_server(tmp_path, listed) as server:
        for scenario in listed:
            for case, reply in server.run(scenario).items():
                found += differences(case, recorded[case], plain(reply.to_json()))
    unlisted, gone = judged(found, rows())
    print(f"{len(recorded)} requests compared, {len(found) - len(unlisted)} wanted differences")
    text = "\n".join(map(str, unlisted[:SHOWN]))
    assert not unlisted, f"{len(unlisted)} differences in {len({one.case for one in unlisted})} answers:\n{text}"
    assert not gone, f"these rows allow nothing any more: {[row.id for row in gone]}"
