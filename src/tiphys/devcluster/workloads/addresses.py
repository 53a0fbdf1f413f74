"""Addresses for Services of type LoadBalancer and for Ingresses, from the block kept for documentation."""

from __future__ import annotations

import ipaddress
from typing import Final

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Json, Key, Obj, spec_of, status_of
from tiphys.devcluster.workloads.world import INGRESSES, SERVICES, Controller, World
from tiphys.runtime.workqueue import Done, Result

NETWORK: Final = ipaddress.ip_network("192.0.2.0/24")  # TEST-NET-1 of RFC 5737: routed nowhere
INGRESS_IP: Final = str(NETWORK[1])
MANAGER: Final = "embedded-load-balancer"


class LoadBalancers(Controller):
    """Gives every Service of type LoadBalancer an address of its own, as long as there are any; then they share."""

    name = "load-balancer"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._next = 2

    def attach(self) -> None:
        self._services = self.follow(SERVICES)

    async def reconcile(self, key: Key) -> Result:
        service = self._services.get(key)
        if service is None or meta.is_deleting(service):
            return Done()
        balancer = status_of(service).get("loadBalancer") or {}
        spec = spec_of(service)
        if spec.get("type") != "LoadBalancer":
            if balancer.get("ingress"):
                await self.world.set_status(
                    SERVICES, service, {**status_of(service), "loadBalancer": {}}, manager=MANAGER
                )
            return Done()
        if balancer.get("ingress") or spec.get("loadBalancerClass"):
            return Done()
        address = str(spec.get("loadBalancerIP") or self._free())
        entry: Json = {"ip": address, "ipMode": "VIP"}
        status = {**status_of(service), "loadBalancer": {"ingress": [entry]}}
        await self.world.set_status(SERVICES, service, status, manager=MANAGER)
        self.world.tell(SERVICES, service, "Normal", "EnsuredLoadBalancer", "Ensured load balancer")
        return Done()

    def _free(self) -> str:
        used = {_address(one) for one in self._services.all()}
        usable = NETWORK.num_addresses - 3
        for _ in range(usable):
            candidate = str(NETWORK[self._next])
            self._next = 2 + (self._next - 1) % usable
            if candidate not in used:
                return candidate
        return candidate


def _address(service: Obj) -> str:
    rows = (status_of(service).get("loadBalancer") or {}).get("ingress") or ()
    return str(rows[0].get("ip") or "") if rows else ""


class Ingresses(Controller):
    """Gives every Ingress the address of the one ingress controller there is not."""

    name = "ingress"

    def attach(self) -> None:
        self._ingresses = self.follow(INGRESSES)

    async def reconcile(self, key: Key) -> Result:
        ingress = self._ingresses.get(key)
        if ingress is None or meta.is_deleting(ingress):
            return Done()
        if not (status_of(ingress).get("loadBalancer") or {}).get("ingress"):
            status = {"loadBalancer": {"ingress": [{"ip": INGRESS_IP}]}}
            await self.world.set_status(INGRESSES, ingress, status, manager=MANAGER)
        return Done()
