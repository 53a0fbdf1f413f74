"""Which tool a directory calls for."""

from __future__ import annotations

from collections.abc import Collection

from tiphys.engine.render.spec import DIRECTORY, HELM, KUSTOMIZE, PLUGIN, RenderSource
from tiphys.engine.states import StageError

CHART_FILE = "Chart.yaml"
KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def detect_type(source: RenderSource, names: Collection[str], *, disabled: Collection[str] = ()) -> str:
    """Directory, Helm, Kustomize or Plugin: what the source says, otherwise what the files in its own path say.

    `disabled` tools are read as plain directories.

    Source: compat 1.2 "Type discovery".
    """
    if source.explicit_type:
        found = source.explicit_type
    elif CHART_FILE in names:
        found = HELM
    elif any(name in names for name in KUSTOMIZATION_FILES):
        found = KUSTOMIZE
    else:
        found = DIRECTORY
    return DIRECTORY if found in disabled and found != PLUGIN else found


def require_supported(source: RenderSource, found: str) -> None:
    """Raise StageError for what cannot be rendered yet: it must not look like an empty directory."""
    if source.chart:
        raise StageError(
            "render",
            "ComparisonError",
            f"chart {source.chart}: repositories of charts are not supported yet; put the chart into the Git repository",
        )
    if found == PLUGIN:
        raise StageError(
            "render",
            "ComparisonError",
            f"{source.path or '.'}: source type {found} is not supported yet; commit the rendered manifests, "
            "or set `directory: {}` on the source to read its files as they are",
        )
