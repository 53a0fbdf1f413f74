"""`Clock` protocol (now, monotonic, sleep) and the system clock; the only module that reads time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of time. Anything that asks for the time or waits for it to pass takes one as an argument."""

    def now(self) -> datetime:
        """Wall-clock time, always aware and in UTC. For stamps and for rules about dates, never for durations."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back. For durations and deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed; zero or less still gives other tasks a turn."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Wall-clock time in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since an arbitrary point."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Return once `seconds` have passed."""
        await asyncio.sleep(max(0.0, seconds))


def format_time(moment: datetime) -> str:
    """Kubernetes `metav1.Time`: UTC, whole seconds, `2026-01-02T03:04:05Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='seconds')[:-6]}Z"


def format_micro_time(moment: datetime) -> str:
    """Kubernetes `metav1.MicroTime`: UTC with six digits of a second, `2026-01-02T03:04:05.000006Z`."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return f"{moment.isoformat(timespec='microseconds')[:-6]}Z"


def parse_time(text: str) -> datetime:
    """RFC 3339 text to an aware UTC datetime; digits beyond microseconds are dropped. Raises ValueError."""
    head, dot, rest = text.partition(".")
    if dot:
        digits = len(rest) - len(rest.lstrip("0123456789"))
        text = f"{head}.{rest[: min(digits, 6)].ljust(6, '0')}{rest[digits:]}"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone")
    return moment.astimezone(UTC)
