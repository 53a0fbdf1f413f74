"""Notices that repositories moved, once per repository, whatever the number of Applications that read it.

A push into a local repository is noticed by its files, and every one is polled at `timeout.reconciliation`. What moved is
resolved once per (repository, revision expression), and only the Applications whose expression now names another commit
are told. Projects that reach a repository with credentials of their own follow it apart from the others. A repository that
cannot be read is tried again by itself, with growing pauses; its Applications are told once that it is in trouble and once
that it is well again, and ask nothing meanwhile.

Source: compat 2.9 "Repo outage".
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterable, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from tiphys.engine.source.access import GitCredentials
from tiphys.engine.source.pushes import Push, push_address
from tiphys.engine.source.resolve import split_expression
from tiphys.engine.states import Snapshot, StageError
from tiphys.runtime.clock import Clock, format_time
from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.redact import redact_url

Key = tuple[str, str]  # namespace and name of an Application

GRACE_S = 180.0  # how long a repository may fail before the Applications that could be compared say so
_RETRY_S = 10.0  # after a failure that does not say when to try again
_NO_POLL_S = 60.0
PUSH_GAP_S = 0.5  # between two looks that were asked for from outside
_TOLD_AT_ONCE = 256  # Applications told of one commit before other tasks have a turn


class Repositories(Protocol):
    """The source stage as it is used here."""

    async def snapshot(
        self, url: str, expression: str, *, refresh: bool, credentials: GitCredentials | None = None
    ) -> Snapshot:
        """The source at a revision; after a fetch with `refresh`."""

    async def watch_local(self, url: str, callback: Callable[[], None], *, ready: asyncio.Event | None = None) -> None:
        """Call back after each push into a local repository."""


class RepositoryAccess(Protocol):
    """Who reaches which repository how."""

    def scope(self, url: str, project: str) -> str:
        """The project if it reaches the repository with credentials of its own, else the empty string."""

    def credentials(self, url: str, scope: str) -> GitCredentials | None:
        """Those in force now. Raises StageError when their Secret cannot be used."""

    def of_project(self, project: str) -> tuple[str, ...]:
        """URLs of the repositories whose Secrets are the project's own."""


class Anonymous:
    """No repository has credentials."""

    def scope(self, url: str, project: str) -> str:
        """Everybody's."""
        return ""

    def credentials(self, url: str, scope: str) -> GitCredentials | None:
        """None."""
        return None

    def of_project(self, project: str) -> tuple[str, ...]:
        """None."""
        return ()


@dataclass(slots=True)
class _Repository:
    url: str
    scope: str = ""  # the project whose alone these credentials are
    reached: GitCredentials | StageError | None = None  # how, when it was last looked at
    uses: dict[Key, set[str]] = field(default_factory=dict)  # Application -> expressions it reads
    resolved: dict[str, str] = field(default_factory=dict)  # expression -> commit
    named: dict[str, Snapshot] = field(default_factory=dict)  # expression -> that commit, once a look has found it
    fetched: bool = False  # since this process started
    fetched_at: float = -math.inf  # when the last fetch that went well began
    last_good: datetime | None = None
    last_commit: str = ""  # what was read then, of any expression
    failing: StageError | None = None  # why it cannot be fetched now
    failing_since: float = 0.0
    told: bool = False  # its Applications know that it fails
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: asyncio.Event = field(default_factory=asyncio.Event)  # somebody knows that waiting on is of no use
    task: asyncio.Task[None] | None = None
    address: str = ""  # as a push names it
    looked_at: float = -math.inf

    def __post_init__(self) -> None:
        self.address = push_address(self.url)

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
        access: RepositoryAccess | None = None,
        log: Logger = SILENT,
    ) -> None:
        """`moved` is told of each Application whose revision changed; `interval_s` of 0 turns polling off."""
        self._repositories = repositories
        self._clock = clock
        self._interval_s = interval_s
        self._fraction = fraction
        self._tell = moved
        self._log = log
        self._access = access or Anonymous()
        self._known: dict[tuple[str, str], _Repository] = {}  # by URL and scope
        self._projects: dict[Key, str] = {}
        self._group: asyncio.TaskGroup | None = None
        # (URL, scope, expression, the commit before, the commit now) -> those who need not be told.
        self.standing: Callable[[str, str, str, Snapshot, Snapshot], Set[Key]] = lambda *_commits: frozenset()

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

    def uses(self, key: Key, sources: dict[str, set[str]], project: str = "") -> bool:
        """The Application reads these repositories at these expressions, and no others any more. True when that is new."""
        new = False
        wanted = {(url, self._access.scope(url, project)): expressions for url, expressions in sources.items()}
        for at, expressions in wanted.items():
            repository = self._known.get(at)
            if repository is None:
                repository = self._known[at] = _Repository(*at)
                self._follow(repository)
            if repository.uses.get(key) != expressions:
                repository.uses[key] = set(expressions)
                new = True
        for at in [at for at, r in self._known.items() if key in r.uses and at not in wanted]:
            repository = self._known[at]
            del repository.uses[key]
            if not repository.uses:
                if repository.task is not None:
                    repository.task.cancel()
                del self._known[at]
        self._projects[key] = project
        return new

    def forget(self, key: Key) -> None:
        """The Application is gone."""
        self.uses(key, {})
        del self._projects[key]

    def access_changed(self) -> None:
        """Repository Secrets changed: whoever now reaches a repository in another way looks at it at once."""
        for repository in list(self._known.values()):
            elsewhere = [
                key
                for key in repository.uses
                if self._access.scope(repository.url, self._projects.get(key, "")) != repository.scope
            ]
            now = self._reached(repository)
            changed = not _same(now, repository.reached)
            repository.reached = now
            if changed:
                repository.fetched = False
                repository.failing, repository.told = None, False  # that was said of another way to reach it
                if isinstance(now, StageError):
                    repository.resolved.clear()  # so that its return counts as a change
                repository.named.clear()
                self.look_now(repository)
            for key in list(repository.uses) if changed else elsewhere:
                self._tell(key)

    def _reached(self, repository: _Repository) -> GitCredentials | StageError | None:
        try:
            return self._access.credentials(repository.url, repository.scope)
        except StageError as error:
            return error

    def reach(self, url: str, project: str) -> tuple[str, str]:
        """The repository as the project reaches it: its URL, and the project when it has credentials of its own."""
        return url, self._access.scope(url, project)

    def _find(self, url: str, project: str) -> _Repository | None:
        return self._known.get((url, self._access.scope(url, project)))

    async def snapshot(
        self, url: str, expression: str, *, refresh: bool, since: float = math.inf, project: str = ""
    ) -> Snapshot:
        """The source at a revision, remembered as what the expression names now. Raises StageError.

        The first one since the start is fetched, whoever asks; the others read what that brought. With `refresh` it is
        fetched, unless a fetch did that which began after `since` on the monotonic clock: many who ask are served by one.
        """
        repository = self._find(url, project)
        if repository is None:
            credentials = self._access.credentials(url, self._access.scope(url, project))
            return await self._repositories.snapshot(url, expression, refresh=refresh, credentials=credentials)
        if repository.failing is None and repository.fetched_at > since:
            refresh = False
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
        snapshot = await self._read(repository, expression, refresh=refresh)
        if refresh and repository.resolved.get(expression, snapshot.revision) != snapshot.revision:
            repository.moved.set()  # who else reads it is told by the next look
        else:
            repository.resolved[expression] = snapshot.revision
        if refresh:
            self._is_well(repository)
        return snapshot

    async def _read(self, repository: _Repository, expression: str, *, refresh: bool) -> Snapshot:
        reached = repository.reached = self._reached(repository)
        if isinstance(reached, StageError):
            raise reached
        began = self._clock.monotonic()
        snapshot = await self._repositories.snapshot(repository.url, expression, refresh=refresh, credentials=reached)
        if refresh:
            repository.fetched_at = began
            repository.last_commit = snapshot.revision
        return snapshot

    def nudge(self, url: str) -> None:
        """Look at a repository now: a webhook said that it moved."""
        for repository in self._known.values():
            if repository.url == url:
                self.look_now(repository)

    def pushed(self, push: Push) -> int:
        """A server tells of a push: look now at the repositories where somebody reads what was pushed. How many."""
        found = 0
        for repository in self._known.values():
            if repository.address in push.addresses and any(
                push.may_move(*split_expression(expression))
                for expressions in repository.uses.values()
                for expression in expressions
            ):
                self.look_now(repository)
                found += 1
        return found

    @staticmethod
    def look_now(repository: _Repository) -> None:
        """Look at it without waiting for anything; many of these while it is looked at are one."""
        repository.moved.set()
        repository.at_once.set()

    def of_project(self, project: str) -> tuple[str, ...]:
        """URLs of the repositories that the project may use because their Secrets are its own."""
        return self._access.of_project(project)

    def named(self, url: str, expression: str, project: str = "") -> Snapshot | None:
        """The commit that the last look found an expression to name; None when it found none, or there was none yet."""
        repository = self._find(url, project)
        return repository.named.get(expression) if repository is not None else None

    def require_well(self, url: str, project: str = "") -> None:
        """Raise the StageError a failing repository gave, once its Applications are to say so."""
        repository = self._find(url, project)
        if repository is not None and repository.failing is not None and repository.told:
            raise repository.failing

    def connection(self, url: str, project: str = "") -> tuple[str, str, datetime | None]:
        """(Successful, Failed or Unknown, why, when it was last read): known of a repository that an Application reads."""
        repository = self._find(url, project)
        if repository is None or (repository.failing is None and repository.last_good is None):
            return "Unknown", "", None
        if repository.failing is not None:
            return "Failed", repository.failing.message, repository.last_good
        return "Successful", "", repository.last_good

    def last_read(self, urls: Iterable[str], project: str = "") -> str:
        """When the failing ones among these repositories could last be read; empty when none fails.

        Differs: says a time, not an age, because an age in a status would have to be written again and again.
        """
        return "; ".join(
            f"{repository.shown} was last fetched {format_time(repository.last_good)} at {repository.last_commit[:7]}, "
            "which is the state shown"
            for url in sorted(set(urls))
            if (repository := self._find(url, project)) is not None
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
                gap = repository.looked_at + PUSH_GAP_S - self._clock.monotonic()
                if repository.at_once.is_set() and gap > 0:
                    await self._clock.sleep(gap)  # whoever may send webhooks cannot make us fetch without end
                repository.moved.clear()
                repository.at_once.clear()
                try:
                    await self._look(repository)
                    repository.looked_at = self._clock.monotonic()
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
            # A poll, or an Application that asks in vain, is no reason to try earlier.
            signal = repository.moved if repository.local else repository.at_once
            waiting = group.create_task(signal.wait())
            await asyncio.wait((sleeping, waiting), return_when=asyncio.FIRST_COMPLETED)
            sleeping.cancel()
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
        repository.reached = self._reached(repository)
        if isinstance(repository.reached, StageError):
            self._cannot_reach(repository)
            return
        changed: set[str] = set()
        standing: set[Key] = set()
        refresh = True
        for expression in sorted({e for used in repository.uses.values() for e in used}):
            try:
                snapshot = await self._read(repository, expression, refresh=refresh)
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
            before = repository.named.get(expression)
            repository.named[expression] = snapshot
            if repository.resolved.get(expression) != snapshot.revision:
                repository.resolved[expression] = snapshot.revision
                changed.add(expression)
                if before is not None and repository.failing is None:
                    standing |= self.standing(repository.url, repository.scope, expression, before, snapshot)
        self._is_well(repository)
        told = 0
        for key in [key for key in repository.uses if key not in standing] if changed else ():
            if repository.uses.get(key, frozenset()) & changed:
                self._tell(key)
                told += 1
                if told % _TOLD_AT_ONCE == 0:
                    await asyncio.sleep(0)

    def _cannot_reach(self, repository: _Repository) -> None:
        """Its Secret cannot be used: whoever could read it is told."""
        repository.named.clear()
        if repository.resolved:
            repository.resolved.clear()
            for key in list(repository.uses):
                self._tell(key)

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


def _same(left: GitCredentials | StageError | None, right: GitCredentials | StageError | None) -> bool:
    if isinstance(left, StageError) and isinstance(right, StageError):
        return left.message == right.message
    return left == right
