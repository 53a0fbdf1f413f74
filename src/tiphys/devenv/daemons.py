"""The two daemons as detached processes. "Running" is a held lock, not a pid file.

The lock's file is opened before the daemon starts and its descriptor is handed down: the daemon holds it for as long as it
lives, however it ends, and nobody can hold it in its place. What stands in the file names the process, so that `down`
signals exactly that one.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.devenv.home import Home

STOP_WITHIN_S = 15.0
_POLL_S = 0.05
_LOG_TAIL = 20
_LOG_KEPT_BYTES = 8 * 1024 * 1024


class DaemonError(Exception):
    """A daemon could not be started or stopped; the message carries what it said last."""


@dataclass(frozen=True, slots=True)
class Alive:
    """A daemon that runs."""

    name: str
    pid: int
    started: float  # Unix seconds
    argv: tuple[str, ...] = ()
    log_from: int = 0  # where its own lines begin in the log


def alive(home: Home, name: str) -> Alive | None:
    """The running daemon of this name, None when there is none, whatever a crash left behind."""
    try:
        descriptor = os.open(home.lock(name), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _described(name, os.read(descriptor, 65536))
    finally:
        os.close(descriptor)
    return None


def start(home: Home, name: str, argv: Sequence[str], env: Mapping[str, str]) -> Alive:
    """Start a daemon detached from this terminal; it holds its lock. Raises DaemonError when it runs already."""
    descriptor = os.open(home.lock(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DaemonError(f"{name} runs already") from None
        _rotate(home.log(name))
        with home.log(name).open("ab") as log:
            os.fchmod(log.fileno(), 0o600)
            log_from = log.tell()
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=home.root,
                start_new_session=True,
                pass_fds=(descriptor,),
                umask=0o077,
            )
        found = Alive(name, process.pid, time.time(), tuple(argv), log_from)
        row = {"pid": found.pid, "started": found.started, "argv": list(argv), "log_from": log_from}
        text = json.dumps(row).encode()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
        # The child is not waited for: it belongs to init once we end. Forget it without a warning.
        process.returncode = 0
        return found
    finally:
        os.close(descriptor)


def stop(home: Home, name: str, *, within_s: float = STOP_WITHIN_S) -> bool:
    """Stop a daemon and wait until its lock is free; True when one ran. Kills its group when it does not end in time."""
    found = alive(home, name)
    if found is None:
        return False
    _signal(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + within_s
    while alive(home, name) is not None:
        if time.monotonic() > deadline:
            try:
                os.killpg(found.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                _signal(found.pid, signal.SIGKILL)
            deadline = time.monotonic() + within_s
        time.sleep(_POLL_S)
    return True


def last_words(home: Home, name: str) -> str:
    """The end of what a daemon has said since its last start, for an error message."""
    try:
        started = _described(name, home.lock(name).read_bytes())
        with home.log(name).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 8192, started.log_from if started.log_from <= end else 0))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-_LOG_TAIL:]) or "(it said nothing)"


def program() -> list[str]:
    """How this very installation is started again."""
    return [sys.executable, "-P", "-m", "tiphys"]  # -P: nothing is imported from the folder it is started in


def _described(name: str, text: bytes) -> Alive:
    try:
        found = json.loads(text)
        return Alive(
            name,
            int(found["pid"]),
            float(found["started"]),
            tuple(found.get("argv") or ()),
            int(found.get("log_from") or 0),
        )
    except (ValueError, KeyError, TypeError):
        return Alive(name, 0, 0.0)  # it is just being started and has not been described yet


def _signal(pid: int, number: signal.Signals) -> None:
    if pid <= 1:
        return
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass  # it ended by itself


def _rotate(path: Path) -> None:
    """Keep one older log when the current one has grown large."""
    try:
        if path.stat().st_size > _LOG_KEPT_BYTES:
            path.replace(path.with_suffix(".log.1"))
    except FileNotFoundError:
        pass
