"""Charts in text files: `=== name: what it shows`, then `-- path --` before the content of each file of the chart.

`helm.yaml` is the `helm:` block of the source; `expect.txt` says that the chart is refused with these words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.apimachinery.yamljson import load_one

_CASE = re.compile(r"^=== (\S+): (.*)$", re.MULTILINE)
_FILE = re.compile(r"^-- (\S+) --$\n?", re.MULTILINE)


@dataclass(frozen=True)
class Case:
    """One chart."""

    name: str
    shows: str
    files: dict[str, str]
    helm: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


def read_cases(folder: Path) -> list[Case]:
    """Every case of every file."""
    return [case for path in sorted(folder.glob("*.txt")) for case in _cases(path.read_text(encoding="utf-8"))]


def _cases(text: str) -> list[Case]:
    parts = _CASE.split(text)
    return [_case(*parts[at : at + 3]) for at in range(1, len(parts), 3)]


def _case(name: str, shows: str, text: str) -> Case:
    parts = _FILE.split(text)
    files = dict(zip(parts[1::2], parts[2::2], strict=True))
    helm = load_one(files.pop("helm.yaml", "{}")) or {}
    refused = files.pop("expect.txt", "").strip()
    if "Chart.yaml" not in files:
        files["Chart.yaml"] = f'apiVersion: v2\nname: {name}\nversion: 1.2.3\nappVersion: "2.0"\n'
    return Case(name, shows, files, helm, refused)
