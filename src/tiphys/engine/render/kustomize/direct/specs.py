"""The fields of Kubernetes' kinds that Kustomize's transformers change, for the kinds that are understood here.

Source: kustomize api/internal/konfig/builtinpluginconsts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple


class Field(NamedTuple):
    """Where a value is: `path` is split; a name that ends in `[]` is a list and never made. `create`: make what is not there."""

    path: tuple[str, ...]
    create: bool = False


# Kinds whose objects are in a namespace and have nothing special about them, by apiVersion.
KINDS: Final[Mapping[str, frozenset[str]]] = {
    "v1": frozenset(
        {
            "ConfigMap",
            "Secret",
            "Service",
            "ServiceAccount",
            "Pod",
            "PersistentVolumeClaim",
            "LimitRange",
            "ResourceQuota",
        }
    ),
    "apps/v1": frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"}),
    "batch/v1": frozenset({"Job", "CronJob"}),
    "networking.k8s.io/v1": frozenset({"Ingress", "NetworkPolicy"}),
    "autoscaling/v1": frozenset({"HorizontalPodAutoscaler"}),
    "autoscaling/v2": frozenset({"HorizontalPodAutoscaler"}),
    "policy/v1": frozenset({"PodDisruptionBudget"}),
    "rbac.authorization.k8s.io/v1": frozenset({"Role"}),
}

# Kinds that Kustomize's tables name: one of somebody else's that is called the same is treated like it.
_NAMED: Final = frozenset(
    {
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "ConfigMap",
        "CronJob",
        "CustomResourceDefinition",
        "DaemonSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "Ingress",
        "IngressClass",
        "Job",
        "MutatingWebhookConfiguration",
        "Namespace",
        "NetworkPolicy",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "PodTemplate",
        "PriorityClass",
        "ReplicaSet",
        "ReplicationController",
        "Role",
        "RoleBinding",
        "Secret",
        "Service",
        "ServiceAccount",
        "StatefulSet",
        "StorageClass",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "ValidatingWebhookConfiguration",
        "Component",
        "Kustomization",
    }
)
_CUSTOM = re.compile(r"(?P<group>[a-z0-9-]+(?:\.[a-z0-9-]+)+)/v[0-9][a-z0-9]*")


def is_ordinary(api_version: str, kind: str) -> bool:
    """Is it a kind that nothing is special about: a common one of Kubernetes, or a custom one, in a namespace or not?"""
    if kind in KINDS.get(api_version, ()):
        return True
    custom = _CUSTOM.fullmatch(api_version)
    if custom is None or custom["group"].endswith("k8s.io") or custom["group"].endswith("kubernetes.io"):
        return False
    return kind not in _NAMED and not kind.endswith("List") and re.fullmatch("[A-Z][A-Za-z0-9]*", kind) is not None


_TEMPLATE = ("spec", "template")
_CRON_TEMPLATE = ("spec", "jobTemplate", "spec", "template")
_POD_SPECS: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": ("spec",),
    "Deployment": (*_TEMPLATE, "spec"),
    "ReplicaSet": (*_TEMPLATE, "spec"),
    "DaemonSet": (*_TEMPLATE, "spec"),
    "StatefulSet": (*_TEMPLATE, "spec"),
    "Job": (*_TEMPLATE, "spec"),
    "CronJob": (*_CRON_TEMPLATE, "spec"),
}


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.split("/"))


_CONTAINERS = ("containers", "initContainers")
_TO_CONFIG_MAP = (
    _path("volumes/configMap/name"),
    *((one, "env", "valueFrom", "configMapKeyRef", "name") for one in _CONTAINERS),
    *((one, "envFrom", "configMapRef", "name") for one in _CONTAINERS),
    _path("volumes/projected/sources/configMap/name"),
)
_TO_SECRET = (
    _path("volumes/secret/secretName"),
    *((one, "env", "valueFrom", "secretKeyRef", "name") for one in _CONTAINERS),
    *((one, "envFrom", "secretRef", "name") for one in _CONTAINERS),
    _path("imagePullSecrets/name"),
    _path("volumes/projected/sources/secret/name"),
)
# Kinds of pods whose service account and claims are not followed.
_NO_ACCOUNT = ("ReplicaSet",)


def _references() -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}

    def add(referrer: str, target: str, path: tuple[str, ...]) -> None:
        found.setdefault(referrer, []).append((target, path))

    for target in ("Deployment", "ReplicaSet", "StatefulSet"):
        add("HorizontalPodAutoscaler", target, _path("spec/scaleTargetRef/name"))
    for kind, pod in _POD_SPECS.items():
        for path in _TO_CONFIG_MAP:
            add(kind, "ConfigMap", (*pod, *path))
    add("Role", "ConfigMap", _path("rules/resourceNames"))
    nginx = "nginx.ingress.kubernetes.io"
    add("Ingress", "ConfigMap", ("metadata", "annotations", f"{nginx}/fastcgi-params-configmap"))
    for kind, pod in _POD_SPECS.items():
        for path in _TO_SECRET:
            add(kind, "Secret", (*pod, *path))
    add("Ingress", "Secret", _path("spec/tls/secretName"))
    for name in ("ingress.kubernetes.io/auth-secret", f"{nginx}/auth-secret", f"{nginx}/auth-tls-secret"):
        add("Ingress", "Secret", ("metadata", "annotations", name))
    add("ServiceAccount", "Secret", _path("imagePullSecrets/name"))
    add("Role", "Secret", _path("rules/resourceNames"))
    add("StatefulSet", "Service", _path("spec/serviceName"))
    for text in (
        "spec/rules/http/paths/backend/serviceName",
        "spec/backend/serviceName",
        "spec/rules/http/paths/backend/service/name",
        "spec/defaultBackend/service/name",
    ):
        add("Ingress", "Service", _path(text))
    for target, path in (
        ("ServiceAccount", _path("serviceAccountName")),
        ("PersistentVolumeClaim", _path("volumes/persistentVolumeClaim/claimName")),
    ):
        for kind, pod in _POD_SPECS.items():
            if kind not in _NO_ACCOUNT:
                add(kind, target, (*pod, *path))
    return found


# Kind -> (kind it refers to, where the name is), in the order in which Kustomize goes through them.
REFERENCES: Final = _references()

_WITH_TEMPLATE = ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet", "Job")


def _metadata(field: str) -> dict[str, list[Field]]:
    """`field` of the metadata of objects and of the templates in them."""
    found = {kind: [Field((*_TEMPLATE, "metadata", field), create=True)] for kind in _WITH_TEMPLATE}
    found["CronJob"] = [
        Field(("spec", "jobTemplate", "metadata", field), create=True),
        Field((*_CRON_TEMPLATE, "metadata", field), create=True),
    ]
    return found


ANNOTATIONS: Final = _metadata("annotations")
TEMPLATE_LABELS: Final = _metadata("labels")
TEMPLATE_LABELS["StatefulSet"].append(Field(("spec", "volumeClaimTemplates[]", "metadata", "labels"), create=True))

_AFFINITY = tuple(
    (*_TEMPLATE, "spec", "affinity", one, *rest)
    for one in ("podAffinity", "podAntiAffinity")
    for rest in (
        _path("preferredDuringSchedulingIgnoredDuringExecution/podAffinityTerm/labelSelector/matchLabels"),
        _path("requiredDuringSchedulingIgnoredDuringExecution/labelSelector/matchLabels"),
    )
)
_SPREAD = (*_TEMPLATE, "spec", "topologySpreadConstraints", "labelSelector", "matchLabels")
_MATCH = _path("spec/selector/matchLabels")

# Selectors, which `commonLabels` changes beside all labels.
SELECTORS: Final[Mapping[str, list[Field]]] = {
    "Service": [Field(_path("spec/selector"), create=True)],
    **{
        kind: [Field(_MATCH, create=True), *map(Field, _AFFINITY), Field(_SPREAD)]
        for kind in ("Deployment", "StatefulSet")
    },
    "ReplicaSet": [Field(_MATCH, create=True)],
    "DaemonSet": [Field(_MATCH, create=True)],
    "Job": [Field(_MATCH)],
    "CronJob": [Field(_path("spec/jobTemplate/spec/selector/matchLabels"))],
    "PodDisruptionBudget": [Field(_MATCH)],
    "NetworkPolicy": [
        Field(_path("spec/podSelector/matchLabels")),
        Field(_path("spec/ingress/from/podSelector/matchLabels")),
        Field(_path("spec/egress/to/podSelector/matchLabels")),
    ],
}

WITH_REPLICAS: Final = frozenset({"Deployment", "ReplicaSet", "StatefulSet"})

IMAGES: Final = tuple(
    (*start, *_path(end))
    for start in (("spec",), (*_TEMPLATE, "spec"))
    for end in ("containers[]/image", "initContainers[]/image", "volumes[]/image/reference")
)

_FIRST = (
    "Namespace",
    "ResourceQuota",
    "StorageClass",
    "CustomResourceDefinition",
    "ServiceAccount",
    "PodSecurityPolicy",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
    "ConfigMap",
    "Secret",
    "Endpoints",
    "Service",
    "LimitRange",
    "PriorityClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Deployment",
    "StatefulSet",
    "CronJob",
    "PodDisruptionBudget",
)
# Where objects of a kind are in the output; kinds without a place of their own have 0.
ORDER: Final[Mapping[str, int]] = {kind: number - len(_FIRST) for number, kind in enumerate(_FIRST)}
