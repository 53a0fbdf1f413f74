"""The simulated node: registered, kept alive by its Lease where someone watches that; and a scheduler for it."""

from __future__ import annotations

from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import AlreadyExists, ApiError
from tiphys.devcluster.workloads import taints
from tiphys.devcluster.workloads.fields import Json, Key, Obj, condition, same, spec_of, status_of
from tiphys.devcluster.workloads.kubelet import HOST_IP, KUBELET, NODE
from tiphys.devcluster.workloads.pods import is_finished
from tiphys.devcluster.workloads.world import CLAIMS, LEASES, NODES, PODS, Controller, World
from tiphys.runtime.clock import format_micro_time
from tiphys.runtime.workqueue import After, Done, Result

LEASE_S: Final = 40
RENEW_S: Final = 10.0
SCHEDULER: Final = "kube-scheduler"
LEASE_NAMESPACE: Final = "kube-node-lease"

LABELS: Final = {
    "beta.kubernetes.io/arch": "amd64",
    "beta.kubernetes.io/os": "linux",
    "kubernetes.io/arch": "amd64",
    "kubernetes.io/hostname": NODE,
    "kubernetes.io/os": "linux",
    "embedded": "true",
}
CAPACITY: Final = {
    "cpu": "256",
    "memory": "1Ti",
    "ephemeral-storage": "4Ti",
    "hugepages-1Gi": "0",
    "hugepages-2Mi": "0",
    "pods": "10000",
}
_CONDITIONS: Final = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


class Node(Controller):
    """Keeps the Node object as it should be. With `renew` its Lease is renewed, which a real node controller wants.

    Differs: without `renew` the Lease is written at the start only, because nobody watches it and an idle cluster writes
    nothing.
    """

    name = "node"
    workers = 1

    def __init__(self, world: World, *, renew: bool) -> None:
        super().__init__(world)
        self._renew = renew
        self._late = False

    def attach(self) -> None:
        self._nodes = self.follow(NODES)

    async def start(self) -> None:
        self.queue.add(("", NODE))
        self.queue.add((LEASE_NAMESPACE, NODE))

    async def reconcile(self, key: Key) -> Result:
        if key[1] != NODE:
            return Done()
        if key[0] == LEASE_NAMESPACE:
            return await self._renew_lease()
        found = self._nodes.get(key)
        if found is None:
            metadata = {"name": NODE, "labels": LABELS, "annotations": {"embedded.tiphys.dev/simulated": "true"}}
            try:
                found = await self.world.create(NODES, "", {"metadata": metadata, "spec": {}})
            except AlreadyExists:
                return After(1.0)
        await self.world.set_status(NODES, found, self._status(found), manager=KUBELET)
        return Done()

    def _status(self, found: Obj) -> Json:
        held = status_of(found)
        now = self.world.now()
        rows = []
        for kind, value, reason, message in _CONDITIONS:
            before = condition(held.get("conditions"), kind)
            row: Json = {"type": kind, "status": value, "reason": reason, "message": message}
            if before is not None and before.get("status") == value:
                rows.append(dict(before))
                continue
            rows.append({**row, "lastHeartbeatTime": now, "lastTransitionTime": now})
        return {
            **held,
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "conditions": rows,
            "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": NODE}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "nodeInfo": {
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
                "kernelVersion": "simulated",
                "osImage": "simulated node: no containers run",
                "containerRuntimeVersion": "simulated://1",
                "kubeletVersion": "v1.36.0+embedded",
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        }

    async def _renew_lease(self) -> Result:
        now = format_micro_time(self.world.clock.now())
        body: Json = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": NODE, "namespace": LEASE_NAMESPACE},
            "spec": {"holderIdentity": NODE, "leaseDurationSeconds": LEASE_S, "renewTime": now},
        }
        try:
            await self.world.access.patch(
                LEASES, LEASE_NAMESPACE, NODE, body, kind="apply", field_manager=KUBELET, force=True
            )
        except ApiError as error:
            if not self._late:
                self.world.log.warning("the node's Lease was not renewed", error=error.message)
            self._late = True
            return After(1.0)
        self._late = False
        return After(RENEW_S) if self._renew else Done()


class Scheduler(Controller):
    """Puts Pods on the one node, unless they ask for another kind of node or wait for a volume.

    Differs: resources and affinities are not looked at, because the node is not real and must not be full.
    """

    name = "scheduler"
    workers = 4

    def attach(self) -> None:
        self._pods = self.world.informer(PODS)
        self._claims = self.world.informer(CLAIMS)
        self._pods.subscribe(self._pod_changed)
        self._claims.subscribe(self._claim_changed)
        self.world.informer(NODES).subscribe(self._node_changed)

    def _node_changed(self, old: Obj | None, new: Obj | None) -> None:
        """A node that is no longer cordoned takes what waits."""
        if old is None or new is None or (spec_of(old), meta.labels(old)) != (spec_of(new), meta.labels(new)):
            for pod in self._pods.all():
                self._pod_changed(None, pod)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is not None and _needs_node(new):
            self.queue.add((meta.namespace(new), meta.name(new)))

    def _claim_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            return
        for pod in self._pods.in_namespace(meta.namespace(new)):
            if _needs_node(pod):
                self.queue.add((meta.namespace(pod), meta.name(pod)))

    async def reconcile(self, key: Key) -> Result:
        pod = self._pods.get(key)
        if pod is None or not _needs_node(pod):
            return Done()
        obstacle = self._obstacle(pod)
        if obstacle:
            await self._refuse(pod, obstacle)
            return Done()
        await self._bind(pod)
        message = f"Successfully assigned {meta.namespace(pod)}/{meta.name(pod)} to {NODE}"
        self.world.tell(PODS, pod, "Normal", "Scheduled", message)
        return Done()

    async def _bind(self, pod: Obj) -> None:
        """Node and condition in one write, as the binding subresource makes them."""
        scheduled: Json = {
            "type": "PodScheduled",
            "status": "True",
            "lastProbeTime": None,
            "lastTransitionTime": self.world.now(),
        }
        others = [one for one in status_of(pod).get("conditions") or () if one.get("type") != "PodScheduled"]
        body: Json = {"spec": {"nodeName": NODE}, "status": {"conditions": [*others, scheduled]}}
        await self.world.patch(PODS, pod, body, subresource="binding", manager=SCHEDULER)

    def _obstacle(self, pod: Obj) -> str:
        """Why the Pod cannot be on our node, empty when it can."""
        spec = spec_of(pod)
        node = self.world.informer(NODES).get(("", NODE))
        labels = meta.labels(node) if node is not None else LABELS
        why = taints.obstacle(node, spec) if node is not None else ""
        if any(labels.get(name) != value for name, value in (spec.get("nodeSelector") or {}).items()):
            why = why or "node(s) didn't match Pod's node affinity/selector"
        if why:
            return (
                f"0/1 nodes are available: 1 {why}. no new claims to deallocate,"
                " preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
            )
        for volume in spec.get("volumes") or ():
            name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if not name:
                continue
            claim = self._claims.get((meta.namespace(pod), name))
            if claim is None:
                return f'0/1 nodes are available: persistentvolumeclaim "{name}" not found. not found'
            if status_of(claim).get("phase") != "Bound":
                return "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
        return ""

    async def _refuse(self, pod: Obj, obstacle: str) -> None:
        held = list(status_of(pod).get("conditions") or ())
        before = condition(held, "PodScheduled")
        refused: Json = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": obstacle,
            "lastProbeTime": None,
            "lastTransitionTime": (before or {}).get("lastTransitionTime") or self.world.now(),
            "observedGeneration": meta.generation(pod),
        }
        if before is not None and same(before, refused):
            return
        others = [one for one in held if one.get("type") != "PodScheduled"]
        status = {**status_of(pod), "conditions": [*others, refused]}
        await self.world.set_status(PODS, pod, status, manager=SCHEDULER)
        self.world.tell(PODS, pod, "Warning", "FailedScheduling", obstacle)


def _needs_node(pod: Obj) -> bool:
    spec = spec_of(pod)
    return (
        not spec.get("nodeName")
        and not meta.is_deleting(pod)
        and not is_finished(pod)
        and spec.get("schedulerName", "default-scheduler") == "default-scheduler"
        and not spec.get("schedulingGates")
    )
