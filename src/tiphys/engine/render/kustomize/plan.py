"""The engine's side of Kustomize: from a commit's tree and an Application's source to everything one build needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.apimachinery.yamljson import canonical_json, digest
from tiphys.engine.render.kustomize.closure import Closure, failed
from tiphys.engine.render.kustomize.overrides import apply_overrides, needed
from tiphys.engine.render.tools import RenderContext, ToolFile, ToolPlan
from tiphys.engine.states import SourceTree, StageError

SOURCE_TYPE = "Kustomize"
_FORM = 1  # part of every key: raise it when the same inputs are built in another way
_RESTRICTORS = ("LoadRestrictionsNone", "LoadRestrictionsRootOnly")
_ORDERS = ("none", "legacy")


def plan_kustomize(
    tree: SourceTree, path: str, source: Mapping[str, object], context: RenderContext, *, tool_version: str
) -> ToolPlan:
    """Plan the build of the kustomization in directory `path`, empty for the root, under the block `kustomize:`.

    Reads the tree by id only and parses tenant YAML, so it belongs in a thread. `tool_version` is part of the key.
    Raises StageError: `ComparisonError` for what is in the repository, `InvalidSpecError` for what is in the source.

    Source: compat 1.5; dependencies 2.
    Differs: `version` is refused, because there is one Kustomize; what would be fetched from another host is refused.
    """
    if source.get("version"):
        raise StageError(
            "render",
            "InvalidSpecError",
            f"kustomize.version: version {source['version']} is not registered; "
            f"only the built-in Kustomize ({tool_version or 'of kubectl'}) exists",
        )
    options = safe_options(context.build_options)
    closure = Closure(tree)

    def edit(kustomization: dict[str, Any], directory: str) -> dict[str, Any]:
        return apply_overrides(kustomization, source, context.env, lambda entry: closure.glob(directory, entry))

    file, edited = closure.add_root(path, edit if needed(source) else None)
    content = canonical_json(edited) if edited is not None else None
    files = tuple(
        ToolFile(name, content=content) if content is not None and name == file else ToolFile(name, oid=oid)
        for name, oid in sorted(closure.files.items())
    )
    request: dict[str, object] = {"path": path or ".", "options": list(options)}
    inputs = [
        _FORM,
        tool_version,
        request,
        [(one.path, one.oid or digest(one.content or b"")) for one in files],
    ]
    return ToolPlan(
        source_type=SOURCE_TYPE,
        key=f"kustomize-{digest(canonical_json(inputs))}",
        reads=tuple(sorted(closure.reads.items())),
        files=files,
        request=request,
    )


def safe_options(options: Sequence[str]) -> tuple[str, ...]:
    """`kustomize.buildOptions` of `argocd-cm` that a build may have. Raises StageError that names the others.

    `--reorder` is dropped: the order of objects says nothing, a sync has its own.
    """
    found: list[str] = []
    pending = list(options)
    while pending:
        name, equals, value = pending.pop(0).partition("=")
        name = name.replace("_", "-")
        if name not in ("--load-restrictor", "--reorder"):
            raise failed(f"kustomize.buildOptions: {name} is not supported")
        if not equals:
            value = pending.pop(0) if pending else ""
        if value not in (_RESTRICTORS if name == "--load-restrictor" else _ORDERS):
            raise failed(f"kustomize.buildOptions: {name} cannot be {value!r}")
        if name == "--load-restrictor":
            found = [f"{name}={value}"]
    return tuple(found)
