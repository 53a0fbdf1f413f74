"""Notices that repositories moved, once per repository, whatever the number of Applications that read it.

A push into a local repository is noticed by its files; any other is polled every `timeout.reconciliation`. What moved is
resolved once per (repository, revision expression), and only the Applications whose expression now names another commit
are told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tiphys.engine.states import Snapshot, StageError
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger

Key = tuple[str, str]  # namespace and name of an Application


class Repositories(Protocol):
    """The source stage as it is used here."""

    async def revision(self, url: str, expression: str, *, refresh: bool = False) -> str:
        """The commit an expression names; after a fetch with `refresh`."""

    async def snapshot(self, url: str, expression: str, *, refresh: bool) -> Snapshot:
        """The source at a revision."""

    async def watch_local(self, url: str, callback: Callable[[], None], *, ready: asyncio.Event | None = None) -> None:
        """Call back after each push into a local repository."""


@dataclass(slots=True)
class _Repository:
    url: str
    uses: dict[Key, set[str]] = field(default_factory=dict)  # Application -> expressions it reads
    resolved: dict[str, str] = field(default_factory=dict)  # expression -> commit
    last_good: datetime | None = None
    failing: str = ""
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class RepositoryWatch:
    """Who reads which repository, and the tasks that follow them."""

    def __init__(
        self,
        repositories: Repositories,
        *,
        clock: Clock,
        interval_s: Callable[[], float],
        fraction: Callable[[], float],
        moved: Callable[[Key], None],
        log: Logger = SILENT,
    ) -> None:
        """`moved` is told of each Application whose revision changed; `interval_s` of 0 turns polling off."""
        self._repositories = repositories
        self._clock = clock
        self._interval_s = interval_s
        self._fraction = fraction
        self._tell = moved
        self._log = log
        self._known: dict[str, _Repository] = {}
        self._group: asyncio.TaskGroup | None = None

    async def run(self, ready: Callable[[], None], until_stopped: Callable[[], Awaitable[None]]) -> None:
        """Follow the repositories until told to stop."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for repository in self._known.values():
                self._follow(repository)
            ready()
            await until_stopped()
            self._group = None
            for repository in self._known.values():
                if repository.task is not None:
                    repository.task.cancel()

    def uses(self, key: Key, sources: dict[str, set[str]]) -> None:
        """The Application reads these repositories at these expressions, and no others any more."""
        for url, expressions in sources.items():
            repository = self._known.get(url)
            if repository is None:
                repository = self._known[url] = _Repository(url)
                self._follow(repository)
            repository.uses[key] = set(expressions)
        for url in [u for u, r in self._known.items() if key in r.uses and u not in sources]:
            repository = self._known[url]
            del repository.uses[key]
            if not repository.uses:
                if repository.task is not None:
                    repository.task.cancel()
                del self._known[url]

    def forget(self, key: Key) -> None:
        """The Application is gone."""
        self.uses(key, {})

    async def snapshot(self, url: str, expression: str, *, refresh: bool) -> Snapshot:
        """The source at a revision, remembered as what the expression names now."""
        snapshot = await self._repositories.snapshot(url, expression, refresh=refresh)
        repository = self._known.get(url)
        if repository is not None:
            repository.resolved[expression] = snapshot.revision
            if repository.last_good is None or refresh:
                repository.last_good = self._clock.now()
        return snapshot

    def nudge(self, url: str) -> None:
        """Look at a repository now: a webhook said that it moved."""
        repository = self._known.get(url)
        if repository is not None:
            repository.moved.set()

    def trouble(self, url: str) -> tuple[str, datetime | None]:
        """Why the repository cannot be read now (empty when it can), and when it last could."""
        repository = self._known.get(url)
        return (repository.failing, repository.last_good) if repository is not None else ("", None)

    def _follow(self, repository: _Repository) -> None:
        if self._group is not None and repository.task is None:
            repository.task = self._group.create_task(self._watch(repository), name=f"repository {repository.url}")

    async def _watch(self, repository: _Repository) -> None:
        async with asyncio.TaskGroup() as group:
            if repository.url.startswith("file://"):
                group.create_task(self._local(repository))
            else:
                group.create_task(self._poll(repository))
            while True:
                await repository.moved.wait()
                repository.moved.clear()
                await self._look(repository)

    async def _local(self, repository: _Repository) -> None:
        while True:
            try:
                ready = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(
                        self._repositories.watch_local(repository.url, repository.moved.set, ready=ready)
                    )
                    await ready.wait()
                    repository.moved.set()  # what was pushed before the watch stood
                    await watching
            except* (StageError, OSError) as problem:
                self._log.warning(
                    "a local repository cannot be watched", url=repository.url, error=str(problem.exceptions[0])
                )
            # The folder may be made, or come back, later; the Applications say that it is missing meanwhile.
            await self._clock.sleep(1.0)
            repository.moved.set()

    async def _poll(self, repository: _Repository) -> None:
        while True:
            interval = self._interval_s()
            if interval <= 0:
                await self._clock.sleep(60.0)
                continue
            await self._clock.sleep(interval * (1.0 + 0.1 * self._fraction()))
            repository.moved.set()

    async def _look(self, repository: _Repository) -> None:
        """Fetch once, resolve each expression once, tell who is concerned."""
        expressions = {e for used in repository.uses.values() for e in used}
        changed: set[str] = set()
        refresh = True
        for expression in sorted(expressions):
            try:
                revision = await self._repositories.revision(repository.url, expression, refresh=refresh)
            except StageError as error:
                repository.failing = error.message
                if repository.resolved.pop(expression, None) is not None or not repository.failing:
                    changed.add(expression)
                continue
            refresh = False
            repository.failing = ""
            repository.last_good = self._clock.now()
            if repository.resolved.get(expression) != revision:
                repository.resolved[expression] = revision
                changed.add(expression)
        if changed:
            for key, used in list(repository.uses.items()):
                if used & changed:
                    self._tell(key)
