"""An Application as text, and what it is said to wait for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.cli.app import show
from tiphys.cli.app.follow import EVERYTHING, Wanted, operation_in_progress
from tiphys.cli.app.listing import row
from tiphys.cli.app.naming import includes, parse_resources, split_name
from tiphys.cli.app.tree import tree_table
from tiphys.cli.failure import CommandFailed


def _app(**status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "my-app", "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": "https://example.com/r.git", "path": "apps/my-app", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "web"},
            "syncPolicy": {"automated": {"prune": True}},
        },
        "status": {
            "sync": {"status": "Synced", "revision": "0123456789abcdef0123456789abcdef01234567"},
            "health": {"status": "Healthy"},
            **status,
        },
    }


def test_the_summary_is_argo_cd_s() -> None:
    """Labels in a column of twenty, the revision in short."""
    assert show.summary(_app(), "https://h/applications/my-app") == (
        "Name:               argocd/my-app\n"
        "Project:            default\n"
        "Server:             https://kubernetes.default.svc\n"
        "Namespace:          web\n"
        "URL:                https://h/applications/my-app\n"
        "Source:\n"
        "- Repo:             https://example.com/r.git\n"
        "  Target:           main\n"
        "  Path:             apps/my-app\n"
        "SyncWindow:         Sync Allowed\n"
        "Sync Policy:        Automated (Prune)\n"
        "Sync Status:        Synced to main (0123456)\n"
        "Health Status:      Healthy\n"
    )


def test_a_row_of_the_list_has_conditions_counted() -> None:
    """By type, `<none>` without any."""
    app = _app(conditions=[{"type": "SyncError"}, {"type": "SyncError"}, {"type": "ComparisonError"}])
    assert row(app, wide=False)[5:] == ("Healthy", "Auto-Prune", "ComparisonError,SyncError(2)")
    assert row(_app(), wide=True)[7:] == ("<none>", "https://example.com/r.git", "apps/my-app", "main")


def test_automation_that_is_switched_off_is_manual() -> None:
    """`enabled: false` counts."""
    app = _app()
    app["spec"]["syncPolicy"]["automated"]["enabled"] = False
    assert row(app, wide=False)[6] == "Manual"
    assert "Sync Policy:        Manual\n" in show.summary(app, "")


def _resource(kind: str, *, status: str = "Synced", health: str = "", message: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"group": "apps", "kind": kind, "namespace": "web", "name": "x", "status": status}
    if health:
        found["health"] = {"status": health, **({"message": message} if message else {})}
    return found


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, ""),
        ({"sync": {}}, "the first comparison"),
        (
            {"conditions": [{"type": "ComparisonError", "message": "no such path\nmore"}]},
            "a correction: ComparisonError: no such path",
        ),
        (
            {"operationState": {"phase": "Running", "message": "waiting for healthy state of batch/Job/migrate"}},
            "the operation: waiting for healthy state of batch/Job/migrate",
        ),
        (
            {
                "health": {"status": "Progressing"},
                "resources": [
                    _resource("Service"),
                    _resource("Deployment", health="Progressing", message="0 of 2 are ready"),
                    _resource("Job", health="Degraded"),
                ],
            },
            "Job web/x: Degraded, and 1 more",
        ),
        (
            {
                "sync": {"status": "OutOfSync"},
                "resources": [_resource("Deployment", status="OutOfSync", health="Missing")],
            },
            "the automated sync: 1 of 1 resources out of sync",
        ),
        (
            {
                "sync": {"status": "OutOfSync"},
                "resources": [{**_resource("Deployment", status="OutOfSync"), "requiresPruning": True}],
            },
            "a sync with --prune: 1 of 1 resources out of sync, no longer in Git",
        ),
        (
            {"sync": {"status": "OutOfSync"}, "operationState": {"phase": "Failed", "message": "one or more failed"}},
            "a correction: the last sync failed: one or more failed",
        ),
    ],
)
def test_it_says_in_one_line_what_it_waits_for(status: dict[str, Any], expected: str) -> None:
    """Errors first, then the operation, health, sync."""
    assert show.waiting_for(_app(**status)) == expected


def test_what_a_project_forbids_is_named_before_what_is_missing_for_it() -> None:
    """Nothing was applied, so that it is missing says nothing."""
    app = _app(
        sync={"status": "Unknown"},
        health={"status": "Missing"},
        resources=[{"kind": "Service", "name": "web", "status": "OutOfSync", "health": {"status": "Missing"}}],
        operationState={"phase": "Failed", "message": "resource Ingress is not permitted in project team"},
    )
    assert (
        show.waiting_for(app) == "a correction: the last sync failed: resource Ingress is not permitted in project team"
    )


def test_deletion_counts_what_is_left() -> None:
    """It comes before everything else."""
    app = _app(resources=[_resource("Deployment")])
    app["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert show.waiting_for(app) == "its deletion: 1 resource to remove"


def test_results_of_the_operation_come_first_then_the_other_resources() -> None:
    """A hook shows its phase and result, a resource what it is now with the operation's message."""
    app = _app(
        resources=[_resource("Deployment", health="Healthy"), _resource("Service")],
        operationState={
            "phase": "Succeeded",
            "syncResult": {
                "resources": [
                    {"group": "batch", "kind": "Job", "namespace": "web", "name": "m", "hookType": "PreSync"}
                    | {"hookPhase": "Succeeded", "status": "Synced", "message": "done"},
                    {"group": "apps", "kind": "Service", "namespace": "web", "name": "x", "message": "created"},
                ]
            },
        },
    )
    assert [state.cells for state in show.resource_states(app)] == [
        ("batch", "Job", "web", "m", "Succeeded", "Synced", "PreSync", "done"),
        ("apps", "Service", "web", "x", "Synced", "", "", "created"),
        ("apps", "Deployment", "web", "x", "Synced", "Healthy", "", ""),
    ]


def test_the_operation_block_is_argo_cd_s() -> None:
    """A running one has no end."""
    state = {"phase": "Running", "startedAt": "2026-01-01T00:00:00Z", "syncResult": {"revision": "abc"}}
    lines = show.operation(state, datetime(2026, 1, 1, 0, 1, 30, tzinfo=UTC)).splitlines()
    assert lines[:3] == ["Operation:          Sync", "Sync Revision:      abc", "Phase:              Running"]
    assert lines[4:] == ["Finished:           <nil>", "Duration:           1m30s"]


@pytest.mark.parametrize(
    ("finished", "reconciled", "busy"),
    [("", "", True), ("05", "", True), ("05", "04", True), ("05", "05", False), ("05", "06", False)],
)
def test_an_operation_counts_until_the_application_was_compared_again(
    finished: str, reconciled: str, busy: bool
) -> None:
    """reconciledAt before finishedAt is still in progress."""
    state = {"phase": "Succeeded", **({"finishedAt": f"2026-01-01T00:00:{finished}Z"} if finished else {})}
    app = _app(operationState=state, reconciledAt=f"2026-01-01T00:00:{reconciled}Z" if reconciled else None)
    assert operation_in_progress(app) is busy
    if finished:
        assert not operation_in_progress(app, compared_since=state["finishedAt"])


@pytest.mark.parametrize(
    ("wanted", "health", "sync", "met"),
    [
        (EVERYTHING, "Healthy", "Synced", True),
        (EVERYTHING, "Healthy", "OutOfSync", False),
        (EVERYTHING, "Suspended", "Synced", False),
        (Wanted(health=True, suspended=True), "Suspended", "OutOfSync", True),
        (Wanted(degraded=True), "Healthy", "Synced", False),
        (Wanted(health=True, degraded=True), "Degraded", "", True),
        (Wanted(operation=True), "Degraded", "OutOfSync", True),
        (Wanted(delete=True), "Healthy", "Synced", False),
    ],
)
def test_what_is_waited_for(wanted: Wanted, health: str, sync: str, met: bool) -> None:
    """Several health words widen what will do."""
    assert wanted.met_by(health, sync, {}) is met


def test_names_carry_their_namespace() -> None:
    """The text wins over the option."""
    assert split_name("a") == ("a", "")
    assert split_name("a", "ns") == ("a", "ns")
    assert split_name("other/a", "ns") == ("a", "other")


@pytest.mark.parametrize(
    ("texts", "matches"),
    [
        (["apps:Deployment:x"], True),
        (["apps:Deployment:web/x"], True),
        (["apps:Deployment:other/x"], False),
        (["*:*:x"], True),
        ([":Service:x"], False),
        (["!apps:Deployment:x"], False),
        (["!*:Service:*"], True),
        (["*:*:*", "!apps:*:*"], False),
    ],
)
def test_resources_are_selected_by_inclusion_and_exclusion(texts: list[str], matches: bool) -> None:
    """`*` stands for anything, a missing namespace for all."""
    resource = {"group": "apps", "kind": "Deployment", "namespace": "web", "name": "x"}
    assert includes(parse_resources(texts), resource) is matches


def test_a_resource_that_cannot_be_read_is_refused_in_argo_cd_s_words() -> None:
    """With what was given."""
    with pytest.raises(CommandFailed, match="Resource should have GROUP:KIND:NAME, but instead got: Service:x"):
        parse_resources(["Service:x"])


def test_the_tree_hangs_children_below_their_parents() -> None:
    """A node whose parent is not shown is a root."""
    nodes: list[dict[str, Any]] = [
        {"kind": "Pod", "name": "b", "uid": "3", "parentRefs": [{"uid": "2"}], "health": {"status": "Healthy"}},
        {"kind": "Pod", "name": "a", "uid": "4", "parentRefs": [{"uid": "2"}]},
        {"kind": "ReplicaSet", "name": "r", "uid": "2", "parentRefs": [{"uid": "1"}]},
        {"kind": "Deployment", "name": "d", "uid": "1"},
    ]
    states = [show.ResourceState("apps", "Deployment", "", "d", "Synced", "Healthy", "", "created")]
    assert [line.rstrip() for line in tree_table(nodes, states, detailed=False).splitlines()] == [
        "KIND/NAME       STATUS  HEALTH   MESSAGE",
        "Deployment/d    Synced  Healthy  created",
        "└─ReplicaSet/r",
        "  ├─Pod/a",
        "  └─Pod/b               Healthy",
    ]


_ALLOW = {"kind": "allow", "schedule": "0 22 * * *", "duration": "1h"}
_DENY = {"kind": "deny", "schedule": "* * * * *", "duration": "1m"}


@pytest.mark.parametrize(
    ("windows", "state"),
    [
        ({"canSync": True}, "Sync Allowed"),
        ({"assignedWindows": [_ALLOW], "activeWindows": [_ALLOW], "canSync": True}, "Sync Allowed"),
        ({"assignedWindows": [_ALLOW], "canSync": False}, "Sync Denied"),
        ({"assignedWindows": [_ALLOW], "canSync": True}, "Manual Allowed"),
        ({"assignedWindows": [_ALLOW, _DENY], "activeWindows": [_ALLOW, _DENY]}, "Sync Denied"),
        ({"assignedWindows": [_DENY], "canSync": True}, "Sync Allowed"),
    ],
)
def test_sync_windows_are_told(windows: dict[str, Any], state: str) -> None:
    """Whether they allow a sync now, and which there are."""
    text = show.summary(_app(), "", windows)
    assert f"SyncWindow:         {state}\n" in text
    listed = ",".join(
        f"{item['kind']}:{item['schedule']}:{item['duration']}" for item in windows.get("assignedWindows", ())
    )
    assert ("Assigned Windows:" in text) == bool(listed)
    assert listed in text


def test_a_held_application_waits_for_a_commit_or_its_release() -> None:
    """Not for the automated sync, which the hold keeps off."""
    app = _app(sync={"status": "OutOfSync"}, resources=[_resource("Deployment", status="OutOfSync")])
    app["metadata"]["annotations"] = {"tiphys.dev/hold": "{}"}
    assert show.waiting_for(app) == (
        "the next commit, or `app resume my-app`: held by a rollback; 1 of 1 resources out of sync"
    )
