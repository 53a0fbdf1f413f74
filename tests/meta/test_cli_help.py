"""Every command explains itself: a line, an example that can be parsed, and its page."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tiphys.cli.arguments import Verb
from tiphys.cli.main import COMMANDS, SUMMARIES, root

ROOT = Path(__file__).resolve().parents[2]


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", command
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")


ALL = dict(_commands(root, "tiphys"))


def _examples(command: click.Command) -> list[str]:
    """Command lines of the help's examples, continued lines joined."""
    text = (command.help or "").replace("\\\n", " ")
    _, found, examples = text.partition("Example")
    lines = examples.splitlines()[1:] if examples.lstrip("s").startswith(":\n") else [examples.lstrip("s: ")]
    return [line.strip() for line in lines if "tiphys" in line] if found else []


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_an_example_of_itself(path: str) -> None:
    """People read examples first."""
    examples = _examples(ALL[path])
    assert any(path in example for example in examples), ALL[path].help


@pytest.mark.parametrize("path", [path for path, command in ALL.items() if not isinstance(command, click.Group)])
def test_every_example_can_be_parsed(path: str) -> None:
    """An option that was renamed is renamed in its examples."""
    command = ALL[path]
    for example in _examples(command):
        words = example.split("#")[0]
        at = words.find(f"{path} ")
        if at < 0:
            continue
        tail = words[at + len(path) :].split(" > ")[0].rstrip(')"')
        for name in ("$PASSWORD", "$OLD", "$NEW"):
            tail = tail.replace(name, "x").replace('"x', "x").replace('x"', "x")
        arguments = [word for word in shlex.split(tail) if word not in (")", "&&", "|")]
        with click.Context(command, info_name=path, resilient_parsing=True) as context:
            rest = command.parse_args(context, [word.replace("~", "/") for word in arguments])
        assert rest == [], example


@pytest.mark.parametrize("path", ALL)
def test_every_option_says_what_it_does(path: str) -> None:
    """Hidden ones need not."""
    silent = [
        param.opts
        for param in ALL[path].params
        if isinstance(param, click.Option) and not param.hidden and not param.help
    ]
    assert silent == []


def test_every_command_has_its_line_in_the_root_s_help() -> None:
    """It is given there, so that help imports nothing."""
    assert set(SUMMARIES) == set(COMMANDS)


def test_commands_that_talk_to_the_api_take_the_global_options() -> None:
    """Those of Argo CD's CLI do."""
    verbs = ("app", "account", "login", "logout", "relogin", "context", "version")
    plain = [
        path
        for path, command in ALL.items()
        if path.split()[1] in verbs and not isinstance(command, click.Group) and not isinstance(command, Verb)
    ]
    assert plain == []


def test_the_reference_page_is_current() -> None:
    """scripts/gen_cli_docs.py writes it."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("gen_cli_docs", ROOT / "scripts" / "gen_cli_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "reference" / "cli.md").read_text() == module.page(), "run scripts/gen_cli_docs.py"
