"""What real clients ask is answered alike by the embedded cluster and by a real kube-apiserver.

The requests were captured by `record.py`. To record the real server's answers anew, for machines without it:

    TIPHYS_COMPARE_RECORD=1 pytest tests/devcluster/clients --cluster=real
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from tests.devcluster.clients.answers import judged_answers, write_answers
from tests.devcluster.clients.replay import RECORDED, clients, replay, scenario_of
from tests.devcluster.compare.normal import plain
from tests.devcluster.compare.servers import absent_reason, embedded_server, real_server
from tests.devcluster.compare.wire import Reply, Server

LEAST = 500


@pytest.mark.timeout(600)
def test_both_servers_answer_clients_alike(tmp_path: Path) -> None:
    reason = absent_reason()
    if reason:
        pytest.skip(reason)
    listed = [scenario_of(one) for one in clients()]
    with (
        embedded_server(tmp_path / "embedded", listed) as ours,
        real_server(tmp_path / "real", listed) as (real, _),
    ):
        found: tuple[dict[str, Reply], dict[str, Reply]] = ({}, {})
        threads = [threading.Thread(target=_all, args=pair) for pair in zip((real, ours), found, strict=True)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    theirs, mine = ({case: plain(reply.to_json()) for case, reply in side.items()} for side in found)
    if os.environ.get("TIPHYS_COMPARE_RECORD"):
        write_answers(RECORDED, theirs)
    print(f"{len(theirs)} requests of {len(listed)} clients compared")
    assert len(theirs) >= LEAST
    judged_answers(theirs, mine)


def _all(server: Server, found: dict[str, Reply]) -> None:
    for one in clients():
        found.update(replay(server, one))
