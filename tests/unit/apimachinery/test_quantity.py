"""Quantities read and written as resource.Quantity does; expected values come from the Go package."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tiphys.apimachinery.quantity import QuantityError, canonical, parse


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1e3"),
        ("10e2", "1e3"),
        ("1E3", "1E3"),
        ("100E", "100E"),
        ("1E", "1E"),
        ("-1.5Gi", "-1536Mi"),
        ("1.1Ki", "1126400m"),
        ("0.5Ki", "512"),
        ("1000", "1k"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5", "1500m"),
        ("0", "0"),
        ("0Ki", "0"),
        ("-0", "0"),
        ("0.0", "0"),
        (".5", "500m"),
        ("5.", "5."),
        ("+5", "+5"),
        ("05", "05"),
        ("1.500", "1.500"),
        ("1.1Gi", "1181116006400m"),
        ("1048576Ki", "1Gi"),
        ("1025Ki", "1025Ki"),
        ("8Ei", "9223372036854775807"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("1.0000000001", "1000000001n"),
        ("1e-10", "1e-9"),
        ("12345678901234567890123", "12345678901234567890123"),
        (2, "2"),
        (0.1, "100m"),
    ],
)
def test_the_server_stores_the_canonical_text(text: str | float, stored: str) -> None:
    assert canonical(text) == stored
    assert canonical(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        pytest.param("1" * 5000, id="long"),
        pytest.param("0" * 100_000 + "x", id="very long"),
        "1 ",
        "1_0",
        "1.2.3",
        "1g",
        "1e1.5",
        "0x1",
        "abc",
        "１",
        "1\n",
    ],
)
def test_what_does_not_look_like_a_quantity_is_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="quantities must match the regular expression"):
        parse(text)


@pytest.mark.parametrize("text", ["--1", "1K", "1ki", "1Ki5", "5+3", "1e", "1i", "1e99999"])
def test_unknown_suffixes_are_refused(text: str) -> None:
    with pytest.raises(QuantityError, match="unable to parse quantity's suffix"):
        parse(text)


def test_a_boolean_is_no_quantity() -> None:
    with pytest.raises(QuantityError):
        parse(True)


def test_quantities_compare_by_value() -> None:
    assert parse("1Gi") == parse("1024Mi") == 1073741824
    assert parse("1Gi") > parse("1G")
    assert parse("500m") == Fraction(1, 2)
    assert parse("0.1") < Fraction(1, 5) <= parse("200m")
    assert parse("-1") < 0
    assert parse("1") >= 1
    assert len({parse("1Gi"), parse("1024Mi"), parse("1")}) == 2
    assert parse("1") != "1"


def test_sums_keep_the_first_format() -> None:
    assert str(parse("512Mi") + parse("512Mi")) == "1Gi"
    assert str(parse("0") + parse("1024Ki")) == "1Mi"
    assert str(parse("1") - parse("250m")) == "750m"
