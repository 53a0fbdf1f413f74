"""Which Services, Ingresses, NetworkPolicies and endpoints are legal."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import FieldCause, duplicate, forbidden_value, invalid_value, not_supported, required
from tiphys.devcluster.validation_names import (
    Causes,
    check,
    check_labels,
    check_selector,
    dns_label,
    dns_subdomain,
    invalid_struct,
    port_name,
    port_name_or_number,
    port_number,
    wildcard_subdomain,
)
from tiphys.devcluster.validation_pods import NO_ADDRESS, PROTOCOLS, is_address

Json = Mapping[str, Any]

SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
NO_NETWORK: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
TRAFFIC_POLICIES: Final = ("Cluster", "Local")


def check_service(causes: Causes, obj: Json, old: Json | None) -> None:
    """A Service. Source: pkg/apis/core/validation ValidateService, ValidateServiceUpdate."""
    spec = obj["spec"]
    kind = spec.get("type", "")
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        causes.append(required("spec.ports"))
    if kind == "LoadBalancer" and headless:
        detail = "may not be set to 'None' for LoadBalancer services"
        causes.append(invalid_value("spec.clusterIPs[0]", "None", detail))
    if kind == "NodePort" and headless:
        causes.append(invalid_value("spec.clusterIPs[0]", "None", "may not be set to 'None' for NodePort services"))
    if kind == "ExternalName":
        _check_external_name(causes, spec)
    elif kind not in SERVICE_TYPES:
        causes.append(not_supported("spec.type", kind, SERVICE_TYPES) if kind else required("spec.type"))
    _check_service_ports(causes, spec, kind, headless)
    check_labels(causes, spec.get("selector"), "spec.selector")
    _check_affinity(causes, spec)
    _check_addresses(causes, spec)
    _check_traffic(causes, spec, kind)
    if old is not None:
        _check_service_update(causes, spec, old["spec"])


def _check_external_name(causes: Causes, spec: Json) -> None:
    if spec.get("clusterIP") or spec.get("clusterIPs"):
        causes.append(forbidden_value("spec.clusterIPs", "may not be set for ExternalName services"))
    name = spec.get("externalName", "").removesuffix(".")
    if name:
        check(causes, "spec.externalName", name, dns_subdomain(name))
    else:
        causes.append(required("spec.externalName"))


def _check_service_ports(causes: Causes, spec: Json, kind: str, headless: bool) -> None:
    ports = spec.get("ports") or []
    names: set[str] = set()
    seen: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            causes.append(required(f"{path}.name"))
        elif name:
            check(causes, f"{path}.name", name, dns_label(name))
            if name in names:
                causes.append(duplicate(f"{path}.name", name))
            names.add(name)
        check(causes, f"{path}.port", port["port"], port_number(port["port"]))
        if port.get("protocol", "") not in PROTOCOLS:
            causes.append(not_supported(f"{path}.protocol", port.get("protocol", ""), PROTOCOLS))
        target = port.get("targetPort", 0)
        check(causes, f"{path}.targetPort", target, port_name_or_number(target))
        if port.get("nodePort") and kind in ("ClusterIP", "ExternalName"):
            detail = f"may not be used when `type` is '{kind}'"
            causes.append(forbidden_value(f"{path}.nodePort", detail))
        key = (port.get("protocol", ""), port["port"])
        if key in seen:
            causes.append(FieldCause("FieldValueDuplicate", f"Duplicate value: {_shown_port(key)}", path))
        seen.add(key)


def _shown_port(key: tuple[str, int]) -> str:
    """A repeated port as Go prints the key it compares by."""
    protocol, port = key
    return f'{{"Name":"","Protocol":"{protocol}","AppProtocol":null,"Port":{port},"TargetPort":0,"NodePort":0}}'


def _check_affinity(causes: Causes, spec: Json) -> None:
    affinity = spec.get("sessionAffinity", "")
    if affinity not in ("ClientIP", "None"):
        causes.append(not_supported("spec.sessionAffinity", affinity, ("ClientIP", "None")))
    elif affinity == "ClientIP":
        seconds = (spec.get("sessionAffinityConfig") or {}).get("clientIP", {}).get("timeoutSeconds")
        if seconds is not None and not 0 < seconds <= 86400:
            path = "spec.sessionAffinityConfig.clientIP.timeoutSeconds"
            causes.append(invalid_value(path, seconds, "must be greater than 0 and less than 86400"))


def _check_addresses(causes: Causes, spec: Json) -> None:
    addresses = spec.get("clusterIPs") or []
    for index, address in enumerate(addresses):
        if address != "None" and not is_address(address):
            causes.append(invalid_value(f"spec.clusterIPs[{index}]", address, NO_ADDRESS))
    if addresses and spec.get("clusterIP") and addresses[0] != spec["clusterIP"]:
        causes.append(invalid_value("spec.clusterIPs", list(addresses), "first value must match `clusterIP`"))
    for index, address in enumerate(spec.get("externalIPs") or ()):
        if not is_address(address):
            causes.append(invalid_value(f"spec.externalIPs[{index}]", address, NO_ADDRESS))


def _check_traffic(causes: Causes, spec: Json, kind: str) -> None:
    external = spec.get("externalTrafficPolicy")
    reachable = kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if external and not reachable:
        detail = "may only be set for externally-accessible services"
        causes.append(invalid_value("spec.externalTrafficPolicy", external, detail))
    elif external and external not in TRAFFIC_POLICIES:
        causes.append(not_supported("spec.externalTrafficPolicy", external, TRAFFIC_POLICIES))
    internal = spec.get("internalTrafficPolicy")
    if internal is not None and internal not in TRAFFIC_POLICIES:
        causes.append(not_supported("spec.internalTrafficPolicy", internal, TRAFFIC_POLICIES))
    only = "may only be used when `type` is 'LoadBalancer'"
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and kind != "LoadBalancer":
        causes.append(forbidden_value("spec.LoadBalancerSourceRanges", only))
    for index, network in enumerate(ranges):
        if not _is_network(network.strip()):
            causes.append(invalid_value(f"spec.LoadBalancerSourceRanges[{index}]", network, NO_NETWORK))
    if kind != "LoadBalancer":
        for field in ("loadBalancerClass", "allocateLoadBalancerNodePorts"):
            if spec.get(field) is not None:
                causes.append(forbidden_value(f"spec.{field}", only))


def _check_service_update(causes: Causes, spec: Json, before: Json) -> None:
    held, wanted = before.get("clusterIP", ""), spec.get("clusterIP", "")
    addressed = ("ClusterIP", "NodePort", "LoadBalancer")
    if before.get("type") in addressed and spec.get("type") in addressed and held and wanted != held:
        causes.append(invalid_value("spec.clusterIPs[0]", [wanted], "may not change once set"))


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return "/" in text


def check_ingress(causes: Causes, obj: Json, old: Json | None) -> None:
    """An Ingress. Source: pkg/apis/networking/validation."""
    spec = obj["spec"]
    default = spec.get("defaultBackend")
    if not spec.get("rules") and default is None:
        detail = "either `defaultBackend` or `rules` must be specified"
        causes.append(invalid_value("spec", spec.get("rules") or None, detail))
    if default is not None:
        _check_backend(causes, default, "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        _check_rule(causes, rule, f"spec.rules[{index}]")
    for index, tls in enumerate(spec.get("tls") or ()):
        for number, host in enumerate(tls.get("hosts") or ()):
            rule = wildcard_subdomain if "*" in host else dns_subdomain
            check(causes, f"spec.tls[{index}].hosts[{number}]", host, rule(host))
    name = spec.get("ingressClassName")
    if name is not None:
        check(causes, "spec.ingressClassName", name, dns_subdomain(name))


def _check_rule(causes: Causes, rule: Json, field: str) -> None:
    host = rule.get("host", "")
    if host:
        if is_address(host):
            causes.append(invalid_value(f"{field}.host", host, "must be a DNS name, not an IP address"))
        else:
            check(causes, f"{field}.host", host, (wildcard_subdomain if "*" in host else dns_subdomain)(host))
    http = rule.get("http")
    if http is None:
        return
    if not http.get("paths"):
        causes.append(required(f"{field}.http.paths"))
    for index, path in enumerate(http.get("paths") or ()):
        _check_path(causes, path, f"{field}.http.paths[{index}]")


def _check_path(causes: Causes, path: Json, field: str) -> None:
    kind, text = path.get("pathType"), path.get("path", "")
    kinds = ("Exact", "ImplementationSpecific", "Prefix")
    if kind is None:
        causes.append(required(f"{field}.pathType", "pathType must be specified"))
        return
    if kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            causes.append(invalid_value(f"{field}.path", text, "must be an absolute path"))
        if text:
            for part in ("//", "/./", "/../", "%2f", "%2F"):
                if part in text:
                    causes.append(invalid_value(f"{field}.path", text, f"must not contain '{part}'"))
            for part in ("/..", "/."):
                if text.endswith(part):
                    causes.append(invalid_value(f"{field}.path", text, f"cannot end with '{part}'"))
    elif kind == "ImplementationSpecific":
        if text and not text.startswith("/"):
            causes.append(invalid_value(f"{field}.path", text, "must be an absolute path"))
    else:
        causes.append(not_supported(f"{field}.pathType", kind, kinds))
    _check_backend(causes, path["backend"], f"{field}.backend")


def _check_backend(causes: Causes, backend: Json, field: str) -> None:
    service, resource = backend.get("service"), backend.get("resource")
    if service is None and resource is None:
        causes.append(invalid_value(field, "", "resource or service backend is required"))
        return
    if service is not None and resource is not None:
        causes.append(invalid_value(field, "", "cannot set both resource and service backends"))
        return
    if service is None:
        return
    name, port = service.get("name", ""), service.get("port") or {}
    if not name:
        causes.append(required(f"{field}.service.name"))
    else:
        check(causes, f"{field}.service.name", name, dns_label(name))
    if port.get("name") and port.get("number"):
        causes.append(invalid_value(field, "", "cannot set both port name & port number"))
    elif port.get("name"):
        check(causes, f"{field}.service.port.name", port["name"], port_name(port["name"]))
    elif port.get("number"):
        check(causes, f"{field}.service.port.number", port["number"], port_number(port["number"]))
    else:
        causes.append(required(field, "port name or number is required"))


def check_network_policy(causes: Causes, obj: Json, old: Json | None) -> None:
    """A NetworkPolicy."""
    spec = obj["spec"]
    check_selector(causes, spec.get("podSelector"), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(direction) or ()):
            path = f"spec.{direction}[{index}]"
            for number, port in enumerate(rule.get("ports") or ()):
                _check_policy_port(causes, port, f"{path}.ports[{number}]")
            for number, peer in enumerate(rule.get(peers) or ()):
                _check_peer(causes, peer, f"{path}.{peers}[{number}]")
    kinds = spec.get("policyTypes") or []
    if len(kinds) > 2:
        causes.append(invalid_struct("spec.policyTypes", kinds, "may not specify more than two policyTypes"))
        return
    for index, kind in enumerate(kinds):
        if kind not in ("Ingress", "Egress"):
            causes.append(not_supported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress")))


def _check_policy_port(causes: Causes, port: Json, field: str) -> None:
    protocols = ("TCP", "UDP", "SCTP")
    if port.get("protocol") not in (None, *protocols):
        causes.append(not_supported(f"{field}.protocol", port["protocol"], protocols))
    number, end = port.get("port"), port.get("endPort")
    if number is not None:
        check(causes, f"{field}.port", number, port_name_or_number(number))
    if end is None:
        return
    if isinstance(number, int):
        if end < number:
            causes.append(invalid_value(f"{field}.endPort", number, "must be greater than or equal to `port`"))
        check(causes, f"{field}.endPort", end, port_number(end))
    else:
        why = "not specified" if number is None else "non-numeric"
        causes.append(invalid_value(f"{field}.endPort", end, f"may not be specified when `port` is {why}"))


def _check_peer(causes: Causes, peer: Json, field: str) -> None:
    for name in ("podSelector", "namespaceSelector"):
        check_selector(causes, peer.get(name), f"{field}.{name}")
    block = peer.get("ipBlock")
    if block is not None:
        cidr = block.get("cidr", "")
        if not cidr:
            causes.append(required(f"{field}.ipBlock.cidr"))
        elif not _is_network(cidr):
            causes.append(invalid_value(f"{field}.ipBlock.cidr", cidr, NO_NETWORK))
        else:
            _check_exceptions(causes, cidr, block.get("except") or [], f"{field}.ipBlock.except")
    given = [name for name in ("podSelector", "namespaceSelector", "ipBlock") if peer.get(name) is not None]
    if not given:
        causes.append(required(field, "must specify a peer"))
    elif block is not None and len(given) > 1:
        causes.append(forbidden_value(field, "may not specify both ipBlock and another peer"))


def _check_exceptions(causes: Causes, cidr: str, exceptions: list[str], field: str) -> None:
    network = ipaddress.ip_network(cidr, strict=False)
    for index, text in enumerate(exceptions):
        if not _is_network(text):
            causes.append(invalid_value(f"{field}[{index}]", text, NO_NETWORK))
            continue
        inner = ipaddress.ip_network(text, strict=False)
        inside = (
            inner.version == network.version
            and inner.prefixlen > network.prefixlen
            and inner.network_address in network
        )
        if not inside:
            causes.append(invalid_value(f"{field}[{index}]", text, "must be a strict subset of `cidr`"))


def check_endpoints(causes: Causes, obj: Json, old: Json | None) -> None:
    """Endpoints."""
    for index, subset in enumerate(obj.get("subsets") or ()):
        path = f"subsets[{index}]"
        for group in ("addresses", "notReadyAddresses"):
            for number, address in enumerate(subset.get(group) or ()):
                if not is_address(address.get("ip", "")):
                    field = f"{path}.{group}[{number}].ip"
                    causes.append(invalid_value(field, address.get("ip", ""), NO_ADDRESS))
                    causes.append(invalid_value(field, address.get("ip", ""), "must be a valid IP address"))
        ports = subset.get("ports") or []
        for number, port in enumerate(ports):
            field = f"{path}.ports[{number}]"
            if not port.get("name") and len(ports) > 1:
                causes.append(required(f"{field}.name"))
            elif port.get("name"):
                check(causes, f"{field}.name", port["name"], dns_label(port["name"]))
            check(causes, f"{field}.port", port["port"], port_number(port["port"]))
