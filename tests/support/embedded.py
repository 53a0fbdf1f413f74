"""An embedded cluster as a process of its own, for black-box tests; and kubectl to talk to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KUBECTL = Path(sys.executable).parent / "kubectl"


@dataclass
class Embedded:
    """A running `tiphys devcluster`."""

    process: subprocess.Popen[str]
    kubeconfig: Path
    line: str
    home: Path

    @property
    def url(self) -> str:
        """Where it answers."""
        return next(word for word in self.line.replace(",", " ").split() if word.startswith("https://"))

    def kubectl(self, *args: str, stdin: str = "", check: bool = True, timeout_s: float = 30) -> str:
        """Output of one kubectl command; its stderr is appended. Fails the test when kubectl fails, unless told not to."""
        done = subprocess.run(
            [str(KUBECTL), "--kubeconfig", str(self.kubeconfig), *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "EDITOR": "true"},
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(args)} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def stop(self) -> float:
        """SIGTERM; seconds until the process was gone."""
        start = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)
        return time.monotonic() - start


def start_embedded(home: Path, *args: str, timeout_s: float = 20) -> Embedded:
    """Start the server in `home` on a free port; returns when it answers."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "log").open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tiphys", "devcluster", "--home", str(home), "--port", "0", *args],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", "src")},
        )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + timeout_s
    line = ""
    while not line.endswith("\n"):
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise AssertionError(f"tiphys devcluster did not start: {line} {(home / 'log').read_text()[-2000:]}")
        try:
            line += os.read(process.stdout.fileno(), 4096).decode()
        except BlockingIOError:
            time.sleep(0.02)
    return Embedded(process, home / "kubeconfig", line.strip(), home)


@contextmanager
def embedded(home: Path, *args: str) -> Iterator[Embedded]:
    """A server for a while."""
    running = start_embedded(home, *args)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.stop()
        if running.process.stdout is not None:
            running.process.stdout.close()
