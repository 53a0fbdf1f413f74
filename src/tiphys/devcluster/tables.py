"""Table answers: the columns and rows `kubectl get` prints, made by the server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import orjson

from tiphys.devcluster import jsonpath
from tiphys.devcluster.durations import since
from tiphys.devcluster.printers import PRINTERS
from tiphys.devcluster.resources import TEMPLATE_GENERATION, Column, Resource

Object = Mapping[str, Any]

_NAME_TEXT = (
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a"
    " client to request the generation of an appropriate name automatically. Name is primarily intended for creation"
    " idempotence and configuration definition. Cannot be updated. More info:"
    " https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
NAME_COLUMN = Column("Name", "string", "name", 0, _NAME_TEXT)
_CLASS_PREFIXES = ("storageclass", "storageclass.beta")
_SCALE_COLUMNS = (
    Column("Name", "string"),
    Column("Desired", "integer"),
    Column("Available", "integer"),
    Column("Age", "string"),
)
_DEFAULT_COLUMNS = (NAME_COLUMN, Column("Age", "string"))


def columns_of(resource: Resource) -> tuple[Column, ...]:
    """Column definitions of a resource, the name first where the kind has one."""
    return resource.columns or _DEFAULT_COLUMNS


def cells_of(resource: Resource, obj: Object, now: datetime) -> list[Any]:
    """One row's cells, as many as there are columns."""
    name = obj["metadata"]["name"]
    if resource.custom is not None:
        return [name, *(_custom_cell(column.type, path, obj, now) for column, path in resource.custom.columns)]
    if resource.bucket == "storageclasses.storage.k8s.io" and _is_default_class(obj):
        name += " (default)"
    printer = PRINTERS.get(resource.bucket)
    columns = columns_of(resource)
    if printer is None:
        cells = [_plain_cell(column, obj, now) for column in columns]
    elif columns[0].name == "Name":
        cells = [name, *printer(obj, now)]
    else:
        cells = printer(obj, now)
    # An IPAddress has an age that no column heads, as on the real server.
    return cells if resource.bucket == "ipaddresses.networking.k8s.io" else cells[: len(columns)]


def _is_default_class(obj: Object) -> bool:
    annotations = obj["metadata"].get("annotations") or {}
    return any(annotations.get(f"{one}.kubernetes.io/is-default-class") == "true" for one in _CLASS_PREFIXES)


def _plain_cell(column: Column, obj: Object, now: datetime) -> Any:
    """A cell of a kind that has no printer of its own here."""
    if column.name == "Name":
        return obj["metadata"]["name"]
    created = obj["metadata"].get("creationTimestamp")
    if column.name == "Age":
        return since(created, now)
    if column.name == "Created At":
        return created
    return 0 if column.type == "integer" else False if column.type == "boolean" else ""


def _custom_cell(kind: str, path: Any, obj: Object, now: datetime) -> Any:
    """Source: apiextensions-apiserver pkg/registry/customresource/tableconvertor."""
    found = jsonpath.find(path, obj)
    if not found or found[0] is None:
        return None
    value = found[0]
    if kind == "date":
        return since(value, now) if isinstance(value, str) else None
    if kind == "integer":
        return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def partial_object(obj: Object, version: str = "v1") -> dict[str, Any]:
    """The object's metadata alone, as PartialObjectMetadata."""
    metadata = obj["metadata"]
    if obj.get("kind") == "DaemonSet" and TEMPLATE_GENERATION in (metadata.get("annotations") or {}):
        # Written into the annotations of a whole DaemonSet only.
        annotations = {key: value for key, value in metadata["annotations"].items() if key != TEMPLATE_GENERATION}
        metadata = {key: value for key, value in metadata.items() if key != "annotations"}
        metadata |= {"annotations": annotations} if annotations else {}
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}


def build_row(resource: Resource, obj: Object, include: str, now: datetime) -> dict[str, Any]:
    """A TableRow; `include` is what the query's includeObject asks for: None, Metadata or Object."""
    row: dict[str, Any] = {"cells": cells_of(resource, obj, now)}
    row["object"] = obj if include == "Object" else None if include == "None" else partial_object(obj)
    return row


def build_scale_table(scale: Object, include: str, now: datetime) -> dict[str, Any]:
    """A Table of one autoscaling/v1 Scale."""
    metadata = scale["metadata"]
    counts = [(scale.get(part) or {}).get("replicas") or 0 for part in ("spec", "status")]
    row: dict[str, Any] = {"cells": [metadata["name"], *counts, since(metadata.get("creationTimestamp"), now)]}
    row["object"] = scale if include == "Object" else None if include == "None" else partial_object(scale)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": metadata.get("resourceVersion", "")},
        "columnDefinitions": [one.to_json() for one in _SCALE_COLUMNS],
        "rows": [row],
    }


def build_table(
    resource: Resource,
    objects: Iterable[Object],
    metadata: Mapping[str, Any],
    *,
    include: str,
    now: datetime,
    with_columns: bool = True,
) -> dict[str, Any]:
    """A Table of some objects of one resource."""
    columns = columns_of(resource)
    rows = [build_row(resource, obj, include, now) for obj in objects]
    # Kinds without a printer of their own have no rows instead of none.
    generic = resource.custom is None and [one.name for one in columns] == ["Name", "Created At"]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": [one.to_json() for one in columns] if with_columns else None,
        "rows": rows or (None if generic else []),
    }
