"""Resource, Registry: which kinds the server serves, in which versions, under which names.

Built-in resources come from a table recorded from a real server; custom ones are added and removed while it runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import resources as package_files
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from tiphys.devcluster.crds import CustomVersion


TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
"""Annotation that shows a DaemonSet's count of templates."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a Table answer. Priority 0 is always shown, 1 with `-o wide`."""

    name: str
    type: str
    format: str = ""
    priority: int = 0
    description: str = ""

    def to_json(self) -> dict[str, Any]:
        """The column as a TableColumnDefinition."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object: `status`, `scale`, ... with the kind it speaks (empty group and version: the parent's)."""

    name: str
    group: str
    version: str
    kind: str
    verbs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resource:
    """One plural in one version of one group. `bucket` is where its objects are kept, shared by all its versions."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...]
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: Mapping[str, Subresource] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    bucket: str = ""
    storage_version: str = ""  # `group/version` objects are kept in
    custom: CustomVersion | None = None

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def has_status(self) -> bool:
        """Status is written through its own path."""
        return "status" in self.subresources

    @property
    def is_stored(self) -> bool:
        """Objects of it are kept; reviews and bindings are answered and forgotten."""
        return "get" in self.verbs

    @property
    def head(self) -> bytes:
        """How the JSON of every object of it begins."""
        return b'{"kind":"%s","apiVersion":"%s",' % (self.kind.encode(), self.api_version.encode())

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


# Two resources that are views of one: (group, version, plural) -> (bucket, storage api version).
_SHARED_BUCKETS = {
    ("autoscaling", "v1", "horizontalpodautoscalers"): ("horizontalpodautoscalers.autoscaling", "autoscaling/v2"),
    ("events.k8s.io", "v1", "events"): ("events", "v1"),
}


class Registry:
    """All resources being served. `generation` grows with every change, for those who cache what they derive from it."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._groups: dict[str, dict[str, dict[str, Resource]]] = {}
        self._buckets: dict[str, Resource] = {}
        self.generation = 0
        for resource in resources:
            self._insert(resource)

    def _insert(self, resource: Resource) -> None:
        self._groups.setdefault(resource.group, {}).setdefault(resource.version, {})[resource.plural] = resource
        if resource.api_version == resource.storage_version:
            self._buckets[resource.bucket] = resource

    def lookup(self, group: str, version: str, plural: str) -> Resource | None:
        """The resource served at this path, None when there is none."""
        return self._groups.get(group, {}).get(version, {}).get(plural)

    def stored(self, bucket: str) -> Resource | None:
        """The resource in the version its objects are kept in."""
        return self._buckets.get(bucket)

    def buckets(self) -> Iterator[Resource]:
        """Every kind that keeps objects, once, in its stored version."""
        return iter([r for r in self._buckets.values() if r.is_stored])

    def is_custom(self, group: str, version: str) -> bool:
        """Whether a path is left to the server of custom resources, which knows nothing of this version."""
        found = self._groups.get(group, {})
        if found.get(version):
            return False
        return any(one.custom is not None for resources in found.values() for one in resources.values())

    def groups(self) -> Mapping[str, Mapping[str, Mapping[str, Resource]]]:
        """group -> version (preferred first) -> plural -> Resource."""
        return self._groups

    def replace_custom(self, group: str, plural: str, versions: Iterable[Resource]) -> None:
        """Serve a custom resource in these versions (preferred order) instead of those served before; none removes it."""
        kept = self._groups.get(group, {})
        for resources in kept.values():
            gone = resources.pop(plural, None)
            if gone is not None:
                self._buckets.pop(gone.bucket, None)
        served = list(versions)
        for resource in served:
            self._insert(resource)
        if served and served[0].bucket not in self._buckets:
            self._buckets[served[0].bucket] = served[0]  # the storage version itself is not served
        kept = {v: r for v, r in self._groups.get(group, {}).items() if r}
        if kept:
            self._groups[group] = dict(sorted(kept.items(), key=lambda item: version_rank(item[0]), reverse=True))
        else:
            self._groups.pop(group, None)
        # Groups of custom resources follow the built-in ones, by name.
        custom = sorted(name for name in self._groups if self._is_wholly_custom(name))
        for name in custom:
            self._groups[name] = self._groups.pop(name)
        self.generation += 1

    def _is_wholly_custom(self, group: str) -> bool:
        return all(one.custom for resources in self._groups[group].values() for one in resources.values())


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sort key of Kubernetes versions: v2 above v1 above v1beta1 above v1alpha1 above anything else."""
    digits = ""
    rest = version[1:] if version.startswith("v") else ""
    for char in rest:
        if not char.isdigit():
            break
        digits += char
    if not digits:
        return (0, 0, 0, version)
    stage = rest[len(digits) :]
    if not stage:
        return (3, int(digits), 0, "")
    for rank, word in ((2, "beta"), (1, "alpha")):
        if stage.startswith(word) and stage[len(word) :].isdigit():
            return (rank, int(digits), int(stage[len(word) :]), "")
    return (0, 0, 0, version)


def builtin_registry() -> Registry:
    """The resources of Kubernetes 1.36 that are generally available.

    Source: dev-cluster 2, recorded aggregated discovery and table columns of kube-apiserver 1.36.2.
    """
    raw = package_files.files("tiphys.devcluster").joinpath("data/resources.json").read_bytes()
    return Registry(
        _from_row(group["group"], version["version"], row)
        for group in orjson.loads(raw)
        for version in group["versions"]
        for row in version["resources"]
    )


def _from_row(group: str, version: str, row: Mapping[str, Any]) -> Resource:
    plural = row["plural"]
    own = f"{group}/{version}" if group else version
    bucket, storage_version = _SHARED_BUCKETS.get(
        (group, version, plural), (f"{plural}.{group}" if group else plural, own)
    )
    return Resource(
        group=group,
        version=version,
        plural=plural,
        singular=row["singular"],
        kind=row["kind"],
        namespaced=row["namespaced"],
        verbs=tuple(row["verbs"]),
        short_names=tuple(row["shortNames"]),
        categories=tuple(row["categories"]),
        subresources={
            sub["name"]: Subresource(sub["name"], sub["group"], sub["version"], sub["kind"], tuple(sub["verbs"]))
            for sub in row["subresources"]
        },
        columns=tuple(Column(*one) for one in row["columns"]),
        bucket=bucket,
        storage_version=storage_version,
    )
