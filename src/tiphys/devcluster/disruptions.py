"""Which PodDisruptionBudget a Pod's eviction is counted against, and when a budget forbids it. Pure.

Source: kubernetes pkg/registry/core/pod/storage/eviction.go; answers tried on kube-apiserver 1.36.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.apimachinery.apierrors import ApiError, TooManyRequests
from tiphys.apimachinery.selector import SelectorError, parse_label_selector
from tiphys.devcluster.store import Record

Json = Mapping[str, Any]

BUSY_S = 10
_VIOLATED = "Cannot evict pod as it would violate the pod's disruption budget."
_MANY = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."


def granting(pod: Record, budgets: Iterable[Record]) -> Record | None:
    """The budget an eviction is taken from, None when it needs none. Raises TooManyRequests, ApiError."""
    if pod.deleting or (pod.obj.get("status") or {}).get("phase") in ("Pending", "Succeeded", "Failed"):
        return None
    concerned = [budget for budget in budgets if _selects(budget, pod)]
    if not concerned:
        return None
    if len(concerned) > 1:
        raise ApiError(_MANY)
    budget = concerned[0]
    spec, status = budget.obj.get("spec") or {}, budget.obj.get("status") or {}
    needed, healthy = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
    if not _is_ready(pod.obj) and (spec.get("unhealthyPodEvictionPolicy") == "AlwaysAllow" or healthy >= needed > 0):
        return None
    if status.get("observedGeneration", 0) < budget.obj["metadata"].get("generation", 0):
        raise _refused(f"The disruption budget {budget.name} is still being processed by the server.", BUSY_S)
    if not status.get("disruptionsAllowed"):
        if healthy > needed:
            raise _refused(f"The disruption budget {budget.name} does not allow evicting pods currently")
        raise _refused(f"The disruption budget {budget.name} needs {needed} healthy pods and has {healthy} currently")
    return budget


def _refused(why: str, after_s: int = 0) -> TooManyRequests:
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if after_s:
        details["retryAfterSeconds"] = after_s
    return TooManyRequests(_VIOLATED, details=details)


def _selects(budget: Record, pod: Record) -> bool:
    try:
        return parse_label_selector((budget.obj.get("spec") or {}).get("selector")).matches(pod.labels)
    except SelectorError:
        return False


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)
