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
# With --exit-codes extended: one for each way to fail.
USAGE, TIMED_OUT, SYNC_FAILED, UNHEALTHY, PRUNING_REQUIRED = 2, 3, 4, 5, 6


class CommandFailed(Exception):
    """Ends the command. `hint` says what to type next and is for people only, as is `human`, said instead of the message.

    `extended` is the exit code where those are asked for.
    """

    def __init__(
        self, message: str, *, code: int = ERROR, hint: str = "", human: str = "", extended: int | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.hint = hint
        self.human = human
        self.extended = code if extended is None else extended


def not_as_asked(message: str, *, hint: str = "", extended: int | None = None) -> CommandFailed:
    """The command was carried out and the result is not the one asked for."""
    return CommandFailed(message, code=FAILED, hint=hint, extended=extended)


def is_for_people(logformat: str | None) -> bool:
    """Whether errors are written for people."""
    return logformat is None and sys.stderr.isatty()


def report(error: CommandFailed, *, logformat: str | None) -> None:
    """Write the error to stderr."""
    message = str(error).rstrip("\n")
    form = logformat or ("human" if is_for_people(logformat) else "json")
    moment = datetime.now().astimezone().isoformat(timespec="seconds").replace("+00:00", "Z")
    if form == "json":
        line = json.dumps({"level": "fatal", "msg": message, "time": moment}, separators=(",", ":"))
    elif form == "text":
        line = f'time="{moment}" level=fatal msg={json.dumps(message)}'
    else:
        line = f"{_coloured('Error:')} {error.human or message}"
        if error.hint:
            line += f"\n{error.hint}"
    click.echo(line, err=True)


def _coloured(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, fg="red", bold=True)
