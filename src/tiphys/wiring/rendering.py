"""Workers, the renderer and what it keeps beyond a restart."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tiphys.controllers.controlplane import ControlPlane
from tiphys.engine.render.cache import decode_rendered
from tiphys.engine.render.protocol import TOOL_WORKER_ARGV, TOOL_WORKER_ENV, WORKER_ARGV
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import RenderSource, render_source
from tiphys.engine.render.toolruns import TOOL_TIMEOUT_S, ToolRuns
from tiphys.engine.render.tools import KubeVersions, RenderContext, Tools
from tiphys.engine.source.changes import plain_paths
from tiphys.engine.states import Rendered, Snapshot
from tiphys.model.codec import encode
from tiphys.model.duration import parse_duration
from tiphys.model.source import ApplicationSource
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger
from tiphys.runtime.workerpool import PoolLimits, WorkerPool, default_size
from tiphys.store.database import Database, StoreError
from tiphys.store.renders import Renders
from tiphys.store.seal import Seal
from tiphys.wiring.options import EngineOptions

# A Go program reserves far more addresses than it uses: the SDK some 1.8 GB before it does anything.
TOOL_LIMITS = PoolLimits(
    memory_bytes=3 * 1024**3,
    file_bytes=128 * 1024**2,
    open_files=256,
    max_rss_bytes=600 * 1024**2,
)


class Rendering:
    """Renders the sources of Applications."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        env: Mapping[str, str],
        database: Database,
        plane: ControlPlane,
        clock: Clock,
        log: Logger,
    ) -> None:
        log = log.bind(part="render")
        self.pool = WorkerPool(
            root=options.home / "workers", clock=clock, size=default_size(), argv=WORKER_ARGV, log=log
        )
        tools = find_tools(env.get("PATH", ""))
        programs = {"helm": tools.helm, "kubectl": tools.kubectl}
        # Not eager: where no source needs a tool, no process waits for one.
        self.tool_pool = WorkerPool(
            root=options.home / "tool-workers",
            clock=clock,
            size=default_size(),
            limits=TOOL_LIMITS,
            argv=(*TOOL_WORKER_ARGV, *(f"{name}={path}" for name, path in programs.items() if path)),
            env=TOOL_WORKER_ENV,
            eager=False,
            log=log,
        )
        self.store = _SealedRenders(database, plane, clock, log)
        self.renderer = Renderer(
            self.pool,
            clock=clock,
            store=self.store,
            tools=tools,
            tool_runs=ToolRuns(self.tool_pool, clock=clock, timeout_s=_tool_timeout_s(env, log)),
            log=log,
        )

    async def render(self, snapshot: Any, source: ApplicationSource, context: RenderContext, application: str) -> Any:
        """The manifests of one source of an Application."""
        what = render_source(encode(source))
        return await self.renderer.render(snapshot, what, context=context, application=application)

    async def kept(self, key: str, revision: str) -> Rendered | None:
        """The render with a key, as an earlier operation may have applied it; None when it is not kept any more."""
        data = await self.store.get(key)
        if data is None:
            return None
        try:
            return decode_rendered(data, key=key, revision=revision)
        except ValueError:
            return None

    def reads(self, source: ApplicationSource, key: str, context_of: Callable[[Snapshot], RenderContext]) -> _Reads:
        """Tells what the render with this key has read."""
        return _Reads(self.renderer, render_source(encode(source)), key, context_of)


class _Reads:
    """What one render has read."""

    __slots__ = ("_context_of", "_key", "_renderer", "_source")

    def __init__(
        self, renderer: Renderer, source: RenderSource, key: str, context_of: Callable[[Snapshot], RenderContext]
    ) -> None:
        self._renderer = renderer
        self._source = source
        self._key = key
        self._context_of = context_of

    def unchanged(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot surely renders to the same."""
        return self._renderer.unchanged(snapshot, self._source, self._key, context=self._context_of(snapshot))

    def paths(self, snapshot: Snapshot) -> tuple[frozenset[str], KubeVersions | None] | None:
        """Where it is the same: the paths that decide that and what it was told of the cluster. None: not known."""
        read = self._renderer.paths_read(snapshot, self._source, self._key, context=self._context_of(snapshot))
        if read is None:
            return None
        plain = plain_paths(snapshot.tree, read[0])
        return (plain, read[1]) if plain is not None else None


def _tool_timeout_s(env: Mapping[str, str], log: Logger) -> float:
    """How long one run of Helm or Kustomize may take: ARGOCD_EXEC_TIMEOUT, a duration, or 90 seconds."""
    text = env.get("ARGOCD_EXEC_TIMEOUT", "")
    if not text:
        return TOOL_TIMEOUT_S
    try:
        seconds = parse_duration(text).total_seconds()
    except ValueError as error:
        log.warning("ARGOCD_EXEC_TIMEOUT is not used", problem=str(error))
        return TOOL_TIMEOUT_S
    return max(1.0, seconds)


def find_tools(path: str) -> Tools:
    """The SDK and the programs there are: beside this one, as a package brings them, or on the PATH given."""
    try:
        sdk = metadata.version("helm-python-sdk")
    except metadata.PackageNotFoundError:
        sdk = ""
    helm, kubectl = _program("helm", path), _program("kubectl", path)
    return Tools(
        helm_sdk=sdk,
        helm=helm,
        helm_version=_identity(helm),
        kubectl=kubectl,
        kubectl_version=_identity(kubectl),
    )


def _program(name: str, path: str) -> str:
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name, path=path) or ""


def _identity(program: str) -> str:
    """Names one build of a program without running it."""
    if not program:
        return ""
    found = os.stat(program)
    return f"{os.path.realpath(program)} {found.st_size} {found.st_mtime_ns}"


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
