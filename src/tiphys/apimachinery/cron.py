"""Five-field cron schedules: when is the next time? Pure.

Source: kubernetes.io CronJob documentation; github.com/robfig/cron/v3 ParseStandard, which CronJobs use.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_SHORT: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_HORIZON_DAYS: Final = 5 * 366


class CronError(ValueError):
    """A schedule that cannot be read."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """Minutes, hours, days and months at which something happens, in one time zone."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]  # Sunday is 0
    either_day: bool  # both kinds of day are restricted: one of them is enough
    zone: tzinfo = UTC

    def after(self, moment: datetime) -> datetime | None:
        """The first time later than `moment`, in UTC; None when there is none within five years."""
        local = moment.astimezone(self.zone).replace(second=0, microsecond=0) + timedelta(minutes=1)
        day = local.date()
        for _ in range(_HORIZON_DAYS):
            if self._has_day(day.day, day.month, day.isoweekday() % 7):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = datetime(day.year, day.month, day.day, hour, minute, tzinfo=self.zone).astimezone(UTC)
                        if found > moment:
                            return found
            day += timedelta(days=1)
        return None

    def last_before(self, start: datetime, end: datetime) -> datetime | None:
        """The latest time after `start` and not after `end`."""
        latest: datetime | None = None
        # Back from the end in growing steps, so that a year of missed minutes costs no more than one.
        for span in (timedelta(hours=1), timedelta(days=1), timedelta(days=31), timedelta(days=_HORIZON_DAYS)):
            found = self.after(max(start, end - span))
            while found is not None and found <= end:
                latest = found
                found = self.after(found)
            if latest is not None or end - span <= start:
                break
        return latest

    def _has_day(self, day: int, month: int, weekday: int) -> bool:
        if month not in self.months:
            return False
        if self.either_day:
            return day in self.days or weekday in self.weekdays
        return day in self.days and weekday in self.weekdays


def parse(text: str, zone_name: str = "") -> Schedule:
    """A schedule such as `*/5 8-18 * * mon-fri` or `@daily`. Raises CronError."""
    words = _SHORT.get(text.strip(), text).split()
    if len(words) != 5:
        raise CronError(f"expected exactly 5 fields, found {len(words)}: [{text}]")
    try:
        zone: tzinfo = ZoneInfo(zone_name) if zone_name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        raise CronError(f"unknown time zone {zone_name}") from None
    weekdays = frozenset(day % 7 for day in _field(words[4], 0, 7, _DAYS, 0))
    return Schedule(
        minutes=_field(words[0], 0, 59, (), 0),
        hours=_field(words[1], 0, 23, (), 0),
        days=_field(words[2], 1, 31, (), 1),
        months=_field(words[3], 1, 12, _MONTHS, 1),
        weekdays=weekdays,
        either_day=words[2][0] not in "*?" and words[4][0] not in "*?",
        zone=zone,
    )


def _field(text: str, low: int, high: int, names: tuple[str, ...], first: int) -> frozenset[int]:
    found: set[int] = set()
    for piece in text.split(","):
        span, _, step_text = piece.partition("/")
        step = _number(step_text, (), 0) if step_text else 1
        if span in ("*", "?"):
            begin, end = low, high
        elif "-" in span:
            left, _, right = span.partition("-")
            begin, end = _number(left, names, first), _number(right, names, first)
        else:
            begin = _number(span, names, first)
            end = high if step_text else begin
        if begin < low or end > high or begin > end or step < 1:
            raise CronError(f"{piece!r} is not between {low} and {high}")
        found.update(range(begin, end + 1, step))
    return frozenset(found)


def _number(text: str, names: tuple[str, ...], first: int) -> int:
    if text.lower() in names:
        return names.index(text.lower()) + first
    if not text.isascii() or not text.isdigit():
        raise CronError(f"failed to parse int from {text!r}")
    return int(text)
