"""Worst of the resources' healths: the health of an Application.

Source: compat 4.1 (order best to worst; a missing child does not change health unless nothing is live).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.states import Health, HealthStatus

ORDER: Mapping[HealthStatus, int] = {
    HealthStatus.HEALTHY: 0,
    HealthStatus.SUSPENDED: 1,
    HealthStatus.PROGRESSING: 2,
    HealthStatus.MISSING: 3,
    HealthStatus.DEGRADED: 4,
    HealthStatus.UNKNOWN: 5,
}
_MAX_CAUSES = 3


def is_worse(current: HealthStatus, new: HealthStatus) -> bool:
    """`new` is worse than `current`."""
    return ORDER[new] > ORDER[current]


@dataclass(frozen=True, slots=True)
class Part:
    """One managed resource as the aggregate sees it."""

    key: ResourceKey
    live: bool
    health: Health | None
    hook: bool = False  # hooks are no part of the whole
    ignored: bool = False  # there, but its health does not count: by annotation, or the Application itself


def aggregate(parts: Iterable[Part]) -> Health:
    """Health of the whole, with up to three causes named in the message."""
    worst = HealthStatus.HEALTHY
    causes: list[str] = []
    any_part = any_live = False
    for part in parts:
        if part.hook:
            continue
        any_part = True
        any_live = any_live or part.live
        if part.ignored or not part.live or part.health is None:
            continue
        status = part.health.status
        if part.key.group_kind == ("argoproj.io", "Application") and status in (
            HealthStatus.MISSING,
            HealthStatus.UNKNOWN,
        ):
            continue
        if is_worse(worst, status):
            worst, causes = status, []
        if status == worst and status is not HealthStatus.HEALTHY:
            causes.append(f"{part.key.group}/{part.key.kind}:{part.key.namespace}/{part.key.name}")
    if any_part and not any_live and is_worse(worst, HealthStatus.MISSING):
        return Health(HealthStatus.MISSING)
    if not causes:
        return Health(worst)
    named = ", ".join(causes[:_MAX_CAUSES])
    more = len(causes) - _MAX_CAUSES
    return Health(worst, f"{named} and {more} more" if more > 0 else named)
