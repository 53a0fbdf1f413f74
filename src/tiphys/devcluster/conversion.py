"""The same object in another version of its kind, for the few kinds kept once and served in several versions."""

from __future__ import annotations

from typing import Any

from tiphys.devcluster.resources import Resource

Object = dict[str, Any]


def convert(obj: Object, source: Resource, target: Resource) -> Object:
    """`obj` of `source` as an object of `target`; the same dict when nothing changes, else one sharing its parts.

    Custom resources change their apiVersion only (conversion strategy None) and lose what the other version's schema does
    not have. HorizontalPodAutoscaler v1 and v2, and
    Event v1 and events.k8s.io/v1, move the fields that have other names.
    """
    if obj.get("apiVersion") == target.api_version:
        return obj
    if source.custom is not None:
        assert target.custom is not None
        return target.custom.decode(obj, target)[0]
    if source.group == "autoscaling":
        return _autoscaler_to_v1(obj) if target.version == "v1" else _autoscaler_to_v2(obj)
    return _event_to_new(obj) if target.group == "events.k8s.io" else _event_to_core(obj)


_EVENT_NAMES = (
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
)


def _renamed(obj: Object, names: dict[str, str], api_version: str) -> Object:
    out = {names.get(key, key): value for key, value in obj.items()}
    out["apiVersion"] = api_version
    return out


def _event_to_new(obj: Object) -> Object:
    out = _renamed(obj, dict(_EVENT_NAMES), "events.k8s.io/v1")
    for key in ("reportingController", "reportingInstance", "action"):
        if not out.get(key):
            out.pop(key, None)
    return out


def _event_to_core(obj: Object) -> Object:
    out = _renamed(obj, {new: old for old, new in _EVENT_NAMES}, "v1")
    out.setdefault("involvedObject", {})
    for key in ("source",):
        out.setdefault(key, {})
    for key in ("firstTimestamp", "lastTimestamp"):
        out.setdefault(key, None)
    for key in ("reportingComponent", "reportingInstance"):
        out.setdefault(key, "")
    return out


_CPU = "targetCPUUtilizationPercentage"


def _autoscaler_to_v2(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    status = dict(obj.get("status") or {})
    percentage = spec.pop(_CPU, None)
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    current = status.pop("currentCPUUtilizationPercentage", None)
    if current is not None:
        value = {"averageUtilization": current, "averageValue": "0"}
        status["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": value}}]
    status.setdefault("currentMetrics", None)
    if not status.get("currentReplicas"):
        status.pop("currentReplicas", None)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "apiVersion": "autoscaling/v2", "spec": spec, "status": status}


def _autoscaler_to_v1(obj: Object) -> Object:
    spec = dict(obj.get("spec") or {})
    status = dict(obj.get("status") or {})
    for metric in spec.pop("metrics", None) or ():
        found = metric.get("resource") or {}
        if metric.get("type") == "Resource" and found.get("name") == "cpu":
            utilization = (found.get("target") or {}).get("averageUtilization")
            if utilization is not None:
                spec[_CPU] = utilization
    spec.pop("behavior", None)
    for metric in status.pop("currentMetrics", None) or ():
        found = metric.get("resource") or {}
        if metric.get("type") == "Resource" and found.get("name") == "cpu":
            utilization = (found.get("current") or {}).get("averageUtilization")
            if utilization is not None:
                status["currentCPUUtilizationPercentage"] = utilization
    status.pop("conditions", None)
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)
    return {**obj, "apiVersion": "autoscaling/v1", "spec": spec, "status": status}
