"""Runs annotations.cases.yaml against the annotation parsers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import tiphys.model.annotations as parsers
from tiphys.apimachinery.yamljson import load_one

TABLES: list[dict[str, Any]] = load_one((Path(__file__).parent / "annotations.cases.yaml").read_bytes())["tables"]
CASES = [pytest.param(t["subject"], c, id=f"{t['subject']}-{c['id']}") for t in TABLES for c in t["cases"]]


@pytest.mark.parametrize(("subject", "case"), CASES)
def test_annotations(subject: str, case: dict[str, Any]) -> None:
    found = getattr(parsers, subject)(case["given"])
    if isinstance(found, frozenset):
        found = sorted(found)
    assert (list(found) if isinstance(found, tuple) else found) == case["expect"]
