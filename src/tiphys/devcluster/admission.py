"""What a server puts into objects on the way in, beyond defaults: strategies of the kinds and built-in admission.

Both entry points change the object they are given, which belongs to the caller; they read others through the context and
write nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.apierrors import forbidden
from tiphys.apimachinery.names import GroupKind, GroupVersionKind
from tiphys.devcluster import certificates
from tiphys.devcluster.addresses import Addresses
from tiphys.devcluster.admission_pods import add_tolerations, admit_pod, prepare_pod
from tiphys.devcluster.admission_services import prepare_service, update_service
from tiphys.devcluster.defaults import default_in_place
from tiphys.devcluster.resources import TEMPLATE_GENERATION

Json = dict[str, Any]


JOB_LABELS: Final = ("batch.kubernetes.io/controller-uid", "controller-uid")
JOB_NAME_LABELS: Final = ("batch.kubernetes.io/job-name", "job-name")


class Lookup(Protocol):
    """Reading the cluster. Resources are named as in `access`: `v1/serviceaccounts`."""

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """One object, None when there is none."""

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        """All objects of a namespace, or of all with None."""


@dataclass(frozen=True, slots=True)
class Admission:
    """What one request's admission may use.

    `uid` is the new object's, `now` the time written into it (RFC 3339), `suffix` gives five random characters of the
    API's alphabet, `user` is the caller as a TokenReview shows it (`username`, `uid`, `groups`).
    """

    lookup: Lookup
    addresses: Addresses
    suffix: Callable[[], str]
    now: str
    uid: str = ""
    user: Mapping[str, Any] | None = None


def prepare_create(obj: Json, gvk: GroupVersionKind, context: Admission, *, has_status: bool = True) -> None:
    """Admit and prepare a new object: canonical, defaulted, with its name, namespace and uid set.

    Status is emptied (where the kind has a status path), generation set to 1 (where the kind counts it), and what the
    kind's strategy and the admission plugins fill in is filled in. Raises ApiError (403 of a plugin, 422 of an
    allocation that is refused).

    Source: dev-cluster 2 (recorded pairs), pkg/registry/*/strategy.go PrepareForCreate, plugin/pkg/admission.
    """
    kind = gvk.group_kind
    custom = not goshapes.known(gvk)
    metadata = obj["metadata"]
    if custom or kind in COUNTED:
        metadata["generation"] = 1
    if has_status and kind not in KEEPS_STATUS:
        _blank_status(obj, gvk, custom)
    prepare = _CREATE.get(kind)
    if prepare is not None:
        prepare(obj, context)


def prepare_update(
    old: Mapping[str, Any],
    new: Json,
    gvk: GroupVersionKind,
    subresource: str,
    context: Admission,
    *,
    has_status: bool = True,
) -> None:
    """Carry over into `new` what an update cannot change, and count its generation.

    `subresource` is empty for the object itself and `status` for its status path; there everything but `status` and the
    writable metadata is taken from `old`. What is carried over shares its containers with `old`.

    Source: dev-cluster 2, apiserver registry/rest/update.go BeforeUpdate, pkg/registry/*/strategy.go PrepareForUpdate.
    """
    kind = gvk.group_kind
    custom = not goshapes.known(gvk)
    _carry_metadata(old["metadata"], new["metadata"])
    if subresource == "status":
        _only_status(old, new, kind, custom)
        if kind == _SIGNING_REQUEST:
            certificates.stamp(old.get("status") or {}, new["status"], context.now)
        return
    if subresource == "approval":
        _only_approval(old, new, context)
        return
    if has_status and kind not in KEEPS_STATUS_ON_UPDATE:
        _copy_field(old, new, "status")
    update = _UPDATE.get(kind)
    if update is not None:
        update(old, new, context)
    if custom:
        changed = _without_metadata(old, has_status) != _without_metadata(new, has_status)
    else:
        changed = any(old.get(field) != new.get(field) for field in COUNTED.get(kind, ()))
        changed = changed or (kind == DEPLOYMENT and _annotations(old) != _annotations(new))
        changed = changed or (kind == _DRIVER and old.get("spec") != new.get("spec"))
        changed = changed or (kind == _SLICE and old["metadata"].get("labels") != new["metadata"].get("labels"))
    if changed:
        _count(new)


DEPLOYMENT: Final = GroupKind("apps", "Deployment")
_DRIVER: Final = GroupKind("storage.k8s.io", "CSIDriver")  # counts changes, but not its creation
_SLICE: Final = GroupKind("discovery.k8s.io", "EndpointSlice")
_WEBHOOKS: Final = ("webhooks",)
_SPEC: Final = ("spec",)
_NETWORKING: Final = "networking.k8s.io"
_ADMISSION_GROUP: Final = "admissionregistration.k8s.io"
_CERTIFICATES: Final = "certificates.k8s.io"
_SIGNING_REQUEST: Final = GroupKind(_CERTIFICATES, "CertificateSigningRequest")
_FLOW: Final = "flowcontrol.apiserver.k8s.io"

COUNTED: Final[dict[GroupKind, tuple[str, ...]]] = {
    GroupKind("", "Pod"): _SPEC,
    GroupKind("", "PodTemplate"): ("template",),
    GroupKind("", "ReplicationController"): _SPEC,
    DEPLOYMENT: _SPEC,
    GroupKind("apps", "ReplicaSet"): _SPEC,
    GroupKind("apps", "StatefulSet"): _SPEC,
    GroupKind("apps", "DaemonSet"): _SPEC,
    GroupKind("batch", "Job"): _SPEC,
    GroupKind("batch", "CronJob"): _SPEC,
    GroupKind("policy", "PodDisruptionBudget"): _SPEC,
    GroupKind(_NETWORKING, "Ingress"): _SPEC,
    GroupKind(_NETWORKING, "IngressClass"): _SPEC,
    GroupKind(_NETWORKING, "NetworkPolicy"): _SPEC,
    GroupKind("scheduling.k8s.io", "PriorityClass"): (),
    GroupKind("resource.k8s.io", "DeviceClass"): _SPEC,
    GroupKind("resource.k8s.io", "ResourceSlice"): _SPEC,
    GroupKind(_ADMISSION_GROUP, "MutatingAdmissionPolicy"): _SPEC,
    GroupKind("discovery.k8s.io", "EndpointSlice"): ("endpoints", "ports", "addressType"),
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): _SPEC,
    GroupKind(_ADMISSION_GROUP, "ValidatingWebhookConfiguration"): _WEBHOOKS,
    GroupKind(_ADMISSION_GROUP, "MutatingWebhookConfiguration"): _WEBHOOKS,
    GroupKind(_ADMISSION_GROUP, "ValidatingAdmissionPolicy"): _SPEC,
    GroupKind(_ADMISSION_GROUP, "ValidatingAdmissionPolicyBinding"): _SPEC,
    GroupKind(_FLOW, "FlowSchema"): _SPEC,
    GroupKind(_FLOW, "PriorityLevelConfiguration"): _SPEC,
}
"""Kinds whose metadata.generation counts, and the fields whose change it counts."""

KEEPS_STATUS: Final = frozenset({GroupKind("", "Node"), GroupKind("", "Namespace")})
"""Kinds created with the status they are given (a kubelet registers its node with one)."""

KEEPS_STATUS_ON_UPDATE: Final[frozenset[GroupKind]] = frozenset()

_RESETS_LABELS: Final = frozenset({DEPLOYMENT})
_RESETS_METADATA: Final = frozenset(
    {
        GroupKind("apiregistration.k8s.io", "APIService"),
        GroupKind(_NETWORKING, "ServiceCIDR"),
        GroupKind(_ADMISSION_GROUP, "ValidatingAdmissionPolicy"),
        GroupKind(_FLOW, "FlowSchema"),
        GroupKind(_FLOW, "PriorityLevelConfiguration"),
        GroupKind("resource.k8s.io", "ResourceClaim"),
        GroupKind("storage.k8s.io", "VolumeAttachment"),
    }
)


def blank_status(gvk: GroupVersionKind) -> Any:
    """The status of a built-in kind with nothing in it, as it is written; None when the kind has none."""
    return goshapes.decode({}, gvk).obj.get("status")


def _blank_status(obj: Json, gvk: GroupVersionKind, custom: bool) -> None:
    obj.pop("status", None)
    if custom:
        return
    status = blank_status(gvk)
    if status is not None:
        obj["status"] = status
        default_in_place(obj, gvk)


def _copy_field(old: Mapping[str, Any], new: Json, field: str) -> None:
    if field in old:
        new[field] = old[field]
    else:
        new.pop(field, None)


def _carry_metadata(old: Mapping[str, Any], new: Json) -> None:
    for field in ("generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        _copy_field(old, new, field)
    if not new.get("uid") and "uid" in old:
        new["uid"] = old["uid"]


def _only_status(old: Mapping[str, Any], new: Json, kind: GroupKind, custom: bool) -> None:
    metadata = new["metadata"]
    if custom or kind in _RESETS_METADATA:
        for field in ("labels", "annotations", "finalizers", "ownerReferences", "generateName"):
            _copy_field(old["metadata"], metadata, field)
    elif kind in _RESETS_LABELS:
        _copy_field(old["metadata"], metadata, "labels")
    for field in [*new, *old]:
        if field not in ("metadata", "status", "kind", "apiVersion"):
            _copy_field(old, new, field)


def _without_metadata(obj: Mapping[str, Any], has_status: bool) -> Json:
    left_out = ("metadata", "status") if has_status else ("metadata",)
    return {key: value for key, value in obj.items() if key not in left_out}


def _annotations(obj: Mapping[str, Any]) -> Any:
    return obj["metadata"].get("annotations") or {}


def _count(new: Json) -> None:
    new["metadata"]["generation"] = new["metadata"].get("generation", 0) + 1


def _add_finalizer(obj: Json, name: str) -> None:
    finalizers = obj["metadata"].setdefault("finalizers", [])
    if name not in finalizers:
        finalizers.append(name)


# ---- creating ----


def _create_pod(obj: Json, context: Admission) -> None:
    admit_pod(obj, context.lookup, context.suffix)
    prepare_pod(obj, context.now)


def _create_job(obj: Json, context: Admission) -> None:
    spec = obj["spec"]
    labels = spec["template"]["metadata"].setdefault("labels", {})
    name = obj["metadata"].get("name", "")
    if spec.get("manualSelector"):
        if not labels:
            del spec["template"]["metadata"]["labels"]
    else:
        for label in JOB_LABELS:
            labels.setdefault(label, context.uid)
        for label in JOB_NAME_LABELS:
            labels.setdefault(label, name)
        selector = spec.get("selector") or {}
        spec["selector"] = selector
        selector.setdefault("matchLabels", {}).setdefault(JOB_LABELS[0], context.uid)
    if labels and (not obj["metadata"].get("labels") or obj["metadata"]["labels"] is labels):
        obj["metadata"]["labels"] = dict(labels)  # defaulting runs again when the stored object is read


def _create_daemon_set(obj: Json, _: Admission) -> None:
    annotations = obj["metadata"].setdefault("annotations", {})
    given = annotations.get(TEMPLATE_GENERATION, "")
    annotations[TEMPLATE_GENERATION] = given if given.isdecimal() and int(given) >= 1 else "1"


def _create_namespace(obj: Json, _: Admission) -> None:
    finalizers = obj.setdefault("spec", {}).setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    obj["status"] = {"phase": "Active"}


def _create_claim(obj: Json, context: Admission) -> None:
    spec = obj["spec"]
    _data_source(spec)
    _add_finalizer(obj, "kubernetes.io/pvc-protection")
    if spec.get("storageClassName") is None and "volume.beta.kubernetes.io/storage-class" not in _annotations(obj):
        name = _default_name(
            context.lookup.list("storage.k8s.io/v1/storageclasses"), "storageclass.kubernetes.io/is-default-class"
        )
        if name:
            spec["storageClassName"] = name


def _data_source(spec: Json) -> None:
    """The old and the new field for a claim's source show the same."""
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source is not None and reference is None:
        spec["dataSourceRef"] = copy.deepcopy(source)
    elif reference is not None and source is None and not reference.get("namespace"):
        spec["dataSource"] = copy.deepcopy(reference)


def _create_volume(obj: Json, context: Admission) -> None:
    _add_finalizer(obj, "kubernetes.io/pv-protection")
    obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": context.now}


def _create_ingress(obj: Json, context: Admission) -> None:
    spec = obj["spec"]
    if spec.get("ingressClassName") is None and "kubernetes.io/ingress.class" not in _annotations(obj):
        name = _default_name(
            context.lookup.list("networking.k8s.io/v1/ingressclasses"), "ingressclass.kubernetes.io/is-default-class"
        )
        if name:
            spec["ingressClassName"] = name


def _default_name(candidates: Iterable[Mapping[str, Any]], annotation: str) -> str:
    """Name of the class marked as default; of several the newest, then the first by name."""
    marked = [one["metadata"] for one in candidates if _annotations(one).get(annotation) == "true"]
    marked.sort(key=lambda metadata: str(metadata["name"]))
    marked.sort(key=lambda metadata: str(metadata.get("creationTimestamp", "")), reverse=True)
    return str(marked[0]["name"]) if marked else ""


def _create_service(obj: Json, context: Admission) -> None:
    prepare_service(obj, context.addresses)


def _create_signing_request(obj: Json, context: Admission) -> None:
    spec = obj["spec"]
    user = context.user or {}
    for field in ("username", "uid", "groups", "extra"):
        spec.pop(field, None)
        if user.get(field):
            spec[field] = user[field]
    if certificates.asks_for_mastery(spec):
        why = f"use of {certificates.CLIENT_SIGNER} signer with system:masters group is not allowed"
        raise forbidden("certificatesigningrequests", _CERTIFICATES, str(obj["metadata"].get("name") or ""), why)


_CREATE: Final[dict[GroupKind, Callable[[Json, Admission], None]]] = {
    GroupKind("", "Pod"): _create_pod,
    GroupKind("", "Service"): _create_service,
    GroupKind("", "Namespace"): _create_namespace,
    GroupKind("", "PersistentVolumeClaim"): _create_claim,
    GroupKind("", "PersistentVolume"): _create_volume,
    GroupKind("apps", "DaemonSet"): _create_daemon_set,
    GroupKind("batch", "Job"): _create_job,
    GroupKind(_NETWORKING, "Ingress"): _create_ingress,
    _SIGNING_REQUEST: _create_signing_request,
}


# ---- updating ----


def _update_daemon_set(old: Mapping[str, Any], new: Json, _: Admission) -> None:
    before = _annotations(old).get(TEMPLATE_GENERATION, "1")
    generation = int(before) if before.isdecimal() else 1
    if old["spec"].get("template") != new["spec"].get("template"):
        generation += 1
    new["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(generation)


def _update_namespace(old: Mapping[str, Any], new: Json, _: Admission) -> None:
    spec = new.setdefault("spec", {})
    _copy_field(old.get("spec", {}), spec, "finalizers")


def _update_secret(old: Mapping[str, Any], new: Json, _: Admission) -> None:
    if not new.get("type"):
        new["type"] = old.get("type", "Opaque")


def _update_claim(old: Mapping[str, Any], new: Json, _: Admission) -> None:
    _data_source(new["spec"])


def _update_service(old: Mapping[str, Any], new: Json, context: Admission) -> None:
    update_service(old, new, context.addresses)


def _update_signing_request(old: Mapping[str, Any], new: Json, _: Admission) -> None:
    new["spec"] = old["spec"]


def _only_approval(old: Mapping[str, Any], new: Json, context: Admission) -> None:
    """The approval path of a CertificateSigningRequest: its conditions may change, what is asked and answered may not."""
    new["spec"] = old["spec"]
    before = old.get("status") or {}
    status = new.setdefault("status", {})
    _copy_field(before, status, "certificate")
    certificates.stamp(before, status, context.now)


def _update_pod(old: Mapping[str, Any], new: Json, _: Admission) -> None:
    add_tolerations(new["spec"])


_UPDATE: Final[dict[GroupKind, Callable[[Mapping[str, Any], Json, Admission], None]]] = {
    GroupKind("", "Pod"): _update_pod,
    GroupKind("", "Service"): _update_service,
    GroupKind("", "Namespace"): _update_namespace,
    GroupKind("", "Secret"): _update_secret,
    GroupKind("", "PersistentVolumeClaim"): _update_claim,
    GroupKind("apps", "DaemonSet"): _update_daemon_set,
    _SIGNING_REQUEST: _update_signing_request,
}
