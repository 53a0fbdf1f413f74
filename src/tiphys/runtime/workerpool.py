"""Workers that run tenants' inputs, kept warm: started ahead of need, replaced before they are retired, stopped when idle.

A worker is a child process that speaks `messages` over its pipes. At most `size` work at a time; one spare is kept ready
while there is work.
`serve` owns all of them: when it ends, none is left.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections import deque
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tiphys.runtime.clock import Clock
from tiphys.runtime.files import make_private_folder, remove_tree
from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.messages import PROGRESS_DIGITS, PROGRESS_FILE, decode
from tiphys.runtime.process import (
    Child,
    ChildEndedError,
    Limits,
    OutputLimitError,
    ProcessError,
    ProcessTimeoutError,
    describe_exit,
)
from tiphys.runtime.supervisor import Lifetime

HELLO_TIMEOUT_S = 30.0
REPLY_LIMIT_BYTES = 128 * 1024 * 1024
CLOSE_TIMEOUT_S = 1.0
# What a Go library says before it ends the process that it lives in.
_OUT_OF_MEMORY = (b"out of memory", b"cannot allocate memory", b"failed to reserve", b"failed to allocate")


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """How much one worker may use, and when it is replaced or let go."""

    memory_bytes: int = 2 * 1024**3  # address space, the hard end
    cpu_s: int = 3600  # of its whole life; a request has its own limit
    file_bytes: int = 1024 * 1024
    open_files: int = 32
    max_renders: int = 2000
    max_rss_bytes: int = 300 * 1024**2
    max_cpu_s: float = 1200.0
    idle_s: float = 300.0

    def of_process(self) -> Limits:
        """The part the kernel enforces."""
        return Limits(
            cpu_s=self.cpu_s,
            memory_bytes=self.memory_bytes,
            file_bytes=self.file_bytes,
            open_files=self.open_files,
        )


class WorkerError(Exception):
    """A worker gave no answer. `file` is the number of the file it was at, None when that is not known.

    `again` says that the same request may succeed later: the fault was not in what it was given.
    """

    def __init__(self, message: str, *, file: int | None = None, again: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.file = file
        self.again = again


@dataclass(eq=False, slots=True)
class _Worker:
    child: Child
    folder: Path
    renders: int = 0
    tired: bool = False  # to be stopped as soon as a fresh one stands by
    last_used: float = 0.0


@dataclass(slots=True)
class _State:
    idle: list[_Worker] = field(default_factory=list)  # the last one was used last
    busy: set[_Worker] = field(default_factory=set)
    starting: int = 0
    waiters: deque[asyncio.Future[_Worker]] = field(default_factory=deque)
    wanted: bool = True  # there was work lately, so a spare is kept


class WorkerPool:
    """Hands requests to workers. `root` is a folder for the workers' own folders.

    With `eager` the first worker is started with the pool, otherwise with the first request. Workers have no environment
    but `env` and folders of their own.
    """

    def __init__(
        self,
        *,
        root: Path,
        clock: Clock,
        size: int,
        limits: PoolLimits | None = None,
        argv: Sequence[str],
        env: Mapping[str, str] | None = None,
        eager: bool = True,
        log: Logger = SILENT,
    ) -> None:
        self._root = root
        self._clock = clock
        self._size = max(1, size)
        self._limits = limits or PoolLimits()
        self._argv = tuple(argv)
        self._env = dict(env or {})
        self._log = log
        self._state = _State(wanted=eager)
        self._changed = asyncio.Event()
        self._serving = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._told_isolation = False

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Process ids of all workers that live."""
        state = self._state
        return tuple(worker.child.pid for worker in (*state.idle, *state.busy) if worker.child.alive)

    async def serve(self, lifetime: Lifetime) -> None:
        """Keep workers until told to stop. Every worker is gone when this returns."""
        await asyncio.to_thread(make_private_folder, self._root)
        self._serving = True
        self._changed.set()
        try:
            async with asyncio.TaskGroup() as tasks:
                self._run(tasks, self._keep(tasks))
                self._run(tasks, self._let_idle_go())
                lifetime.ready()
                await lifetime.until_stopped()
                self._serving = False
                for task in list(self._tasks):
                    task.cancel()
        finally:
            self._serving = False
            await self._stop_all()

    async def ask(
        self, request: bytes, *, timeout_s: float, wait_timeout_s: float = 300.0
    ) -> tuple[dict[str, Any], memoryview]:
        """One worker's reply to a request: (header, bodies).

        `timeout_s` is for the work, `wait_timeout_s` for a worker to be free. Raises WorkerError; the worker that failed
        is dead by then, with everything it may have started.
        """
        worker = await self._take(wait_timeout_s)
        try:
            await worker.child.send(request, timeout_s=timeout_s)
            reply = await worker.child.receive(timeout_s=timeout_s, limit_bytes=REPLY_LIMIT_BYTES)
            header, bodies = decode(reply)
        except (ProcessError, ValueError) as error:
            raise await self._failed(worker, error) from None
        except BaseException:
            # Cancelled in the middle of a conversation: nobody can take it up again.
            await self._discard(worker)
            raise
        self._give_back(worker, header)
        return header, bodies

    def _run(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        task = tasks.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- taking and giving back

    async def _take(self, timeout_s: float) -> _Worker:
        if not self._serving:
            raise WorkerError("rendering has been stopped", again=True)
        state = self._state
        state.wanted = True
        while state.idle:
            worker = state.idle.pop()
            if worker.child.alive:
                state.busy.add(worker)
                self._changed.set()
                return worker
            self._forget(worker)
        waiter: asyncio.Future[_Worker] = asyncio.get_running_loop().create_future()
        state.waiters.append(waiter)
        self._changed.set()
        taken: _Worker | None = None
        try:
            async with asyncio.timeout(timeout_s):
                taken = await waiter
            return taken
        except TimeoutError:
            raise WorkerError(
                f"no rendering process was free for {timeout_s:g} s: {len(state.busy)} of {self._size} at work, "
                f"{len(state.waiters)} renders waiting",
                again=True,
            ) from None
        finally:
            if waiter in state.waiters:
                state.waiters.remove(waiter)
            if taken is None and waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._offer(waiter.result())  # it came in the same turn as the time-out or cancellation

    def _give_back(self, worker: _Worker, header: dict[str, Any]) -> None:
        limits = self._limits
        worker.renders += 1
        rss, cpu = int(header.get("rss_bytes", 0)), float(header.get("cpu_s", 0))
        worker.tired = worker.renders >= limits.max_renders or rss > limits.max_rss_bytes or cpu > limits.max_cpu_s
        self._offer(worker)

    def _offer(self, worker: _Worker) -> None:
        """Give a worker to whoever waits longest, otherwise let it stand by."""
        state = self._state
        worker.last_used = self._clock.monotonic()
        while state.waiters:
            waiter = state.waiters.popleft()
            if not waiter.done():
                state.busy.add(worker)
                waiter.set_result(worker)
                self._changed.set()
                return
        state.busy.discard(worker)
        # A tired one is taken only when there is no other.
        state.idle.insert(0 if worker.tired else len(state.idle), worker)
        self._changed.set()

    async def _failed(self, worker: _Worker, error: Exception) -> WorkerError:
        at = await asyncio.to_thread(_progress, worker.folder)
        await self._discard(worker)
        if isinstance(error, ProcessTimeoutError):
            return WorkerError(f"rendering was killed after {error.timeout_s:g} s (limit of time)", file=at)
        if isinstance(error, OutputLimitError):
            return WorkerError(
                f"rendering gave more than {REPLY_LIMIT_BYTES} bytes (limit of rendered output)", file=at
            )
        if isinstance(error, ChildEndedError):
            code = error.exit_code or 0
            names = {-24: " (limit of processor time)", -25: " (limit of file size)"}
            hint = names.get(code, " (probably the limit of memory)" if code in (-6, -7, -9, -11) else "")
            if any(words in error.stderr for words in _OUT_OF_MEMORY):
                hint = f" (limit of memory, {self._limits.memory_bytes >> 20} MiB)"
            return WorkerError(f"the rendering process ended with {describe_exit(code)}{hint}", file=at)
        return WorkerError(f"the rendering process answered in a way that cannot be read: {error}", file=at)

    # -- starting and stopping

    async def _keep(self, tasks: asyncio.TaskGroup) -> None:
        """Start what is wanted and stop what is tired, whenever something changed."""
        state = self._state
        while True:
            await self._changed.wait()
            self._changed.clear()
            fresh = [worker for worker in (*state.idle, *state.busy) if not worker.tired]
            busy = sum(1 for worker in state.busy if not worker.tired)
            demand = min(self._size, busy + len(state.waiters) + 1) if state.wanted else 0
            for _ in range(demand - len(fresh) - state.starting):
                state.starting += 1
                self._run(tasks, self._start())
            if any(not worker.tired for worker in state.idle):
                for worker in [worker for worker in state.idle if worker.tired]:
                    state.idle.remove(worker)
                    self._run(tasks, self._stop(worker))

    async def _start(self) -> None:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="worker-", dir=self._root))
        env = {**self._env, "HOME": str(folder), "TMPDIR": str(folder), "LC_ALL": "C.UTF-8"}
        child = None
        try:
            child = await Child.spawn(self._argv, env=env, cwd=folder, limits=self._limits.of_process())
            hello, _ = decode(await child.receive(timeout_s=HELLO_TIMEOUT_S))
        except (ProcessError, ValueError, OSError) as error:
            self._state.starting -= 1
            said = child.stderr_tail.decode("utf-8", "replace").strip().rsplit("\n", 1)[-1] if child else ""
            if child is not None:
                await child.kill()
            await asyncio.to_thread(remove_tree, folder)
            self._not_started(f"a rendering process could not be started: {error}" + (f": {said}" if said else ""))
            return
        except BaseException:
            if child is not None:
                await child.kill()
            await asyncio.to_thread(remove_tree, folder)
            raise
        self._state.starting -= 1
        self._tell_isolation(hello)
        self._offer(_Worker(child, folder))

    def _not_started(self, message: str) -> None:
        self._log.error("rendering process not started", problem=message)
        # Tried again when someone asks, not in a circle.
        self._state.wanted = False
        for waiter in list(self._state.waiters):
            if not waiter.done() and not self._state.busy:
                waiter.set_exception(WorkerError(message, again=True))

    def _tell_isolation(self, hello: dict[str, Any]) -> None:
        if self._told_isolation:
            return
        self._told_isolation = True
        network, files = str(hello.get("network")), str(hello.get("files"))
        tell = self._log.info if (network, files) == ("none", "none") else self._log.warning
        tell("what rendering can reach", network=network, files=files)

    async def _let_idle_go(self) -> None:
        """Stop all workers when none was used for a while."""
        state = self._state
        while True:
            await self._clock.sleep(self._limits.idle_s)
            since = max((worker.last_used for worker in state.idle), default=0.0)
            if state.busy or state.waiters or not state.idle or self._clock.monotonic() - since < self._limits.idle_s:
                continue
            state.wanted = False
            while state.idle:
                await self._stop(state.idle.pop())

    async def _stop(self, worker: _Worker) -> None:
        await worker.child.close(timeout_s=CLOSE_TIMEOUT_S)
        await asyncio.to_thread(remove_tree, worker.folder)

    async def _discard(self, worker: _Worker) -> None:
        self._state.busy.discard(worker)
        self._state.wanted = True
        self._changed.set()
        await worker.child.kill()
        await asyncio.to_thread(remove_tree, worker.folder)

    def _forget(self, worker: _Worker) -> None:
        """Drop a worker that died while it stood by; its folder goes with the pool."""
        self._state.busy.discard(worker)
        self._changed.set()

    async def _stop_all(self) -> None:
        state = self._state
        for waiter in state.waiters:
            if not waiter.done():
                waiter.set_exception(WorkerError("rendering has been stopped", again=True))
        workers = [*state.idle, *state.busy]
        state.idle.clear()
        state.busy.clear()
        for worker in workers:
            await worker.child.kill()
        await asyncio.to_thread(remove_tree, self._root)


def _progress(folder: Path) -> int | None:
    try:
        return int((folder / PROGRESS_FILE).read_bytes()[:PROGRESS_DIGITS])
    except (OSError, ValueError):
        return None


def default_size() -> int:
    """As many workers as there are cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
