"""Answers: the real server's, plain and compressed, and what differs from them."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.devcluster.compare.allowed import rows
from tests.devcluster.compare.normal import Difference, differences

SHOWN = 40


def write_answers(path: Path, answers: Mapping[str, Any]) -> None:
    """Keep them."""
    lines = "\n".join(json.dumps([case, answer], sort_keys=True) for case, answer in answers.items())
    path.write_bytes(lzma.compress(lines.encode(), preset=9 | lzma.PRESET_EXTREME))


def read_answers(path: Path) -> dict[str, Any]:
    """The answers by case."""
    return dict(json.loads(line) for line in lzma.decompress(path.read_bytes()).decode().splitlines())


def unlisted(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Difference]:
    """Differences that no row of the table allows."""
    table = rows()
    found = [one for case, answer in theirs.items() for one in differences(case, answer, ours[case])]
    return [one for one in found if not any(row.allows(one) for row in table)]


def judged_answers(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Fails, showing them, when there are unlisted differences."""
    found = unlisted(theirs, ours)
    text = "\n".join(map(str, found[:SHOWN]))
    assert not found, f"{len(found)} differences in {len({one.case for one in found})} answers:\n{text}"
