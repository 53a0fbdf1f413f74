"""Which rules of a Job about failure, success and replacement of its Pods are legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import FieldCause, invalid_value, not_supported, required
from tiphys.devcluster.validation_names import Causes, check, check_not_negative, invalid_struct, qualified_name

Json = Mapping[str, Any]

_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_MAX_RULES: Final = 20
_MAX_VALUES: Final = 255


def check_indexes(causes: Causes, spec: Json, field: str) -> None:
    """What is counted for each index of an Indexed Job, and only there. Source: pkg/apis/batch/validation."""
    per_index, failed = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    check_not_negative(causes, f"{field}.backoffLimitPerIndex", per_index)
    check_not_negative(causes, f"{field}.maxFailedIndexes", failed)
    if failed is not None and per_index is None:
        causes.append(required(f"{field}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.get("completionMode") == "Indexed":
        completions = spec.get("completions")
        if completions is not None and failed is not None and failed > completions:
            detail = "must be less than or equal to completions"
            causes.append(invalid_value(f"{field}.maxFailedIndexes", failed, detail))
        return
    for name, value in (("backoffLimitPerIndex", per_index), ("maxFailedIndexes", failed)):
        if value is not None:
            causes.append(invalid_value(f"{field}.{name}", value, "requires indexed completion mode"))


def check_pod_policies(causes: Causes, spec: Json, field: str) -> None:
    """The policies about Pods that failed and their replacement."""
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        rules = policy.get("rules") or []
        if len(rules) > _MAX_RULES:
            causes.append(_too_many(f"{field}.podFailurePolicy.rules", len(rules), _MAX_RULES))
        for index, rule in enumerate(rules):
            _check_rule(causes, spec, rule, f"{field}.podFailurePolicy.rules[{index}]")
    replacement = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
    if replacement is not None and replacement not in allowed:
        causes.append(not_supported(f"{field}.podReplacementPolicy", replacement, allowed))


def _too_many(field: str, count: int, most: int) -> FieldCause:
    return FieldCause("FieldValueTooMany", f"Too many: {count}: must have at most {most} items", field)


def _check_rule(causes: Causes, spec: Json, rule: Json, field: str) -> None:
    action = rule.get("action", "")
    if not action:
        causes.append(required(f"{field}.action", 'valid values: ["Count" "FailIndex" "FailJob" "Ignore"]'))
    elif action == "FailIndex":
        if spec.get("backoffLimitPerIndex") is None:
            causes.append(invalid_value(f"{field}.action", action, "requires the backoffLimitPerIndex to be set"))
    elif action not in _ACTIONS:
        causes.append(not_supported(f"{field}.action", action, _ACTIONS))
    codes, conditions = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        _check_codes(causes, spec, codes, f"{field}.onExitCodes")
    for index, pattern in enumerate(conditions):
        _check_condition(causes, pattern, f"{field}.onPodConditions[{index}]")
    if codes is not None and conditions:
        detail = "specifying both OnExitCodes and OnPodConditions is not supported"
        causes.append(FieldCause("FieldValueInvalid", f"Invalid value: {detail}", field))
    if codes is None and not conditions:
        detail = "specifying one of OnExitCodes and OnPodConditions is required"
        causes.append(FieldCause("FieldValueInvalid", f"Invalid value: {detail}", field))


def _check_codes(causes: Causes, spec: Json, codes: Json, field: str) -> None:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    if not operator:
        causes.append(required(f"{field}.operator", 'valid values: ["In" "NotIn"]'))
    elif operator not in ("In", "NotIn"):
        causes.append(not_supported(f"{field}.operator", operator, ("In", "NotIn")))
    pod = spec["template"]["spec"]
    names = {one.get("name") for group in ("containers", "initContainers") for one in pod.get(group) or ()}
    if codes.get("containerName") is not None and codes["containerName"] not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid_value(f"{field}.containerName", codes["containerName"], detail))
    if not values:
        causes.append(invalid_struct(f"{field}.values", codes.get("values"), "at least one value is required"))
    elif len(values) > _MAX_VALUES:
        causes.append(_too_many(f"{field}.values", len(values), _MAX_VALUES))
    for index, value in enumerate(values):
        path = f"{field}.values[{index}]"
        if operator == "In" and value == 0:
            causes.append(invalid_value(path, value, "must not be 0 for the In operator"))
        if value in values[:index]:
            causes.append(FieldCause("FieldValueDuplicate", f"Duplicate value: {value}", path))
    if values != sorted(values):
        causes.append(invalid_struct(f"{field}.values", values, "must be ordered"))


def _check_condition(causes: Causes, pattern: Json, field: str) -> None:
    check(causes, f"{field}.type", pattern.get("type", ""), qualified_name(pattern.get("type", "")))
    status, choices = pattern.get("status", ""), ("False", "True", "Unknown")
    if not status:
        causes.append(required(f"{field}.status", 'valid values: ["False" "True" "Unknown"]'))
    elif status not in choices:
        causes.append(not_supported(f"{field}.status", status, choices))


def shown_failure_policy(policy: Json | None) -> dict[str, Any] | None:
    """The policy as messages quote it: in the names of Go's internal type, empty members too."""
    if policy is None:
        return None
    rules = [
        {
            "Action": rule.get("action", ""),
            "OnExitCodes": _shown_codes(rule),
            "OnPodConditions": _shown_conditions(rule),
        }
        for rule in policy.get("rules") or ()
    ]
    return {"Rules": rules}


def _shown_codes(rule: Json) -> dict[str, Any] | None:
    codes = rule.get("onExitCodes")
    if codes is None:
        return None
    named, values = codes.get("containerName"), codes.get("values")
    return {"ContainerName": named, "Operator": codes.get("operator", ""), "Values": values}


def _shown_conditions(rule: Json) -> list[dict[str, Any]] | None:
    found = rule.get("onPodConditions")
    if found is None:
        return None
    return [{"Type": one.get("type", ""), "Status": one.get("status", "")} for one in found]
