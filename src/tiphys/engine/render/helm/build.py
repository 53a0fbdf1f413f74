"""Renders a chart from the files that the worker was given. Runs in the worker.

The SDK does what `helm template` does but for some checks and options, which are made here: `kubeVersion` of the chart,
missing dependencies, library charts, skipped schemas, CRDs and tests.

Source: compat 1.4; dependencies 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiphys.apimachinery.yamljson import YamlError, load_one
from tiphys.engine.render.tools import ToolError

NO_BACKEND = (
    "Helm charts cannot be rendered: install the Helm SDK (`pip install 'tiphys[helm]'`) "
    "or a `helm` program on the PATH of the engine"
)
SCHEMA = "values.schema.json"

# Content by path below the root of the repository.
Files = Mapping[str, bytes]
# Puts files into the worker's folder, which is its root then.
Place = Callable[[Files], Path]


@dataclass(frozen=True, slots=True)
class HelmRun:
    """One render as the worker is asked for it. Paths are below the root of `files`, names below the chart.

    `chart_files` are the chart's own. `chart_id` names their content, and is empty where they were changed here.
    """

    chart: str
    files: Files
    chart_files: Files
    chart_id: str
    metadata: Mapping[str, Any]  # of Chart.yaml
    release: str
    namespace: str
    kube_version: str
    api_versions: tuple[str, ...]
    value_files: tuple[str, ...]
    values: str
    sets: tuple[tuple[str, str], ...]
    string_sets: tuple[tuple[str, str], ...]
    file_sets: tuple[tuple[str, str], ...]
    skip_crds: bool
    skip_tests: bool
    skip_schema_validation: bool


# Gives (name of the template or CRD file, YAML) in the order in which they apply.
Backend = Callable[[HelmRun], list[tuple[str, bytes]]]


def build(files: Files, request: Mapping[str, Any], backend: Backend) -> list[tuple[str, bytes]]:
    """Every YAML text of the chart with the file that it comes from. Raises ToolError."""
    chart: str = request["chart"]
    only_named = set(request["only_named"])
    start = len(chart) + 1 if chart else 0
    own = {
        path[start:]: content
        for path, content in files.items()
        if path not in only_named and (not chart or path.startswith(f"{chart}/"))
    }
    metadata = chart_metadata(own)
    if metadata.get("type") == "library":
        raise ToolError("library charts are not installable")
    complete = with_dependencies(own, metadata, files, chart, request["local_dependencies"])
    if request["skip_schema_validation"]:
        complete = {name: content for name, content in complete.items() if not _is_schema(name)}
    return backend(
        HelmRun(
            chart=chart,
            files=files,
            chart_files=complete,
            chart_id=request["chart_id"] if len(complete) == len(own) else "",
            metadata=metadata,
            release=request["release"],
            namespace=request["namespace"],
            kube_version=request["kube_version"],
            api_versions=tuple(request["api_versions"]),
            value_files=tuple(request["value_files"]),
            values=request["values"],
            sets=tuple((name, value) for name, value in request["sets"]),
            string_sets=tuple((name, value) for name, value in request["string_sets"]),
            file_sets=tuple((name, path) for name, path in request["file_sets"]),
            skip_crds=request["skip_crds"],
            skip_tests=request["skip_tests"],
            skip_schema_validation=request["skip_schema_validation"],
        )
    )


def chart_metadata(chart: Files) -> dict[str, Any]:
    """What Chart.yaml says. Raises ToolError."""
    return _object(chart, "Chart.yaml")


def dependencies_of(chart: Files, metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The dependencies that a chart declares, in Chart.yaml or, for the old form, in requirements.yaml."""
    declared = metadata.get("dependencies")
    if metadata.get("apiVersion") != "v2" and "requirements.yaml" in chart:
        declared = _object(chart, "requirements.yaml").get("dependencies")
    if not isinstance(declared, list):
        return []
    return [item for item in declared if isinstance(item, dict) and isinstance(item.get("name"), str)]


def with_dependencies(
    chart: Files, metadata: Mapping[str, Any], files: Files, path: str, local: Mapping[str, str]
) -> Files:
    """The chart with local dependencies that are not in charts/ put there. Raises ToolError for what is missing then.

    `files` are those of the repository, `path` is the chart's in it, and `local` are the folders of local dependencies.
    """
    declared = dependencies_of(chart, metadata)
    if not declared:
        return chart
    complete = dict(chart)
    present = _present(chart)
    missing = []
    remote = []
    for item in declared:
        name, repository = item["name"], str(item.get("repository") or "")
        if name in present:
            continue
        folder = local.get(repository.removeprefix("file://")) if repository.startswith("file://") else None
        found = _below(files, folder, path) if folder is not None else {}
        if "Chart.yaml" in found:
            into = f"charts/{(folder or 'root').rpartition('/')[2]}-{len(present)}"
            complete |= {f"{into}/{rest}": content for rest, content in found.items()}
            present.add(name)
            continue
        missing.append(name)
        if repository and not repository.startswith("file://"):
            remote.append(repository)
    if missing:
        names = ", ".join(missing)
        hint = f"; repositories of charts are not supported yet ({', '.join(dict.fromkeys(remote))})" if remote else ""
        raise ToolError(
            "An error occurred while checking for chart dependencies. You may need to run `helm dependency build` to "
            f"fetch missing dependencies: found in Chart.yaml, but missing in charts/ directory: {names}{hint}"
        )
    return complete


def _below(files: Files, folder: str, chart: str) -> Files:
    """What is below a folder, by path below it, without the chart that depends on it."""
    start = f"{folder}/" if folder else ""
    without = f"{chart}/" if chart and chart != folder else "\0"
    return {
        path[len(start) :]: content
        for path, content in files.items()
        if path.startswith(start) and not path.startswith(without)
    }


def _present(chart: Files) -> set[str]:
    """Names of the charts in the folder of charts, packed ones by their file name."""
    names: set[str] = set()
    for path in chart:
        folder, _, rest = path.partition("/")
        name, _, file = rest.partition("/")
        if folder != "charts" or name.startswith(("_", ".")):
            continue
        if file == "Chart.yaml":
            names.add(str(_object(chart, path).get("name") or ""))
        elif not file and name.endswith(".tgz"):
            parts = name.removesuffix(".tgz").split("-")
            names |= {"-".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return names


def _is_schema(name: str) -> bool:
    return name == SCHEMA or (name.startswith("charts/") and name.endswith(f"/{SCHEMA}"))


def _object(chart: Files, name: str) -> dict[str, Any]:
    content = chart.get(name)
    if content is None:
        raise ToolError(f"{name} file is missing")
    try:
        found = load_one(content)
    except YamlError as error:
        raise ToolError(f"cannot load {name}: {error}") from None
    if not isinstance(found, dict):
        raise ToolError(f"cannot load {name}: it is not an object")
    return found
