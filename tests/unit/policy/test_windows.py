"""Sync windows: which are about an Application, which are open, what they forbid, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tiphys.model.application import parse_application
from tiphys.model.appproject import AppProject, SyncWindow, parse_appproject
from tiphys.policy.windows import blocked_message, can_sync, matches, next_edge, state_of

BLOCKED = "cannot sync: blocked by sync window"


def at(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


NOON = at("2026-03-10T12:00")  # a Tuesday


def window(kind: str = "allow", schedule: str = "0 9 * * *", duration: str = "8h", **more: Any) -> dict[str, Any]:
    """A window over all Applications, nine to five."""
    return {"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"], **more}


def project(*windows: dict[str, Any]) -> AppProject:
    """A project with these windows."""
    return parse_appproject({"metadata": {"name": "p"}, "spec": {"syncWindows": list(windows)}})


APP = parse_application(
    {
        "metadata": {"name": "web-prod", "namespace": "argocd"},
        "spec": {"destination": {"server": "https://k", "namespace": "prod"}, "project": "p"},
    }
)

OPEN, SHUT = "0 9 * * *", "0 20 * * *"


@pytest.mark.parametrize(
    ("windows", "automated", "manual"),
    [
        ([], True, True),
        ([window("allow", OPEN)], True, True),
        ([window("allow", SHUT)], False, False),
        ([window("allow", SHUT, manualSync=True)], False, True),
        ([window("allow", SHUT, manualSync=True), window("allow", SHUT)], False, False),
        ([window("allow", SHUT), window("allow", OPEN)], True, True),
        ([window("deny", OPEN)], False, False),
        ([window("deny", OPEN, manualSync=True)], False, True),
        ([window("deny", OPEN, manualSync=True), window("deny", OPEN)], False, False),
        ([window("deny", SHUT)], True, True),
        ([window("deny", OPEN), window("allow", OPEN)], False, False),
        ([window("deny", SHUT), window("allow", SHUT)], False, False),
        ([window("deny", OPEN, manualSync=True), window("allow", SHUT)], False, True),
        ([window("deny", OPEN, applications=["other"])], True, True),
    ],
)
def test_denies_win_and_one_allow_makes_no_the_default(
    windows: list[dict[str, Any]], automated: bool, manual: bool
) -> None:
    of = project(*windows)
    assert bool(can_sync(of, APP, NOON, manual=False)) is automated
    assert bool(can_sync(of, APP, NOON, manual=True)) is manual


@pytest.mark.parametrize(
    ("lists", "both", "expected"),
    [
        ({}, False, False),
        ({}, True, False),
        ({"applications": ["web-*"]}, False, True),
        ({"namespaces": ["pro?"]}, False, True),
        ({"clusters": ["https://k"]}, False, True),
        ({"clusters": ["in-cluster"]}, False, False),
        ({"applications": ["web-*"], "namespaces": ["test"]}, False, True),
        ({"applications": ["web-*"], "namespaces": ["test"]}, True, False),
        ({"applications": ["web-*"], "namespaces": ["prod"]}, True, True),
    ],
)
def test_one_list_is_enough_unless_all_are_asked_for(lists: dict[str, Any], both: bool, expected: bool) -> None:
    found = project({"kind": "deny", "schedule": OPEN, "duration": "1h", "andOperator": both, **lists})
    assert matches(found.spec.sync_windows[0], APP) is expected


def only(spec: dict[str, Any]) -> SyncWindow:
    """The window of a project that has one."""
    (found,) = project(spec).spec.sync_windows
    return found


@pytest.mark.parametrize(
    ("moment", "active"),
    [("08:59:59", False), ("09:00", True), ("09:00:01", True), ("16:59:59", True), ("17:00", False)],
)
def test_the_start_belongs_to_a_window_and_the_end_does_not(moment: str, active: bool) -> None:
    state = state_of([only(window())], APP, at(f"2026-03-10T{moment}"))
    assert bool(state.active) is active


def test_a_window_may_be_longer_than_a_day() -> None:
    weekend = only(window("deny", "0 20 * * 5", "60h"))
    assert state_of([weekend], APP, at("2026-03-15T12:00")).active
    assert state_of([weekend], APP, at("2026-03-15T12:00")).edge == at("2026-03-16T08:00")
    assert not state_of([weekend], APP, at("2026-03-16T08:00")).active


@pytest.mark.parametrize(
    ("moment", "edge"),
    [
        ("2026-03-10T08:00", "2026-03-10T09:00"),
        ("2026-03-10T12:00", "2026-03-10T17:00"),
        ("2026-03-10T17:00", "2026-03-11T09:00"),
    ],
)
def test_the_next_edge_is_told(moment: str, edge: str) -> None:
    assert next_edge(project(window()), APP, at(moment)) == at(edge)


def test_times_are_those_of_the_time_zone() -> None:
    seoul = project(window("deny", "0 9 * * *", "1h", timeZone="Asia/Seoul"))
    assert not can_sync(seoul, APP, at("2026-03-10T00:30"), manual=False)
    assert can_sync(seoul, APP, at("2026-03-10T09:30"), manual=False)
    assert next_edge(seoul, APP, at("2026-03-10T00:30")) == at("2026-03-10T01:00")
    unknown = project(window("deny", "0 9 * * *", "1h", timeZone="Atlantis/Center"))
    assert not can_sync(unknown, APP, at("2026-03-10T09:30"), manual=False)


def test_an_edge_behind_a_change_of_the_clock_is_not_missed() -> None:
    """Berlin moves on at 2026-03-29T01:00Z: nine o'clock is then an hour earlier than it was."""
    berlin = project(window(timeZone="Europe/Berlin"))
    assert next_edge(berlin, APP, at("2026-03-28T22:00")) == at("2026-03-29T07:00")
    back = project(window(timeZone="Europe/Berlin"))
    edge = next_edge(back, APP, at("2026-10-24T22:00"))
    assert edge is not None
    assert edge <= at("2026-10-25T08:00")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"schedule": "@daily"}, "cannot parse schedule '@daily': "),
        ({"schedule": "0 0 9 * * *"}, "cannot parse schedule '0 0 9 * * *': "),
        ({"duration": "1d"}, "cannot parse duration '1d': "),
        ({"kind": "maybe"}, "kind 'maybe' mismatch: can only be allow or deny"),
    ],
)
def test_a_window_that_cannot_be_read_blocks_and_says_so(change: dict[str, str], reason: str) -> None:
    answer = can_sync(project({**window(), **change}), APP, NOON, manual=True)
    assert not answer
    assert answer.reason.startswith(f"cannot sync: invalid sync window: {reason}")
    assert blocked_message(answer).startswith(f"Sync operation blocked by sync window: {reason}")
    assert next_edge(project({**window(), **change}), APP, NOON) is None


def test_the_reason_is_argo_cds() -> None:
    answer = can_sync(project(window("deny")), APP, NOON, manual=True)
    assert answer.reason == BLOCKED
    assert blocked_message(answer) == "Sync operation blocked by sync window"


@pytest.mark.parametrize(
    ("windows", "goes_on"),
    [
        ([window("allow", "0 9 * * *", "2h", syncOverrun=True)], True),
        ([window("allow", "0 9 * * *", "2h")], False),
        ([window("deny", "30 11 * * *", "2h", syncOverrun=True)], True),
        ([window("deny", "30 11 * * *", "2h", syncOverrun=True), window("deny", "30 11 * * *", "2h")], False),
        ([window("deny", "0 10 * * *", "4h", syncOverrun=True)], False),
    ],
)
def test_an_operation_that_was_allowed_to_begin_may_overrun_the_edge(
    windows: list[dict[str, Any]], goes_on: bool
) -> None:
    """It began at 10:50."""
    began = NOON - timedelta(minutes=70)
    assert bool(can_sync(project(*windows), APP, NOON, manual=False, started_at=began)) is goes_on
