"""Real workers, real repositories, read as the engine reads them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pygit2
import pytest
from tests.unit.engine.source.trees import Bare, Content

from tiphys.engine.render.protocol import WORKER_ARGV
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.source.tree import GitTree, TreeObjects
from tiphys.engine.states import Snapshot
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.supervisor import Lifetime
from tiphys.runtime.workerpool import WorkerPool

Serve = Callable[..., AbstractAsyncContextManager[WorkerPool]]


class Repository:
    """Commits, and Snapshots of them."""

    def __init__(self, folder: Path) -> None:
        self.bare = Bare(folder)
        self._repository = pygit2.Repository(str(folder))

    def snapshot(self, files: dict[str, Content], *, fresh: bool = False) -> Snapshot:
        """Commit these files on top of what is there; the Snapshot of the commit."""
        sha = self.bare.commit(files, fresh=fresh)
        tree = str(self._repository[sha].peel(pygit2.Tree).id)
        return Snapshot(self.bare.url, sha, GitTree(TreeObjects(self._repository), tree))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository."""
    return Repository(tmp_path / "repo.git")


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Runs a pool of workers as the engine does: `async with serve(size=1) as pool`."""

    @asynccontextmanager
    async def serving(**options: Any) -> AsyncIterator[WorkerPool]:
        options = {"root": tmp_path / "workers", "clock": SystemClock(), "size": 1, "argv": WORKER_ARGV, **options}
        pool = WorkerPool(**options)
        lifetime = Lifetime()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(pool.serve(lifetime))
            await lifetime.until_ready()
            try:
                yield pool
            finally:
                lifetime.stop()

    return serving


@pytest.fixture
async def renderer(serve: Serve) -> AsyncIterator[Renderer]:
    """A renderer with one worker."""
    async with serve() as pool:
        yield Renderer(pool, clock=SystemClock())
