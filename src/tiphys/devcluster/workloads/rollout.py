"""Rolling update arithmetic: how many replicas each ReplicaSet of a Deployment may have next. Pure.

Source: kubernetes pkg/controller/deployment (rolling.go, sync.go, util/deployment_util.go).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.apimachinery import meta
from tiphys.devcluster.workloads.fields import Obj, number, spec_of, status_of

DESIRED = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a Deployment allows: wanted replicas, how many more, how many unavailable."""

    replicas: int
    surge: int
    unavailable: int
    rolling: bool

    @property
    def max_replicas(self) -> int:
        """Replicas of all ReplicaSets together at most."""
        return self.replicas + self.surge

    @property
    def min_available(self) -> int:
        """Available replicas at least."""
        return self.replicas - self.unavailable


def limits_of(deployment: Obj) -> Limits:
    """The limits a Deployment's spec sets; percentages are of its replicas."""
    spec = spec_of(deployment)
    replicas = number(spec, "replicas", 1)
    strategy = spec.get("strategy") or {}
    if strategy.get("type") == "Recreate":
        return Limits(replicas, 0, 0, rolling=False)
    rolling = strategy.get("rollingUpdate") or {}
    surge = scaled(rolling.get("maxSurge", "25%"), replicas, up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), replicas, up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return Limits(replicas, surge, min(unavailable, replicas), rolling=True)


def scaled(value: Any, total: int, *, up: bool) -> int:
    """A number, or a percentage of `total` rounded up or down."""
    if isinstance(value, str) and value.endswith("%"):
        share = total * int(value[:-1]) / 100
        return math.ceil(share) if up else math.floor(share)
    return int(value or 0)


def replicas_of(found: Obj) -> int:
    """Wanted replicas of a ReplicaSet."""
    return number(spec_of(found), "replicas", 1)


def available_of(found: Obj) -> int:
    """Available replicas of a ReplicaSet."""
    return number(status_of(found), "availableReplicas")


def new_replicas(limits: Limits, new: Obj, everything: Sequence[Obj]) -> int:
    """Replicas the newest ReplicaSet should have now."""
    current = replicas_of(new)
    if current >= limits.replicas or not limits.rolling:
        return limits.replicas
    room = limits.max_replicas - sum(replicas_of(one) for one in everything)
    if room <= 0:
        return current
    return current + min(room, limits.replicas - current)


def old_replicas(limits: Limits, new: Obj, old: Sequence[Obj]) -> dict[str, int]:
    """Replicas by name that old ReplicaSets give up: first those that are not available, then as many as may be missing."""
    if not any(replicas_of(one) for one in old):
        return {}
    total = sum(replicas_of(one) for one in (*old, new))
    room = total - limits.min_available - (replicas_of(new) - available_of(new))
    if room <= 0:
        return {}
    wanted = {meta.name(one): replicas_of(one) for one in old}
    ordered = sorted(old, key=age_rank)
    cleaned = 0
    for one in ordered:
        excess = wanted[meta.name(one)] - available_of(one)
        if cleaned < room and wanted[meta.name(one)] and excess > 0:
            taken = min(room - cleaned, excess)
            wanted[meta.name(one)] -= taken
            cleaned += taken
    spare = sum(available_of(one) for one in (*old, new)) - limits.min_available
    for one in ordered:
        if spare <= 0:
            break
        taken = min(wanted[meta.name(one)], spare)
        wanted[meta.name(one)] -= taken
        spare -= taken
    return {meta.name(one): wanted[meta.name(one)] for one in old if wanted[meta.name(one)] != replicas_of(one)}


def age_rank(found: Obj) -> tuple[Any, ...]:
    """Sorts by creation, then name."""
    return meta.metadata(found).get("creationTimestamp") or "", meta.name(found)


def scaled_replicas(limits: Limits, new: Obj | None, old: Sequence[Obj], status_replicas: int) -> dict[str, int]:
    """Replicas by name after a change of the Deployment's own replicas, outside of a step of the rollout."""
    everything = [*old, *([new] if new is not None else [])]
    active = [one for one in everything if replicas_of(one) > 0]
    if len(active) <= 1:
        latest = active[0] if active else (new or max(old, key=age_rank, default=None))
        return {} if latest is None or replicas_of(latest) == limits.replicas else {meta.name(latest): limits.replicas}
    if new is not None and _is_saturated(limits, new):
        return {meta.name(one): 0 for one in old if replicas_of(one) > 0}
    if not limits.rolling:
        return {}
    return _proportional(limits, active, status_replicas)


def _is_saturated(limits: Limits, new: Obj) -> bool:
    desired = meta.annotations(new).get(DESIRED, "")
    return (
        desired.isdigit()
        and replicas_of(new) == limits.replicas == int(desired)
        and available_of(new) == limits.replicas
    )


def _proportional(limits: Limits, active: Sequence[Obj], status_replicas: int) -> dict[str, int]:
    allowed = limits.max_replicas if limits.replicas > 0 else 0
    to_add = allowed - sum(replicas_of(one) for one in active)
    # Growing favours the newer of equal size, shrinking the older.
    ordered = sorted(active, key=age_rank, reverse=to_add > 0)
    ordered.sort(key=replicas_of, reverse=True)
    added = 0
    sizes: dict[str, int] = {}
    for one in ordered:
        share = _share(one, limits, status_replicas) if to_add and to_add != added else 0
        rest = to_add - added
        share = min(share, rest) if to_add > 0 else max(share, rest)
        sizes[meta.name(one)] = replicas_of(one) + share
        added += share
    if ordered and to_add:
        first = meta.name(ordered[0])
        sizes[first] = max(0, sizes[first] + to_add - added)
    return {meta.name(one): sizes[meta.name(one)] for one in active if sizes[meta.name(one)] != replicas_of(one)}


def _share(found: Obj, limits: Limits, status_replicas: int) -> int:
    current = replicas_of(found)
    if limits.replicas == 0:
        return -current
    noted = meta.annotations(found).get(MAX_REPLICAS, "")
    before = int(noted) if noted.isdigit() and int(noted) > 0 else status_replicas
    if before == 0:
        return 0
    return math.floor(current * limits.max_replicas / before + 0.5) - current
