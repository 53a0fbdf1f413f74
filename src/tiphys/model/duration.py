"""Durations as Go writes them, and the looser form of retry settings."""

from __future__ import annotations

import re
from datetime import timedelta
from fractions import Fraction

_UNITS_S = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_TERM = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """`1h30m`, `-1.5s`, `0`: Go's time.ParseDuration; days do not exist. Raises ValueError.

    Differs: below a microsecond is rounded, because Python's timedelta ends there.
    """
    body = text
    sign = 1
    if body[:1] in ("+", "-"):
        sign = -1 if body[0] == "-" else 1
        body = body[1:]
    if body == "0":
        return timedelta()
    total = Fraction(0)
    position = 0
    while position < len(body):
        match = _TERM.match(body, position)
        if match is None or not (match[1] or match[2]):
            raise ValueError(f'"{text}" is not a duration')
        whole, fraction, unit = match[1] or "0", match[2] or "", match[3]
        total += Fraction(int(whole + fraction), 10 ** len(fraction)) * _UNITS_S[unit]
        position = match.end()
    if position == 0 or total >= 2**63 // 10**9:
        raise ValueError(f'"{text}" is not a duration')
    return timedelta(microseconds=round(sign * total * 10**6))


def parse_retry_duration(text: str) -> timedelta:
    """A duration of a retry strategy: a bare integer means seconds. Raises ValueError. Source: compat 2.6."""
    if _INTEGER.fullmatch(text):
        seconds = int(text)
        if abs(seconds) >= 2**63 // 10**9:
            raise ValueError(f'"{text}" is not a duration')
        return timedelta(seconds=seconds)
    return parse_duration(text)


def format_duration(duration: timedelta) -> str:
    """The form Go prints: `1h30m0s`, `1.5s`, `250ms`, `0s`."""
    micros = duration // timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    if micros == 0:
        return "0s"
    if micros < 1000:
        return f"{sign}{micros}µs"
    if micros < 10**6:
        return f"{sign}{_decimal(micros, 3)}ms"
    minutes, rest = divmod(micros, 60 * 10**6)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_decimal(rest, 6)}s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else f"{sign}{seconds}"


def _decimal(value: int, places: int) -> str:
    whole, fraction = divmod(value, 10**places)
    digits = f"{fraction:0{places}}".rstrip("0")
    return f"{whole}.{digits}" if digits else str(whole)
