"""ReplicaSet controller: as many Pods as wanted, and their counts in the status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import ApiError
from tiphys.apimachinery.selector import parse_label_selector
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads.fields import (
    Json,
    Key,
    Obj,
    condition,
    controller_reference,
    number,
    spec_of,
    status_of,
)
from tiphys.devcluster.workloads.world import PODS, REPLICASETS, Controller
from tiphys.runtime.workqueue import After, Done, Result, Retry

BURST: Final = 500


class ReplicaSets(Controller):
    """Creates and deletes the Pods of ReplicaSets.

    Source: kubernetes pkg/controller/replicaset; recorded timeline 1.36.
    Differs: the first status already counts the Pods just made, because a write of zeros in between tells nobody anything.
    """

    name = "replicaset"
    workers = 4

    def attach(self) -> None:
        self._sets = self.follow(REPLICASETS)
        self._pods = self.follow_owned(PODS, "ReplicaSet")

    async def reconcile(self, key: Key) -> Result:
        found = self._sets.get(key)
        if found is None:
            return Done()
        await self.adopt(PODS, found, REPLICASETS)
        owned = self._pods.owned_by(found)
        active = [pod for pod in owned if podlib.is_active(pod)]
        failure: ApiError | None = None
        reason = ""
        if not meta.is_deleting(found):
            wanted = number(spec_of(found), "replicas", 1)
            try:
                if len(active) < wanted:
                    reason = "FailedCreate"
                    await self._grow(found, min(wanted - len(active), BURST))
                elif len(active) > wanted:
                    reason = "FailedDelete"
                    await self._shrink(found, active, min(len(active) - wanted, BURST))
            except ApiError as error:
                if _is_terminating(error):
                    return Done()  # the namespace ends, and that is no failure
                failure = error
        wake = await self._report(found, self._pods.owned_by(found), failure, reason)
        if failure is not None:
            self.world.log.debug("a ReplicaSet cannot change its Pods", key="/".join(key), error=failure.message)
            return Retry()
        return After(wake) if wake else Done()

    async def _grow(self, found: Obj, count: int) -> None:
        template = spec_of(found).get("template") or {}
        owner = controller_reference(found, "apps/v1", "ReplicaSet")
        for _ in range(count):
            body = podlib.from_template(template, owner, generate_name=f"{meta.name(found)}-")
            try:
                pod = await self.world.create(PODS, meta.namespace(found), body)
            except ApiError as error:
                if not _is_terminating(error):
                    self.world.tell(REPLICASETS, found, "Warning", "FailedCreate", f"Error creating: {error.message}")
                raise
            self.world.tell(REPLICASETS, found, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")

    async def _shrink(self, found: Obj, active: Sequence[Obj], count: int) -> None:
        for pod in sorted(active, key=podlib.deletion_rank)[:count]:
            await self.world.delete(PODS, pod)
            self.world.tell(REPLICASETS, found, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    async def _report(self, found: Obj, owned: Sequence[Obj], failure: ApiError | None, reason: str) -> float:
        """Write the status; seconds until a ready Pod becomes available, 0 when none waits for that."""
        if self._sets.get((meta.namespace(found), meta.name(found))) is None:
            return 0.0
        min_ready = number(spec_of(found), "minReadySeconds")
        now = self.world.clock.now()
        active = [pod for pod in owned if podlib.is_active(pod)]
        waits = [podlib.available_after_s(pod, min_ready, now) for pod in active]
        labels = parse_label_selector({"matchLabels": _template_labels(found)})
        status: Json = {
            "replicas": len(active),
            "fullyLabeledReplicas": sum(labels.matches(meta.labels(pod)) for pod in active),
            "readyReplicas": sum(wait is not None for wait in waits),
            "availableReplicas": sum(wait == 0.0 for wait in waits),
        }
        status = {name: count for name, count in status.items() if count or name == "replicas"}
        status["terminatingReplicas"] = sum(podlib.is_terminating(pod) for pod in owned)
        status["observedGeneration"] = meta.generation(found)
        conditions = self._conditions(found, failure, reason)
        if conditions:
            status["conditions"] = conditions
        await self.world.set_status(REPLICASETS, found, status)
        return min((wait for wait in waits if wait), default=0.0)

    def _conditions(self, found: Obj, failure: ApiError | None, reason: str) -> list[Obj]:
        held = list(status_of(found).get("conditions") or ())
        others = [one for one in held if one.get("type") != "ReplicaFailure"]
        if failure is None:
            return others
        before = condition(held, "ReplicaFailure")
        if before is not None and before.get("reason") == reason:
            return held
        failed: Json = {
            "type": "ReplicaFailure",
            "status": "True",
            "lastTransitionTime": self.world.now(),
            "reason": reason,
            "message": failure.message,
        }
        return [*others, failed]


def _template_labels(found: Obj) -> dict[str, str]:
    return dict(meta.labels(spec_of(found).get("template") or {}))


def _is_terminating(error: ApiError) -> bool:
    return any(cause.get("reason") == "NamespaceTerminating" for cause in error.details.get("causes") or ())
