"""Addresses, ports and IP families of Services, when they are created and changed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import ApiError, invalid, invalid_value
from tiphys.devcluster.addresses import Addresses, AllocationError

Json = dict[str, Any]

HEADLESS: Final = "None"
_HAS_ADDRESS: Final = ("ClusterIP", "NodePort", "LoadBalancer")


def prepare_service(service: Json, addresses: Addresses) -> None:
    """Give a new Service its address, families and node ports. Raises Invalid when what it asks for is not free.

    Source: dev-cluster 2; pkg/registry/core/service/storage/alloc.go. One address family: IPv4.
    """
    spec = service["spec"]
    if spec["type"] == "ExternalName":
        return
    _set_families(spec)
    _set_address(service, addresses)
    _set_node_ports(service, addresses)


def update_service(old: Mapping[str, Any], new: Json, addresses: Addresses) -> None:
    """Keep what a changed Service has unless the change asks for other; allocate what it needs now.

    Source: pkg/registry/core/service/storage/storage.go patchAllocatedValues, service strategy dropTypeDependentFields.
    """
    spec, before = new["spec"], old["spec"]
    _keep_address(before, spec)
    _keep_ports(before, spec)
    _drop_unneeded(before, spec)
    if spec["type"] == "ExternalName":
        for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"):
            spec.pop(field, None)
        return
    if not spec.get("ipFamilies") and before.get("ipFamilies"):
        spec["ipFamilies"] = list(before["ipFamilies"])
    if not spec.get("ipFamilyPolicy") and before.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = before["ipFamilyPolicy"]
    _set_families(spec)
    held = before.get("clusterIP") or ""
    if not held:
        _set_address(new, addresses)
    elif spec.get("clusterIP", "") != held:
        spec["clusterIPs"] = spec.get("clusterIPs") or [spec.get("clusterIP", "")]  # which validation refuses
    elif not spec.get("clusterIPs"):
        spec["clusterIPs"] = list(before.get("clusterIPs") or [held])
    if spec.get("clusterIP") != before.get("clusterIP") and spec.get("clusterIPs") == before.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]] if spec.get("clusterIP") else None
    _set_node_ports(new, addresses, kept={port.get("nodePort", 0) for port in before.get("ports") or ()})


def _set_families(spec: Json) -> None:
    if not spec.get("ipFamilyPolicy"):
        no_selector = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
        spec["ipFamilyPolicy"] = "RequireDualStack" if no_selector and not spec.get("ipFamilies") else "SingleStack"
    if not spec.get("ipFamilies"):
        spec["ipFamilies"] = ["IPv4", "IPv6"] if spec["ipFamilyPolicy"] == "RequireDualStack" else ["IPv4"]


def _set_address(service: Json, addresses: Addresses) -> None:
    spec = service["spec"]
    wanted = spec.get("clusterIP") or (spec.get("clusterIPs") or [""])[0]
    if wanted != HEADLESS and (not wanted or _is_address(wanted)):  # validation refuses what is no address
        try:
            wanted = addresses.cluster_ip(wanted)
        except AllocationError as error:
            raise _refused(service, "spec.clusterIPs", [wanted], error) from error
    given = spec.get("clusterIPs")
    spec["clusterIP"] = wanted
    if not given or len(given) == 1:
        spec["clusterIPs"] = given or [wanted]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _set_node_ports(service: Json, addresses: Addresses, kept: set[int] | None = None) -> None:
    spec = service["spec"]
    kind = spec["type"]
    needs = kind == "NodePort" or (kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False)
    shared: dict[int, set[str]] = {}  # node port -> protocols; TCP and UDP may share one
    taken = set(kept or ())
    by_port: dict[int, int] = {}
    for index, port in enumerate(spec.get("ports") or ()):
        wanted = port.get("nodePort", 0)
        protocol = port.get("protocol", "TCP")
        if not wanted and not (needs and kind in _HAS_ADDRESS):
            continue
        if not wanted:
            twin = by_port.get(port["port"], 0)
            wanted = twin if twin and protocol not in shared.get(twin, ()) else 0
        if not wanted or (wanted not in taken and wanted not in shared):
            try:
                wanted = addresses.node_port(wanted)
            except AllocationError as error:
                raise _refused(service, f"spec.ports[{index}].nodePort", wanted, error) from error
        shared.setdefault(wanted, set()).add(protocol)
        by_port.setdefault(port["port"], wanted)
        port["nodePort"] = wanted
    local = kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
    if local and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = addresses.node_port()


def _keep_address(before: Mapping[str, Any], spec: Json) -> None:
    if before["type"] in _HAS_ADDRESS and spec["type"] in _HAS_ADDRESS:
        if not spec.get("clusterIP") and before.get("clusterIP"):
            spec["clusterIP"] = before["clusterIP"]
        if not spec.get("clusterIPs") and spec.get("clusterIP") == before.get("clusterIP") and before.get("clusterIPs"):
            spec["clusterIPs"] = list(before["clusterIPs"])


def _keep_ports(before: Mapping[str, Any], spec: Json) -> None:
    ports = spec.get("ports") or []
    exposed = ("NodePort", "LoadBalancer")
    if before["type"] in exposed and spec["type"] in exposed:
        old = {(port.get("protocol"), port["port"]): port.get("nodePort", 0) for port in before.get("ports") or ()}
        used = {port["nodePort"] for port in ports if port.get("nodePort")}
        for port in ports:
            held = old.get((port.get("protocol"), port["port"]), 0)
            if not port.get("nodePort") and held and held not in used:
                port["nodePort"] = held
                used.add(held)
    if _checks_health(before) and _checks_health(spec) and not spec.get("healthCheckNodePort"):
        port_number = before.get("healthCheckNodePort")
        if port_number:
            spec["healthCheckNodePort"] = port_number


def _checks_health(spec: Mapping[str, Any]) -> bool:
    return spec["type"] == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _drop_unneeded(before: Mapping[str, Any], spec: Json) -> None:
    """Fields a change of type makes meaningless go, if the change left them as they were."""
    was, now = before["type"], spec["type"]
    exposed = ("NodePort", "LoadBalancer")
    if was in exposed and now not in exposed:
        if _node_ports(spec) <= _node_ports(
            before
        ):  # ports may come and go, as long as none brings a node port of its own
            for port in spec.get("ports") or ():
                port.pop("nodePort", None)
        if spec.get("externalTrafficPolicy") == before.get("externalTrafficPolicy") and not spec.get("externalIPs"):
            spec.pop("externalTrafficPolicy", None)
    if was == "LoadBalancer" and now != "LoadBalancer":
        for field in ("allocateLoadBalancerNodePorts", "loadBalancerClass"):
            if spec.get(field) == before.get(field):
                spec.pop(field, None)
    lost = _checks_health(before) and not _checks_health(spec)
    if lost and spec.get("healthCheckNodePort") == before.get("healthCheckNodePort"):
        spec.pop("healthCheckNodePort", None)
    if now == "ExternalName" and was != "ExternalName" and spec.get("clusterIP") == before.get("clusterIP"):
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)


def _node_ports(spec: Mapping[str, Any]) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _refused(service: Mapping[str, Any], field: str, value: object, error: AllocationError) -> ApiError:
    cause = invalid_value(field, value, str(error))
    return invalid("Service", "", str(service["metadata"].get("name", "")), [cause])
