"""Snapshot -> Rendered.

The key of a render is made of the ids of the files it reads, so it is known before anything is read. In order, each
step cheaper than the next: the source's tree is the one seen last; the key is one rendered before; the files were parsed
before; a worker parses what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiphys.engine.render.cache import (
    ParsedFile,
    Recent,
    RenderStore,
    as_cached,
    decode_rendered,
    encode_rendered,
    objects_from_rows,
    rendered_weight,
)
from tiphys.engine.render.detect import detect_type, override_files, refuse_overrides, require_supported
from tiphys.engine.render.directory import DEFAULT_MAX_BYTES, ManifestFile, directory_key, select_files
from tiphys.engine.render.protocol import MAX_OBJECTS
from tiphys.engine.render.spec import DIRECTORY, RenderSource
from tiphys.engine.states import FileKind, Rendered, Snapshot, SourceTree, StageError
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger
from tiphys.runtime.messages import encode
from tiphys.runtime.workerpool import WorkerError, WorkerPool

RENDER_TIMEOUT_S = 90.0
RETRY_AFTER_S = 10.0
PARSED_LIMIT_BYTES = 64 * 1024 * 1024
RENDERED_LIMIT_BYTES = 64 * 1024 * 1024
PLANS_KEPT = 50_000
# Above this a reply is taken apart in a thread, so that the loop is not held up.
LARGE_REPLY_BYTES = 256 * 1024
PROBLEMS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a source reads. `outside`: (path of a link, id of what it leads to), which the tree id does not cover."""

    tree_id: str
    key: str
    files: tuple[ManifestFile, ...]
    outside: tuple[tuple[str, str | None], ...]
    overrides: tuple[str, ...]


class Renderer:
    """Renders sources; equal inputs are rendered once.

    `store` keeps renders beyond this process; `disabled` tools are read as plain directories. Answers come from memory
    while there is room, and are never stale: every key is made of content ids.
    """

    def __init__(
        self,
        pool: WorkerPool,
        *,
        clock: Clock,
        store: RenderStore | None = None,
        log: Logger = SILENT,
        max_manifest_bytes: int = DEFAULT_MAX_BYTES,
        timeout_s: float = RENDER_TIMEOUT_S,
        disabled: Sequence[str] = (),
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._store = store
        self._log = log
        self._max_manifest_bytes = max_manifest_bytes
        self._timeout_s = timeout_s
        self._disabled = tuple(disabled)
        self._plans: Recent[tuple[str, RenderSource], _Plan] = Recent(PLANS_KEPT)
        self._rendered: Recent[str, Rendered] = Recent(RENDERED_LIMIT_BYTES, rendered_weight)
        self._parsed: Recent[tuple[str, str], ParsedFile] = Recent(PARSED_LIMIT_BYTES, lambda file: file.weight)
        self._under_way: dict[str, asyncio.Lock] = {}
        self.renders = 0  # answers that needed a worker or the store, since the engine started

    async def render(
        self, snapshot: Snapshot, source: RenderSource, *, env: Mapping[str, str], application: str = ""
    ) -> Rendered:
        """All manifests of one source at one revision.

        `env` is the build environment; a plain directory consults only `ARGOCD_APP_NAME`, for override files, which
        are refused so far, so it is no part of the key.
        `application` names the asker in the log. Raises StageError: `ComparisonError` for files that cannot be
        rendered, with path and line, and with `retry_after_s` when the fault is not in the files.
        """
        plan = self._known_plan(snapshot, source)
        if plan is None:
            plan = await asyncio.to_thread(self._plan, snapshot.tree, source)
            self._plans.put((snapshot.repo_url, source), plan)
        if plan.overrides:
            refuse_overrides(source, plan.overrides, env.get("ARGOCD_APP_NAME", ""))
        known = self._rendered.get(plan.key)
        if known is None:
            lock = self._under_way.setdefault(plan.key, asyncio.Lock())
            try:
                async with lock:
                    known = self._rendered.get(plan.key)
                    if known is None:
                        known = await self._from_store(plan.key, snapshot.revision)
                    if known is None:
                        return await self._render(snapshot, source, plan, application)
            finally:
                if not lock.locked():
                    self._under_way.pop(plan.key, None)
        self._log.debug(
            "nothing read by this application changed",
            application=application,
            path=source.path,
            revision=snapshot.revision,
            key=plan.key,
        )
        return as_cached(known, snapshot.revision)

    def unchanged(self, snapshot: Snapshot, source: RenderSource, key: str) -> bool:
        """Is the render of this source at this revision surely the one with `key`? Compares ids; reads nothing.

        False also means "not known here"; `render` then finds out.
        """
        plan = self._known_plan(snapshot, source)
        return plan is not None and plan.key == key

    def _known_plan(self, snapshot: Snapshot, source: RenderSource) -> _Plan | None:
        """The plan made last for this source, while everything it was made from has the same ids."""
        plan = self._plans.get((snapshot.repo_url, source))
        if plan is None:
            return None
        tree = snapshot.tree
        if tree.tree_id(source.path) != plan.tree_id:
            return None
        return plan if all(tree.tree_id(path) == oid for path, oid in plan.outside) else None

    def _plan(self, tree: SourceTree, source: RenderSource) -> _Plan:
        """Runs in a thread. Raises StageError."""
        tree_id = tree.tree_id(source.path)
        if tree_id is None:
            raise StageError("render", "ComparisonError", f"{source.path}: app path does not exist")
        entries = tree.entries(source.path, recurse=False)
        start = len(source.path) + 1 if source.path else 0
        names = {entry.path[start:] for entry in entries if entry.kind is not FileKind.DIRECTORY}
        require_supported(source, detect_type(source, names, disabled=self._disabled), names)
        if source.recurse:
            entries = tree.entries(source.path, recurse=True)
        files = select_files(entries, source, max_bytes=self._max_manifest_bytes)
        outside = tuple((entry.path, tree.tree_id(entry.path)) for entry in entries if entry.kind is FileKind.LINK)
        return _Plan(tree_id, directory_key(files, source), files, outside, override_files(names))

    async def _from_store(self, key: str, revision: str) -> Rendered | None:
        if self._store is None:
            return None
        data = await self._store.get(key)
        if data is None:
            return None
        try:
            rendered = await asyncio.to_thread(decode_rendered, data, key=key, revision=revision)
        except ValueError as error:
            self._log.warning("stored render left aside", key=key, problem=str(error))
            return None
        self._rendered.put(key, rendered)
        return rendered

    async def _render(self, snapshot: Snapshot, source: RenderSource, plan: _Plan, application: str) -> Rendered:
        began = self._clock.monotonic()
        parsed = {(file.oid, file.form): self._parsed.get((file.oid, file.form)) for file in plan.files}
        missing = [file for file in plan.files if parsed[file.oid, file.form] is None]
        unique = list({(file.oid, file.form): file for file in missing}.values())
        if unique:
            parsed |= await self._parse(snapshot.tree, unique)
        results = [(file, parsed[file.oid, file.form] or ParsedFile()) for file in plan.files]
        _raise_problems(results)
        objects = tuple(one for _, result in results for one in result.objects)
        if len(objects) > MAX_OBJECTS:
            raise _failed(
                f"{source.path or '.'}: {len(objects)} objects are more than {MAX_OBJECTS} (limit of objects)"
            )
        rendered = Rendered(snapshot.revision, DIRECTORY, plan.key, objects)
        self._rendered.put(plan.key, rendered)
        self.renders += 1
        if self._store is not None:
            await self._store.put(plan.key, encode_rendered(rendered))
        self._log.info(
            "rendered",
            application=application,
            path=source.path,
            revision=snapshot.revision,
            files=len(plan.files),
            parsed=len(unique),
            objects=len(objects),
            ms=round((self._clock.monotonic() - began) * 1000, 1),
        )
        return rendered

    async def _parse(self, tree: SourceTree, files: Sequence[ManifestFile]) -> dict[tuple[str, str], ParsedFile | None]:
        """What a worker makes of these files; kept, problems too, because the same bytes give the same again."""
        request = await asyncio.to_thread(self._request, tree, files)
        try:
            header, bodies = await self._pool.ask(request, timeout_s=self._timeout_s)
            if len(bodies) > LARGE_REPLY_BYTES:
                results = await asyncio.to_thread(_results, header, bodies, len(files))
            else:
                results = _results(header, bodies, len(files))
        except WorkerError as error:
            at = f"{files[error.file].path}: " if error.file is not None and error.file < len(files) else ""
            raise StageError(
                "render",
                "ComparisonError",
                f"{at}{error.message}",
                retry_after_s=RETRY_AFTER_S if error.again else None,
            ) from None
        found: dict[tuple[str, str], ParsedFile | None] = {}
        for file, result in zip(files, results, strict=True):
            found[file.oid, file.form] = result
            self._parsed.put((file.oid, file.form), result)
        return found

    def _request(self, tree: SourceTree, files: Sequence[ManifestFile]) -> bytes:
        contents = [tree.read(file.oid) for file in files]
        header = {
            "files": [(file.form, len(content)) for file, content in zip(files, contents, strict=True)],
            "max_objects": MAX_OBJECTS,
            "cpu_s": max(1, int(self._timeout_s)),
        }
        return encode(header, contents)


def _results(header: Mapping[str, object], bodies: memoryview, count: int) -> list[ParsedFile]:
    rows = header.get("files")
    if not isinstance(rows, list) or len(rows) != count:
        raise WorkerError("the rendering process answered for other files than it was given")
    found = []
    at = 0
    try:
        for problem, line, objects in rows:
            size = sum(row[6] for row in objects)
            found.append(ParsedFile(objects_from_rows(objects, bodies[at : at + size]), problem or "", line))
            at += size
    except (TypeError, ValueError, IndexError) as error:
        raise WorkerError(f"the rendering process answered in a way that cannot be read: {error}") from None
    return found


def _raise_problems(results: Sequence[tuple[ManifestFile, ParsedFile]]) -> None:
    problems = []
    for file, result in results:
        if result.problem:
            where = f"line {result.line}: " if result.line else ""
            problems.append(f'Failed to unmarshal "{file.path}": {where}{result.problem}')
    if problems:
        rest = len(problems) - PROBLEMS_SHOWN
        more = f"; and {rest} more files" if rest > 0 else ""
        raise _failed("; ".join(problems[:PROBLEMS_SHOWN]) + more)


def _failed(message: str) -> StageError:
    return StageError("render", "ComparisonError", message)
