"""Quotas: what an object uses of its namespace's share, and whether there is enough left for it. Pure.

Amounts are by the resource names of a ResourceQuota: `pods`, `requests.cpu`, `count/deployments.apps`.

Source: apiserver pkg/admission/plugin/resourcequota/controller.go; kubernetes pkg/quota/v1/evaluator/core; messages tried on
kube-apiserver 1.36.3.
Differs: the scopes CrossNamespacePodAffinity and VolumeAttributesClass match nothing, because nothing here depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tiphys.apimachinery.quantity import Quantity, parse
from tiphys.devcluster.admission_pods import quality_of_service

Json = Mapping[str, Any]
Amounts = dict[str, Quantity]

ONE: Final = parse("1")
ZERO: Final = parse("0")
CLAIMS: Final = "persistentvolumeclaims"
_COUNTED: Final = frozenset(("configmaps", "secrets", "resourcequotas", "replicationcontrollers", "services", CLAIMS))
_BY_STORAGE_CLASS: Final = ".storageclass.storage.k8s.io/"
_MUST_SAY: Final = frozenset(
    ("cpu", "memory", *(f"{a}.{b}" for a in ("requests", "limits") for b in ("cpu", "memory")))
)
_WITHOUT_PREFIX: Final = ("cpu", "memory", "ephemeral-storage")


class Share(NamedTuple):
    """A ResourceQuota as it counts: its name, limits, and which Pods it is about."""

    name: str
    hard: Amounts
    spec: Json


def read_share(quota: Json) -> Share:
    """The share a ResourceQuota gives."""
    spec = quota.get("spec") or {}
    hard = {name: parse(amount) for name, amount in sorted((spec.get("hard") or {}).items())}
    return Share(str(quota["metadata"]["name"]), hard, spec)


def bucket_of(resource: str) -> str:
    """The bucket of the objects that use a resource."""
    if resource.startswith("count/"):
        return resource.removeprefix("count/")
    if resource in _COUNTED:
        return resource
    if resource.startswith("services."):
        return "services"
    if resource == "requests.storage" or _BY_STORAGE_CLASS in resource:
        return CLAIMS
    return "pods"


def usage(bucket: str, obj: Json) -> Amounts:
    """What one object uses."""
    used: Amounts = {f"count/{bucket}": ONE}
    if bucket in _COUNTED:
        used[bucket] = ONE
    spec = obj.get("spec") or {}
    if bucket == "pods":
        if (obj.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            amounts = pod_amounts(spec)
            used |= {"pods": ONE, **amounts}
            for name, amount in amounts.items():
                part, _, plain = name.partition(".")
                if part == "requests" and (plain in _WITHOUT_PREFIX or plain.startswith("hugepages-")):
                    used[plain] = amount
    elif bucket == "services":
        used |= _service_amounts(spec)
    elif bucket == CLAIMS:
        asked = parse(((spec.get("resources") or {}).get("requests") or {}).get("storage") or "0")
        used["requests.storage"] = asked
        if storage_class := spec.get("storageClassName"):
            used[f"{storage_class}{_BY_STORAGE_CLASS}requests.storage"] = asked
            used[f"{storage_class}{_BY_STORAGE_CLASS}{CLAIMS}"] = ONE
    return used


def _service_amounts(spec: Json) -> Amounts:
    kind, ports = spec.get("type"), spec.get("ports") or ()
    node_ports = len(ports) if kind in ("NodePort", "LoadBalancer") else 0
    if kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is False:
        node_ports = sum(bool(port.get("nodePort")) for port in ports)
    balancers = ONE if kind == "LoadBalancer" else ZERO
    return {"services.nodeports": parse(node_ports), "services.loadbalancers": balancers}


def pod_amounts(spec: Json) -> Amounts:
    """Requests and limits of a Pod (`requests.cpu`): the sum of its containers, or what one init container needs more."""
    found: Amounts = {}
    for part in ("requests", "limits"):
        running: Amounts = {}
        for one in spec.get("containers") or ():
            _add(running, (one.get("resources") or {}).get(part))
        peak: Amounts = {}
        beside: Amounts = {}  # of init containers that stay, up to here
        for one in spec.get("initContainers") or ():
            asked = (one.get("resources") or {}).get(part)
            if one.get("restartPolicy") == "Always":
                _add(running, asked)
                _add(beside, asked)
                continue
            now = dict(beside)
            _add(now, asked)
            peak |= {name: max(peak.get(name, ZERO), amount) for name, amount in now.items()}
        total = {name: max(running.get(name, ZERO), peak.get(name, ZERO)) for name in (*running, *peak)}
        total |= {name: parse(amount) for name, amount in ((spec.get("resources") or {}).get(part) or {}).items()}
        _add(total, spec.get("overhead") if total else None)
        found |= {f"{part}.{name}": amount for name, amount in total.items()}
    return found


def _add(total: Amounts, amounts: Mapping[str, str] | None) -> None:
    for name, amount in (amounts or {}).items():
        total[name] = total.get(name, ZERO) + parse(amount)


# ---- which objects a quota is about ----


def matches(share: Share, bucket: str, obj: Json) -> bool:
    """Whether an object counts for a quota: scopes are about Pods."""
    terms = [{"scopeName": one, "operator": "Exists"} for one in share.spec.get("scopes") or ()]
    terms += (share.spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not terms:
        return True
    return bucket == "pods" and all(_in_scope(term, obj.get("spec") or {}) for term in terms)


def _in_scope(term: Json, spec: Json) -> bool:
    scope = term.get("scopeName")
    ends = spec.get("activeDeadlineSeconds") is not None
    if scope in ("Terminating", "NotTerminating"):
        return bool(ends == (scope == "Terminating"))
    if scope in ("BestEffort", "NotBestEffort"):
        return bool((quality_of_service(spec) == "BestEffort") == (scope == "BestEffort"))
    if scope != "PriorityClass":
        return False
    name, values = spec.get("priorityClassName") or "", term.get("values") or ()
    verdicts = {"In": name in values, "NotIn": name not in values, "Exists": bool(name), "DoesNotExist": not name}
    return verdicts.get(str(term.get("operator")), False)


# ---- whether there is enough ----


def why_not(
    shares: Sequence[Share], bucket: str, new: Json, old: Json | None, others: Mapping[str, Iterable[Json]]
) -> str:
    """Why an object may not become `new`, empty when it may. `others` are the namespace's objects by bucket."""
    concerned = [share for share in shares if matches(share, bucket, new)]
    if bucket == "pods" and old is None:
        for share in concerned:
            if unsaid := _unsaid(share, new.get("spec") or {}):
                return f"failed quota: {share.name}: must specify {unsaid}"
    wanted = usage(bucket, new)
    if old is not None:
        before = usage(bucket, old)
        wanted = {name: amount - before.get(name, ZERO) for name, amount in wanted.items()}
    wanted = {name: amount for name, amount in wanted.items() if amount > ZERO}
    for share in concerned:
        asked = {name: wanted[name] for name in share.hard if name in wanted}
        if not asked:
            continue
        used = used_of(share, others, only=asked)
        short = [name for name in sorted(asked) if used[name] + asked[name] > share.hard[name]]
        if short:
            parts = (("requested", asked), ("used", used), ("limited", share.hard))
            said = [f"{word}: " + ",".join(f"{name}={amounts[name]}" for name in short) for word, amounts in parts]
            return f"exceeded quota: {share.name}, {', '.join(said)}"
    return ""


def used_of(share: Share, objects: Mapping[str, Iterable[Json]], *, only: Iterable[str] | None = None) -> Amounts:
    """What is used of a quota's resources, or of those in `only`."""
    names = sorted(share.hard if only is None else only)
    used = dict.fromkeys(names, ZERO)
    for bucket in {bucket_of(name) for name in names}:
        for obj in objects.get(bucket, ()):
            if not matches(share, bucket, obj):
                continue
            for name, amount in usage(bucket, obj).items():
                if name in used:
                    used[name] += amount
    return used


def _unsaid(share: Share, spec: Json) -> str:
    """The resources a quota limits of which containers say nothing, as the API server lists them."""
    required = sorted(_MUST_SAY.intersection(share.hard))
    silent: dict[str, list[str]] = {}
    for one in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        resources = one.get("resources") or {}
        for name in required:
            part, _, plain = name.rpartition(".")
            if plain not in (resources.get(part or "requests") or {}):
                silent.setdefault(name, []).append(str(one.get("name")))
    whole = spec.get("resources") or {}
    said = {f"{part}.{name}" for part in ("requests", "limits") for name in whole.get(part) or {}}
    return "; ".join(
        f"{name} for: {','.join(sorted(silent[name]))}"
        for name in required
        if name in silent and name not in said and f"requests.{name}" not in said
    )
