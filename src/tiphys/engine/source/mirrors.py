"""One bare mirror of one repository: fetched by the git program, read by libgit2.

A mirror holds `refs/heads/*` and `refs/tags/*` of the remote under the same names, and its HEAD under `HEAD_REF`.
git packs it now and then; objects that no ref leads to any more are kept for two weeks, so old Snapshots stay readable.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import threading
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pygit2
import pygit2.enums

from tiphys.engine.source.access import GitCredentials
from tiphys.engine.source.environment import git_environment, sends_header
from tiphys.engine.source.failures import DAMAGED, NO_HEAD, REDIRECTED, fetch_failed
from tiphys.engine.source.reach import CONNECT_TIMEOUT_S, is_silent
from tiphys.engine.source.resolve import HEAD_REF
from tiphys.engine.source.tree import TreeObjects
from tiphys.engine.source.urls import RepositoryUrl
from tiphys.engine.states import StageError
from tiphys.runtime.backoff import Backoff
from tiphys.runtime.process import Completed, ProcessError, ProcessTimeoutError
from tiphys.runtime.redact import redact_text

GIT_OUTPUT_LIMIT_BYTES = 1024 * 1024
# Small fetches leave loose objects; git decides by itself whether there are enough to pack.
PACK_EVERY_FETCHES = 64
PACK_TIMEOUT_S = 600.0
TRUSTED_S = 60.0  # a server that answered is not asked for so long whether it does

_RETRY = Backoff(initial_s=5.0, factor=2.0, max_s=180.0)
_BRANCHES_AND_TAGS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_HEAD = f"+HEAD:{HEAD_REF}"


class RunProgram(Protocol):
    """`runtime.process.run_program`, as far as it is used here."""

    def __call__(
        self,
        argv: list[str],
        *,
        env: Mapping[str, str],
        timeout_s: float,
        output_limit_bytes: int,
    ) -> Awaitable[Completed]:
        """Run a program to its end."""


class Mirror:
    """A bare repository of our own, kept equal to one remote repository."""

    def __init__(
        self,
        url: RepositoryUrl,
        folder: Path,
        *,
        private: Path,
        credentials: GitCredentials | None,
        run_program: RunProgram,
        git: str,
        env: Mapping[str, str],
        fetch_timeout_s: float,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self.url = url
        self.folder = folder
        self.credentials = credentials  # for the next fetch; equal in what decides who may share a mirror
        self._private = private
        self._redirects = False  # its server sends readers on to another address
        self._run_program = run_program
        self._git = git
        self._env = env
        self._fetch_timeout_s = fetch_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._answered_at = -math.inf
        self._fetching = asyncio.Lock()
        self._started = 0  # fetches begun
        self._ended = 0  # number of the last fetch that ended
        self._outcome: StageError | None = None  # of that one
        self._failures = 0
        self._repository: Any = None
        self._opening = threading.Lock()
        self._objects: TreeObjects | None = None
        self._objects_of: Any = None
        self.moves = 0  # rises whenever refs may have moved
        self.resolved: dict[str, str] = {}  # expression -> SHA, for as long as refs do not move
        self.fetched = 0  # fetches that succeeded since the engine started

    async def fetch(self) -> None:
        """Bring the mirror up to date with a fetch that begins after this call.

        Callers that wait at the same time share one fetch, also its failure. A fetch that is already under way may
        have read the refs before the push this caller knows of, so it is not shared. Raises StageError.
        """
        ticket = self._started + 1
        async with self._fetching:
            if self._ended < ticket:
                self._started += 1
                await self._fetch_once(self._started)
            if self._outcome is not None:
                raise StageError(
                    self._outcome.stage,
                    self._outcome.reason,
                    self._outcome.message,
                    retry_after_s=self._outcome.retry_after_s,
                )

    async def fetch_exactly(self, name: str) -> bool:
        """Fetch one full ref or commit SHA that branches and tags do not reach; False when the remote refuses it."""
        async with self._fetching:
            await self._open()
            refspec = f"+{name}:{name}" if name.startswith("refs/") else name
            completed = await self._git_fetch((refspec,), prune=False)
            return completed.exit_code == 0

    async def repository(self) -> Any:
        """The libgit2 repository; made when it is not there yet."""
        return self._repository if self._repository is not None else await self._open()

    async def objects(self) -> TreeObjects:
        """Directories and files of the repository."""
        repository = await self.repository()
        if self._objects is None or self._objects_of is not repository:
            self._objects, self._objects_of = TreeObjects(repository), repository
        return self._objects

    async def _fetch_once(self, number: int) -> None:
        try:
            await self._open()
            await self._require_answer()
            completed = await self._git_fetch((*_BRANCHES_AND_TAGS, _HEAD), prune=True)
            text = completed.stderr.decode("utf-8", "replace")
            if completed.exit_code != 0 and NO_HEAD.search(text):
                # An empty repository, or a HEAD that names a missing branch: everything else is still wanted.
                await asyncio.to_thread(self._forget_head)
                completed = await self._git_fetch(_BRANCHES_AND_TAGS, prune=True)
            elif completed.exit_code != 0 and DAMAGED.search(text):
                await self._start_over()
                completed = await self._git_fetch((*_BRANCHES_AND_TAGS, _HEAD), prune=True)
            if completed.exit_code != 0:
                raise self._failure(completed.stderr.decode("utf-8", "replace"))
        except StageError as error:
            self._failures += 1
            error.retry_after_s = _RETRY.delay_s(self._failures)
            self._outcome = error
        else:
            self._outcome = None
            self._failures = 0
            self.fetched += 1
            self._answered_at = asyncio.get_running_loop().time()
        self._ended = number
        if self._outcome is None and self.fetched % PACK_EVERY_FETCHES == 0:
            await self._pack()

    async def _require_answer(self) -> None:
        if asyncio.get_running_loop().time() - self._answered_at < TRUSTED_S:
            return
        if await is_silent(self.url, self.credentials, self._env, self._connect_timeout_s):
            raise self._failure(f"connection timed out: no answer within {self._connect_timeout_s:g} s")

    async def _git_fetch(self, refspecs: tuple[str, ...], *, prune: bool) -> Completed:
        argv = [self._git, "fetch", "--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--no-auto-maintenance"]
        argv += ["--no-recurse-submodules", "--no-progress", *(["--prune"] if prune else [])]
        argv += ["--", self.url.fetch, *refspecs]
        self._moved()
        try:
            credentials = await self._proven()
            completed = await self._run(argv, self._fetch_timeout_s, credentials)
            if completed.exit_code != 0 and not self._redirects and self._may_follow(completed, credentials):
                self._redirects = True
                completed = await self._run(argv, self._fetch_timeout_s, credentials)
            return completed
        finally:
            self._moved()

    async def _proven(self) -> GitCredentials | None:
        """The credentials with what had to be asked for."""
        given = self.credentials
        if given is None or given.minted is None:
            return given
        try:
            user, password = await given.minted.pair()
        except Exception as error:
            message = redact_text(f"failed to fetch {self.url.display}: {error}", given.secrets())
            raise StageError("source", "ComparisonError", message) from None
        return replace(given, username=user, password=password, minted=None)

    def _may_follow(self, completed: Completed, credentials: GitCredentials | None) -> bool:
        """It redirects, and there are credentials that can be kept from being sent to whoever it leads to."""
        return (
            credentials is not None
            and bool(credentials.password or not credentials.bearer_token)
            and sends_header(self.url, credentials)
            and REDIRECTED.search(completed.stderr.decode("utf-8", "replace")) is not None
        )

    def _moved(self) -> None:
        self.moves += 1
        self.resolved.clear()

    async def _pack(self) -> None:
        try:
            await self._run([self._git, "gc", "--auto", "--quiet"], PACK_TIMEOUT_S)
        except StageError:
            pass  # tried again later; reading does not depend on it

    async def _run(self, argv: list[str], timeout_s: float, credentials: GitCredentials | None = None) -> Completed:
        try:
            with git_environment(
                self.url,
                credentials,
                folder=self.folder,
                private=self._private,
                base=self._env,
                follow=self._redirects,
            ) as env:
                return await self._run_program(
                    argv, env=env, timeout_s=timeout_s, output_limit_bytes=GIT_OUTPUT_LIMIT_BYTES
                )
        except asyncio.CancelledError:
            self._remove_locks()  # a few hundred folders at most; the next fetch must not find them
            raise
        except ProcessTimeoutError:
            self._remove_locks()
            raise self._failure(f"timed out after {timeout_s:g} s") from None
        except ProcessError as error:
            raise StageError("source", "ComparisonError", f"git cannot be run: {error}") from None
        except OSError as error:
            raise StageError("source", "ComparisonError", f"git cannot be run: {error.strerror}") from None

    def _failure(self, stderr: str) -> StageError:
        return fetch_failed(self.url, stderr, self.credentials, hidden=(str(self._private), str(self.folder)))

    async def _open(self) -> Any:
        return self._repository if self._repository is not None else await asyncio.to_thread(self._open_or_create)

    def _open_or_create(self) -> Any:
        # A thread is not stopped when its caller is cancelled, so callers alone cannot see to it that only one is here.
        with self._opening:
            if self._repository is None:
                _isolate_libgit2()
                self._repository = self._opened() or pygit2.init_repository(str(self.folder), bare=True)
            return self._repository

    def _opened(self) -> Any:
        """The mirror an earlier engine left, None when there is none that can be used."""
        if not (self.folder / "HEAD").exists():
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            return None
        self._remove_locks()
        try:
            return pygit2.Repository(str(self.folder))
        except pygit2.GitError:
            shutil.rmtree(self.folder)
            return None

    def _remove_locks(self) -> None:
        """Remove what a killed git left; only one runs here at a time, so nobody holds them."""
        for pattern in ("*.lock", "refs/**/*.lock", "objects/**/*.lock"):
            for lock in self.folder.glob(pattern):
                lock.unlink(missing_ok=True)

    async def _start_over(self) -> None:
        self._repository = None
        await asyncio.to_thread(shutil.rmtree, self.folder, True)
        await self._open()

    def _forget_head(self) -> None:
        try:
            self._repository.references.delete(HEAD_REF)
        except KeyError:
            pass


def _isolate_libgit2() -> None:
    """Keep libgit2 of this process from reading anybody's git configuration; it is asked for at every open."""
    levels = pygit2.enums.ConfigLevel
    for level in (levels.SYSTEM, levels.XDG, levels.GLOBAL, levels.PROGRAMDATA):
        pygit2.option(pygit2.enums.Option.SET_SEARCH_PATH, level, "")
