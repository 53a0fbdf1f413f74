"""Which files a chart reads, found by id: nothing of the chart is parsed here.

What the engine looks for in a file's text (a `file://` dependency, a mention of the cluster's capabilities) may only be
found too often: then a file too many is read, or a render too many is done.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Mapping

import orjson

from tiphys import __version__
from tiphys.engine.render.helm.options import HelmOptions, read_options
from tiphys.engine.render.helm.valuefiles import ValueFileError, find_value_files, place
from tiphys.engine.render.spec import HELM
from tiphys.engine.render.tools import KubeVersions, RenderContext, ToolFile, ToolPlan
from tiphys.engine.states import FileEntry, FileKind, SourceTree, StageError

# Part of every key. Raise it when the same chart gives other objects than before.
HELM_PLAN_VERSION = 1
MAX_CHART_BYTES = 32 * 1024 * 1024
MAX_CHART_FILES = 10_000
_CHART_FILES = ("Chart.yaml", "requirements.yaml")
_LOCAL_DEPENDENCY = re.compile(rb"file://([^\s\"'#,}\]]+)")
_CAPABILITIES = re.compile(rb"Capabilities|kubeVersion")


def plan_helm(
    tree: SourceTree, path: str, block: Mapping[str, object], context: RenderContext, *, tool_version: str
) -> ToolPlan:
    """The plan for the chart in directory `path` with the `helm` block of its source.

    Runs in a thread. Raises StageError.

    Source: compat 1.4.
    """
    options = read_options(block, context.env)
    reads: dict[str, str | None] = {path: tree.tree_id(path)}
    files = _Files(tree)
    files.add_folder(path, reads)
    local = _local_dependencies(tree, path, files, reads)
    values = _value_files(tree, path, options, files, reads)
    file_sets = [(name, files.add_outside(_path_of(path, file, name), reads)) for name, file in options.file_sets]
    uses_kube = options.api_versions is None or not options.kube_version
    uses_kube = uses_kube and _mentions_capabilities(tree, files.found.values(), options)
    kube = context.kube if uses_kube else KubeVersions()
    request: dict[str, object] = {
        "chart": path,
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
    found = tuple(files.found.values())
    return ToolPlan(
        HELM,
        _key(request, found, tool_version),
        _not_implied(path, reads, files.links),
        found,
        request,
        uses_kube=uses_kube,
    )


def _not_implied(
    path: str, reads: Mapping[str, str | None], links: Collection[str]
) -> tuple[tuple[str, str | None], ...]:
    """`reads` without what the id of the chart's own folder says already: all below it but what links lead to."""
    below = f"{path}/" if path else ""
    return tuple(
        (read, oid) for read, oid in reads.items() if read == path or read in links or not read.startswith(below)
    )


def _key(request: Mapping[str, object], files: Iterable[ToolFile], tool_version: str) -> str:
    rows = [f"{HELM}\0{__version__}\0{HELM_PLAN_VERSION}\0{tool_version}".encode(), orjson.dumps(request)]
    rows += [f"{file.path}\0{file.oid}".encode("utf-8", "surrogateescape") for file in files]
    return hashlib.sha256(b"\n".join(rows)).hexdigest()


class _Files:
    """Files for the tool, by path, with what they weigh."""

    def __init__(self, tree: SourceTree) -> None:
        self._tree = tree
        self.found: dict[str, ToolFile] = {}
        self.links: set[str] = set()
        self._bytes = 0

    def add_folder(self, path: str, reads: dict[str, str | None]) -> None:
        """Everything below a folder; links inside the repository are given as what they lead to."""
        for entry in self._tree.entries(path, recurse=True):
            if entry.kind is FileKind.LINK:
                self.links.add(entry.path)
                reads[entry.path] = self._tree.tree_id(entry.path)
                if not entry.oid:
                    self._add_linked_folder(entry.path, reads)
                    continue
            self._add(entry)

    def _add_linked_folder(self, path: str, reads: dict[str, str | None]) -> None:
        if reads[path] is None:
            raise _failed(f"{path}: the link leads to nothing")
        # Once: a link in what a link leads to may lead back.
        for entry in self._tree.entries(path, recurse=True):
            if entry.kind is FileKind.LINK:
                self.links.add(entry.path)
                reads[entry.path] = self._tree.tree_id(entry.path)
                if not entry.oid:
                    raise _failed(f"{entry.path}: a link to a folder inside a linked folder is not followed")
            self._add(entry)

    def add_outside(self, path: str, reads: dict[str, str | None]) -> str:
        """One file, which must be there; gives its path."""
        oid = self._tree.tree_id(path)
        reads[path] = oid
        if oid is None:
            raise _failed(f"open {path}: no such file or directory")
        if path not in self.found:
            folder, _, name = path.rpartition("/")
            entries = self._tree.entries(folder, recurse=False)
            entry = next((one for one in entries if one.path.rpartition("/")[2] == name), None)
            if entry is None or entry.kind is FileKind.DIRECTORY or not entry.oid:
                raise _failed(f"read {path}: is a directory")
            self._add(FileEntry(path, entry.kind, entry.oid, entry.size_bytes))
        return path

    def _add(self, entry: FileEntry) -> None:
        if entry.path in self.found:
            return
        if not entry.path.isprintable() and any("\ud800" <= char <= "\udfff" for char in entry.path):
            raise _failed(f"{entry.path!r}: the name of the file is not UTF-8")
        self.found[entry.path] = ToolFile(entry.path, entry.oid)
        self._bytes += entry.size_bytes
        if self._bytes > MAX_CHART_BYTES:
            raise _failed(f"the chart's files are larger than {MAX_CHART_BYTES} bytes (limit of size)")
        if len(self.found) > MAX_CHART_FILES:
            raise _failed(f"the chart has more than {MAX_CHART_FILES} files (limit of files)")


def _local_dependencies(tree: SourceTree, path: str, files: _Files, reads: dict[str, str | None]) -> dict[str, str]:
    """Folders that the chart names by `file://`: the name as it is written -> the folder's path."""
    local: dict[str, str] = {}
    for name in _CHART_FILES:
        file = files.found.get(posixpath.join(path, name))
        if file is None:
            continue
        for match in _LOCAL_DEPENDENCY.finditer(tree.read(file.oid)):
            written = match.group(1).decode("utf-8", "surrogateescape")
            if written in local:
                continue
            folder = _inside(path, written, f"dependency file://{written}")
            reads[folder] = tree.tree_id(folder)
            if reads[folder] is None:
                continue  # the worker says so if the chart needs it
            local[written] = folder
            files.add_folder(folder, reads)
    return local


def _value_files(
    tree: SourceTree, path: str, options: HelmOptions, files: _Files, reads: dict[str, str | None]
) -> list[str]:
    try:
        found, looked_at = find_value_files(tree, path, options)
    except ValueFileError as error:
        raise _failed(str(error)) from None
    reads.update(looked_at)
    return [files.add_outside(one, reads) for one in found]


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


def _mentions_capabilities(tree: SourceTree, files: Iterable[ToolFile], options: HelmOptions) -> bool:
    if _CAPABILITIES.search(options.values.encode()) or any("Capabilities" in value for _, value in options.sets):
        return True
    search: Callable[[bytes], object] = _CAPABILITIES.search
    for file in files:
        if file.path.endswith((".tgz", ".tar.gz")):
            return True  # not looked into here
        if search(tree.read(file.oid)):
            return True
    return False


def _application_name(instance: str) -> str:
    """`web` for the instance `web` and for `team-a_web`."""
    return instance.rpartition("_")[2]


def _sanitized(version: str) -> str:
    return version.partition("+")[0]


def _failed(message: str) -> StageError:
    return StageError("render", "ComparisonError", message)
