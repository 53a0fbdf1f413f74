"""The engine's home folder: in use by one process alone."""

from __future__ import annotations

import os
from pathlib import Path

from tiphys.runtime.files import FileLock, write_atomic
from tiphys.runtime.ids import SystemIds


class HomeClaim:
    """A home folder in use by one process alone, and the name under which that process competes for the Lease.

    The name stays the same over restarts, so that a restarted engine need not wait for the Lease of the killed one to run
    out; the lock makes sure that the earlier one is really gone.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._lock = FileLock(home / "engine.lock")
        self.identity = ""

    def take(self) -> None:
        """Raises LockHeldError when another process uses the folder."""
        self._lock.acquire(f"pid {os.getpid()}")
        path = self._home / "identity"
        try:
            name = path.read_text().strip()
        except FileNotFoundError:
            name = SystemIds().uuid()
            write_atomic(path, f"{name}\n".encode())
        # A copy of the folder is another engine, and so is the same folder on another machine.
        self.identity = f"{os.uname().nodename}_{name}_{self._home.stat().st_ino}"

    def release(self) -> None:
        """Let others use the folder."""
        self._lock.release()
