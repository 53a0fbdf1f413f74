"""Questions on the terminal. Without a terminal nothing is asked: the answer is no, or the command fails with what to give."""

from __future__ import annotations

import sys

import click

from tiphys.cli.failure import CommandFailed
from tiphys.runtime.secret import Secret


def is_interactive() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def proceed(question: str) -> bool:
    """A yes or no. Without a terminal it is no."""
    return answer(question, ("y", "yes", "n", "no")).startswith("y")


def answer(question: str, allowed: tuple[str, ...]) -> str:
    """One of the allowed answers, in lower case; `n` without a terminal."""
    if not is_interactive():
        click.echo(f"{question}n  (no terminal to ask on)", err=True)
        return "n"
    while True:
        click.echo(question, nl=False, err=True)
        line = sys.stdin.readline()
        if not line:
            return "n"
        given = line.strip().lower()
        if given in allowed:
            return given


def text(label: str, option: str) -> str:
    """A line of text. Raises CommandFailed without a terminal."""
    if not is_interactive():
        raise CommandFailed(f"{option} is needed: there is no terminal to ask on")
    click.echo(label, nl=False, err=True)
    return sys.stdin.readline().strip()


def password(label: str, option: str) -> Secret:
    """A password that is not shown. Read from standard input when that is no terminal. Raises CommandFailed."""
    if is_interactive():
        import getpass

        return Secret(getpass.getpass(label, stream=sys.stderr))
    line = "" if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    if not line:
        raise CommandFailed(f"{option} is needed: there is no terminal to ask on")
    return Secret(line)
