"""Durations as `kubectl get` shows them: `5s`, `3m12s`, `2d4h`."""

from __future__ import annotations

from datetime import datetime

from tiphys.runtime.clock import parse_time


def human_duration(seconds: float) -> str:
    """A duration in at most two units, coarser the longer it is.

    Source: apimachinery pkg/util/duration HumanDuration.
    """
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 120:
        return f"{whole}s"
    minutes, hours = whole // 60, whole // 3600
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if hours < 24 * 365 * 2:
        return f"{days}d"
    if hours < 24 * 365 * 8:
        return _two(days // 365, "y", days % 365, "d")
    return f"{days // 365}y"


def _two(first: int, unit: str, second: int, smaller: str) -> str:
    return f"{first}{unit}{second}{smaller}" if second else f"{first}{unit}"


def since(timestamp: object, now: datetime) -> str:
    """Time passed since an RFC 3339 text, `<unknown>` when there is none."""
    if not timestamp or not isinstance(timestamp, str):
        return "<unknown>"
    try:
        return human_duration((now - parse_time(timestamp)).total_seconds())
    except ValueError:
        return "<invalid>"
