"""Defaulting of the built-in kinds: what an API server fills into an object right after decoding it.

Defaults that need to know anything but the object (addresses, uids, other objects) are admission's, not these.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster import defaults_pods as pods
from tiphys.devcluster.defaults_pods import round_resources

Json = dict[str, Any]

RBAC: Final = "rbac.authorization.k8s.io"
MAX_INT32: Final = (1 << 31) - 1


def apply_defaults(obj: Json, gvk: GroupVersionKind) -> Json:
    """A copy of a canonical object with defaults filled in; `obj` stays as it is and shares nothing with the copy."""
    copied = copy.deepcopy(obj)
    default_in_place(copied, gvk)
    return copied


def default_in_place(obj: Json, gvk: GroupVersionKind) -> None:
    """Fill defaults into a canonical object (`goshapes.decode`) that belongs to the caller.

    Applying it twice changes nothing more. Kinds without defaults, custom ones among them, stay as they are.

    Source: dev-cluster 2 (recorded pairs of a 1.36 server), pkg/apis/*/v1/defaults.go.
    """
    function = _BY_KIND.get((gvk.group, gvk.kind))
    if function is not None:
        function(obj)
    elif gvk.kind == "HorizontalPodAutoscaler" and gvk.group == "autoscaling":
        (_autoscaler_v1 if gvk.version == "v1" else _autoscaler)(obj)


def has_defaults(gvk: GroupVersionKind) -> bool:
    """Whether the kind has any defaults."""
    return (gvk.group, gvk.kind) in _BY_KIND or (gvk.group, gvk.kind) == ("autoscaling", "HorizontalPodAutoscaler")


def _put(obj: Json, field: str, value: Any) -> None:
    """Set a field that is absent or null."""
    if obj.get(field) is None:
        obj[field] = value


# ---- workloads ----


def _deployment(obj: Json) -> None:
    spec = obj["spec"]
    _put(spec, "replicas", 1)
    strategy = spec["strategy"]
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _put(rolling, "maxUnavailable", "25%")
        _put(rolling, "maxSurge", "25%")
    _put(spec, "revisionHistoryLimit", 10)
    _put(spec, "progressDeadlineSeconds", 600)
    pods.default_template(spec.get("template"))


def _stateful_set(obj: Json) -> None:
    spec = obj["spec"]
    spec.setdefault("podManagementPolicy", "OrderedReady")
    strategy = spec.setdefault("updateStrategy", {})
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        strategy.setdefault("rollingUpdate", {})
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        _put(strategy["rollingUpdate"], "partition", 0)
    retention = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    retention.setdefault("whenDeleted", "Retain")
    retention.setdefault("whenScaled", "Retain")
    _put(spec, "replicas", 1)
    _put(spec, "revisionHistoryLimit", 10)
    pods.default_template(spec.get("template"))
    for claim in spec.get("volumeClaimTemplates", ()):
        claim["kind"] = "PersistentVolumeClaim"
        claim["apiVersion"] = "v1"
        _claim(claim)


def _daemon_set(obj: Json) -> None:
    # A field of older versions, which the API server keeps in an annotation; it is there from the first reading on.
    annotations = obj.setdefault("metadata", {}).setdefault("annotations", {})
    annotations.setdefault("deprecated.daemonset.template.generation", "0")
    spec = obj["spec"]
    strategy = spec.setdefault("updateStrategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        _put(rolling, "maxUnavailable", 1)
        _put(rolling, "maxSurge", 0)
    _put(spec, "revisionHistoryLimit", 10)
    pods.default_template(spec.get("template"))


def _replica_set(obj: Json) -> None:
    _put(obj["spec"], "replicas", 1)
    pods.default_template(obj["spec"].get("template"))


def _replication_controller(obj: Json) -> None:
    spec = obj["spec"]
    _put(spec, "replicas", 1)
    template = spec.get("template")
    labels = (template or {}).get("metadata", {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(labels)
    pods.default_template(template)


def _job(obj: Json) -> None:
    spec = obj["spec"]
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    _put(spec, "parallelism", 1)
    _put(spec, "backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else MAX_INT32)
    _put(spec, "completionMode", "NonIndexed")
    _put(spec, "suspend", False)
    _put(spec, "manualSelector", False)
    _put(spec, "podReplacementPolicy", "Failed" if spec.get("podFailurePolicy") else "TerminatingOrFailed")
    labels = spec["template"]["metadata"].get("labels")
    if labels and not obj["metadata"].get("labels"):
        # One and the same map, as in Go: the labels that creation adds to the template thus reach the Job too.
        obj["metadata"]["labels"] = labels
    _job_spec(spec)


def _job_spec(spec: Json) -> None:
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            if not pattern.get("status"):
                pattern["status"] = "True"
    pods.default_template(spec.get("template"))


def _cron_job(obj: Json) -> None:
    spec = obj["spec"]
    spec.setdefault("concurrencyPolicy", "Allow")
    _put(spec, "suspend", False)
    _put(spec, "successfulJobsHistoryLimit", 3)
    _put(spec, "failedJobsHistoryLimit", 1)
    _job_spec(spec["jobTemplate"]["spec"])


def _pod_template(obj: Json) -> None:
    pods.default_template(obj.get("template"))


# ---- core ----


def _service(obj: Json) -> None:
    spec = obj["spec"]
    spec.setdefault("sessionAffinity", "None")
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        _put(client, "timeoutSeconds", 10800)
    kind = spec.setdefault("type", "ClusterIP")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (0, "", None):
            port["targetPort"] = port["port"]
    if kind in ("NodePort", "LoadBalancer") or (kind == "ClusterIP" and spec.get("externalIPs")):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind in ("NodePort", "LoadBalancer", "ClusterIP"):
        _put(spec, "internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        _put(spec, "allocateLoadBalancerNodePorts", True)
        for address in obj.get("status", {}).get("loadBalancer", {}).get("ingress", ()):
            if address.get("ip"):
                _put(address, "ipMode", "VIP")


def _endpoints(obj: Json) -> None:
    for subset in obj.get("subsets", ()):
        for port in subset.get("ports", ()):
            port.setdefault("protocol", "TCP")


def _endpoint_slice(obj: Json) -> None:
    for port in obj.get("ports") or ():
        _put(port, "name", "")
        _put(port, "protocol", "TCP")


def _claim(obj: Json) -> None:
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    pods.default_claim_spec(obj["spec"])


def _volume(obj: Json) -> None:
    spec = obj["spec"]
    obj.setdefault("status", {}).setdefault("phase", "Pending")
    spec.setdefault("persistentVolumeReclaimPolicy", "Retain")
    _put(spec, "volumeMode", "Filesystem")
    if "capacity" in spec:
        round_resources(spec["capacity"])
    pods.default_volume_source(spec)


def _secret(obj: Json) -> None:
    obj.setdefault("type", "Opaque")


def _namespace(obj: Json) -> None:
    obj.setdefault("status", {}).setdefault("phase", "Active")
    name = obj["metadata"].get("name")
    if name:
        obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name


def _node(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    first = (spec.get("podCIDRs") or [""])[0]
    if spec.get("podCIDR") and spec["podCIDR"] != first:
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif first:
        spec["podCIDR"] = first
    status = obj.setdefault("status", {})
    if "capacity" in status and "allocatable" not in status:
        status["allocatable"] = dict(status["capacity"])


def _limit_range(obj: Json) -> None:
    for item in obj.get("spec", {}).get("limits") or ():
        for field in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if field in item:
                round_resources(item[field])
        if item.get("type") != "Container":
            continue
        limits = dict(item.get("default", {}))
        for name, amount in item.get("max", {}).items():
            limits.setdefault(name, amount)
        requests = dict(item.get("defaultRequest", {}))
        for name, amount in (*limits.items(), *item.get("min", {}).items()):
            requests.setdefault(name, amount)
        if limits:
            item["default"] = limits
        if requests:
            item["defaultRequest"] = requests


def _resource_quota(obj: Json) -> None:
    for part in ("spec", "status"):
        for field in ("hard", "used"):
            if field in obj.get(part, {}):
                round_resources(obj[part][field])


# ---- networking, scaling, policy ----


def _ingress_class(obj: Json) -> None:
    parameters = obj.get("spec", {}).get("parameters")
    if parameters is not None:
        _put(parameters, "scope", "Cluster")


def _network_policy(obj: Json) -> None:
    spec = obj["spec"]
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction, ()):
            for port in rule.get("ports", ()):
                _put(port, "protocol", "TCP")
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]


def _autoscaler_v1(obj: Json) -> None:
    spec = obj["spec"]
    _put(spec, "minReplicas", 1)
    if "autoscaling.alpha.kubernetes.io/metrics" not in obj["metadata"].get("annotations", {}):
        _put(spec, "targetCPUUtilizationPercentage", 80)


def _autoscaler(obj: Json) -> None:
    spec = obj["spec"]
    _put(spec, "minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": 80}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        up = behavior.setdefault("scaleUp", {})
        _put(up, "stabilizationWindowSeconds", 0)
        _put(up, "selectPolicy", "Max")
        if up.get("policies") is None:
            up["policies"] = [
                {"type": "Pods", "value": 4, "periodSeconds": 15},
                {"type": "Percent", "value": 100, "periodSeconds": 15},
            ]
        down = behavior.setdefault("scaleDown", {})
        _put(down, "selectPolicy", "Max")
        if down.get("policies") is None:
            down["policies"] = [{"type": "Percent", "value": 100, "periodSeconds": 15}]


# ---- access, storage, scheduling ----


def _role_binding(obj: Json) -> None:
    obj["roleRef"]["apiGroup"] = obj["roleRef"].get("apiGroup") or RBAC
    for subject in obj.get("subjects", ()):
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)


def _storage_class(obj: Json) -> None:
    _put(obj, "reclaimPolicy", "Delete")
    _put(obj, "volumeBindingMode", "Immediate")


def _csi_driver(obj: Json) -> None:
    spec = obj["spec"]
    _put(spec, "attachRequired", True)
    _put(spec, "podInfoOnMount", False)
    _put(spec, "storageCapacity", False)
    _put(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType")
    _put(spec, "requiresRepublish", False)
    _put(spec, "seLinuxMount", False)
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


def _priority_class(obj: Json) -> None:
    _put(obj, "preemptionPolicy", "PreemptLowerPriority")


def _flow_schema(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _priority_level(obj: Json) -> None:
    spec = obj.setdefault("spec", {})
    if spec.get("exempt") is not None:
        _put(spec["exempt"], "nominalConcurrencyShares", 0)
        _put(spec["exempt"], "lendablePercent", 0)
    limited = spec.get("limited")
    if limited is not None:
        _put(limited, "nominalConcurrencyShares", 30)
        _put(limited, "lendablePercent", 0)
        queuing = limited.get("limitResponse", {}).get("queuing")
        if queuing is not None:
            for field, value in (("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)):
                if not queuing.get(field):
                    queuing[field] = value


# ---- extension of the API ----


def _definition(obj: Json) -> None:
    spec = obj["spec"]
    names = spec["names"]
    if not names.get("singular"):
        names["singular"] = names["kind"].lower()
    if not names.get("listKind") and names["kind"]:
        names["listKind"] = names["kind"] + "List"
    conversion = spec.setdefault("conversion", {"strategy": "None"})
    client = (conversion.get("webhook") or {}).get("clientConfig") or {}
    if client.get("service") is not None:
        _put(client["service"], "port", 443)
    status = obj.setdefault("status", {})
    if not status.get("storedVersions"):
        stored = [version["name"] for version in spec.get("versions") or () if version.get("storage")]
        if stored:
            status["storedVersions"] = stored[:1]


def _api_service(obj: Json) -> None:
    service = obj.get("spec", {}).get("service")
    if service is not None:
        _put(service, "port", 443)


def _webhooks(obj: Json) -> None:
    for webhook in obj.get("webhooks", ()):
        _put(webhook, "failurePolicy", "Fail")
        _match_constraints(webhook)
        _put(webhook, "timeoutSeconds", 10)
        service = webhook["clientConfig"].get("service")
        if service is not None:
            _put(service, "port", 443)


def _mutating_webhooks(obj: Json) -> None:
    _webhooks(obj)
    for webhook in obj.get("webhooks", ()):
        _put(webhook, "reinvocationPolicy", "Never")


def _match_constraints(match: Json) -> None:
    _put(match, "matchPolicy", "Equivalent")
    _put(match, "namespaceSelector", {})
    _put(match, "objectSelector", {})
    for field in ("rules", "resourceRules", "excludeResourceRules"):
        for rule in match.get(field) or ():
            _put(rule, "scope", "*")


def _admission_policy(obj: Json) -> None:
    spec = obj["spec"]
    _put(spec, "failurePolicy", "Fail")
    if spec.get("matchConstraints") is not None:
        _match_constraints(spec["matchConstraints"])


def _policy_binding(obj: Json) -> None:
    resources = obj["spec"].get("matchResources")
    if resources is not None:
        _match_constraints(resources)


def _token_request(obj: Json) -> None:
    _put(obj["spec"], "expirationSeconds", 3600)


def _resource_claim(obj: Json) -> None:
    _device_requests(obj.get("spec", {}))


def _resource_claim_template(obj: Json) -> None:
    _device_requests(obj.get("spec", {}).get("spec", {}))


def _device_requests(spec: Json) -> None:
    for request in spec.get("devices", {}).get("requests") or ():
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if one is not None:
                mode = one.setdefault("allocationMode", "ExactCount")
                if mode == "ExactCount" and not one.get("count"):
                    one["count"] = 1


_ADMISSION: Final = "admissionregistration.k8s.io"

_BY_KIND: Final[dict[tuple[str, str], Callable[[Json], None]]] = {
    ("", "Pod"): pods.default_pod,
    ("", "PodTemplate"): _pod_template,
    ("", "ReplicationController"): _replication_controller,
    ("", "Service"): _service,
    ("", "Endpoints"): _endpoints,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "PersistentVolume"): _volume,
    ("", "Secret"): _secret,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "LimitRange"): _limit_range,
    ("", "ResourceQuota"): _resource_quota,
    ("apps", "Deployment"): _deployment,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _daemon_set,
    ("apps", "ReplicaSet"): _replica_set,
    ("batch", "Job"): _job,
    ("batch", "CronJob"): _cron_job,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    (RBAC, "RoleBinding"): _role_binding,
    (RBAC, "ClusterRoleBinding"): _role_binding,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("storage.k8s.io", "CSIDriver"): _csi_driver,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _priority_level,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _definition,
    ("apiregistration.k8s.io", "APIService"): _api_service,
    (_ADMISSION, "ValidatingWebhookConfiguration"): _webhooks,
    (_ADMISSION, "MutatingWebhookConfiguration"): _mutating_webhooks,
    (_ADMISSION, "ValidatingAdmissionPolicy"): _admission_policy,
    (_ADMISSION, "MutatingAdmissionPolicy"): _admission_policy,
    (_ADMISSION, "ValidatingAdmissionPolicyBinding"): _policy_binding,
    (_ADMISSION, "MutatingAdmissionPolicyBinding"): _policy_binding,
    ("authentication.k8s.io", "TokenRequest"): _token_request,
    ("resource.k8s.io", "ResourceClaim"): _resource_claim,
    ("resource.k8s.io", "ResourceClaimTemplate"): _resource_claim_template,
}
