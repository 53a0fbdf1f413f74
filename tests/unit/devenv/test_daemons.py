"""Daemons: what holds its lock runs, whatever is written about it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tiphys.devenv import daemons
from tiphys.devenv.daemons import DaemonError
from tiphys.devenv.home import Home

_SLEEPER = [sys.executable, "-S", "-c", "import time; print('hello', flush=True); time.sleep(60)"]
_STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home; what runs in it is killed in the end."""
    home = Home(tmp_path)
    home.make()
    yield home
    found = daemons.alive(home, "d")
    if found is not None:
        os.kill(found.pid, signal.SIGKILL)


def _until_gone(home: Home) -> None:
    deadline = time.monotonic() + 10
    while daemons.alive(home, "d") is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _until_it_says(home: Home, text: str) -> None:
    deadline = time.monotonic() + 10
    while text not in home.log("d").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_daemon_is_alive_until_it_is_killed(home: Home) -> None:
    """kill -9 leaves the file behind and frees the lock."""
    assert daemons.alive(home, "d") is None
    started = daemons.start(home, "d", _SLEEPER, {})
    found = daemons.alive(home, "d")
    assert found is not None
    assert found.pid == started.pid
    os.kill(found.pid, signal.SIGKILL)
    os.waitpid(found.pid, 0)
    _until_gone(home)
    assert json.loads(home.lock("d").read_text())["pid"] == found.pid


def test_a_second_start_is_refused(home: Home) -> None:
    """Two daemons would act on one store."""
    daemons.start(home, "d", _SLEEPER, {})
    with pytest.raises(DaemonError, match="d runs already"):
        daemons.start(home, "d", _SLEEPER, {})


def test_one_that_does_not_listen_is_killed(home: Home) -> None:
    """After it was asked."""
    daemons.start(home, "d", _STUBBORN, {})
    _until_it_says(home, "deaf")
    assert daemons.stop(home, "d", within_s=0.2)
    assert daemons.alive(home, "d") is None
    assert not daemons.stop(home, "d")


def test_last_words_are_of_the_last_start(home: Home) -> None:
    """Older ones would mislead."""
    home.log("d").write_text("an old error\n")
    found = daemons.start(home, "d", [sys.executable, "-S", "-c", "print('a new error')"], {})
    os.waitpid(found.pid, 0)
    _until_gone(home)
    assert daemons.last_words(home, "d") == "a new error"


def test_what_a_daemon_writes_is_private(home: Home) -> None:
    """Its umask lets nobody else read."""
    code = f"open({str(home.root / 'made')!r}, 'w').close()"
    found = daemons.start(home, "d", [sys.executable, "-S", "-c", code], {})
    os.waitpid(found.pid, 0)
    assert (home.root / "made").stat().st_mode & 0o777 == 0o600
    assert home.log("d").stat().st_mode & 0o777 == 0o600


def test_a_lock_without_a_description_is_still_held(home: Home) -> None:
    """Between the start and the description."""
    daemons.start(home, "d", _SLEEPER, {})
    found = daemons.alive(home, "d")
    assert found is not None
    text = home.lock("d").read_text()
    home.lock("d").write_text("")
    assert daemons.alive(home, "d") is not None
    home.lock("d").write_text(text)
