"""Real workers, asked as the engine asks them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tiphys.runtime.clock import SystemClock
from tiphys.runtime.supervisor import Lifetime
from tiphys.runtime.workerpool import WorkerPool
from tiphys.scripting.protocol import WORKER_ARGV
from tiphys.scripting.service import Scripts


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[WorkerPool]:
    """A pool that has started nothing yet."""
    pool = WorkerPool(root=tmp_path / "scripts", clock=SystemClock(), size=1, argv=WORKER_ARGV, eager=False)
    lifetime = Lifetime()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.serve(lifetime))
        await lifetime.until_ready()
        try:
            yield pool
        finally:
            lifetime.stop()


@pytest.fixture
def scripts(pool: WorkerPool) -> Scripts:
    """Scripts with one worker."""
    return Scripts(pool)
