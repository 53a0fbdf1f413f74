"""The embedded cluster answers what real clients ask as a recorded kube-apiserver did; see test_clients_real.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.devcluster.clients.answers import judged_answers, read_answers
from tests.devcluster.clients.names import drawn, filled, replaced
from tests.devcluster.clients.replay import RECORDED, clients, replay, scenario_of
from tests.devcluster.compare.normal import plain
from tests.devcluster.compare.servers import embedded_server


@pytest.mark.timeout(300)
def test_the_embedded_cluster_answers_clients_as_recorded(tmp_path: Path) -> None:
    listed = clients()
    with embedded_server(tmp_path, [scenario_of(one) for one in listed]) as server:
        found = {case: plain(reply.to_json()) for one in listed for case, reply in replay(server, one).items()}
    recorded = read_answers(RECORDED)
    assert set(recorded) == set(found), (
        "record again: TIPHYS_COMPARE_RECORD=1 pytest tests/devcluster/clients --cluster=real"
    )
    judged_answers(recorded, found)


def test_what_a_server_draws_is_named_and_filled_in_again() -> None:
    uid = "01234567-89ab-cdef-0123-456789abcdef"
    answer = (
        b'{"metadata":{"resourceVersion":"7"},"items":[{"kind":"Pod","metadata":{"name":"p","uid":"%b"}}]}'
        % uid.encode()
    )
    known = dict(drawn(3, answer, watch=False))
    text = replaced(f"/x?fieldSelector=involvedObject.uid={uid}&resourceVersion=7", known, "0")
    assert (
        text
        == "/x?fieldSelector=involvedObject.uid=<<3:items|Pod/p|metadata|uid>>&resourceVersion=<<3:metadata|resourceVersion>>"
    )
    other = {
        "metadata": {"resourceVersion": "9"},
        "items": [{"kind": "Pod", "metadata": {"name": "p", "uid": "other"}}],
    }
    assert filled(text, lambda number: other) == "/x?fieldSelector=involvedObject.uid=other&resourceVersion=9"
