"""Starts a process with three pipes on the running loop; the mechanism below `process`.

The loop's own way (`subprocess_exec`) is not used: uvloop always forks, and so does asyncio as soon as anything is to be
done in the child. Forking copies the page tables of the whole engine: measured with 400 MB resident, 15 ms of CPU and up
to 70 ms of standstill per child, against 1 to 2 ms here, where vfork is used. What has to be done in the child before the
program starts is done by a small interpreter of its own that then becomes the program.
"""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# argv: the parent's pid or 0; limits as `resource=value`, separated by commas; whether the environment has an LC_CTYPE
# (the interpreter adds one to an empty environment); then the program. Ends with 127 when the parent is gone already: the
# death signal is for a parent that dies later.
_PRELUDE = """
import os, resource, sys
parent, limits, locale, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
if parent and sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(127)
for item in filter(None, limits.split(",")):
    which, value = map(int, item.split("="))
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    try:
        resource.setrlimit(which, (value, value))
    except (ValueError, OSError):
        pass
if not locale:
    os.environ.pop("LC_CTYPE", None)
os.execvpe(argv[0], argv, os.environ)
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Resource limits of a child; None leaves one as it is inherited."""

    cpu_s: int | None = None
    memory_bytes: int | None = None  # address space; Go programs reserve much more than they use
    file_bytes: int | None = None
    open_files: int | None = None
    processes: int | None = None  # counted per user, so it is about all children together

    def rows(self) -> tuple[tuple[int, int], ...]:
        """(resource, limit) for each limit that is set."""
        pairs = (
            (resource.RLIMIT_CPU, self.cpu_s),
            (resource.RLIMIT_AS, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NOFILE, self.open_files),
            (resource.RLIMIT_NPROC, self.processes),
        )
        return tuple((which, limit) for which, limit in pairs if limit is not None)


class Listener:
    """Hears what a process does. `exited` and `outputs_closed` can be waited for."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.outputs_closed = asyncio.Event()
        self.stdin_closed = False
        self._open = {1, 2}

    def data_received(self, fd: int, data: bytes) -> None:
        """Bytes of stdout (1) or stderr (2)."""

    def pipe_closed(self, fd: int) -> None:
        """One of the three pipes is closed."""
        self._open.discard(fd)
        if fd == 0:
            self.stdin_closed = True
        elif not self._open:
            self.outputs_closed.set()

    def pause_writing(self) -> None:
        """Stdin is full."""

    def resume_writing(self) -> None:
        """Stdin has room again."""


class Process:
    """A started process and its pipes. `stdin` may be closing already when the process ended at once."""

    def __init__(self, popen: subprocess.Popen[bytes], listener: Listener) -> None:
        self.pid = popen.pid
        self.listener = listener
        self.stdin: asyncio.WriteTransport | None = None
        self._popen = popen
        self._outputs: list[asyncio.ReadTransport] = []
        self._pidfd: int | None = None

    @property
    def returncode(self) -> int | None:
        """Exit code, negative for a signal; None while it runs."""
        return self._popen.returncode

    def kill_group(self) -> None:
        """SIGKILL to the leader's group while the leader is ours; afterwards its id may belong to someone else."""
        if self._popen.returncode is None:
            kill_group(self.pid)

    async def wait_exit(self, timeout_s: float) -> bool:
        """Wait for the end; False when it has not come in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self.listener.exited.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Close the pipes."""
        if self.stdin is not None and not self.listener.stdin_closed:
            self.stdin.abort()  # with what was not taken: nobody will
        for output in self._outputs:
            output.close()

    async def connect(self) -> None:
        """Put pipes and exit on the running loop."""
        loop = asyncio.get_running_loop()
        popen, listener = self._popen, self.listener
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._watch_exit(loop)
        self.stdin, _ = await loop.connect_write_pipe(lambda: _Input(listener), popen.stdin)
        for fd, pipe in ((1, popen.stdout), (2, popen.stderr)):
            transport, _ = await loop.connect_read_pipe(lambda fd=fd: _Output(listener, fd), pipe)  # type: ignore[misc]
            self._outputs.append(transport)

    def _watch_exit(self, loop: asyncio.AbstractEventLoop) -> None:
        if sys.platform == "linux":
            try:
                self._pidfd = os.pidfd_open(self.pid)
            except OSError:
                pass  # a kernel before 5.3, or no descriptors left: a thread does it too
            else:
                loop.add_reader(self._pidfd, self._reap, loop)
                return
        threading.Thread(target=self._wait_in_thread, args=(loop,), daemon=True, name=f"wait-{self.pid}").start()

    def _reap(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._popen.poll() is None:
            return
        if self._pidfd is not None:
            loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self.listener.exited.set()

    def _wait_in_thread(self, loop: asyncio.AbstractEventLoop) -> None:
        self._popen.wait()
        try:
            loop.call_soon_threadsafe(self.listener.exited.set)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


async def spawn_process(
    argv: Sequence[str],
    listener: Listener,
    *,
    env: Mapping[str, str],
    cwd: str | Path | None,
    limits: Limits | None,
    die_with_parent: bool,
) -> Process:
    """Start a program in a session of its own. Raises OSError when it cannot be executed."""
    rows = limits.rows() if limits else ()
    if die_with_parent or rows:
        argv = _with_prelude(argv, rows, env, cwd, die_with_parent)
    popen = subprocess.Popen(  # noqa: ASYNC220  # 1 to 2 ms, and the death signal needs the loop's thread as its parent
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=dict(env),
        cwd=cwd,
        start_new_session=True,
    )
    process = Process(popen, listener)
    # Not to be interrupted: a pipe that is half connected belongs to nobody, and closing it could hit another's descriptor.
    connecting = asyncio.get_running_loop().create_task(process.connect())
    try:
        await asyncio.shield(connecting)
    except BaseException:
        await asyncio.wait([connecting])
        process.kill_group()
        process.close()
        raise
    return process


def kill_group(group_id: int) -> None:
    """SIGKILL to every process of the group; nothing happens when there is none left."""
    if group_id <= 1:
        return
    try:
        os.killpg(group_id, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # ended; macOS answers EPERM for a group of zombies


def _with_prelude(
    argv: Sequence[str],
    rows: Sequence[tuple[int, int]],
    env: Mapping[str, str],
    cwd: str | Path | None,
    die_with_parent: bool,
) -> list[str]:
    # Looked for here, so that a missing program is an error of ours and not an exit code of the prelude.
    folder = str(cwd) if cwd is not None else ""
    name = os.path.join(folder, argv[0]) if "/" in argv[0] and not os.path.isabs(argv[0]) else argv[0]
    if shutil.which(name, path=env.get("PATH", os.defpath)) is None:
        raise FileNotFoundError(2, "No such file or directory")
    parent = str(os.getpid()) if die_with_parent else "0"
    limits = ",".join(f"{which}={limit}" for which, limit in rows)
    return [sys.executable, "-I", "-S", "-c", _PRELUDE, parent, limits, "1" if "LC_CTYPE" in env else "", *argv]


class _Input(asyncio.BaseProtocol):
    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.pipe_closed(0)

    def pause_writing(self) -> None:
        self._listener.pause_writing()

    def resume_writing(self) -> None:
        self._listener.resume_writing()


class _Output(asyncio.Protocol):
    def __init__(self, listener: Listener, fd: int) -> None:
        self._listener = listener
        self._fd = fd

    def data_received(self, data: bytes) -> None:
        self._listener.data_received(self._fd, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._listener.pipe_closed(self._fd)
