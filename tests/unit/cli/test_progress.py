"""What is told while Applications are waited for."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tiphys.cli.app import several
from tiphys.cli.app.follow import EVERYTHING, Wanted, wait_for
from tiphys.cli.app.progress import Lines, Panel, first_failing, is_done, wave_lines
from tiphys.cli.app.several import wait_all
from tiphys.cli.app.show import ResourceState, resource_states
from tiphys.cli.failure import TIMED_OUT, CommandFailed
from tiphys.client.errors import TimedOut


def _app(*resources: tuple[str, int, str, str], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "my-app", "namespace": "argocd"},
        "spec": {"source": {}, "destination": {}},
        "status": {
            "resources": [
                {"kind": "ConfigMap", "name": name, "syncWave": wave, "status": sync, "health": {"status": health}}
                for name, wave, sync, health in resources
            ],
            **status,
        },
    }


def test_each_wave_says_how_far_it_is() -> None:
    """And what the unfinished ones are."""
    app = _app(("a", 0, "Synced", "Healthy"), ("b", 1, "Synced", "Progressing"), ("c", 1, "OutOfSync", "Missing"))
    assert wave_lines(app, resource_states(app)) == ["wave 0   1/1", "wave 1   0/2  1 Missing, 1 Progressing"]


def test_many_waves_are_shortened_to_the_open_ones() -> None:
    """The panel has to fit."""
    app = _app(*((f"r{wave}", wave, "Synced", "Healthy" if wave < 8 else "Progressing") for wave in range(10)))
    assert wave_lines(app, resource_states(app)) == [
        "10 waves, 8 done",
        "wave 8   0/1  1 Progressing",
        "wave 9   0/1  1 Progressing",
    ]


def test_the_first_failing_resource_is_named_with_its_reason() -> None:
    """A hook that failed counts."""
    fine = ResourceState("", "Service", "web", "x", "Synced", "Healthy")
    failed = ResourceState("batch", "Job", "web", "migrate", "Failed", "", "PreSync", "exit code 1\nmore")
    assert first_failing([fine]) == ""
    assert first_failing([fine, failed]) == "Job web/migrate: Failed (exit code 1)"
    assert is_done(fine)
    assert not is_done(failed)


def test_the_panel_shows_one_application_in_full_and_several_in_a_line_each() -> None:
    """As many lines as fit."""
    panel = Panel(colour=False, write=lambda _text: None)
    app = _app(("a", 0, "Synced", "Degraded"), sync={"status": "Synced"}, health={"status": "Degraded"})
    panel.tell("one", app, resource_states(app), [])
    lines = panel.lines(0, most=10)
    assert lines[0].startswith("⠋ one  Synced  Degraded  ")
    assert lines[1:] == [
        "    wave 0   0/1  1 Degraded",
        "    ✗ ConfigMap a: Degraded",
        "    waiting for ConfigMap a: Degraded",
    ]
    panel.tell("two", app, resource_states(app), [])
    assert [line.split()[1] for line in panel.lines(1, most=10)] == ["one", "ConfigMap", "two", "ConfigMap"]
    assert len(panel.lines(1, most=3)) == 3
    panel.close()


class _Stream:
    """Plays events, then has nothing to say."""

    def __init__(self, events: Sequence[dict[str, Any]]) -> None:
        self._events = list(events)

    def __enter__(self) -> _Stream:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def next(self, timeout_s: float | None) -> dict[str, Any] | None:
        if not self._events:
            raise TimedOut
        return self._events.pop(0)


class _Server:
    """One Application that becomes what the events say."""

    def __init__(self, *apps: dict[str, Any]) -> None:
        self._apps = apps
        self.transport = type("T", (), {"endpoint": type("E", (), {"url": "https://h"})()})()

    def watch_application(self, name: str, namespace: str = "") -> _Stream:
        return _Stream([{"type": "MODIFIED", "application": app} for app in self._apps])

    def get_application(self, name: str, namespace: str = "", *, refresh: str = "") -> dict[str, Any]:
        return self._apps[-1]

    def sync_windows(self, name: str, namespace: str = "") -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


_FINE = _app(("a", 0, "Synced", "Healthy"), sync={"status": "Synced"}, health={"status": "Healthy"})
_APART = _app(("a", 0, "OutOfSync", "Missing"), sync={"status": "OutOfSync"}, health={"status": "Missing"})


def test_lines_tell_each_change_once_and_then_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    """Under the columns, which come first."""
    api: Any = _Server(_APART, _APART, _FINE)
    wait_for(api, "my-app", "", EVERYTHING, Lines())
    out = capsys.readouterr().out
    assert out.count("TIMESTAMP") == 1
    assert out.count("OutOfSync") == 1
    assert "Name:               argocd/my-app" in out


def test_a_sync_that_is_over_before_anybody_looked_still_tells_what_it_did(capsys: pytest.CaptureFixture[str]) -> None:
    """The table of `app sync` is there however fast the engine was."""
    api: Any = _Server(_FINE)
    wait_for(api, "my-app", "", Wanted(operation=True), Lines())
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("TIMESTAMP")
    assert second.split()[1:] == ["ConfigMap", "a", "Synced", "Healthy"]


def test_a_wait_ends_in_time_and_says_for_what(capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 1, or 3 where each failure has its own."""
    api: Any = _Server(_APART)
    with pytest.raises(CommandFailed, match=r'timed out \(0s\) waiting for app "my-app"') as raised:
        wait_for(api, "my-app", "", Wanted(sync=True), Lines(), timeout_s=0.001)
    assert (raised.value.code, raised.value.extended) == (1, TIMED_OUT)
    assert raised.value.hint == "It is waiting for a sync: 1 of 1 resources out of sync."
    assert "This is the state of the app after `wait` timed out:" in capsys.readouterr().out


def test_waiting_for_a_resource_that_is_not_there_says_that_it_waited_for_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It ends well, as upstream does; a typing mistake is not taken for success without a word."""
    api: Any = _Server(_APART)
    nope = [{"group": "apps", "kind": "Deployment", "name": "nope"}]
    wait_for(api, "my-app", "", EVERYTHING, Lines(), selected=nope)
    assert "my-app: no resource is one of those selected, so there was nothing to wait for" in capsys.readouterr().err


def test_several_are_waited_for_side_by_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that fails does not end the others; its failure is the command's."""
    monkeypatch.setattr(several, "opened_again", lambda api: api)
    together = threading.Barrier(3, timeout=10)
    done: list[str] = []

    def wait(_api: Any, name: str, _namespace: str) -> None:
        together.wait()
        if name == "b":
            raise CommandFailed("b failed")
        done.append(name)

    api: Any = _Server(_FINE)
    with pytest.raises(CommandFailed, match="b failed"):
        wait_all(api, Lines(), [("a", ""), ("b", ""), ("c", "")], wait)
    assert sorted(done) == ["a", "c"]
