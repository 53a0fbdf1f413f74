"""Runs a program: argv list, explicit env, time and output limits, kills the process group.

Every child leads a session of its own, so killing its group reaches what it started. A group is killed when its time is
up, when the caller is cancelled, when it writes more than a message may hold, and when its leader ends: nothing a
program left behind outlives it, unless it made itself a session of its own.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from tiphys.runtime.frames import HEADER_BYTES, frame_header

DEFAULT_OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
STDERR_LIMIT_BYTES = 1024 * 1024
# How long pipes may stay open after the leader has ended: bytes it wrote are still on the way, holders are dead by then.
DRAIN_TIMEOUT_S = 2.0
_PR_SET_PDEATHSIG = 1


class ProcessError(Exception):
    """A program could not be run to its end. The message names the program, never its arguments or environment."""

    def __init__(self, program: str, message: str) -> None:
        super().__init__(f"{program}: {message}")
        self.program = program


class ProgramNotFoundError(ProcessError):
    """There is no such program, or it may not be executed."""


class ProcessTimeoutError(ProcessError):
    """The program was killed because its time was up; `stderr` is what it had said until then."""

    def __init__(self, program: str, timeout_s: float, stderr: bytes) -> None:
        super().__init__(program, f"killed after {timeout_s:g} s")
        self.timeout_s = timeout_s
        self.stderr = stderr


class OutputLimitError(ProcessError):
    """A child announced a message over the limit and was killed."""


class ChildEndedError(ProcessError):
    """A child ended while a message was awaited; `stderr` is the tail of what it said, `exit_code` how it ended."""

    def __init__(self, program: str, exit_code: int | None, stderr: bytes) -> None:
        super().__init__(program, f"ended with {describe_exit(exit_code)}")
        self.exit_code = exit_code
        self.stderr = stderr


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


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. `exit_code` is negative for the signal that killed it."""

    exit_code: int
    stdout: bytes
    stderr: bytes
    stdout_truncated: bool = False
    stderr_truncated: bool = False


def describe_exit(exit_code: int | None) -> str:
    """`exit code 1`, or `signal SIGKILL` for a negative one."""
    if exit_code is None:
        return "an unknown exit code"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"


async def run_program(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str | Path | None = None,
    stdin: bytes = b"",
    timeout_s: float,
    output_limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES,
    limits: Limits | None = None,
    die_with_parent: bool = False,
) -> Completed:
    """Run a program to its end. `env` is its whole environment; a non-zero exit code is an answer, not an error.

    Output over the limit is dropped and flagged; the program is still read to its end. `limits` and `die_with_parent`
    (Linux only, elsewhere ignored) cost a full fork instead of a cheap spawn.
    Raises ProgramNotFoundError, ProcessTimeoutError; on cancellation the group is dead before CancelledError goes on.
    """
    protocol = _Collect(output_limit_bytes)
    transport = await _spawn(argv, lambda: protocol, env, cwd, limits, die_with_parent)
    try:
        _write_stdin(transport, stdin)
        async with asyncio.timeout(timeout_s):
            await protocol.exited.wait()
        kill_group(transport.get_pid())
        await _drain(protocol)
    except TimeoutError:
        raise ProcessTimeoutError(argv[0], timeout_s, bytes(protocol.buffers[2])) from None
    finally:
        await _end(transport, protocol)
    code = transport.get_returncode()
    return Completed(
        exit_code=-1 if code is None else code,
        stdout=bytes(protocol.buffers[1]),
        stderr=bytes(protocol.buffers[2]),
        stdout_truncated=1 in protocol.truncated,
        stderr_truncated=2 in protocol.truncated,
    )


class Child:
    """A long-lived program that takes and gives messages in frames on its stdin and stdout.

    One caller at a time: send, then receive. After any error the child is dead. Its stderr is kept as a short tail.
    """

    def __init__(self, program: str, transport: asyncio.SubprocessTransport, protocol: _Frames) -> None:
        self._program = program
        self._transport = transport
        self._protocol = protocol

    @classmethod
    async def spawn(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: str | Path | None = None,
        limits: Limits | None = None,
        die_with_parent: bool = True,
    ) -> Child:
        """Start a child. Raises ProgramNotFoundError."""
        protocol = _Frames()
        transport = await _spawn(argv, lambda: protocol, env, cwd, limits, die_with_parent)
        return cls(argv[0], transport, protocol)

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._transport.get_pid()

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return not self._protocol.exited.is_set()

    @property
    def stderr_tail(self) -> bytes:
        """The last few kilobytes the child wrote to stderr."""
        return self._protocol.stderr_tail

    async def send(self, message: bytes, *, timeout_s: float) -> None:
        """Hand one message to the child. Raises ChildEndedError, ProcessTimeoutError when it does not read."""
        pipe = cast("asyncio.WriteTransport | None", self._transport.get_pipe_transport(0))
        if pipe is None or pipe.is_closing() or not self.alive:
            await self._fail()
        assert pipe is not None
        try:
            async with asyncio.timeout(timeout_s):
                pipe.write(frame_header(len(message)))
                pipe.write(message)
                await self._protocol.until_writable()
        except TimeoutError:
            await self.kill()
            raise ProcessTimeoutError(self._program, timeout_s, self.stderr_tail) from None
        except (BrokenPipeError, ConnectionResetError):
            await self._fail()
        except asyncio.CancelledError:
            await self.kill()
            raise

    async def receive(self, *, timeout_s: float, limit_bytes: int = DEFAULT_OUTPUT_LIMIT_BYTES) -> bytes:
        """The child's next message.

        Raises ProcessTimeoutError, OutputLimitError or ChildEndedError; the group is dead in each case, and also when
        the caller is cancelled (half a conversation cannot be taken up again).
        """
        self._protocol.limit_bytes = limit_bytes
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._protocol.next_message()
        except TimeoutError:
            await self.kill()
            raise ProcessTimeoutError(self._program, timeout_s, self.stderr_tail) from None
        except _TooLarge as error:
            await self.kill()
            raise OutputLimitError(
                self._program, f"a message of {error.size} bytes is over the limit of {limit_bytes}"
            ) from None
        except asyncio.CancelledError:
            await self.kill()
            raise
        if message is None:
            await self._fail()
        assert message is not None
        return message

    async def kill(self) -> int | None:
        """Kill the group and give the exit code; harmless when it has ended."""
        kill_group_of(self._transport, self._protocol)
        await _end(self._transport, self._protocol)
        return self._transport.get_returncode()

    async def close(self, *, timeout_s: float) -> int | None:
        """Close the child's stdin, wait for it to end by itself, then kill the group. Gives the exit code."""
        pipe = self._transport.get_pipe_transport(0)
        if pipe is not None:
            pipe.close()
        await _wait_exit(self._protocol, timeout_s)
        return await self.kill()

    async def _fail(self) -> None:
        # stdout closed: give the process a moment to end by itself, for the sake of its exit code and last words
        await _wait_exit(self._protocol, DRAIN_TIMEOUT_S)
        exit_code = await self.kill()
        raise ChildEndedError(self._program, exit_code, self.stderr_tail)


def kill_group(group_id: int) -> None:
    """SIGKILL to every process of the group; nothing happens when there is none left."""
    if group_id <= 1:
        return
    try:
        os.killpg(group_id, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass  # ended; macOS answers EPERM for a group of zombies


def kill_group_of(transport: asyncio.SubprocessTransport, protocol: _Ends) -> None:
    """Kill the group of a child whose leader has not been reaped; afterwards its id may belong to someone else."""
    if not protocol.exited.is_set():
        kill_group(transport.get_pid())


async def _spawn(
    argv: Sequence[str],
    factory: Callable[[], _Ends],
    env: Mapping[str, str],
    cwd: str | Path | None,
    limits: Limits | None,
    die_with_parent: bool,
) -> asyncio.SubprocessTransport:
    if cwd is not None and not os.path.isdir(cwd):  # noqa: ASYNC240  # one stat, to tell a missing folder from a missing program
        raise ProcessError(argv[0], "its working folder does not exist")
    try:
        transport, _ = await asyncio.get_running_loop().subprocess_exec(
            factory,
            *argv,
            env=dict(env),
            cwd=cwd,
            stdin=-1,
            stdout=-1,
            stderr=-1,
            start_new_session=True,
            preexec_fn=_prepare_child(limits, die_with_parent),
        )
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise ProgramNotFoundError(argv[0], error.strerror or "cannot be executed") from None
    return transport


def _prepare_child(limits: Limits | None, die_with_parent: bool) -> Callable[[], None] | None:
    """What the child does between fork and exec; everything it needs is made ready before the fork.

    The death signal is bound to the thread that forks, so children must be started from a thread that lives on: the
    event loop's.
    """
    rows = limits.rows() if limits else ()
    die = die_with_parent and sys.platform == "linux"
    if not rows and not die:
        return None
    prctl = ctypes.CDLL(None).prctl if die else None
    parent = os.getpid()
    setrlimit, getrlimit = resource.setrlimit, resource.getrlimit

    def prepare() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the signal was set
                os._exit(127)
        for which, limit in rows:
            hard = getrlimit(which)[1]
            value = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            try:
                setrlimit(which, (value, value))
            except (ValueError, OSError):
                pass  # macOS does not know some of them

    return prepare


def _write_stdin(transport: asyncio.SubprocessTransport, data: bytes) -> None:
    pipe = cast("asyncio.WriteTransport | None", transport.get_pipe_transport(0))
    if pipe is None or pipe.is_closing():
        return  # it ended, or closed its input, before it was given any
    if data:
        pipe.write(data)
    pipe.close()  # what is written is flushed first


async def _drain(protocol: _Ends) -> None:
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await protocol.outputs_closed.wait()
    except TimeoutError:
        pass  # held by a process that left the group; what it writes is not ours


async def _end(transport: asyncio.SubprocessTransport, protocol: _Ends) -> None:
    """Kill what is left, reap the leader, close the pipes. Holds under cancellation: it is short and bounded."""
    kill_group_of(transport, protocol)
    if not protocol.exited.is_set():
        try:
            await _wait_exit(protocol, DRAIN_TIMEOUT_S)
        finally:
            transport.close()
    transport.close()


async def _wait_exit(protocol: _Ends, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await protocol.exited.wait()
    except TimeoutError:
        pass  # the caller looks at whether it has ended


class _Ends(asyncio.SubprocessProtocol):
    """Knows when the process has ended and when both of its outputs are closed."""

    def __init__(self) -> None:
        self.exited = asyncio.Event()
        self.outputs_closed = asyncio.Event()
        self._open = {1, 2}

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self._open.discard(fd)
        if not self._open:
            self.outputs_closed.set()

    def process_exited(self) -> None:
        self.exited.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.process_exited()
        self.outputs_closed.set()


class _Collect(_Ends):
    """Keeps what comes, up to the limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self.buffers: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self.truncated: set[int] = set()
        self._limits = {1: limit_bytes, 2: min(limit_bytes, STDERR_LIMIT_BYTES)}

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        buffer = self.buffers[fd]
        room = self._limits[fd] - len(buffer)
        if len(data) > room:
            self.truncated.add(fd)
            data = data[:room]
        buffer += data


class _TooLarge(Exception):
    def __init__(self, size: int) -> None:
        self.size = size


class _Frames(_Ends):
    """Cuts stdout into messages; keeps the tail of stderr. Never holds more than one message over the limit asked for."""

    _TAIL_BYTES = 16 * 1024

    def __init__(self) -> None:
        super().__init__()
        self.limit_bytes = DEFAULT_OUTPUT_LIMIT_BYTES
        self._buffer = bytearray()
        self._messages: deque[bytes] = deque()
        self._too_large: int | None = None
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._tail = bytearray()
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()

    @property
    def stderr_tail(self) -> bytes:
        return bytes(self._tail[-self._TAIL_BYTES :])

    async def next_message(self) -> bytes | None:
        """The next message, None when stdout is closed. Raises _TooLarge."""
        while True:
            if self._messages:
                return self._messages.popleft()
            if self._too_large is not None:
                raise _TooLarge(self._too_large)
            if self._closed:
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    async def until_writable(self) -> None:
        """Return when the child's stdin has room again; raises BrokenPipeError when it is gone."""
        await self._writable.wait()
        if self._closed:
            raise BrokenPipeError

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._tail += data
            if len(self._tail) > 4 * self._TAIL_BYTES:
                del self._tail[: -self._TAIL_BYTES]
            return
        if self._too_large is not None:
            return  # it is about to be killed
        self._buffer += data
        self._cut()

    def _cut(self) -> None:
        buffer = self._buffer
        while len(buffer) >= HEADER_BYTES:
            size = int.from_bytes(buffer[:HEADER_BYTES], "big")
            if size > self.limit_bytes:
                self._too_large = size
                buffer.clear()
                break
            end = HEADER_BYTES + size
            if len(buffer) < end:
                return
            self._messages.append(bytes(memoryview(buffer)[HEADER_BYTES:end]))
            del buffer[:end]
        self._wake()

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        super().pipe_connection_lost(fd, exc)
        if fd == 1:
            self._closed = True
            self._wake()
        elif fd == 0:
            self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._closed = True
        self._writable.set()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
