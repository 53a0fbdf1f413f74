"""Parameter override files: `.argocd-source.yaml` and `.argocd-source-<application>.yaml` beside the manifests."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import orjson

from tiphys.engine.render.spec import RenderSource, render_source, source_block
from tiphys.engine.states import StageError

_PREFIX = ".argocd-source"
# What decides where the manifests come from is not in the hands of the files found there.
_FIXED = ("repoURL", "path", "chart", "targetRevision")


def override_names(names: Collection[str], app_name: str) -> tuple[str, ...]:
    """Files among `names` that change the source for this application, in the order in which they are applied."""
    return tuple(name for name in override_files(app_name) if name in names)


def override_files(app_name: str) -> tuple[str, str]:
    """Names of the files that may change the source for an application."""
    return f"{_PREFIX}.yaml", f"{_PREFIX}-{app_name}.yaml"


def has_overrides(names: Collection[str]) -> bool:
    """Whether some application's source is changed by a file among `names`."""
    return any(name.startswith(_PREFIX) and name.endswith(".yaml") for name in names)


def with_overrides(source: RenderSource, patches: Sequence[tuple[str, bytes]]) -> RenderSource:
    """The source with each patch (path of its file, JSON) merged into it.

    Raises StageError when a patch is no object, or the result is no source.

    Source: compat 1.2 "Param override files".
    """
    block = source_block(source)
    for path, text in patches:
        patch = orjson.loads(text)
        if patch is None:
            continue
        if not isinstance(patch, dict):
            raise StageError("render", "ComparisonError", f"{path}: parameter overrides are an object")
        patched = _merged(block, {name: value for name, value in patch.items() if name not in _FIXED})
        assert isinstance(patched, dict)
        block = patched
    try:
        return render_source({"path": source.path or ".", **block})
    except StageError as error:
        where = ", ".join(path for path, _ in patches)
        raise StageError("render", "ComparisonError", f"{where}: {error.message}") from None


def _merged(value: object, patch: object) -> object:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(value) if isinstance(value, Mapping) else {}
    for name, item in patch.items():
        if item is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), item)
    return merged
