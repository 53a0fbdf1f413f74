"""The plan of one render of a chart: which files Helm gets and what it is asked, found by id; nothing is parsed here.

What is looked for in a file's text (a `file://` dependency, a mention of the cluster's capabilities or of `.Files`) may only
be found too often: then a file too many is read, or a render too many is done.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping, Sequence

import orjson

from tiphys import __version__
from tiphys.engine.render.helm.closure import Chart, Charts, Reads, asked_for, below
from tiphys.engine.render.helm.mentions import NOTHING, Mentions, mentions_of_values
from tiphys.engine.render.helm.options import HelmOptions, read_options
from tiphys.engine.render.helm.valuefiles import ValueFileError, find_value_files, place
from tiphys.engine.render.spec import HELM
from tiphys.engine.render.tools import KubeVersions, RenderContext, ToolFile, ToolPlan
from tiphys.engine.states import FileEntry, FileKind, SourceTree, StageError

# Part of every key. Raise it when the same chart gives other objects than before.
HELM_PLAN_VERSION = 2
MAX_CHART_BYTES = 32 * 1024 * 1024
MAX_CHART_FILES = 10_000
_DECLARING = ("Chart.yaml", "requirements.yaml")
_LOCAL_DEPENDENCY = re.compile(rb"file://([^\s\"'#,}\]]+)")


def plan_helm(
    tree: SourceTree,
    path: str,
    block: Mapping[str, object],
    context: RenderContext,
    *,
    tool_version: str,
    charts: Charts,
) -> ToolPlan:
    """The plan for the chart in directory `path` with the `helm` block of its source.

    `charts` remembers charts between plans. Runs in a thread. Raises StageError.

    Source: compat 1.4.
    Differs: what no template can read is not given to Helm and does not count as read; see `mentions` for what that means.
    """
    options = read_options(block, context.env)
    reads: Reads = {}
    files = _Files()
    parts, local = _with_local_dependencies(tree, path, charts, reads)
    for part in parts:
        reads.update(part.reads)
        files.add(part.files)
    loaded = set(files.found)
    values = [files.add_named(tree, one, reads) for one in _value_files(tree, path, options, reads)]
    file_sets = [(name, files.add_named(tree, _path_of(path, file, name), reads)) for name, file in options.file_sets]
    named = [files.found[one].oid for one in (*values, *(file for _, file in file_sets))]
    told = _told(tree, parts, named, options, charts)
    told = _add_asked_for(tree, parts, told, files, loaded, reads, charts)
    uses_kube = told.capabilities and (options.api_versions is None or not options.kube_version)
    kube = context.kube if uses_kube else KubeVersions()
    found = tuple(files.found[name] for name in sorted(files.found))
    request: dict[str, object] = {
        "chart": path,
        "chart_id": _digest([f"{name}\0{files.found[name].oid}" for name in sorted(loaded)]),
        "only_named": [name for name in files.found if name not in loaded],
        "release": options.release_name or _application_name(context.app_name),
        "namespace": options.namespace or context.namespace,
        "kube_version": _sanitized(options.kube_version or kube.version),
        "api_versions": list(options.api_versions or kube.api_versions),
        "value_files": values,
        "values": options.values,
        "sets": options.sets,
        "string_sets": options.string_sets,
        "file_sets": file_sets,
        "skip_crds": options.skip_crds,
        "skip_tests": options.skip_tests,
        "skip_schema_validation": options.skip_schema_validation,
        "local_dependencies": local,
    }
    key = _key(request, found, tool_version)
    return ToolPlan(HELM, key, tuple(reads.items()), found, request, uses_kube=uses_kube)


def _told(
    tree: SourceTree, parts: Sequence[Chart], named: Iterable[str], options: HelmOptions, charts: Charts
) -> Mentions:
    """What templates ask for, and what values ask for where templates are made of them."""
    told = NOTHING
    for part in parts:
        told |= part.templates
    if not told.tpl:
        return told
    for part in parts:
        told |= part.values
    for oid in named:
        told |= charts.asked_by_values(tree, oid)
    for text in (options.values, *(value for _, value in (*options.sets, *options.string_sets))):
        told |= mentions_of_values(text.encode("utf-8", "surrogateescape"))
    return told


def _add_asked_for(
    tree: SourceTree,
    parts: Sequence[Chart],
    told: Mentions,
    files: _Files,
    loaded: set[str],
    reads: Reads,
    charts: Charts,
) -> Mentions:
    """Add what is asked for through `.Files`, to `loaded` too; what is asked for then, as a file may become a template."""
    while told.every or told.names or told.globs or told.beginnings:
        before = told
        for part in parts:
            found = asked_for(tree, part, told, reads)
            files.add(found)
            loaded |= {entry.path for entry in found}
            if told.tpl and not told.every:
                for entry in found:
                    told |= charts.asked_by_values(tree, entry.oid)
        if told == before:
            break
    return told


def _key(request: Mapping[str, object], files: Iterable[ToolFile], tool_version: str) -> str:
    rows = [f"{HELM}\0{__version__}\0{HELM_PLAN_VERSION}\0{tool_version}\0{orjson.dumps(request).decode()}"]
    return _digest([*rows, *(f"{file.path}\0{file.oid}" for file in files)])


def _digest(rows: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(rows).encode("utf-8", "surrogateescape")).hexdigest()


class _Files:
    """Files for the tool, by path, with what they weigh."""

    def __init__(self) -> None:
        self.found: dict[str, ToolFile] = {}
        self._bytes = 0

    def add(self, entries: Iterable[FileEntry]) -> None:
        """Add files. Raises StageError where a limit is met."""
        for entry in entries:
            if entry.path in self.found:
                continue
            if not entry.path.isprintable() and any("\ud800" <= char <= "\udfff" for char in entry.path):
                raise _failed(f"{entry.path!r}: the name of the file is not UTF-8")
            self.found[entry.path] = ToolFile(entry.path, entry.oid)
            self._bytes += entry.size_bytes
        if self._bytes > MAX_CHART_BYTES:
            raise _failed(f"the chart's files are larger than {MAX_CHART_BYTES} bytes (limit of size)")
        if len(self.found) > MAX_CHART_FILES:
            raise _failed(f"the chart has more than {MAX_CHART_FILES} files (limit of files)")

    def add_named(self, tree: SourceTree, path: str, reads: Reads) -> str:
        """One file that the source names, which must be there; gives its path."""
        entry = tree.entry(path)
        reads[path] = entry.oid if entry else None
        if entry is None:
            raise _failed(f"open {path}: no such file or directory")
        if entry.kind is FileKind.DIRECTORY:
            raise _failed(f"read {path}: is a directory")
        self.add([entry])
        return path


def _with_local_dependencies(
    tree: SourceTree, path: str, charts: Charts, reads: Reads
) -> tuple[list[Chart], dict[str, str]]:
    """The chart and those it names by `file://`; and where those are: the name as it is written -> the folder's path."""
    chart = charts.at(tree, path)
    parts, local = [chart], dict[str, str]()
    declaring = [entry for entry in chart.files if entry.path in [below(path, name) for name in _DECLARING]]
    for entry in declaring:
        for match in _LOCAL_DEPENDENCY.finditer(tree.read(entry.oid)):
            written = match.group(1).decode("utf-8", "surrogateescape")
            if written in local:
                continue
            folder = _inside(path, written, f"dependency file://{written}")
            found = tree.entry(folder)
            if found is None or found.kind is not FileKind.DIRECTORY:
                reads[folder] = found.oid if found else None
                continue  # the worker says so if the chart needs it
            local[written] = folder
            parts.append(charts.at(tree, folder))
    return parts, local


def _value_files(tree: SourceTree, path: str, options: HelmOptions, reads: Reads) -> list[str]:
    try:
        found, looked_at = find_value_files(tree, path, options)
    except ValueFileError as error:
        raise _failed(str(error)) from None
    reads.update(looked_at)
    return found


def _path_of(base: str, written: str, name: str) -> str:
    try:
        return place(base, written)
    except ValueFileError as error:
        raise _failed(f"fileParameters {name}: {error}") from None


def _inside(base: str, written: str, what: str) -> str:
    joined = posixpath.normpath(posixpath.join(base, written))
    if joined == ".." or joined.startswith(("../", "/")):
        raise _failed(f"{what} leads out of the repository")
    return "" if joined == "." else joined


def _application_name(instance: str) -> str:
    """`web` for the instance `web` and for `team-a_web`."""
    return instance.rpartition("_")[2]


def _sanitized(version: str) -> str:
    return version.partition("+")[0]


def _failed(message: str) -> StageError:
    return StageError("render", "ComparisonError", message)
