"""Conditions, history, repository URLs and CRDs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tiphys.model.crds import crd_objects
from tiphys.model.repository import normalize_git_url, same_repository
from tiphys.model.statuses import ApplicationCondition, RevisionHistory, append_history, merge_conditions

OLD = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


def test_conditions_of_owned_types_are_replaced_and_an_equal_message_keeps_its_time() -> None:
    current = (
        ApplicationCondition(type="SyncError", message="s", last_transition_time=OLD),
        ApplicationCondition(type="ComparisonError", message="same", last_transition_time=OLD),
        ApplicationCondition(type="InvalidSpecError", message="gone", last_transition_time=OLD),
    )
    evaluated = (
        ApplicationCondition(type="ComparisonError", message="same"),
        ApplicationCondition(type="ComparisonError", message="new"),
    )
    merged = merge_conditions(current, evaluated, {"ComparisonError", "InvalidSpecError"}, NOW)
    assert [(c.type, c.message, c.last_transition_time) for c in merged] == [
        ("ComparisonError", "same", OLD),
        ("ComparisonError", "new", NOW),
        ("SyncError", "s", OLD),
    ]


def test_history_ids_follow_the_last_and_are_never_reused() -> None:
    history: tuple[RevisionHistory, ...] = ()
    for n in range(4):
        history = append_history(history, RevisionHistory(revision=str(n)), 2)
    assert [(h.id, h.revision) for h in history] == [(2, "2"), (3, "3")]
    assert append_history(history, RevisionHistory(), 0) == ()
    long: tuple[RevisionHistory, ...] = ()
    for _ in range(12):
        long = append_history(long, RevisionHistory(), None)
    assert [h.id for h in long] == list(range(2, 12))


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("https://GitHub.com/a/b.git", "https://github.com/A/B", True),
        ("git@github.com:argoproj/test.git", "ssh://git@github.com/argoproj/test", True),
        ("ssh://git@github.com/a/b", "ssh://other@github.com/a/b", True),
        ("https://github.com/a/b", "https://github.com/a/c", False),
        ("https://github.com/a/b", "git@github.com:a/b", False),
        ("", "", False),
    ],
)
def test_repository_urls_are_compared_in_normal_form(left: str, right: str, same: bool) -> None:
    assert same_repository(left, right) is same


def test_a_normal_form_is_a_fixed_point_of_plain_urls() -> None:
    assert normalize_git_url(" https://x.example/Repo.GIT ") == "https://x.example/repo"


def test_applications_have_no_status_subresource_and_applicationsets_do() -> None:
    application, project, application_set = crd_objects()
    versions = [crd["spec"]["versions"][0] for crd in (application, project, application_set)]
    assert [version["subresources"] for version in versions] == [{}, {}, {"status": {}}]
    assert application["spec"]["names"]["shortNames"] == ["app", "apps"]
    assert [(c["name"], c.get("priority", 0)) for c in versions[0]["additionalPrinterColumns"]] == [
        ("Sync Status", 0),
        ("Health Status", 0),
        ("Revision", 10),
        ("Project", 10),
    ]
