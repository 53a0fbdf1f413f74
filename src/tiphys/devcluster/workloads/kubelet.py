"""The simulated kubelet: gives Pods of our node their status and lets those that are being deleted go."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import NotFound
from tiphys.devcluster.workloads import podstatus, references
from tiphys.devcluster.workloads.fields import Key, Obj, condition, spec_of, status_of
from tiphys.devcluster.workloads.pods import is_finished, phase
from tiphys.devcluster.workloads.world import PODS, Controller, World
from tiphys.runtime.workqueue import After, Done, Result

NODE: Final = "embedded"
HOST_IP: Final = "127.0.0.1"
POD_NETWORK: Final = "10.244.0.0/16"
KUBELET: Final = "kubelet"
_PATHS: Final = {
    "initContainerStatuses": "spec.initContainers",
    "containerStatuses": "spec.containers",
    "ephemeralContainerStatuses": "spec.ephemeralContainers",
}


class Kubelet(Controller):
    """One write brings a Pod from scheduled to running; another one for each thing that happens to it later."""

    name = "kubelet"
    workers = 8

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._addresses = _Addresses()
        self._began: dict[str, datetime] = {}

    def attach(self) -> None:
        self._pods = self.world.informer(PODS)
        self._pods.subscribe(self._changed)

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None:
            if old is not None:
                self._addresses.release(meta.uid(old))
                self._began.pop(meta.uid(old), None)
            return
        if spec_of(new).get("nodeName") == NODE:
            address = status_of(new).get("podIP")
            if address:
                self._addresses.adopt(meta.uid(new), str(address))
            self.queue.add((meta.namespace(new), meta.name(new)))

    async def reconcile(self, key: Key) -> Result:
        pod = self._pods.get(key)
        if pod is None or spec_of(pod).get("nodeName") != NODE:
            return Done()
        if meta.is_deleting(pod):
            await self._let_go(pod)
            return Done()
        if is_finished(pod):
            return Done()
        now = self.world.clock.now()
        uid = meta.uid(pod)
        started = status_of(pod).get("startTime")
        began = self._began.setdefault(uid, meta.parse_time(str(started)) if started else now)
        address = HOST_IP if spec_of(pod).get("hostNetwork") else self._addresses.take(uid)
        missing = await references.missing(self.world.access, pod) if phase(pod) == "Pending" else podstatus.NOTHING
        step = podstatus.status_at(pod, now, podstatus.Place(began, HOST_IP, address), missing)
        updated = await self.world.set_status(PODS, pod, step.status, manager=KUBELET)
        self._tell(pod, updated)
        if updated is not pod:
            for why in missing.volumes:
                self.world.tell(PODS, pod, "Warning", "FailedMount", why)
        return Done() if step.next_s is None else After(step.next_s)

    async def _let_go(self, pod: Obj) -> None:
        """End a Pod that is being deleted. What counts on finding it ended (a Job) holds it by a finalizer until then."""
        if meta.finalizers(pod) and not is_finished(pod):
            status = podstatus.killed(pod, self.world.clock.now())
            await self.world.set_status(PODS, pod, status, manager=KUBELET)
        if meta.metadata(pod).get("deletionGracePeriodSeconds") == 0:
            return  # asked for already: finalizers are all that keeps it
        for row in status_of(pod).get("containerStatuses") or ():
            if "running" in row["state"]:
                self._say(pod, row["name"], "Normal", "Killing", f"Stopping container {row['name']}")
        try:
            await self.world.access.delete(
                PODS, meta.namespace(pod), meta.name(pod), uid=meta.uid(pod), grace_period_s=0
            )
        except NotFound:
            self._pods.gone(pod)

    # ---- Events ----

    def _tell(self, old: Obj, new: Obj) -> None:
        """Tell what a new status means for each container."""
        if old is new:
            return
        for name in _PATHS:
            before = {row["name"]: row for row in status_of(old).get(name) or ()}
            for row in status_of(new).get(name) or ():
                self._tell_container(new, before.get(row["name"]), row, _PATHS[name])
        ready = condition(status_of(new).get("conditions"), "Ready") or {}
        was = condition(status_of(old).get("conditions"), "Ready") or {}
        if was.get("status") == "True" and ready.get("reason") == "ContainersNotReady":
            self.world.tell(PODS, new, "Warning", "Unhealthy", "Readiness probe failed: simulated")

    def _tell_container(self, pod: Obj, before: Obj | None, row: Obj, path: str) -> None:
        name, image = str(row["name"]), str(row["image"])
        state, old = row["state"], (before or {}).get("state") or {}
        waiting = (state.get("waiting") or {}).get("reason")
        if waiting == "ImagePullBackOff" and (old.get("waiting") or {}).get("reason") != waiting:
            error = f'Failed to pull image "{image}": {podstatus.pull_error(image)}'
            self._say(pod, name, "Normal", "Pulling", f'Pulling image "{image}"', path)
            self._say(pod, name, "Warning", "Failed", error, path)
            self._say(pod, name, "Warning", "Failed", "Error: ErrImagePull", path)
            self._say(pod, name, "Normal", "BackOff", f'Back-off pulling image "{image}"', path)
            self._say(pod, name, "Warning", "Failed", "Error: ImagePullBackOff", path)
            return
        if waiting == "CreateContainerConfigError" and (old.get("waiting") or {}).get("reason") != waiting:
            self._say(pod, name, "Warning", "Failed", f"Error: {state['waiting']['message']}", path)
            return
        started = "running" in state and "running" not in old
        ended = "terminated" in state and not old.keys() & {"running", "terminated"}
        crashed = waiting == "CrashLoopBackOff" and (before or {}).get("restartCount") != row["restartCount"]
        if started or ended or crashed:
            present = f'Container image "{image}" already present on machine and can be accessed by the pod'
            self._say(pod, name, "Normal", "Pulled", present, path)
            self._say(pod, name, "Normal", "Created", f"Created container: {name}", path)
            self._say(pod, name, "Normal", "Started", f"Started container {name}", path)
        if crashed:
            who = f"{meta.name(pod)}_{meta.namespace(pod)}({meta.uid(pod)})"
            message = f"Back-off restarting failed container {name} in pod {who}"
            self._say(pod, name, "Warning", "BackOff", message, path)

    def _say(
        self, pod: Obj, container: str, level: str, reason: str, message: str, path: str = "spec.containers"
    ) -> None:
        self.world.tell(PODS, pod, level, reason, message, field=f"{path}{{{container}}}")


class _Addresses:
    """Addresses of Pods by uid; each is given to one Pod at a time and not again soon."""

    def __init__(self) -> None:
        self._by_uid: dict[str, str] = {}
        self._used: set[str] = set()
        self._next = self._walk()

    @staticmethod
    def _walk() -> Iterator[str]:
        network = ipaddress.ip_network(POD_NETWORK)
        while True:
            for index in range(2, network.num_addresses - 1):
                yield str(network[index])

    def take(self, uid: str) -> str:
        held = self._by_uid.get(uid)
        if held is not None:
            return held
        for address in self._next:
            if address not in self._used:
                self.adopt(uid, address)
                return address
        raise AssertionError("unreachable: the walk has no end")

    def adopt(self, uid: str, address: str) -> None:
        if address != HOST_IP:
            self._by_uid[uid] = address
            self._used.add(address)

    def release(self, uid: str) -> None:
        held = self._by_uid.pop(uid, None)
        if held is not None:
            self._used.discard(held)
