"""Workers, the renderer and what it keeps beyond a restart."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from tiphys.controllers.controlplane import ControlPlane
from tiphys.engine.render.protocol import WORKER_ARGV
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.states import Snapshot
from tiphys.model.application import Application
from tiphys.model.codec import encode
from tiphys.model.source import ApplicationSource
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger
from tiphys.runtime.workerpool import WorkerPool, default_size
from tiphys.store.database import Database, StoreError
from tiphys.store.renders import Renders
from tiphys.store.seal import Seal
from tiphys.wiring.options import EngineOptions


class Rendering:
    """Renders the sources of Applications."""

    def __init__(
        self, options: EngineOptions, *, database: Database, plane: ControlPlane, clock: Clock, log: Logger
    ) -> None:
        log = log.bind(part="render")
        self.pool = WorkerPool(
            root=options.home / "workers", clock=clock, size=default_size(), argv=WORKER_ARGV, log=log
        )
        self.renderer = Renderer(self.pool, clock=clock, store=_SealedRenders(database, plane, clock, log), log=log)

    async def render(self, snapshot: Any, source: ApplicationSource, app: Application) -> Any:
        """The manifests of one source of an Application."""
        what = render_source(encode(source))
        return await self.renderer.render(snapshot, what, env={}, application=f"{app.namespace}/{app.name}")

    def reads(self, source: ApplicationSource, key: str) -> Callable[[Snapshot], bool]:
        """Tells of a snapshot whether it surely renders to the same as the render with this key."""
        what = render_source(encode(source))
        return lambda snapshot: self.renderer.unchanged(snapshot, what, key)


class _SealedRenders:
    """Renders kept beyond a restart. They may hold Secrets, so they are sealed with the key of `argocd-secret`.

    A cache only: without a key, or when the store cannot be written, there is one render more and nothing else.
    """

    def __init__(self, database: Database, plane: ControlPlane, clock: Clock, log: Logger) -> None:
        self._database = database
        self._plane = plane
        self._clock = clock
        self._log = log
        self._of: str | None = None
        self._renders: Renders | None = None

    async def get(self, key: str) -> bytes | None:
        """What was kept under a key."""
        renders = self._current()
        try:
            return await renders.get(key) if renders is not None else None
        except StoreError as error:
            self._log.warning("a kept render could not be read", problem=str(error))
            return None

    async def put(self, key: str, data: bytes) -> None:
        """Keep a render."""
        renders = self._current()
        try:
            if renders is not None:
                await renders.put(key, data)
        except StoreError as error:
            self._log.warning("a render could not be kept", problem=str(error))

    def _current(self) -> Renders | None:
        key = self._plane.settings.signing_key
        if not key:
            return None
        if self._renders is None or self._of != key.reveal():
            self._of = key.reveal()
            self._renders = Renders(self._database, clock=self._clock, seal=Seal(key, random_bytes=os.urandom))
        return self._renders
