"""Runs project.cases.yaml against the AppProject rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.yamljson import load_one
from tiphys.model.appproject import parse_appproject
from tiphys.model.codec import decode
from tiphys.model.destination import ApplicationDestination
from tiphys.policy.project import permits_destination, permits_source

CASES: list[dict[str, Any]] = load_one((Path(__file__).parent / "project.cases.yaml").read_bytes())["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_project_rules(case: dict[str, Any]) -> None:
    given = case["given"]
    spec = {"sourceRepos": given.get("sources", []), "destinations": given.get("destinations", [])}
    project = parse_appproject({"metadata": {"name": "p"}, "spec": spec})
    if "sources" in given:
        answer = permits_source(project, given["value"])
    else:
        answer = permits_destination(project, decode(ApplicationDestination, given["value"]))
    assert answer.allowed is case["expect"], answer.reason
