"""The table of directory rules, run through the functions it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.yamljson import load_one
from tiphys.engine.render.directory import DEFAULT_MAX_BYTES, select_files
from tiphys.engine.render.manifests import ManifestError, parse_manifests
from tiphys.engine.render.spec import render_source
from tiphys.engine.states import FileEntry, FileKind, StageError

TABLE = load_one((Path(__file__).parent / "directory.cases.yaml").read_bytes())


def _entries(files: dict[str, str], *, recurse: bool) -> list[FileEntry]:
    """As a tree lists them: lexical by path components."""
    paths = sorted(files, key=lambda path: path.split("/"))
    return [
        FileEntry(f"app/{path}", FileKind.FILE, path, len(files[path].encode()))
        for path in paths
        if recurse or "/" not in path
    ]


def _render(case: dict[str, Any]) -> list[str]:
    source = render_source({"path": "app", "directory": case.get("source", {})})
    entries = _entries(case["files"], recurse=source.recurse)
    rendered = []
    for file in select_files(entries, source, max_bytes=case.get("max_bytes", DEFAULT_MAX_BYTES)):
        try:
            rows = parse_manifests(case["files"][file.oid].encode(), file.form)
        except ManifestError as error:
            where = f"line {error.line}: " if error.line else ""
            return [f'Failed to unmarshal "{file.path}": {where}{error.problem}']
        rendered += [f"{row[2]}/{row[4]}" for row in rows]
    return rendered


@pytest.mark.parametrize("case", TABLE["cases"], ids=[case["id"] for case in TABLE["cases"]])
def test_case(case: dict[str, Any]) -> None:
    if "error" not in case:
        assert _render(case) == case["expect"]
        return
    try:
        (said,) = _render(case)
    except StageError as error:
        said = error.message
    assert case["error"] in said


def test_the_table_says_where_its_rules_come_from() -> None:
    assert TABLE["source"]
    assert TABLE["subject"]
