"""Which tool a directory calls for."""

from __future__ import annotations

from collections.abc import Collection

from tiphys.engine.render.spec import DIRECTORY, HELM, KUSTOMIZE, PLUGIN, RenderSource
from tiphys.engine.states import StageError

CHART_FILE = "Chart.yaml"
KUSTOMIZATION_FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
# Files that would change the source itself; merging them comes with the tools they are made for.
_OVERRIDE_PREFIX = ".argocd-source"


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


def require_supported(source: RenderSource, found: str, names: Collection[str]) -> None:
    """Raise StageError for what cannot be rendered yet: it must not look like an empty directory."""
    where = source.path or "."
    if found != DIRECTORY:
        marker = next((name for name in (CHART_FILE, *KUSTOMIZATION_FILES) if name in names), "")
        why = f" ({marker})" if marker and not source.explicit_type else ""
        raise _unsupported(
            f"{where}: source type {found}{why} is not supported yet; "
            "commit the rendered manifests, or set `directory: {}` on the source to read its files as they are"
        )


def override_files(names: Collection[str]) -> tuple[str, ...]:
    """Files in the source's path that change the source of all applications or of one, sorted."""
    return tuple(sorted(name for name in names if name.startswith(_OVERRIDE_PREFIX) and name.endswith(".yaml")))


def refuse_overrides(source: RenderSource, overrides: Collection[str], app_name: str) -> None:
    """Raise StageError when one of these override files is meant for the application named so.

    Source: compat 1.2 "Param override files".
    """
    for name in (f"{_OVERRIDE_PREFIX}.yaml", f"{_OVERRIDE_PREFIX}-{app_name}.yaml"):
        if name in overrides:
            raise _unsupported(
                f"{source.path or '.'}/{name}: parameter override files are not supported yet; "
                "put its content into spec.source and remove the file"
            )


def _unsupported(message: str) -> StageError:
    return StageError("render", "ComparisonError", message)
