"""Tables, times and durations as Go prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from tiphys.cli.app.history import history_table
from tiphys.cli.output import go_duration, go_time, seconds_between, table, tabulate


def test_columns_are_as_wide_as_their_widest_cell_and_two_blanks() -> None:
    """The last cell is not padded."""
    assert table([("NAME", "PROJECT", "X"), ("a-long-name", "p", "y")]) == (
        "NAME         PROJECT  X\na-long-name  p        y\n"
    )


def test_an_empty_column_is_two_blanks_wide() -> None:
    """As text/tabwriter with padding 2."""
    assert tabulate("a\t\tb\n") == "a    b\n"


def test_each_run_of_lines_has_its_own_widths() -> None:
    """A line without the column ends the run."""
    assert tabulate("long-cell\tx\n\na\ty\n") == "long-cell  x\n\na  y\n"


def test_a_trailing_cell_does_not_widen_its_column() -> None:
    """Which is why a long repository URL does not push the dates of a history apart."""
    entries = [
        {
            "id": 0,
            "deployedAt": "2026-01-02T03:04:05Z",
            "revision": "abcdef0123456789",
            "source": {"repoURL": "https://example.com/a-very-long-repository-name.git", "targetRevision": "main"},
        }
    ]
    lines = history_table(entries).splitlines()
    assert lines[0] == "SOURCE  https://example.com/a-very-long-repository-name.git"
    assert lines[1].startswith("ID      DATE  ")
    assert lines[2].endswith("main (abcdef0)")


def test_history_has_a_block_for_each_repository() -> None:
    """In the order in which they first appear."""
    entries = [
        {
            "id": 3,
            "deployedAt": "2026-01-02T03:04:05Z",
            "revisions": ["1111111aaa", "2222222bbb"],
            "sources": [{"repoURL": "a", "targetRevision": "v1"}, {"repoURL": "b", "targetRevision": ""}],
        }
    ]
    blocks = history_table(entries).split("\n\n")
    assert [block.splitlines()[0].split() for block in blocks] == [["SOURCE", "a"], ["SOURCE", "b"]]
    assert blocks[0].splitlines()[2].endswith("v1 (1111111)")


def test_minimum_width_holds_for_every_column() -> None:
    """Progress lines use it."""
    assert tabulate("a\tb\tc\n", min_width=5) == "a    b    c\n"


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-02T03:04:05Z", UTC, "2026-01-02 03:04:05 +0000 UTC"),
        ("2026-01-02T03:04:05Z", timezone(timedelta(hours=2), "CEST"), "2026-01-02 05:04:05 +0200 CEST"),
        (None, UTC, "<nil>"),
        ("soon", UTC, "soon"),
    ],
)
def test_times_are_go_s(text: str | None, zone: timezone, expected: str) -> None:
    """time.Time.String()."""
    assert go_time(text, zone) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0s"), (59, "59s"), (90, "1m30s"), (3600, "1h0m0s"), (-5, "-5s")]
)
def test_durations_are_go_s(seconds: int, expected: str) -> None:
    """time.Duration.String() of whole seconds."""
    assert go_duration(seconds) == expected


def test_an_operation_that_runs_lasts_until_now() -> None:
    """And one that ended until its end."""
    now = datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC)
    assert seconds_between("2026-01-01T00:00:00Z", None, now) == 60
    assert seconds_between("2026-01-01T00:00:00Z", "2026-01-01T00:00:07Z", now) == 7
