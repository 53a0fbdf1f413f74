"""Which files of a chart are read: those Helm loads by itself, and of the others those that templates may ask for.

Source: compat 1.4; Helm's documentation of a chart's structure and of `.Files`.
Differs: files that nothing can read are not given to Helm, so one that is too large for it does not stop a render.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from tiphys.engine.render.cache import Recent
from tiphys.engine.render.globs import Glob
from tiphys.engine.render.helm.mentions import (
    ANYTHING,
    NOTHING,
    Mentions,
    mentions_of_archive,
    mentions_of_template,
    mentions_of_values,
)
from tiphys.engine.states import FileEntry, FileKind, SourceTree, StageError

CHART_FILES = (
    "Chart.yaml",
    "Chart.lock",
    "requirements.yaml",
    "requirements.lock",
    "values.yaml",
    "values.schema.json",
    ".helmignore",
)
CHART_FOLDERS = ("templates", "crds", "charts")
MAX_TEMPLATE_BYTES = 8 * 1024 * 1024
CHARTS_KEPT = 200
TEXTS_KEPT = 50_000

Reads = dict[str, str | None]


@dataclass(frozen=True, slots=True)
class Chart:
    """What Helm loads by itself from a chart's folder, with its subcharts.

    `others` are further files of subcharts, with their path below the subchart. `templates` is what templates ask for,
    `values` what values ask for where a template makes templates of them. `reads` are (path, id) of all this was made of.
    """

    path: str
    files: tuple[FileEntry, ...]
    others: tuple[tuple[str, FileEntry], ...]
    templates: Mentions
    values: Mentions
    reads: tuple[tuple[str, str | None], ...]
    links: tuple[tuple[str, str | None], ...]

    def stands(self, tree: SourceTree) -> bool:
        """Do the links in it lead to the same as before? For all else the ids in `reads` speak."""
        return all(tree.tree_id(path) == oid for path, oid in self.links)


class Charts:
    """Charts and texts looked at lately, by id: applications that share a chart share the look at it. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._charts: Recent[tuple[str, tuple[str | None, ...]], Chart] = Recent(CHARTS_KEPT)
        self._texts: Recent[tuple[Callable[[bytes], Mentions], str], Mentions] = Recent(TEXTS_KEPT)

    def at(self, tree: SourceTree, path: str) -> Chart:
        """The chart in a folder. Raises StageError."""
        reads: Reads = {below(path, name): tree.tree_id(below(path, name)) for name in (*CHART_FILES, *CHART_FOLDERS)}
        key = path, tuple(reads.values())
        with self._lock:
            known = self._charts.get(key)
        if known is not None and known.stands(tree):
            return known
        links: Reads = {}
        files: dict[str, FileEntry] = {}
        for name in (*CHART_FILES, *CHART_FOLDERS):
            entry = tree.entry(below(path, name)) if reads[below(path, name)] is not None else None
            if entry is None:
                continue
            if name in CHART_FILES and entry.kind is not FileKind.DIRECTORY:
                files[name] = entry
            elif name in CHART_FOLDERS and entry.kind is FileKind.DIRECTORY:
                start = len(path) + 1 if path else 0
                files |= {one.path[start:]: one for one in folder_files(tree, entry.path, links)}
        chart = self._look(tree, path, files, tuple(reads.items()), tuple(links.items()))
        with self._lock:
            self._charts.put(key, chart)
        return chart

    def asked_by_values(self, tree: SourceTree, oid: str) -> Mentions:
        """What a file asks for when a template makes a template of it."""
        return self._text(tree, oid, mentions_of_values)

    def _look(
        self,
        tree: SourceTree,
        path: str,
        files: Mapping[str, FileEntry],
        reads: tuple[tuple[str, str | None], ...],
        links: tuple[tuple[str, str | None], ...],
    ) -> Chart:
        given: list[FileEntry] = []
        others: list[tuple[str, FileEntry]] = []
        templates, values, size = NOTHING, NOTHING, 0
        for name, entry in files.items():
            chart, rest = _of_subchart(name)
            first, slash, _ = rest.partition("/")
            loaded = first in CHART_FOLDERS if slash else first in CHART_FILES
            if not loaded and f"{chart}Chart.yaml" in files:
                others.append((rest, entry))
                continue
            given.append(entry)
            if slash and first == "templates":
                size += entry.size_bytes
                too_much = size > MAX_TEMPLATE_BYTES or templates == ANYTHING
                templates |= ANYTHING if too_much else self._text(tree, entry.oid, mentions_of_template)
            elif rest in ("values.yaml", "Chart.yaml"):
                values |= self._text(tree, entry.oid, mentions_of_values)
                if rest == "Chart.yaml" and b"kubeVersion" in tree.read(entry.oid):
                    templates |= Mentions(capabilities=True)
            elif first == "charts" and rest.endswith((".tgz", ".tar.gz")):
                templates |= self._text(tree, entry.oid, mentions_of_archive)
        return Chart(path, tuple(given), tuple(others), templates, values, reads + links, links)

    def _text(self, tree: SourceTree, oid: str, look: Callable[[bytes], Mentions]) -> Mentions:
        with self._lock:
            known = self._texts.get((look, oid))
        if known is None:
            known = look(tree.read(oid))
            with self._lock:
                self._texts.put((look, oid), known)
        return known


def asked_for(tree: SourceTree, chart: Chart, told: Mentions, reads: Reads) -> list[FileEntry]:
    """The files of a chart, beside those Helm loads, that are asked for through `.Files`; notes what decided that.

    Raises StageError.
    """
    if told.every:
        reads[chart.path] = tree.tree_id(chart.path)
        return [*folder_files(tree, chart.path, reads), *(entry for _, entry in chart.others)]
    patterns = [Glob(glob) for glob in sorted(told.globs)]

    def wanted(name: str) -> bool:
        return (
            name in told.names
            or name.startswith(tuple(told.beginnings))
            or any(pattern.matches(name) for pattern in patterns)
        )

    found = [entry for name, entry in chart.others if wanted(name)]
    for name in sorted(told.names):
        if name.startswith("/") or ".." in name.split("/") or "\0" in name:
            continue  # no file is called so
        entry = tree.entry(below(chart.path, name))
        reads[below(chart.path, name)] = entry.oid if entry else None
        if entry is not None and entry.kind is not FileKind.DIRECTORY:
            found.append(entry)
    start = len(chart.path) + 1 if chart.path else 0
    for folder in sorted({_folder_of(text) for text in (*told.globs, *told.beginnings)}):
        if folder.startswith("/") or ".." in folder.split("/") or "\0" in folder:
            continue
        entry = tree.entry(below(chart.path, folder))
        reads[below(chart.path, folder)] = entry.oid if entry else None
        if entry is not None and entry.kind is FileKind.DIRECTORY:
            found += [one for one in folder_files(tree, entry.path, reads) if wanted(one.path[start:])]
    return found


def folder_files(tree: SourceTree, path: str, reads: Reads) -> list[FileEntry]:
    """All files below a folder; a link is given as what it leads to, and where it leads is noted. Raises StageError."""
    found: list[FileEntry] = []
    for entry in tree.entries(path, recurse=True):
        if entry.kind is FileKind.LINK:
            reads[entry.path] = tree.tree_id(entry.path)
            if not entry.oid:
                found += _linked_folder(tree, entry.path, reads)
                continue
        found.append(entry)
    return found


def below(path: str, name: str) -> str:
    """A path below a folder of the repository."""
    return f"{path}/{name}" if path and name else path or name


def _linked_folder(tree: SourceTree, path: str, reads: Reads) -> Iterable[FileEntry]:
    if reads[path] is None:
        raise _failed(f"{path}: the link leads to nothing")
    # Once: a link in what a link leads to may lead back.
    for entry in tree.entries(path, recurse=True):
        if entry.kind is FileKind.LINK:
            reads[entry.path] = tree.tree_id(entry.path)
            if not entry.oid:
                raise _failed(f"{entry.path}: a link to a folder inside a linked folder is not followed")
        yield entry


def _of_subchart(name: str) -> tuple[str, str]:
    """(folder of the chart it belongs to with a slash at its end, path below that) of a file below the chart's folder."""
    parts = name.split("/")
    at = 0
    while len(parts) - at > 2 and parts[at] == "charts":
        at += 2
    return "".join(f"{part}/" for part in parts[:at]), "/".join(parts[at:])


def _folder_of(pattern: str) -> str:
    """The folder that everything a glob or a beginning stands for lies in."""
    fixed = pattern
    for char in "*?[{\\":
        fixed = fixed.partition(char)[0]
    return fixed.rpartition("/")[0]


def _failed(message: str) -> StageError:
    return StageError("render", "ComparisonError", message)
