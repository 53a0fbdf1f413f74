"""Real workers, real repositories, read as the engine reads them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pygit2
import pytest
from tests.unit.engine.source.trees import Bare, Content

from tiphys.engine.render.protocol import TOOL_WORKER_ARGV, WORKER_ARGV
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.toolruns import ToolRuns
from tiphys.engine.source.tree import GitTree, TreeObjects
from tiphys.engine.states import Snapshot
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.supervisor import Lifetime
from tiphys.runtime.workerpool import WorkerPool
from tiphys.wiring.rendering import TOOL_LIMITS, find_tools

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


TOOLS = find_tools(os.environ["PATH"])
TOOL_ARGV = (*TOOL_WORKER_ARGV, f"kubectl={TOOLS.kubectl}")


def tool_renderer(pool: WorkerPool, tool_pool: WorkerPool, *, timeout_s: float = 60.0) -> Renderer:
    """A renderer with tools."""
    clock = SystemClock()
    runs = ToolRuns(tool_pool, clock=clock, timeout_s=timeout_s)
    return Renderer(pool, clock=clock, tools=TOOLS, tool_runs=runs)


@pytest.fixture
async def tools(serve: Serve, tmp_path: Path) -> AsyncIterator[Renderer]:
    """A renderer with one worker of each kind."""
    async with (
        serve() as pool,
        serve(root=tmp_path / "tools", argv=TOOL_ARGV, limits=TOOL_LIMITS, eager=False) as tool_pool,
    ):
        yield tool_renderer(pool, tool_pool)


@pytest.fixture
async def renderer(serve: Serve) -> AsyncIterator[Renderer]:
    """A renderer with one worker."""
    async with serve() as pool:
        yield Renderer(pool, clock=SystemClock())
