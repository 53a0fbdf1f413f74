"""apply, update: who owns which field of an object, as `metadata.managedFields` records it.

`update` is for create, replace and every patch but apply: it looks at what changed. `apply` merges an applied
configuration into an object and refuses to take fields others own unless forced. Both are pure; time is an argument.

Where a kind has fields that are always there (Go structs without omitempty), `zero` is the object of that kind with
nothing set: it is what a new object is compared with. For custom kinds it is empty.

Call them with the object as decoded and defaulted, before admission and before the server fills its own fields: what the
server adds afterwards belongs to nobody. The object `apply` gives back still has nulls where a container lost its last
entry, and defaults and canonical forms are not applied to it; after that, `settle_times` takes back a time that changed
for nothing.

Source: dev-cluster 6 items 5-7; apimachinery pkg/util/managedfields.
Differs: an entry of another apiVersion is read as if its paths were those of the version of the request, when the caller
names that version in `versions`; only kinds whose versions have different fields (HorizontalPodAutoscaler) can tell.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tiphys.apimachinery import fieldset
from tiphys.apimachinery.apierrors import ApiError, FieldCause, apply_conflict, bad_request, go_json
from tiphys.apimachinery.fieldset import EMPTY, FieldSet, Path
from tiphys.apimachinery.managedentries import (
    Entry,
    ManagedFieldsError,
    ManagerId,
    Managers,
    Object,
    decode,
    encode,
    entries_of,
    uid_of,
    with_managed_fields,
    without_entries,
)
from tiphys.apimachinery.mergeschema import MergeSchema
from tiphys.apimachinery.mergevalidation import validate
from tiphys.apimachinery.names import split_api_version
from tiphys.apimachinery.structuredmerge import (
    Comparison,
    MergeError,
    compare,
    merge,
    prune,
    reconcile,
    same,
    to_set,
)

__all__ = [
    "ANCIENT_CHANGES",
    "BEFORE_FIRST_APPLY",
    "LAST_APPLIED",
    "MAX_UPDATERS",
    "ManagedFieldsError",
    "apply",
    "reset_fields_of",
    "settle_times",
    "update",
    "update_scale",
    "with_managed_fields",
]

MAX_UPDATERS: Final = 10
"""Entries of operation Update an object keeps; the oldest ones beyond are folded into `ancient-changes`."""

BEFORE_FIRST_APPLY: Final = "before-first-apply"
ANCIENT_CHANGES: Final = "ancient-changes"
LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_MAX_ANNOTATIONS_BYTES: Final = 256 * 1024

_NEVER_OWNED: Final[FieldSet] = fieldset.from_paths(
    [("f:apiVersion",), ("f:kind",), ("f:metadata",)]
    + [
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "creationTimestamp",
            "selfLink",
            "uid",
            "clusterName",
            "generation",
            "managedFields",
            "resourceVersion",
        )
    ]
)


# ---- the request ----


@dataclass(frozen=True, slots=True)
class Request:
    """Who writes, where and when.

    `manager` is the field manager (empty: `unknown`), `api_version` and `subresource` those of the endpoint, `now` the
    time in RFC 3339 with whole seconds and `Z`. `reset_fields` are the fields the endpoint ignores, see
    `reset_fields_of`. `versions` are further versions in which the kind is served; entries of any other are dropped.
    """

    manager: str
    api_version: str
    schema: MergeSchema
    now: str
    subresource: str
    reset_fields: FieldSet
    versions: frozenset[str]

    def identifier(self, operation: str) -> ManagerId:
        """The entry this request writes to."""
        api_version = self.api_version if operation == "Update" else ""
        return ManagerId(self.manager or "unknown", operation, api_version, self.subresource)


def reset_fields_of(group: str, kind: str, subresource: str, *, has_status: bool) -> FieldSet:
    """Fields an endpoint ignores, so that nobody comes to own them there.

    The main resource ignores `status` where there is a status subresource; `/status` ignores `spec`, and `metadata` for
    most kinds outside the oldest groups.

    Source: kubernetes pkg/registry GetResetFields of every strategy.
    """
    if group == "certificates.k8s.io" and kind == "CertificateSigningRequest":
        other = {"": ("f:status",), "status": ("f:status", "f:conditions"), "approval": ("f:status", "f:certificate")}
        return fieldset.from_paths([("f:spec",), other[subresource]]) if subresource in other else EMPTY
    if subresource != "status":
        return fieldset.from_paths([("f:status",)]) if has_status and subresource in ("", "finalize") else EMPTY
    paths: list[Path] = [("f:spec",)]
    if group == "" and kind == "Pod":
        paths += [("f:metadata", "f:deletionTimestamp"), ("f:metadata", "f:ownerReferences")]
    elif group == "apps" and kind == "Deployment":
        paths.append(("f:metadata", "f:labels"))
    elif group not in ("", "apps", "batch", "autoscaling", "policy") and (group, kind) not in (
        ("networking.k8s.io", "Ingress"),
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ):
        paths.append(("f:metadata",))
    return fieldset.from_paths(paths)


# ---- update ----


def update(
    live: Object | None,
    new: Object,
    *,
    manager: str,
    api_version: str,
    schema: MergeSchema,
    now: str,
    subresource: str = "",
    reset_fields: FieldSet = EMPTY,
    zero: Object | None = None,
    versions: frozenset[str] = frozenset(),
) -> list[dict[str, Any]]:
    """The managedFields `new` gets when it replaces `live` (None: when it is created); empty means it has none.

    A client may hand in managedFields of its own: `[]` and `[{}]` end the tracking, a list that can be read takes the
    place of the one that was there, anything else is ignored. Objects without managedFields stay untracked.
    """
    request = Request(manager, api_version, schema, now, subresource, reset_fields, versions)
    before = (zero or {}) if live is None else live
    entries = entries_of(new)
    managers: Managers = {}
    if subresource or not _is_reset(entries):
        managers = _given(before, None if subresource else entries)
    if not managers and uid_of(before):
        return []
    try:
        managers = _read_again(managers, request)
        return encode(_capped(_updated(without_entries(before), without_entries(new), managers, request)))
    except MergeError:
        return []  # the object will not pass validation; upstream drops the entries likewise


def _is_reset(entries: object) -> bool:
    if not isinstance(entries, list):
        return False
    return not entries or (len(entries) == 1 and not any((entries[0] or {}).values()))


def _given(live: Object, entries: object) -> Managers:
    """The entries to start from: the client's when they can be read and are others than the object's own."""
    own = entries_of(live) or []
    if isinstance(entries, list) and entries and entries != own:
        try:
            return decode(entries)
        except (ManagedFieldsError, AttributeError):
            pass  # a client that does not understand the field must not be able to break it
    try:
        return decode(own, trusted=True)
    except ManagedFieldsError:
        return {}


def _updated(live: Object, new: Object, managers: Managers, request: Request) -> Managers:
    """`managers` after `request` changed `live` into `new`."""
    changes = compare(live, new, request.schema.atom)
    if request.reset_fields:
        changes = Comparison(*(fieldset.without_trees(one, request.reset_fields) for one in changes))
    out = _after(managers, changes, request, mine=None)
    fields = fieldset.difference(changes.changed, _NEVER_OWNED)
    if fields:
        me = request.identifier("Update")
        previous = out.get(me)
        if previous is not None:
            fields = fieldset.union(fields, previous.fields)
        out[me] = Entry(fields, request.api_version, request.now)
    return out


def _after(managers: Managers, changes: Comparison, request: Request, mine: ManagerId | None) -> Managers:
    """Every other manager's entry without the fields that changed hands or went away."""
    lost = fieldset.union(changes.changed, changes.removed)
    out: Managers = {}
    for manager, entry in managers.items():
        if manager == mine:
            out[manager] = entry
            continue
        if entry.api_version != request.api_version and entry.api_version not in request.versions:
            continue
        fields = fieldset.difference(entry.fields, lost)
        if fields is entry.fields:
            out[manager] = entry
        elif fields:
            out[manager] = Entry(fields, entry.api_version, entry.time)
    return {manager: entry for manager, entry in out.items() if entry.fields}


def _read_again(managers: Managers, request: Request) -> Managers:
    """Entries as they read now, where the type may have changed since they were written."""
    if not request.schema.evolves:
        return managers
    out: Managers = {}
    for manager, entry in managers.items():
        fields = reconcile(entry.fields, request.schema.atom)
        same_fields = fields is entry.fields
        out[manager] = entry if same_fields else Entry(fields, entry.api_version, entry.time)
    return out


def _capped(managers: Managers) -> Managers:
    """At most MAX_UPDATERS entries of operation Update; the oldest of one version are folded together."""
    updaters = [manager for manager in managers if manager.operation == "Update"]
    if len(updaters) <= MAX_UPDATERS:
        return managers
    updaters.sort(key=lambda manager: (managers[manager].time or "", manager.json()))
    out = dict(managers)
    left = len(updaters)
    first: dict[str, ManagerId] = {}
    for manager in updaters:
        if left <= MAX_UPDATERS:
            break
        entry = out[manager]
        if entry.api_version not in first:
            first[entry.api_version] = manager
            continue
        bucket = ManagerId(ANCIENT_CHANGES, "Update", entry.api_version, "")
        if bucket not in out:
            out[bucket] = out.pop(first[entry.api_version])
        folded = fieldset.union(entry.fields, out[bucket].fields)
        del out[manager]
        out[bucket] = Entry(folded, entry.api_version, entry.time)
        left -= 1
    return out


def update_scale(
    live: Object, *, manager: str, api_version: str, path: Path = ("f:spec", "f:replicas")
) -> list[dict[str, Any]]:
    """The managedFields of an object whose replicas were changed through its scale subresource.

    The new entry bears no time: the API keeps none for it. Replicas that nobody owned stay that way: the Scale is an
    object without tracking then.
    """
    replicas = fieldset.from_paths([path])
    before = _given(live, None)
    if not any(fieldset.has(entry.fields, path) for entry in before.values()):
        return encode(before)
    out: Managers = {}
    for one, entry in before.items():
        fields = fieldset.difference(entry.fields, replicas)
        if fields:
            out[one] = entry if fields is entry.fields else Entry(fields, entry.api_version, entry.time)
    me = ManagerId(manager or "unknown", "Update", api_version, "scale")
    out[me] = Entry(replicas, api_version, None)
    return encode(out)


# ---- apply ----


class _Conflicts(Exception):
    """Fields other managers own, in the order they are reported."""

    def __init__(self, found: list[tuple[ManagerId, Path]]) -> None:
        super().__init__()
        self.found = found


def apply(
    live: Object | None,
    config: Object,
    *,
    manager: str,
    api_version: str,
    schema: MergeSchema,
    force: bool,
    now: str,
    subresource: str = "",
    reset_fields: FieldSet = EMPTY,
    zero: Object | None = None,
    versions: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The object after `manager` applied `config` to `live` (None: to nothing), with its managedFields.

    What the manager applied before and does not apply now goes away unless somebody else owns it. An apply that changes
    nothing gives back the values of `live` unchanged.

    Raises apierrors.Conflict with one cause for each field somebody else owns, unless `force`; BadRequest for a
    configuration of another version or with managedFields; ApiError (500, as upstream) for one that does not fit its type.
    """
    request = Request(manager, api_version, schema, now, subresource, reset_fields, versions)
    _check(config, api_version)
    before = dict(zero or {}) if live is None else live
    try:
        managers = decode(entries_of(before) or [], trusted=True)
    except ManagedFieldsError as exc:
        raise ApiError(f"failed to decode managed fields: {exc}") from exc
    before = without_entries(before)
    if not managers:
        first = Request(BEFORE_FIRST_APPLY, api_version, schema, now, subresource, reset_fields, versions)
        managers = _updated(zero or {}, before, {}, first)
    managers = _read_again(managers, request)
    try:
        validate(config, schema.atom)
    except MergeError as exc:
        raise ApiError(f"failed to create typed patch object ({_described(config)}): {exc}") from exc
    try:
        new, managers = _applied(before, config, managers, request, force)
    except _Conflicts as exc:
        found = exc.found
        if manager == "kubectl":
            allowed = _from_client_side_apply(before, request)
            found = [(one, path) for one, path in found if allowed is None or not fieldset.has(allowed, path)]
        if found:
            raise _conflict_error(found) from None
        new, managers = _applied(before, config, managers, request, True)
    if manager == "kubectl":
        new = _with_last_applied(new, config)
    return with_managed_fields(new, encode(managers))


def _check(config: Object, api_version: str) -> None:
    said = str(config.get("apiVersion") or "")
    if said != api_version:
        raise bad_request(f"invalid object type: {_gvk_text(config)}")
    if entries_of(config) is not None:
        raise bad_request("metadata.managedFields must be nil")


def _gvk_text(obj: Object) -> str:
    group, version = split_api_version(str(obj.get("apiVersion") or ""))
    return f"{group}/{version}, Kind={obj.get('kind') or ''}"


def _described(obj: Object) -> str:
    metadata = obj.get("metadata") or {}
    where, name = (one if isinstance(one, str) else "" for one in (metadata.get("namespace"), metadata.get("name")))
    return f"{where}/{name}; {_gvk_text(obj)}"


def _applied(
    live: dict[str, Any], config: Object, managers: Managers, request: Request, force: bool
) -> tuple[dict[str, Any], Managers]:
    """The merged object without managedFields, and the managers after it. Raises _Conflicts."""
    atom = request.schema.atom
    me = request.identifier("Apply")
    try:
        new = merge(live, config, atom)
        fields = to_set(config, atom)
    except MergeError as exc:
        raise ApiError(f"failed to merge config: {exc}") from exc
    if request.reset_fields:
        fields = fieldset.without_trees(fields, request.reset_fields)
    last = managers.get(me)
    now_owned = managers | {me: Entry(fields, request.api_version, None if last is None else last.time)}
    if last is not None and last.fields:
        owned: FieldSet = EMPTY
        for entry in now_owned.values():
            owned = fieldset.union(owned, entry.fields)
        new = prune(new, last.fields, owned, atom)
    changes = compare(live, new, atom)
    if request.reset_fields:
        changes = Comparison(*(fieldset.without_trees(one, request.reset_fields) for one in changes))
    if not force:
        _refuse_conflicts(now_owned, changes.changed, me)
    out = _after(now_owned, changes, request, mine=me)
    left = fieldset.difference(fields, _NEVER_OWNED)
    unchanged = same(live, new)
    out.pop(me, None)
    if left:
        out[me] = _applier(left, last, request, touched=not unchanged)
    return (live if unchanged else new), out


def _applier(fields: FieldSet, last: Entry | None, request: Request, *, touched: bool) -> Entry:
    """The applier's own entry; it is kept as it stands when nothing about it changed."""
    if last is None:
        return Entry(fields, request.api_version, request.now if touched else None)
    time = request.now if touched else last.time
    equal = not fieldset.difference(fields, last.fields) and not fieldset.difference(last.fields, fields)
    kept = last.raw is not None and time == last.time and last.api_version == request.api_version and equal
    return last if kept else Entry(fields, request.api_version, time)


def _refuse_conflicts(managers: Managers, changed: FieldSet, me: ManagerId) -> None:
    if not changed:
        return
    found: list[tuple[ManagerId, Path]] = []
    for manager in sorted(managers, key=ManagerId.json):
        if manager != me:
            taken = fieldset.intersection(managers[manager].fields, changed)
            found += [(manager, path) for path in fieldset.paths(taken)]
    if found:
        raise _Conflicts(found)


def _conflict_error(found: list[tuple[ManagerId, Path]]) -> ApiError:
    """409 with one cause for each field, and the message upstream builds of them."""
    causes = [
        FieldCause("FieldManagerConflict", f"conflict with {manager}", fieldset.path_string(path))
        for manager, path in found
    ]
    if len(found) == 1:
        return apply_conflict(causes, f"Apply failed with 1 conflict: {causes[0].message}: {causes[0].field}")
    lines: list[str] = []
    for (manager, _), cause in zip(found, causes, strict=True):
        header = f"conflicts with {manager}:"
        if header not in lines:
            lines.append(header)
        lines.append(f"- {cause.field}")
    return apply_conflict(causes, f"Apply failed with {len(found)} conflicts: " + "\n".join(lines))


# ---- kubectl's move from client-side to server-side apply ----


def _annotations(obj: Object) -> Mapping[str, Any]:
    metadata = obj.get("metadata") or {}
    return metadata.get("annotations") or {}


def _from_client_side_apply(live: Object, request: Request) -> FieldSet | None:
    """Fields kubectl applied client-side that are still as it left them; None when there is no such record."""
    recorded = _annotations(live).get(LAST_APPLIED)
    if not recorded:
        return None
    try:
        applied = json.loads(recorded)
        if not isinstance(applied, dict) or applied.get("apiVersion") != request.api_version:
            return None
        validate(applied, request.schema.atom)
        fields = to_set(applied, request.schema.atom)
        changes = compare(applied, live, request.schema.atom)
    except ValueError:
        return None
    for one in changes:
        fields = fieldset.difference(fields, one)
    return fields


def _with_last_applied(obj: dict[str, Any], config: Object) -> dict[str, Any]:
    """`obj` with kubectl's record brought up to date, if it has one, so that client-side apply keeps working."""
    annotations = dict(_annotations(obj))
    if not annotations.get(LAST_APPLIED):
        return obj
    metadata = dict(config.get("metadata") or {})
    if isinstance(metadata.get("annotations"), Mapping):
        metadata["annotations"] = {k: v for k, v in metadata["annotations"].items() if k != LAST_APPLIED}
    annotations[LAST_APPLIED] = go_json({**config, "metadata": metadata}) + "\n"
    if sum(len(key.encode()) + len(str(value).encode()) for key, value in annotations.items()) > _MAX_ANNOTATIONS_BYTES:
        del annotations[LAST_APPLIED]
    return {**obj, "metadata": {**obj["metadata"], "annotations": annotations}}


# ---- after the write ----


def settle_times(live: Object, new: Object, *, equal: Callable[[object, object], bool] = same) -> Object:
    """`new` with the times of `live` where nothing but times changed, so that a write of nothing stays one."""
    was, now = entries_of(live), entries_of(new)
    if not was or not now or len(was) != len(now) or was == now:
        return new
    if any(_timeless(a) != _timeless(b) for a, b in zip(was, now, strict=True)):
        return new
    if not equal(without_entries(live), without_entries(new)):
        return new
    return with_managed_fields(new, was)


def _timeless(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "time"}
