"""Takes from the worker's own process what parsing does not need: network, files, new processes.

Each step is tried; what the kernel refuses is told to the engine, which logs it once. Linux only, elsewhere nothing can
be taken. Imported by the worker alone, before any input is read.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import stat
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
# The same numbers on every architecture.
_SYS_LANDLOCK_CREATE_RULESET, _SYS_LANDLOCK_ADD_RULE, _SYS_LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_OF_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_REMOVE, _MAKE, _MOVE = (
    1 << 4 | 1 << 5,
    1 << 7 | 1 << 8,
    1 << 13,
)  # folders and plain files, no devices, sockets or links


@dataclass(frozen=True, slots=True)
class Allowed:
    """What stays in reach of a confined process: paths of files, or of folders with all that is below them.

    `processes`: it may start programs and threads (those of `execute`, and what they need of `read`).
    """

    read: Sequence[str] = ()
    write: Sequence[str] = ()
    execute: Sequence[str] = ()
    processes: bool = False


NOTHING = Allowed()


def confine(allowed: Allowed = NOTHING) -> dict[str, str]:
    """Confine this process for good; gives what became of `network` and `files`, for the log.

    Files that are open stay usable, nothing but `allowed` can be opened. Another process of the same user can no longer
    be looked into through /proc, which is how the engine's environment would be read. To be called before a library
    starts threads of its own: those that run already stay free.
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
    files, tcp_refused = _landlock(libc, allowed)
    if network != "none" and tcp_refused:
        network += ", but TCP is refused by Landlock"
    # A limit of the user, not of this process; 0 forbids new processes and threads to all but root.
    if not allowed.processes:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    return {"network": network, "files": files}


def _landlock(libc: ctypes.CDLL, allowed: Allowed) -> tuple[str, bool]:
    """(what became of files, is TCP refused): a rule set that handles everything and allows what is given."""
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
    for paths, access in (
        (allowed.read, _READ | _LIST),
        (allowed.write, _READ | _LIST | _WRITE | _TRUNCATE | _REMOVE | _MAKE | _MOVE),
        (allowed.execute, _READ | _LIST | _EXECUTE),
    ):
        for path in paths:
            _allow(libc, descriptor, path, access & words[0])
    refused = libc.syscall(_SYS_LANDLOCK_RESTRICT_SELF, descriptor, 0)
    problem = os.strerror(ctypes.get_errno()) if refused else ""
    os.close(descriptor)
    return (f"not confined: Landlock: {problem}", False) if refused else ("none", version >= 4)


def _allow(libc: ctypes.CDLL, rules: int, path: str, access: int) -> None:
    """What is not there needs no rule; what the kernel refuses stays out of reach, and whoever needs it will say so."""
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(beneath).st_mode):
            access &= _OF_FILES
        rule = struct.pack("=Qi", access, beneath)
        libc.syscall(_SYS_LANDLOCK_ADD_RULE, rules, _LANDLOCK_RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)
