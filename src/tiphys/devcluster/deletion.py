"""Delete: options, propagation, finalizers, grace periods, preconditions; one object or a whole collection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tiphys.apimachinery import apierrors
from tiphys.apimachinery.apierrors import BadRequest
from tiphys.devcluster import objectmeta
from tiphys.devcluster.negotiation import Query
from tiphys.devcluster.resources import Resource
from tiphys.devcluster.store import Record, Store
from tiphys.runtime.clock import Clock, format_time, parse_time

Object = dict[str, Any]

FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
DEFAULT_GRACE_S = 30
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"

# Deleting these answers with the object, as their storage does.
_ANSWERS_WITH_OBJECT = frozenset(
    (
        "pods",
        "services",
        "serviceaccounts",
        "podtemplates",
        "resourcequotas",
        "persistentvolumeclaims",
        "persistentvolumes",
        "storageclasses.storage.k8s.io",
        "csidrivers.storage.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattributesclasses.storage.k8s.io",
        "deviceclasses.resource.k8s.io",
        "resourceclaims.resource.k8s.io",
        "resourceclaimtemplates.resource.k8s.io",
    )
)
_SHOWN_WHEN_DRY = frozenset(("volumeattachments.storage.k8s.io", "resourceslices.resource.k8s.io"))
_JOB_WARNING = (
    "child pods are preserved by default when jobs are deleted;"
    " set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning"
)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    """metav1.DeleteOptions as far as they matter here."""

    grace_period_s: int | None = None
    propagation: str = ""  # Background, Foreground, Orphan, or empty for the kind's default
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    kept_dependents_asked: bool = False  # orphanDependents was said to be false, in the old way


@dataclass(slots=True)
class Deleted:
    """What a delete left: the object when it is still there (or its kind answers so), else None."""

    record: Record
    gone: bool
    obj: Object | None
    rv: int


def options_of_query(query: Query) -> Object:
    """The options a DELETE request carries in its query. Raises BadRequest."""
    found: Object = {}
    grace = query.number("gracePeriodSeconds")
    if grace is not None:
        found["gracePeriodSeconds"] = grace
    if "orphanDependents" in query:
        found["orphanDependents"] = query.flag("orphanDependents")
    if propagation := query.text("propagationPolicy"):
        found["propagationPolicy"] = propagation
    if asked := query.texts("dryRun"):
        found["dryRun"] = asked
    return found


def parse_delete_options(options: Mapping[str, Any]) -> DeleteOptions:
    """Options as they were sent, checked. Raises BadRequest, Invalid."""
    grace = options.get("gracePeriodSeconds")
    propagation = options.get("propagationPolicy") or ""
    orphan = options.get("orphanDependents")
    if orphan is not None:
        if propagation:
            raise _both_set(propagation)
        propagation = "Orphan" if orphan else "Background"
    causes = []
    if options.get("propagationPolicy") == "" or propagation not in ("", "Background", "Foreground", "Orphan"):
        accepted = ("Foreground", "Background", "Orphan", "nil")
        causes.append(apierrors.not_supported("propagationPolicy", propagation, accepted))
    dry_run = options.get("dryRun") or []
    if any(one != "All" for one in dry_run):
        causes.append(apierrors.not_supported("dryRun", dry_run, ("All",)))
    if causes:
        raise apierrors.invalid("DeleteOptions", "meta.k8s.io", "", causes)
    if grace is not None and not isinstance(grace, int):
        raise BadRequest("gracePeriodSeconds must be a whole number")
    preconditions = options.get("preconditions") or {}
    return DeleteOptions(
        grace_period_s=max(grace, 0) if grace is not None else None,
        propagation=propagation,
        uid=preconditions.get("uid") or "",
        resource_version=preconditions.get("resourceVersion") or "",
        dry_run=bool(dry_run),
        kept_dependents_asked=orphan is False,
    )


def _both_set(propagation: str) -> apierrors.ApiError:
    text = "orphanDependents and deletionPropagation cannot be both set"
    cause = apierrors.invalid_value("propagationPolicy", propagation, text)
    return apierrors.invalid("DeleteOptions", "meta.k8s.io", "", [cause])


def delete(store: Store, resource: Resource, record: Record, options: DeleteOptions, clock: Clock) -> Deleted:
    """Remove an object, or mark it as being deleted when finalizers or a grace period keep it."""
    _check_preconditions(resource, record, options)
    old = record.obj
    if resource.bucket == _DEFINITIONS and not old["metadata"].get("deletionTimestamp"):
        return _end_definition(store, resource, record, options, clock)
    metadata = old["metadata"]
    finalizers = _finalizers(resource, old, options)
    grace = _grace(resource, old, options)
    deleting = metadata.get("deletionTimestamp")
    holds = bool(finalizers) or grace > 0 or _is_held_namespace(resource, old)
    if not holds:
        shows = resource.bucket in _ANSWERS_WITH_OBJECT
        last = _last_state(old) if deleting or resource.bucket != "pods" else _at_once(old, clock)
        if options.dry_run:
            marked = _marked(old, clock) if resource.bucket == "pods" else last or old
            shows = shows or resource.bucket in _SHOWN_WHEN_DRY
            return Deleted(record, True, marked if shows else None, 0)
        if resource.bucket == "pods" and not deleting and last is not None:
            record, last = store.put(resource.bucket, record.key, last), None  # it is told to end before it ends
        removed = store.remove(resource.bucket, record.key, last)
        shown = removed.obj if shows else None
        return Deleted(record, True, shown, removed.rv)
    new_metadata = {**metadata}
    if finalizers:
        new_metadata["finalizers"] = finalizers
    else:
        new_metadata.pop("finalizers", None)
    remaining = int(metadata.get("deletionGracePeriodSeconds") or 0)
    if not deleting or grace < remaining or (resource.bucket == _DEFINITIONS and remaining == 0):
        new_metadata["deletionTimestamp"] = format_time(clock.now() + timedelta(seconds=grace))
        if (
            resource.bucket not in ("namespaces", _DEFINITIONS) or deleting
        ):  # their storage marks them itself, before any grace is thought of
            new_metadata["deletionGracePeriodSeconds"] = grace
    if not deleting and int(metadata.get("generation") or 0) > 0:
        new_metadata["generation"] = int(metadata["generation"]) + 1
    new: Object = {**old, "metadata": new_metadata}
    if resource.bucket == "namespaces":
        new["status"] = {**(old.get("status") or {}), "phase": "Terminating"}
    if options.dry_run or new == old:
        return Deleted(record, False, new, 0)
    if objectmeta.is_finished(new):
        removed = store.remove(resource.bucket, record.key, new)
        return Deleted(record, True, removed.obj, removed.rv)
    written = store.put(resource.bucket, record.key, new)
    return Deleted(written, False, written.obj, written.rv)


_PENDING = {
    "type": "Terminating",
    "status": "True",
    "reason": "InstanceDeletionPending",
    "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
}


def _end_definition(store: Store, resource: Resource, record: Record, options: DeleteOptions, clock: Clock) -> Deleted:
    """Mark a definition: its instances go first. Its storage marks it itself, before any propagation is thought of.

    Source: apiextensions-apiserver pkg/registry/customresourcedefinition/etcd.go Delete.
    """
    old, now = record.obj, format_time(clock.now())
    finalizers = list(old["metadata"].get("finalizers") or ())
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)
    status = old.get("status") or {}
    conditions = [one for one in status.get("conditions") or () if one.get("type") != "Terminating"]
    pending = {"type": _PENDING["type"], "status": "True", "lastTransitionTime": now, **_PENDING}
    new = {
        **old,
        "metadata": {**old["metadata"], "deletionTimestamp": now, "finalizers": finalizers},
        "status": {**status, "conditions": [*conditions, pending]},
    }
    if options.dry_run:
        return Deleted(record, False, new, 0)
    written = store.put(resource.bucket, record.key, new)
    return Deleted(written, False, written.obj, written.rv)


def _at_once(old: Object, clock: Clock) -> Object:
    """The last state of a Pod that needs no time to end: it is being deleted with a grace period of nothing."""
    ends = {"deletionTimestamp": format_time(clock.now()), "deletionGracePeriodSeconds": 0}
    metadata = {**old["metadata"], **ends}
    if metadata.get("generation"):
        metadata["generation"] += 1
    return {**old, "metadata": metadata}


def _marked(old: Object, clock: Clock) -> Object:
    """A Pod as a dry run shows its end: marked as being deleted, with no grace."""
    metadata = {**old["metadata"], "deletionTimestamp": format_time(clock.now()), "deletionGracePeriodSeconds": 0}
    metadata["generation"] = int(metadata.get("generation") or 0) + 1
    return {**old, "metadata": metadata}


def _last_state(old: Object) -> Object | None:
    """What a deleted object says at its end: no finalizers, no grace left; None when it says so already."""
    metadata = {key: value for key, value in old["metadata"].items() if key != "finalizers"}
    grace = metadata.get("deletionGracePeriodSeconds")
    if grace:
        metadata["deletionGracePeriodSeconds"] = 0
        end = parse_time(metadata["deletionTimestamp"]) - timedelta(seconds=grace)
        metadata["deletionTimestamp"] = format_time(end)
    return {**old, "metadata": metadata} if metadata != old["metadata"] else None


def _is_held_namespace(resource: Resource, obj: Object) -> bool:
    return resource.bucket == "namespaces" and bool((obj.get("spec") or {}).get("finalizers"))


def advice(resource: Resource, options: DeleteOptions) -> list[str]:
    """What a client that deletes objects of this kind with these options is warned of."""
    return [_JOB_WARNING] if resource.bucket == "jobs.batch" and not options.propagation else []


def _check_preconditions(resource: Resource, record: Record, options: DeleteOptions) -> None:
    named = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    if options.uid and options.uid != record.uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({record.uid})."
            " The object might have been deleted and then recreated"
        )
    elif options.resource_version and options.resource_version != str(record.rv):
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion in"
            f" record ({record.rv}). The object might have been modified"
        )
    else:
        return
    if resource.bucket in ("namespaces", _DEFINITIONS):
        field, asked, found = ("UID", options.uid, record.uid)
        if not options.uid or options.uid == record.uid:
            field, asked, found = ("ResourceVersion", options.resource_version, str(record.rv))
        why = f"Precondition failed: {field} in precondition: {asked}, {field} in object meta: {found}"
        raise apierrors.conflict(resource.plural, resource.group, record.name, why)
    raise apierrors.Conflict(
        f'Operation cannot be fulfilled on {named} "{record.name}": {why}',
        details={"name": record.name, "group": resource.group, "kind": resource.kind},
    )


def _finalizers(resource: Resource, obj: Object, options: DeleteOptions) -> list[str]:
    """Finalizers after the propagation policy has added or taken away its own.

    Source: apiserver pkg/registry/generic/registry/store.go deletionFinalizersForGarbageCollection.
    """
    present = list(obj["metadata"].get("finalizers") or ())
    foreground, orphan = FOREGROUND in present, ORPHAN in present
    if resource.bucket == "events":
        return [name for name in present if name not in (FOREGROUND, ORPHAN)]  # nothing is collected for them
    if options.propagation == "Foreground":
        foreground, orphan = True, False
    elif options.propagation == "Orphan":
        foreground, orphan = False, True
    elif options.propagation == "Background":
        foreground = orphan = False
    elif not foreground and not orphan and resource.bucket in ("jobs.batch", "replicationcontrollers"):
        orphan = True
    kept = [name for name in present if name not in (FOREGROUND, ORPHAN)]
    if foreground:
        kept.append(FOREGROUND)
    if orphan:
        kept.append(ORPHAN)
    return kept


def _grace(resource: Resource, obj: Object, options: DeleteOptions) -> int:
    """Seconds the object may still live: only Pods on a node get any."""
    if resource.bucket != "pods":
        return 0
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    grace = options.grace_period_s
    if grace is None:
        found = spec.get("terminationGracePeriodSeconds")
        grace = found if isinstance(found, int) else DEFAULT_GRACE_S
    if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
        return 0
    if obj["metadata"].get("deletionTimestamp"):
        return min(grace, int(obj["metadata"].get("deletionGracePeriodSeconds") or 0))
    return grace


def finish_if_due(store: Store, resource: Resource, record: Record, new: Object) -> Record | None:
    """Remove an object whose last finalizer `new` takes away; the record of its end, None when it stays.

    Watches are told the state that was stored, finalizer and all, as those of the real server are.
    """
    if not objectmeta.is_finished(new) or not record.obj["metadata"].get("deletionTimestamp"):
        return None
    return store.remove(resource.bucket, record.key)
