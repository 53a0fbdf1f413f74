"""HorizontalPodAutoscaler: replicas within bounds, with a metric that always says "as wanted".

Source: kubernetes pkg/controller/podautoscaler (conditions and their messages).
Differs: nothing is measured; the utilisation shown is the target itself.
"""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Json, Key, Obj, condition, number, spec_of, status_of
from tiphys.devcluster.workloads.world import AUTOSCALERS, DEPLOYMENTS, REPLICASETS, STATEFULSETS, Controller
from tiphys.runtime.workqueue import Done, Result

_TARGETS: Final = {"Deployment": DEPLOYMENTS, "StatefulSet": STATEFULSETS, "ReplicaSet": REPLICASETS}
_PLURALS: Final = {DEPLOYMENTS: "deployments.apps", STATEFULSETS: "statefulsets.apps", REPLICASETS: "replicasets.apps"}
_GOT: Final = "the HPA controller was able to get the target's current scale"


class Autoscalers(Controller):
    """Keeps the replicas of a target between `minReplicas` and `maxReplicas`."""

    name = "autoscaler"

    def attach(self) -> None:
        self._scalers = self.follow(AUTOSCALERS)
        for resource in _TARGETS.values():
            self.world.informer(resource).subscribe(self._target_changed)

    def _target_changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new if new is not None else old
        assert obj is not None
        for scaler in self._scalers.in_namespace(meta.namespace(obj)):
            if (spec_of(scaler).get("scaleTargetRef") or {}).get("name") == meta.name(obj):
                self.queue.add((meta.namespace(scaler), meta.name(scaler)))

    async def reconcile(self, key: Key) -> Result:
        scaler = self._scalers.get(key)
        if scaler is None or meta.is_deleting(scaler):
            return Done()
        spec = spec_of(scaler)
        reference = spec.get("scaleTargetRef") or {}
        resource = _TARGETS.get(str(reference.get("kind")), "")
        target = self.world.informer(resource).get((key[0], str(reference.get("name")))) if resource else None
        if target is None:
            missing = f'{_PLURALS.get(resource, str(reference.get("kind")))} "{reference.get("name")}" not found'
            why = f"the HPA controller was unable to get the target's current scale: {missing}"
            await self._report(scaler, {}, [("AbleToScale", "False", "FailedGetScale", why)])
            self.world.tell(AUTOSCALERS, scaler, "Warning", "FailedGetScale", missing)
            return Done()
        current = number(spec_of(target), "replicas", 1)
        low, high = number(spec, "minReplicas", 1), number(spec, "maxReplicas", 1)
        wanted = min(max(current, low), high) if current else 0
        counts = {"currentReplicas": number(status_of(target), "replicas"), "desiredReplicas": wanted}
        if wanted != current and not meta.is_deleting(target):
            await self.world.patch(resource, target, {"spec": {"replicas": wanted}})
            way = "below Spec.MinReplicas" if wanted > current else "above Spec.MaxReplicas"
            message = f"New size: {wanted}; reason: Current number of replicas {way}"
            self.world.tell(AUTOSCALERS, scaler, "Normal", "SuccessfulRescale", message)
            done = f"the HPA controller was able to update the target scale to {wanted}"
            # Outside the bounds metrics are not looked at, so only this one condition changes.
            await self._report(scaler, counts, [("AbleToScale", "True", "SucceededRescale", done)], keep=True)
            return Done()
        if not current:
            disabled = "scaling is disabled since the replica count of the target is zero"
            got = ("AbleToScale", "True", "SucceededGetScale", _GOT)
            rows = [got, ("ScalingActive", "False", "ScalingDisabled", disabled)]
        else:
            valid = "the HPA was able to successfully calculate a replica count from simulated metrics"
            within = "the desired count is within the acceptable range"
            rows = [
                ("AbleToScale", "True", "ReadyForNewScale", "recommended size matches current size"),
                ("ScalingActive", "True", "ValidMetricFound", valid),
                ("ScalingLimited", "False", "DesiredWithinRange", within),
            ]
        await self._report(scaler, counts, rows)
        return Done()

    async def _report(
        self, scaler: Obj, counts: Json, rows: list[tuple[str, str, str, str]], *, keep: bool = False
    ) -> None:
        """Write the status; `keep` leaves conditions of other types as they are."""
        held = status_of(scaler).get("conditions") or ()
        conditions = [dict(one) for one in held if keep and one.get("type") not in {row[0] for row in rows}]
        for kind, value, reason, message in rows:
            before = condition(held, kind)
            since = self.world.now()
            if before is not None and before.get("status") == value:
                since = str(before.get("lastTransitionTime"))
            conditions.append(
                {"type": kind, "status": value, "lastTransitionTime": since, "reason": reason, "message": message}
            )
        status: Json = {"desiredReplicas": 0, **counts, "conditions": conditions}
        if not status.get("currentReplicas"):
            status.pop("currentReplicas", None)
        metrics = [_metric(one) for one in spec_of(scaler).get("metrics") or () if one.get("type") == "Resource"]
        if counts and metrics:
            status["currentMetrics"] = metrics
        await self.world.set_status(AUTOSCALERS, scaler, status)


def _metric(metric: Obj) -> Json:
    resource = metric.get("resource") or {}
    target = resource.get("target") or {}
    current: Json = {}
    if "averageUtilization" in target:
        current["averageUtilization"] = target["averageUtilization"]
    current["averageValue"] = target.get("averageValue", "0")
    return {"type": "Resource", "resource": {"name": resource.get("name"), "current": current}}
