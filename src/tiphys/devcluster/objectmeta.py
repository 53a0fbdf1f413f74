"""Rules every object's metadata obeys when it is created and when it is changed, whatever its kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.apierrors import FieldCause, forbidden_value, invalid_value
from tiphys.devcluster.resources import Resource
from tiphys.runtime.ids import Ids

Object = dict[str, Any]

# The real server judges a change of metadata once for all kinds, and for all but these once more.
_JUDGED_ONCE = frozenset(
    (
        "events",
        "limitranges",
        "persistentvolumes",
        "poddisruptionbudgets.policy",
        "endpointslices.discovery.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        "mutatingadmissionpolicies.admissionregistration.k8s.io",
        "csinodes.storage.k8s.io",
        "volumeattachments.storage.k8s.io",
        "flowschemas.flowcontrol.apiserver.k8s.io",
        "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
    )
)
MAX_NAME_LENGTH = 63
SUFFIX_LENGTH = 5


def generated_name(base: str, ids: Ids) -> str:
    """`base` cut to fit and five letters by chance, as generateName gives."""
    return base[: MAX_NAME_LENGTH - SUFFIX_LENGTH] + ids.suffix(SUFFIX_LENGTH)


def name_before_generation(metadata: Mapping[str, Any]) -> str:
    """The name an object has for whoever sees it before one is generated: what that one begins with, where it was."""
    name, base = str(metadata.get("name") or ""), str(metadata.get("generateName") or "")
    stem = base[: MAX_NAME_LENGTH - SUFFIX_LENGTH]
    generated = base and name.startswith(stem) and len(name) == len(stem) + SUFFIX_LENGTH
    return base if generated or not name else name


def drop_own(metadata: Object) -> None:
    """Drop what a client that creates an object may not say of it. An apply that creates one may: nothing drops it there."""
    for key in ("selfLink", "deletionTimestamp", "deletionGracePeriodSeconds"):
        metadata.pop(key, None)


def stamp_created(obj: Object, resource: Resource, namespace: str, *, now: str, uid: str) -> None:
    """Give a new object what only the server may set."""
    metadata = obj["metadata"]
    if resource.namespaced:
        metadata["namespace"] = namespace
    else:
        metadata.pop("namespace", None)
    metadata["uid"] = uid
    metadata["creationTimestamp"] = now
    _drop_empty(metadata)


def carry_over(new: Object, old: Object) -> None:
    """Fill what an update left out from the object as it is, before the two are compared."""
    metadata, live = new["metadata"], old["metadata"]
    metadata.pop("creationTimestamp", None)  # nobody changes it, and trying to is no fault
    for key in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if not metadata.get(key):
            metadata.pop(key, None)
            if key in live:
                metadata[key] = live[key]
    metadata.pop("generation", None)
    if "generation" in live:
        metadata["generation"] = live["generation"]
    _drop_empty(metadata)


def _drop_empty(metadata: Object) -> None:
    for key in ("labels", "annotations", "finalizers", "ownerReferences", "managedFields", "generateName"):
        if key in metadata and not metadata[key]:
            del metadata[key]


def metadata_changes(new: Object, old: Object, resource: Resource) -> list[FieldCause]:
    """What an update did to metadata that may not be done.

    Source: recorded kube-apiserver 1.36.2, wire-1.36 (immutable uid, finalizers of an object being deleted).
    """
    metadata, live = new["metadata"], old["metadata"]
    causes: list[FieldCause] = []
    if live.get("deletionTimestamp"):
        known = set(live.get("finalizers") or ())
        added = [name for name in metadata.get("finalizers") or () if name not in known]
        if added:
            shown = ", ".join(f'"{name}"' for name in added)
            causes.append(
                forbidden_value(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted,"
                    f" found new finalizers []string{{{shown}}}",
                )
            )
    for key in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if metadata.get(key) != live.get(key):
            causes.append(invalid_value(f"metadata.{key}", metadata.get(key), "field is immutable"))
    once = resource.bucket in _JUDGED_ONCE and resource.group != "events.k8s.io"
    return causes if once else causes + causes


def same_but_times(new: Object, old: Object) -> bool:
    """The two are equal when the times of their managedFields entries are not looked at."""
    if new.keys() != old.keys():
        return False
    for key, value in new.items():
        if key != "metadata" and value != old[key]:
            return False
    ours, theirs = new["metadata"], old["metadata"]
    for key in ours.keys() | theirs.keys():
        if key == "resourceVersion":
            continue
        if key == "managedFields":
            if not _same_entries(ours.get(key) or [], theirs.get(key) or []):
                return False
        elif ours.get(key) != theirs.get(key):
            return False
    return True


def _same_entries(ours: list[Object], theirs: list[Object]) -> bool:
    if ours == theirs:
        return True
    if len(ours) != len(theirs):
        return False
    for mine, other in zip(ours, theirs, strict=True):
        if mine != other and {**mine, "time": None} != {**other, "time": None}:
            return False
    return True


def is_finished(obj: Object) -> bool:
    """Being deleted, with nothing left that keeps it: no finalizers and no grace."""
    metadata = obj["metadata"]
    return (
        bool(metadata.get("deletionTimestamp"))
        and not metadata.get("finalizers")
        and not metadata.get("deletionGracePeriodSeconds")
        and not (obj.get("kind") == "Namespace" and (obj.get("spec") or {}).get("finalizers"))
    )
