"""Every request of the scenarios is answered alike by the embedded cluster and by a real kube-apiserver.

About 8,400 requests; status, headers, body and managedFields are compared once uids, times, versions, hashes and drawn names
have been replaced (`normal`). What may differ is a row of `differences.yaml`. The same run records the real server's answers
anew, for machines without Go, on which `test_recorded.py` compares the embedded cluster with them:

    pytest tests/devcluster/compare/test_requests_real.py --cluster=real --record
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.devcluster.compare.allowed import judged, rows
from tests.devcluster.compare.normal import Difference, differences, plain
from tests.devcluster.compare.recording import write_recording
from tests.devcluster.compare.scenarios import scenarios
from tests.devcluster.compare.servers import absent_reason, embedded_server, real_server
from tests.devcluster.compare.step import Scenario
from tests.devcluster.compare.wire import Reply, Server

LEAST = 8000
SHOWN = 60


@pytest.mark.timeout(1200)
def test_both_servers_answer_every_request_alike(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    reason = absent_reason()
    if reason:
        pytest.skip(reason)
    real, ours = both(tmp_path)
    assert len(real) >= LEAST
    found = [one for case, reply in real.items() for one in compared(case, reply, ours[case])]
    if pytestconfig.getoption("--record"):
        write_recording(real)
    unlisted, gone = judged(found, rows())
    print(f"{len(real)} requests compared, {len(found) - len(unlisted)} wanted differences")
    text = "\n".join(map(str, unlisted[:SHOWN]))
    assert not unlisted, f"{len(unlisted)} differences in {len({one.case for one in unlisted})} answers:\n{text}"
    assert not gone, f"these rows allow nothing any more: {[row.id for row in gone]}"


def compared(case: str, real: Reply, ours: Reply) -> list[Difference]:
    """How two answers to one request differ."""
    return differences(case, plain(real.to_json()), plain(ours.to_json()))


def both(directory: Path) -> tuple[dict[str, Reply], dict[str, Reply]]:
    """What each of the two answers, side by side; what the controllers do comes last."""
    listed = scenarios()
    early = [one for one in listed if not one.controllers]
    late = [one for one in listed if one.controllers]
    answers: tuple[dict[str, Reply], dict[str, Reply]] = ({}, {})
    with (
        embedded_server(directory / "embedded", listed) as ours,
        real_server(directory / "real", listed) as (real, controllers),
    ):
        for chosen in (early, late):
            if chosen is late:
                controllers.go_on()
            threads = [
                threading.Thread(target=_run, args=(server, chosen, answer))
                for server, answer in ((real, answers[0]), (ours, answers[1]))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    return answers


def _run(server: Server, chosen: list[Scenario], answers: dict[str, Reply]) -> None:
    for scenario in chosen:
        answers.update(server.run(scenario))
