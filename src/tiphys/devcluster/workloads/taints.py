"""Taints of the node: which Pods they keep away, which they drive off, and the one a cordoned node has.

Source: kubernetes pkg/controller/{nodelifecycle,tainteviction}, component-helpers scheduling/corev1/helpers.go; messages
tried on kube-apiserver 1.36.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Json, Key, Obj, spec_of
from tiphys.devcluster.workloads.kubelet import NODE
from tiphys.devcluster.workloads.pods import is_finished
from tiphys.devcluster.workloads.world import NODES, PODS, Controller, World
from tiphys.runtime.workqueue import After, Done, Result

CORDONED: Final = "node.kubernetes.io/unschedulable"
_CORDON: Final[Json] = {"key": CORDONED, "effect": "NoSchedule"}
_NODE_KEY: Final = ("", NODE)


def tolerates(tolerations: Sequence[Obj], taint: Obj) -> list[Obj]:
    """The tolerations that match a taint."""
    return [one for one in tolerations if _matches(one, taint)]


def _matches(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") not in (None, "", taint.get("effect")):
        return False
    key, operator = toleration.get("key") or "", toleration.get("operator") or "Equal"
    if key and key != taint.get("key"):
        return False
    if operator == "Exists":
        return True
    return bool(key) and (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(node: Obj, pod_spec: Obj, effects: Sequence[str]) -> list[Obj]:
    """The node's taints of these effects that a Pod of this spec does not tolerate."""
    tolerations = pod_spec.get("tolerations") or ()
    found = [one for one in spec_of(node).get("taints") or () if one.get("effect") in effects]
    return [one for one in found if not tolerates(tolerations, one)]


def obstacle(node: Obj, pod_spec: Obj) -> str:
    """Why the scheduler does not put a Pod of this spec on the node: `node(s) ...`; empty when nothing is in its way."""
    if spec_of(node).get("unschedulable") and not tolerates(pod_spec.get("tolerations") or (), _CORDON):
        return "node(s) were unschedulable"
    return "node(s) had untolerated taint(s)" if untolerated(node, pod_spec, ("NoSchedule", "NoExecute")) else ""


class Taints(Controller):
    """Gives a cordoned node its taint, and ends Pods that do not bear what is marked NoExecute."""

    name = "taints"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._since: dict[Key, datetime] = {}  # when a Pod first met a taint it bears for a while only

    def attach(self) -> None:
        self._nodes = self.follow(NODES)
        self._pods = self.world.informer(PODS)
        self._nodes.subscribe(self._node_changed)
        self._pods.subscribe(self._pod_changed)

    def _driving(self) -> bool:
        node = self._nodes.get(_NODE_KEY)
        return node is not None and any(one.get("effect") == "NoExecute" for one in spec_of(node).get("taints") or ())

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and spec_of(old).get("taints") == spec_of(new).get("taints"):
            return
        self._since.clear()
        if self._driving():
            for pod in self._pods.all():
                self.queue.add((meta.namespace(pod), meta.name(pod)))

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None:
                self._since.pop((meta.namespace(old), meta.name(old)), None)
        elif self._driving():
            self.queue.add((meta.namespace(new), meta.name(new)))

    async def reconcile(self, key: Key) -> Result:
        node = self._nodes.get(_NODE_KEY)
        if node is None:
            return Done()
        if key == _NODE_KEY:
            await self._mark(node)
            return Done()
        return await self._judge(key, node)

    async def _mark(self, node: Obj) -> None:
        """The taint of a cordoned node, there as long as the node is."""
        held: list[Any] = list(spec_of(node).get("taints") or ())
        others = [one for one in held if one.get("key") != CORDONED]
        wanted = others
        if spec_of(node).get("unschedulable"):
            mine = [one for one in held if one.get("key") == CORDONED]
            wanted = [*others, *(mine or [{**_CORDON, "timeAdded": self.world.now()}])]
        if wanted != held:
            await self.world.patch(NODES, node, {"spec": {"taints": wanted or None}})

    async def _judge(self, key: Key, node: Obj) -> Result:
        pod = self._pods.get(key)
        if pod is None or meta.is_deleting(pod) or is_finished(pod) or spec_of(pod).get("nodeName") != NODE:
            return Done()
        driving = [one for one in spec_of(node).get("taints") or () if one.get("effect") == "NoExecute"]
        tolerations = spec_of(pod).get("tolerations") or ()
        patience: list[int] = []
        for taint in driving:
            bearing = tolerates(tolerations, taint)
            if not bearing:
                patience.append(0)
            patience += [one["tolerationSeconds"] for one in bearing if one.get("tolerationSeconds") is not None]
        if not patience:
            self._since.pop(key, None)
            return Done()
        now = self.world.clock.now()
        due = self._since.setdefault(key, now) + timedelta(seconds=max(0, min(patience)))
        if due > now:
            return After((due - now).total_seconds())
        self._since.pop(key, None)
        self.world.tell(PODS, pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key[0]}/{key[1]}")
        await self.world.delete(PODS, pod)
        return Done()
