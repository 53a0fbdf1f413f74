from __future__ import annotations

from typing import Any

from tests.support.simulated import JOBS, PODS, Simulated, job_spec, simulated

from tiphys.devcluster.workloads import indexes


def conditions(world: Simulated, name: str = "j") -> list[tuple[str, str, str]]:
    found = world.status(JOBS, name).get("conditions") or ()
    return [(one["type"], one["status"], one["reason"]) for one in found]


def history(world: Simulated, name: str = "j") -> list[dict[str, Any]]:
    return [
        obj.get("status") or {}
        for _, where, _, obj in world.access._history
        if where == JOBS and obj["metadata"]["name"] == name
    ]


async def test_a_job_succeeds_through_the_states_of_the_real_controller() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec())
        statuses = history(world)
        (pod,) = world.pods(app="web")
        assert statuses[0] == {}
        assert statuses[1]["active"] == 1
        assert statuses[2]["uncountedTerminatedPods"] == {"succeeded": [pod["metadata"]["uid"]]}
        assert [one["type"] for one in statuses[2]["conditions"]] == ["SuccessCriteriaMet"]
        assert len(statuses) == 4
        final = statuses[3]
        assert (final["succeeded"], final["uncountedTerminatedPods"], final["ready"]) == (1, {}, 0)
        assert final["completionTime"] == "2026-01-01T00:00:00Z"
        assert conditions(world) == [
            ("SuccessCriteriaMet", "True", "CompletionsReached"),
            ("Complete", "True", "CompletionsReached"),
        ]
        assert pod["metadata"].get("finalizers") in (None, [])
        assert world.events("Completed") == ["Job completed"]


async def test_a_failing_job_makes_new_pods_with_growing_pauses_until_the_limit() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(backoffLimit=2, annotations={"exit-code": "3"}))
        assert len(world.pods(app="web")) == 1
        await world.pass_time(9)
        assert len(world.pods(app="web")) == 1
        await world.pass_time(2)
        assert len(world.pods(app="web")) == 2
        await world.pass_time(18)
        assert len(world.pods(app="web")) == 2
        await world.pass_time(4)
        assert len(world.pods(app="web")) == 3
        assert conditions(world) == [
            ("FailureTarget", "True", "BackoffLimitExceeded"),
            ("Failed", "True", "BackoffLimitExceeded"),
        ]
        assert world.status(JOBS, "j")["failed"] == 3
        code = world.pods(app="web")[0]["status"]["containerStatuses"][0]["state"]["terminated"]["exitCode"]
        assert code == 3


async def test_a_job_that_restarts_its_container_in_place_fails_at_the_limit() -> None:
    async with simulated() as world:
        spec = job_spec(backoffLimit=2, restartPolicy="OnFailure", annotations={"exit-code": "1"})
        await world.create(JOBS, "j", spec)
        assert world.pods(app="web")[0]["status"]["containerStatuses"][0]["restartCount"] == 1
        await world.pass_time(12)
        assert ("Failed", "True", "BackoffLimitExceeded") in conditions(world)
        assert world.pods(app="web") == []


async def test_parallel_jobs_complete_all_their_completions() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(parallelism=3, completions=7))
        assert world.status(JOBS, "j")["succeeded"] == 7
        assert len(world.pods(app="web")) == 7
        assert max(one.get("active", 0) for one in history(world)) == 3


async def test_a_running_job_is_active_and_ready_for_as_long_as_it_runs() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(container={"command": ["sh", "-c", "echo hi; sleep 5"]}))
        status = world.status(JOBS, "j")
        assert (status["active"], status["ready"], status.get("conditions")) == (1, 1, None)
        await world.pass_time(6)
        assert ("Complete", "True", "CompletionsReached") in conditions(world)


async def test_a_deadline_ends_a_job_and_its_pods() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(activeDeadlineSeconds=20, annotations={"run-seconds": "60"}))
        await world.pass_time(21)
        assert conditions(world) == [
            ("FailureTarget", "True", "DeadlineExceeded"),
            ("Failed", "True", "DeadlineExceeded"),
        ]
        assert world.pods(app="web") == []


async def test_a_finished_job_is_deleted_after_its_time_to_live() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(ttlSecondsAfterFinished=30))
        await world.pass_time(29)
        assert len(world.access.objects(JOBS)) == 1
        await world.pass_time(2)
        assert world.access.objects(JOBS) == []


async def test_a_suspended_job_starts_when_it_is_resumed() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(suspend=True))
        assert conditions(world) == [("Suspended", "True", "JobSuspended")]
        assert world.pods(app="web") == []
        await world.change(JOBS, "j", {"spec": {"suspend": False}})
        assert [row[:2] for row in conditions(world)] == [
            ("Suspended", "False"),
            ("SuccessCriteriaMet", "True"),
            ("Complete", "True"),
        ]


async def test_suspending_a_job_ends_its_pods_without_counting_them_as_failures() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(annotations={"run-seconds": "60"}))
        await world.change(JOBS, "j", {"spec": {"suspend": True}})
        assert world.pods(app="web") == []
        assert world.status(JOBS, "j").get("failed") is None
        assert "startTime" not in world.status(JOBS, "j")


async def test_a_pod_deleted_before_it_ended_counts_as_failed_and_is_replaced() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(annotations={"run-seconds": "60"}))
        await world.delete(PODS, world.pods(app="web")[0]["metadata"]["name"])
        assert world.status(JOBS, "j")["failed"] == 1
        await world.pass_time(11)
        await world.pass_time(61)
        assert ("Complete", "True", "CompletionsReached") in conditions(world)


async def test_pods_of_a_deleted_job_are_let_go() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(annotations={"run-seconds": "60"}))
        await world.delete(JOBS, "j")
        await world.delete(PODS, world.pods(app="web")[0]["metadata"]["name"])
        assert world.pods(app="web") == []


async def test_indexed_jobs_run_each_index_once() -> None:
    async with simulated() as world:
        await world.create(JOBS, "j", job_spec(parallelism=2, completions=4, completionMode="Indexed"))
        assert world.status(JOBS, "j")["completedIndexes"] == "0-3"
        seen = sorted(p["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] for p in world.pods())
        assert seen == ["0", "1", "2", "3"]


def test_index_sets_are_written_as_kubernetes_writes_them() -> None:
    assert indexes.shown({0, 1, 2, 4, 6, 7}) == "0-2,4,6,7"
    assert indexes.shown([]) == ""
    assert indexes.parse("0-2,4,6,7") == {0, 1, 2, 4, 6, 7}
    assert indexes.parse("") == set()
