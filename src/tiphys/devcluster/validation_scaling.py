"""Which HorizontalPodAutoscalers are legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import forbidden_value, invalid_value, not_supported, required
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster.validation_names import Causes, check, dns_label, path_segment, qualified_name

Json = Mapping[str, Any]

MAX_PERIOD_S: Final = 1800
MAX_WINDOW_S: Final = 3600
_SOURCES: Final = {
    "Object": "object",
    "External": "external",
    "Pods": "pods",
    "Resource": "resource",
    "ContainerResource": "containerResource",
}
_TYPES: Final = tuple(sorted(_SOURCES))
_EITHER: Final = "must set either a target raw value or a target utilization"
_BOTH: Final = "may not set both a target raw value and a target utilization"


def check_autoscaler(causes: Causes, obj: Json, old: Json | None) -> None:
    """A HorizontalPodAutoscaler of either version. Source: pkg/apis/autoscaling/validation."""
    spec = obj["spec"]
    if (share := spec.get("targetCPUUtilizationPercentage")) is not None and share < 1:
        path = "spec.metrics[0].resource.target.averageUtilization"
        causes.append(invalid_value(path, share, "must be greater than 0"))
    low, high = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if low is not None and low < 1:
        causes.append(invalid_value("spec.minReplicas", low, "must be greater than or equal to 1"))
    if high == 0:
        causes.append(required("spec.maxReplicas", "must be set and greater than 0"))
    elif high < 0:
        causes.append(invalid_value("spec.maxReplicas", high, "must be greater than or equal to 1"))
    if low is not None and high < low:
        detail = "must be greater than or equal to `minReplicas`"
        causes.append(invalid_value("spec.maxReplicas", high, detail))
    _check_reference(causes, spec["scaleTargetRef"], "spec.scaleTargetRef")
    for index, metric in enumerate(spec.get("metrics") or ()):
        _check_metric(causes, metric, f"spec.metrics[{index}]")
    if low == 0 and not any(one.get("type") in ("Object", "External") for one in spec.get("metrics") or ()):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        causes.append(forbidden_value("spec.metrics", detail))
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            _check_rules(causes, rules, f"spec.behavior.{direction}")


def _check_reference(causes: Causes, target: Json, field: str) -> None:
    for part in ("kind", "name"):
        if not target.get(part):
            causes.append(required(f"{field}.{part}"))
        else:
            check(causes, f"{field}.{part}", target[part], path_segment(target[part]))
    if not target.get("apiVersion") and target.get("kind") != "ReplicationController":
        causes.append(invalid_value(f"{field}.apiVersion", "", "apiVersion must specify API group"))


def _check_metric(causes: Causes, metric: Json, field: str) -> None:
    kind = metric.get("type", "")
    if not kind:
        causes.append(required(f"{field}.type", "must specify a metric source type"))
    if kind not in _SOURCES:
        causes += [
            not_supported(f"{field}.type", kind, _TYPES)
        ] * 2  # once as a value, once where sources are told apart
    present = [source for source in _SOURCES.values() if metric.get(source) is not None]
    if present:
        _check_source(causes, metric[present[0]], present[0], f"{field}.{present[0]}")
    expected = _SOURCES.get(kind)
    if expected is not None and expected not in present:
        causes.append(required(f"{field}.{expected}", "must populate information for the given metric source"))
    if len(present) != 1:
        for source in present:
            if source != expected:
                causes.append(forbidden_value(f"{field}.{source}", "must populate the given metric source only"))


def _check_source(causes: Causes, source: Json, kind: str, field: str) -> None:
    target = source.get("target") or {}
    share, average, value = (target.get(one) for one in ("averageUtilization", "averageValue", "value"))
    if kind == "object":
        _check_reference(causes, source.get("describedObject") or {}, f"{field}.describedObject")
    if kind in ("resource", "containerResource"):
        if not source.get("name"):
            causes.append(required(f"{field}.name", "must specify a resource name"))
        elif kind == "containerResource":
            _check_resource_name(causes, source["name"], f"{field}.name")
    else:
        _check_identifier(causes, source.get("metric") or {}, f"{field}.metric")
    if kind == "containerResource":
        if not source.get("container"):
            causes.append(required(f"{field}.container", "must specify a container"))
        else:
            check(causes, f"{field}.container", source["container"], dns_label(source["container"]))
    _check_target(causes, target, f"{field}.target")
    if kind in ("resource", "containerResource"):
        if share is None and average is None:
            causes.append(required(f"{field}.target.averageUtilization", _EITHER))
        elif share is not None and average is not None:
            causes.append(forbidden_value(f"{field}.target.averageValue", _BOTH))
    elif kind == "pods" and average is None:
        causes.append(required(f"{field}.target.averageValue", "must specify a positive target averageValue"))
    elif kind == "object" and value is None and average is None:
        causes.append(required(f"{field}.target.averageValue", "must set either a target value or averageValue"))
    elif kind == "external":
        if value is None and average is None:
            detail = "must set either a target value for metric or a per-pod target"
            causes.append(required(f"{field}.target.averageValue", detail))
        elif value is not None and average is not None:
            detail = "may not set both a target value for metric and a per-pod target"
            causes.append(forbidden_value(f"{field}.target.value", detail))


def _check_resource_name(causes: Causes, name: str, field: str) -> None:
    problems = qualified_name(name)
    check(causes, field, name, problems)
    standard = ("cpu", "memory", "ephemeral-storage")
    if not problems and "/" not in name and name not in standard and not name.startswith("hugepages-"):
        causes.append(invalid_value(field, name, "must be a standard resource for containers"))


def _check_identifier(causes: Causes, metric: Json, field: str) -> None:
    name = metric.get("name", "")
    if not name:
        causes.append(required(f"{field}.name", "must specify a metric name"))
    else:
        check(causes, f"{field}.name", name, path_segment(name))


def _check_target(causes: Causes, target: Json, field: str) -> None:
    kind = target.get("type", "")
    if not kind:
        causes.append(required(f"{field}.type", "must specify a metric target type"))
    if kind not in ("Utilization", "Value", "AverageValue"):
        causes.append(invalid_value(f"{field}.type", kind, "must be either Utilization, Value, or AverageValue"))
    for part in ("value", "averageValue"):
        if target.get(part) is not None and parse(target[part]) <= 0:
            causes.append(invalid_value(f"{field}.{part}", target[part], "must be positive"))
    share = target.get("averageUtilization")
    if share is not None and share < 1:
        causes.append(invalid_value(f"{field}.averageUtilization", share, "must be greater than 0"))


def _check_rules(causes: Causes, rules: Json, field: str) -> None:
    window = rules.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        detail = "must be greater than or equal to zero"
        causes.append(invalid_value(f"{field}.stabilizationWindowSeconds", window, detail))
    if window is not None and window > MAX_WINDOW_S:
        detail = f"must be less than or equal to {MAX_WINDOW_S}"
        causes.append(invalid_value(f"{field}.stabilizationWindowSeconds", window, detail))
    choices = ("Disabled", "Max", "Min")
    if rules.get("selectPolicy") is not None and rules["selectPolicy"] not in choices:
        causes.append(not_supported(f"{field}.selectPolicy", rules["selectPolicy"], choices))
    if not rules.get("policies"):
        causes.append(required(f"{field}.policies", "must specify at least one Policy"))
    for index, policy in enumerate(rules.get("policies") or ()):
        path = f"{field}.policies[{index}]"
        if policy.get("type") not in ("Pods", "Percent"):
            causes.append(not_supported(f"{path}.type", policy.get("type", ""), ("Percent", "Pods")))
        if policy.get("value", 0) <= 0:
            causes.append(invalid_value(f"{path}.value", policy.get("value", 0), "must be greater than zero"))
        period = policy.get("periodSeconds", 0)
        if period <= 0:
            causes.append(invalid_value(f"{path}.periodSeconds", period, "must be greater than zero"))
        if period > MAX_PERIOD_S:
            detail = f"must be less than or equal to {MAX_PERIOD_S}"
            causes.append(invalid_value(f"{path}.periodSeconds", period, detail))
