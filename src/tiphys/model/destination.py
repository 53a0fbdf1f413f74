"""ApplicationDestination and ResourceIgnoreDifferences: where to deploy, and which differences do not count.

Source: compat 1.1 "destination", 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiphys.model.codec import Wire

IN_CLUSTER_SERVER = "https://kubernetes.default.svc"
IN_CLUSTER_NAME = "in-cluster"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationDestination(Wire):
    """A cluster by server URL or by name, and the namespace for manifests that name none."""

    server: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceIgnoreDifferences(Wire):
    """Fields of some resources whose difference does not count. group and kind are globs; no group means core only."""

    group: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    json_pointers: tuple[str, ...] = ()
    jq_path_expressions: tuple[str, ...] = ()
    managed_fields_managers: tuple[str, ...] = ()
