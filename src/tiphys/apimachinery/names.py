"""GroupKind, GroupVersionKind, ResourceKey: how Kubernetes objects are named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class GroupKind(NamedTuple):
    """A kind without its version; the core group is the empty string."""

    group: str
    kind: str

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind


class GroupVersionKind(NamedTuple):
    """A kind in one version."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_kind(self) -> GroupKind:
        """The same kind without its version."""
        return GroupKind(self.group, self.kind)


class ResourceKey(NamedTuple):
    """One object in one cluster. `namespace` is empty for cluster-scoped kinds."""

    group: str
    kind: str
    namespace: str
    name: str

    @property
    def group_kind(self) -> GroupKind:
        """Group and kind of the object."""
        return GroupKind(self.group, self.kind)

    def __str__(self) -> str:
        """`apps/Deployment/default/web`, the form Argo CD prints in messages."""
        return f"{self.group}/{self.kind}/{self.namespace}/{self.name}"


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` -> (`apps`, `v1`); `v1` -> (``, `v1`)."""
    group, slash, version = api_version.partition("/")
    return (group, version) if slash else ("", group)


def gvk_of(obj: Mapping[str, object]) -> GroupVersionKind:
    """Group, version and kind an object says it has; absent fields give empty strings."""
    group, version = split_api_version(str(obj.get("apiVersion") or ""))
    return GroupVersionKind(group, version, str(obj.get("kind") or ""))


def key_of(obj: Mapping[str, object]) -> ResourceKey:
    """ResourceKey an object says it has; the namespace is the one written in it."""
    gvk = gvk_of(obj)
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping):
        metadata = {}
    return ResourceKey(gvk.group, gvk.kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or ""))
