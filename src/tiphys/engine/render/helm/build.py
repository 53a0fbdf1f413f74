"""Renders a chart from the files in the worker's folder. Runs in the worker.

The SDK does what `helm template` does but for some checks and options, which are made here: `kubeVersion` of the chart,
missing dependencies, library charts, skipped schemas, CRDs and tests.

Source: compat 1.4; dependencies 1.
"""

from __future__ import annotations

import shutil
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


@dataclass(frozen=True, slots=True)
class HelmRun:
    """One render as the worker is asked for it. Paths are below the worker's folder."""

    chart: Path
    root: Path
    release: str
    namespace: str
    kube_version: str
    api_versions: tuple[str, ...]
    value_files: tuple[Path, ...]
    values: str
    sets: tuple[tuple[str, str], ...]
    string_sets: tuple[tuple[str, str], ...]
    file_sets: tuple[tuple[str, Path], ...]
    skip_crds: bool
    skip_tests: bool
    skip_schema_validation: bool


# Gives (name of the template or CRD file, YAML) in the order in which they apply.
Backend = Callable[[HelmRun], list[tuple[str, bytes]]]


def build(root: Path, request: Mapping[str, Any], backend: Backend) -> list[tuple[str, bytes]]:
    """Every YAML text of the chart with the file that it comes from. Raises ToolError."""
    run = HelmRun(
        chart=root / request["chart"],
        root=root,
        release=request["release"],
        namespace=request["namespace"],
        kube_version=request["kube_version"],
        api_versions=tuple(request["api_versions"]),
        value_files=tuple(root / path for path in request["value_files"]),
        values=request["values"],
        sets=tuple((name, value) for name, value in request["sets"]),
        string_sets=tuple((name, value) for name, value in request["string_sets"]),
        file_sets=tuple((name, root / path) for name, path in request["file_sets"]),
        skip_crds=request["skip_crds"],
        skip_tests=request["skip_tests"],
        skip_schema_validation=request["skip_schema_validation"],
    )
    metadata = chart_metadata(run.chart)
    if metadata.get("type") == "library":
        raise ToolError("library charts are not installable")
    complete_dependencies(run, metadata, request["local_dependencies"])
    if run.skip_schema_validation:
        for schema in [run.chart / SCHEMA, *run.chart.glob(f"charts/**/{SCHEMA}")]:
            schema.unlink(missing_ok=True)
    return backend(run)


def chart_metadata(chart: Path) -> dict[str, Any]:
    """What Chart.yaml says. Raises ToolError."""
    return _object(chart / "Chart.yaml", "Chart.yaml")


def dependencies_of(chart: Path, metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The dependencies that a chart declares, in Chart.yaml or, for the old form, in requirements.yaml."""
    declared = metadata.get("dependencies")
    old = chart / "requirements.yaml"
    if metadata.get("apiVersion") != "v2" and old.exists():
        declared = _object(old, "requirements.yaml").get("dependencies")
    if not isinstance(declared, list):
        return []
    return [item for item in declared if isinstance(item, dict) and isinstance(item.get("name"), str)]


def complete_dependencies(run: HelmRun, metadata: Mapping[str, Any], local: Mapping[str, str]) -> None:
    """Put local dependencies that are not in charts/ there. Raises ToolError for what is missing then."""
    declared = dependencies_of(run.chart, metadata)
    if not declared:
        return
    present = _present(run.chart / "charts")
    missing = []
    remote = []
    for item in declared:
        name, repository = item["name"], str(item.get("repository") or "")
        if name in present:
            continue
        folder = local.get(repository.removeprefix("file://")) if repository.startswith("file://") else None
        if folder is not None and (run.root / folder / "Chart.yaml").is_file():
            into = run.chart / "charts" / f"{Path(folder).name or 'root'}-{len(present)}"
            shutil.copytree(run.root / folder, into, ignore=_not_into_itself(run.root / folder, run.chart))
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


def _not_into_itself(folder: Path, chart: Path) -> Callable[[str, list[str]], list[str]]:
    def ignored(here: str, names: list[str]) -> list[str]:
        return [name for name in names if Path(here) / name == chart and chart != folder]

    return ignored


def _present(charts: Path) -> set[str]:
    """Names of the charts in a folder of charts, packed ones by their file name."""
    names: set[str] = set()
    if not charts.is_dir():
        return names
    for entry in charts.iterdir():
        if entry.name.startswith(("_", ".")):
            continue
        if entry.is_dir() and (entry / "Chart.yaml").is_file():
            names.add(str(chart_metadata(entry).get("name") or ""))
        elif entry.name.endswith(".tgz"):
            stem = entry.name.removesuffix(".tgz")
            parts = stem.split("-")
            names |= {"-".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return names


def _object(path: Path, name: str) -> dict[str, Any]:
    try:
        found = load_one(path.read_bytes())
    except FileNotFoundError:
        raise ToolError(f"{name} file is missing") from None
    except YamlError as error:
        raise ToolError(f"cannot load {name}: {error}") from None
    if not isinstance(found, dict):
        raise ToolError(f"cannot load {name}: it is not an object")
    return found
