"""Starts groups of services in order, stops them in reverse, carries the first failure out.

A service is one coroutine function. It says when it is ready, works until it is told to stop, and returns. A group is
started when every service of the group before it is ready; it is told to stop when every service of the group after it
has ended. Signals belong here: the first SIGTERM or SIGINT stops in order, a second one cancels everything.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

STOP_TIMEOUT_S = 3.0  # what a person who pressed Ctrl-C will wait; the kubelet's grace period is 30 s
START_TIMEOUT_S = 60.0


class ServiceError(Exception):
    """A service failed, ended before it was told to, or was not ready in time."""

    def __init__(self, service: str, message: str) -> None:
        super().__init__(f"{service}: {message}")
        self.service = service


class Lifetime:
    """What a running service is given: how to say it is ready and how to learn that it must stop."""

    def __init__(self) -> None:
        self._ready = asyncio.Event()
        self._stopping = asyncio.Event()

    def ready(self) -> None:
        """Say that what depends on this service may start."""
        self._ready.set()

    @property
    def is_ready(self) -> bool:
        """True once the service said so."""
        return self._ready.is_set()

    @property
    def stopping(self) -> bool:
        """True once the service has been told to stop."""
        return self._stopping.is_set()

    async def until_stopped(self) -> None:
        """Return when the service must finish."""
        await self._stopping.wait()

    def stop(self) -> None:
        """Tell the service to finish."""
        self._stopping.set()

    async def until_ready(self) -> None:
        """Return when the service is ready."""
        await self._ready.wait()


@dataclass(frozen=True, slots=True)
class Service:
    """A named coroutine function. `may_end`: returning before it is told to stop is no failure."""

    name: str
    run: Callable[[Lifetime], Awaitable[None]]
    may_end: bool = False


@dataclass(slots=True)
class _Running:
    service: Service
    lifetime: Lifetime
    task: asyncio.Task[None]


@dataclass(slots=True)
class Supervisor:
    """Runs services in groups until one fails, `stop` is called or a signal arrives.

    `on_event` hears ("started" | "stopped" | "cancelled" | "failed", service name), for the log.
    """

    groups: Sequence[Sequence[Service]]
    stop_timeout_s: float = STOP_TIMEOUT_S
    start_timeout_s: float = START_TIMEOUT_S
    on_event: Callable[[str, str], None] = lambda event, name: None
    _stop: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _at_once: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _failure: BaseException | None = field(default=None, init=False)

    def stop(self) -> None:
        """Stop in order; a second call cancels what has not ended yet."""
        if self._stop.is_set():
            self._at_once.set()
        self._stop.set()

    async def run(self, *, handle_signals: bool = True) -> None:
        """Start all groups, wait, stop all groups. Raises the first failure as ServiceError with its cause."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT) if handle_signals else ()
        for number in signals:
            loop.add_signal_handler(number, self.stop)
        started: list[list[_Running]] = []
        try:
            async with asyncio.TaskGroup() as group:
                try:
                    await self._start(group, started)
                finally:
                    await self._stop_all(started)
        finally:
            for number in signals:
                loop.remove_signal_handler(number)
        if self._failure is not None:
            raise self._failure

    async def _start(self, group: asyncio.TaskGroup, started: list[list[_Running]]) -> None:
        for services in self.groups:
            if self._stop.is_set():
                return
            running: list[_Running] = []
            started.append(running)
            for service in services:
                lifetime = Lifetime()
                task = group.create_task(self._guard(service, lifetime), name=service.name)
                running.append(_Running(service, lifetime, task))
            await self._until_ready(running)
        await self._stop.wait()

    async def _guard(self, service: Service, lifetime: Lifetime) -> None:
        """Run one service; its failure is noted and stops the rest instead of tearing the group down."""
        try:
            await service.run(lifetime)
            if not lifetime.stopping and not service.may_end:
                raise ServiceError(service.name, "ended although it was not told to stop")
        except Exception as error:
            self.on_event("failed", service.name)
            if self._failure is None:
                self._failure = self._named(service, error)
            self._stop.set()
        else:
            lifetime.ready()  # a service that has done its work keeps nobody waiting
            if lifetime.stopping:
                self.on_event("stopped", service.name)

    @staticmethod
    def _named(service: Service, error: Exception) -> ServiceError:
        if isinstance(error, ServiceError):
            return error
        named = ServiceError(service.name, f"{type(error).__name__}: {error}")
        named.__cause__ = error
        return named

    async def _until_ready(self, running: Sequence[_Running]) -> None:
        try:
            async with asyncio.timeout(self.start_timeout_s), asyncio.TaskGroup() as group:
                stop: asyncio.Task[object] = group.create_task(self._stop.wait())
                ready: list[asyncio.Task[object]] = [group.create_task(one.lifetime.until_ready()) for one in running]
                pending: set[asyncio.Task[object]] = set(ready)
                while pending and not stop.done():
                    _, pending = await asyncio.wait({stop, *pending}, return_when=asyncio.FIRST_COMPLETED)
                    pending.discard(stop)
                for task in (stop, *ready):
                    task.cancel()
        except TimeoutError:
            late = ", ".join(one.service.name for one in running if not one.lifetime.is_ready)
            if self._failure is None:
                self._failure = ServiceError(late, f"not ready after {self.start_timeout_s:g} s")
            self._stop.set()
            return
        for one in running:
            if one.lifetime.is_ready:
                self.on_event("started", one.service.name)

    async def _stop_all(self, started: list[list[_Running]]) -> None:
        self._stop.set()
        for running in reversed(started):
            alive = [one for one in running if not one.task.done()]
            for one in alive:
                one.lifetime.stop()
            await self._until_ended(alive)
            late = [one for one in alive if not one.task.done()]
            for one in late:
                self.on_event("cancelled", one.service.name)
                one.task.cancel()
            if late:
                await asyncio.wait([one.task for one in late], timeout=self.stop_timeout_s)

    async def _until_ended(self, alive: Sequence[_Running]) -> None:
        if not alive or self._at_once.is_set():
            return
        async with asyncio.TaskGroup() as group:
            at_once = group.create_task(self._at_once.wait())
            ended = group.create_task(asyncio.wait([one.task for one in alive], timeout=self.stop_timeout_s))
            await asyncio.wait((at_once, ended), return_when=asyncio.FIRST_COMPLETED)
            at_once.cancel()
            ended.cancel()
