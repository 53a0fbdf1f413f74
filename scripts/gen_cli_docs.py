"""Writes docs/reference/cli.md from the commands themselves; with --check it only compares."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click

from tiphys.cli.arguments import global_options
from tiphys.cli.main import root

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "cli.md"
HEAD = """\
# Commands

<!-- Written by scripts/gen_cli_docs.py from the commands' own help. -->

Started under the name `argocd` the same program answers with that name. Verbs, options, output and exit codes of
`account`, `app`, `context`, `login`, `logout`, `proj`, `relogin` and `version` are Argo CD's.

Booleans are written `--name`, `--name=true` or `--name=false`; a bare one takes nothing that follows it.

| Exit code | `--exit-codes extended` | Meaning |
|---|---|---|
| 0 | 0 | done |
| 1 | 2 | wrong usage |
| 1 | 3 | a wait that timed out |
| 1 | 4 | a sync that failed |
| 20 | 5 | an application that became Degraded while its health was waited for |
| 1 | 6 | resources that require pruning |
| 1 | 10 | `app diff` found differences |
| 20 | 20 | the API or the machine refused |
| 130 | 130 | interrupted |

On a terminal `app sync`, `wait`, `rollback` and `delete --wait` show a panel of what goes on; elsewhere they write a line for
each change, and one on stderr every 15 s in which nothing changed. A first word that is no command starts
`tiphys-WORD` or `argocd-WORD` from `PATH`.

Errors are one JSON line on stderr, text on a terminal; `--logformat json|text` decides otherwise. `NO_COLOR` is respected.

Configuration is read from `--config`, `$ARGOCD_CONFIG_DIR/config`, an existing `~/.argocd/config`,
`$XDG_CONFIG_HOME/argocd/config`, `~/.config/argocd/config`. Where no server or context is named, the context that
`tiphys up` keeps in `$TIPHYS_HOME/cli/config` comes first, until `login` or `context` chooses another. Options win over the
environment (`ARGOCD_SERVER`, `ARGOCD_AUTH_TOKEN`, `ARGOCD_OPTS`), which wins over contexts.
"""


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Global options\n", _options(list(global_options()), click.Context(root, info_name="tiphys"))]
    for path, command in _commands(root, "tiphys"):
        parts += list(_section(path, command))
    return "\n".join(parts)


def _commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group, info_name=path)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        if isinstance(command, click.Group):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _section(path: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=path)
    arguments = " ".join(
        piece
        for param in command.params
        if isinstance(param, click.Argument)
        for piece in [param.make_metavar(context)]
    )
    yield f"## {path}\n"
    text, _, examples = cleandoc(command.help or "").replace("\b", "").partition("Example")
    yield f"`{path}{' ' + arguments if arguments else ''}`\n"
    yield f"{text.strip()}\n"
    body = examples.lstrip("s").removeprefix(":").strip("\n").replace("\n  ", "\n").strip()
    if body:
        yield f"```sh\n{body}\n```\n"
    options = [param for param in command.params if isinstance(param, click.Option) and not param.hidden]
    if options:
        yield _options(options, context)


def _options(options: list[click.Option], context: click.Context) -> str:
    lines = ["| Option | Meaning |", "|---|---|"]
    for option in options:
        was_hidden, option.hidden = option.hidden, False
        record = option.get_help_record(context)
        option.hidden = was_hidden
        if record is not None:
            names, meaning = (cell.replace("|", "\\|").replace("\n", " ").strip() for cell in record)
            lines.append(f"| `{names}` | {meaning} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page, or with --check say whether it is current."""
    text = page()
    if "--check" in sys.argv[1:]:
        if PAGE.exists() and PAGE.read_text() == text:
            return 0
        print(f"{PAGE.name} is not current: run scripts/gen_cli_docs.py", file=sys.stderr)
        return 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
