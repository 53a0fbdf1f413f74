"""Processes named by process id *and* start time, so that a process which was given a re-used id is never signalled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

POLL_S = 0.02


class ProcessRecord(NamedTuple):
    """A process as it is written to the state file."""

    name: str
    pid: int
    started: str
    """When the process started, as `start_time` tells it; only compared for equality."""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> str | None:
    """When the process with this id started, or None when there is none or it is a zombie.

    On Linux this is the boot id and the start in clock ticks since the boot; elsewhere what `ps` says, to the second.
    """
    if sys.platform != "linux":
        answer = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.split(maxsplit=1)
        return None if len(answer) < 2 or answer[0].startswith("Z") else answer[1].strip()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may hold anything; the fields after it are counted from 3.
    fields = stat.rpartition(")")[2].split()
    state, ticks = fields[0], fields[22 - 3]
    if state in "ZX":
        return None
    return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}:{ticks}"


def record(name: str, pid: int) -> ProcessRecord:
    """Describe a process that has just been started. One that is gone already gets a start that matches nothing."""
    return ProcessRecord(name, pid, start_time(pid) or "gone")


def stop(processes: Iterable[ProcessRecord], grace_s: float) -> None:
    """Stop processes one after the other, each by SIGTERM and, after `grace_s` seconds, by SIGKILL.

    Returns when all are gone; processes that are gone already are passed over.
    """
    for process in processes:
        deadline = time.monotonic() + grace_s
        if process.alive:
            _signal(process, signal.SIGTERM)
        while process.alive:
            if time.monotonic() > deadline:
                _signal(process, signal.SIGKILL)
            time.sleep(POLL_S)


def _signal(process: ProcessRecord, number: signal.Signals) -> None:
    try:
        os.kill(process.pid, number)
    except ProcessLookupError:
        pass  # it ended between the look and the signal
