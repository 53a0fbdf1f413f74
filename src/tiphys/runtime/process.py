"""Runs a program: argv list, explicit env, time and output limits, kills the process group.

Every child leads a session of its own, so killing its group reaches what it started. A group is killed when its time is
up, when the caller is cancelled, when it writes more than a message may hold, and when its leader ends: nothing a
program left behind outlives it, unless it made itself a session of its own.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.runtime.frames import HEADER_BYTES, frame_header
from tiphys.runtime.spawn import Limits, Listener, Process, kill_group, spawn_process

__all__ = [
    "Child",
    "ChildEndedError",
    "Completed",
    "Limits",
    "OutputLimitError",
    "ProcessError",
    "ProcessTimeoutError",
    "ProgramNotFoundError",
    "describe_exit",
    "kill_group",
    "run_program",
]

DEFAULT_OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024
STDERR_LIMIT_BYTES = 1024 * 1024
# How long pipes may stay open after the leader has ended: bytes it wrote are still on the way, holders are dead by then.
DRAIN_TIMEOUT_S = 2.0


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

    Output over the limit is dropped and flagged; the program is still read to its end. `limits` and
    `die_with_parent` (the kernel kills the program when we die, however that happens; Linux only) cost the start of an
    interpreter, some 20 ms of CPU in the child.
    Raises ProgramNotFoundError, ProcessTimeoutError; on cancellation the group is dead before CancelledError goes on.
    """
    output = _Collect(output_limit_bytes)
    process = await _spawn(argv, output, env, cwd, limits, die_with_parent)
    try:
        _write_stdin(process.stdin, stdin)
        if not await process.wait_exit(timeout_s):
            raise ProcessTimeoutError(argv[0], timeout_s, bytes(output.buffers[2]))
        kill_group(process.pid)  # what the leader left behind; its id was free for an instant only
        await _drain(output)
    finally:
        await _end(process)
    code = process.returncode
    return Completed(
        exit_code=-1 if code is None else code,
        stdout=bytes(output.buffers[1]),
        stderr=bytes(output.buffers[2]),
        stdout_truncated=1 in output.truncated,
        stderr_truncated=2 in output.truncated,
    )


class Child:
    """A long-lived program that takes and gives messages in frames on its stdin and stdout.

    One caller at a time: send, then receive. After any error the child is dead. Its stderr is kept as a short tail.
    """

    def __init__(self, program: str, process: Process, frames: _Frames) -> None:
        self._program = program
        self._process = process
        self._frames = frames

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
        frames = _Frames()
        process = await _spawn(argv, frames, env, cwd, limits, die_with_parent)
        return cls(argv[0], process, frames)

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """False once the process has ended."""
        return not self._frames.exited.is_set()

    @property
    def stderr_tail(self) -> bytes:
        """The last few kilobytes the child wrote to stderr."""
        return self._frames.stderr_tail

    async def send(self, message: bytes, *, timeout_s: float) -> None:
        """Hand one message to the child. Raises ChildEndedError, ProcessTimeoutError when it does not read."""
        pipe = self._process.stdin
        if pipe is None or pipe.is_closing() or not self.alive:
            await self._fail()
        assert pipe is not None
        try:
            async with asyncio.timeout(timeout_s):
                pipe.write(frame_header(len(message)))
                pipe.write(message)
                await self._frames.until_writable()
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
        self._frames.limit_bytes = limit_bytes
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._frames.next_message()
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
        await _end(self._process)
        return self._process.returncode

    async def close(self, *, timeout_s: float) -> int | None:
        """Close the child's stdin, wait for it to end by itself, then kill the group. Gives the exit code."""
        pipe = self._process.stdin
        if pipe is not None:
            pipe.close()
        await self._process.wait_exit(timeout_s)
        return await self.kill()

    async def _fail(self) -> None:
        # stdout closed: give the process a moment to end by itself, for the sake of its exit code and last words
        await self._process.wait_exit(DRAIN_TIMEOUT_S)
        exit_code = await self.kill()
        raise ChildEndedError(self._program, exit_code, self.stderr_tail)


async def _spawn(
    argv: Sequence[str],
    listener: Listener,
    env: Mapping[str, str],
    cwd: str | Path | None,
    limits: Limits | None,
    die_with_parent: bool,
) -> Process:
    if cwd is not None and not os.path.isdir(cwd):  # noqa: ASYNC240  # one stat, to tell a missing folder from a missing program
        raise ProcessError(argv[0], "its working folder does not exist")
    try:
        return await spawn_process(argv, listener, env=env, cwd=cwd, limits=limits, die_with_parent=die_with_parent)
    except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
        raise ProgramNotFoundError(argv[0], error.strerror or "cannot be executed") from None


def _write_stdin(pipe: asyncio.WriteTransport | None, data: bytes) -> None:
    if pipe is None or pipe.is_closing():
        return  # it ended, or closed its input, before it was given any
    if data:
        pipe.write(data)
    pipe.close()  # what is written is flushed first


async def _drain(listener: Listener) -> None:
    try:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await listener.outputs_closed.wait()
    except TimeoutError:
        pass  # held by a process that left the group; what it writes is not ours


async def _end(process: Process) -> None:
    """Kill what is left, reap the leader, close the pipes. Holds under cancellation: it is short and bounded."""
    process.kill_group()
    try:
        if not process.listener.exited.is_set():
            await process.wait_exit(DRAIN_TIMEOUT_S)
    finally:
        process.close()


class _Collect(Listener):
    """Keeps what comes, up to the limit."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self.buffers: dict[int, bytearray] = {1: bytearray(), 2: bytearray()}
        self.truncated: set[int] = set()
        self._limits = {1: limit_bytes, 2: min(limit_bytes, STDERR_LIMIT_BYTES)}

    def data_received(self, fd: int, data: bytes) -> None:
        buffer = self.buffers[fd]
        room = self._limits[fd] - len(buffer)
        if len(data) > room:
            self.truncated.add(fd)
            data = data[:room]
        buffer += data


class _TooLarge(Exception):
    def __init__(self, size: int) -> None:
        self.size = size


class _Frames(Listener):
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

    def data_received(self, fd: int, data: bytes) -> None:
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

    def pipe_closed(self, fd: int) -> None:
        super().pipe_closed(fd)
        if fd == 1:
            self._closed = True
            self._wake()
        elif fd == 0:
            self._writable.set()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
