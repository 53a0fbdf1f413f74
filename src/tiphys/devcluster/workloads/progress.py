"""Status of a Deployment: counts, and the conditions Available, Progressing and ReplicaFailure. Pure.

Source: kubernetes pkg/controller/deployment (progress.go, sync.go, util); recorded timeline 1.36.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Json, Obj, condition, number, spec_of, status_of
from tiphys.devcluster.workloads.rollout import replicas_of

NO_DEADLINE: Final = 2**31 - 1
COMPLETE: Final = "NewReplicaSetAvailable"
TIMED_OUT: Final = "ProgressDeadlineExceeded"


def counts(found: Obj, new: Obj | None, everything: Sequence[Obj]) -> Json:
    """Status without conditions; zeros are left out as the API leaves them out."""
    wanted = sum(replicas_of(one) for one in everything)
    available = _sum(everything, "availableReplicas")
    status: Json = {
        "observedGeneration": meta.generation(found),
        "replicas": _sum(everything, "replicas"),
        "updatedReplicas": number(status_of(new), "replicas") if new is not None else 0,
        "readyReplicas": _sum(everything, "readyReplicas"),
        "availableReplicas": available,
        "unavailableReplicas": max(0, wanted - available),
    }
    status = {name: value for name, value in status.items() if value}
    status["terminatingReplicas"] = _sum(everything, "terminatingReplicas")
    collisions = status_of(found).get("collisionCount")
    if collisions:
        status["collisionCount"] = collisions
    return status


def _sum(sets: Sequence[Obj], name: str) -> int:
    return sum(number(status_of(one), name) for one in sets)


def is_complete(found: Obj, status: Obj) -> bool:
    """Whether all replicas are of the newest template and available."""
    wanted = number(spec_of(found), "replicas", 1)
    return (
        number(status, "updatedReplicas") == wanted
        and number(status, "replicas") == wanted
        and number(status, "availableReplicas") == wanted
        and number(status, "observedGeneration") >= meta.generation(found)
    )


def has_moved(before: Obj, after: Obj) -> bool:
    """Whether the rollout has come further between two statuses."""

    def old(status: Obj) -> int:
        return number(status, "replicas") - number(status, "updatedReplicas")

    return (
        number(after, "updatedReplicas") > number(before, "updatedReplicas")
        or old(after) < old(before)
        or number(after, "readyReplicas") > number(before, "readyReplicas")
        or number(after, "availableReplicas") > number(before, "availableReplicas")
    )


def deadline_of(found: Obj) -> int | None:
    """`progressDeadlineSeconds`, None when there is no deadline."""
    seconds = spec_of(found).get("progressDeadlineSeconds")
    return seconds if isinstance(seconds, int) and seconds < NO_DEADLINE else None


def deadline_in_s(found: Obj, now: datetime) -> float | None:
    """Seconds until an unfinished rollout has to be looked at again; None when there is nothing to wait for."""
    held = condition(status_of(found).get("conditions"), "Progressing")
    deadline = deadline_of(found)
    if held is None or deadline is None or spec_of(found).get("paused"):
        return None
    if held.get("reason") in (COMPLETE, TIMED_OUT) or is_complete(found, status_of(found)):
        return None
    return max(0.1, deadline - _age_s(held, now) + 0.05)


def _age_s(held: Obj, now: datetime) -> float:
    updated = held.get("lastUpdateTime") or held.get("lastTransitionTime")
    return (now - meta.parse_time(str(updated))).total_seconds() if updated else 0.0


class Conditions:
    """Conditions of a Deployment while its next status is made. A condition that changes moves to the end."""

    def __init__(self, found: Obj, now: str) -> None:
        self.rows: list[Obj] = list(status_of(found).get("conditions") or ())
        self._found = found
        self._now = now
        self._before = condition(self.rows, "Progressing")
        if deadline_of(found) is None:
            self._remove("Progressing")

    def _remove(self, kind: str) -> None:
        self.rows = [one for one in self.rows if one.get("type") != kind]

    def _set(self, kind: str, status: str, reason: str, message: str, *, since: Any = None) -> None:
        held = condition(self.rows, kind)
        if held is not None and held.get("status") == status and held.get("reason") == reason and since is None:
            return
        if since is None and held is not None and held.get("status") == status:
            since = held.get("lastTransitionTime")
        self._remove(kind)
        fresh: Json = {
            "type": kind,
            "status": status,
            "lastUpdateTime": self._now,
            "lastTransitionTime": since or self._now,
            "reason": reason,
            "message": message,
        }
        self.rows.append(fresh)

    def created(self, name: str) -> None:
        """A ReplicaSet was made for a new template. Right after a pause that it is resumed is said instead."""
        held = condition(self.rows, "Progressing")
        if deadline_of(self._found) is not None and (held or {}).get("reason") != "DeploymentResumed":
            self._set("Progressing", "True", "NewReplicaSetCreated", f'Created new replica set "{name}"')

    def found(self, name: str) -> None:
        """The ReplicaSet of the template was there already; said only where nothing was said before."""
        if deadline_of(self._found) is not None and condition(self.rows, "Progressing") is None:
            self._set("Progressing", "True", "FoundNewReplicaSet", f'Found new replica set "{name}"')

    def pause(self) -> None:
        """Say that the Deployment was paused or resumed."""
        held = condition(self.rows, "Progressing")
        reason = (held or {}).get("reason")
        if deadline_of(self._found) is None or reason == TIMED_OUT:
            return
        paused = bool(spec_of(self._found).get("paused"))
        if paused and reason != "DeploymentPaused":
            self._set("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")
        elif not paused and reason == "DeploymentPaused":
            self._set("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")

    def available(self, enough: bool) -> None:
        """Whether enough replicas are available."""
        if enough:
            self._set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        else:
            message = "Deployment does not have minimum availability."
            self._set("Available", "False", "MinimumReplicasUnavailable", message)

    def progress(self, status: Obj, new: Obj | None, now: datetime) -> None:
        """How the rollout goes, from the status before and the counts now."""
        deadline = deadline_of(self._found)
        if deadline is None:
            return
        held = condition(self.rows, "Progressing")
        settled = number(status, "replicas") == number(status, "updatedReplicas")
        if settled and held is not None and held.get("reason") == COMPLETE:
            return
        what = f'ReplicaSet "{meta.name(new)}"' if new is not None else f'Deployment "{meta.name(self._found)}"'
        if is_complete(self._found, status):
            self._set("Progressing", "True", COMPLETE, f"{what} has successfully progressed.")
        elif has_moved(status_of(self._found), status):
            since = (held or {}).get("lastTransitionTime") if (held or {}).get("status") == "True" else None
            self._set("Progressing", "True", "ReplicaSetUpdated", f"{what} is progressing.", since=since or self._now)
        elif held is not None and held.get("reason") not in (COMPLETE, TIMED_OUT) and _age_s(held, now) > deadline:
            self._set("Progressing", "False", TIMED_OUT, f"{what} has timed out progressing.")

    def replica_failure(self, failure: Obj | None) -> None:
        """Carry a ReplicaSet's failure over, or its end."""
        if failure is None:
            self._remove("ReplicaFailure")
        else:
            self._set("ReplicaFailure", str(failure["status"]), str(failure["reason"]), str(failure["message"]))
