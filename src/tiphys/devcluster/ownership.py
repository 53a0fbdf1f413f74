"""Ownership: keeps metadata.managedFields, for every kind, with the schema that belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tiphys.apimachinery import goshapes, managedfields
from tiphys.apimachinery.mergeschema import MergeSchema, MergeSchemas
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.resources import Registry, Resource

Object = dict[str, Any]


class Ownership:
    """Who owns which field of every object. Schemas are found by kind; those of custom kinds come with the Resource."""

    def __init__(self, registry: Registry, schemas: MergeSchemas) -> None:
        self._registry = registry
        self._schemas = schemas
        self._versions: dict[str, frozenset[str]] = {}
        self._generation = registry.generation

    def track(
        self, resource: Resource, live: Object | None, new: Object, *, manager: str, subresource: str, now: str
    ) -> Object:
        """`new` with managedFields that say `manager` set what differs from `live`."""
        entries = managedfields.update(
            live,
            new,
            manager=manager,
            api_version=resource.api_version,
            schema=self._schema(resource),
            now=now,
            subresource=subresource,
            reset_fields=managedfields.reset_fields_of(
                resource.group, resource.kind, subresource, has_status=resource.has_status
            ),
            zero=_zero(resource),
            versions=self._served(resource),
        )
        metadata = new["metadata"]
        if entries:
            metadata["managedFields"] = entries
        else:
            metadata.pop("managedFields", None)
        return new

    def track_scale(self, resource: Resource, live: Object, new: Object, *, manager: str) -> Object:
        """`new` with managedFields that say `manager` set the replicas through the scale subresource."""
        path = ("f:spec", "f:replicas")
        if resource.custom is not None and resource.custom.scale is not None:
            path = tuple(f"f:{part}" for part in resource.custom.scale.spec_path)  # type: ignore[assignment]
        entries = managedfields.update_scale(live, manager=manager, api_version=resource.api_version, path=path)
        new["metadata"] = {**new["metadata"], "managedFields": entries}
        return new

    def apply(
        self,
        resource: Resource,
        live: Object | None,
        config: Mapping[str, Any],
        *,
        manager: str,
        force: bool,
        subresource: str,
        now: str,
    ) -> Object:
        """`live` after a server-side apply of `config`. Raises Conflict."""
        return managedfields.apply(
            live,
            config,
            manager=manager,
            api_version=resource.api_version,
            schema=self._schema(resource),
            force=force,
            now=now,
            subresource=subresource,
            reset_fields=managedfields.reset_fields_of(
                resource.group, resource.kind, subresource, has_status=resource.has_status
            ),
            zero=_zero(resource),
            versions=self._served(resource),
        )

    def _schema(self, resource: Resource) -> MergeSchema:
        if resource.custom is not None:
            return resource.custom.merge_schema
        found = self._schemas.for_kind(GroupVersionKind(resource.group, resource.version, resource.kind))
        return found if found is not None else self._schemas.deduced()

    def _served(self, resource: Resource) -> frozenset[str]:
        """Other versions of the kind, whose entries stay."""
        if self._generation != self._registry.generation:
            self._versions.clear()
            self._generation = self._registry.generation
        found = self._versions.get(resource.bucket)
        if found is None:
            found = frozenset(
                one.api_version
                for versions in self._registry.groups().values()
                for plurals in versions.values()
                for one in plurals.values()
                if one.bucket == resource.bucket
            )
            self._versions[resource.bucket] = found
        return found


@lru_cache(maxsize=512)
def _zero_of(gvk: GroupVersionKind) -> Object:
    return goshapes.decode({}, gvk).obj


def _zero(resource: Resource) -> Object:
    """The object of the kind with nothing set; custom kinds have no fields that are always there."""
    if resource.custom is not None:
        return {}
    gvk = GroupVersionKind(resource.group, resource.version, resource.kind)
    return _zero_of(gvk) if goshapes.known(gvk) else {}
