"""What the server needs from the rest: small Protocols, and the one value that carries them all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from tiphys.apimachinery.names import ResourceKey
from tiphys.credentials.book import EMPTY_BOOK, RepositoryBook
from tiphys.engine.source.pushes import Push
from tiphys.identity.sessions import Sessions
from tiphys.model.application import Application
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


class ProjectWriter(Protocol):
    """Writes AppProjects of the control plane's namespace, and returns when the projects in force have it.

    All raise ApiError and ClusterUnreachable, and give the object as it is afterwards.
    """

    async def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Create an AppProject."""

    async def replace(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        """Put it in the place of the one of its name; a resourceVersion in it is a precondition."""

    async def delete(self, name: str) -> None:
        """Delete it."""

    async def get(self, name: str) -> dict[str, Any]:
        """Read it from the cluster, not from a cache."""


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

    def follow_tree(self, namespace: str, name: str) -> AbstractContextManager[asyncio.Event]:
        """An event that is set whenever the tree may have changed; who waits for it clears it."""


class LiveResource(Protocol):
    """One live object of an Application. All methods raise ApiError and ClusterUnreachable."""

    key: ResourceKey
    uid: str

    async def read(self) -> dict[str, Any]:
        """The object as the cluster has it now, Secret values masked."""

    async def patch(self, patch: bytes, content_type: str) -> dict[str, Any]:
        """Change it by a patch of a media type; the object afterwards, Secret values masked."""

    async def delete(self, *, propagation: str, grace_period_s: int | None) -> None:
        """Delete it."""

    async def actions(self) -> Sequence[Mapping[str, Any]]:
        """What can be done to it, as Argo CD's ResourceActions."""

    async def run_action(self, name: str, params: Mapping[str, str]) -> str:
        """Run an action on it; why that cannot be done, empty when it was. Raises StageError too."""


class LiveResources(Protocol):
    """Live objects of Applications, which are named by (namespace, name)."""

    def find(self, app: tuple[str, str], key: ResourceKey, version: str = "") -> LiveResource | None:
        """A live object that belongs to the Application, in a version of its kind if one is given."""

    def pods(
        self, app: tuple[str, str], *, group: str = "", kind: str = "", namespace: str = "", name: str = ""
    ) -> Sequence[tuple[str, str]]:
        """(namespace, name) of the Application's Pods that match, or that something that matches owns; empty matches all."""

    def log(self, app: tuple[str, str], pod: tuple[str, str], query: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Lines of a Pod's log, asked for with the query parameters of the Kubernetes API.

        Raises ApiError, ClusterUnreachable.
        """

    async def events(
        self, app: tuple[str, str], uid: str, about: tuple[str, str] | None
    ) -> Sequence[Mapping[str, Any]] | None:
        """Events of the Application itself, or of an object (namespace, name) that belongs to it; None when it has none such.

        Raises ApiError, ClusterUnreachable.
        """

    async def own_events(self, name: str, uid: str) -> Sequence[Mapping[str, Any]]:
        """Events of another object of the control plane's namespace. Raises ApiError, ClusterUnreachable."""


class Manifests(Protocol):
    """What Git declares for Applications."""

    async def manifests(self, app: tuple[str, str], revisions: Mapping[int, str]) -> Mapping[str, Any]:
        """Argo CD's ManifestResponse, Secret values masked; `revisions` by position of the source, the first is 0.

        Raises StageError, ApiError, ClusterUnreachable.
        """

    async def problem_of(self, app: Application) -> str:
        """Why nothing can be made of the sources of an Application that may not be there yet; empty when something can."""


class Commit(Protocol):
    """What people want to know about a commit."""

    @property
    def author(self) -> str:
        """`Name <mail>`."""

    @property
    def date(self) -> datetime:
        """The author's date."""

    @property
    def message(self) -> str:
        """The whole message."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Tags that lead to it."""


class Commits(Protocol):
    """Commits of repositories."""

    async def commit_info(self, url: str, sha: str, project: str) -> Commit:
        """A commit of a repository, read as a project may. Raises StageError."""


class ClusterBook(Protocol):
    """Destination clusters: what is known of them, and their Secrets. Writes raise ApiError, ClusterUnreachable."""

    def clusters(self) -> Sequence[Cluster]:
        """Every known cluster."""

    def information(self, server: str, applications: int | None = None) -> dict[str, Any]:
        """Argo CD's ClusterInfo of one."""

    def application_counts(self) -> Mapping[str, int]:
        """How many Applications go to each server."""

    async def check(self, cluster: Cluster) -> str:
        """The version of a cluster that is described; raises ClusterConfigError too."""

    async def create(self, cluster: Cluster) -> None:
        """Make a cluster known."""

    async def update(self, cluster: Cluster) -> None:
        """Describe a known cluster otherwise."""

    async def delete(self, cluster: Cluster) -> None:
        """Forget a cluster."""

    async def invalidate(self, cluster: Cluster) -> None:
        """Look at a cluster anew."""


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
    resources: LiveResources | None = None
    manifests: Manifests | None = None
    commits: Commits | None = None
    project_writer: ProjectWriter | None = None
    repository_book: Callable[[], RepositoryBook] = lambda: EMPTY_BOOK
    # (URL, project) -> Successful, Failed or Unknown, why, and when it was last read.
    repository_state: Callable[[str, str], tuple[str, str, datetime | None]] = lambda _url, _project: (
        "Unknown",
        "",
        None,
    )
    cluster_book: ClusterBook | None = None
    metrics: Callable[[], str] | None = None
    pushed: Callable[[Push], int] | None = None  # told of pushes; how many repositories are looked at for it
    account_lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while an account is read and written
    version_details: Mapping[str, str] = field(default_factory=dict)
