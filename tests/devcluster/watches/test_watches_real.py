"""Every watcher of every story is told the same by the embedded cluster and by a real kube-apiserver.

To record the real server's events anew, for machines without it:

    TIPHYS_COMPARE_RECORD=1 pytest tests/devcluster/watches --cluster=real
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.devcluster.clients.answers import judged_answers, write_answers
from tests.devcluster.compare.servers import absent_reason, embedded_server, real_server
from tests.devcluster.watches.stories import stories
from tests.devcluster.watches.transcript import RECORDED, transcripts

LEAST = 200


@pytest.mark.timeout(300)
def test_both_servers_tell_watchers_the_same(tmp_path: Path) -> None:
    reason = absent_reason()
    if reason:
        pytest.skip(reason)
    listed = stories()
    prepared = [one.scenario for one in listed]
    with real_server(tmp_path / "real", prepared) as (real, _):
        theirs = transcripts(real, listed)
    with embedded_server(tmp_path / "embedded", prepared) as ours:
        mine = transcripts(ours, listed)
    if os.environ.get("TIPHYS_COMPARE_RECORD"):
        write_answers(RECORDED, theirs)
    print(f"{len(theirs)} transcripts and answers of {len(listed)} stories compared")
    assert len(theirs) >= LEAST
    judged_answers(theirs, mine)
