"""Sync windows of an AppProject: may an Application be synced now, and when does that answer change? Pure.

An active deny window says no. Else an active allow window says yes; and where there are allow windows but none is active, no.
`manualSync` makes exceptions for what is asked for by hand, `syncOverrun` for an operation that was allowed when it began.

Times of a schedule are those of the window's time zone with the offset it has at the moment of the question.

Source: compat 2.8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tiphys.apimachinery import cron
from tiphys.model.application import Application
from tiphys.model.appproject import AppProject, SyncWindow
from tiphys.model.duration import parse_duration
from tiphys.policy.answer import ALLOWED, Answer, denied
from tiphys.policy.glob import glob_match

ALLOW, DENY = "allow", "deny"
BLOCKED = "cannot sync: blocked by sync window"
INVALID = "cannot sync: invalid sync window"
RUNNING_BLOCKED = "Sync operation blocked by sync window"


class WindowError(ValueError):
    """A window whose kind, schedule or duration cannot be read."""


@dataclass(frozen=True, slots=True)
class State:
    """The windows that are about one Application, at one moment."""

    assigned: tuple[SyncWindow, ...]
    active: tuple[SyncWindow, ...]
    edge: datetime | None  # when a window opens or closes next; no later than that the answer may be another

    @property
    def active_denies(self) -> tuple[SyncWindow, ...]:
        """Deny windows that are open."""
        return tuple(window for window in self.active if window.kind == DENY)

    @property
    def inactive_allows(self) -> tuple[SyncWindow, ...]:
        """Allow windows that are not open."""
        return tuple(w for w in self.assigned if w.kind == ALLOW and w not in self.active)

    def permits(self, *, manual: bool) -> bool:
        """Whether a sync may begin."""
        denies = self.active_denies
        if denies:
            return manual and all(window.manual_sync for window in denies)
        if any(window.kind == ALLOW for window in self.active):
            return True
        closed = self.inactive_allows
        return not closed or (manual and all(window.manual_sync for window in closed))


def matches(window: SyncWindow, app: Application) -> bool:
    """The window is about the Application: one of its lists names it, or with andOperator each that has entries."""
    destination = app.spec.destination
    found: list[bool] = []
    if window.applications:
        found.append(any(glob_match(pattern, app.name) for pattern in window.applications))
    if window.clusters:
        names = [name for name in (destination.name, destination.server) if name]
        found.append(any(glob_match(pattern, name) for pattern in window.clusters for name in names))
    if window.namespaces:
        found.append(any(glob_match(pattern, destination.namespace) for pattern in window.namespaces))
    return all(found) and bool(found) if window.use_and_operator else any(found)


def state_of(windows: Sequence[SyncWindow], app: Application, now: datetime) -> State:
    """The windows that are about the Application, and which of them are open. Raises WindowError."""
    assigned = tuple(window for window in windows if matches(window, app))
    active: list[SyncWindow] = []
    edges: list[datetime] = []
    for window in assigned:
        opened, edge = _look(window, now)
        if opened:
            active.append(window)
        if edge is not None:
            edges.append(edge)
    return State(assigned, tuple(active), min(edges, default=None))


def active_windows(windows: Sequence[SyncWindow], now: datetime) -> tuple[SyncWindow, ...]:
    """Those of a project that are open, whichever Applications they are about. Raises WindowError."""
    return tuple(window for window in windows if _look(window, now)[0])


def can_sync(
    project: AppProject, app: Application, now: datetime, manual: bool, started_at: datetime | None = None
) -> Answer:
    """Whether the windows of its project let an Application be synced now.

    `manual` says that somebody asks for it by hand. With `started_at` it is an operation under way since then.
    """
    windows = project.spec.sync_windows
    if not windows:
        return ALLOWED
    try:
        state = state_of(windows, app, now)
        if state.permits(manual=manual):
            return ALLOWED
        if started_at is not None and _may_overrun(windows, app, state, started_at, manual=manual):
            return ALLOWED
    except WindowError as error:
        return denied(f"{INVALID}: {error}")
    return denied(BLOCKED)


def blocked_message(answer: Answer) -> str:
    """What stands in an operation that must wait because of this answer."""
    problem = answer.reason.removeprefix(INVALID).removeprefix(BLOCKED)
    return f"{RUNNING_BLOCKED}{problem}"


def next_edge(project: AppProject, app: Application, now: datetime) -> datetime | None:
    """When a window that is about the Application opens or closes next; None when none does or it cannot be told."""
    try:
        return state_of(project.spec.sync_windows, app, now).edge
    except WindowError:
        return None


def _may_overrun(
    windows: Sequence[SyncWindow], app: Application, state: State, started_at: datetime, *, manual: bool
) -> bool:
    """An operation that was allowed at its start goes on when every window that stands against it now lets it."""
    against = state.active_denies or state.inactive_allows
    if not all(window.sync_overrun for window in against):
        return False
    return state_of(windows, app, started_at).permits(manual=manual)


def _look(window: SyncWindow, now: datetime) -> tuple[bool, datetime | None]:
    """(is it open, when that changes). The start belongs to the window, the end does not."""
    if window.kind not in (ALLOW, DENY):
        raise WindowError(f"kind '{window.kind}' mismatch: can only be allow or deny")
    schedule, duration = _schedule(window.schedule), _duration(window.duration)
    local = _shown(now, window.time_zone)
    start = schedule.after(local - duration)
    if start is None:
        return False, None
    opened = start <= local
    edge = start + duration if opened else start
    return opened, _real(edge, now, window.time_zone)


def _shown(moment: datetime, zone: str) -> datetime:
    """What a clock in the zone shows, written as if it were UTC: a schedule is then read without any zone."""
    return moment.astimezone(_zone(zone)).replace(tzinfo=UTC)


def _real(shown: datetime, now: datetime, zone: str) -> datetime:
    """When a clock in the zone shows this. Where its offset changes before then, the earlier of the two readings."""
    info = _zone(zone)
    offset = now.astimezone(info).utcoffset() or timedelta()
    by_now = shown - offset
    then = by_now.astimezone(info).utcoffset() or timedelta()
    by_then = shown - then
    return min((moment for moment in (by_now, by_then) if moment > now), default=by_now)


@lru_cache(maxsize=512)
def _schedule(text: str) -> cron.Schedule:
    if text.strip().startswith("@"):
        raise WindowError(f"cannot parse schedule '{text}': expected exactly 5 fields, found 1: [{text}]")
    try:
        return cron.parse(text)
    except cron.CronError as error:
        raise WindowError(f"cannot parse schedule '{text}': {error}") from None


@lru_cache(maxsize=512)
def _duration(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise WindowError(f"cannot parse duration '{text}': {error}") from None


@lru_cache(maxsize=128)
def _zone(name: str) -> ZoneInfo:
    """The zone; UTC when there is none of this name."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")
