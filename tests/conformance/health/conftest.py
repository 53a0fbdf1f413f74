"""Collects *.cases.yaml: each case is a test of the function that `subject` names.

A table has `subject` (module:function), `source` (where the expected values come from) and `cases`: each with `id`, `given`
(the argument), `expect` (the result) and, where the result differs from the source by intent, `differs` with the reason;
such a case fails when it does not differ any more.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.yamljson import load_one
from tiphys.engine.states import Health

FIELDS = {"id", "given", "expect", "differs"}


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> pytest.Collector | None:
    """Tables of this folder."""
    if file_path.name.endswith(".cases.yaml") and file_path.parent == Path(__file__).parent:
        return Table.from_parent(parent, path=file_path)
    return None


class Table(pytest.File):
    """One file of cases."""

    def collect(self) -> Iterator[pytest.Item]:
        """Its cases; a table without subject and source, or with a field nobody knows, is refused."""
        table: dict[str, Any] = load_one(self.path.read_bytes())
        if not table.get("subject") or not table.get("source"):
            raise self.CollectError(f"{self.path.name} needs `subject` and `source`")
        module, _, name = str(table["subject"]).partition(":")
        function = getattr(importlib.import_module(module), name)
        for row in table["cases"]:
            if unknown := set(row) - FIELDS:
                raise self.CollectError(f"{self.path.name}: {row.get('id')} has unknown fields {sorted(unknown)}")
            yield Case.from_parent(self, name=str(row["id"]), function=function, row=row)


class Case(pytest.Item):
    """One row."""

    def __init__(self, *, function: Any, row: dict[str, Any], **rest: Any) -> None:
        super().__init__(**rest)
        self._function, self._row = function, row

    def runtest(self) -> None:
        """Call the subject and compare."""
        found = _plain(self._function(self._row["given"]))
        if "differs" in self._row:
            assert found != self._row["expect"], f"no difference any more: {self._row['differs']}"
        else:
            assert found == self._row["expect"]

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where to look."""
        return self.path, None, f"{self.path.name}: {self.name}"


def _plain(value: object) -> object:
    """A Health as a table writes it: its word, or word and message."""
    if isinstance(value, Health):
        return {"status": value.status.value, "message": value.message} if value.message else value.status.value
    return value
