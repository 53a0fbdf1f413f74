"""Custom resources: a CustomResourceDefinition becomes resources of the server, at once, with all that belongs to them.

Naming, conditions and the finalizer follow the real server. Versions differ in their schema only; conversion webhooks are
refused where the definition is validated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tiphys.apimachinery import goshapes, schemavalidation
from tiphys.apimachinery import schema as schemas
from tiphys.apimachinery.apierrors import BadRequest, FieldCause, invalid_value
from tiphys.apimachinery.mergeschema import MergeSchema, MergeSchemas
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster import deletion, jsonpath
from tiphys.devcluster.background import Background
from tiphys.devcluster.deletion import CLEANUP, DeleteOptions
from tiphys.devcluster.patchtexts import go_value
from tiphys.devcluster.resources import Column, Registry, Resource, Subresource
from tiphys.devcluster.store import Event, Record, Store
from tiphys.devcluster.tables import NAME_COLUMN
from tiphys.devcluster.writes import Writer
from tiphys.runtime.clock import format_time

Object = dict[str, Any]

BUCKET = "customresourcedefinitions.apiextensions.k8s.io"
MANAGER = "kube-apiserver"

_ALL_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_STATUS_VERBS = ("get", "patch", "update")


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where a custom kind keeps its replicas, observed replicas and selector."""

    spec_path: tuple[str, ...]
    status_path: tuple[str, ...]
    selector_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CustomVersion:
    """What one served version of a custom kind does to its objects."""

    merge_schema: MergeSchema
    schema: schemas.Schema | None
    open_api: Mapping[str, Any] | None
    columns: tuple[tuple[Column, Any], ...]
    selectable_fields: Mapping[str, str] = field(default_factory=dict)
    scale: ScalePaths | None = None
    has_rules: bool = False
    deprecation: str = ""

    def decode(self, raw: Mapping[str, Any], resource: Resource) -> tuple[Object, list[str]]:
        """The object in its form: metadata typed, fields the schema does not declare left out and named."""
        given = raw.get("metadata")
        metadata, unknown = _metadata(given if given is not None else {}, resource)
        pruned, lost = schemas.prune(raw, self.schema)
        out: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        out.update((key, value) for key, value in pruned.items() if key not in out)
        return out, unknown + lost

    def default(self, obj: Object, *, keep_nulls: bool = False) -> None:
        """Fill the schema's defaults into `obj`; nulls that are not allowed go, unless they are to be refused."""
        filled = schemas.apply_defaults(obj, self.schema) if keep_nulls else schemas.fill(obj, self.schema)
        if filled is not obj:
            obj.update(filled)
            for key in obj.keys() - filled.keys():
                del obj[key]

    def validate(self, obj: Object, old: Object | None) -> list[FieldCause]:
        """Every place where the object breaks its schema, and what is wrong with its name."""
        found = schemavalidation.validate(obj, self.schema, old=old)
        if self.scale is not None:
            for path in (self.scale.spec_path, self.scale.status_path):
                found += _count_problems(obj, path)
        return found


MAX_COUNT = 2**31 - 1


def _count_problems(obj: Mapping[str, Any], path: tuple[str, ...]) -> list[FieldCause]:
    """What keeps the value at a path from being a number of replicas.

    Source: apiextensions-apiserver pkg/registry/customresource/validator.go ValidateScaleSpec.
    """
    field = "." + ".".join(path)
    found: Any = obj
    for index, part in enumerate(path):
        if not isinstance(found, Mapping):
            odd = f"{field} accessor error: {go_value(found)} is of the type {_GO_TYPES[type(found)]},"
            return [invalid_value(field, 0, f"{odd} expected map[string]interface{{}}")] if index else []
        if part not in found:
            return []
        found = found[part]
    if isinstance(found, float) and found.is_integer():
        found = int(found)
    if not isinstance(found, int) or isinstance(found, bool):
        odd = f"{field} accessor error: {go_value(found)} is of the type {_GO_TYPES[type(found)]}, expected int64"
        return [invalid_value(field, 0, odd)]
    if found < 0:
        return [invalid_value(field, found, "should be a non-negative integer")]
    if found > MAX_COUNT:
        return [invalid_value(field, found, f"should be less than or equal to {MAX_COUNT}")]
    return []


_GO_TYPES: dict[type, str] = {
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    type(None): "<nil>",
}


def _metadata(given: Any, resource: Resource) -> tuple[Object, list[str]]:
    """Metadata read as ObjectMeta: it has its own type, whatever the schema says."""
    # Any built-in kind reads metadata alike; a ConfigMap has nothing else that is always there.
    try:
        found = goshapes.decode({"metadata": given}, GroupVersionKind("", "v1", "ConfigMap"))
    except goshapes.DecodeError as exc:
        said = str(exc).replace("ConfigMap.", f"{resource.kind}.").replace("ObjectMeta.metadata.", "ObjectMeta.")
        raise BadRequest(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {said}'
        ) from None
    metadata = found.obj["metadata"]
    if metadata.get("creationTimestamp") is None:
        metadata.pop("creationTimestamp", None)
    return metadata, list(found.unknown)


def compile_definition(definition: Mapping[str, Any], merge_schemas: MergeSchemas) -> list[Resource]:
    """The resources a definition serves, preferred version first."""
    spec = definition["spec"]
    names, group = spec["names"], spec["group"]
    versions = sorted((one for one in spec["versions"] if one.get("served")), key=_by_age, reverse=True)
    stored = next(
        (one["name"] for one in spec["versions"] if one.get("storage")), versions[0]["name"] if versions else ""
    )
    preserve = bool(spec.get("preserveUnknownFields"))
    return [_resource(group, names, spec, version, stored, preserve, merge_schemas) for version in versions]


def _resource(
    group: str,
    names: Mapping[str, Any],
    spec: Mapping[str, Any],
    version: Mapping[str, Any],
    stored: str,
    preserve: bool,
    merge_schemas: MergeSchemas,
) -> Resource:
    raw = (version.get("schema") or {}).get("openAPIV3Schema")
    schema = schemas.Schema(raw) if raw is not None else None
    declared = version.get("subresources") or {}
    subresources: dict[str, Subresource] = {}
    if "status" in declared:
        subresources["status"] = Subresource("status", group, version["name"], names["kind"], _STATUS_VERBS)
    scale = declared.get("scale")
    if scale is not None:
        subresources["scale"] = Subresource("scale", "autoscaling", "v1", "Scale", _STATUS_VERBS)
    columns = _columns(version)
    custom = CustomVersion(
        merge_schema=merge_schemas.for_custom(raw, preserve_unknown_fields=preserve),
        schema=schema,
        open_api=raw,
        columns=columns,
        selectable_fields={
            one["jsonPath"].lstrip("."): one["jsonPath"].lstrip(".") for one in version.get("selectableFields") or ()
        },
        scale=_scale_paths(scale) if scale is not None else None,
        has_rules=schema is not None and schemas.has_cel(schema),
        deprecation=_deprecation(group, names["kind"], version, spec["versions"]),
    )
    return Resource(
        group=group,
        version=version["name"],
        plural=names["plural"],
        singular=names.get("singular") or names["kind"].lower(),
        kind=names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        verbs=_ALL_VERBS,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subresources,
        columns=(NAME_COLUMN, *(column for column, _ in columns)),
        bucket=f"{names['plural']}.{group}",
        storage_version=f"{group}/{stored}",
        custom=custom,
    )


_VERSION = re.compile(r"v([1-9][0-9]*)(?:(alpha|beta)([1-9][0-9]*))?")
_STAGES = {"alpha": 1, "beta": 2, None: 3}


def _by_age(version: Mapping[str, Any]) -> tuple[int, int, int, str]:
    """Order of versions: generally available before beta before alpha, then by number; others last.

    Source: apimachinery pkg/version CompareKubeAwareVersionStrings.
    """
    found = _VERSION.fullmatch(version["name"])
    if found is None:
        return 0, 0, 0, version["name"]
    return _STAGES[found[2]], int(found[1]), int(found[3] or 0), ""


def _deprecation(group: str, kind: str, version: Mapping[str, Any], versions: Iterable[Mapping[str, Any]]) -> str:
    if not version.get("deprecated"):
        return ""
    if version.get("deprecationWarning"):
        return str(version["deprecationWarning"])
    said = f"{group}/{version['name']} {kind} is deprecated"
    newer = [
        one for one in versions if one.get("served") and not one.get("deprecated") and _by_age(one) > _by_age(version)
    ]
    return f"{said}; use {group}/{max(newer, key=_by_age)['name']} {kind}" if newer else said


def _columns(version: Mapping[str, Any]) -> tuple[tuple[Column, Any], ...]:
    declared = version.get("additionalPrinterColumns")
    if not declared:
        age = Column("Age", "date", description="CreationTimestamp is a timestamp representing the server time.")
        return ((age, jsonpath.compile_path(".metadata.creationTimestamp")),)
    return tuple(
        (
            Column(one["name"], one["type"], one.get("format", ""), one.get("priority", 0), one.get("description", "")),
            jsonpath.compile_path(one["jsonPath"]),
        )
        for one in declared
    )


def _scale_paths(scale: Mapping[str, Any]) -> ScalePaths:
    def path(key: str) -> tuple[str, ...]:
        return tuple(part for part in str(scale.get(key) or "").split(".") if part)

    return ScalePaths(path("specReplicasPath"), path("statusReplicasPath"), path("labelSelectorPath"))


class Definitions:
    """Follows CustomResourceDefinitions: serves what is established, empties what is being deleted."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        writer: Writer,
        background: Background,
        merge_schemas: MergeSchemas,
    ) -> None:
        self._store = store
        self._registry = registry
        self._writer = writer
        self._background = background
        self._merge_schemas = merge_schemas
        self._served: dict[str, tuple[str, Any, bool]] = {}  # name -> (uid, spec, established)
        self._ending: dict[str, str] = {}  # bucket -> name of the definition that waits for it to be empty

    def start(self) -> None:
        """Serve what is stored and follow changes from now on."""
        self.look()
        self._store.watch("*", self)

    def look(self) -> None:
        """Look at every definition."""
        for record in self._store.scan(BUCKET):
            self._reconcile(record)

    def offer(self, event: Event) -> None:
        """Take note of one change."""
        if event.bucket == BUCKET:
            if event.type == "DELETED":
                self._forget(event.record)
            else:
                # At once: whoever created the definition may use it as soon as it has the answer.
                self._reconcile(event.record)
        elif event.type == "DELETED" and event.bucket in self._ending:
            self._queue_cleanup(self._ending[event.bucket])

    def _forget(self, record: Record) -> None:
        spec = record.obj["spec"]
        self._served.pop(record.name, None)
        self._ending.pop(record.name, None)
        self._registry.replace_custom(spec["group"], spec["names"]["plural"], [])

    def _reconcile(self, record: Record) -> None:
        current = self._store.get(BUCKET, record.key)
        if current is None or current.rv != record.rv:
            return  # a newer event follows
        definition = record.obj
        conflict = self._name_conflict(record)
        status = self._status(definition, conflict)
        if record.deleting:
            self._ending[record.name] = record.name
            self._queue_cleanup(record.name)
        served = self._served.get(record.name)
        wanted = (record.uid, definition["spec"], not conflict)
        if not conflict and served != wanted:
            self._served[record.name] = wanted
            spec = definition["spec"]
            resources = compile_definition(definition, self._merge_schemas)
            self._registry.replace_custom(spec["group"], spec["names"]["plural"], resources)
        if status != definition.get("status"):
            self._writer.change_status(self._resource(), record, status, manager=MANAGER)

    def _resource(self) -> Resource:
        found = self._registry.stored(BUCKET)
        assert found is not None
        return found

    def _name_conflict(self, record: Record) -> tuple[str, str] | None:
        """(reason, message) when an older definition of the group has one of the names."""
        spec = record.obj["spec"]
        names = spec["names"]
        for other in self._store.scan(BUCKET):
            if other.name == record.name or other.name not in self._served:
                continue
            theirs = other.obj["spec"]
            if theirs["group"] != spec["group"]:
                continue
            taken = theirs["names"]
            for key, reason in (("kind", "KindConflict"), ("listKind", "ListKindConflict")):
                if names.get(key) and names.get(key) in (taken.get("kind"), taken.get("listKind")):
                    return reason, f'"{names[key]}" is already in use'
            words = {taken.get("plural"), taken.get("singular"), *(taken.get("shortNames") or ())}
            for word in (*(names.get("shortNames") or ()), names.get("singular")):
                if word and word in words:
                    return "ShortNamesConflict", f'"{word}" is already in use'
        return None

    def _status(self, definition: Object, conflict: tuple[str, str] | None) -> Object:
        """The status the definition should have.

        Source: apiextensions-apiserver pkg/controller/status/naming_controller.go, establish/establishing_controller.go.
        """
        spec, status = definition["spec"], definition.get("status") or {}
        if conflict:
            wanted = [
                ("NamesAccepted", "False", *conflict),
                ("Established", "False", "NotAccepted", "not all names are accepted"),
            ]
        else:
            wanted = [
                ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
                ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
            ]
        if definition["metadata"].get("deletionTimestamp"):
            wanted.append(
                (
                    "Terminating",
                    "True",
                    "InstanceDeletionPending",
                    "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
                )
            )
        before = {one["type"]: one for one in status.get("conditions") or ()}
        now = format_time(self._writer.clock.now())
        conditions = []
        for type_, value, reason, message in wanted:
            old = before.pop(type_, None)
            since = old["lastTransitionTime"] if old and old["status"] == value else now
            conditions.append(
                {"type": type_, "status": value, "lastTransitionTime": since, "reason": reason, "message": message}
            )
        conditions += before.values()
        stored = next((one["name"] for one in spec["versions"] if one.get("storage")), "")
        versions = list(status.get("storedVersions") or ())
        if stored and stored not in versions:
            versions.append(stored)
        accepted = {} if conflict else _accepted_names(spec["names"])
        return {
            **status,
            "conditions": conditions,
            "acceptedNames": accepted or {"plural": "", "kind": ""},
            "storedVersions": versions,
        }

    # ---- end ----

    def _queue_cleanup(self, name: str) -> None:
        self._background.add(("crd", name), lambda: self._cleanup(name))

    def _cleanup(self, name: str) -> None:
        """Delete the instances; when none is left, let the definition go."""
        record = self._store.get(BUCKET, "/" + name)
        if record is None or not record.deleting:
            return
        resource = self._registry.stored(name)
        instances = self._store.scan(name)
        for instance in instances:
            if not instance.deleting and resource is not None:
                options = DeleteOptions(propagation="Background")
                deletion.delete(self._store, resource, instance, options, self._writer.clock)
        if self._store.count(name) == 0:

            def change(metadata: Object) -> None:
                metadata["finalizers"] = [one for one in metadata.get("finalizers") or () if one != CLEANUP]

            self._writer.change_metadata(self._resource(), record, change, manager=MANAGER)


def _accepted_names(names: Mapping[str, Any]) -> Object:
    keys = ("plural", "singular", "shortNames", "kind", "listKind", "categories")
    return {key: names[key] for key in keys if names.get(key)}
