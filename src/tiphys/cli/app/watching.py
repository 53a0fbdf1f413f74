"""`app get --watch` and `app list --watch`: drawn in place on a terminal, one after the other for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import click

from tiphys.cli.app import show
from tiphys.client.api import Api
from tiphys.client.errors import TimedOut
from tiphys.client.transport import Stream

QUIET_S = 0.05  # changes that come together are drawn together
DETAILS_S = 1.0  # how often the health of single resources is asked for

App = dict[str, Any]


class Screen:
    """A text that replaces the one before it on a terminal, and follows it elsewhere when it is another one."""

    def __init__(self) -> None:
        self._is_terminal = sys.stdout.isatty()
        self._shown = ""

    def show(self, text: str) -> None:
        """Show it, unless it is shown already."""
        if text == self._shown:
            return
        if self._is_terminal:
            click.echo(f"\x1b[H\x1b[2J{text}", nl=False)
        else:
            click.echo(f"---\n{text}" if self._shown else text, nl=False)
        sys.stdout.flush()
        self._shown = text


def watch_one(api: Api, app: App, name: str, namespace: str, text: Callable[[App], str]) -> None:
    """Show one Application as it changes, until it is deleted or the user leaves."""
    screen = Screen()
    screen.show(text(app))
    asked = time.monotonic()
    with api.watch_application(name, namespace) as stream:
        while True:
            try:
                item = stream.next(DETAILS_S)
            except TimedOut:
                item = {"type": "MODIFIED"}
            if item is None:
                return
            if item.get("type") == "DELETED":
                click.echo(f"Application '{name}' deleted", err=True)
                return
            pause = DETAILS_S - (time.monotonic() - asked)
            if pause > 0 and item.get("application") is None:
                continue
            asked = time.monotonic()
            screen.show(text(api.get_application(name, namespace)))  # the stream leaves out the health of resources


def watch_list(
    stream: Stream,
    shows: Callable[[show.Object], bool],
    text: Callable[[list[App]], str],
    line_of: Callable[[App], str],
    form: str,
) -> None:
    """Show a list as it changes, until the user leaves: on a terminal all of it, else what changed."""
    screen = Screen() if sys.stdout.isatty() else None
    apps: dict[tuple[str, str], App] = {}
    lines: dict[tuple[str, str], str] = {}
    with stream:
        if screen is None and form in ("wide", ""):
            click.echo(text([]), nl=False)
        while True:
            try:
                item = stream.next(QUIET_S if screen is not None else None)
            except TimedOut:
                if screen is not None:
                    screen.show(text([apps[key] for key in sorted(apps)]))
                item = stream.next(None)
            if item is None:
                return
            app: App = item.get("application") or {}
            key = (show.text(app, "metadata", "namespace"), show.text(app, "metadata", "name"))
            if item.get("type") == "DELETED" or not shows(app):
                apps.pop(key, None)
                lines.pop(key, None)
                continue
            apps[key] = app
            if screen is None:
                line = line_of(app)
                if lines.get(key) != line:
                    lines[key] = line
                    click.echo(line, nl=False)
                    sys.stdout.flush()
