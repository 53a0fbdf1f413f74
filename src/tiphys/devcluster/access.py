"""How simulated controllers and the simulated node reach a cluster: list, watch, get, create, patch, delete.

The same code runs inside the embedded server and, through an HTTP implementation, against a real API
server where it stands in for a kubelet. A resource is named `group/version/plural`: `apps/v1/deployments`, `v1/pods`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol

Manifest = Mapping[str, object]  # one object as JSON; given out shared, so never changed in place
PatchKind = Literal["merge", "json", "strategic", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]


class ClusterAccess(Protocol):
    """What a controller may do; objects given out must not be mutated.

    Every method raises `apimachinery.apierrors.ApiError`: NotFound, Conflict, AlreadyExists, Invalid, Expired.
    """

    async def list(
        self, resource: str, *, namespace: str | None = None, label_selector: str = ""
    ) -> tuple[list[Manifest], str]:
        """All objects (of one namespace, or of all with None) and the resourceVersion to watch from."""

    def watch(self, resource: str, resource_version: str) -> AsyncIterator[tuple[str, Manifest]]:
        """Changes after `resource_version` in all namespaces as (`ADDED|MODIFIED|DELETED|BOOKMARK`, object).

        Ends only by cancellation or `aclose`; raises `Expired` (410) when the version is too old or the reader slow.
        """

    async def get(self, resource: str, namespace: str, name: str) -> Manifest:
        """One object; `namespace` is empty for cluster-scoped kinds."""

    async def create(self, resource: str, namespace: str, obj: Manifest) -> Manifest:
        """The object as stored."""

    async def patch(
        self,
        resource: str,
        namespace: str,
        name: str,
        body: object,
        *,
        kind: PatchKind = "merge",
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> Manifest:
        """The object after the patch; a `metadata.resourceVersion` in it is a precondition (409)."""

    async def delete(
        self,
        resource: str,
        namespace: str,
        name: str,
        *,
        uid: str | None = None,
        propagation: Propagation | None = None,
        grace_period_s: int | None = None,
    ) -> None:
        """Ask for deletion; finalizers and grace periods may keep the object. `uid` is a precondition (409)."""
