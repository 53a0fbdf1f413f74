"""Cells of Table rows for the kinds that configure the API server and its addresses and devices."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tiphys.devcluster.durations import since

Object = Mapping[str, Any]
Cells = list[Any]

_NONE = "<none>"


def service_cidr(obj: Object, now: datetime) -> Cells:
    """A ServiceCIDR: its ranges."""
    return [",".join((obj.get("spec") or {}).get("cidrs") or ()), _age(obj, now)]


def ip_address(obj: Object, now: datetime) -> Cells:
    """An IPAddress: what it belongs to."""
    parent = (obj.get("spec") or {}).get("parentRef") or {}
    named = [parent.get("group"), parent.get("resource"), parent.get("namespace"), parent.get("name")]
    return ["/".join(part for part in named if part), _age(obj, now)]


def flow_schema(obj: Object, now: datetime) -> Cells:
    """A FlowSchema."""
    spec = obj.get("spec") or {}
    method = (spec.get("distinguisherMethod") or {}).get("type") or _NONE
    conditions = (obj.get("status") or {}).get("conditions") or ()
    dangling = next((one.get("status") for one in conditions if one.get("type") == "Dangling"), "?")
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    return [level, spec.get("matchingPrecedence", 0), method, _age(obj, now), dangling]


def priority_level(obj: Object, now: datetime) -> Cells:
    """A PriorityLevelConfiguration."""
    spec = obj.get("spec") or {}
    limited = spec.get("limited") or spec.get("exempt") or {}
    queuing = (limited.get("limitResponse") or {}).get("queuing") or {}
    numbers = [queuing.get(part, _NONE) for part in ("queues", "handSize", "queueLengthLimit")]
    return [spec.get("type", ""), limited.get("nominalConcurrencyShares", _NONE), *numbers, _age(obj, now)]


def resource_claim(obj: Object, now: datetime) -> Cells:
    """A ResourceClaim: how far it got."""
    status = obj.get("status") or {}
    states = [name for name, part in (("allocated", "allocation"), ("reserved", "reservedFor")) if status.get(part)]
    if obj["metadata"].get("deletionTimestamp"):
        states.insert(0, "deleted")
    return [",".join(states) or "pending", _age(obj, now)]


def resource_slice(obj: Object, now: datetime) -> Cells:
    """A ResourceSlice: where its devices are, whose they are and to which pool they belong."""
    spec = obj.get("spec") or {}
    return [
        spec.get("nodeName") or "",
        spec.get("driver") or "",
        (spec.get("pool") or {}).get("name") or "",
        _age(obj, now),
    ]


def _age(obj: Object, now: datetime) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)
