"""How often the problems of an object's metadata are found: each of the rules that look at it says them once more.

Source: what Validate...Update of pkg/apis/*/validation calls, as answered by kube-apiserver 1.36.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tiphys.apimachinery import goshapes
from tiphys.apimachinery.names import GroupKind, GroupVersionKind
from tiphys.devcluster.validation_names import Causes, NameRule, check_metadata

_RBAC: Final = "rbac.authorization.k8s.io"


def metadata_problems(
    metadata: Mapping[str, Any],
    gvk: GroupVersionKind,
    name_rule: NameRule,
    *,
    changed: bool,
    subresource: bool = False,
) -> Causes:
    """Every problem of the metadata of an object that is new, or (with `changed`) was there before."""
    causes: Causes = []
    check_metadata(causes, metadata, name_rule, built_in=_knows_finalizers(gvk))
    if not changed:
        return causes
    kind = gvk.group_kind
    return _as_often(causes, kind, wholly=kind in _WHOLLY_JUDGED and not subresource)


def _as_often(causes: Causes, kind: GroupKind, *, wholly: bool) -> Causes:
    """Problems of changed metadata as often as they are found: for all kinds twice, by most kinds' own rules once more.

    `wholly`: those rules look at the whole metadata besides, as for a new object.
    """
    own = kind not in _NOT_JUDGED_AGAIN
    found: Causes = []
    for one in causes:
        in_both = one.field.startswith(("metadata.labels", "metadata.annotations", "metadata.ownerReferences"))
        again = wholly and not one.field.startswith("metadata.generateName")
        found += [one] * (1 + (1 + own) * in_both + again)
    return found


def _knows_finalizers(gvk: GroupVersionKind) -> bool:
    """Whether a finalizer without a domain has to be a standard one."""
    return goshapes.known(gvk) and gvk.group_kind not in _ANY_FINALIZER


# An update of these is judged by the rules for new objects as well.
# Source: pkg/apis/*/validation, what Validate...Update calls.
_WHOLLY_JUDGED: Final = frozenset(
    {
        *(
            GroupKind("", one)
            for one in ("ConfigMap", "Endpoints", "Namespace", "Node", "Pod", "Secret", "ServiceAccount")
        ),
        *(GroupKind("", one) for one in ("PersistentVolume", "PersistentVolumeClaim")),
        GroupKind("apps", "ControllerRevision"),
        GroupKind("batch", "Job"),
        *(GroupKind("networking.k8s.io", one) for one in ("Ingress", "IngressClass", "IPAddress")),
        *(GroupKind(_RBAC, one) for one in ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")),
        GroupKind("certificates.k8s.io", "CertificateSigningRequest"),
        *(GroupKind("resource.k8s.io", one) for one in ("DeviceClass", "ResourceClaim", "ResourceClaimTemplate")),
        *(GroupKind("storage.k8s.io", one) for one in ("StorageClass", "CSIStorageCapacity", "VolumeAttributesClass")),
        GroupKind("node.k8s.io", "RuntimeClass"),
        GroupKind("apiregistration.k8s.io", "APIService"),
    }
)
# The own rules of these do not look at metadata.
_NOT_JUDGED_AGAIN: Final = frozenset({GroupKind("", "Event"), GroupKind("policy", "PodDisruptionBudget")})
# Finalizers of these need neither be standard ones nor have a domain.
_ANY_FINALIZER: Final = frozenset(
    {
        *_NOT_JUDGED_AGAIN,
        GroupKind("coordination.k8s.io", "Lease"),
        GroupKind("node.k8s.io", "RuntimeClass"),
        GroupKind("apiregistration.k8s.io", "APIService"),
        GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"),
        *(
            GroupKind("admissionregistration.k8s.io", one)
            for one in (
                "MutatingWebhookConfiguration",
                "ValidatingWebhookConfiguration",
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
                "MutatingAdmissionPolicy",
                "MutatingAdmissionPolicyBinding",
            )
        ),
    }
)
