from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.simulated import JOBS, job_spec, simulated

from tiphys.apimachinery import cron
from tiphys.devcluster.workloads.world import CRONJOBS


def cron_spec(schedule: str = "*/5 * * * *", *, run_s: str = "0", **more: Any) -> dict[str, Any]:
    return {
        "schedule": schedule,
        "concurrencyPolicy": "Allow",
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": job_spec(annotations={"run-seconds": run_s})},
        **more,
    }


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "now", "following"),
    [
        ("*/5 * * * *", "2026-01-01T00:00:00", "2026-01-01T00:05:00"),
        ("0 0 * * *", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("30 8-10 * * mon-fri", "2026-01-02T10:30:00", "2026-01-05T08:30:00"),
        ("0 12 1 jan,JUL ?", "2026-01-01T12:00:00", "2026-07-01T12:00:00"),
        ("0 0 29 2 *", "2026-01-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 0 13 * 5", "2026-01-01T00:00:00", "2026-01-02T00:00:00"),
        ("0 0 * * 7", "2026-01-01T00:00:00", "2026-01-04T00:00:00"),
        ("5/20 1 * * *", "2026-01-01T01:05:00", "2026-01-01T01:25:00"),
        ("@hourly", "2026-01-01T00:59:59", "2026-01-01T01:00:00"),
    ],
)
def test_the_next_time_of_a_schedule(schedule: str, now: str, following: str) -> None:
    assert cron.parse(schedule).after(at(now)) == at(following)


def test_a_schedule_is_in_its_time_zone() -> None:
    found = cron.parse("0 9 * * *", "Europe/Berlin")
    assert found.after(at("2026-01-01T00:00:00")) == at("2026-01-01T08:00:00")
    assert found.after(at("2026-07-01T00:00:00")) == at("2026-07-01T07:00:00")


def test_the_last_time_that_passed() -> None:
    found = cron.parse("0 * * * *")
    assert found.last_before(at("2025-01-01T00:00:00"), at("2026-01-01T00:30:00")) == at("2026-01-01T00:00:00")
    assert found.last_before(at("2026-01-01T00:00:00"), at("2026-01-01T00:30:00")) is None


@pytest.mark.parametrize("schedule", ["", "* * * *", "60 * * * *", "* * * * x", "*/0 * * * *", "5-1 * * * *", "@never"])
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(cron.CronError):
        cron.parse(schedule)


async def test_jobs_are_started_at_their_times_and_old_ones_forgotten() -> None:
    async with simulated() as world:
        await world.create(CRONJOBS, "c", cron_spec(successfulJobsHistoryLimit=2))
        await world.pass_time(299)
        assert world.access.objects(JOBS) == []
        await world.pass_time(2)
        (job,) = world.access.objects(JOBS)
        stamp = int(at("2026-01-01T00:05:00").timestamp()) // 60
        assert job["metadata"]["name"] == f"c-{stamp}"
        assert job["metadata"]["labels"] == {"a": "b"}
        status = world.status(CRONJOBS, "c")
        assert status["lastScheduleTime"] == "2026-01-01T00:05:00Z"
        assert status["lastSuccessfulTime"] == "2026-01-01T00:05:00Z"
        assert "active" not in status
        await world.pass_time(1200)
        assert len(world.access.objects(JOBS)) == 2


async def test_forbid_waits_for_the_running_job_and_replace_ends_it() -> None:
    for policy, names in (("Forbid", 1), ("Replace", 1), ("Allow", 2)):
        async with simulated() as world:
            await world.create(CRONJOBS, "c", cron_spec(concurrencyPolicy=policy, run_s="1000"))
            await world.pass_time(301)
            first = world.access.objects(JOBS)[0]["metadata"]["uid"]
            await world.pass_time(300)
            jobs = world.access.objects(JOBS)
            assert len(jobs) == names
            assert (first in {job["metadata"]["uid"] for job in jobs}) is (policy != "Replace")
            assert len(world.status(CRONJOBS, "c")["active"]) == names


async def test_a_suspended_cron_job_starts_nothing() -> None:
    async with simulated() as world:
        await world.create(CRONJOBS, "c", cron_spec(suspend=True))
        await world.pass_time(3600)
        assert world.access.objects(JOBS) == []
