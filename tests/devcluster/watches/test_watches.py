"""The embedded cluster tells watchers what a recorded kube-apiserver told them; see test_watches_real.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devcluster.clients.answers import judged_answers, read_answers
from tests.devcluster.compare.servers import embedded_server
from tests.devcluster.watches.stories import stories
from tests.devcluster.watches.transcript import RECORDED, transcripts

AGAIN = "record again: TIPHYS_COMPARE_RECORD=1 pytest tests/devcluster/watches --cluster=real"


@pytest.mark.timeout(300)
def test_watchers_are_told_what_was_recorded(tmp_path: Path) -> None:
    listed = stories()
    with embedded_server(tmp_path, [one.scenario for one in listed]) as server:
        found = transcripts(server, listed)
    recorded = read_answers(RECORDED)
    assert set(recorded) == set(found), AGAIN
    judged_answers(recorded, found)
