"""A difference is either a row of the table or a failure, and so is a row without a difference."""

from __future__ import annotations

from collections import Counter

from tests.devcluster.compare.allowed import Row, judged, rows
from tests.devcluster.compare.normal import Difference, differences, plain
from tests.devcluster.compare.scenarios import scenarios


def _row(case: str, at: str, name: str = "one") -> Row:
    from tests.devcluster.compare.allowed import _pattern

    return Row(name, "", "", "", ((_pattern(case), _pattern(at), ""),), "")


def test_an_unlisted_difference_and_a_listed_one_that_is_gone_are_both_found() -> None:
    found = [Difference("lists: all", "/code", 200, 400)]
    assert judged(found, [_row("lists: *", "/code")]) == ([], [])
    assert judged(found, [_row("lists: *", "/body*")])[0] == found
    assert [row.id for row in judged([], [_row("*", "*", "gone")])[1]] == ["gone"]


def test_answers_differ_where_they_differ_and_only_there() -> None:
    real = {"code": 200, "headers": {}, "body": {"a": [1, {"b": 2}], "c": 1}}
    ours = {"code": 200, "headers": {}, "body": {"a": [1, {"b": 3}], "d": 1}}
    assert [one.where for one in differences("x", real, ours)] == ["/body/a/1/b", "/body/c", "/body/d"]
    assert [one.where for one in differences("x", real, {**ours, "code": 404})] == ["/code"]


def test_what_is_drawn_by_each_server_is_made_plain() -> None:
    uid = "01234567-89ab-cdef-0123-456789abcdef"
    given = {"uid": uid, "resourceVersion": "12", "message": f"uid {uid} at 2026-01-01T00:00:00Z", "nodePort": 30000}
    assert plain(given) == {
        "uid": "UID",
        "resourceVersion": "VERSION",
        "message": "uid UID at TIME",
        "nodePort": "PORT",
    }


def test_every_request_has_a_name_of_its_own_and_every_row_a_reason() -> None:
    names = Counter(case for one in scenarios() for case, _ in one.cases())
    assert max(names.values()) == 1
    spaces = Counter(one.namespace for one in scenarios())
    assert max(spaces.values()) == 1
    table = rows()
    assert len({row.id for row in table}) == len(table)
    assert all(row.where and row.here and row.there for row in table)
