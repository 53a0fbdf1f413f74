"""CronJob controller: Jobs at their times.

Source: kubernetes pkg/controller/cronjob; Kubernetes documentation of CronJob.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from tiphys.apimachinery import cron, meta
from tiphys.apimachinery.apierrors import AlreadyExists
from tiphys.devcluster.workloads.fields import (
    Json,
    Key,
    Obj,
    controller_reference,
    is_true,
    number,
    spec_of,
    status_of,
)
from tiphys.devcluster.workloads.job import is_finished
from tiphys.devcluster.workloads.world import CRONJOBS, JOBS, Controller
from tiphys.runtime.clock import format_time
from tiphys.runtime.workqueue import After, Done, Result

SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class _Started(NamedTuple):
    """A time that has come and its Job, None when that is not known yet."""

    at: datetime
    job: Obj | None


class CronJobs(Controller):
    """Creates Jobs of CronJobs and forgets old ones."""

    name = "cronjob"

    def attach(self) -> None:
        self._crons = self.follow(CRONJOBS)
        self._jobs = self.follow_owned(JOBS, "CronJob")

    async def reconcile(self, key: Key) -> Result:
        found = self._crons.get(key)
        if found is None or meta.is_deleting(found):
            return Done()
        await self._clean_up(found)
        try:
            schedule = cron.parse(str(spec_of(found).get("schedule")), str(spec_of(found).get("timeZone") or ""))
        except cron.CronError as error:
            message = f'unparseable schedule: "{spec_of(found).get("schedule")}" : {error}'
            self.world.tell(CRONJOBS, found, "Warning", "UnparseableSchedule", message)
            return Done()
        now = self.world.clock.now()
        started: _Started | None = None
        if not spec_of(found).get("suspend"):
            started = await self._start_due(found, schedule, now)
        await self._report(found, started)
        following = schedule.after(now)
        if following is None or spec_of(found).get("suspend"):
            return Done()
        return After((following - now).total_seconds() + 0.01)

    async def _start_due(self, found: Obj, schedule: cron.Schedule, now: datetime) -> _Started | None:
        """Start the Job of the latest time that has passed; None when there is nothing to start."""
        spec, status = spec_of(found), status_of(found)
        since = status.get("lastScheduleTime")
        earliest = meta.parse_time(str(since)) if since else meta.creation_timestamp(found) or now
        deadline = spec.get("startingDeadlineSeconds")
        if isinstance(deadline, int):
            earliest = max(earliest, now - timedelta(seconds=deadline))
        due = schedule.last_before(earliest, now)
        if due is None:
            return None
        active = [job for job in self._jobs.owned_by(found) if not is_finished(job)]
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            message = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self.world.tell(CRONJOBS, found, "Normal", "JobAlreadyActive", message)
            return None
        if policy == "Replace":
            for job in active:
                await self._delete(found, job)
        return _Started(due, await self._start(found, due))

    async def _start(self, found: Obj, due: datetime) -> Obj | None:
        template = spec_of(found).get("jobTemplate") or {}
        annotations = {**meta.annotations(template), SCHEDULED: format_time(due)}
        body: Json = {
            "metadata": {
                "name": f"{meta.name(found)}-{int(due.timestamp()) // 60}",
                "namespace": meta.namespace(found),
                "labels": dict(meta.labels(template)),
                "annotations": annotations,
                "ownerReferences": [controller_reference(found, "batch/v1", "CronJob")],
            },
            "spec": template.get("spec") or {},
        }
        try:
            job = await self.world.create(JOBS, meta.namespace(found), body)
        except AlreadyExists:  # made before the time was written down
            return self._jobs.get((meta.namespace(found), str(body["metadata"]["name"])))
        self.world.tell(CRONJOBS, found, "Normal", "SuccessfulCreate", f"Created job {meta.name(job)}")
        return job

    async def _report(self, found: Obj, started: _Started | None) -> None:
        jobs = self._jobs.owned_by(found)
        held = status_of(found)
        known = {row.get("uid") for row in held.get("active") or ()}
        if started is not None and started.job is not None:
            known.add(meta.uid(started.job))
        for job in jobs:
            if not is_finished(job) and meta.uid(job) not in known:
                message = f"Saw a job that the controller did not create or forgot: {meta.name(job)}"
                self.world.tell(CRONJOBS, found, "Warning", "UnexpectedJob", message)
            elif is_finished(job) and meta.uid(job) in known:
                how = "Complete" if is_true(job, "Complete") else "Failed"
                message = f"Saw completed job: {meta.name(job)}, condition: {how}"
                self.world.tell(CRONJOBS, found, "Normal", "SawCompletedJob", message)
        active = [
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": meta.name(job),
                "namespace": meta.namespace(job),
                "uid": meta.uid(job),
                "resourceVersion": meta.resource_version(job),
            }
            for job in sorted(jobs, key=meta.name)
            if not is_finished(job) and meta.uid(job) in known
        ]
        before = {row.get("uid"): row for row in held.get("active") or ()}
        status: Json = {**held, "active": [before.get(row["uid"], row) for row in active]}
        if not active:
            status.pop("active")
        if started is not None:
            status["lastScheduleTime"] = format_time(started.at)
        ends = [str(status_of(job).get("completionTime")) for job in jobs if is_true(job, "Complete")]
        if ends:
            status["lastSuccessfulTime"] = max([*ends, str(held.get("lastSuccessfulTime") or "")])
        await self.world.set_status(CRONJOBS, found, status)

    async def _clean_up(self, found: Obj) -> None:
        jobs = self._jobs.owned_by(found)
        spec = spec_of(found)
        good = [job for job in jobs if is_true(job, "Complete")]
        bad = [job for job in jobs if is_true(job, "Failed")]
        for ended, name, default in ((good, "successfulJobsHistoryLimit", 3), (bad, "failedJobsHistoryLimit", 1)):
            await self._forget(found, ended, number(spec, name, default))

    async def _forget(self, found: Obj, ended: Sequence[Obj], limit: int) -> None:
        ordered = sorted(ended, key=lambda job: (str(status_of(job).get("startTime")), meta.name(job)))
        for job in ordered[: max(0, len(ordered) - limit)]:
            if not meta.is_deleting(job):
                await self._delete(found, job)

    async def _delete(self, found: Obj, job: Obj) -> None:
        await self.world.delete(JOBS, job, propagation="Background")
        self.world.tell(CRONJOBS, found, "Normal", "SuccessfulDelete", f"Deleted job {meta.name(job)}")
