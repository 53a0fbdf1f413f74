"""What the renderer and a tool (Helm, Kustomize) agree on: a plan made by ids in the engine, a run in a worker.

The engine's side of a tool reads the repository's objects by id and decides which files the tool may see; the worker's side
gets exactly those files in a folder of its own, runs the tool there and gives YAML back. No tool sees anything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class KubeVersions:
    """What charts may ask of the destination cluster: `1.36.2`, and `group/version` and `group/version/Kind` entries."""

    version: str = ""
    api_versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RenderContext:
    """What rendering may depend on beside the files and the source.

    `env` is the build environment (`ARGOCD_APP_NAME`, ...). `app_name` is the instance name that override files and
    release names go by. `build_options` are `kustomize.buildOptions` of `argocd-cm`, split.
    """

    app_name: str = ""
    namespace: str = ""  # spec.destination.namespace
    env: Mapping[str, str] = field(default_factory=dict)
    kube: KubeVersions = KubeVersions()
    build_options: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()  # source types whose folders are read as plain directories


@dataclass(frozen=True, slots=True)
class ToolFile:
    """One file that the tool sees, below the root of its folder: a blob of the repository, or `content` in its place."""

    path: str
    oid: str = ""
    content: bytes | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class ToolPlan:
    """Everything one run of a tool needs.

    `key` names all inputs (equal key, equal output). `reads` are (path, object id or None) pairs of the repository from
    which the plan was made: while a later revision has the same ids there, the plan still stands. `request` is JSON that
    the worker's side of the tool understands.
    """

    source_type: str  # Helm, Kustomize
    key: str
    reads: tuple[tuple[str, str | None], ...]
    files: tuple[ToolFile, ...]
    request: Mapping[str, object]
    warnings: tuple[str, ...] = ()
    uses_kube: bool = False  # the plan was made with `RenderContext.kube`, and stands only while that is the same


@dataclass(frozen=True, slots=True)
class Tools:
    """The programs and libraries that rendering may use, and what names their versions in keys; empty where there is none.

    `helm_sdk` is the version of the library; `helm` and `kubectl` are paths of programs.
    """

    helm_sdk: str = ""
    helm: str = ""
    helm_version: str = ""
    kubectl: str = ""
    kubectl_version: str = ""


NO_TOOLS = Tools()


class ToolError(Exception):
    """The tool, on the worker's side, refuses or fails: a sentence for the user, without paths of the worker's folder."""
