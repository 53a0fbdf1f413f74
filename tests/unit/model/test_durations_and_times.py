"""Durations and times are read as Go reads them; retries wait as Argo CD's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tiphys.model.duration import format_duration, parse_duration, parse_retry_duration
from tiphys.model.syncpolicy import Backoff, RetryStrategy
from tiphys.model.time import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("5s", 5), ("1h30m", 5400), ("-1.5s", -1.5), ("+2m", 120), (".5s", 0.5), ("1.s", 1), ("250ms", 0.25)],
)
def test_go_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "5 s", "s", ".s", "-", "1h 2m", "٥s", "9999999999h"])
def test_what_go_refuses_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize(("text", "printed"), [("5s", "5s"), ("90m", "1h30m0s"), ("61.5s", "1m1.5s"), ("20ms", "20ms")])
def test_durations_print_as_go_prints_them(text: str, printed: str) -> None:
    assert format_duration(parse_duration(text)) == printed


def test_a_bare_integer_is_seconds_in_retry_settings() -> None:
    assert parse_retry_duration("10") == timedelta(seconds=10)
    assert parse_retry_duration("10m") == timedelta(minutes=10)


def test_retry_waits_grow_by_the_factor_up_to_the_maximum() -> None:
    at = datetime(2024, 1, 1, tzinfo=UTC)
    waits = [(RetryStrategy(limit=9).next_retry_at(at, n) - at).total_seconds() for n in range(8)]
    assert waits == [5, 10, 20, 40, 80, 160, 180, 180]
    custom = RetryStrategy(backoff=Backoff(duration="1", factor=3, max_duration="1m"))
    assert [custom.wait(n).total_seconds() for n in range(5)] == [1, 3, 9, 27, 60]
    assert RetryStrategy(backoff=Backoff(duration="2s", factor=0)).wait(1) == timedelta()
    assert RetryStrategy().wait(5000) == timedelta(minutes=3)


def test_retry_limit() -> None:
    assert [RetryStrategy(limit=2).allows(n) for n in (0, 1, 2)] == [True, True, False]
    assert RetryStrategy(limit=-1).allows(10**6)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"),
        ("2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09Z"),
        ("2024-05-06T07:08:09+02:00", "2024-05-06T05:08:09Z"),
    ],
)
def test_times(text: str, printed: str) -> None:
    assert format_time(parse_time(text)) == printed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-05-06",
        "2024-05-06T07:08Z",
        "2024-05-06 07:08:09Z",
        "20240506T070809Z     ",
        "2024-13-06T07:08:09Z",
        "2024-W01-1T00:00:00Z",
    ],
)
def test_what_is_no_rfc3339_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 time"):
        parse_time(text)
