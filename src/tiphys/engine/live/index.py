"""What is known of one cluster's objects: by key, by owner, by the Application that tracks them. No I/O.

Objects are kept as JSON bytes and a small row; a dict tree of a Deployment is six times as large.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import orjson

from tiphys.apimachinery.names import GroupKind, ResourceKey, gvk_of
from tiphys.apimachinery.yamljson import tight
from tiphys.engine.states import FIELD_MANAGER, Live
from tiphys.model.annotations import annotations_of, tracking_of

# A change: key, the row before, the row after; None where there was or is none.
Changed = Callable[[ResourceKey, Live | None, Live | None], None]
# The Application instance an object belongs to, empty when to none.
InstanceOf = Callable[[Mapping[str, Any]], str]

_REMEMBERED_DELETIONS = 4096
_NO_KEYS: frozenset[ResourceKey] = frozenset()


def instance_by_annotation(obj: Mapping[str, Any]) -> str:
    """Instance named by the tracking annotation, if the annotation was put on this very object and not copied with it.

    Source: compat 3.1 "Self reference".
    """
    tracking = tracking_of(annotations_of(obj))
    if tracking is None:
        return ""
    gvk = gvk_of(obj)
    metadata = obj.get("metadata") or {}
    namespace = str(metadata.get("namespace") or "")
    same = (
        tracking.kind == gvk.kind
        and tracking.name == metadata.get("name")
        and tracking.group == gvk.group
        and (not namespace or tracking.namespace == namespace)
    )
    return tracking.instance if same else ""


def is_newer(candidate: str, than: str) -> bool:
    """`candidate` is a later resourceVersion. Versions that are no numbers count as later, so that nothing is held back."""
    if candidate.isdigit() and than.isdigit():
        return int(candidate) > int(than)
    return candidate != than


def row_of(obj: Mapping[str, Any], instance_of: InstanceOf) -> Live:
    """The row kept for a live object; of managedFields only what our server-side apply owns."""
    gvk = gvk_of(obj)
    metadata = obj.get("metadata") or {}
    applied = b""
    if "managedFields" in metadata:
        applied = _applied(metadata["managedFields"])
        metadata = {k: v for k, v in metadata.items() if k != "managedFields"}
        obj = {**obj, "metadata": metadata}
    owners = tuple(str(o.get("uid") or "") for o in metadata.get("ownerReferences") or ())
    return Live(
        key=ResourceKey(gvk.group, gvk.kind, str(metadata.get("namespace") or ""), str(metadata.get("name") or "")),
        version=gvk.version,
        uid=str(metadata.get("uid") or ""),
        resource_version=str(metadata.get("resourceVersion") or ""),
        json=tight(orjson.dumps(obj)),
        instance=instance_of(obj),
        owners=owners,
        deleting="deletionTimestamp" in metadata,
        applied=applied,
    )


def _applied(entries: Iterable[Mapping[str, Any]] | None) -> bytes:
    for entry in entries or ():
        if entry.get("manager") == FIELD_MANAGER and entry.get("operation") == "Apply" and not entry.get("subresource"):
            return tight(orjson.dumps(entry.get("fieldsV1") or {}))
    return b""


class LiveIndex:
    """Rows of one cluster with the two ways to find them. One writer: the event loop.

    Watch events and answers to our own writes come by different connections, so either may be late. The uids of objects
    that were lately removed are remembered: the answer to a delete, arriving after the deletion event, must not bring
    its object back.
    """

    def __init__(self, *, changed: Changed, instance_of: InstanceOf = instance_by_annotation) -> None:
        self._rows: dict[ResourceKey, Live] = {}
        self._by_uid: dict[str, ResourceKey] = {}
        self._by_kind: dict[GroupKind, set[ResourceKey]] = {}
        self._by_instance: dict[str, set[ResourceKey]] = {}
        self._children: dict[str, set[ResourceKey]] = {}
        self._gone: dict[str, None] = {}  # in the order of removal
        self._changed = changed
        self._instance_of = instance_of

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: ResourceKey) -> Live | None:
        """The live object, None when there is none (or its kind is not watched)."""
        return self._rows.get(key)

    def of_instance(self, instance: str) -> Iterator[Live]:
        """Tracked objects of an Application that no other object owns."""
        for key in self._by_instance.get(instance, _NO_KEYS):
            row = self._rows[key]
            if not row.owners:
                yield row

    def children(self, uid: str) -> Iterator[Live]:
        """Objects that name this uid as an owner."""
        for key in self._children.get(uid, _NO_KEYS):
            yield self._rows[key]

    def kinds(self) -> Mapping[GroupKind, int]:
        """How many objects of each kind are known."""
        return {kind: len(keys) for kind, keys in self._by_kind.items()}

    def roots(self, row: Live) -> Iterator[Live]:
        """The objects without owners that own this one, itself when it has none."""
        seen: set[str] = set()
        stack = [row]
        while stack:
            current = stack.pop()
            if current.uid in seen:
                continue
            seen.add(current.uid)
            parents = [p for uid in current.owners if (k := self._by_uid.get(uid)) and (p := self._rows.get(k))]
            if parents:
                stack.extend(parents)
            else:
                yield current

    def upsert(self, obj: Mapping[str, Any]) -> None:
        """An object as a watch event or an answer to our own write shows it; an older version than the known one is dropped."""
        if not self._is_known(obj):
            self.put(self.row(obj))

    def _is_known(self, obj: Mapping[str, Any]) -> bool:
        """This version or a later one is here already, as after the answer to our own write: half of all events while we
        deploy, and not worth a row."""
        metadata = obj.get("metadata") or {}
        key = self._by_uid.get(metadata.get("uid") or "")
        row = self._rows.get(key) if key is not None else None
        if row is None or (row.key.kind, row.key.name) != (obj.get("kind"), metadata.get("name")):
            return False
        return not is_newer(str(metadata.get("resourceVersion") or ""), row.resource_version)

    def row(self, obj: Mapping[str, Any]) -> Live:
        """The row this index keeps for an object."""
        return row_of(obj, self._instance_of)

    def put(self, row: Live) -> None:
        """As `upsert`, for a row that `row` made."""
        if row.uid in self._gone:
            return
        old = self._rows.get(row.key)
        if old is not None and old.uid == row.uid and not is_newer(row.resource_version, old.resource_version):
            return
        self._store(row, old)
        self._changed(row.key, old, row)

    def remove(self, key: ResourceKey, resource_version: str = "") -> None:
        """The object is gone. A deletion older than what is known (the object was made anew) is dropped."""
        old = self._rows.get(key)
        if old is None:
            return
        if resource_version and is_newer(old.resource_version, resource_version):
            return
        self._drop(old)
        self._gone[old.uid] = None
        if len(self._gone) > _REMEMBERED_DELETIONS:
            del self._gone[next(iter(self._gone))]
        self._changed(key, old, None)

    def replace(
        self, kind: GroupKind, rows: Iterable[Live], resource_version: str = "", *, namespace: str = ""
    ) -> None:
        """A complete list of a kind (in one namespace, if one is given) at a resourceVersion: what it does not hold is
        gone, unless it was made later."""
        gone = {key for key in self._by_kind.get(kind, ()) if namespace in ("", key.namespace)}
        for row in rows:
            gone.discard(row.key)
            self._gone.pop(row.uid, None)  # a list is the truth at its version; a later deletion will be told again
            self.put(row)
        for key in gone:
            self.remove(key, resource_version)

    def clear(self) -> None:
        """Forget everything, telling nobody: the cluster is not followed any more."""
        for held in (self._rows, self._by_uid, self._by_kind, self._by_instance, self._children, self._gone):
            held.clear()

    def _store(self, row: Live, old: Live | None) -> None:
        if old is not None:
            self._unlink(old)
        self._rows[row.key] = row
        self._by_uid[row.uid] = row.key
        self._by_kind.setdefault(row.key.group_kind, set()).add(row.key)
        if row.instance:
            self._by_instance.setdefault(row.instance, set()).add(row.key)
        for uid in row.owners:
            self._children.setdefault(uid, set()).add(row.key)

    def _unlink(self, row: Live) -> None:
        self._by_uid.pop(row.uid, None)
        _discard(self._by_instance, row.instance, row.key)
        for uid in row.owners:
            _discard(self._children, uid, row.key)

    def _drop(self, row: Live) -> None:
        self._unlink(row)
        del self._rows[row.key]
        _discard(self._by_kind, row.key.group_kind, row.key)


def _discard(index: dict[Any, set[ResourceKey]], at: object, key: ResourceKey) -> None:
    keys = index.get(at)
    if keys is not None:
        keys.discard(key)
        if not keys:
            del index[at]
