"""RFC 3339 times as Kubernetes writes them: UTC, whole seconds, `Z`."""

from __future__ import annotations

from datetime import UTC, datetime

_SHORTEST = len("2006-01-02T15:04:05Z")


def parse_time(text: str) -> datetime:
    """An aware UTC datetime; fractions of a second are cut off as Kubernetes does. Raises ValueError.

    Only RFC 3339 is read: date, `T`, time with seconds, then `Z` or an offset with a colon.
    """
    if len(text) == _SHORTEST and text[10] == "T" and text[19] == "Z" and text[4] == text[7] == "-":
        try:
            return datetime.fromisoformat(text)  # what Kubernetes writes: nothing to cut, UTC already
        except ValueError:
            raise ValueError(f"{text!r} is not an RFC 3339 time") from None
    if (
        len(text) < _SHORTEST
        or text[10] not in "Tt"
        or not text[4] == text[7] == "-"
        or text[13] != ":"
        or text[16] != ":"
    ):
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    if text[-1] in "Zz":
        body = text[:-1] + "+00:00"
    elif text[-6] in "+-" and text[-3] == ":":
        body = text
    else:
        raise ValueError(f"{text!r} is not an RFC 3339 time")
    try:
        # Nanoseconds are more digits than fromisoformat of Python 3.11 takes, and they are cut anyway.
        dot = body.find(".", 19, -6)
        if dot != -1:
            if not body[dot + 1 : -6].isdecimal():
                raise ValueError
            body = body[:dot] + body[-6:]
        return datetime.fromisoformat(body).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is not an RFC 3339 time") from None


def format_time(moment: datetime) -> str:
    """`2006-01-02T15:04:05Z`; `moment` must be aware."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return (
        f"{moment.isoformat(timespec='seconds')[:-6]}Z"  # half of what strftime takes, and right before the year 1000
    )


def whole_seconds(moment: datetime) -> datetime:
    """`moment` in UTC without its fraction: what a round trip through the API server leaves of it."""
    return moment.astimezone(UTC).replace(microsecond=0)
