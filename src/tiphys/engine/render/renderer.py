"""Snapshot -> Rendered.

The key of a render is made of the ids of the files it reads, so it is known before anything is read. In order, each
step cheaper than the next: the source's tree is the one seen last; the key is one rendered before; the files were parsed
before; a worker parses what is left.
"""

from __future__ import annotations

import asyncio
import dataclasses
import posixpath
from collections.abc import Callable, Mapping, Sequence
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
from tiphys.engine.render.detect import CHART_FILE, KUSTOMIZATION_FILES, detect_type, require_supported
from tiphys.engine.render.directory import DEFAULT_MAX_BYTES, ManifestFile, directory_key, select_files
from tiphys.engine.render.environment import REVISION_VARIABLE, Consulted
from tiphys.engine.render.helm.closure import Charts
from tiphys.engine.render.helm.plan import plan_helm
from tiphys.engine.render.kustomize.plan import plan_kustomize
from tiphys.engine.render.overrides import has_overrides, override_files, override_names, with_overrides
from tiphys.engine.render.protocol import MAX_OBJECTS, VALUE_FORM
from tiphys.engine.render.spec import DIRECTORY, HELM, RenderSource, tool_options
from tiphys.engine.render.toolruns import ToolRuns
from tiphys.engine.render.tools import NO_TOOLS, KubeVersions, RenderContext, ToolPlan, Tools
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

# Whose plan it is, where that may make a difference: application, namespace, build options.
_Who = tuple[str, str, tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a source reads. `reads`: (path, id) of all that decided it; while those are the same, the plan stands.

    `tool` is None for a plain directory. `asked` is what was looked up in the build environment.
    """

    key: str
    reads: tuple[tuple[str, str | None], ...]
    source: RenderSource  # with override files merged in
    files: tuple[ManifestFile, ...] = ()
    tool: ToolPlan | None = None
    asked: tuple[tuple[str, str | None], ...] = ()
    kube: KubeVersions | None = None

    def stands(self, id_of: Callable[[str], str | None], context: RenderContext) -> bool:
        """Would planning again give the same in a tree with these ids by path? Reads nothing."""
        for path, oid in self.reads:
            if id_of(path) != oid:
                return False
        if self.kube is not None and self.kube != context.kube:
            return False
        return all(context.env.get(name) == value for name, value in self.asked)


class _Ids:
    """Ids by path in the tree looked at last: the Applications of one commit look at much the same paths."""

    def __init__(self) -> None:
        self._tree: SourceTree | None = None
        self._known: dict[str, str | None] = {}

    def of(self, tree: SourceTree) -> Callable[[str], str | None]:
        """Gives the id of a path, None where there is nothing."""
        if tree is not self._tree:
            self._tree, self._known = tree, {}
        known = self._known

        def id_of(path: str) -> str | None:
            if path not in known:
                known[path] = tree.tree_id(path)
            return known[path]

        return id_of


class Renderer:
    """Renders sources; equal inputs are rendered once.

    `store` keeps renders beyond this process; answers come from memory
    while there is room, and are never stale: every key is made of content ids. `tools` are those that `tool_runs` has.
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
        tools: Tools = NO_TOOLS,
        tool_runs: ToolRuns | None = None,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._store = store
        self._log = log
        self._max_manifest_bytes = max_manifest_bytes
        self._timeout_s = timeout_s
        self._tools = tools
        self._tool_runs = tool_runs
        self._charts = Charts()
        self._ids = _Ids()
        self._plans: Recent[tuple[str, RenderSource, _Who | None], _Plan] = Recent(PLANS_KEPT)
        self._rendered: Recent[str, Rendered] = Recent(RENDERED_LIMIT_BYTES, rendered_weight)
        self._parsed: Recent[tuple[str, str], ParsedFile] = Recent(PARSED_LIMIT_BYTES, lambda file: file.weight)
        self._under_way: dict[str, asyncio.Lock] = {}
        self.renders = 0  # answers that needed a worker or the store, since the engine started

    async def render(
        self, snapshot: Snapshot, source: RenderSource, *, context: RenderContext, application: str = ""
    ) -> Rendered:
        """All manifests of one source at one revision.

        Of `context` only that is part of the key which the source consults. `application` names the asker in the log.
        Raises StageError: `ComparisonError` for files that cannot be rendered, with path and line, and with
        `retry_after_s` when the fault is not in the files.
        """
        plan = self._known_plan(snapshot, source, context)
        if plan is None:
            plan = await self._plan(snapshot, source, context)
        known = self._rendered.get(plan.key)
        if known is None:
            lock = self._under_way.setdefault(plan.key, asyncio.Lock())
            try:
                async with lock:
                    known = self._rendered.get(plan.key)
                    if known is None:
                        known = await self._from_store(plan.key, snapshot.revision)
                    if known is None:
                        return await self._render(snapshot, plan, application)
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

    def unchanged(self, snapshot: Snapshot, source: RenderSource, key: str, *, context: RenderContext) -> bool:
        """Is the render of this source at this revision surely the one with `key`? Compares ids; reads nothing.

        False also means "not known here"; `render` then finds out.
        """
        plan = self._known_plan(snapshot, source, context)
        return plan is not None and plan.key == key

    def paths_read(
        self, snapshot: Snapshot, source: RenderSource, key: str, *, context: RenderContext
    ) -> tuple[frozenset[str], KubeVersions | None] | None:
        """The paths that decide whether the render with `key` is this source's at a commit, and what it was told of the
        cluster, None when it did not ask. None also where `unchanged` says False, and for one that asked which commit it is.
        """
        plan = self._known_plan(snapshot, source, context)
        if plan is None or plan.key != key or any(name.startswith(REVISION_VARIABLE) for name, _value in plan.asked):
            return None
        return frozenset(path for path, _oid in plan.reads), plan.kube

    def _known_plan(self, snapshot: Snapshot, source: RenderSource, context: RenderContext) -> _Plan | None:
        """The plan made last for this source, while everything it was made from is the same."""
        plan = self._plans.get((snapshot.repo_url, source, None))
        if plan is None:
            plan = self._plans.get((snapshot.repo_url, source, _who(context)))
        return plan if plan is not None and plan.stands(self._ids.of(snapshot.tree), context) else None

    async def _plan(self, snapshot: Snapshot, source: RenderSource, context: RenderContext) -> _Plan:
        """Raises StageError."""
        tree = snapshot.tree
        wanted, found = await asyncio.to_thread(self._plan_unless_overridden, tree, source, context)
        if found is None:
            merged = await self._with_overrides(tree, source, wanted)
            found = await asyncio.to_thread(self._plan_of, tree, merged, context)
        plan, shared = found
        at = (snapshot.repo_url, source)
        if not shared:
            self._plans.drop((*at, None))
        self._plans.put((*at, None if shared else _who(context)), plan)
        return plan

    def _plan_unless_overridden(
        self, tree: SourceTree, source: RenderSource, context: RenderContext
    ) -> tuple[tuple[str, ...], tuple[_Plan, bool] | None]:
        """(files that change the source, the plan where there are none). Runs in a thread. Raises StageError."""
        names = _telling_files(tree, source, context)
        wanted = override_names(names, context.app_name)
        return wanted, None if wanted else self._plan_of(tree, source, context, names)

    def _plan_of(
        self, tree: SourceTree, source: RenderSource, context: RenderContext, names: frozenset[str] | None = None
    ) -> tuple[_Plan, bool]:
        """(the plan, whether it is every application's). Runs in a thread. Raises StageError."""
        names = _telling_files(tree, source, context) if names is None else names
        found = detect_type(source, names, disabled=context.disabled)
        require_supported(source, found)
        if found != DIRECTORY:
            return self._plan_tool(tree, source, found, context), False
        plan, overridden = self._plan_directory(tree, source)
        return plan, not overridden and not context.disabled

    async def _with_overrides(self, tree: SourceTree, source: RenderSource, names: Sequence[str]) -> RenderSource:
        files = []
        for name in names:
            path = posixpath.join(source.path, name)
            files.append(ManifestFile(path, tree.tree_id(path) or "", VALUE_FORM, 0))
        parsed = await self._parse(tree, files)
        results = [(file, parsed[file.oid, file.form] or ParsedFile()) for file in files]
        _raise_problems(results)
        return with_overrides(source, [(file.path, result.objects[0].json) for file, result in results])

    def _plan_directory(self, tree: SourceTree, source: RenderSource) -> tuple[_Plan, bool]:
        """(the plan, whether files in the folder may make another plan for another application).

        Runs in a thread. Raises StageError.
        """
        entries = tree.entries(source.path, recurse=source.recurse)
        files = select_files(entries, source, max_bytes=self._max_manifest_bytes)
        outside = ((entry.path, tree.tree_id(entry.path)) for entry in entries if entry.kind is FileKind.LINK)
        start = len(source.path) + 1 if source.path else 0
        overridden = has_overrides([entry.path[start:] for entry in entries if entry.kind is not FileKind.DIRECTORY])
        reads = ((source.path, tree.tree_id(source.path)), *outside)
        return _Plan(directory_key(files, source), reads, source, files), overridden

    def _plan_tool(self, tree: SourceTree, source: RenderSource, found: str, context: RenderContext) -> _Plan:
        """Runs in a thread. Raises StageError."""
        env = Consulted(context.env)
        block = tool_options(source, found)
        context = dataclasses.replace(context, env=env)
        tools = self._tools
        if found == HELM:
            version = tools.helm_sdk or tools.helm_version
            tool = plan_helm(tree, source.path, block, context, tool_version=version, charts=self._charts)
        else:
            tool = plan_kustomize(tree, source.path, block, context, tool_version=tools.kubectl_version)
        reads = dict(tool.reads)
        if source.path not in reads:  # then also what the type was told by, and override files that may come
            for name in _telling_names(context):
                path = posixpath.join(source.path, name)
                if path not in reads:
                    reads[path] = tree.tree_id(path)
        return _Plan(
            tool.key,
            tuple(reads.items()),
            source,
            tool=tool,
            asked=env.asked,
            kube=context.kube if tool.uses_kube else None,
        )

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

    async def _render(self, snapshot: Snapshot, plan: _Plan, application: str) -> Rendered:
        began = self._clock.monotonic()
        if plan.tool is not None:
            rendered = await self._run_tool(snapshot, plan.tool, plan.source)
            parsed_files = 0
        else:
            rendered, parsed_files = await self._render_directory(snapshot, plan)
        self._rendered.put(plan.key, rendered)
        self.renders += 1
        if self._store is not None:
            await self._store.put(plan.key, encode_rendered(rendered))
        self._log.info(
            "rendered",
            application=application,
            type=rendered.source_type,
            path=plan.source.path,
            revision=snapshot.revision,
            files=len(plan.files) if plan.tool is None else len(plan.tool.files),
            parsed=parsed_files,
            objects=len(rendered.objects),
            ms=round((self._clock.monotonic() - began) * 1000, 1),
        )
        return rendered

    async def _run_tool(self, snapshot: Snapshot, tool: ToolPlan, source: RenderSource) -> Rendered:
        if self._tool_runs is None:
            raise _failed(f"{source.path or '.'}: source type {tool.source_type} cannot be rendered here")
        objects = await self._tool_runs.run(snapshot.tree, tool)
        return Rendered(snapshot.revision, tool.source_type, tool.key, objects, warnings=tool.warnings)

    async def _render_directory(self, snapshot: Snapshot, plan: _Plan) -> tuple[Rendered, int]:
        """(the render, how many files a worker had to parse for it)."""
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
                f"{plan.source.path or '.'}: {len(objects)} objects are more than {MAX_OBJECTS} (limit of objects)"
            )
        return Rendered(snapshot.revision, DIRECTORY, plan.key, objects), len(unique)

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


def _who(context: RenderContext) -> _Who:
    return context.app_name, context.namespace, context.build_options, context.disabled


def _telling_names(context: RenderContext) -> tuple[str, ...]:
    """Names of files that tell a source's type or change the source."""
    return (CHART_FILE, *KUSTOMIZATION_FILES, *override_files(context.app_name))


def _telling_files(tree: SourceTree, source: RenderSource, context: RenderContext) -> frozenset[str]:
    """Which of those are in the source's own folder. Runs in a thread. Raises StageError."""
    folder = tree.entry(source.path)
    if folder is None:
        raise StageError("render", "ComparisonError", f"{source.path}: app path does not exist")
    if folder.kind is not FileKind.DIRECTORY:
        raise StageError("source", "ComparisonError", f"{source.path}: app path is not a directory")
    entries = ((name, tree.entry(posixpath.join(source.path, name))) for name in _telling_names(context))
    return frozenset(name for name, entry in entries if entry is not None and entry.kind is not FileKind.DIRECTORY)


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
