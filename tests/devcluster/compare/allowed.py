"""Allowed: the table of wanted differences, and what of a comparison it does not cover."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path
from typing import Any

from tests.devcluster.compare.normal import Difference

from tiphys.apimachinery.yamljson import load_one

TABLE = Path(__file__).parent / "differences.yaml"


@dataclass(frozen=True)
class Row:
    """One wanted difference. `patterns`: a case, a place in its answer, and a text that one of the two values holds.

    `shown_by`: which comparison shows it, when not that of requests: clients, watches or random.
    """

    id: str
    where: str
    here: str
    there: str
    patterns: tuple[tuple[re.Pattern[str], re.Pattern[str], str], ...]
    untested: str
    shown_by: str = "requests"

    def allows(self, found: Difference) -> bool:
        """Whether the row is about this difference."""
        said = f"{found.real} {found.ours}"
        return any(
            case.match(found.case) and at.match(found.where) and text in said for case, at, text in self.patterns
        )


def rows(path: Path = TABLE) -> list[Row]:
    """The table. Each row says either what it allows or why nothing shows it."""
    listed: Any = load_one(path.read_bytes())
    found = []
    for one in listed:
        assert ("match" in one) != ("untested" in one), f"{one['id']}: either match or untested"
        patterns = tuple(
            (_pattern(case), _pattern(entry.get("at", "*")), entry.get("says", ""))
            for entry in one.get("match", ())
            for case in ([entry["case"]] if isinstance(entry["case"], str) else entry["case"])
        )
        shown_by = one.get("shown_by", "requests")
        found.append(
            Row(one["id"], one["where"], one["here"], one["there"], patterns, one.get("untested", ""), shown_by)
        )
    return found


def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(translate(glob.replace("[", "[[]")))


def judged(
    found: Iterable[Difference], table: Iterable[Row], comparison: str = "requests"
) -> tuple[list[Difference], list[Row]]:
    """Differences that no row allows, and rows that allowed none although a request should show them."""
    table = list(table)
    used: set[str] = set()
    unlisted = []
    for one in found:
        allowing = [row for row in table if row.allows(one)]
        used.update(row.id for row in allowing)
        if not allowing:
            unlisted.append(one)
    due = [row for row in table if row.shown_by == comparison and not row.untested]
    return unlisted, [row for row in due if row.id not in used]
