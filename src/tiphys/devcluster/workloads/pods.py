"""Questions controllers ask of a Pod: is it active, ready, available; and making one from a template."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Json, Obj, condition, is_true, spec_of, status_of

HASH_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_FNV_OFFSET = 2166136261
_FNV_PRIME = 16777619


def phase(pod: Obj) -> str:
    """`status.phase`, empty before the Pod has one."""
    return str(status_of(pod).get("phase") or "")


def is_finished(pod: Obj) -> bool:
    """Whether its containers have ended for good."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Obj) -> bool:
    """Whether it still counts as a replica: neither ended nor being deleted."""
    return not is_finished(pod) and not meta.is_deleting(pod)


def is_terminating(pod: Obj) -> bool:
    """Whether it is being deleted and has not ended yet."""
    return meta.is_deleting(pod) and not is_finished(pod)


def is_ready(pod: Obj) -> bool:
    """Whether its condition Ready is True."""
    return is_true(pod, "Ready")


def ready_since(pod: Obj) -> datetime | None:
    """Since when the Pod is ready, None when it is not."""
    found = condition(status_of(pod).get("conditions"), "Ready")
    if found is None or found.get("status") != "True" or not found.get("lastTransitionTime"):
        return None
    return meta.parse_time(str(found["lastTransitionTime"]))


def available_after_s(pod: Obj, min_ready_s: int, now: datetime) -> float | None:
    """Seconds until a ready Pod has been ready for `min_ready_s`; 0 when it has, None when it is not ready."""
    if not is_ready(pod):
        return None
    since = ready_since(pod)
    if min_ready_s <= 0 or since is None:
        return 0.0
    return max(0.0, min_ready_s - (now - since).total_seconds())


def restarts(pod: Obj) -> int:
    """Restarts of all its containers."""
    found = status_of(pod)
    rows = [*(found.get("initContainerStatuses") or ()), *(found.get("containerStatuses") or ())]
    return sum(row.get("restartCount") or 0 for row in rows)


def deletion_rank(pod: Obj) -> tuple[Any, ...]:
    """Sorts Pods so that the ones to give up first come first.

    Unassigned, then pending, then not ready, then the lower deletion cost, then shorter ready, more restarts, younger.
    Source: kubernetes pkg/controller/controller_utils.go ActivePodsWithRanks.
    """
    order = {"Pending": 0, "": 1, "Unknown": 1, "Running": 2}
    cost = meta.annotations(pod).get("controller.kubernetes.io/pod-deletion-cost", "0")
    since = ready_since(pod)
    created = meta.creation_timestamp(pod)
    return (
        bool(spec_of(pod).get("nodeName")),
        order.get(phase(pod), 2),
        is_ready(pod),
        int(cost) if cost.lstrip("-").isdigit() else 0,
        -(since.timestamp() if since else 0.0),
        -restarts(pod),
        -(created.timestamp() if created else 0.0),
    )


def from_template(template: Obj, owner: Json, *, generate_name: str = "", name: str = "") -> Json:
    """A Pod of a Pod template, controlled by `owner`."""
    given = meta.metadata(template)
    metadata: Json = {"ownerReferences": [owner]}
    if name:
        metadata["name"] = name
    if generate_name:
        metadata["generateName"] = generate_name
    for field in ("labels", "annotations", "finalizers"):
        if given.get(field):
            metadata[field] = given[field]
    return {"metadata": metadata, "spec": template.get("spec") or {}}


def template_hash(template: Any, collisions: int = 0) -> str:
    """A stable hash of a template in the alphabet and length of Kubernetes' `pod-template-hash`.

    Differs: the text hashed is canonical JSON, because Kubernetes hashes a dump of its Go structures.
    """
    text = json.dumps(_plain(template), sort_keys=True, separators=(",", ":"))
    value = _FNV_OFFSET
    for byte in (text + (str(collisions) if collisions else "")).encode():
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return "".join(HASH_ALPHABET[ord(digit) % len(HASH_ALPHABET)] for digit in str(value))


def _plain(value: Any) -> Any:
    """Without nulls, which say nothing."""
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
