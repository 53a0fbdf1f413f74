"""Resizing a Pod in place: what its subresource `resize` refuses. The simulated kubelet does not support it.

Source: kubernetes pkg/apis/core/validation ValidatePodResize, isPodResizeRequestSupported.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.apierrors import FieldCause, forbidden_value, invalid_value
from tiphys.devcluster.admission_pods import quality_of_service

Json = Mapping[str, Any]


def problems(old: Json, new: Json) -> list[FieldCause]:
    """What is wrong with giving a Pod other resources."""
    found: list[FieldCause] = []
    before = quality_of_service(old.get("spec") or {})
    if quality_of_service(new.get("spec") or {}) != before:
        found.append(invalid_value("spec", before, "Pod QOS Class may not change as a result of resizing"))
    running = [
        one for one in (old.get("status") or {}).get("containerStatuses") or () if "running" in (one.get("state") or {})
    ]
    if running and not running[0].get("resources"):
        found.append(forbidden_value("spec", "Pod running on node without support for resize"))
    return found
