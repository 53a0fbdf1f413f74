"""What the server needs from the rest: small Protocols, and the one value that carries them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from tiphys.identity.sessions import Sessions
from tiphys.model.appproject import AppProject
from tiphys.model.cluster import Cluster
from tiphys.policy.rbac import RBAC
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import Logger
from tiphys.server.cache import ApplicationCache
from tiphys.settings.values import Settings


class ApplicationWriter(Protocol):
    """Writes Application objects. All raise ApiError and ClusterUnreachable, and give the object as it is afterwards."""

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create an Application in the namespace written in it."""

    async def merge_patch(self, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Change it by RFC 7386; metadata.resourceVersion in the patch is a precondition."""

    async def json_patch(self, namespace: str, name: str, patch: list[dict[str, Any]]) -> dict[str, Any]:
        """Change it by RFC 6902."""

    async def delete(self, namespace: str, name: str) -> None:
        """Ask for its deletion; finalizers decide what follows."""

    async def get(self, namespace: str, name: str) -> dict[str, Any]:
        """Read it from the cluster, not from a cache."""


class SecretWriter(Protocol):
    """Changes argocd-secret."""

    async def patch_settings_secret(self, patch: Mapping[str, Any]) -> None:
        """Merge a patch into argocd-secret and return when the settings in force have it."""


class Refresher(Protocol):
    """Asks the engine to look at an Application again."""

    async def refresh(self, namespace: str, name: str, kind: str, timeout_s: float) -> bool:
        """Ask for a `normal` or `hard` refresh and wait for it; False when it was not done in time."""


class Trees(Protocol):
    """What the engine knows of live resources. None: the Application is not known to it (yet)."""

    async def resource_tree(self, namespace: str, name: str) -> Mapping[str, Any] | None:
        """`{nodes, orphanedNodes, hosts}` as Argo CD's ApplicationTree."""

    async def resource_health(self, namespace: str, name: str) -> Mapping[tuple[str, str, str, str], Mapping[str, str]]:
        """`{status, message}` of each managed resource that has health, by group, kind, namespace and name."""

    async def managed_resources(self, namespace: str, name: str) -> Sequence[Mapping[str, Any]] | None:
        """ResourceDiffs, Secret values masked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Everything handlers use. The callables give what is in force at the moment of the call."""

    namespace: str  # the control plane's
    applications: ApplicationCache
    writer: ApplicationWriter
    projects: Callable[[], Mapping[str, AppProject]]
    clusters: Callable[[], Sequence[Cluster]]
    settings: Callable[[], Settings]
    rbac: Callable[[], RBAC]
    sessions: Sessions
    secrets: SecretWriter
    refresher: Refresher
    clock: Clock
    log: Logger
    version: str  # of Tiphys
    secure: bool = True  # served over TLS: cookies say so
    trees: Trees | None = None
    metrics: Callable[[], str] | None = None
    version_details: Mapping[str, str] = field(default_factory=dict)
