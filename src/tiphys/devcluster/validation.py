"""Which objects a server stores: every problem of one at once, in kube-apiserver's words.

A subset: what people get wrong in manifests. What is not checked is accepted.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tiphys.apimachinery.apierrors import FieldCause, forbidden_value, invalid_value, not_supported, required
from tiphys.apimachinery.names import GroupKind, GroupVersionKind
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster import validation_api as api
from tiphys.devcluster import validation_core as core
from tiphys.devcluster import validation_policies as policies
from tiphys.devcluster import validation_services as services
from tiphys.devcluster import validation_storage as storage
from tiphys.devcluster import validation_workloads as workloads
from tiphys.devcluster.gojson import syntax_error
from tiphys.devcluster.validation_metadata import metadata_problems
from tiphys.devcluster.validation_names import (
    IMMUTABLE,
    NOT_NEGATIVE,
    Causes,
    NameRule,
    check,
    check_choice,
    check_count_or_percent,
    check_same,
    check_selector,
    config_key,
    dns_label,
    dns_subdomain,
    invalid_struct,
    path_segment,
    qualified_name,
)
from tiphys.devcluster.validation_pods import check_pod_spec
from tiphys.devcluster.validation_scaling import check_autoscaler

Json = Mapping[str, Any]

RBAC: Final = "rbac.authorization.k8s.io"
POD_FROZEN: Final = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
CLAIM_FROZEN: Final = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)


def validate_create(obj: Json, gvk: GroupVersionKind, *, namespaced: bool) -> list[FieldCause]:
    """Every problem of a new object that is canonical, defaulted and prepared; empty when it may be stored.

    For kinds that are not built in, only metadata is checked.

    Source: dev-cluster 2; apimachinery pkg/api/validation, pkg/apis/*/validation.
    Differs: rarely used rules are left out, because a development cluster may accept more than a real one.
    """
    return _validate(obj, None, gvk, namespaced)


def validate_update(
    new: Json, old: Json, gvk: GroupVersionKind, subresource: str = "", *, namespaced: bool
) -> list[FieldCause]:
    """Every problem of a changed object, what may not change included; `new` is prepared.

    Through a subresource only what it can change is checked, which is its metadata.
    """
    if subresource:
        return metadata_problems(new["metadata"], gvk, _name_rule(gvk.group_kind), changed=True, subresource=True)
    return _validate(new, old, gvk, namespaced)


def _validate(obj: Json, old: Json | None, gvk: GroupVersionKind, namespaced: bool) -> list[FieldCause]:
    kind = gvk.group_kind
    metadata = obj["metadata"]
    causes = metadata_problems(metadata, gvk, _name_rule(kind), changed=old is not None)
    if namespaced and not metadata.get("namespace"):
        causes.append(required("metadata.namespace"))
    elif namespaced:
        check(causes, "metadata.namespace", metadata["namespace"], dns_label(metadata["namespace"]))
    function = _KINDS.get(kind)
    if old is not None and function is not None and kind in _JUDGED_TWICE:
        function(causes, obj, None)
    if function is not None:
        function(causes, obj, old)
    return causes


def _name_rule(kind: GroupKind) -> NameRule:
    return _NAME_RULES.get(kind, path_segment if kind.group == RBAC else dns_subdomain)


_NAME_RULES: Final[dict[GroupKind, NameRule]] = {
    GroupKind("", "Namespace"): dns_label,
    GroupKind("", "Service"): dns_label,
    GroupKind("", "Event"): lambda name: [],
    GroupKind("policy", "PodDisruptionBudget"): lambda name: [],
    GroupKind("apps", "StatefulSet"): dns_label,
    GroupKind("networking.k8s.io", "IPAddress"): core.address_problems,
    GroupKind("certificates.k8s.io", "CertificateSigningRequest"): lambda name: [],
    GroupKind("apiregistration.k8s.io", "APIService"): path_segment,
}


# ---- core ----


def _pod(causes: Causes, obj: Json, old: Json | None) -> None:
    check_pod_spec(causes, obj["spec"], "spec")
    if old is not None:
        _pod_update(causes, obj["spec"], old["spec"])


def _pod_update(causes: Causes, spec: Json, before: Json) -> None:
    """A Pod's images, deadline and further tolerations may change, nothing else.

    Differs: the difference is not printed, because Go prints it in the names of its internal types.
    """
    for group in ("containers", "initContainers"):
        if len(spec.get(group) or ()) != len(before.get(group) or ()):
            causes.append(forbidden_value(f"spec.{group}", "pod updates may not add or remove containers"))
            return
    for index, container in enumerate(spec.get("containers") or ()):
        if not container.get("image"):
            causes.append(required(f"spec.containers[{index}].image"))
    added = [one for one in before.get("tolerations") or () if one not in (spec.get("tolerations") or ())]
    if _frozen_pod(spec) != _frozen_pod(before) or added:
        causes.append(forbidden_value("spec", POD_FROZEN))


def _frozen_pod(spec: Json) -> dict[str, Any]:
    frozen = {
        field: value
        for field, value in spec.items()
        if field not in ("activeDeadlineSeconds", "tolerations", "ephemeralContainers", "schedulingGates")
    }
    for group in ("containers", "initContainers"):
        frozen[group] = [
            {field: value for field, value in one.items() if field != "image"} for one in spec.get(group) or ()
        ]
    return frozen


def _config_map(causes: Causes, obj: Json, old: Json | None) -> None:
    data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
    size = 0
    for key, value in data.items():
        check(causes, f"data[{key}]", key, config_key(key))
        if key in binary:
            causes.append(invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData"))
        size += len(value.encode())
    for key, value in binary.items():
        check(causes, f"binaryData[{key}]", key, config_key(key))
        size += len(value) * 3 // 4
    _check_size(causes, size, "")
    _check_frozen(causes, obj, old, ("data", "binaryData"))


_SECRET_NEEDS: Final[dict[str, tuple[str, ...]]] = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def _secret(causes: Causes, obj: Json, old: Json | None) -> None:
    data, kind = obj.get("data") or {}, obj.get("type", "")
    for key in data:
        check(causes, f"data[{key}]", key, config_key(key))
    _check_size(causes, sum(len(value) * 3 // 4 for value in data.values()), "data")
    causes += [required(f"data[{key}]") for key in _SECRET_NEEDS.get(kind, ()) if key not in data]
    for key in (".dockercfg", ".dockerconfigjson"):
        if key in data and key in _SECRET_NEEDS.get(kind, ()):
            problem = syntax_error(base64.b64decode(data[key]))
            if problem is not None:
                causes.append(invalid_value(f"data[{key}]", "<secret contents redacted>", problem))
    if kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        causes += [required("data[username]"), required("data[password]")]
    annotation = "kubernetes.io/service-account.name"
    if kind == "kubernetes.io/service-account-token" and not (obj["metadata"].get("annotations") or {}).get(annotation):
        causes.append(required(f"metadata.annotations[{annotation}]"))
    if old is not None and obj.get("type") != old.get("type"):
        causes.append(invalid_value("type", obj.get("type", ""), IMMUTABLE))
    _check_frozen(causes, obj, old, ("data",))


def _check_size(causes: Causes, size: int, field: str) -> None:
    if size > 1024 * 1024:
        causes.append(FieldCause("FieldValueTooLong", "Too long: may not be more than 1048576 bytes", field))


def _check_frozen(causes: Causes, obj: Json, old: Json | None, fields: tuple[str, ...]) -> None:
    if old is None or not old.get("immutable"):
        return
    said = "field is immutable when `immutable` is set"
    if not obj.get("immutable"):
        causes.append(forbidden_value("immutable", said))
    causes += [forbidden_value(one, said) for one in fields if (obj.get(one) or {}) != (old.get(one) or {})]


def _claim(causes: Causes, obj: Json, old: Json | None) -> None:
    spec = obj["spec"]
    _check_access_modes(causes, spec, "at least 1 access mode is required")
    storage = (spec.get("resources", {}).get("requests") or {}).get("storage")
    if storage is None:
        causes.append(required("spec.resources[storage]"))
    elif parse(storage) <= 0:
        causes.append(invalid_value("spec.resources[storage]", storage, "must be greater than zero"))
    if spec.get("storageClassName"):
        check(causes, "spec.storageClassName", spec["storageClassName"], dns_subdomain(spec["storageClassName"]))
    check_choice(causes, "spec.volumeMode", spec.get("volumeMode"), ("Block", "Filesystem"))
    if old is not None:
        before = old["spec"]
        open_fields = {"volumeName"} if not before.get("volumeName") else {"resources", "volumeAttributesClassName"}
        if _other(spec, open_fields) != _other(before, open_fields):
            causes.append(forbidden_value("spec", CLAIM_FROZEN))
        check_same(causes, "volumeMode", spec.get("volumeMode"), before.get("volumeMode"))


def _other(spec: Json, fields: set[str]) -> dict[str, Any]:
    return {field: value for field, value in spec.items() if field not in fields}


def _check_access_modes(causes: Causes, spec: Json, detail: str) -> None:
    modes = spec.get("accessModes") or []
    known = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
    if not modes:
        causes.append(required("spec.accessModes", detail))
    causes += [not_supported("spec.accessModes", mode, known) for mode in modes if mode not in known]


_VOLUME_SETTINGS: Final = frozenset(
    {
        "capacity",
        "accessModes",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    }
)


def _volume(causes: Causes, obj: Json, old: Json | None) -> None:
    spec = obj["spec"]
    _check_access_modes(causes, spec, "")
    capacity = spec.get("capacity") or {}
    if not capacity:
        causes.append(required("spec.capacity"))
    if set(capacity) != {"storage"}:
        causes.append(not_supported("spec.capacity", spec.get("capacity"), ("storage",)))
    if capacity.get("storage") is not None and parse(capacity["storage"]) <= 0:
        amount = capacity["storage"]
        if parse(amount) < 0:
            causes.append(invalid_value("spec.capacity[storage]", int(parse(amount).value), _NOT_A_QUANTITY))
        causes.append(invalid_value("spec.capacity[storage]", amount, "must be greater than zero"))
    policies = ("Delete", "Recycle", "Retain")
    check_choice(causes, "spec.persistentVolumeReclaimPolicy", spec.get("persistentVolumeReclaimPolicy"), policies)
    sources = [field for field in _SOURCE_ORDER if field in spec]
    sources += [field for field in spec if field not in _VOLUME_SETTINGS and field not in _SOURCE_ORDER]
    if not sources:
        causes.append(required("spec", "must specify a volume type"))
    causes += [forbidden_value(f"spec.{one}", "may not specify more than 1 volume type") for one in sources[1:]]
    if old is not None:
        if _other(spec, set(_VOLUME_SETTINGS)) != _other(old["spec"], set(_VOLUME_SETTINGS)):
            detail = "spec.persistentvolumesource is immutable after creation"
            causes.append(forbidden_value("spec.persistentvolumesource", detail))
        check_same(causes, "volumeMode", spec.get("volumeMode"), old["spec"].get("volumeMode"))


_NOT_A_QUANTITY: Final = "must be a valid resource quantity"
_SOURCE_ORDER: Final = ("hostPath", "nfs", "csi", "local")


_QUOTA_SCOPES: Final = (
    "Terminating",
    "NotTerminating",
    "BestEffort",
    "NotBestEffort",
    "PriorityClass",
    "CrossNamespacePodAffinity",
    "VolumeAttributesClass",
)


def _resource_quota(causes: Causes, obj: Json, old: Json | None) -> None:
    known = {"cpu", "memory", "ephemeral-storage", "storage", "pods", "services", "replicationcontrollers"}
    known |= {"resourcequotas", "secrets", "configmaps", "persistentvolumeclaims"}
    for name, amount in (obj.get("spec", {}).get("hard") or {}).items():
        path = f"spec.hard[{name}]"
        check(causes, path, name, qualified_name(name))
        if "/" not in name and "." not in name and name not in known and not qualified_name(name):
            causes.append(invalid_value(path, name, "must be a standard resource type or fully qualified"))
            causes.append(invalid_value(path, name, "must be a standard resource for quota"))
        if parse(amount) < 0:
            causes.append(invalid_value(path, amount, NOT_NEGATIVE))
        whole = name in known - {"cpu", "memory", "ephemeral-storage", "storage"}
        if whole and parse(amount).value.denominator != 1:
            causes.append(invalid_value(path, amount, "must be an integer"))
    scopes = (obj.get("spec") or {}).get("scopes") or []
    if any(one not in _QUOTA_SCOPES for one in scopes):
        causes.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
    if old is not None:
        before = (old.get("spec") or {}).get("scopes") or []
        check_same(causes, "spec.scopes", scopes, before)


# ---- scaling, policy, storage, scheduling ----


def _disruption_budget(causes: Causes, obj: Json, old: Json | None) -> None:
    spec = obj["spec"]
    least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
    if least is not None and most is not None:
        shown = {
            "MinAvailable": least,
            "Selector": spec.get("selector"),
            "MaxUnavailable": most,
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        }
        causes.append(invalid_struct("spec", shown, "minAvailable and maxUnavailable cannot be both set"))
    check_count_or_percent(causes, "spec.minAvailable", least)
    check_count_or_percent(causes, "spec.maxUnavailable", most)
    policies = ("AlwaysAllow", "IfHealthyBudget")
    check_choice(causes, "spec.unhealthyPodEvictionPolicy", spec.get("unhealthyPodEvictionPolicy"), policies)
    check_selector(causes, spec.get("selector"), "spec.selector")


def _storage_class(causes: Causes, obj: Json, old: Json | None) -> None:
    provisioner = obj.get("provisioner", "")
    if not provisioner:
        causes.append(required("provisioner"))
    else:
        lowered = provisioner.lower()
        check(causes, "provisioner", lowered, qualified_name(lowered))
    check_choice(causes, "reclaimPolicy", obj.get("reclaimPolicy"), ("Delete", "Retain"))
    modes = ("Immediate", "WaitForFirstConsumer")
    check_choice(causes, "volumeBindingMode", obj.get("volumeBindingMode"), modes)
    if old is not None:
        for field in ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"):
            check_same(causes, field, obj.get(field), old.get(field))


def _priority_class(causes: Causes, obj: Json, old: Json | None) -> None:
    name, value = obj["metadata"].get("name", ""), obj.get("value", 0)
    if name.startswith("system-"):
        if name not in ("system-node-critical", "system-cluster-critical"):
            reserved = "priority class names with 'system-' prefix are reserved for system use only."
            detail = f"{reserved} error: {name} is not a known system priority class"
            causes.append(forbidden_value("metadata.name", detail))
    elif value > 1000000000:
        detail = "maximum allowed value of a user defined priority is 1000000000"
        causes.append(forbidden_value("value", detail))
    policies = ("PreemptLowerPriority", "Never")
    check_choice(causes, "preemptionPolicy", obj.get("preemptionPolicy"), policies)
    if old is not None:
        if value != old.get("value", 0):
            causes.append(forbidden_value("value", "may not be changed in an update."))
        check_same(causes, "preemptionPolicy", obj.get("preemptionPolicy"), old.get("preemptionPolicy"))


def _ingress_class(causes: Causes, obj: Json, old: Json | None) -> None:
    controller = (obj.get("spec") or {}).get("controller", "")
    if not controller:
        causes.append(required("spec.controller"))
    elif not re.fullmatch(r"[a-z0-9][-a-z0-9.]*[a-z0-9]?/[^/].*", controller):
        detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
        causes.append(invalid_value("spec.controller", controller, detail))
    parameters = (obj.get("spec") or {}).get("parameters")
    if parameters is not None:
        causes += [required(f"spec.parameters.{part}") for part in ("kind", "name") if not parameters.get(part)]
    if old is not None:
        check_same(causes, "spec.controller", controller, (old.get("spec") or {}).get("controller", ""))


def _endpoint_slice(causes: Causes, obj: Json, old: Json | None) -> None:
    kinds = ("FQDN", "IPv4", "IPv6")
    address_type = obj.get("addressType", "")
    if not address_type:
        causes.append(required("addressType"))
    else:
        check_choice(causes, "addressType", address_type, kinds)
    for index, endpoint in enumerate(obj.get("endpoints") or ()):
        if not endpoint.get("addresses"):
            causes.append(required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
        for number, address in enumerate(endpoint.get("addresses") or ()):
            if address_type in ("IPv4", "IPv6"):
                problems = core.address_problems(address)
                check(causes, f"endpoints[{index}].addresses[{number}]", address, problems)
    if old is not None:
        check_same(causes, "addressType", address_type, old.get("addressType"))


def _runtime_class(causes: Causes, obj: Json, old: Json | None) -> None:
    if not obj.get("handler"):
        causes.append(required("handler"))
    else:
        check(causes, "handler", obj["handler"], dns_label(obj["handler"]))
    if old is not None:
        check_same(causes, "handler", obj.get("handler"), old.get("handler"))


def _lease(causes: Causes, obj: Json, old: Json | None) -> None:
    spec = obj.get("spec") or {}
    duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
    if duration is not None and duration <= 0:
        causes.append(invalid_value("spec.leaseDurationSeconds", duration, "must be greater than 0"))
    if transitions is not None and transitions < 0:
        causes.append(invalid_value("spec.leaseTransitions", transitions, NOT_NEGATIVE))


# An update of these is judged as a new object first, and then again.
_JUDGED_TWICE: Final = frozenset({GroupKind("", "Node"), GroupKind("", "PersistentVolume")})
_KINDS: Final[dict[GroupKind, Callable[[Causes, Json, Json | None], None]]] = {
    GroupKind("", "Pod"): _pod,
    GroupKind("", "ConfigMap"): _config_map,
    GroupKind("", "Secret"): _secret,
    GroupKind("", "Service"): services.check_service,
    GroupKind("", "Endpoints"): services.check_endpoints,
    GroupKind("", "Event"): core.check_event,
    GroupKind("", "LimitRange"): core.check_limit_range,
    GroupKind("", "Node"): core.check_node,
    GroupKind("", "PodTemplate"): core.check_pod_template,
    GroupKind("", "PersistentVolumeClaim"): _claim,
    GroupKind("", "PersistentVolume"): _volume,
    GroupKind("", "ResourceQuota"): _resource_quota,
    GroupKind("", "ReplicationController"): workloads.check_replication_controller,
    GroupKind("apps", "ControllerRevision"): core.check_controller_revision,
    GroupKind("apps", "Deployment"): workloads.check_deployment,
    GroupKind("apps", "ReplicaSet"): workloads.check_replica_set,
    GroupKind("apps", "StatefulSet"): workloads.check_stateful_set,
    GroupKind("apps", "DaemonSet"): workloads.check_daemon_set,
    GroupKind("batch", "Job"): workloads.check_job,
    GroupKind("batch", "CronJob"): workloads.check_cron_job,
    GroupKind("networking.k8s.io", "Ingress"): services.check_ingress,
    GroupKind("networking.k8s.io", "NetworkPolicy"): services.check_network_policy,
    GroupKind("networking.k8s.io", "IngressClass"): _ingress_class,
    GroupKind("networking.k8s.io", "ServiceCIDR"): core.check_service_cidr,
    GroupKind("networking.k8s.io", "IPAddress"): core.check_ip_address,
    GroupKind("events.k8s.io", "Event"): core.check_new_event,
    GroupKind("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    GroupKind("autoscaling", "HorizontalPodAutoscaler"): check_autoscaler,
    GroupKind("policy", "PodDisruptionBudget"): _disruption_budget,
    GroupKind("storage.k8s.io", "StorageClass"): _storage_class,
    GroupKind("storage.k8s.io", "CSIDriver"): storage.check_driver,
    GroupKind("storage.k8s.io", "CSINode"): storage.check_driver_node,
    GroupKind("storage.k8s.io", "VolumeAttachment"): storage.check_attachment,
    GroupKind("storage.k8s.io", "CSIStorageCapacity"): storage.check_capacity,
    GroupKind("storage.k8s.io", "VolumeAttributesClass"): storage.check_attributes_class,
    GroupKind("scheduling.k8s.io", "PriorityClass"): _priority_class,
    GroupKind("coordination.k8s.io", "Lease"): _lease,
    GroupKind("node.k8s.io", "RuntimeClass"): _runtime_class,
    GroupKind(RBAC, "Role"): api.check_role,
    GroupKind(RBAC, "ClusterRole"): api.check_cluster_role,
    GroupKind(RBAC, "RoleBinding"): api.check_role_binding,
    GroupKind(RBAC, "ClusterRoleBinding"): api.check_cluster_role_binding,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): api.check_definition,
    GroupKind("apiregistration.k8s.io", "APIService"): api.check_api_service,
    GroupKind("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): api.check_webhooks,
    GroupKind("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): api.check_webhooks,
    GroupKind("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): policies.check_validating_policy,
    GroupKind("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): policies.check_mutating_policy,
    GroupKind("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): policies.check_policy_binding,
    GroupKind("flowcontrol.apiserver.k8s.io", "FlowSchema"): policies.check_flow_schema,
    GroupKind("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): policies.check_priority_level,
    GroupKind("certificates.k8s.io", "CertificateSigningRequest"): policies.check_signing_request,
    GroupKind("resource.k8s.io", "DeviceClass"): policies.check_device_class,
    GroupKind("resource.k8s.io", "ResourceClaim"): policies.check_claim_frozen,
    GroupKind("resource.k8s.io", "ResourceClaimTemplate"): policies.check_claim_frozen,
    GroupKind("resource.k8s.io", "ResourceSlice"): policies.check_resource_slice,
}
