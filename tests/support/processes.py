"""Programs under test as child processes: started with a clean environment, stopped with their group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
TIPHYS = str(BIN / "tiphys")


def clean_env(**extra: str) -> dict[str, str]:
    """PATH with the tools of this environment, and nothing of the developer's own configuration."""
    env = {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    env.update(extra)
    return env


class Program:
    """A long-running child with its output in a file."""

    def __init__(self, argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        self.argv = list(argv)
        self.log = log
        self._stream = log.open("ab")
        self._process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=self._stream,
            stderr=subprocess.STDOUT,
            env=dict(env if env is not None else clean_env()),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """Process id, which is its group's as well."""
        return self._process.pid

    def poll(self) -> int | None:
        """Exit code, None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Everything it printed."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9 of the process alone, as a crash is."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)

    def stop(self, within_s: float = 15.0) -> int:
        """SIGTERM, then the group is killed; the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(within_s)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._stream.close()
        return self._process.wait(10)


def wait_for(path: Path, program: Program, *, within_s: float = 60.0) -> None:
    """Until the file is there; fails at once when the program ended, with what it printed."""
    deadline = time.monotonic() + within_s
    while not path.exists():
        if program.poll() is not None:
            raise AssertionError(f"{program.argv} ended with {program.poll()}:\n{program.output()[-4000:]}")
        if time.monotonic() > deadline:
            raise AssertionError(
                f"{program.argv} did not make {path} within {within_s:g} s:\n{program.output()[-4000:]}"
            )
        time.sleep(0.05)
