"""YAML is read and written the way Kubernetes' own programs do it; expected values come from Go's sigs yaml."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.yamljson import (
    YamlError,
    YamlLimits,
    canonical_json,
    digest,
    dump_yaml,
    load_all,
    load_one,
)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("y", True),
        ("on", True),
        ("NO", False),
        ("off", False),
        ("nO", "nO"),
        ("~", None),
        ("", None),
        ("0777", 511),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0b1", -1),
        ("08", 8),
        ("1_000", 1000),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e500", "1e500"),
        ("12:30", "12:30"),
        ("=", "="),
        ("2001-01-01", "2001-01-01"),
        ("2001-01-01T00:00:00Z", "2001-01-01T00:00:00Z"),
        ("1.2.3", "1.2.3"),
        ("18446744073709551615", 18446744073709551615),
        ("18446744073709551616", 18446744073709551616.0),
        ("'1'", "1"),
        ('"on"', "on"),
        ("!!str 1", "1"),
        ("!!binary aGVsbG8=", "hello"),
        ("!custom x", "x"),
        ("１２", "１２"),
    ],
)
def test_scalars_resolve_as_in_go(written: str, value: Any) -> None:
    read = load_one(f"a: {written}\n")["a"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("n: 1", {"false": 1}),
        ("0x10: x", {"16": "x"}),
        ("1.5: x", {"1.5": "x"}),
        ("1e6: x", {"1e+06": "x"}),
        ("2001-01-01: x", {"2001-01-01": "x"}),
        (".inf: x", {".inf": "x"}),
    ],
)
def test_keys_become_text(written: str, value: Any) -> None:
    assert load_one(written) == value


def test_the_later_of_equal_keys_wins_unless_strict() -> None:
    assert load_one("a: 1\nb: 2\na: 3\n") == {"a": 3, "b": 2}
    with pytest.raises(YamlError) as error:
        load_one("a: 1\nb: 2\na: 3\n", strict=True)
    assert (error.value.line, error.value.column) == (3, 1)
    assert 'key "a" already set in map' in str(error.value)
    with pytest.raises(YamlError):
        load_one('{"a": 1, "a": 2}', strict=True)


def test_merge_keys_are_written_where_they_stand() -> None:
    assert load_one("x: &x {a: 1, b: 2}\nw: {<<: *x, b: 3}\n")["w"] == {"a": 1, "b": 3}
    assert load_one("x: &x {a: 1}\nw: {a: 5, <<: *x}\n")["w"] == {"a": 1}
    assert load_one("x: &x {a: 1}\nz: &z {a: 2, c: 3}\nw: {<<: [*x, *z]}\n")["w"] == {"a": 1, "c": 3}


def test_aliases_are_copies() -> None:
    read = load_one("x: &x {a: [1]}\nw: *x\n")
    read["x"]["a"].append(2)
    assert read["w"] == {"a": [1]}


def test_empty_documents_are_left_out() -> None:
    assert load_all("# only\n---\na: 1\n---\n---\nnull\n---\nb: 2\n") == [{"a": 1}, {"b": 2}]
    assert load_all("") == []
    assert load_one("---\n") is None


def test_json_is_read_with_whole_floats_as_integers() -> None:
    assert load_all('{"a": 1.0, "b": 1e2, "c": 1.5, "d": [true, null]}') == [
        {"a": 1, "b": 100, "c": 1.5, "d": [True, None]}
    ]
    assert type(load_one('{"a": 1.0}')["a"]) is int
    assert load_all('{"a": 1}\n---\n{"a": 2}\n') == [{"a": 1}, {"a": 2}]
    assert load_all("{a: b}") == [{"a": "b"}]


def test_a_second_document_is_refused_where_one_is_expected() -> None:
    with pytest.raises(YamlError, match="second document"):
        load_one("a: 1\n---\nb: 1\n")


def test_errors_say_document_line_and_column() -> None:
    with pytest.raises(YamlError) as error:
        load_all("a: 1\n---\nb: c: d\n")
    assert (error.value.document, error.value.line, error.value.column) == (1, 3, 5)


@pytest.mark.parametrize(
    "text",
    [
        "a: *x\n",
        "a: &a [*a]\n",
        "? [a]\n: b\n",
        "null: 1\n",
        "a: .nan\n",
        "<<: 1\n",
        "a: !!int x\n",
        "\ta: b\n",
        b"\xff\xfe\xfa",
        "a: \x00",
    ],
)
def test_what_go_refuses_is_refused(text: str | bytes) -> None:
    with pytest.raises(YamlError):
        load_all(text)


def test_nesting_is_limited_before_it_costs_stack() -> None:
    for text in ("[" * 100_000, "{a: " * 100_000, "- " * 100_000):
        with pytest.raises(YamlError):
            load_all(text)
    with pytest.raises(YamlError, match="nested more than 5 deep"):
        load_all("{a: " * 8 + "1" + "}" * 8, limits=YamlLimits(depth=5))


def test_the_deepest_text_that_is_allowed_is_read() -> None:
    for text in ("[" * 200 + "]" * 200, "[" * 199 + "&a []" + "]" * 199):
        assert len(load_all(text)) == 1
    with pytest.raises(YamlError, match="nested more than 200 deep"):
        load_all("[" * 201 + "]" * 201)
    with pytest.raises(YamlError, match="nested more than 200 deep"):
        load_all('{"a":' * 201 + "1" + "}" * 201)


@pytest.mark.parametrize(
    "text", ["9" * 5000, "." + "1" * 100_000 + "x", "0" * 100_000 + "x", "1:" * 50_000 + "x"], ids=str.__len__
)
def test_long_scalars_cost_no_time(text: str) -> None:
    assert dump_yaml(load_one(f"a: {text}"))


def test_alias_bombs_are_refused() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)
    )
    with pytest.raises(YamlError, match="excessive aliasing"):
        load_all(bomb, limits=YamlLimits(aliased_values=10_000))


def test_documents_and_size_are_limited() -> None:
    with pytest.raises(YamlError, match="more than 3 documents"):
        load_all("a: 1\n---\n" * 4, limits=YamlLimits(documents=3))
    with pytest.raises(YamlError, match="larger than the limit"):
        load_all("a: 1\n", limits=YamlLimits(size_bytes=3))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a10": 2, "a2": 3, "A": 4, "_": 5}, "_: 5\nA: 4\na2: 3\na10: 2\nb: 1\n"),
        ({"a": [{"b": 1, "c": [1]}, [2, [3]]]}, "a:\n- b: 1\n  c:\n  - 1\n- - 2\n  - - 3\n"),
        ({"a": {}, "b": [], "c": None, "d": True}, "a: {}\nb: []\nc: null\nd: true\n"),
        (
            {"a": "true", "y": "1", "c": "", "d": "0x1", "e": "2001-01-01"},
            'a: "true"\nc: ""\nd: "0x1"\ne: "2001-01-01"\n"y": "1"\n',
        ),
        (
            {"a": "x: y", "b": "#c", "d": " e", "f": "it's", "g": "*h"},
            "a: 'x: y'\nb: '#c'\nd: ' e'\nf: it's\ng: '*h'\n",
        ),
        (
            {"a": "x\ny\n", "b": "x\ny", "c": "x\n\n", "d": " x\ny"},
            "a: |\n  x\n  y\nb: |-\n  x\n  y\nc: |+\n  x\n\nd: |2-\n   x\n  y\n",
        ),
        ({"a": "x\ty", "b": "é", "c": "x \ny"}, 'a: "x\\ty"\nb: é\nc: "x \\ny"\n'),
        (
            {"a": 1.5, "b": 1234567.5, "c": 2**63, "d": 0.00001},
            "a: 1.5\nb: 1.2345675e+06\nc: 9223372036854775808\nd: 1e-05\n",
        ),
        ({"k" * 129: {"a": 1}}, "? " + "k" * 129 + "\n:\n  a: 1\n"),
        ([], "[]\n"),
        ("a\nb", "|-\n  a\n  b\n"),
    ],
)
def test_yaml_is_written_as_kubectl_prints_it(value: Any, text: str) -> None:
    assert dump_yaml(value) == text
    assert load_all(text) == [value]


def test_canonical_json_is_equal_for_equal_values() -> None:
    assert canonical_json({"b": 1, "a": [True, None, "é"]}) == '{"a":[true,null,"é"],"b":1}'.encode()
    assert canonical_json({"b": 2**70, "a": 1}) == b'{"a":1,"b":1180591620717411303424}'
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    with pytest.raises(ValueError, match="not JSON serializable"):
        canonical_json({"a": object()})
