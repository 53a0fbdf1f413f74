"""Recording: the real server's answers, plain and compressed, for machines that cannot run it."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.devcluster.compare.normal import plain
from tests.devcluster.compare.wire import Reply

FILE = Path(__file__).parent.parent / "recorded" / "requests-1.36.json.xz"


def write_recording(answers: Mapping[str, Reply]) -> None:
    """Keep the answers, without what no two runs have in common."""
    lines = [json.dumps([case, plain(reply.to_json())], sort_keys=True) for case, reply in answers.items()]
    FILE.write_bytes(lzma.compress("\n".join(lines).encode(), preset=9 | lzma.PRESET_EXTREME))


def read_recording() -> dict[str, Any]:
    """The answers by case, plain."""
    found = {}
    for line in lzma.decompress(FILE.read_bytes()).decode().splitlines():
        case, answer = json.loads(line)
        found[case] = answer
    return found
