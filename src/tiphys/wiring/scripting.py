"""Workers for users' scripts, and who asks them."""

from __future__ import annotations

from tiphys.engine.health.scripts import HealthScripts
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger
from tiphys.runtime.workerpool import PoolLimits, WorkerPool
from tiphys.scripting.protocol import WORKER_ARGV
from tiphys.scripting.service import Scripts
from tiphys.wiring.options import EngineOptions

_LIMITS = PoolLimits(memory_bytes=1024**3, max_renders=20_000, max_rss_bytes=200 * 1024**2)


class Scripting:
    """Runs health check scripts and path expressions; without any no process lives."""

    def __init__(self, options: EngineOptions, *, clock: Clock, log: Logger) -> None:
        log = log.bind(part="scripts")
        self.pool = WorkerPool(
            root=options.home / "scripts",
            clock=clock,
            size=2,
            limits=_LIMITS,
            argv=WORKER_ARGV,
            eager=False,
            log=log,
        )
        self.scripts = Scripts(self.pool, log=log)
        self.health = HealthScripts(self.scripts.health)
