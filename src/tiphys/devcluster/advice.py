"""Advice: what the server says in Warning headers about objects that it takes nevertheless.

Source: pkg/api/{pod,service,job,persistentvolumeclaim}/warnings.go, WarningsOnCreate and WarningsOnUpdate of pkg/registry,
apimachinery pkg/util/validation ip.go.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery.names import GroupKind
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster.advice_pods import pod_advice
from tiphys.devcluster.validation_names import dns_label

Json = Mapping[str, Any]
Lines = Iterator[str]


def advice(kind: GroupKind, obj: Json, old: Json | None) -> list[str]:
    """The texts for `Warning: 299` headers about an object that is created or (with `old`) changed."""
    function = _KINDS.get(kind)
    return list(function(obj, old)) if function is not None else []


def _is_same_spec(obj: Json, old: Json | None) -> bool:
    return old is not None and obj["metadata"].get("generation") == old["metadata"].get("generation")


def _template(obj: Json, old: Json | None) -> Lines:
    if not _is_same_spec(obj, old):
        yield from pod_advice("spec.template", obj["spec"].get("template") or {})


def _named_template(obj: Json, old: Json | None) -> Lines:
    problems = dns_label(obj["metadata"].get("name") or "") if old is None else []
    if problems:
        yield (
            "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior;"
            f" a DNS label is recommended: [{' '.join(problems)}]"
        )
    yield from _template(obj, old)


def _cron_job(obj: Json, old: Json | None) -> Lines:
    if not _is_same_spec(obj, old):
        yield from pod_advice("spec.jobTemplate.spec.template", obj["spec"]["jobTemplate"]["spec"]["template"])


def _pod(obj: Json, old: Json | None) -> Lines:
    problems = dns_label(obj["metadata"].get("name") or "") if old is None else []
    if problems:
        yield (
            "metadata.name: this is used in the Pod's hostname, which can result in surprising behavior;"
            f" a DNS label is recommended: [{' '.join(problems)}]"
        )
    if old is None or obj["spec"] != old["spec"]:
        yield from pod_advice("", obj)


def _stateful_set(obj: Json, old: Json | None) -> Lines:
    yield from _template(obj, old)
    for index, claim in enumerate(obj["spec"].get("volumeClaimTemplates") or ()):
        # The path has a capital where it should not, and only after a change.
        field = f"spec.volumeClaimTemplates[{index}]" + ("" if old is None else ".Spec")
        yield from _claim_advice(field, claim.get("spec") or {})
    limit = obj["spec"].get("revisionHistoryLimit")
    if limit is not None and limit < 0:
        yield "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"


def _claim(obj: Json, old: Json | None) -> Lines:
    yield from _claim_advice("spec", obj["spec"])


def _claim_advice(field: str, spec: Json) -> Lines:
    for part in ("requests", "limits"):
        amount = ((spec.get("resources") or {}).get(part) or {}).get("storage")
        if amount is not None and parse(amount).value.denominator != 1:
            yield (
                f"{field}.resources.{part}[storage]: fractional byte value {json.dumps(amount)} is invalid,"
                " must be an integer"
            )


def _service(obj: Json, old: Json | None) -> Lines:
    spec, kind = obj["spec"], obj["spec"].get("type")
    outside = spec.get("externalIPs") or []
    headless = kind == "ClusterIP" and spec.get("clusterIP") == "None"
    if "service.kubernetes.io/topology-aware-hints" in (obj["metadata"].get("annotations") or {}):
        yield (
            "annotation service.kubernetes.io/topology-aware-hints is deprecated, please use"
            " service.kubernetes.io/topology-mode instead"
        )
    for index, address in enumerate(() if headless else spec.get("clusterIPs") or ()):
        yield from _address_advice(f"spec.clusterIPs[{index}]", address)
    if headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if outside:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    for index, address in enumerate(outside):
        yield from _address_advice(f"spec.externalIPs[{index}]", address)
    if outside and not headless and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from _address_advice("spec.loadBalancerIP", spec["loadBalancerIP"])
    for index, network in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from _network_advice(f"spec.loadBalancerSourceRanges[{index}]", network)
    if kind == "ExternalName" and outside:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _ingress(obj: Json, old: Json | None) -> Lines:
    name = "kubernetes.io/ingress.class"
    if old is None and name in (obj["metadata"].get("annotations") or {}) and not obj["spec"].get("ingressClassName"):
        yield f"annotation \"{name}\" is deprecated, please use 'spec.ingressClassName' instead"


def _network_policy(obj: Json, old: Json | None) -> Lines:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(obj["spec"].get(direction) or ()):
            for number, peer in enumerate(rule.get(peers) or ()):
                block = peer.get("ipBlock") or {}
                field = f"spec.{direction}[{index}].{peers}[{number}].ipBlock"
                if block:
                    yield from _network_advice(f"{field}.cidr", block.get("cidr") or "")
                for place, network in enumerate(block.get("except") or ()):
                    yield from _network_advice(f"{field}.except[{place}]", network)


def _address_advice(field: str, text: str) -> Lines:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return  # with leading noughts, or none: an object with one is not taken
    if found.version == 6 and str(found) != text:
        yield f'{field}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{found}")'


def _network_advice(field: str, text: str) -> Lines:
    try:
        network, address = ipaddress.ip_network(text, strict=False), ipaddress.ip_interface(text).ip
    except ValueError:
        return
    if network.network_address != address:
        yield (
            f'{field}: CIDR value "{text}" is ambiguous in this context'
            f' (should be "{network}" or "{address}/{network.max_prefixlen}"?)'
        )
    elif network.version == 6 and str(network) != text:
        yield f'{field}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")'


_KINDS: Final[dict[GroupKind, Callable[[Json, Json | None], Lines]]] = {
    GroupKind("", "Pod"): _pod,
    GroupKind("", "Service"): _service,
    GroupKind("", "PersistentVolumeClaim"): _claim,
    GroupKind("", "ReplicationController"): _template,
    GroupKind("apps", "DaemonSet"): _template,
    GroupKind("apps", "Deployment"): _named_template,
    GroupKind("apps", "ReplicaSet"): _named_template,
    GroupKind("apps", "StatefulSet"): _stateful_set,
    GroupKind("batch", "Job"): _named_template,
    GroupKind("batch", "CronJob"): _cron_job,
    GroupKind("networking.k8s.io", "Ingress"): _ingress,
    GroupKind("networking.k8s.io", "NetworkPolicy"): _network_policy,
}
