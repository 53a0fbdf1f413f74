"""Application: spec, sources, destination, sync policy; the object Argo CD users write.

Source: compat 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.model.codec import ALWAYS, Wire, decode, encode, wire
from tiphys.model.destination import ApplicationDestination, ResourceIgnoreDifferences
from tiphys.model.meta import CustomResource
from tiphys.model.operation import Info, Operation
from tiphys.model.source import ApplicationSource
from tiphys.model.statuses import ApplicationStatus
from tiphys.model.syncpolicy import SyncPolicy

GROUP = "argoproj.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "Application"
PLURAL = "applications"
DEFAULT_PROJECT = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationSpec(Wire):
    """What to deploy, from where, to where. `sourceHydrator` is carried, not acted on."""

    source: ApplicationSource | None = None
    destination: ApplicationDestination = field(default=ApplicationDestination(), metadata=ALWAYS)
    project: str = wire(default="", always=True)
    sync_policy: SyncPolicy | None = None
    ignore_differences: tuple[ResourceIgnoreDifferences, ...] = ()
    info: tuple[Info, ...] = ()
    revision_history_limit: int | None = None
    sources: tuple[ApplicationSource, ...] = ()
    source_hydrator: object = None

    @property
    def project_name(self) -> str:
        """The project, `default` when none is written."""
        return self.project or DEFAULT_PROJECT

    @property
    def all_sources(self) -> tuple[ApplicationSource, ...]:
        """The sources in force: `sources` when it has any, else `source`. Source: compat 1.1 "Source precedence"."""
        if self.sources:
            return self.sources
        return (self.source,) if self.source is not None else ()

    @property
    def has_multiple_sources(self) -> bool:
        """Whether `sources` is in force; decides between `revision` and `revisions` in status."""
        return bool(self.sources)

    @property
    def policy(self) -> SyncPolicy:
        """The sync policy; an absent one is empty."""
        return self.sync_policy or SyncPolicy()


@dataclass(frozen=True, slots=True, kw_only=True)
class Application(CustomResource):
    """The Application custom resource."""

    spec: ApplicationSpec = field(default=ApplicationSpec(), metadata=ALWAYS)
    status: ApplicationStatus = field(default=ApplicationStatus())
    operation: Operation | None = None

    @property
    def project_name(self) -> str:
        """The project, `default` when none is written."""
        return self.spec.project_name

    def instance_name(self, controller_namespace: str) -> str:
        """The name used in tracking: `name`, or `<namespace>_<name>` outside the control-plane namespace."""
        if not self.namespace or self.namespace == controller_namespace:
            return self.name
        return f"{self.namespace}_{self.name}"

    def qualified_name(self) -> str:
        """`<namespace>/<name>`, or the name alone."""
        return f"{self.namespace}/{self.name}" if self.namespace else self.name

    def rbac_object(self, controller_namespace: str) -> str:
        """`<project>/<name>`, or `<project>/<namespace>/<name>` outside the control-plane namespace."""
        if not self.namespace or self.namespace == controller_namespace:
            return f"{self.project_name}/{self.name}"
        return f"{self.project_name}/{self.namespace}/{self.name}"


def parse_application(obj: Mapping[str, Any], *, fold_case: bool = False) -> Application:
    """An Application from its JSON object. Raises InvalidObject with every wrong field."""
    return decode(Application, obj, fold_case=fold_case)


def application_object(app: Application) -> dict[str, Any]:
    """The JSON object of an Application, apiVersion and kind filled in."""
    return {**encode(app), "apiVersion": API_VERSION, "kind": KIND}


def parse_instance_name(instance: str, controller_namespace: str) -> tuple[str, str]:
    """Instance name -> (namespace, name); the first `_` splits them, no Kubernetes name contains one."""
    namespace, underscore, name = instance.partition("_")
    return (namespace, name) if underscore else (controller_namespace, instance)
