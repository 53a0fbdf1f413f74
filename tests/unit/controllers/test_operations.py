"""How operations start, run and end, seen in the Application and in the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.controllers.conftest import AUTOMATED, Bench, config_map, hook

from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.names import ResourceKey
from tiphys.controllers.controlplane import APPLICATIONS, CONFIG_MAPS
from tiphys.controllers.operation import comparison_errors
from tiphys.engine.states import (
    Comparison,
    Drift,
    DriftKind,
    Health,
    HealthStatus,
    ResourceVerdict,
    SyncStatus,
    TargetState,
)
from tiphys.kube.client import MERGE, ApiResource
from tiphys.wiring import Engine

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASK: dict[str, Any] = {"operation": {"sync": {}, "initiatedBy": {"username": "jo"}}}


async def test_an_operation_stands_in_the_application_before_anything_is_touched(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    job = await bench.until(lambda: bench.job("pre"), "the hook")
    app = await bench.app()
    state = app["status"]["operationState"]
    assert state["phase"] == "Running"
    assert app["operation"]["sync"]["revision"] == state["operation"]["sync"]["revision"]
    assert app["operation"]["initiatedBy"] == {"automated": True}
    assert state["startedAt"] <= job["metadata"]["creationTimestamp"]
    assert await bench.config_map("a") is None
    assert await bench.rows(engine) == [("Running", True)]

    await bench.finish_job("pre")

    app = await bench.until_status(sync="Synced", phase="Succeeded", operation=False)
    assert [h["initiatedBy"] for h in app["status"]["history"]] == [{"automated": True}]
    assert await bench.rows(engine) == [("Succeeded", False)]


async def test_an_operation_put_there_while_another_runs_is_taken_up_afterwards(bench: Bench) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    await bench.patch(ASK)
    await bench.until_status(phase="Running", message="waiting for completion of hook batch/Job/pre")
    await bench.patch({"operation": {"sync": {"prune": True}, "initiatedBy": {"username": "second"}}})
    first = await bench.finish_job("pre")

    async def second() -> bool:
        job = await bench.job("pre")
        return job is not None and job["metadata"]["uid"] != first["metadata"]["uid"]

    await bench.until(second, "the hook of the second operation")
    await bench.finish_job("pre")
    app = await bench.until_status(phase="Succeeded", operation=False, sync="Synced")
    users = [h["initiatedBy"]["username"] for h in app["status"]["history"]]
    assert users == ["jo", "second"]


async def test_terminating_deletes_the_running_hook_and_is_not_retried(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    await bench.patch({"operation": {"sync": {}, "retry": {"limit": 5, "backoff": {"duration": "0s"}}}})
    await bench.until_status(message="waiting for completion of hook batch/Job/pre")
    await bench.patch({"status": {"operationState": {"phase": "Terminating"}}})
    app = await bench.until_status(phase="Failed", message="Operation terminated", operation=False)
    assert app["status"]["operationState"].get("retryCount", 0) == 0
    await bench.until(lambda: _gone(bench, "pre"), "the hook is gone")
    assert await bench.rows(engine) == [("Failed", False)]


async def test_an_order_to_stop_that_comes_while_progress_is_written_is_not_undone(
    bench: Bench, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    create = engine.client.create

    async def stopped_at_once(resource: ApiResource, body: Mapping[str, Any], *rest: Any, **more: Any) -> Any:
        made = await create(resource, body, *rest, **more)
        if resource.kind == "Job":
            await bench.patch({"status": {"operationState": {"phase": "Terminating"}}})
            await engine.plane.read_application(("argocd", bench.name))
        return made

    monkeypatch.setattr(engine.client, "create", stopped_at_once)
    await bench.patch(ASK)
    await bench.until_status(phase="Failed", message="Operation terminated", operation=False)


async def _gone(bench: Bench, name: str) -> bool:
    job = await bench.job(name)
    return job is None or ("deletionTimestamp" in job["metadata"] and not _held(job))


def _held(job: dict[str, Any]) -> bool:
    return "argocd.argoproj.io/hook-finalizer" in job["metadata"].get("finalizers", [])


@pytest.mark.parametrize(
    ("operation", "message"),
    [
        ({"sync": {"revision": "nowhere"}}, "ComparisonError: unable to resolve 'nowhere' to a commit SHA"),
        ({"info": [{"name": "a", "value": "b"}]}, "Invalid operation request: no operation specified"),
        ({"sync": {"manifests": ["{}"]}}, "Invalid operation request: a sync of local manifests"),
    ],
)
async def test_an_operation_that_cannot_begin_ends_in_error(
    bench: Bench, operation: dict[str, Any], message: str
) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    await bench.patch({"operation": operation})
    app = await bench.until_status(phase="Error", operation=False)
    assert app["status"]["operationState"]["message"].startswith(message)
    assert app["status"]["operationState"]["finishedAt"]
    assert await bench.config_map("a") is None


async def test_an_operation_of_an_application_whose_project_is_missing_ends_in_error(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("a")})
    await bench.create(project="nobody")
    await bench.until_status(condition=["InvalidSpecError"])
    await bench.patch(ASK)
    await bench.until_status(phase="Error", operation=False)
    await bench.patch({"spec": {"project": "default"}})
    await bench.until_status(condition=[], sync="OutOfSync")


async def test_a_rollback_runs_while_the_newest_commit_is_broken(bench: Bench) -> None:
    good = bench.repo.commit({"apps/a.yaml": config_map("a", data="good")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    bench.repo.commit({"apps/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [\n"})
    await bench.until_status(sync="Unknown", condition=["ComparisonError"])
    await bench.patch({"operation": {"sync": {"revision": good}}})
    await bench.until_status(phase="Succeeded", operation=False, sync="Unknown")
    assert await bench.config_map("a") == {"a": "good"}


async def test_deleting_the_application_in_the_middle_of_an_operation_leaves_nothing_behind(
    bench: Bench, engine: Engine
) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    await bench.create(
        syncPolicy=AUTOMATED, metadata={"finalizers": ["resources-finalizer.argocd.argoproj.io/background"]}
    )
    await bench.until_status(message="waiting for completion of hook batch/Job/pre")
    await bench.client.delete(APPLICATIONS, bench.name, "argocd")

    async def gone() -> bool:
        return not await bench.app()

    await bench.until(gone, "the Application is gone")
    assert await _gone(bench, "pre")
    assert await bench.rows(engine) == [("Error", False)]


async def test_a_newer_commit_supersedes_an_automated_operation_that_waits(bench: Bench, engine: Engine) -> None:
    """A ConfigMap that cannot be applied keeps it waiting for its next attempt."""
    bench.repo.commit({"apps/a.yaml": config_map("Not_A_Name")})
    await bench.create(syncPolicy={**AUTOMATED, "retry": {"limit": 3, "backoff": {"duration": "1h"}}})

    async def waits() -> bool:
        state = (await bench.app()).get("status", {}).get("operationState", {})
        return "Retrying attempt #1" in state.get("message", "")

    await bench.until(waits, "the retry is waited for")
    good = bench.repo.commit({"apps/a.yaml": config_map("a", data="good")})
    app = await bench.until_status(phase="Succeeded", sync="Synced", synced=good)
    assert app["status"]["operationState"].get("retryCount", 0) == 0
    assert await bench.rows(engine) == [("Succeeded", False), ("Failed", False)]
    assert (await engine.ledger.list_for_app("argocd", bench.name))[1].message == f"superseded by {good}"


async def _waits_for_retry(bench: Bench) -> bool:
    state = (await bench.app()).get("status", {}).get("operationState", {})
    return "Retrying attempt #1" in state.get("message", "")


@pytest.mark.parametrize("refresh", [False, True])
async def test_a_retry_takes_a_newer_commit_only_with_refresh(bench: Bench, refresh: bool) -> None:
    """The revision of an operation is pinned otherwise."""
    bad = bench.repo.commit({"apps/a.yaml": config_map("Not_A_Name")})
    await bench.create()
    await bench.until_status(sync="OutOfSync", revision=bad)
    retry = {"limit": 1, "refresh": refresh, "backoff": {"duration": "1s"}}
    await bench.patch({"operation": {"sync": {}, "retry": retry}})
    await bench.until(lambda: _waits_for_retry(bench), "the retry is waited for")
    good = bench.repo.commit({"apps/a.yaml": config_map("a", data="good")})
    if refresh:
        app = await bench.until_status(phase="Succeeded", operation=False, synced=good)
        assert app["status"]["operationState"]["operation"]["sync"]["revision"] == good
        assert await bench.config_map("a") == {"a": "good"}
    else:
        app = await bench.until_status(phase="Failed", operation=False, synced=bad)
    assert app["status"]["operationState"]["retryCount"] == 1


async def test_an_operation_that_waits_for_its_retry_can_be_terminated(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("Not_A_Name")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    await bench.patch({"operation": {"sync": {}, "retry": {"limit": 5, "backoff": {"duration": "1h"}}}})
    await bench.until(lambda: _waits_for_retry(bench), "the retry is waited for")
    await bench.patch({"status": {"operationState": {"phase": "Terminating"}}})
    await bench.until_status(phase="Failed", message="Operation terminated", operation=False)


async def test_a_sync_that_takes_too_long_is_terminated_and_not_retried(alone: Bench) -> None:
    """Measured from the start, in whichever attempt it is."""
    alone.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    async with alone.engine():
        params = {"data": {"controller.sync.timeout.seconds": "1"}}
        await alone.client.patch(
            CONFIG_MAPS, "argocd-cmd-params-cm", params, "argocd", content_type=MERGE, field_manager="test"
        )
        await alone.create(syncPolicy={"automated": {}, "retry": {"limit": 5, "backoff": {"duration": "0s"}}})
        app = await alone.until_status(phase="Failed", operation=False)
        state = app["status"]["operationState"]
        assert state["message"] == "Operation terminated, triggered by controller sync timeout"
        assert state.get("retryCount", 0) == 0
        await alone.until(lambda: _gone(alone, "pre"), "the hook is gone")
        assert await alone.config_map("a") is None


async def test_an_operation_that_cannot_see_a_kind_ends_in_error() -> None:
    """It would change what it does not know; what the project forbids is said by the plan."""
    seen, lost, denied = (ResourceKey("", "ConfigMap", "ns", name) for name in "abc")
    state = TargetState("r", "Directory", "", {}, denied={denied: "no"})
    verdicts = {
        seen: ResourceVerdict(Drift(seen, DriftKind.SAME, None), None),
        lost: ResourceVerdict(Drift(lost, DriftKind.UNKNOWN, None, message="cannot be listed"), None),
        denied: ResourceVerdict(Drift(denied, DriftKind.UNKNOWN, None, message="no"), None),
    }
    health, sync = Health(HealthStatus.UNKNOWN), SyncStatus.UNKNOWN
    assert comparison_errors(Comparison(state, verdicts, health, sync)) == "ComparisonError: cannot be listed"
    del verdicts[lost]
    assert comparison_errors(Comparison(state, verdicts, health, sync)) == ""


async def test_the_instance_may_apply_server_side_where_nobody_says_otherwise(alone: Bench) -> None:
    own = config_map("b").replace(
        "  name: b\n", "  name: b\n  annotations:\n    argocd.argoproj.io/sync-options: ServerSideApply=false\n"
    )
    alone.repo.commit({"apps/a.yaml": config_map("a"), "apps/b.yaml": own})
    async with alone.engine():
        params = {"data": {"tiphys.apply.serverSide": "true"}}
        await alone.client.patch(
            CONFIG_MAPS, "argocd-cmd-params-cm", params, "argocd", content_type=MERGE, field_manager="test"
        )
        await alone.create(syncPolicy=AUTOMATED)
        await alone.until_status(phase="Succeeded", sync="Synced", operation=False)
    ways = {}
    for name in ("a", "b"):
        entries = (await alone.client.get(CONFIG_MAPS, name, alone.namespace))["metadata"]["managedFields"]
        ways[name] = [(e["manager"], e["operation"]) for e in entries]
    assert ways == {"a": [("argocd-controller", "Apply")], "b": [("argocd-controller", "Update")]}


async def test_a_hook_made_before_a_crash_is_not_made_again(alone: Bench) -> None:
    alone.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    async with alone.engine():
        await alone.create(syncPolicy=AUTOMATED)
        await alone.until_status(message="waiting for completion of hook batch/Job/pre")
        job = await alone.job("pre")
        assert job is not None
    # What the hook did is forgotten by the Application, as if the engine had died before it wrote.
    await alone.patch({"status": {"operationState": {"syncResult": {"resources": None}}}})
    async with alone.engine() as engine:
        await alone.finish_job("pre")
        await alone.until_status(phase="Succeeded", sync="Synced", operation=False)
        again = await alone.job("pre")
        assert again is not None
        assert again["metadata"]["uid"] == job["metadata"]["uid"]
        assert not _held(again)
        assert await alone.rows(engine) == [("Succeeded", False)]


async def test_an_object_that_is_a_hook_of_two_phases_runs_in_both(bench: Bench) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("both", "PreSync,PostSync"), "apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    first = await bench.finish_job("both")

    async def second() -> bool:
        job = await bench.job("both")
        return job is not None and job["metadata"]["uid"] != first["metadata"]["uid"]

    await bench.until(second, "the hook of the second phase")
    await bench.finish_job("both")
    await bench.until_status(phase="Succeeded", sync="Synced")


async def test_a_hook_object_of_an_earlier_sync_that_stays_holds_no_worker(bench: Bench, engine: Engine) -> None:
    bench.repo.commit({"apps/hook.yaml": hook("pre"), "apps/a.yaml": config_map("a")})
    await bench.create(syncPolicy=AUTOMATED)
    await bench.finish_job("pre")
    await bench.until_status(phase="Succeeded")
    await bench.patch_job("pre", {"metadata": {"finalizers": ["example.com/stays"]}})
    await bench.patch(ASK)
    await bench.until_status(message="waiting for deletion of hook batch/Job/pre")
    await engine.controller.queue.wait_idle()
    await bench.patch_job("pre", {"metadata": {"finalizers": None}})
    await bench.finish_job("pre")
    await bench.until_status(phase="Succeeded", operation=False)


async def test_every_attempt_keeps_the_history_limit(bench: Bench) -> None:
    for n in range(3):
        bench.repo.commit({"apps/a.yaml": config_map("a", data=str(n))})
        if n == 0:
            await bench.create(syncPolicy=AUTOMATED, revisionHistoryLimit=2)
        app = await bench.until_status(sync="Synced", phase="Succeeded", synced=_head(bench))
    assert [h["id"] for h in app["status"]["history"]] == [1, 2]


def _head(bench: Bench) -> str:
    return (bench.repo.bare / "refs/heads/main").read_text().strip()


async def test_a_write_the_server_refuses_fails_the_task_in_its_words(bench: Bench) -> None:
    bench.repo.commit({"apps/a.yaml": config_map("Not_A_Name")})
    await bench.create()
    await bench.until_status(sync="OutOfSync")
    await bench.patch(ASK)
    app = await bench.until_status(phase="Failed", operation=False)
    assert "Not_A_Name" in app["status"]["operationState"]["message"]
    with pytest.raises(ApiError):
        await bench.client.get(CONFIG_MAPS, "Not_A_Name", bench.namespace)
