"""Job controller: Pods until enough have succeeded or too many have failed, each counted once.

A Pod holds a finalizer until its end is in the Job's status; ends that are noted but whose finalizer is still there are
listed in `uncountedTerminatedPods`, so that a crash in between neither loses nor doubles a count.

Source: kubernetes pkg/controller/job; recorded timeline 1.36.
Differs: no podFailurePolicy, successPolicy and backoffLimitPerIndex; a Job with one of them is run as if it had none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import ApiError, NotFound
from tiphys.devcluster.workloads import indexes
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads.fields import (
    Json,
    Key,
    Obj,
    condition,
    controller_reference,
    is_true,
    number,
    owner_key,
    spec_of,
    status_of,
)
from tiphys.devcluster.workloads.world import JOBS, PODS, Controller, is_refusal
from tiphys.runtime.workqueue import After, Done, Result, Retry

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
INDEX: Final = "batch.kubernetes.io/job-completion-index"
FIRST_BACKOFF_S: Final = 10.0
MAX_BACKOFF_S: Final = 600.0
_CONTROLLER: Final = "kubernetes.io/job-controller"


@dataclass(slots=True)
class _Tally:
    """Pods of a Job by what has become of them."""

    active: list[Obj]
    terminating: int
    ready: int
    succeeded: int
    failed: int
    uncounted_succeeded: list[Obj]
    uncounted_failed: list[Obj]


class Jobs(Controller):
    """Runs Jobs."""

    name = "job"
    workers = 4

    def attach(self) -> None:
        self._jobs = self.follow(JOBS)
        self._pods = self.follow_owned(PODS, "Job")

    async def reconcile(self, key: Key) -> Result:
        job = self._jobs.get(key)
        await self._free_orphans(key, job)
        if job is None or spec_of(job).get("managedBy", _CONTROLLER) != _CONTROLLER:
            return Done()
        owned = self._pods.owned_by(job)
        if is_finished(job):
            await self._free(pod for pod in owned if podlib.is_finished(pod) or meta.is_deleting(pod))
            return await self._expire(job)
        now = self.world.clock.now()
        tally = _tally(job, owned)
        status, conditions = self._begin(job, tally)
        failure = _failure(job, tally, now) or _target(conditions)
        success = failure is None and _is_complete(job, tally)
        wake: float | None = None
        refused = False
        if meta.is_deleting(job):
            pass
        elif failure is not None:
            await self._delete(job, tally.active)
        elif success or spec_of(job).get("suspend"):
            await self._give_up(job, tally.active)
        else:
            try:
                wake = await self._manage(job, tally, owned, now)
            except ApiError as error:
                if not is_refusal(error):
                    raise
                refused = True
            tally = _tally(job, self._pods.owned_by(job))
        if failure is not None:
            self._add(conditions, "FailureTarget", *failure)
        if success:
            self._add(
                conditions, "SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods"
            )
        job = await self._count(job, tally, status, conditions)
        pods = self._pods.owned_by(job)
        if (failure is not None or success) and not any(podlib.is_active(p) or podlib.is_terminating(p) for p in pods):
            await self._finish(job, conditions, failure)
            return Done()
        if refused:
            return Retry()
        # A deadline that has passed has been acted on: what comes next is told by Pods, and asking again at once would
        # keep them from ever being looked at.
        deadline = _deadline_in_s(job, now)
        waits = [wait for wait in (wake, deadline) if wait is not None and wait > 0]
        return After(min(waits)) if waits else Done()

    # ---- status ----

    def _begin(self, job: Obj, tally: _Tally) -> tuple[Json, list[Obj]]:
        """The status to build on: start time and the condition Suspended as the spec wants them."""
        status: Json = {**status_of(job)}
        conditions = list(status.get("conditions") or ())
        held = condition(conditions, "Suspended")
        if spec_of(job).get("suspend"):
            status.pop("startTime", None)
            if held is None or held.get("status") != "True":
                self._add(conditions, "Suspended", "JobSuspended", "Job suspended")
                self.world.tell(JOBS, job, "Normal", "Suspended", "Job suspended")
        else:
            if held is not None and held.get("status") == "True":
                self._add(conditions, "Suspended", "JobResumed", "Job resumed", value="False")
                self.world.tell(JOBS, job, "Normal", "Resumed", "Job resumed")
            status.setdefault("startTime", self.world.now())
        return status, conditions

    async def _count(self, job: Obj, tally: _Tally, status: Json, conditions: list[Obj]) -> Obj:
        """Note ended Pods as uncounted, free them, and write the final counts."""
        noted: Json = {}
        if tally.uncounted_succeeded:
            noted["succeeded"] = [meta.uid(pod) for pod in tally.uncounted_succeeded]
        if tally.uncounted_failed:
            noted["failed"] = [meta.uid(pod) for pod in tally.uncounted_failed]
        _put_counts(status, tally)
        if conditions:
            status["conditions"] = conditions
        ended = [*tally.uncounted_succeeded, *tally.uncounted_failed]
        if not ended:
            status["uncountedTerminatedPods"] = {}
            _put(status, "succeeded", tally.succeeded)
            _put(status, "failed", tally.failed)
            return await self.world.set_status(JOBS, job, status)
        job = await self.world.set_status(JOBS, job, {**status, "uncountedTerminatedPods": noted})
        await self._free(ended)
        status["uncountedTerminatedPods"] = {}
        _put(status, "succeeded", tally.succeeded)
        _put(status, "failed", tally.failed)
        if spec_of(job).get("completionMode") == "Indexed":
            done = indexes.parse(str(status.get("completedIndexes") or ""))
            done |= {index for pod in tally.uncounted_succeeded if (index := _index(pod)) is not None}
            status["completedIndexes"] = indexes.shown(done)
        if condition(conditions, "SuccessCriteriaMet") or condition(conditions, "FailureTarget"):
            # The end is written with these counts in one.
            return {**job, "status": status}
        return await self.world.set_status(JOBS, job, status)

    async def _finish(self, job: Obj, conditions: list[Obj], failure: tuple[str, str] | None) -> None:
        held = self._jobs.get((meta.namespace(job), meta.name(job)))
        if held is None:
            return
        status = {**status_of(job)}
        status["terminating"] = 0
        if failure is None:
            why = ("CompletionsReached", "Reached expected number of succeeded pods")
            self._add(conditions, "Complete", *why)
            status["completionTime"] = self.world.now()
        else:
            self._add(conditions, "Failed", *failure)
        status["conditions"] = conditions
        await self.world.set_status(JOBS, held, status)
        if failure is None:
            self.world.tell(JOBS, job, "Normal", "Completed", "Job completed")
        else:
            self.world.tell(JOBS, job, "Warning", *failure)

    def _add(self, conditions: list[Obj], kind: str, reason: str, message: str, *, value: str = "True") -> None:
        held = condition(conditions, kind)
        if held is not None and held.get("status") == value:
            return
        conditions[:] = [one for one in conditions if one.get("type") != kind]
        now = self.world.now()
        conditions.append(
            {
                "type": kind,
                "status": value,
                "lastProbeTime": now,
                "lastTransitionTime": now,
                "reason": reason,
                "message": message,
            }
        )

    async def _expire(self, job: Obj) -> Result:
        """Delete a finished Job when its time to live is over."""
        ttl = spec_of(job).get("ttlSecondsAfterFinished")
        if not isinstance(ttl, int) or meta.is_deleting(job):
            return Done()
        conditions = status_of(job).get("conditions")
        last = condition(conditions, "Complete") or condition(conditions, "Failed") or {}
        ended = meta.parse_time(str(last.get("lastTransitionTime")))
        left = ttl - (self.world.clock.now() - ended).total_seconds()
        if left > 0:
            return After(left)
        await self.world.delete(JOBS, job, propagation="Foreground")
        return Done()

    # ---- Pods ----

    async def _manage(self, job: Obj, tally: _Tally, owned: Sequence[Obj], now: datetime) -> float | None:
        """Create or delete Pods; seconds to wait before the next may be created, None when none is missing."""
        wanted = _wanted(job, tally)
        active = len(tally.active) + tally.terminating
        if len(tally.active) > wanted:
            ranked = sorted(tally.active, key=podlib.deletion_rank)
            await self._give_up(job, ranked[: len(tally.active) - wanted])
            return None
        missing = wanted - active
        if missing <= 0:
            return None
        wait = _backoff_s(owned, now)
        if wait > 0:
            return wait
        free = self._free_indexes(job, tally)
        for _ in range(missing):
            index = next(free, None) if spec_of(job).get("completionMode") == "Indexed" else None
            try:
                pod = await self.world.create(PODS, meta.namespace(job), _pod(job, index))
            except ApiError as error:
                self.world.tell(JOBS, job, "Warning", "FailedCreate", f"Error creating: {error.message}")
                raise
            self.world.tell(JOBS, job, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")
        return None

    def _free_indexes(self, job: Obj, tally: _Tally) -> Iterator[int]:
        taken = indexes.parse(str(status_of(job).get("completedIndexes") or ""))
        taken |= {i for pod in (*tally.active, *tally.uncounted_succeeded) if (i := _index(pod)) is not None}
        return (index for index in range(number(spec_of(job), "completions", 1)) if index not in taken)

    async def _delete(self, job: Obj, pods: Sequence[Obj]) -> None:
        for pod in pods:
            await self.world.delete(PODS, pod)
            self.world.tell(JOBS, job, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    async def _give_up(self, job: Obj, pods: Sequence[Obj]) -> None:
        """Delete Pods that are one too many: they are freed first, so that they do not count as failures."""
        await self._free(pods)
        await self._delete(job, pods)

    async def _free(self, pods: Iterable[Obj]) -> None:
        """Take our finalizer off Pods that are counted."""
        for pod in pods:
            held = meta.finalizers(pod)
            if FINALIZER not in held:
                continue
            rest = [name for name in held if name != FINALIZER]
            body: Json = {"metadata": {"finalizers": rest, "resourceVersion": meta.resource_version(pod)}}
            try:
                await self.world.patch(PODS, pod, body)
            except NotFound:
                continue

    async def _free_orphans(self, key: Key, job: Obj | None) -> None:
        """Pods whose Job is gone are nobody's to count."""
        uid = meta.uid(job) if job is not None else ""
        for pod in self._pods.in_namespace(key[0]):
            if FINALIZER not in meta.finalizers(pod):
                continue
            owner = meta.controller_of(pod)
            if owner is None or (owner_key(pod, "Job") == key and owner.get("uid") != uid):
                await self._free([pod])


def is_finished(job: Obj) -> bool:
    """Whether a Job is complete or has failed."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def _tally(job: Obj, owned: Sequence[Obj]) -> _Tally:
    status = status_of(job)
    noted = status.get("uncountedTerminatedPods") or {}
    known = {*(noted.get("succeeded") or ()), *(noted.get("failed") or ())}
    succeeded, failed = [], []
    for pod in owned:
        if FINALIZER not in meta.finalizers(pod) and meta.uid(pod) not in known:
            continue
        if podlib.phase(pod) == "Succeeded":
            succeeded.append(pod)
        elif podlib.phase(pod) == "Failed" or (meta.is_deleting(pod) and not spec_of(pod).get("nodeName")):
            failed.append(pod)
    # Those noted whose Pod is gone by now were freed before the counts were written.
    here = {meta.uid(pod) for pod in owned}
    lost_succeeded = sum(uid not in here for uid in noted.get("succeeded") or ())
    lost_failed = sum(uid not in here for uid in noted.get("failed") or ())
    active = [pod for pod in owned if podlib.is_active(pod)]
    return _Tally(
        active=active,
        terminating=sum(podlib.is_terminating(pod) for pod in owned),
        ready=sum(podlib.is_ready(pod) for pod in active),
        succeeded=number(status, "succeeded") + len(succeeded) + lost_succeeded,
        failed=number(status, "failed") + len(failed) + lost_failed,
        uncounted_succeeded=succeeded,
        uncounted_failed=failed,
    )


def _put_counts(status: Json, tally: _Tally) -> None:
    _put(status, "active", len(tally.active))
    status["ready"] = tally.ready
    status["terminating"] = tally.terminating


def _put(status: Json, name: str, value: int) -> None:
    if value:
        status[name] = value
    else:
        status.pop(name, None)


def _wanted(job: Obj, tally: _Tally) -> int:
    """How many Pods should be active."""
    spec = spec_of(job)
    parallelism = number(spec, "parallelism", 1)
    completions = spec.get("completions")
    if completions is None:
        return len(tally.active) if tally.succeeded else parallelism
    return max(0, min(parallelism, int(completions) - tally.succeeded))


def _is_complete(job: Obj, tally: _Tally) -> bool:
    completions = spec_of(job).get("completions")
    if completions is None:
        return tally.succeeded > 0 and not tally.active and not tally.terminating
    return bool(tally.succeeded >= int(completions))


def _failure(job: Obj, tally: _Tally, now: datetime) -> tuple[str, str] | None:
    """Reason and message of a Job that has failed."""
    spec = spec_of(job)
    limit = number(spec, "backoffLimit", 6)
    restarted = 0
    if ((spec.get("template") or {}).get("spec") or {}).get("restartPolicy") == "OnFailure":
        restarted = sum(podlib.restarts(pod) for pod in tally.active)
    if tally.failed > limit or (restarted > 0 and restarted >= limit):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    left = _deadline_in_s(job, now)
    if left is not None and left <= 0:
        return "DeadlineExceeded", "Job was active longer than specified deadline"
    return None


def _target(conditions: Iterable[Obj]) -> tuple[str, str] | None:
    """The failure that was decided on in an earlier look."""
    held = condition(conditions, "FailureTarget")
    return None if held is None else (str(held.get("reason")), str(held.get("message")))


def _deadline_in_s(job: Obj, now: datetime) -> float | None:
    deadline = spec_of(job).get("activeDeadlineSeconds")
    started = status_of(job).get("startTime")
    if not isinstance(deadline, int) or not started or spec_of(job).get("suspend"):
        return None
    return deadline - (now - meta.parse_time(str(started))).total_seconds()


def _backoff_s(owned: Sequence[Obj], now: datetime) -> float:
    """Seconds until another Pod may follow those that failed last."""
    ends: list[tuple[datetime, bool]] = []
    for pod in owned:
        if podlib.is_finished(pod):
            stamps = [
                row["state"]["terminated"].get("finishedAt")
                for row in status_of(pod).get("containerStatuses") or ()
                if "terminated" in row["state"]
            ]
            ended = max((meta.parse_time(str(stamp)) for stamp in stamps if stamp), default=now)
            ends.append((ended, podlib.phase(pod) == "Failed"))
    ends.sort(key=lambda one: one[0])
    failures = 0
    for _, failed in ends:
        failures = failures + 1 if failed else 0
    if not failures:
        return 0.0
    delay = min(FIRST_BACKOFF_S * 2.0 ** (failures - 1), MAX_BACKOFF_S)
    return max(0.0, delay - (now - ends[-1][0]).total_seconds())


def _index(pod: Obj) -> int | None:
    text = meta.annotations(pod).get(INDEX, "")
    return int(text) if text.isdigit() else None


def _pod(job: Obj, index: int | None) -> Json:
    template = spec_of(job).get("template") or {}
    owner = controller_reference(job, "batch/v1", "Job")
    name = f"{meta.name(job)}-" if index is None else f"{meta.name(job)}-{index}-"
    body = podlib.from_template(template, owner, generate_name=name)
    metadata = body["metadata"]
    metadata["finalizers"] = [*metadata.get("finalizers", ()), FINALIZER]
    if index is not None:
        metadata["annotations"] = {**metadata.get("annotations", {}), INDEX: str(index)}
        metadata["labels"] = {**metadata.get("labels", {}), INDEX: str(index)}
        hostname = body["spec"].get("hostname") or f"{meta.name(job)}-{index}"
        env = {"name": "JOB_COMPLETION_INDEX", "valueFrom": {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}}
        containers = [{**one, "env": [*(one.get("env") or ()), env]} for one in body["spec"].get("containers") or ()]
        body["spec"] = {**body["spec"], "hostname": hostname, "containers": containers}
    return body
