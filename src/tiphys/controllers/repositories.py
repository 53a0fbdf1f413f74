"""Notices that repositories moved, once per repository, whatever the number of Applications that read it.

A push into a local repository is noticed by its files, and every one is polled at `timeout.reconciliation`. What moved is
resolved once per (repository, revision expression), and only the Applications whose expression now names another commit
are told. A repository that cannot be read is tried again by itself, with growing pauses; its Applications are told once
that it is in trouble and once that it is well again, and ask nothing meanwhile.

Source: compat 2.9 "Repo outage".
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tiphys.engine.states import Snapshot, StageError
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.redact import redact_url

Key = tuple[str, str]  # namespace and name of an Application

GRACE_S = 180.0  # how long a repository may fail before the Applications that could be compared say so
_RETRY_S = 10.0  # after a failure that does not say when to try again
_NO_POLL_S = 60.0
_TOLD_AT_ONCE = 256  # Applications told of one commit before other tasks have a turn


class Repositories(Protocol):
    """The source stage as it is used here."""

    async def snapshot(self, url: str, expression: str, *, refresh: bool) -> Snapshot:
        """The source at a revision; after a fetch with `refresh`."""

    async def watch_local(self, url: str, callback: Callable[[], None], *, ready: asyncio.Event | None = None) -> None:
        """Call back after each push into a local repository."""


@dataclass(slots=True)
class _Repository:
    url: str
    uses: dict[Key, set[str]] = field(default_factory=dict)  # Application -> expressions it reads
    resolved: dict[str, str] = field(default_factory=dict)  # expression -> commit
    named: dict[str, Snapshot] = field(default_factory=dict)  # expression -> that commit, once a look has found it
    fetched: bool = False  # since this process started
    last_good: datetime | None = None
    failing: StageError | None = None  # why it cannot be fetched now
    failing_since: float = 0.0
    told: bool = False  # its Applications know that it fails
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def shown(self) -> str:
        """Its URL without what may be a password."""
        return redact_url(self.url)

    @property
    def local(self) -> bool:
        """It is a folder of this machine: no network between, so a failure is no blip."""
        return self.url.startswith("file://")


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

    def uses(self, key: Key, sources: dict[str, set[str]]) -> bool:
        """The Application reads these repositories at these expressions, and no others any more. True when that is new."""
        new = False
        for url, expressions in sources.items():
            repository = self._known.get(url)
            if repository is None:
                repository = self._known[url] = _Repository(url)
                self._follow(repository)
            if repository.uses.get(key) != expressions:
                repository.uses[key] = set(expressions)
                new = True
        for url in [u for u, r in self._known.items() if key in r.uses and u not in sources]:
            repository = self._known[url]
            del repository.uses[key]
            if not repository.uses:
                if repository.task is not None:
                    repository.task.cancel()
                del self._known[url]
        return new

    def forget(self, key: Key) -> None:
        """The Application is gone."""
        self.uses(key, {})

    async def snapshot(self, url: str, expression: str, *, refresh: bool) -> Snapshot:
        """The source at a revision, remembered as what the expression names now. Raises StageError.

        The first one since the start is fetched, whoever asks; the others read what that brought.
        """
        repository = self._known.get(url)
        if repository is None:
            return await self._repositories.snapshot(url, expression, refresh=refresh)
        if not repository.fetched and not refresh and repository.failing is None:
            try:
                return await self._snapshot(repository, expression, refresh=True)
            except StageError as error:
                if not _is_outage(error) or repository.local:
                    raise
                # What an earlier process fetched is good enough for the time being.
                self._fails(repository, error, at_once=False)
        try:
            return await self._snapshot(repository, expression, refresh=refresh)
        except StageError as error:
            repository.resolved.pop(expression, None)  # so that its return counts as a change
            if _is_outage(error):
                self._fails(repository, error, at_once=True)
                repository.moved.set()
            raise

    async def _snapshot(self, repository: _Repository, expression: str, *, refresh: bool) -> Snapshot:
        snapshot = await self._repositories.snapshot(repository.url, expression, refresh=refresh)
        repository.resolved[expression] = snapshot.revision
        if refresh:
            self._is_well(repository)
        return snapshot

    def nudge(self, url: str) -> None:
        """Look at a repository now: a webhook said that it moved."""
        repository = self._known.get(url)
        if repository is not None:
            repository.moved.set()

    def named(self, url: str, expression: str) -> Snapshot | None:
        """The commit that the last look found an expression to name; None when it found none, or there was none yet."""
        repository = self._known.get(url)
        return repository.named.get(expression) if repository is not None else None

    def require_well(self, url: str) -> None:
        """Raise the StageError a failing repository gave, once its Applications are to say so."""
        repository = self._known.get(url)
        if repository is not None and repository.failing is not None and repository.told:
            raise repository.failing

    def last_read(self, urls: Iterable[str]) -> str:
        """When the failing ones among these repositories could last be read; empty when none fails."""
        return "; ".join(
            f"{repository.shown} was last read {format_time(repository.last_good)}"
            for url in sorted(set(urls))
            if (repository := self._known.get(url)) is not None
            and repository.failing is not None
            and repository.last_good is not None
        )

    def _follow(self, repository: _Repository) -> None:
        if self._group is not None and repository.task is None:
            repository.task = self._group.create_task(self._watch(repository), name=f"repository {repository.shown}")

    async def _watch(self, repository: _Repository) -> None:
        async with asyncio.TaskGroup() as group:
            if repository.local:
                group.create_task(self._local(repository))
            # Local ones too: a folder that was moved away, or lies on a network file system, tells nobody.
            group.create_task(self._poll(repository))
            while True:
                await self._until_due(repository)
                repository.moved.clear()
                try:
                    await self._look(repository)
                except Exception as error:
                    # One repository must not end the engine: whatever this is, the next look is a new attempt.
                    self._log.exception("looking at a repository failed", error, url=repository.shown)
                    await self._clock.sleep(_RETRY_S)
                    repository.moved.set()

    async def _until_due(self, repository: _Repository) -> None:
        """Until somebody says that it moved or, while it fails, the next attempt is due."""
        if repository.failing is None:
            await repository.moved.wait()
            return
        wait_s = repository.failing.retry_after_s or _RETRY_S
        if not repository.told:
            wait_s = min(wait_s, max(0.0, repository.failing_since + GRACE_S - self._clock.monotonic()))
        if repository.local:
            wait_s = min(wait_s, _RETRY_S)
        async with asyncio.TaskGroup() as group:
            sleeping = group.create_task(self._clock.sleep(wait_s))
            waiting = group.create_task(repository.moved.wait()) if repository.local else None
            await asyncio.wait([t for t in (sleeping, waiting) if t is not None], return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
            if waiting is not None:
                waiting.cancel()

    async def _local(self, repository: _Repository) -> None:
        refused = False
        while not refused:
            try:
                ready = asyncio.Event()
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(
                        self._repositories.watch_local(repository.url, repository.moved.set, ready=ready)
                    )
                    await ready.wait()
                    repository.moved.set()  # what was pushed before the watch stood
                    await watching
            except* (StageError, OSError) as problems:
                problem = problems.exceptions[0]
                # A URL that is refused stays refused; the Applications that name it say so.
                refused = isinstance(problem, StageError)
                self._log.warning("a local repository cannot be watched", url=repository.shown, error=str(problem))
            await self._clock.sleep(_RETRY_S)
            repository.moved.set()

    async def _poll(self, repository: _Repository) -> None:
        while True:
            interval = self._interval_s()
            if interval <= 0:
                await self._clock.sleep(_NO_POLL_S)
                continue
            await self._clock.sleep(interval * (1.0 + 0.1 * self._fraction()))
            repository.moved.set()

    async def _look(self, repository: _Repository) -> None:
        """Fetch once, resolve each expression once, tell who is concerned."""
        changed: set[str] = set()
        refresh = True
        for expression in sorted({e for used in repository.uses.values() for e in used}):
            try:
                snapshot = await self._repositories.snapshot(repository.url, expression, refresh=refresh)
            except StageError as error:
                if _is_outage(error):
                    self._fails(repository, error, at_once=repository.local)
                    return
                # The repository answered: this expression names nothing in it (any more), or is refused.
                refresh = False
                repository.named.pop(expression, None)
                if repository.resolved.pop(expression, None) is not None:
                    changed.add(expression)
                continue
            refresh = False
            repository.named[expression] = snapshot
            if repository.resolved.get(expression) != snapshot.revision:
                repository.resolved[expression] = snapshot.revision
                changed.add(expression)
        self._is_well(repository)
        told = 0
        for key, used in list(repository.uses.items()):
            if used & changed:
                self._tell(key)
                told += 1
                if told % _TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _fails(self, repository: _Repository, error: StageError, *, at_once: bool) -> None:
        """Note a failed fetch; its Applications are told once, after the grace period or `at_once`."""
        now = self._clock.monotonic()
        if repository.failing is None:
            repository.failing_since = now
            self._log.warning("a repository cannot be read", url=repository.shown, problem=error.message)
        repository.failing = error
        repository.named.clear()
        if not repository.told and (at_once or now - repository.failing_since >= GRACE_S):
            repository.told = True
            for key in list(repository.uses):
                self._tell(key)

    def _is_well(self, repository: _Repository) -> None:
        repository.fetched = True
        repository.last_good = self._clock.now()
        if repository.failing is None:
            return
        self._log.info("a repository can be read again", url=repository.shown)
        repository.failing = None
        if repository.told:
            repository.told = False
            for key in list(repository.uses):
                self._tell(key)


def _is_outage(error: StageError) -> bool:
    """The repository could not be fetched, which may pass; all else is said by what is in it."""
    return error.retry_after_s is not None
