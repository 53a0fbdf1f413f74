"""Which events, limits, nodes, templates, revisions and address objects are legal."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import forbidden_value, invalid_value, not_supported, required
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster.validation_names import (
    IMMUTABLE,
    NOT_NEGATIVE,
    Causes,
    check_same,
    invalid_struct,
)
from tiphys.devcluster.validation_pods import check_pod_spec

Json = Mapping[str, Any]

_TAINT_EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_EVENT_FIELDS: Final = {
    "regarding": "involvedObject",
    "reason": "reason",
    "note": "message",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
    "eventTime": "eventTime",
    "reportingController": "reportingComponent",
    "reportingInstance": "reportingInstance",
    "action": "action",
    "type": "type",
}
"""What fields of events.k8s.io are called in the core group, in whose words problems are said."""

_ADDRESS_RULE: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def address_problems(text: str) -> list[str]:
    """Problems of a text that is to be an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return [_ADDRESS_RULE]
    return []


def check_event(causes: Causes, obj: Json, old: Json | None) -> None:
    """A core Event: it is about something in its own namespace."""
    namespace, about = obj["metadata"].get("namespace", ""), obj.get("involvedObject") or {}
    given = about.get("namespace", "")
    if given != namespace and not (not given and namespace == "default"):
        causes.append(invalid_value("involvedObject.namespace", given, "does not match event.namespace"))


def check_new_event(causes: Causes, obj: Json, old: Json | None) -> None:
    """An Event written through events.k8s.io, in the form of the core group."""
    obj = {core: obj[new] for new, core in _EVENT_FIELDS.items() if new in obj} | {"metadata": obj["metadata"]}
    check_event(causes, obj, old)
    if old is None:
        if not obj.get("eventTime"):
            causes.append(required("eventTime"))
        if obj.get("type") not in ("Normal", "Warning"):
            kind = obj.get("type", "")
            causes.append(invalid_value("type", kind, f"has invalid value: {kind}"))
        return
    for new, field in _EVENT_FIELDS.items():
        if field != "eventTime" and obj.get(field) != old.get(new):
            # The real server looks twice at most fields.
            causes += [invalid_value(field, obj.get(field), IMMUTABLE)] * (1 if field == "type" else 2)


def check_limit_range(causes: Causes, obj: Json, old: Json | None) -> None:
    """A LimitRange: minima are not above maxima."""
    for index, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
        least, most = limit.get("min") or {}, limit.get("max") or {}
        for name, amount in least.items():
            if name in most and parse(amount) > parse(most[name]):
                detail = f"min value {amount} is greater than max value {most[name]}"
                causes.append(invalid_value(f"spec.limits[{index}].min[{name}]", amount, detail))


def check_node(causes: Causes, obj: Json, old: Json | None) -> None:
    """A Node: its taints, and its range of addresses once it has one."""
    spec = obj.get("spec") or {}
    for index, taint in enumerate(spec.get("taints") or ()):
        if taint.get("effect") not in _TAINT_EFFECTS:
            path = f"metadata.taints[{index}].effect"
            causes.append(not_supported(path, taint.get("effect", ""), _TAINT_EFFECTS))
    before = ((old or {}).get("spec") or {}).get("podCIDR")
    changed = spec.get("podCIDRs") not in (None, ((old or {}).get("spec") or {}).get("podCIDRs"))
    if before and (spec.get("podCIDR") != before or changed):
        detail = 'node updates may not change podCIDR except from "" to valid'
        causes.append(forbidden_value("spec.podCIDRs", detail))


def check_pod_template(causes: Causes, obj: Json, old: Json | None) -> None:
    """A PodTemplate."""
    check_pod_spec(causes, (obj.get("template") or {}).get("spec") or {}, "template.spec")


def check_controller_revision(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ControllerRevision, whose data never changes."""
    if old is None and obj.get("data") is None:
        causes.append(required("data", "data is mandatory"))
    if obj.get("revision", 0) < 0:
        causes.append(invalid_value("revision", obj["revision"], NOT_NEGATIVE))
    if old is not None:
        check_same(causes, "data", obj.get("data"), old.get("data"))


def check_service_cidr(causes: Causes, obj: Json, old: Json | None) -> None:
    """A ServiceCIDR: ranges may be added, not changed."""
    ranges = (obj.get("spec") or {}).get("cidrs") or []
    before = ((old or {}).get("spec") or {}).get("cidrs") or []
    if old is None and not ranges:
        causes.append(required("spec.cidrs", "at least one CIDR required"))
    for index, (one, other) in enumerate(zip(ranges, before, strict=False)):
        check_same(causes, f"spec.cidrs[{index}]", one, other)


def check_ip_address(causes: Causes, obj: Json, old: Json | None) -> None:
    """An IPAddress: it names what it belongs to for good."""
    parent = (obj.get("spec") or {}).get("parentRef")
    if parent is None:
        causes.append(required("spec.parentRef"))
    elif old is not None and parent != (old.get("spec") or {}).get("parentRef"):
        shown = {part.title(): parent.get(part, "") for part in ("group", "resource", "namespace", "name")}
        causes.append(invalid_struct("spec.parentRef", shown, IMMUTABLE))
