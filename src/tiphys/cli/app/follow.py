"""Waiting for an Application: its stream of changes, a line for each, and what it looks like in the end.

What counts as done is Argo CD's rule: the words asked for, and no operation at work, where one that has just ended still
counts until the Application was compared again. Source: api-ui 5.1 "Wait semantics".
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import click

from tiphys.cli.app import show
from tiphys.cli.app.get import FORMS, application_url
from tiphys.cli.app.naming import qualified_name
from tiphys.cli.app.show import ResourceState, resource_states
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.output import UnknownFormError, print_value, tabulate
from tiphys.client.api import Api
from tiphys.client.errors import NOT_FOUND, PERMISSION_DENIED, ApiFailure, TimedOut, Unreachable

HEARTBEAT_S = 15.0
COMPARED_WITHIN_S = 1.0  # after an operation has ended; then a comparison is asked for
RECONNECT_S = 1.0
_COLUMNS = ("TIMESTAMP", "GROUP", "KIND", "NAMESPACE", "NAME", "STATUS", "HEALTH", "HOOK", "MESSAGE")
_WIDTHS = (0, 5, 10, 10, 20, 8, 7, 10, 0)

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is waited for. `any_of` builds it from options: nothing named means synced, healthy and no operation."""

    sync: bool = False
    health: bool = False
    operation: bool = False
    suspended: bool = False
    degraded: bool = False
    delete: bool = False

    @property
    def healths(self) -> frozenset[str] | None:
        """Health words that will do; None: any."""
        words = {
            "Healthy": self.health,
            "Suspended": self.suspended,
            "Degraded": self.degraded,
        }
        chosen = frozenset(word for word, is_wanted in words.items() if is_wanted)
        return chosen or None

    def met_by(self, health: str, sync: str, app: Object) -> bool:
        """Whether these words are those waited for."""
        if self.delete:
            return False
        if self.sync and sync != "Synced":
            return False
        if self.healths is not None and health not in self.healths:
            return False
        return not (self.operation and app.get("operation"))


EVERYTHING = Wanted(sync=True, health=True, operation=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The Application in the end, and its operation as it was when the wait was over; None when it was deleted."""

    app: dict[str, Any] | None
    operation: Object | None = None


@dataclass(slots=True)
class _Log:
    """Prints a line for each resource that changed."""

    silent: bool
    known: dict[tuple[str, str, str, str], ResourceState] = field(default_factory=dict)
    started: bool = False

    def tell(self, states: Sequence[ResourceState]) -> ResourceState | None:
        """Print what changed; the state before, of a resource that has just become Degraded."""
        lines: list[tuple[str, ...]] = [] if self.started else [_COLUMNS]
        degraded = None
        for state in _grouped(states):
            before = self.known.get(state.key)
            if before is None:
                self.known[state.key] = state
                lines.append((_now(), *state.cells))
                continue
            if state.health == "Degraded" and before.health not in ("Unknown", "Degraded"):
                degraded = ResourceState(*before.cells)
            if before.merge(state):
                lines.append((_now(), *before.cells))
        self.started = True
        if lines and not self.silent:
            rows = ["\t".join(cell.rjust(width) for cell, width in zip(row, _WIDTHS, strict=True)) for row in lines]
            click.echo(tabulate("".join(f"{row}\n" for row in rows), min_width=5), nl=False)
        return degraded


def check_form(form: str) -> None:
    """Raises UnknownFormError for a form `-o` does not have."""
    if form not in FORMS:
        raise UnknownFormError(form)


def wait_for(
    api: Api,
    name: str,
    namespace: str,
    wanted: Wanted,
    *,
    timeout_s: float = 0,
    form: str = "wide",
    selected: Sequence[Object] = (),
) -> Outcome:
    """Wait until the Application is as wanted, telling what changes. Raises CommandFailed.

    `timeout_s` 0 waits without end. With `selected` only these resources count.
    """
    follower = _Follower(api, name, namespace, timeout_s)
    log = _Log(silent=form in ("json", "yaml"))
    refresh = False
    operation: Any = None
    try:
        for kind, app in follower.events():
            operation = show.field(app, "status", "operationState")
            if kind == "DELETED":
                if wanted.delete:
                    click.echo(f"Application '{qualified_name(app)}' deleted")
                    return Outcome(None)
                raise CommandFailed(f"application '{name}' was deleted")
            refresh = refresh or _is_changing(app)
            busy = operation_in_progress(app, compared_since=follower.compared_since)
            if _is_ready(app, wanted, selected) and not (wanted.operation and busy):
                return Outcome(_print_final(api, name, namespace, app, wanted, form, refresh=refresh), operation)
            degraded = log.tell(resource_states(app, selected))
            if degraded is not None and wanted.health and not wanted.degraded:
                _print_final(api, name, namespace, app, wanted, form, refresh=refresh)
                raise CommandFailed(
                    f"application '{name}' health state has transitioned from {degraded.health} to Degraded"
                )
    except TimedOut:
        return _timed_out(api, name, namespace, wanted, form, timeout_s)
    except KeyboardInterrupt:
        click.echo(f"\nNo longer waiting; the operation goes on. To end it: app terminate-op {name}", err=True)
        raise
    raise CommandFailed(f"the stream of application '{name}' ended")


def wait_deleted(api: Api, name: str, namespace: str) -> None:
    """Wait until the Application is gone."""
    for kind, _ in _Follower(api, name, namespace, 0).events():
        if kind == "DELETED":
            return


def operation_in_progress(app: Object, *, compared_since: str = "") -> bool:
    """An operation is asked for, runs, or has ended after the last comparison.

    `compared_since` is the end of an operation after which the Application is known to have been compared.
    """
    if app.get("operation"):
        return True
    state = show.field(app, "status", "operationState")
    if not state:
        return False
    if not state.get("finishedAt"):
        return True
    if show.field(state, "operation", "sync", "dryRun") or state["finishedAt"] == compared_since:
        return False
    reconciled = show.text(app, "status", "reconciledAt")
    return not reconciled or _moment(reconciled) < _moment(str(state["finishedAt"]))


class _Follower:
    """The Application's events over streams that are opened again when they break, within one deadline."""

    def __init__(self, api: Api, name: str, namespace: str, timeout_s: float) -> None:
        self._api = api
        self._name = name
        self._namespace = namespace
        self._deadline = time.monotonic() + timeout_s if timeout_s else None
        self._began = time.monotonic()
        self._last: Object = {}
        self.compared_since = ""  # end of the operation after which a comparison was asked for and made

    def events(self) -> Iterator[tuple[str, Object]]:
        """`(ADDED | MODIFIED | DELETED, application)`. Raises TimedOut at the deadline, ApiFailure."""
        while True:
            try:
                with self._api.watch_application(self._name, self._namespace) as stream:
                    if self._gone():  # before this stream was there to tell
                        yield "DELETED", self._last
                        return
                    while (item := self._next(stream)) is not None:
                        self._last = item.get("application") or {}
                        yield str(item.get("type")), self._last
            except Unreachable as error:
                click.echo(f"the connection was lost, trying again: {error.message}", err=True)
            self._pause()

    def _next(self, stream: Any) -> dict[str, Any] | None:
        told = time.monotonic()
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut
            ended = self._uncompared_end()
            pause = COMPARED_WITHIN_S if ended else HEARTBEAT_S
            try:
                found: dict[str, Any] | None = stream.next(pause if left is None else min(pause, left))
                return found
            except TimedOut:
                if ended:
                    app = self._api.get_application(self._name, self._namespace, refresh="normal")
                    self.compared_since = ended
                    return {"type": "MODIFIED", "application": app}
                if time.monotonic() - told >= HEARTBEAT_S:
                    told = time.monotonic()
                    self._heartbeat()

    def _uncompared_end(self) -> str:
        """When the last operation ended, if the Application has not been compared since; empty otherwise."""
        if self._last.get("operation") or not operation_in_progress(self._last, compared_since=self.compared_since):
            return ""
        return show.text(self._last, "status", "operationState", "finishedAt")

    def _heartbeat(self) -> None:
        waiting = show.waiting_for(self._last) or "the next comparison"
        click.echo(f"still waiting after {time.monotonic() - self._began:.0f} s for {waiting}", err=True)

    def _gone(self) -> bool:
        try:
            self._last = self._api.get_application(self._name, self._namespace)
        except ApiFailure as error:
            if self._last and error.code in (NOT_FOUND, PERMISSION_DENIED):  # how the API says that it is gone
                return True
            raise
        return False

    def _pause(self) -> None:
        if self._deadline is not None and time.monotonic() + RECONNECT_S > self._deadline:
            raise TimedOut
        time.sleep(RECONNECT_S)


def _is_changing(app: Object) -> bool:
    return bool(app.get("operation")) and not show.field(app, "operation", "sync", "dryRun")


def _is_ready(app: Object, wanted: Wanted, selected: Sequence[Object]) -> bool:
    if selected:
        return all(wanted.met_by(state.health, state.status, app) for state in resource_states(app, selected))
    health, sync = show.text(app, "status", "health", "status"), show.text(app, "status", "sync", "status")
    return wanted.met_by(health, sync, app)


def _print_final(
    api: Api, name: str, namespace: str, app: Object, wanted: Wanted, form: str, *, refresh: bool
) -> dict[str, Any]:
    # Asked for anew: what a stream tells of an Application leaves out the health of its resources.
    final = api.get_application(name, namespace, refresh="normal" if refresh else "")
    if form in ("json", "yaml"):
        print_value(final, form)
        return final
    click.echo(f"\n{show.summary(final, application_url(api, name))}")
    if wanted.operation:
        click.echo(show.operation(show.field(final, "status", "operationState")), nl=False)
    if form.startswith("tree"):
        from tiphys.cli.app.tree import print_tree

        print_tree(api, final, name, namespace, detailed=form == "tree=detailed")
    elif show.field(final, "status", "resources"):
        click.echo(f"\n{show.resources(final)}", nl=False)
    return final


def _timed_out(api: Api, name: str, namespace: str, wanted: Wanted, form: str, timeout_s: float) -> Outcome:
    app = api.get_application(name, namespace)
    silent = form in ("json", "yaml")
    if not silent:
        click.echo("\nThis is the state of the app after `wait` timed out:")
    _print_final(api, name, namespace, app, wanted, form, refresh=False)
    if not silent:
        click.echo("\nThe command timed out waiting for the conditions to be met.")
    waiting = show.waiting_for(app)
    raise not_as_asked(
        f'timed out ({timeout_s:.0f}s) waiting for app "{name}" match desired state',
        hint=f"It is waiting for {waiting}." if waiting else "",
    )


def _grouped(states: Sequence[ResourceState]) -> list[ResourceState]:
    found: dict[tuple[str, str, str, str], ResourceState] = {}
    for state in states:
        if state.key in found:
            found[state.key].merge(state)
        else:
            found[state.key] = state
    return list(found.values())


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
