"""Selectors are read, matched and refused as Kubernetes does; expected values come from the Go packages."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.selector import (
    EVERYTHING,
    SelectorError,
    label_key_problems,
    label_value_problems,
    parse_fields,
    parse_label_selector,
    parse_labels,
    selector_of_labels,
)

LABELS = {"a": "b", "n": "5", "x/y": ""}


@pytest.mark.parametrize(
    ("text", "written", "matches"),
    [
        ("", "", True),
        ("a=b", "a=b", True),
        ("a==b", "a==b", True),
        ("a!=b", "a!=b", False),
        ("c!=b", "c!=b", True),
        ("c=b", "c=b", False),
        ("a in (b,c)", "a in (b,c)", True),
        ("a in (c,b,c)", "a in (b,c)", True),
        ("a notin (b)", "a notin (b)", False),
        ("c notin (b)", "c notin (b)", True),
        ("a", "a", True),
        ("!a", "!a", False),
        ("! c", "!c", True),
        ("a=", "a=", False),
        ("x/y=", "x/y=", True),
        ("x/y in ()", "x/y in ()", True),
        ("x/y in (,q)", "x/y in (,q)", True),
        ("n>4", "n>4", True),
        ("n<5", "n<5", False),
        ("a>4", "a>4", False),
        ("z=1,a=b", "a=b,z=1", False),
        ("a=in", "a=in", False),
        ("in in (in)", "in in (in)", False),
        (" a = b , n ", "a=b,n", True),
    ],
)
def test_label_texts_select(text: str, written: str, matches: bool) -> None:
    selector = parse_labels(text)
    assert str(selector) == written
    assert selector.matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a in x", "unable to parse requirement: found 'x' expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!1=1", "found '=', expected: ',' or 'end of string'"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, "
            "the value must be an integer",
        ),
        (
            "-a=b",
            'unable to parse requirement: <nil>: Invalid value: "-a": name part must consist of alphanumeric '
            "characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or "
            "'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ),
        (
            "a=-b",
            'unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label must be an empty string or '
            "consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
            "character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
            "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
        ),
    ],
)
def test_label_texts_are_refused_in_kubernetes_words(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as error:
        parse_labels(text)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"a": "b"}}, True),
        ({"matchLabels": {"a": "c"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, False),
        ({"matchExpressions": [{"key": "q", "operator": "NotIn", "values": ["b"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "q", "operator": "Exists"}]}, False),
    ],
)
def test_label_selector_objects_select(selector: Any, matches: bool) -> None:
    assert parse_label_selector(selector).matches(LABELS) is matches


def test_label_selector_objects_are_checked() -> None:
    with pytest.raises(SelectorError, match='"Near" is not a valid label selector operator'):
        parse_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})
    with pytest.raises(SelectorError, match="values set can't be empty"):
        parse_label_selector({"matchExpressions": [{"key": "a", "operator": "In"}]})
    with pytest.raises(SelectorError, match="values set must be empty for exists"):
        parse_label_selector({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]})


def test_a_plain_label_map_selects_what_carries_all_of_it() -> None:
    assert selector_of_labels({"a": "b", "n": "5"}).matches(LABELS)
    assert not selector_of_labels({"a": "b", "q": ""}).matches(LABELS)
    assert selector_of_labels(None).everything
    assert EVERYTHING.matches(None)


@pytest.mark.parametrize(
    ("text", "written", "matches"),
    [
        ("metadata.name=x,status.phase!=Running", "metadata.name=x,status.phase!=Running", True),
        ("metadata.name==x", "metadata.name=x", True),
        ("status.phase=Running", "status.phase=Running", False),
        ("status.phase!=Running,metadata.name=y", "metadata.name=y,status.phase!=Running", False),
        (r"metadata.name=a\,b\=c\\", r"metadata.name=a\,b\=c\\", False),
        ("spec.nodeName=", "spec.nodeName=", True),
        (",", "", True),
        ("", "", True),
    ],
)
def test_field_texts_select(text: str, written: str, matches: bool) -> None:
    selector = parse_fields(text)
    assert str(selector) == written
    assert selector.matches({"metadata.name": "x", "status.phase": "Pending"}) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_field_texts_are_refused_in_kubernetes_words(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as error:
        parse_fields(text)
    assert str(error.value) == message


def test_an_exact_field_is_told() -> None:
    assert parse_fields("metadata.name=x,a!=b").exact("metadata.name") == "x"
    assert parse_fields("metadata.name!=x").exact("metadata.name") is None


def test_label_syntax_is_checked() -> None:
    assert label_key_problems("example.com/My_name.1") == []
    assert label_key_problems("a/b/c")
    assert label_key_problems("/a") == ["prefix part must be non-empty"]
    assert label_key_problems("x" * 64) == ["name part must be no more than 63 bytes"]
    assert label_value_problems("") == []
    assert label_value_problems("a" * 64) == ["must be no more than 63 bytes"]
