"""DaemonSet controller for the one node there is.

Source: kubernetes pkg/controller/daemon; recorded timeline 1.36.
Differs: maxSurge is taken as maxUnavailable 1.
"""

from __future__ import annotations

from typing import Any, Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import ApiError
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads import revisions
from tiphys.devcluster.workloads.fields import Json, Key, Obj, controller_reference, number, spec_of
from tiphys.devcluster.workloads.kubelet import NODE
from tiphys.devcluster.workloads.taints import untolerated
from tiphys.devcluster.workloads.world import DAEMONSETS, NODES, PODS, REVISIONS, Controller, is_refusal
from tiphys.runtime.workqueue import After, Done, Result, Retry

TOLERATED: Final = (
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
)


class DaemonSets(Controller):
    """Keeps one Pod of each DaemonSet on the node, if the node is one it wants."""

    name = "daemonset"

    def attach(self) -> None:
        self._sets = self.follow(DAEMONSETS)
        self._pods = self.follow_owned(PODS, "DaemonSet")
        self._revisions = self.follow_owned(REVISIONS, "DaemonSet")
        self._nodes = self.world.informer(NODES)
        self._nodes.subscribe(self._node_changed)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is None or new is None or (meta.labels(old), spec_of(old)) != (meta.labels(new), spec_of(new)):
            for found in self._sets.all():
                self.queue.add((meta.namespace(found), meta.name(found)))

    async def reconcile(self, key: Key) -> Result:
        found = self._sets.get(key)
        if found is None:
            return Done()
        await self.adopt(PODS, found, DAEMONSETS)
        update = await revisions.newest(self.world, DAEMONSETS, found, self._revisions.owned_by(found))
        wanted = 1 if self._wants_node(found) else 0
        refused = False
        if not meta.is_deleting(found):
            try:
                await self._step(found, update, wanted)
            except ApiError as error:
                if not is_refusal(error):
                    raise
                self.world.tell(DAEMONSETS, found, "Warning", "FailedCreate", f"Error creating: {error.message}")
                refused = True
        wait = await self._report(found, update, wanted)
        used = {meta.name(update)}
        used |= {meta.labels(pod).get(revisions.HASH_LABEL, "") for pod in self._pods.owned_by(found)}
        await revisions.clean_up(self.world, found, self._revisions.owned_by(found), used)
        if refused:
            return Retry()
        return After(wait) if wait else Done()

    def _wants_node(self, found: Obj) -> bool:
        node = self._nodes.get(("", NODE))
        if node is None:
            return False
        spec = (spec_of(found).get("template") or {}).get("spec") or {}
        selector = spec.get("nodeSelector") or {}
        labels = meta.labels(node)
        effects = ("NoExecute",) if self._pods.owned_by(found) else ("NoSchedule", "NoExecute")
        if untolerated(node, {"tolerations": _tolerations(spec)}, effects):
            return False
        return all(labels.get(name) == value for name, value in selector.items())

    async def _step(self, found: Obj, update: Obj, wanted: int) -> None:
        pods = self._pods.owned_by(found)
        alive = [pod for pod in pods if podlib.is_active(pod)]
        for pod in pods:
            if podlib.is_finished(pod) and not meta.is_deleting(pod):
                await self._delete(found, pod)
        rolling = (spec_of(found).get("updateStrategy") or {}).get("type") != "OnDelete"
        digest = meta.labels(update).get(revisions.HASH_LABEL)
        stale = [pod for pod in alive if meta.labels(pod).get(revisions.HASH_LABEL) != digest]
        if not wanted:
            stale = alive
        elif not rolling:
            stale = []
        for pod in stale or alive[wanted:]:
            await self._delete(found, pod)
        if wanted and not any(not podlib.is_finished(pod) for pod in self._pods.owned_by(found)):
            await self._create(found, update)

    async def _create(self, found: Obj, update: Obj) -> None:
        owner = controller_reference(found, "apps/v1", "DaemonSet")
        body = podlib.from_template(revisions.template_of(update), owner, generate_name=f"{meta.name(found)}-")
        body["metadata"]["labels"] = {
            **body["metadata"].get("labels", {}),
            revisions.HASH_LABEL: meta.labels(update).get(revisions.HASH_LABEL, ""),
            "pod-template-generation": str(meta.generation(found)),
        }
        spec = {**body["spec"]}
        affinity = {**(spec.get("affinity") or {})}
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [NODE]}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        affinity["nodeAffinity"] = {**(affinity.get("nodeAffinity") or {}), **required}
        body["spec"] = {**spec, "affinity": affinity, "tolerations": _tolerations(spec)}
        pod = await self.world.create(PODS, meta.namespace(found), body)
        self.world.tell(DAEMONSETS, found, "Normal", "SuccessfulCreate", f"Created pod: {meta.name(pod)}")

    async def _delete(self, found: Obj, pod: Obj) -> None:
        await self.world.delete(PODS, pod)
        self.world.tell(DAEMONSETS, found, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name(pod)}")

    async def _report(self, found: Obj, update: Obj, wanted: int) -> float:
        now = self.world.clock.now()
        min_ready = number(spec_of(found), "minReadySeconds")
        alive = [pod for pod in self._pods.owned_by(found) if podlib.is_active(pod)]
        placed = alive[:1] if wanted else []
        waits = [podlib.available_after_s(pod, min_ready, now) for pod in placed]
        available = sum(wait == 0.0 for wait in waits)
        digest = meta.labels(update).get(revisions.HASH_LABEL)
        status: Json = {
            "currentNumberScheduled": len(placed),
            "numberMisscheduled": len(alive) - len(placed),
            "desiredNumberScheduled": wanted,
            "numberReady": sum(wait is not None for wait in waits),
            "observedGeneration": meta.generation(found),
        }
        for name, count in (
            ("updatedNumberScheduled", sum(meta.labels(pod).get(revisions.HASH_LABEL) == digest for pod in placed)),
            ("numberAvailable", available),
            ("numberUnavailable", wanted - available),
        ):
            if count:
                status[name] = count
        await self.world.set_status(DAEMONSETS, found, status)
        return min((wait for wait in waits if wait), default=0.0)


def _tolerations(spec: Obj) -> list[Json]:
    """Those of the template and those of every Pod of a DaemonSet, each in the place of an equal one that is there."""
    network = (("network-unavailable", "NoSchedule"),) if spec.get("hostNetwork") else ()
    found: dict[tuple[Any, ...], Json] = {}
    for one in spec.get("tolerations") or ():
        place = tuple(one.get(name) or "" for name in ("key", "operator", "value", "effect"))
        found[place] = dict(one)
    for name, effect in (*TOLERATED, *network):
        key = f"node.kubernetes.io/{name}"
        found[key, "Exists", "", effect] = {"key": key, "operator": "Exists", "effect": effect}
    return list(found.values())
