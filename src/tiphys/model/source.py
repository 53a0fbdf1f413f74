"""ApplicationSource: where manifests come from and how they are rendered.

Source: compat 1.2-1.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiphys.model.codec import EMPTY, Wire, wire


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonnetVar(Wire):
    """An external or top-level variable; `code` says that `value` is Jsonnet, not a string."""

    name: str = wire(default="", always=True)
    value: str = wire(default="", always=True)
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonnetOptions(Wire):
    """How .jsonnet files are evaluated. `libs` are relative to the repository root."""

    ext_vars: tuple[JsonnetVar, ...] = ()
    tlas: tuple[JsonnetVar, ...] = ()
    libs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySource(Wire):
    """Plain manifests. `include` and `exclude` are one glob each, on the path relative to the application's."""

    recurse: bool = False
    jsonnet: JsonnetOptions = field(default=JsonnetOptions())
    exclude: str = ""
    include: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmParameter(Wire):
    """One `--set`, or `--set-string` when `force_string`."""

    name: str = ""
    value: str = ""
    force_string: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmFileParameter(Wire):
    """One `--set-file`."""

    name: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HelmSource(Wire):
    """How a chart is rendered. `values_object` wins over `values`."""

    value_files: tuple[str, ...] = ()
    parameters: tuple[HelmParameter, ...] = ()
    release_name: str = ""
    values: str = ""
    file_parameters: tuple[HelmFileParameter, ...] = ()
    version: str = ""
    pass_credentials: bool = False
    ignore_missing_value_files: bool = False
    skip_crds: bool = False
    values_object: Mapping[str, object] | None = None
    namespace: str = ""
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    skip_tests: bool = False
    skip_schema_validation: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomizeReplica(Wire):
    """A replica count; the wire takes an integer or a string of one."""

    name: str = wire(default="", always=True)
    count: int | str = wire(default=0, always=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomizeSelector(Wire):
    """What a kustomize patch applies to."""

    group: str = ""
    version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    annotation_selector: str = ""
    label_selector: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomizePatch(Wire):
    """A patch given inline or by its path in the repository."""

    path: str = ""
    patch: str = ""
    target: KustomizeSelector | None = None
    options: Mapping[str, bool] = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomizeSource(Wire):
    """What is put over a kustomization before it is built."""

    name_prefix: str = ""
    name_suffix: str = ""
    images: tuple[str, ...] = ()
    common_labels: Mapping[str, str] = EMPTY
    version: str = ""
    common_annotations: Mapping[str, str] = EMPTY
    force_common_labels: bool = False
    force_common_annotations: bool = False
    namespace: str = ""
    common_annotations_envsubst: bool = False
    replicas: tuple[KustomizeReplica, ...] = ()
    patches: tuple[KustomizePatch, ...] = ()
    components: tuple[str, ...] = ()
    ignore_missing_components: bool = False
    label_without_selector: bool = False
    kube_version: str = ""
    api_versions: tuple[str, ...] = ()
    label_include_templates: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvEntry(Wire):
    """One variable for a config management plugin."""

    name: str = wire(default="", always=True)
    value: str = wire(default="", always=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginParameter(Wire):
    """One plugin parameter: a string, a map or a list; absent and empty differ."""

    name: str = ""
    string: str | None = None
    map: Mapping[str, str] | None = None
    array: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginSource(Wire):
    """Which config management plugin renders; without a name the plugins are asked."""

    name: str = ""
    env: tuple[EnvEntry, ...] = ()
    parameters: tuple[PluginParameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSource(Wire):
    """Where an Application's manifests come from. At most one of directory, helm, kustomize, plugin may be set."""

    repo_url: str = wire("repoURL", default="", always=True)
    path: str = ""
    target_revision: str = ""
    helm: HelmSource | None = None
    kustomize: KustomizeSource | None = None
    directory: DirectorySource | None = None
    plugin: PluginSource | None = None
    chart: str = ""
    ref: str = ""
    name: str = ""
    tag_prefix: str = ""

    @property
    def explicit_types(self) -> tuple[str, ...]:
        """Names of the tools that are configured: Helm, Kustomize, Directory, Plugin. More than one is an error.

        An empty block counts. Source: compat 1.2 "Explicit type conflict".
        """
        blocks = (
            ("Kustomize", self.kustomize),
            ("Helm", self.helm),
            ("Directory", self.directory),
            ("Plugin", self.plugin),
        )
        return tuple(name for name, block in blocks if block is not None)

    @property
    def is_helm(self) -> bool:
        """A chart from a chart repository, not from Git."""
        return bool(self.chart)

    @property
    def is_ref_only(self) -> bool:
        """Only lends its files to other sources; renders nothing."""
        return bool(self.ref) and not self.path and not self.chart
