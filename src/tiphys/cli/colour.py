"""Whether output has colours, and which: never for programs, as `NO_COLOR` and `--color` say for people."""

from __future__ import annotations

import os
import sys
import zlib

import click

from tiphys.cli.arguments import given_globals

_OF_WORDS = {
    "Synced": "green",
    "Healthy": "green",
    "Succeeded": "green",
    "OutOfSync": "yellow",
    "Progressing": "blue",
    "Running": "blue",
    "Suspended": "magenta",
    "Missing": "yellow",
    "Degraded": "red",
    "Failed": "red",
    "Error": "red",
}
_OF_NAMES = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")


def is_coloured(ctx: click.Context, *, err: bool = False) -> bool:
    """Whether standard output (or error) has colours: `--color always|never`, else on a terminal without NO_COLOR."""
    asked = given_globals(ctx).get("color")
    if asked in ("always", "never"):
        return bool(asked == "always")
    stream = sys.stderr if err else sys.stdout
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def word(text: str) -> str:
    """A word of status in its colour."""
    colour = _OF_WORDS.get(text)
    return click.style(text, fg=colour) if colour else text


def of_name(name: str) -> str:
    """A name in a colour that is always the same for it."""
    return click.style(name, fg=_OF_NAMES[zlib.crc32(name.encode()) % len(_OF_NAMES)])
