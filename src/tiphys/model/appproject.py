"""AppProject: what the Applications of a team may use and who may touch them.

Source: compat 2.8, 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.model.codec import ALWAYS, EMPTY, Wire, decode, encode, wire
from tiphys.model.destination import ApplicationDestination
from tiphys.model.meta import CustomResource

KIND = "AppProject"
PLURAL = "appprojects"


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupKindRule(Wire):
    """A group and kind pattern of a namespaced resource list."""

    group: str = wire(default="", always=True)
    kind: str = wire(default="", always=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterResourceRule(Wire):
    """A group, kind and name pattern of a cluster resource list; no name means any."""

    group: str = wire(default="", always=True)
    kind: str = wire(default="", always=True)
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JWTToken(Wire):
    """An issued project token, by issue time and id; times are Unix seconds."""

    iat: int = wire(default=0, always=True)
    exp: int = 0
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRole(Wire):
    """A role of the project: policies, its tokens, and the groups that have it."""

    name: str = wire(default="", always=True)
    description: str = ""
    policies: tuple[str, ...] = ()
    jwt_tokens: tuple[JWTToken, ...] = ()
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedResourceKey(Wire):
    """Resources that are not reported as orphaned; the name is a glob."""

    group: str = ""
    kind: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrphanedResources(Wire):
    """Watch for resources nobody owns; an absent `warn` means no warning."""

    warn: bool | None = None
    ignore: tuple[OrphanedResourceKey, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncWindow(Wire):
    """When syncs are allowed or denied."""

    kind: str = ""
    schedule: str = ""
    duration: str = ""
    applications: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    manual_sync: bool = False
    time_zone: str = ""
    use_and_operator: bool = wire("andOperator", default=False)
    description: str = ""
    sync_overrun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureKey(Wire):
    """A GnuPG key that may sign commits."""

    key_id: str = wire("keyID", default="", always=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationServiceAccount(Wire):
    """The service account that syncs to matching destinations use."""

    server: str = wire(default="", always=True)
    namespace: str = ""
    default_service_account: str = wire(default="", always=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class AppProjectSpec(Wire):
    """The rules. For the namespaced whitelist an absent list allows all and an empty one nothing."""

    source_repos: tuple[str, ...] = ()
    destinations: tuple[ApplicationDestination, ...] = ()
    description: str = ""
    roles: tuple[ProjectRole, ...] = ()
    cluster_resource_whitelist: tuple[ClusterResourceRule, ...] | None = None
    namespace_resource_blacklist: tuple[GroupKindRule, ...] | None = None
    orphaned_resources: OrphanedResources | None = None
    sync_windows: tuple[SyncWindow, ...] = ()
    namespace_resource_whitelist: tuple[GroupKindRule, ...] | None = None
    signature_keys: tuple[SignatureKey, ...] = ()
    cluster_resource_blacklist: tuple[ClusterResourceRule, ...] | None = None
    source_namespaces: tuple[str, ...] = ()
    permit_only_project_scoped_clusters: bool = False
    destination_service_accounts: tuple[DestinationServiceAccount, ...] = ()
    source_integrity: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JWTTokens(Wire):
    """Tokens of one role."""

    items: tuple[JWTToken, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppProjectStatus(Wire):
    """Tokens that were issued, by role."""

    jwt_tokens_by_role: Mapping[str, JWTTokens] = EMPTY


@dataclass(frozen=True, slots=True, kw_only=True)
class AppProject(CustomResource):
    """The AppProject custom resource."""

    spec: AppProjectSpec = field(default=AppProjectSpec(), metadata=ALWAYS)
    status: AppProjectStatus = field(default=AppProjectStatus())


def parse_appproject(obj: Mapping[str, Any], *, fold_case: bool = False) -> AppProject:
    """An AppProject from its JSON object. Raises InvalidObject with every wrong field."""
    return decode(AppProject, obj, fold_case=fold_case)


def appproject_object(project: AppProject) -> dict[str, Any]:
    """The JSON object of an AppProject, apiVersion and kind filled in."""
    return {**encode(project), "apiVersion": "argoproj.io/v1alpha1", "kind": KIND}


def default_project_object(namespace: str) -> dict[str, Any]:
    """The `default` project made when there is none: everything is allowed. Source: compat 5 "default project"."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": KIND,
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }
