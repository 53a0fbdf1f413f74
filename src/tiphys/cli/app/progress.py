"""What is told while Applications are waited for: a line for each change, or on a terminal a panel drawn in place.

Lines go to stdout as Argo CD's do; the panel goes to stderr and is gone when the wait is over.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

import click

from tiphys.cli.app import show
from tiphys.cli.app.show import ResourceState
from tiphys.cli.colour import is_coloured, word
from tiphys.cli.output import go_duration, tabulate

COLUMNS = ("TIMESTAMP", "GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "HEALTH", "HOOK", "MESSAGE")
_WIDTHS = (0, 5, 10, 10, 20, 8, 7, 10, 0)
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_FRAME_S = 0.1
_MOST_WAVES = 6
_BAD_HEALTH = ("Degraded",)
_BAD_STATUS = ("SyncFailed", "Failed", "Error")

Object = Mapping[str, Any]


class Board(Protocol):
    """Where waits tell what they see; any thread may."""

    detailed: bool  # whether the health of single resources is shown, which has to be asked for

    def tell(self, name: str, app: Object, states: Sequence[ResourceState], changed: Sequence[ResourceState]) -> None:
        """What the Application looks like now, and which of its resources changed."""

    def heartbeat(self, name: str, app: Object, seconds: float) -> None:
        """Nothing happened for a while."""

    def say(self, text: str) -> None:
        """A message to people."""

    def final(self, name: str, text: str) -> None:
        """The wait is over: what the Application looks like in the end."""

    def close(self) -> None:
        """Nothing more is told."""


def board_for(ctx: click.Context, form: str, *, changes: bool = True) -> Board:
    """The board that fits: silent for programs' forms, a panel on a terminal, else lines, of changes if wanted."""
    if form in ("json", "yaml"):
        return Lines(silent=True)
    if sys.stdout.isatty() and sys.stderr.isatty():
        return Panel(colour=is_coloured(ctx, err=True))
    return Lines(silent=not changes)


class Lines:
    """A line for each change."""

    detailed = False

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._lock = threading.Lock()
        self._begun = False

    def tell(self, name: str, app: Object, states: Sequence[ResourceState], changed: Sequence[ResourceState]) -> None:
        """Print what changed, under the columns the first time."""
        if self._silent:
            return
        with self._lock:
            lines: list[tuple[str, ...]] = [] if self._begun else [COLUMNS]
            lines += [(_now(), *state.cells) for state in changed]
            self._begun = True
            if lines:
                rows = ["\t".join(cell.rjust(width) for cell, width in zip(row, _WIDTHS, strict=True)) for row in lines]
                click.echo(tabulate("".join(f"{row}\n" for row in rows), min_width=5), nl=False)

    def heartbeat(self, name: str, app: Object, seconds: float) -> None:
        """Say on stderr what is waited for."""
        waiting = show.waiting_for(app) or "the next comparison"
        self.say(f"{name}: still waiting after {seconds:.0f} s for {waiting}")

    def say(self, text: str) -> None:
        """On stderr."""
        with self._lock:
            click.echo(text, err=True)

    def final(self, name: str, text: str) -> None:
        """Print it whole."""
        with self._lock:
            click.echo(text, nl=False)

    def close(self) -> None:
        """Nothing to do."""


@dataclass(slots=True)
class _Seen:
    """What the panel knows of one Application."""

    app: Object = field(default_factory=dict)
    states: Sequence[ResourceState] = ()
    began: float = field(default_factory=time.monotonic)


class Panel:
    """Applications with their waves, redrawn in place."""

    detailed = True

    def __init__(self, *, colour: bool, write: Callable[[str], Any] | None = None) -> None:
        self._colour = colour
        self._write = write or _to_stderr
        self._lock = threading.Lock()
        self._seen: dict[str, _Seen] = {}
        self._drawn = 0
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def tell(self, name: str, app: Object, states: Sequence[ResourceState], changed: Sequence[ResourceState]) -> None:
        """Show it from the next frame on."""
        with self._lock:
            seen = self._seen.setdefault(name, _Seen())
            seen.app, seen.states = app, list(states)
            if self._thread is None:
                self._thread = threading.Thread(target=self._animate, name="panel", daemon=True)
                self._thread.start()

    def heartbeat(self, name: str, app: Object, seconds: float) -> None:
        """The panel shows the time already."""

    def say(self, text: str) -> None:
        """Above the panel."""
        with self._lock:
            self._clear()
            self._write(f"{text}\n")

    def final(self, name: str, text: str) -> None:
        """The Application leaves the panel; its state goes to stdout."""
        with self._lock:
            self._clear()
            self._seen.pop(name, None)
            click.echo(text, nl=False)

    def close(self) -> None:
        """Take the panel away."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(1.0)
        with self._lock:
            self._clear()

    def _animate(self) -> None:
        frame = 0
        while not self._closed.wait(_FRAME_S):
            with self._lock:
                self._clear()
                size = shutil.get_terminal_size()
                lines = self.lines(frame, most=max(3, size.lines - 2))
                shown = [line if self._colour else line[: size.columns - 1] for line in lines]
                self._write("".join(f"\x1b[?7l{line}\x1b[?7h\n" for line in shown))
                self._drawn = len(shown)
            frame += 1

    def _clear(self) -> None:
        if self._drawn:
            self._write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0

    def lines(self, frame: int, *, most: int) -> list[str]:
        """One frame."""
        spinner = _SPINNER[frame % len(_SPINNER)]
        now = time.monotonic()
        alone = len(self._seen) == 1
        found: list[str] = []
        for name, seen in self._seen.items():
            found.append(
                f"{self._paint(spinner, 'cyan')} {self._head(name, seen)}  {go_duration(int(now - seen.began))}"
            )
            if alone:
                found += [f"    {line}" for line in wave_lines(seen.app, seen.states)]
            failing = first_failing(seen.states)
            if failing:
                found.append(f"    {self._paint('✗', 'red')} {failing}")
            waiting = show.waiting_for(seen.app)
            if waiting and (alone or not failing):
                found.append(f"    waiting for {waiting}")
        if len(found) > most:
            left = len(found) - most + 1
            found = [*found[: most - 1], f"    ... and {left} more lines"]
        return found

    def _head(self, name: str, seen: _Seen) -> str:
        sync, health = (
            show.text(seen.app, "status", "sync", "status"),
            show.text(seen.app, "status", "health", "status"),
        )
        if self._colour:
            sync, health, name = word(sync), word(health), click.style(name, bold=True)
        phase = show.text(seen.app, "status", "operationState", "phase") if seen.app.get("operation") else ""
        return "  ".join(
            filter(None, (name, sync, health, f"operation {phase or 'asked for'}" if seen.app.get("operation") else ""))
        )

    def _paint(self, text: str, colour: str) -> str:
        return click.style(text, fg=colour) if self._colour else text


def wave_lines(app: Object, states: Sequence[ResourceState]) -> list[str]:
    """How far each wave is, `wave 0  2/2`, then what the unfinished ones are; the last waves when there are many."""
    waves: dict[tuple[str, str, str, str], int] = {}
    for item in show.field(app, "status", "resources") or ():
        key = (item.get("group") or "", item.get("kind") or "", item.get("namespace") or "", item.get("name") or "")
        waves[key] = int(item.get("syncWave") or 0)
    by_wave: dict[int, list[ResourceState]] = {}
    for state in states:
        by_wave.setdefault(waves.get(state.key, 0), []).append(state)
    lines = []
    for wave in sorted(by_wave):
        members = by_wave[wave]
        counted: dict[str, int] = {}
        done = 0
        for state in members:
            if is_done(state):
                done += 1
            else:
                what = state.health if state.health not in ("", "Healthy") else state.status or "waiting"
                counted[what] = counted.get(what, 0) + 1
        rest = ", ".join(f"{number} {what}" for what, number in sorted(counted.items()))
        lines.append(f"wave {wave:<3} {done}/{len(members)}{f'  {rest}' if rest else ''}")
    if len(lines) > _MOST_WAVES:
        open_waves = [line for line in lines if "  " in line.split("/", 1)[1]]
        return [f"{len(lines)} waves, {len(lines) - len(open_waves)} done", *open_waves[: _MOST_WAVES - 1]]
    return lines


def is_done(state: ResourceState) -> bool:
    """Whether nothing of a resource or hook is left to wait for."""
    if state.hook:
        return state.status == "Succeeded"
    return state.status in ("Synced", "Pruned", "") and state.health in ("", "Healthy", "Synced", "Pruned")


def first_failing(states: Sequence[ResourceState]) -> str:
    """The first resource that failed, with its message; empty when none did."""
    for state in states:
        if state.health in _BAD_HEALTH or state.health in _BAD_STATUS or state.status in _BAD_STATUS:
            said = state.health if state.health in (*_BAD_HEALTH, *_BAD_STATUS) else state.status
            where = "/".join(filter(None, (state.namespace, state.name)))
            message = f" ({state.message.splitlines()[0]})" if state.message else ""
            return f"{state.kind} {where}: {said}{message}"
    return ""


def _to_stderr(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
