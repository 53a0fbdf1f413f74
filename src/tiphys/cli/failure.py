"""How a command ends when it fails: exit code and one line on stderr, for people on a terminal, JSON for programs.

Exit codes are Argo CD's: 1 for wrong usage and for a result that is not the one asked for, 20 for everything the API or
the machine refused. Source: api-ui 5.1 "Exit codes", "Errors".
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime

import click

FAILED = 1
ERROR = 20


class CommandFailed(Exception):
    """Ends the command. `hint` says what to type next and is for people only."""

    def __init__(self, message: str, *, code: int = ERROR, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint


def not_as_asked(message: str, *, hint: str = "") -> CommandFailed:
    """The command was carried out and the result is not the one asked for."""
    return CommandFailed(message, code=FAILED, hint=hint)


def report(error: CommandFailed, *, logformat: str | None) -> None:
    """Write the error to stderr."""
    message = str(error).rstrip("\n")
    form = logformat or ("human" if sys.stderr.isatty() else "json")
    moment = datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z")
    if form == "json":
        line = json.dumps({"level": "fatal", "msg": message, "time": moment}, separators=(",", ":"))
    elif form == "text":
        line = f'time="{moment}" level=fatal msg={json.dumps(message)}'
    else:
        line = f"{_coloured('Error:')} {message}"
        if error.hint:
            line += f"\n{error.hint}"
    click.echo(line, err=True)


def _coloured(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg="red", bold=True)
