"""Random objects of ten kinds are written alike by the embedded cluster and by a real kube-apiserver.

    TIPHYS_RANDOM_OBJECTS=2000 TIPHYS_RANDOM_SEED=7 pytest tests/devcluster/random --cluster=real

The same seed gives the same objects. What differs is shown in the smallest story that was found for it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from tests.devcluster.compare.allowed import rows
from tests.devcluster.compare.servers import absent_reason, embedded_server, real_server
from tests.devcluster.compare.step import Scenario
from tests.devcluster.random.both import Finding, Smallest, by_kind, define, findings, firsts, told
from tests.devcluster.random.stories import SPACE, scenario

OBJECTS = int(os.environ.get("TIPHYS_RANDOM_OBJECTS", "200"))
SEED = int(os.environ.get("TIPHYS_RANDOM_SEED", "1"))
SHOWN = 10
SHRUNK = 3


@pytest.mark.timeout(max(300, OBJECTS))
def test_both_servers_write_random_objects_alike(tmp_path: Path) -> None:
    reason = absent_reason()
    if reason:
        pytest.skip(reason)
    stories = [scenario(number, SEED) for number in range(OBJECTS)]
    table = rows()
    space = [Scenario(SPACE, [])]
    with (
        embedded_server(tmp_path / "embedded", space) as ours,
        real_server(tmp_path / "real", space) as (real, _),
    ):
        define(real)
        define(ours)
        began = time.monotonic()
        answers = told(real, ours, stories)
        took = time.monotonic() - began
        found = firsts(findings(stories, answers, table))
        text = "" if not found else _shown(found, Smallest(real, ours, table))
    print(f"{OBJECTS} random objects, {len(answers[0])} requests compared in {took:.0f} s")
    assert not found, f"{len(found)} differences in {len({one.scenario.name for one in found})} objects:\n{text}"


def _shown(found: list[Finding], smallest: Smallest) -> str:
    """One finding of each kind, the first few as small as they get."""
    lines = []
    for number, (kind, alike) in enumerate(list(by_kind(found).items())[:SHOWN]):
        lines.append(f"{len(alike)} like this: {kind[:120]}")
        if number < SHRUNK:
            steps, difference = smallest.of(alike[0], attempts=60)
            lines += [f"    {step.method} {step.path} {step.kind} {step.body}" for step in steps]
            lines.append(str(difference))
        else:
            lines.append(str(alike[0].difference))
    return "\n".join(lines)
