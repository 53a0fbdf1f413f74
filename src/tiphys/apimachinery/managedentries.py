"""Entries of `metadata.managedFields`: which manager owns which fields, read from and written to an object.

Source: dev-cluster 6 item 6; apimachinery pkg/util/managedfields/internal/managedfields.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from tiphys.apimachinery import fieldset
from tiphys.apimachinery.apierrors import go_quote
from tiphys.apimachinery.fieldset import EMPTY, FieldSet, FieldSetError

Object = Mapping[str, Any]  # one API object as parsed JSON, never changed in place


class ManagedFieldsError(ValueError):
    """A managedFields list that cannot be read."""


class ManagerId(NamedTuple):
    """What makes two entries one. `api_version` is empty for appliers, who own the same fields in every version."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def json(self) -> str:
        """The identifier as upstream writes it; entries of equal age are ordered by it."""
        shown = {"manager": self.manager, "operation": self.operation}
        if self.api_version:
            shown["apiVersion"] = self.api_version
        if self.subresource:
            shown["subresource"] = self.subresource
        return json.dumps(shown, separators=(",", ":"), ensure_ascii=False)

    def __str__(self) -> str:
        """`"curl" with subresource "status" using v1`, the form in conflict messages."""
        text = go_quote(self.manager)
        if self.subresource:
            text += f" with subresource {go_quote(self.subresource)}"
        return f"{text} using {self.api_version}" if self.operation == "Update" else text


@dataclass(frozen=True, slots=True)
class Entry:
    """One manager's fields. `raw` is the entry as it stands in the object, None when it has to be written anew."""

    fields: FieldSet
    api_version: str
    time: str | None
    raw: Mapping[str, Any] | None = None


Managers = dict[ManagerId, Entry]


# ---- reading and writing entries ----


def decode(entries: Iterable[Mapping[str, Any]], *, trusted: bool = False) -> Managers:
    """Entries by manager. `trusted` entries were written by `encode` and their field sets are taken as they stand.

    Raises ManagedFieldsError.
    """
    out: Managers = {}
    for at, entry in enumerate(entries):
        operation, api_version = entry.get("operation") or "", entry.get("apiVersion") or ""
        if operation not in ("Apply", "Update"):
            raise ManagedFieldsError("operation must be `Apply` or `Update`")
        if not api_version:
            raise ManagedFieldsError("apiVersion must not be empty")
        kind = entry.get("fieldsType") or ""
        if kind != "FieldsV1":
            what = f"invalid fieldsType {go_quote(str(kind))}" if kind else "missing fieldsType"
            raise ManagedFieldsError(f"{what} in managed fields entry {at}")
        fields = entry.get("fieldsV1") or EMPTY
        if not trusted:
            try:
                fields = fieldset.decode(fields)
            except FieldSetError as exc:
                raise ManagedFieldsError(f"error decoding set: {exc}") from exc
        manager = ManagerId(
            str(entry.get("manager") or ""),
            operation,
            api_version if operation == "Update" else "",
            str(entry.get("subresource") or ""),
        )
        out[manager] = Entry(fields, api_version, entry.get("time"), entry if trusted else None)
    return out


def encode(managers: Mapping[ManagerId, Entry]) -> list[dict[str, Any]]:
    """The managedFields list: appliers first, then the oldest first."""
    ordered = sorted(
        managers.items(),
        key=lambda one: (one[0].operation, one[1].time or "", one[0].manager, one[1].api_version, one[0].subresource),
    )
    return [_written(manager, entry) for manager, entry in ordered]


def _written(manager: ManagerId, entry: Entry) -> dict[str, Any]:
    if entry.raw is not None:
        return entry.raw  # type: ignore[return-value]  # shared, like every part of an object
    out: dict[str, Any] = {
        "manager": manager.manager,
        "operation": manager.operation,
        "apiVersion": entry.api_version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": fieldset.encode(entry.fields),
        "subresource": manager.subresource,
    }
    return {key: value for key, value in out.items() if value or key == "fieldsV1"}


def entries_of(obj: Object) -> Any:
    """The managedFields of an object as they stand, None when there are none."""
    metadata = obj.get("metadata")
    return metadata.get("managedFields") if isinstance(metadata, Mapping) else None


def without_entries(obj: Object) -> dict[str, Any]:
    """`obj` without managedFields."""
    metadata = obj.get("metadata")
    if not isinstance(metadata, Mapping) or "managedFields" not in metadata:
        return dict(obj)
    return {**obj, "metadata": {key: value for key, value in metadata.items() if key != "managedFields"}}


def with_managed_fields(obj: Object, entries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """`obj` with these entries; without the field when there are none."""
    out = without_entries(obj)
    if entries:
        out["metadata"] = {**(out.get("metadata") or {}), "managedFields": list(entries)}
    return out


def uid_of(obj: Object) -> object:
    """The uid of an object; one that is not stored yet has none."""
    metadata = obj.get("metadata")
    return metadata.get("uid") if isinstance(metadata, Mapping) else None
