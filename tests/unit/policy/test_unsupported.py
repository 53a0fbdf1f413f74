"""What cannot be done yet is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.model.application import ApplicationSpec, parse_application
from tiphys.model.appproject import parse_appproject
from tiphys.policy.unsupported import unsupported


def spec(**fields: Any) -> ApplicationSpec:
    """A spec with these fields."""
    return parse_application({"metadata": {"name": "a"}, "spec": fields}).spec


def project(**fields: Any) -> Any:
    """A project with these fields."""
    return parse_appproject({"metadata": {"name": "p"}, "spec": fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"sources": [{"repoURL": "a"}, {"repoURL": "b"}]}, "several sources"),
        ({"sourceHydrator": {"drySource": {}}}, "sourceHydrator"),
    ],
)
def test_an_application_that_asks_for_more_is_told(fields: dict[str, Any], expected: str) -> None:
    """Instead of being deployed in another way than its owner meant."""
    told = unsupported(spec(**fields), project())

    assert len(told) == 1
    assert told[0].startswith(expected)
    assert told[0].endswith("not supported yet")


def test_a_project_that_restricts_in_ways_we_cannot_keep_stops_its_applications() -> None:
    """A commit that nobody signed must not be deployed."""
    signed = project(signatureKeys=[{"keyID": "4AEE18F83AFDEB23"}])

    assert unsupported(spec(), signed) == ["signatureKeys, which project p has, are not supported yet"]


def test_what_works_is_not_mentioned() -> None:
    """Only what would be ignored."""
    rules = [{"kind": "X", "jqPathExpressions": [".a"], "managedFieldsManagers": ["b"]}]
    windows = project(syncWindows=[{"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}])

    assert unsupported(spec(ignoreDifferences=rules), windows) == []
