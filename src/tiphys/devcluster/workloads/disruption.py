"""Status of PodDisruptionBudgets.

Source: kubernetes pkg/controller/disruption.
Differs: a Pod without a controller counts as one where a share of the wanted Pods is asked for, instead of stopping the
whole budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.selector import SelectorError, parse_label_selector
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads.fields import Json, Key, Obj, condition, number, spec_of, status_of
from tiphys.devcluster.workloads.rollout import scaled
from tiphys.devcluster.workloads.world import BUDGETS, DEPLOYMENTS, PODS, REPLICASETS, STATEFULSETS, Controller
from tiphys.runtime.workqueue import Done, Result

_SCALED: Final = {"Deployment": DEPLOYMENTS, "ReplicaSet": REPLICASETS, "StatefulSet": STATEFULSETS}


class Budgets(Controller):
    """Counts healthy Pods and what may be evicted."""

    name = "disruption"

    def attach(self) -> None:
        self._budgets = self.follow(BUDGETS)
        self._pods = self.world.informer(PODS)
        self._pods.subscribe(self._pod_changed)
        for resource in _SCALED.values():
            self.world.informer(resource).subscribe(self._scale_changed)

    def _scale_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or spec_of(old).get("replicas") == spec_of(new).get("replicas"):
            return  # Pods tell of the rest
        for budget in self._budgets.in_namespace(meta.namespace(new)):
            self.queue.add((meta.namespace(budget), meta.name(budget)))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _face(old) == _face(new):
            return
        pod = new if new is not None else old
        assert pod is not None
        for budget in self._budgets.in_namespace(meta.namespace(pod)):
            self.queue.add((meta.namespace(budget), meta.name(budget)))

    async def reconcile(self, key: Key) -> Result:
        budget = self._budgets.get(key)
        if budget is None or meta.is_deleting(budget):
            return Done()
        spec = spec_of(budget)
        try:
            selector = parse_label_selector(spec.get("selector"))
        except SelectorError:
            return Done()
        matching = [pod for pod in self._pods.in_namespace(key[0]) if selector.matches(meta.labels(pod))]
        if not matching:
            self.world.tell(BUDGETS, budget, "Normal", "NoPods", "No matching pods found")
        expected = len(matching)
        if "maxUnavailable" in spec:
            expected = self._wanted(matching)
            desired = max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
        else:
            least = spec.get("minAvailable", 1)
            if isinstance(least, str):
                expected = self._wanted(matching)
            desired = scaled(least, expected, up=True)
        healthy = sum(podlib.is_ready(pod) for pod in matching if podlib.is_active(pod))
        allowed = max(0, healthy - desired) if expected else 0
        status: Json = {
            "observedGeneration": meta.generation(budget),
            "disruptionsAllowed": allowed,
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "conditions": [self._condition(budget, allowed > 0)],
        }
        await self.world.set_status(BUDGETS, budget, status)
        return Done()

    def _wanted(self, pods: Sequence[Obj]) -> int:
        """How many Pods the controllers of these Pods want."""
        wanted: dict[str, int] = {}
        for pod in pods:
            owner = meta.controller_of(pod)
            uid = str(owner.get("uid")) if owner is not None else meta.uid(pod)
            if uid not in wanted:
                wanted[uid] = self._replicas(meta.namespace(pod), owner)
        return sum(wanted.values())

    def _replicas(self, namespace: str, owner: Obj | None) -> int:
        while owner is not None and (resource := _SCALED.get(str(owner.get("kind")))) is not None:
            found = self.world.informer(resource).get((namespace, str(owner.get("name"))))
            if found is None:
                return 0
            above = meta.controller_of(found)
            if above is None:
                return number(spec_of(found), "replicas", 1)
            owner = above
        return 1

    def _condition(self, budget: Obj, allowed: bool) -> Json:
        value = "True" if allowed else "False"
        before = condition(status_of(budget).get("conditions"), "DisruptionAllowed")
        since = self.world.now()
        if before is not None and before.get("status") == value:
            since = str(before.get("lastTransitionTime"))
        return {
            "type": "DisruptionAllowed",
            "status": value,
            "observedGeneration": meta.generation(budget),
            "lastTransitionTime": since,
            "reason": "SufficientPods" if allowed else "InsufficientPods",
            "message": "",
        }


def _face(pod: Obj) -> tuple[object, ...]:
    return podlib.is_ready(pod), podlib.is_active(pod), meta.labels(pod)
