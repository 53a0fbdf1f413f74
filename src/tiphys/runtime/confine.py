"""Takes from the worker's own process what parsing does not need: network, files, new processes.

Each step is tried; what the kernel refuses is told to the engine, which logs it once. Linux only, elsewhere nothing can
be taken. Imported by the worker alone, before any input is read.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
import sys

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
# The same numbers on every architecture.
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_RESTRICT_SELF = 444, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1


def confine() -> dict[str, str]:
    """Confine this process for good; gives what became of `network` and `files`, for the log.

    Files that are open stay usable, nothing else can be opened. Another process of the same user can no longer be looked
    into through /proc, which is how the engine's environment would be read.
    """
    if sys.platform != "linux":
        return {"network": f"not confined on {sys.platform}", "files": f"not confined on {sys.platform}"}
    libc = ctypes.CDLL(None, use_errno=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    network = "none"
    if libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        network = f"not confined: {os.strerror(ctypes.get_errno())}"
    # A change of credentials may forget the signal set at the start. Should the engine have died before this line, its
    # end of stdin is closed, and the first read ends the worker.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    files, tcp_refused = _landlock(libc)
    if network != "none" and tcp_refused:
        network += ", but TCP is refused by Landlock"
    # A limit of the user, not of this process; 0 forbids new processes and threads to all but root.
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return {"network": network, "files": files}


def _landlock(libc: ctypes.CDLL) -> tuple[str, bool]:
    """(what became of files, is TCP refused): a rule set that handles everything and allows nothing."""
    version = libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        return f"not confined: Landlock: {os.strerror(ctypes.get_errno())}", False
    file_bits = {1: 13, 2: 14}.get(version, 15)  # version 2 adds REFER, 3 TRUNCATE; IOCTL_DEV of 5 opens nothing
    words = [(1 << file_bits) - 1]
    if version >= 4:
        words.append(0b11)  # TCP bind and connect
    if version >= 6:
        words.append(0b11)  # abstract unix sockets, signals
    rules = struct.pack(f"={len(words)}Q", *words)
    descriptor = libc.syscall(_SYS_LANDLOCK_CREATE_RULESET, rules, len(rules), 0)
    if descriptor < 0:
        return f"not confined: Landlock: {os.strerror(ctypes.get_errno())}", False
    refused = libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, descriptor, 0)
    problem = os.strerror(ctypes.get_errno()) if refused else ""
    os.close(descriptor)
    return (f"not confined: Landlock: {problem}", False) if refused else ("none", version >= 4)
