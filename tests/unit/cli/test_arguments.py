"""Arguments as Argo CD's users type them."""

from __future__ import annotations

from typing import Any

import click
import pytest

from tiphys.cli.arguments import Noun, Verb, flag, given_globals, ordered


def _root() -> tuple[click.Group, dict[str, Any]]:
    seen: dict[str, Any] = {}

    @click.group("tiphys", cls=Noun)
    def root() -> None:
        """Root."""

    @root.command("do", cls=Verb)
    @click.argument("names", nargs=-1)
    @flag("--cascade", default=True)
    @flag("-y", "--yes")
    @click.option("-p", "--password", default="")
    @click.pass_context
    def do(ctx: click.Context, /, **values: Any) -> None:
        """Do."""
        seen.update(values, globals=dict(given_globals(ctx)))

    return root, seen


def _parse(*words: str) -> dict[str, Any]:
    root, seen = _root()
    root.main(list(words), prog_name="tiphys", standalone_mode=False)
    return seen


@pytest.mark.parametrize(
    ("words", "cascade", "names"),
    [
        (["do"], True, ()),
        (["do", "--cascade"], True, ()),
        (["do", "--cascade=false"], False, ()),
        (["do", "--cascade=0", "a"], False, ("a",)),
        (["do", "--cascade", "false"], True, ("false",)),
        (["do", "a", "--cascade=F", "b"], False, ("a", "b")),
        (["do", "--", "--cascade=false"], True, ("--cascade=false",)),
    ],
)
def test_a_boolean_takes_nothing_that_is_not_behind_an_equals_sign(
    words: list[str], cascade: bool, names: tuple[str, ...]
) -> None:
    """As Go's flags."""
    seen = _parse(*words)
    assert (seen["cascade"], seen["names"]) == (cascade, names)


def test_a_boolean_that_is_none_is_refused() -> None:
    """In Go's words."""
    with pytest.raises(click.BadParameter, match=r'strconv\.ParseBool: parsing "maybe": invalid syntax'):
        _parse("do", "--cascade=maybe")


def test_what_follows_an_option_with_a_value_is_its_value() -> None:
    """Even when it looks like a boolean."""
    assert _parse("do", "--password", "--yes")["password"] == "--yes"
    assert _parse("do", "-p", "-y")["password"] == "-y"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-y"], ["-ytrue"]),
        (["-y=false", "a"], ["-yfalse", "a"]),
        (["-yp", "secret"], ["-ytrue", "-p", "secret"]),
        (["-psecret"], ["-psecret"]),
        (["-p=secret"], ["-psecret"]),
        (["--password=x", "-"], ["--password=x", "-"]),
    ],
)
def test_short_options_are_taken_apart(words: list[str], expected: list[str]) -> None:
    """Booleans stand alone, a value stays with its option."""
    command = _root()[0].commands["do"]
    assert list(ordered(command.params, words, interspersed=True)) == expected


@pytest.mark.parametrize(
    "words",
    [
        ["--server", "h:1", "--insecure", "-H", "a: b", "do", "x"],
        ["do", "--server", "h:1", "x", "--insecure=true", "-H", "a: b"],
        ["--insecure", "do", "x", "--server=h:1", "--header", "a: b"],
    ],
)
def test_global_options_count_before_and_after_the_verb(words: list[str]) -> None:
    """And leave the verb's own arguments alone."""
    seen = _parse(*words)
    assert seen["globals"] == {"server": "h:1", "insecure": True, "header": ("a: b",)}
    assert seen["names"] == ("x",)


def test_of_a_global_option_given_twice_the_one_after_the_verb_counts() -> None:
    """It is nearer."""
    assert _parse("--server", "a", "do", "--server", "b")["globals"]["server"] == "b"


def test_headers_add_up() -> None:
    """Those before the verb and those after."""
    assert _parse("-H", "a:1", "do", "-H", "b:2")["globals"]["header"] == ("a:1", "b:2")


def test_a_misspelt_verb_is_answered_with_the_likely_one() -> None:
    """Instead of nothing."""
    root, _ = _root()
    with pytest.raises(click.UsageError, match=r'unknown command "doo" for "tiphys". Did you mean \'do\'\?'):
        root.main(["doo"], prog_name="tiphys", standalone_mode=False)
