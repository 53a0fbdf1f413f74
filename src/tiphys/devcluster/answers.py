"""Objects, lists and watch events written in the form a client asked for."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster import tables
from tiphys.devcluster.conversion import convert
from tiphys.devcluster.negotiation import Form
from tiphys.devcluster.reads import Page
from tiphys.devcluster.resources import TEMPLATE_GENERATION, Resource
from tiphys.devcluster.store import Record
from tiphys.devcluster.watch import WatchEvent

Object = dict[str, Any]


class View(NamedTuple):
    """How one request wants to see a resource: in which version it asked, in which form, with what in Table rows."""

    resource: Resource
    stored: Resource  # the version objects are kept in
    form: Form
    include: str  # includeObject of Tables
    now: datetime

    @property
    def as_stored(self) -> bool:
        """The bytes in the store can be sent as they are."""
        return self.form is Form.FULL and self.resource is self.stored


def write_object(view: View, obj: Object) -> bytes:
    """One object that is already in the requested version."""
    if view.form is Form.TABLE:
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        shown = tables.build_table(view.resource, [obj], metadata, include=view.include, now=view.now)
        return orjson.dumps(shown)
    if view.form is Form.PARTIAL:
        return orjson.dumps(tables.partial_object(obj))
    return orjson.dumps(obj)


def write_record(view: View, record: Record) -> bytes:
    """One stored object."""
    if _is_as_asked(view, record):
        return record.data
    return write_object(view, convert(record.obj, view.stored, view.resource))


def write_scale(view: View, scale: Object) -> bytes:
    """The autoscaling/v1 Scale of an object."""
    if view.form is Form.TABLE:
        return orjson.dumps(tables.build_scale_table(scale, view.include, view.now))
    return orjson.dumps(tables.partial_object(scale) if view.form is Form.PARTIAL else scale)


def _is_as_asked(view: View, record: Record) -> bool:
    """The stored bytes are the answer. A custom object may have been stored in an older storage version."""
    return view.as_stored and (view.resource.custom is None or record.data.startswith(view.resource.head))


def _list_metadata(view: View, page: Page) -> dict[str, Any]:
    metadata: dict[str, Any] = {"resourceVersion": str(page.rv)}
    if page.continue_token or (view.resource.custom is not None and view.form is Form.FULL):
        metadata["continue"] = page.continue_token  # custom lists carry it even when it is empty
    if page.continue_token and page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return metadata


def write_list(view: View, page: Page) -> bytes:
    """A list answer. Items of built-in kinds carry no kind and apiVersion, those of custom ones do, as upstream."""
    resource, metadata = view.resource, _list_metadata(view, page)
    if view.form is Form.TABLE:
        objects = (convert(record.obj, view.stored, resource) for record in page.records)
        return orjson.dumps(tables.build_table(resource, objects, metadata, include=view.include, now=view.now))
    if view.form is Form.PARTIAL:
        items = [tables.partial_object(record.obj) for record in page.records]
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return orjson.dumps({**kind, "metadata": metadata, "items": items or None})
    start = b'{"kind":"%sList","apiVersion":"%s","metadata":%s,"items":[' % (
        resource.kind.encode(),
        resource.api_version.encode(),
        orjson.dumps(metadata),
    )
    return b"".join((start, b",".join(_items(view, page.records)), b"]}"))


def _items(view: View, records: Iterable[Record]) -> list[bytes]:
    resource = view.resource
    if resource.custom is not None:
        return [
            record.data if _is_as_asked(view, record) else orjson.dumps(convert(record.obj, view.stored, resource))
            for record in records
        ]
    if view.as_stored:
        rows = [record.data for record in records]
    else:
        rows = [orjson.dumps(_named(convert(record.obj, view.stored, resource))) for record in records]
    head = view.resource.head
    cut = len(head)
    return [b"{" + row[cut:] if row.startswith(head) else row for row in rows]


def _named(obj: Object) -> Object:
    """The object with its kind and version first, where they can be cut off."""
    return {"kind": obj["kind"], "apiVersion": obj["apiVersion"], **obj}


def write_event(view: View, event: WatchEvent, *, first: bool) -> bytes:
    """One line of a watch. `first`: no event was sent before, so a Table carries its columns."""
    source = event.source
    if source is not None and event.record is not None and _is_as_asked(view, event.record):
        key = (view.resource.version, event.type)
        line = source.lines.get(key)
        if line is None:
            line = b'{"type":"%s","object":%s}\n' % (event.type.encode(), event.record.data)
            source.lines[key] = line
        return line
    return b'{"type":"%s","object":%s}\n' % (event.type.encode(), _event_object(view, event, first))


def _event_object(view: View, event: WatchEvent, first: bool) -> bytes:
    if event.record is None:
        return orjson.dumps(_bookmark(view, event, first))
    if _is_as_asked(view, event.record):
        return event.record.data
    obj = convert(event.record.obj, view.stored, view.resource)
    if view.form is Form.TABLE:
        metadata = {"resourceVersion": str(event.rv)}
        return orjson.dumps(
            tables.build_table(view.resource, [obj], metadata, include=view.include, now=view.now, with_columns=first)
        )
    return write_object(view, obj)


_COUNTED_FROM_ZERO = ("deployments.apps", "replicasets.apps", "statefulsets.apps")


def _bookmark(view: View, event: WatchEvent, first: bool) -> Object:
    metadata: Object = {"resourceVersion": str(event.rv)}
    if event.initial_end:
        metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
    resource = view.resource
    if resource.bucket == "daemonsets.apps" and view.form is Form.FULL:
        metadata["annotations"] = {**metadata.get("annotations", {}), TEMPLATE_GENERATION: "0"}
    shown: Object = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
    if resource.custom is None:
        gvk = GroupVersionKind(resource.group, resource.version, resource.kind)
        blank = goshapes.decode({}, gvk).obj
        if resource.bucket in _COUNTED_FROM_ZERO:
            blank["spec"]["replicas"] = 0
        shown = {**blank, **shown}  # what is written of every object of the kind, set or not
    if view.form is Form.TABLE:
        nameless = {**shown, "metadata": {"name": "", **metadata}}
        row = {"cells": tables.cells_of(resource, nameless, view.now), "object": tables.partial_object(shown)}
        listed = {"resourceVersion": str(event.rv)}
        table = tables.build_table(resource, [], listed, include="None", now=view.now, with_columns=first)
        return {**table, "rows": [row]}
    if view.form is Form.PARTIAL:
        return tables.partial_object(shown)
    return shown
