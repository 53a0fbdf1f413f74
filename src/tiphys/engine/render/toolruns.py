"""Runs of tools in workers of their own; a run that failed on the same inputs is not tried again at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.engine.render.cache import Recent, objects_from_rows
from tiphys.engine.render.protocol import MAX_OBJECTS
from tiphys.engine.render.tools import ToolPlan
from tiphys.engine.states import RenderedObject, SourceTree, StageError
from tiphys.runtime.clock import Clock
from tiphys.runtime.messages import encode
from tiphys.runtime.workerpool import WorkerError, WorkerPool

TOOL_TIMEOUT_S = 90.0
RETRY_AFTER_S = 10.0
FAILURES_KEPT = 2000
# A run that met a limit may do better on a quieter machine. Until then each commit would cost the whole limit.
LIMIT_FORGOTTEN_S = 600.0
LARGE_REPLY_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Failure:
    message: str
    until: float | None  # None: the same inputs fail always


class ToolRuns:
    """Hands plans to workers and takes their objects."""

    def __init__(self, pool: WorkerPool, *, clock: Clock, timeout_s: float = TOOL_TIMEOUT_S) -> None:
        self._pool = pool
        self._clock = clock
        self._timeout_s = timeout_s
        self._failures: Recent[str, _Failure] = Recent(FAILURES_KEPT)

    async def run(self, tree: SourceTree, plan: ToolPlan) -> tuple[RenderedObject, ...]:
        """The objects of one plan. Raises StageError."""
        known = self._failures.get(plan.key)
        if known is not None and (known.until is None or self._clock.monotonic() < known.until):
            raise _failed(known.message)
        request = await asyncio.to_thread(self._request, tree, plan)
        try:
            header, bodies = await self._pool.ask(request, timeout_s=self._timeout_s)
        except WorkerError as error:
            if error.again:
                raise _failed(error.message, retry_after_s=RETRY_AFTER_S) from None
            self._failures.put(plan.key, _Failure(error.message, self._clock.monotonic() + LIMIT_FORGOTTEN_S))
            raise _failed(error.message) from None
        problem = header.get("problem")
        if problem:
            self._failures.put(plan.key, _Failure(str(problem), None))
            raise _failed(str(problem))
        try:
            if len(bodies) > LARGE_REPLY_BYTES:
                return await asyncio.to_thread(_objects, header, bodies)
            return _objects(header, bodies)
        except (TypeError, ValueError, IndexError) as error:
            raise _failed(f"the rendering process answered in a way that cannot be read: {error}") from None

    def _request(self, tree: SourceTree, plan: ToolPlan) -> bytes:
        contents = [file.content if file.content is not None else tree.read(file.oid) for file in plan.files]
        files = zip(plan.files, contents, strict=True)
        header = {
            "tool": plan.source_type,
            "request": plan.request,
            "files": [(file.path, len(content), file.executable) for file, content in files],
            "max_objects": MAX_OBJECTS,
            "cpu_s": max(1, int(self._timeout_s)),
        }
        return encode(header, contents)


def _objects(header: Mapping[str, object], bodies: memoryview) -> tuple[RenderedObject, ...]:
    rows = header.get("objects")
    if not isinstance(rows, list):
        raise TypeError("no objects")
    return objects_from_rows(rows, bodies)


def _failed(message: str, *, retry_after_s: float | None = None) -> StageError:
    return StageError("render", "ComparisonError", message, retry_after_s=retry_after_s)
