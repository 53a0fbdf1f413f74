"""What of an Application's source decides how it is rendered."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from tiphys.apimachinery.yamljson import canonical_json
from tiphys.engine.render.globs import Glob, GlobError
from tiphys.engine.render.protocol import HELM_TOOL
from tiphys.engine.states import StageError

DIRECTORY, HELM, KUSTOMIZE, PLUGIN = "Directory", HELM_TOOL, "Kustomize", "Plugin"

# In the order in which a conflict lists them.
_TYPE_FIELDS = (("kustomize", KUSTOMIZE), ("helm", HELM), ("directory", DIRECTORY), ("plugin", PLUGIN))


@dataclass(frozen=True, slots=True)
class RenderSource:
    """One source, without repository and revision. Equal sources over equal files render equally.

    `path` is relative to the repository root, empty for the root. `include` and `exclude` are globs, empty for none.
    `options` is the block of the explicit type (`helm`, `kustomize`, ...) as JSON, empty when there is none.
    """

    path: str
    explicit_type: str = ""  # one of the type names, empty to go by the files
    recurse: bool = False
    include: str = ""
    exclude: str = ""
    all_extensions: bool = False  # `disableExtensionFilter`: include decides, not the extension
    options: str = ""
    chart: str = ""  # name of a chart in a repository of charts


def render_source(source: Mapping[str, object]) -> RenderSource:
    """Read one entry of `spec.source` or `spec.sources`.

    Raises StageError(reason="InvalidSpecError") that lists every problem.

    Source: compat 1.2 "Explicit type conflict", "Path"; 1.3.
    Differs: a glob that cannot be read is an error; as a pattern that matches nothing it would prune everything.
    """
    problems: list[str] = []
    explicit = [name for field, name in _TYPE_FIELDS if source.get(field) is not None]
    if len(explicit) > 1:
        problems.append(f"multiple application sources defined: {','.join(explicit)}")
    path = _path(source, problems)
    directory = source.get("directory")
    if directory is None:
        directory = {}
    if not isinstance(directory, Mapping):
        problems.append("directory is not an object")
        directory = {}
    options = {name: directory.get(name) for name in ("recurse", "disableExtensionFilter")}
    for name, value in options.items():
        if value is not None and not isinstance(value, bool):
            problems.append(f"directory.{name} is not a boolean")
    patterns = {name: _pattern(directory, name, problems) for name in ("include", "exclude")}
    if problems:
        raise StageError("render", "InvalidSpecError", "; ".join(problems))
    return RenderSource(
        path=path,
        explicit_type=explicit[0] if explicit else HELM if source.get("chart") else "",
        recurse=bool(options["recurse"]),
        include=patterns["include"],
        exclude=patterns["exclude"],
        all_extensions=bool(options["disableExtensionFilter"]),
        options=_options(source),
        chart=str(source.get("chart") or ""),
    )


def source_block(source: RenderSource) -> dict[str, Any]:
    """The blocks of a source, as they were given: `{"helm": {...}}`, empty when there are none."""
    if not source.options:
        return {}
    block: dict[str, Any] = orjson.loads(source.options)
    return block


def tool_options(source: RenderSource, found: str) -> dict[str, Any]:
    """The block of the type that was found, empty when the source has none."""
    block = source_block(source)
    for field, name in _TYPE_FIELDS:
        if name == found and isinstance(block.get(field), dict):
            options: dict[str, Any] = block[field]
            return options
    return {}


def _options(source: Mapping[str, object]) -> str:
    block = {field: source[field] for field, _ in _TYPE_FIELDS if source.get(field) is not None}
    return canonical_json(block).decode() if block else ""


def _path(source: Mapping[str, object], problems: list[str]) -> str:
    path = source.get("path")
    if path is None or path == "":
        if not source.get("chart") and not source.get("ref"):
            problems.append("spec.source.repoURL and either spec.source.path or spec.source.chart are required")
        return ""
    if not isinstance(path, str):
        problems.append("path is not a string")
        return ""
    if path.startswith("/"):
        problems.append(f"{path}: app path is absolute")
        return ""
    cleaned = posixpath.normpath(path)
    if cleaned == ".." or cleaned.startswith("../") or "\0" in path:
        problems.append(f"{path}: app path outside root")
        return ""
    return "" if cleaned == "." else cleaned


def _pattern(directory: Mapping[str, object], name: str, problems: list[str]) -> str:
    value = directory.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        problems.append(f"directory.{name} is not a string")
        return ""
    try:
        Glob(value)
    except GlobError as error:
        problems.append(f"directory.{name}: {error}")
    return value
