"""Endpoints and EndpointSlices of Services that have a selector.

Source: kubernetes pkg/controller/endpoint and pkg/controller/endpointslice; recorded timeline 1.36.
Differs: one slice for a Service, IPv4 only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import AlreadyExists
from tiphys.devcluster.workloads import pods as podlib
from tiphys.devcluster.workloads.fields import (
    Json,
    Key,
    Obj,
    controller_reference,
    merge_patch,
    number,
    spec_of,
    status_of,
)
from tiphys.devcluster.workloads.triggertime import ANNOTATION, TriggerTimes
from tiphys.devcluster.workloads.world import ENDPOINTS, PODS, SERVICES, SLICES, Controller, World
from tiphys.runtime.workqueue import Done, Result, Retry

HEADLESS: Final = "service.kubernetes.io/headless"
MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
SERVICE_NAME: Final = "kubernetes.io/service-name"
SLICE_CONTROLLER: Final = "endpointslice-controller.k8s.io"
ENDPOINT_CONTROLLER: Final = "endpoint-controller"
OLD_MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
MAX_ENDPOINTS: Final = 1000


class Endpoints(Controller):
    """Keeps the addresses of a Service's Pods."""

    name = "endpoints"
    workers = 4

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._times = TriggerTimes()

    def attach(self) -> None:
        self._services = self.follow(SERVICES)
        self._pods = self.world.informer(PODS)
        self._endpoints = self.world.informer(ENDPOINTS)
        self._slices = self.follow_owned(SLICES, "Service")
        self._pods.subscribe(self._pod_changed)

    def _pod_changed(self, old: Obj | None, new: Obj | None) -> None:
        if old is not None and new is not None and _face(old) == _face(new):
            return
        pod = new if new is not None else old
        assert pod is not None
        faces = [one for one in (old, new) if one is not None]
        for service in self._services.in_namespace(meta.namespace(pod)):
            selector = spec_of(service).get("selector")
            if selector and any(_selects(selector, one) for one in faces):
                self.queue.add((meta.namespace(service), meta.name(service)))

    async def reconcile(self, key: Key) -> Result:
        service = self._services.get(key)
        if service is None:
            self._times.forget(key)
            held = self._endpoints.get(key)
            if held is not None and meta.labels(held).get(OLD_MANAGED_BY) == ENDPOINT_CONTROLLER:
                await self.world.delete(ENDPOINTS, held)
            return Done()
        spec = spec_of(service)
        if not spec.get("selector") or spec.get("type") == "ExternalName" or meta.is_deleting(service):
            return Done()
        selected = [pod for pod in self._pods.in_namespace(key[0]) if _selects(spec["selector"], pod)]
        time = self._times.changed(key, service, selected)
        pods = [pod for pod in selected if status_of(pod).get("podIP") and not podlib.is_finished(pod)]
        pods.sort(key=lambda pod: (str(status_of(pod).get("podIP")), meta.name(pod)))
        await self._put_slice(service, pods[:MAX_ENDPOINTS], time)
        return Done() if await self._put_endpoints(service, pods[:MAX_ENDPOINTS], time) else Retry()

    async def _put_slice(self, service: Obj, pods: Sequence[Obj], time: str) -> None:
        spec = spec_of(service)
        labels = {**meta.labels(service), SERVICE_NAME: meta.name(service), MANAGED_BY: SLICE_CONTROLLER}
        if spec.get("clusterIP") == "None":
            labels[HEADLESS] = ""
        publish = bool(spec.get("publishNotReadyAddresses"))
        body: Json = {
            "metadata": {"labels": labels},
            "endpoints": [_endpoint(pod, service, publish) for pod in pods] or None,
            "ports": [{"name": port.get("name", ""), **_port(port, pods)} for port in _ports(service, pods)] or None,
        }
        mine = [one for one in self._slices.owned_by(service) if meta.labels(one).get(MANAGED_BY) == SLICE_CONTROLLER]
        if mine:
            await self._bring_to(SLICES, mine[0], body, time)
            return
        owner = controller_reference(service, "v1", "Service")
        body["metadata"] |= {"generateName": f"{meta.name(service)}-", "ownerReferences": [owner], **_noted(time)}
        await self.world.create(SLICES, meta.namespace(service), {**body, "addressType": "IPv4"})

    async def _put_endpoints(self, service: Obj, pods: Sequence[Obj], time: str) -> bool:
        spec = spec_of(service)
        labels = {**meta.labels(service), OLD_MANAGED_BY: ENDPOINT_CONTROLLER}
        if spec.get("clusterIP") == "None":
            labels[HEADLESS] = ""
        publish = bool(spec.get("publishNotReadyAddresses"))
        alive = [pod for pod in pods if not meta.is_deleting(pod)]
        subset: Json = {}
        ready = [_address(pod, service) for pod in alive if publish or podlib.is_ready(pod)]
        waiting = [_address(pod, service) for pod in alive if not publish and not podlib.is_ready(pod)]
        if ready:
            subset["addresses"] = ready
        if waiting:
            subset["notReadyAddresses"] = waiting
        ports = [
            {**({"name": port["name"]} if port.get("name") else {}), **_port(port, alive)}
            for port in _ports(service, alive)
        ]
        if ports:
            subset["ports"] = ports
        body: Json = {"metadata": {"labels": labels}, "subsets": [subset] if ready or waiting else None}
        held = self._endpoints.get((meta.namespace(service), meta.name(service)))
        if held is not None:
            await self._bring_to(ENDPOINTS, held, body, time)
            return True
        body["metadata"] |= {"name": meta.name(service), **_noted(time)}
        try:
            await self.world.create(ENDPOINTS, meta.namespace(service), body)
        except AlreadyExists:
            return False
        return True

    async def _bring_to(self, resource: str, held: Obj, body: Json, time: str) -> None:
        """Change what differs. Labels that are no longer wanted go, too; the annotation is about this change alone."""
        now: Json = {name: held.get(name) for name in body if name != "metadata"}
        now["metadata"] = {"labels": meta.labels(held)}
        if change := merge_patch(now, body):
            if time or ANNOTATION in meta.annotations(held):
                change.setdefault("metadata", {})["annotations"] = {ANNOTATION: time or None}
            await self.world.patch(resource, held, change)


def _noted(time: str) -> Json:
    return {"annotations": {ANNOTATION: time}} if time else {}


def _selects(selector: Mapping[str, str], pod: Obj) -> bool:
    labels = pod["metadata"].get("labels") or {}
    return selector.items() <= labels.items()


def _face(pod: Obj) -> tuple[Any, ...]:
    """What of a Pod its Services see."""
    return (
        status_of(pod).get("podIP"),
        podlib.is_ready(pod),
        podlib.is_finished(pod),
        meta.is_deleting(pod),
        meta.labels(pod),
    )


def _target(pod: Obj) -> Json:
    return {"kind": "Pod", "namespace": meta.namespace(pod), "name": meta.name(pod), "uid": meta.uid(pod)}


def _hostname(pod: Obj, service: Obj) -> Json:
    """The name by which a Pod is found under the name of the Service it says it belongs to."""
    spec = spec_of(pod)
    shown = spec.get("hostname") and spec.get("subdomain") == meta.name(service)
    return {"hostname": spec["hostname"]} if shown else {}


def _endpoint(pod: Obj, service: Obj, publish: bool) -> Json:
    serving = podlib.is_ready(pod)
    terminating = meta.is_deleting(pod)
    return {
        "addresses": [status_of(pod)["podIP"]],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": _target(pod),
        "nodeName": spec_of(pod).get("nodeName"),
        **_hostname(pod, service),
    }


def _address(pod: Obj, service: Obj) -> Json:
    return {
        "ip": status_of(pod)["podIP"],
        "nodeName": spec_of(pod).get("nodeName"),
        "targetRef": _target(pod),
        **_hostname(pod, service),
    }


def _ports(service: Obj, pods: Sequence[Obj]) -> list[Obj]:
    """Ports of the Service that its Pods answer on; none while there is no Pod."""
    rows: list[Obj] = list(spec_of(service).get("ports") or ())
    return [port for port in rows if pods and _number(port, pods[0]) is not None]


def _port(port: Obj, pods: Sequence[Obj]) -> Json:
    made: Json = {"port": _number(port, pods[0]), "protocol": port.get("protocol", "TCP")}
    if port.get("appProtocol"):
        made["appProtocol"] = port["appProtocol"]
    return made


def _number(port: Obj, pod: Obj) -> int | None:
    """The port of the Pod that a port of the Service leads to; a name is looked up in the Pod's containers."""
    target = port.get("targetPort", port.get("port"))
    if isinstance(target, int):
        return target or number(port, "port")
    for container in spec_of(pod).get("containers") or ():
        for row in container.get("ports") or ():
            if row.get("name") == target and row.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return number(row, "containerPort")
    return None
