"""Which selectors of nodes are legal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.apierrors import forbidden_value, invalid_value, required
from tiphys.devcluster.validation_names import Causes, check, label_value, qualified_name

Json = Mapping[str, Any]


def check_node_selector(causes: Causes, selector: Json, field: str) -> None:
    """A selector of terms. Source: pkg/apis/core/validation ValidateNodeSelector."""
    terms = selector.get("nodeSelectorTerms") or []
    if not terms:
        causes.append(required(f"{field}.nodeSelectorTerms", "must have at least one node selector term"))
    for index, term in enumerate(terms):
        for number, one in enumerate(term.get("matchExpressions") or ()):
            _check_expression(causes, one, f"{field}.nodeSelectorTerms[{index}].matchExpressions[{number}]")


def _check_expression(causes: Causes, one: Json, field: str) -> None:
    operator, values = one.get("operator", ""), one.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            causes.append(required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            causes.append(forbidden_value(f"{field}.values", detail))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            causes.append(required(f"{field}.values", detail))
    else:
        causes.append(invalid_value(f"{field}.operator", operator, "not a valid selector operator"))
    check(causes, f"{field}.key", one.get("key", ""), qualified_name(one.get("key", "")))
    for index, value in enumerate(values):
        check(causes, f"{field}.values[{index}]", value, label_value(value))
