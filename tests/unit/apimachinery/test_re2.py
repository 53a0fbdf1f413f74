"""Regular expressions as Go reads them: what matches, what is refused in which words, and that nothing explodes."""

from __future__ import annotations

import time

import pytest

from tiphys.apimachinery.re2 import Pattern, PatternCostError, PatternError, compile_pattern
from tiphys.apimachinery.schema import Schema
from tiphys.apimachinery.schemavalidation import validate


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        (r"(?=a)b", "invalid or unsupported Perl syntax: `(?=`"),
        (r"(?<=a)b", "invalid named capture: `(?<=a)b`"),
        (r"(?<n!>a)", "invalid named capture: `(?<n!>`"),
        (r"(a)\1", r"invalid escape sequence: `\1`"),
        (r"a\Z", r"invalid escape sequence: `\Z`"),
        (r"a++", "invalid nested repetition operator: `++`"),
        (r"a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
        (r"a|*", "missing argument to repetition operator: `*`"),
        (r"[z-a]", "invalid character class range: `z-a`"),
        (r"[[:word", "missing closing ]: `[[:word`"),
        (r"[[:foo:]]", "invalid character class range: `[:foo:]`"),
        (r"(a", "missing closing ): `(a`"),
        (r"a)", "unexpected ): `a)`"),
        ("\\", "trailing backslash at end of expression: ``"),
        (r"a{1001}", "invalid repeat count: `{1001}`"),
        (r"(a{100}){11}", "invalid repeat count: `{11}`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
    ],
)
def test_what_go_refuses_is_refused_in_its_words(pattern: str, said: str) -> None:
    with pytest.raises(PatternError) as caught:
        Pattern(pattern)
    assert str(caught.value) == f"error parsing regexp: {said}"


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("^a$", "a\n", False),
        ("b", "abc", True),
        ("", "", True),
        ("(?m)^b$", "a\nb\nc", True),
        ("^b$", "a\nb\nc", False),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("[^a]", "\n", True),
        (r"^\d$", "٣", False),
        (r"\bfoo\b", "a foo b", True),
        (r"\bfoo\b", "afoo", False),
        (r"a\Bb", "ab", True),
        ("(?i)straße", "STRAßE", True),
        ("(?i)k", "\u212a", True),
        (r"^\p{Lu}\pL+$", "Ärger", True),
        (r"^\P{Greek}$", "α", False),
        (r"^[^\PL]$", "x", True),
        (r"\Qa.b\E+", "a.bbb", True),
        (r"\Qa.b\E", "axb", False),
        ("^(?:a{2,3}){2}$", "aaaaa", True),
        ("^(?:a{2,3}){2}$", "aaa", False),
        ("a{,3}", "a{,3}", True),
        ("^(|a)*$", "aaa", True),
        ("^[]a-]+$", "]-a", True),
        (r"^\x41\x{1F600}\101$", "A\U0001f600A", True),
    ],
)
def test_what_matches(pattern: str, text: str, expected: bool) -> None:
    assert Pattern(pattern).search(text) is expected
    assert Pattern(pattern).search(text) is expected


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^(a+)+$", "a" * 20_000 + "b"),
        ("^(a|aa)+$", "a" * 20_000 + "b"),
        ("(x+x+)+y", "x" * 20_000),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 20_000),
        ("([ab]*a[ab]{20})+c", "ab" * 10_000),
    ],
)
def test_time_grows_with_the_text_only(pattern: str, text: str) -> None:
    start = time.perf_counter()
    assert not Pattern(pattern).search(text)
    assert time.perf_counter() - start < 5


def test_an_expression_with_too_many_states_is_given_up() -> None:
    with pytest.raises(PatternCostError):
        Pattern("(?:" + "|".join(["[a-z]b?" * 40] * 20) + "){400}").search("a")


def test_a_value_is_refused_at_once_by_a_pattern_made_to_hang() -> None:
    schema = Schema({"type": "object", "properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}})
    found = validate({"a": "a" * 5000 + "!"}, schema)
    assert [one.field for one in found] == ["a"]
    assert "in body should match '^(a+)+$'" in found[0].message


def test_the_same_expression_is_compiled_once() -> None:
    assert compile_pattern("^once$") is compile_pattern("^once$")
