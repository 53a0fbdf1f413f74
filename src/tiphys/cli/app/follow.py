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

from tiphys.cli.app import show
from tiphys.cli.app.get import FORMS, application_url, windows_of
from tiphys.cli.app.naming import qualified_name
from tiphys.cli.app.progress import Board
from tiphys.cli.app.show import ResourceState, resource_states
from tiphys.cli.explain import advice
from tiphys.cli.failure import TIMED_OUT, UNHEALTHY, CommandFailed, not_as_asked
from tiphys.cli.output import UnknownFormError, value_text
from tiphys.client.api import Api
from tiphys.client.errors import NOT_FOUND, PERMISSION_DENIED, ApiFailure, TimedOut, Unreachable

HEARTBEAT_S = 15.0
COMPARED_WITHIN_S = 1.0  # after an operation has ended; then a comparison is asked for
RECONNECT_S = 1.0
DETAILS_S = 1.0  # how often the health of single resources is asked for where it matters

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

    @property
    def is_operation_alone(self) -> bool:
        """Whether the end of the operation is all that is waited for, as by `app sync`."""
        return self == Wanted(operation=True)

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
class _Known:
    """What is known of each resource, to tell what is new."""

    states: dict[tuple[str, str, str, str], ResourceState] = field(default_factory=dict)

    def learn(self, states: Sequence[ResourceState]) -> tuple[list[ResourceState], ResourceState | None]:
        """What changed; and the state before, of a resource that has just become Degraded."""
        changed: list[ResourceState] = []
        degraded = None
        for state in _grouped(states):
            before = self.states.get(state.key)
            if before is None:
                self.states[state.key] = state
                changed.append(state)
                continue
            if state.health == "Degraded" and before.health not in ("Unknown", "Degraded", ""):
                degraded = ResourceState(*before.cells)
            if before.merge(state):
                changed.append(before)
        return changed, degraded


def check_form(form: str) -> None:
    """Raises UnknownFormError for a form `-o` does not have."""
    if form not in FORMS:
        raise UnknownFormError(form)


def wait_for(
    api: Api,
    name: str,
    namespace: str,
    wanted: Wanted,
    board: Board,
    *,
    timeout_s: float = 0,
    form: str = "wide",
    selected: Sequence[Object] = (),
) -> Outcome:
    """Wait until the Application is as wanted, telling what changes. Raises CommandFailed.

    `timeout_s` 0 waits without end. With `selected` only these resources count.
    """
    detailed = board.detailed or bool(selected and wanted.healths)
    follower = _Follower(api, name, namespace, timeout_s, board, detailed=detailed)
    known = _Known()
    refresh = False
    operation: Any = None
    try:
        for kind, app in follower.events():
            operation = show.field(app, "status", "operationState")
            if kind == "DELETED":
                if wanted.delete:
                    board.final(name, f"Application '{qualified_name(app)}' deleted\n")
                    return Outcome(None)
                raise CommandFailed(f"application '{name}' was deleted")
            refresh = refresh or _is_changing(app)
            busy = operation_in_progress(app, compared_since=follower.compared_since)
            if _is_ready(app, wanted, selected) and not (wanted.operation and busy):
                if selected and not wanted.is_operation_alone and not resource_states(app, selected):
                    board.say(f"{name}: no resource is one of those selected, so there was nothing to wait for")
                if wanted.is_operation_alone and not known.states:  # it was over before the stream began
                    states = resource_states(app, selected)
                    board.tell(name, app, states, known.learn(states)[0])
                final = _tell_final(api, name, namespace, app, wanted, form, board, refresh=refresh)
                return Outcome(final, operation)
            states = resource_states(app, selected)
            changed, degraded = known.learn(states)
            board.tell(name, app, states, changed)
            if degraded is not None and wanted.health and not wanted.degraded:
                _tell_final(api, name, namespace, app, wanted, form, board, refresh=refresh)
                raise CommandFailed(
                    f"application '{name}' health state has transitioned from {degraded.health} to Degraded",
                    extended=UNHEALTHY,
                )
    except TimedOut:
        return _timed_out(api, name, namespace, wanted, form, timeout_s, board)
    raise CommandFailed(f"the stream of application '{name}' ended")


def wait_deleted(api: Api, name: str, namespace: str, board: Board) -> None:
    """Wait until the Application is gone."""
    known = _Known()
    for kind, app in _Follower(api, name, namespace, 0, board, detailed=False).events():
        if kind == "DELETED":
            return
        states = resource_states(app)
        changed, _ = known.learn(states)
        board.tell(name, app, states, changed)


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

    def __init__(self, api: Api, name: str, namespace: str, timeout_s: float, board: Board, *, detailed: bool) -> None:
        self._api = api
        self._board = board
        self._detailed = detailed  # the health of single resources matters: the stream leaves it out
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
                        kind = str(item.get("type"))
                        if self._detailed and kind != "DELETED":
                            self._last = self._now() or self._last
                        yield kind, self._last
            except Unreachable as error:
                self._board.say(f"the connection was lost, trying again: {error.message}")
            self._pause()

    def _next(self, stream: Any) -> dict[str, Any] | None:
        told = time.monotonic()
        while True:
            left = None if self._deadline is None else self._deadline - time.monotonic()
            if left is not None and left <= 0:
                raise TimedOut
            ended = self._uncompared_end()
            pause = COMPARED_WITHIN_S if ended else DETAILS_S if self._detailed else HEARTBEAT_S
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
                    self._board.heartbeat(self._name, self._last, told - self._began)
                now = self._now() if self._detailed else None
                if now is not None and now != self._last:
                    return {"type": "MODIFIED", "application": now}

    def _uncompared_end(self) -> str:
        """When the last operation ended, if the Application has not been compared since; empty otherwise."""
        if self._last.get("operation") or not operation_in_progress(self._last, compared_since=self.compared_since):
            return ""
        return show.text(self._last, "status", "operationState", "finishedAt")

    def _now(self) -> dict[str, Any] | None:
        """The Application with the health of its resources; None when it has just gone, which the stream will tell."""
        try:
            return self._api.get_application(self._name, self._namespace)
        except ApiFailure as error:
            if error.code in (NOT_FOUND, PERMISSION_DENIED):
                return None
            raise

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


def _tell_final(
    api: Api, name: str, namespace: str, app: Object, wanted: Wanted, form: str, board: Board, *, refresh: bool
) -> dict[str, Any]:
    # Asked for anew: what a stream tells of an Application leaves out the health of its resources.
    final = api.get_application(name, namespace, refresh="normal" if refresh else "")
    board.final(name, _final_text(api, name, namespace, app, final, wanted, form))
    return final


def _final_text(api: Api, name: str, namespace: str, app: Object, final: Object, wanted: Wanted, form: str) -> str:
    if form in ("json", "yaml"):
        return value_text(final, form)
    parts = [f"\n{show.summary(app, application_url(api, name), windows_of(api, name, namespace))}\n"]
    if wanted.operation:
        parts.append(show.operation(show.field(final, "status", "operationState")))
    if form.startswith("tree"):
        from tiphys.cli.app.tree import tree_text

        parts.append(tree_text(api, final, name, namespace, detailed=form == "tree=detailed"))
    elif show.field(final, "status", "resources"):
        parts.append(f"\n{show.resources(final)}")
    return "".join(parts)


def _timed_out(
    api: Api, name: str, namespace: str, wanted: Wanted, form: str, timeout_s: float, board: Board
) -> Outcome:
    app = api.get_application(name, namespace)
    text = _final_text(api, name, namespace, app, app, wanted, form)
    if form not in ("json", "yaml"):
        text = (
            f"\nThis is the state of the app after `wait` timed out:\n{text}"
            "\nThe command timed out waiting for the conditions to be met.\n"
        )
    board.final(name, text)
    waiting = show.waiting_for(app)
    raise not_as_asked(
        f'timed out ({timeout_s:.0f}s) waiting for app "{name}" match desired state',
        hint="\n".join(
            text for text in (f"It is waiting for {waiting}." if waiting else "", advice(waiting, name)) if text
        ),
        extended=TIMED_OUT,
    )


def _grouped(states: Sequence[ResourceState]) -> list[ResourceState]:
    found: dict[tuple[str, str, str, str], ResourceState] = {}
    for state in states:
        if state.key in found:
            found[state.key].merge(state)
        else:
            found[state.key] = state
    return list(found.values())


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))
