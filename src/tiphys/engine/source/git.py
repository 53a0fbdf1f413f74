"""Git repositories as sources: (repository URL, revision expression) -> Snapshot.

Each repository has one bare mirror in a folder of its own; trees and blobs are read from it by id, and nothing is ever
checked out. Fetching is the git program's, reading is libgit2's in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from tiphys.engine.source.access import GitCredentials
from tiphys.engine.source.fileevents import FileEvents, system_file_events
from tiphys.engine.source.mirrors import Mirror, RunProgram
from tiphys.engine.source.notify import watch_refs
from tiphys.engine.source.reach import CONNECT_TIMEOUT_S
from tiphys.engine.source.resolve import FULL_SHA, check_expression, find_commit, tags_by_commit, unknown_revision
from tiphys.engine.source.tree import GitTree, TreeObjects
from tiphys.engine.source.urls import RepositoryUrl, parse_repository_url
from tiphys.engine.states import Snapshot, StageError
from tiphys.runtime.clock import Clock
from tiphys.runtime.files import remove_tree
from tiphys.runtime.process import run_program

FETCH_TIMEOUT_S = 300.0  # a first fetch of a large repository takes minutes
# Trees kept open: many applications read the same commit in a row.
KEPT_TREES = 256
KEPT_URLS = 8192


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """What people want to know about a commit. `author` is `Name <mail>`, `date` the author's date with its zone.

    Source: compat 8.3 "Revision metadata".
    """

    sha: str
    author: str
    date: datetime
    message: str
    tags: tuple[str, ...]


class GitRepositories:
    """All Git repositories of one engine. `root` holds the mirrors and belongs to this process alone.

    `env` is what git needs from outside: PATH, proxy variables, the path of a CA bundle; git sees nothing else of the
    engine's environment. file:// URLs are refused unless `allow_file_urls`.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        run_process: RunProgram = run_program,
        allow_file_urls: bool = False,
        git: str = "git",
        env: Mapping[str, str] | None = None,
        fetch_timeout_s: float = FETCH_TIMEOUT_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        file_events: Callable[[], FileEvents] | None = None,
    ) -> None:
        self._root = root
        self._clock = clock
        self._run_process = run_process
        self._allow_file_urls = allow_file_urls
        self._git = git
        self._env = dict(env) if env is not None else {"PATH": os.defpath}
        self._fetch_timeout_s = fetch_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._file_events = file_events or system_file_events()
        self._mirrors: dict[str, Mirror] = {}
        # By what is asked for, as written, so that it is parsed once.
        self._by_url: dict[tuple[str, GitCredentials | None], tuple[Mirror, GitCredentials | None]] = {}
        self._trees: OrderedDict[tuple[str, str], GitTree] = OrderedDict()
        self._tags: dict[str, tuple[int, dict[str, list[str]]]] = {}

    async def revision(
        self, url: str, expression: str, *, refresh: bool = False, credentials: GitCredentials | None = None
    ) -> str:
        """Full SHA of the commit that `expression` names.

        With `refresh` after a fetch; without it from the mirror as it is, with a fetch only when that does not know the
        expression. A full SHA that is in the mirror never needs a fetch.
        Raises StageError(reason="ComparisonError") when the repository cannot be reached (with `retry_after_s`) or has
        no such revision, StageError(reason="InvalidSpecError") for URLs and expressions that are refused.
        """
        check_expression(expression)
        mirror = self._mirror(url, credentials)
        pinned = bool(FULL_SHA.match(expression))
        if pinned or not refresh:
            found = await self._find(mirror, expression)
            if found is not None:
                return found
        await mirror.fetch()
        found = await self._find(mirror, expression)
        if found is None and (pinned or expression.startswith("refs/")) and await mirror.fetch_exactly(expression):
            found = await self._find(mirror, expression)
        if found is None:
            repository = await mirror.repository()
            raise await asyncio.to_thread(unknown_revision, repository, expression, mirror.url.display)
        return found

    async def snapshot(
        self, url: str, expression: str, *, refresh: bool, credentials: GitCredentials | None = None
    ) -> Snapshot:
        """The source at a revision; see `revision` for `refresh` and for what is raised."""
        sha = await self.revision(url, expression, refresh=refresh, credentials=credentials)
        mirror = self._mirror(url, credentials)
        return Snapshot(repo_url=url, revision=sha, tree=await self._tree(mirror, sha))

    async def commit_info(self, url: str, sha: str, *, credentials: GitCredentials | None = None) -> CommitInfo:
        """Author, date, message and tags of a commit. Raises StageError when the repository has no such commit."""
        mirror = self._mirror(url, credentials)
        full = await self.revision(url, sha, credentials=credentials)
        repository = await mirror.repository()
        known = self._tags.get(mirror.folder.name)
        if known is None or known[0] != mirror.fetched:
            known = self._tags[mirror.folder.name] = (
                mirror.fetched,
                await asyncio.to_thread(tags_by_commit, repository),
            )
        return await asyncio.to_thread(_commit_info, repository, full, tuple(known[1].get(full, ())))

    async def changed(
        self, url: str, sha_a: str, sha_b: str, path: str, *, credentials: GitCredentials | None = None
    ) -> bool:
        """Does anything at `path` differ between two commits? Compares tree ids; nothing is read."""
        if sha_a == sha_b:
            return False
        mirror = self._mirror(url, credentials)
        trees = [
            await self._tree(mirror, await self.revision(url, sha, credentials=credentials)) for sha in (sha_a, sha_b)
        ]
        return await asyncio.to_thread(lambda: trees[0].tree_id(path) != trees[1].tree_id(path))

    async def watch_local(self, url: str, callback: Callable[[], None], *, ready: asyncio.Event | None = None) -> None:
        """Call `callback` after each push into a file:// repository; runs until cancelled.

        `ready` is set when nothing can be missed any more. Raises StageError when the URL is not a local one.
        """
        local = parse_repository_url(url, allow_file=self._allow_file_urls).local
        if local is None:
            raise StageError("source", "InvalidSpecError", f"{url}: only file:// repositories can be watched")
        await watch_refs(local, callback, clock=self._clock, ready=ready, events=self._file_events)

    def _mirror(self, url: str, credentials: GitCredentials | None) -> Mirror:
        known = self._by_url.get((url, credentials))
        if known is None:
            parsed = parse_repository_url(url, allow_file=self._allow_file_urls)
            if len(self._by_url) >= KEPT_URLS:
                self._by_url.clear()  # credentials that were replaced are not kept for ever
            known = self._by_url[url, credentials] = self._made(parsed, _effective(parsed, credentials))
        mirror, effective = known
        mirror.credentials = effective
        return mirror

    def _made(self, url: RepositoryUrl, credentials: GitCredentials | None) -> tuple[Mirror, GitCredentials | None]:
        name = _mirror_name(url, credentials)
        mirror = self._mirrors.get(name)
        if mirror is None:
            mirror = self._mirrors[name] = Mirror(
                url,
                self._root / name,
                private=self._private(),
                credentials=credentials,
                run_program=self._run_process,
                git=self._git,
                env=self._env,
                fetch_timeout_s=self._fetch_timeout_s,
                connect_timeout_s=self._connect_timeout_s,
            )
        return mirror, credentials

    def _private(self) -> Path:
        """Where keys lie while git runs; emptied once, of what a killed engine left."""
        folder = self._root / "private"
        if not self._mirrors:
            remove_tree(folder)
        return folder

    async def _find(self, mirror: Mirror, expression: str) -> str | None:
        """`find_commit`, remembered until the refs may have moved."""
        known = mirror.resolved.get(expression)
        if known is None:
            repository = await mirror.repository()
            moves = mirror.moves
            known = await asyncio.to_thread(find_commit, repository, expression)
            if known is not None and moves == mirror.moves:
                mirror.resolved[expression] = known
        return known

    async def _tree(self, mirror: Mirror, sha: str) -> GitTree:
        key = (mirror.folder.name, sha)
        tree = self._trees.get(key)
        if tree is None:
            tree = await asyncio.to_thread(_open_tree, await mirror.repository(), await mirror.objects(), sha)
            self._trees[key] = tree
            if len(self._trees) > KEPT_TREES:
                self._trees.popitem(last=False)
        else:
            self._trees.move_to_end(key)
        return tree


def _effective(url: RepositoryUrl, credentials: GitCredentials | None) -> GitCredentials | None:
    """Those of the Secret, else those in the URL, on the way the Secret says."""
    own = url.credentials
    if own is None or (credentials is not None and credentials.given):
        return credentials
    return own if credentials is None else replace(own, connection=credentials.connection)


def _mirror_name(url: RepositoryUrl, credentials: GitCredentials | None) -> str:
    """Folder of a mirror. Whoever fetches with other credentials gets another mirror, so none reads what it may not."""
    digest = hashlib.sha256(url.key.encode())
    fingerprint = credentials.fingerprint() if credentials is not None else b""
    if fingerprint:
        digest.update(b"\0" + fingerprint)
    return digest.hexdigest()[:40]


def _open_tree(repository: Any, objects: TreeObjects, sha: str) -> GitTree:
    return GitTree(objects, str(repository[sha].tree_id))


def _commit_info(repository: Any, sha: str, tags: tuple[str, ...]) -> CommitInfo:
    commit = repository[sha]
    zone = timezone(timedelta(minutes=commit.author.offset))
    return CommitInfo(
        sha=sha,
        author=f"{commit.author.name} <{commit.author.email}>",
        date=datetime.fromtimestamp(commit.author.time, zone),
        message=str(commit.message).rstrip("\n"),
        tags=tags,
    )
