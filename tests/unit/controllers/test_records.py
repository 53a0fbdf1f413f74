"""Ledger rows that an earlier process left open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tiphys.controllers.records import DELETED, UNRECORDED, settled_row
from tiphys.model.application import Application
from tiphys.model.operation import OperationState, ResourceResult, SyncOperationResult
from tiphys.model.statuses import ApplicationStatus, RevisionHistory
from tiphys.store.ledger import OperationRow

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENDED = STARTED + timedelta(seconds=9)
NOW = STARTED + timedelta(hours=1)
ROW = OperationRow(app_uid="u1", started_at=STARTED, app_namespace="argocd", app_name="a", phase="Running")


def app(state: OperationState | None = None, *, uid: str = "u1", deleting: bool = False) -> Application:
    metadata: dict[str, object] = {"name": "a", "namespace": "argocd", "uid": uid}
    if deleting:
        metadata["deletionTimestamp"] = "2026-03-01T12:00:05Z"
    return Application(metadata=metadata, status=ApplicationStatus(operation_state=state))


def state(phase: str, *, started: datetime = STARTED) -> OperationState:
    result = SyncOperationResult(
        revision="abc", resources=(ResourceResult(status="Synced"), ResourceResult(status="Pruned"))
    )
    return OperationState(phase=phase, message="said", started_at=started, finished_at=ENDED, sync_result=result)


def test_a_row_is_closed_as_the_application_says_the_operation_ended() -> None:
    assert settled_row(ROW, app(state("Failed")), NOW) == replace(
        ROW,
        phase="Failed",
        message="said",
        revision="abc",
        finished_at=ENDED,
        resources={"Synced": 1, "Pruned": 1},
    )


def test_a_row_of_an_operation_that_still_runs_stays_open() -> None:
    assert settled_row(ROW, app(state("Running")), NOW) is None
    assert settled_row(ROW, app(state("Terminating")), NOW) is None


def test_a_row_of_a_deleted_application_says_so() -> None:
    gone = replace(ROW, phase="Error", message=DELETED, finished_at=NOW)
    assert settled_row(ROW, None, NOW) == gone
    assert settled_row(ROW, app(uid="another"), NOW) == gone
    assert settled_row(ROW, app(state("Running"), deleting=True), NOW) == gone


def test_an_operation_that_only_the_history_remembers_succeeded() -> None:
    newer = app(state("Running", started=STARTED + timedelta(seconds=30)))
    entry = RevisionHistory(deploy_started_at=STARTED, deployed_at=ENDED)
    known = replace(newer, status=replace(newer.status, history=(entry,)))
    assert settled_row(ROW, known, NOW) == replace(ROW, phase="Succeeded", finished_at=ENDED)
    assert settled_row(ROW, newer, NOW) == replace(ROW, phase="Error", message=UNRECORDED, finished_at=NOW)
