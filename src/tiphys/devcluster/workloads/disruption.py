"""Status of PodDisruptionBudgets.

Source: kubernetes pkg/controller/disruption.
Differs: the expected Pods are those that are there, not those their controllers want.
"""

from __future__ import annotations

from tiphys.apimachinery import meta
from tiphys.apimachinery.selector import SelectorError, parse_label_selector
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads.fields import Json, Key, Obj, condition, spec_of, status_of
from tiphys.devcluster.workloads.rollout import scaled
from tiphys.devcluster.workloads.world import BUDGETS, PODS, Controller
from tiphys.runtime.workqueue import Done, Result


class Budgets(Controller):
    """Counts healthy Pods and what may be evicted."""

    name = "disruption"

    def attach(self) -> None:
        self._budgets = self.follow(BUDGETS)
        self._pods = self.world.informer(PODS)
        self._pods.subscribe(self._pod_changed)

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
        pods = [pod for pod in matching if podlib.is_active(pod)]
        expected = len(pods)
        if "maxUnavailable" in spec:
            desired = max(0, expected - scaled(spec["maxUnavailable"], expected, up=True))
        else:
            desired = scaled(spec.get("minAvailable", 1), expected, up=True)
        healthy = sum(podlib.is_ready(pod) for pod in pods)
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
