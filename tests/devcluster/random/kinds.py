"""Kinds: the ten whose objects are drawn, and what each looks like."""

# ruff: noqa: E501 (shapes are easier to read in wide rows)

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.devcluster.random.shapes import Either, Entries, Fields, Items, One, Shape

GROUP = "random.compared.io"
WORD = One(("one", "two", "three"))
SMALL = One((0, 1, 2, 3, 7))
SWITCH = One((True, False))
NAME = One(("a", "b", "c"))
PORT = One((80, 81, 443, 8080))
PORT_OR_NAME = One((80, 8080, "http", "metrics"))
AMOUNT = One(("100m", "0.5", "1", 2, "1024Mi", "1Gi", "1e3", "250M"))
LABELS = Entries(("a", "b", "app.kubernetes.io/name"), One(("x", "y", "")))


@dataclass(frozen=True)
class Kind:
    """A kind: where its collection is below a namespace's path, and the shape of what is beside its metadata."""

    kind: str
    version: str
    plural: str
    shape: Fields
    custom: bool = False

    def collection(self, namespace: str) -> str:
        """The path of its objects in a namespace."""
        root = "/api/" if "/" not in self.version else "/apis/"
        return f"{root}{self.version}/namespaces/{namespace}/{self.plural}"

    def named(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        """A manifest."""
        given = body.get("metadata")
        metadata = {**(given if isinstance(given, dict) else {}), "name": name}
        return {**body, "apiVersion": self.version, "kind": self.kind, "metadata": metadata}


METADATA = Fields(may={
    "labels": LABELS,
    "annotations": Entries(("a", "b", "c.io/d"), One(("x", "y", "1"))),
    "finalizers": Items(One(("x.io/a", "x.io/b", "x.io/c")), most=2),
    "ownerReferences": Items(Fields(must={
        "apiVersion": One(("none.io/v1",)), "kind": One(("Owner",)), "name": NAME,
        "uid": One(("11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222")),
    }, may={"controller": One((False,)), "blockOwnerDeletion": SWITCH}), ("uid",), most=1),
})  # fmt: skip

_REFERENCE = Fields(must={"name": NAME, "key": NAME}, may={"optional": SWITCH})
_ENVIRONMENT = Items(Either((
    Fields(must={"name": One(("A", "B", "C"))}, may={"value": One(("", "1", "2"))}),
    Fields(must={"name": One(("D", "E")), "valueFrom": Either((
        Fields(must={"configMapKeyRef": _REFERENCE}), Fields(must={"secretKeyRef": _REFERENCE}),
        Fields(must={"fieldRef": Fields(must={"fieldPath": One(("metadata.name", "status.podIP"))})}),
    ))}),
)), ("name",))  # fmt: skip
_HANDLER = Either((
    Fields(must={"httpGet": Fields(must={"port": PORT_OR_NAME}, may={"path": One(("/", "/x")), "scheme": One(("HTTP", "HTTPS"))})}),
    Fields(must={"tcpSocket": Fields(must={"port": PORT_OR_NAME})}),
    Fields(must={"exec": Fields(must={"command": Items(WORD, least=1, most=2)})}),
))  # fmt: skip
_PROBE = Either(tuple(
    Fields(must=handler.must, may={"periodSeconds": One((5, 10)), "initialDelaySeconds": SMALL, "timeoutSeconds": One((1, 3))})
    for handler in _HANDLER.shapes
    if isinstance(handler, Fields)
))  # fmt: skip
_RESOURCES = Fields(
    may={"limits": Entries(("cpu", "memory"), One(("4", "4Gi"))), "requests": Entries(("cpu", "memory"), AMOUNT)}
)
_CONTAINER = Fields(
    must={"name": NAME, "image": One(("i:1", "i:2", "registry.example.com/i"))},
    may={
        "command": Items(WORD, most=2, distinct=False), "args": Items(WORD, most=3, distinct=False), "env": _ENVIRONMENT,
        "ports": Items(Fields(must={"containerPort": PORT}, may={
            "name": One(("http", "metrics", "x")), "protocol": One(("TCP", "UDP")),
        }), ("containerPort", "protocol")),
        "resources": _RESOURCES, "livenessProbe": _PROBE, "readinessProbe": _PROBE,
        "imagePullPolicy": One(("Always", "IfNotPresent")), "workingDir": One(("/w",)),
        "volumeMounts": Items(Fields(must={"name": One(("v", "w")), "mountPath": One(("/m", "/n"))}, may={"readOnly": SWITCH, "subPath": NAME}), ("mountPath",), most=2),
        "securityContext": Fields(may={
            "runAsUser": One((0, 1000)), "privileged": SWITCH, "readOnlyRootFilesystem": SWITCH,
            "capabilities": Fields(may={"add": Items(One(("NET_ADMIN", "KILL")), most=2), "drop": Items(One(("ALL",)), most=1)}),
        }),
        "envFrom": Items(Either((
            Fields(must={"configMapRef": Fields(must={"name": NAME})}), Fields(must={"secretRef": Fields(must={"name": NAME})}, may={"prefix": One(("P_",))}),
        )), most=2),
        "lifecycle": Fields(may={"preStop": Fields(must={"exec": Fields(must={"command": Items(WORD, least=1, most=1)})})}),
    },
)  # fmt: skip
_VOLUME = Either((
    Fields(must={"name": One(("v", "w")), "emptyDir": Fields(may={"medium": One(("Memory",)), "sizeLimit": AMOUNT})}),
    Fields(must={"name": One(("v", "w")), "configMap": Fields(must={"name": NAME}, may={"defaultMode": One((420, 256)), "items": Items(Fields(must={"key": NAME, "path": NAME}), most=2)})}),
    Fields(must={"name": One(("v", "w")), "secret": Fields(must={"secretName": NAME}, may={"optional": SWITCH})}),
    Fields(must={"name": One(("v", "w")), "hostPath": Fields(must={"path": One(("/h",))}, may={"type": One(("", "Directory"))})}),
    Fields(must={"name": One(("v", "w")), "projected": Fields(may={"sources": Items(Fields(must={"configMap": Fields(must={"name": NAME})}), most=2)})}),
))  # fmt: skip
_TOLERATION = Fields(may={
    "key": NAME, "operator": One(("Exists", "Equal")), "value": One(("x",)), "effect": One(("NoSchedule", "NoExecute")), "tolerationSeconds": One((5,)),
})  # fmt: skip
_TERMS = Items(Fields(must={"matchExpressions": Items(Fields(must={
    "key": NAME, "operator": One(("In", "NotIn")), "values": Items(WORD, least=1, most=2),
}), least=1, most=1)}), least=1, most=1)  # fmt: skip
_POD_MAY: dict[str, Shape] = {
    "initContainers": Items(Fields(must={"name": One(("d", "e")), "image": One(("i:1",))}, may={"restartPolicy": One(("Always",))}), ("name",), most=1),
    "volumes": Items(_VOLUME, ("name",), most=2), "nodeSelector": Entries(("a", "b"), WORD), "serviceAccountName": NAME,
    "terminationGracePeriodSeconds": One((0, 5, 30)), "tolerations": Items(_TOLERATION, most=2), "hostNetwork": SWITCH, "dnsPolicy": One(("Default", "ClusterFirst")),
    "imagePullSecrets": Items(Fields(must={"name": NAME}), ("name",), most=2), "priorityClassName": One(("none",)), "automountServiceAccountToken": SWITCH,
    "securityContext": Fields(may={"runAsNonRoot": SWITCH, "fsGroup": One((0, 2000)), "supplementalGroups": Items(SMALL, most=2)}),
    "hostAliases": Items(Fields(must={"ip": One(("10.0.0.1", "10.0.0.2"))}, may={"hostnames": Items(WORD, most=2)}), ("ip",), most=2),
    "affinity": Fields(may={"nodeAffinity": Fields(must={"requiredDuringSchedulingIgnoredDuringExecution": Fields(must={"nodeSelectorTerms": _TERMS})})}),
    "topologySpreadConstraints": Items(Fields(must={
        "maxSkew": One((1, 2)), "topologyKey": One(("zone", "host")), "whenUnsatisfiable": One(("DoNotSchedule", "ScheduleAnyway")),
    }, may={"labelSelector": Fields(must={"matchLabels": LABELS})}), ("topologyKey", "whenUnsatisfiable"), most=2),
}  # fmt: skip


def _template(policies: tuple[str, ...], *, must: bool = False) -> Fields:
    may = dict(_POD_MAY)
    required: dict[str, Shape] = {"containers": Items(_CONTAINER, ("name",), least=1, most=2)}
    (required if must else may)["restartPolicy"] = One(policies)
    labels = Fields(must={"sel": One(("s",))}, may={"a": WORD, "b": WORD})
    return Fields(
        must={"metadata": Fields(must={"labels": labels}, may={"annotations": LABELS}), "spec": Fields(required, may)}
    )


_SELECTOR = Fields(must={"matchLabels": Fields(must={"sel": One(("s",))})})
_CLAIM = Fields(must={
    "metadata": Fields(must={"name": One(("v", "w"))}),
    "spec": Fields(must={"accessModes": Items(One(("ReadWriteOnce", "ReadOnlyMany")), least=1, most=2),
                         "resources": Fields(must={"requests": Fields(must={"storage": One(("1Gi", "500M"))})})}, may={"storageClassName": NAME}),
})  # fmt: skip
_BACKEND = Fields(must={"service": Fields(must={"name": NAME, "port": Either((
    Fields(must={"number": PORT}), Fields(must={"name": One(("http",))}),
))})})  # fmt: skip
_RULE = Fields(may={"host": One(("a.example.com", "*.example.com", "b.example.com")), "http": Fields(must={"paths": Items(
    Fields(must={"path": One(("/", "/x", "/y")), "pathType": One(("Prefix", "Exact", "ImplementationSpecific")), "backend": _BACKEND}), least=1, most=2,
)})})  # fmt: skip
_PEER = Either((
    Fields(must={"podSelector": Fields(may={"matchLabels": LABELS})}, may={"namespaceSelector": Fields(may={"matchLabels": LABELS})}),
    Fields(must={"ipBlock": Fields(must={"cidr": One(("10.0.0.0/8", "192.168.0.0/16"))}, may={"except": Items(One(("10.1.0.0/16", "10.2.0.0/16")), most=1)})}),
))  # fmt: skip
_POLICY_PORTS = Items(
    Fields(may={"port": PORT_OR_NAME, "protocol": One(("TCP", "UDP", "SCTP")), "endPort": One((8081, 9000))}), most=2
)
_METRIC_TARGET = Either((
    Fields(must={"type": One(("Utilization",)), "averageUtilization": One((50, 80))}),
    Fields(must={"type": One(("AverageValue",)), "averageValue": AMOUNT}),
))  # fmt: skip
_METRIC = Either((
    Fields(must={"type": One(("Resource",)), "resource": Fields(must={"name": One(("cpu", "memory")), "target": _METRIC_TARGET})}),
    Fields(must={"type": One(("Pods",)), "pods": Fields(must={
        "metric": Fields(must={"name": NAME}, may={"selector": Fields(must={"matchLabels": LABELS})}), "target": Fields(must={"type": One(("AverageValue",)), "averageValue": AMOUNT})})}),
    Fields(must={"type": One(("ContainerResource",)), "containerResource": Fields(must={"name": One(("cpu",)), "container": NAME, "target": _METRIC_TARGET})}),
))  # fmt: skip
_SCALING = Fields(may={
    "stabilizationWindowSeconds": One((0, 60)), "selectPolicy": One(("Max", "Min", "Disabled")),
    "policies": Items(Fields(must={"type": One(("Pods", "Percent")), "value": One((1, 4)), "periodSeconds": One((15, 60))}), least=1, most=2),
})  # fmt: skip
_DATA = Entries(("a", "b", "c", "d.txt"), One(("1", "2", "", "long text\n")))
_ENCODED = Entries(("e", "f"), One(("AAA=", "YQ==", "")))


def _spec(must: dict[str, Shape], may: dict[str, Shape]) -> Fields:
    return Fields(must={"spec": Fields(must, may)}, may={"metadata": METADATA})


def kinds() -> list[Kind]:
    """All ten."""
    ports = Items(Fields(must={"port": PORT, "name": One(("http", "metrics", "x"))}, may={
        "protocol": One(("TCP", "UDP")), "targetPort": PORT_OR_NAME, "appProtocol": One(("http", "kubernetes.io/h2c")),
    }), ("port", "protocol"), least=1)  # fmt: skip
    return [
        Kind("ConfigMap", "v1", "configmaps", Fields(may={"metadata": METADATA, "data": _DATA, "binaryData": _ENCODED, "immutable": One((False, False, True))})),
        Kind("Secret", "v1", "secrets", Fields(may={"metadata": METADATA, "data": Entries(("a", "b", "c"), One(("AAA=", "YQ==", ""))), "stringData": _DATA, "type": One(("Opaque", "example.com/t"))})),
        Kind("Service", "v1", "services", _spec({"ports": ports}, {
            "selector": LABELS, "type": One(("ClusterIP", "NodePort", "LoadBalancer")), "sessionAffinity": One(("None", "ClientIP")), "externalTrafficPolicy": One(("Cluster", "Local")),
            "internalTrafficPolicy": One(("Cluster", "Local")), "publishNotReadyAddresses": SWITCH, "externalIPs": Items(One(("1.2.3.4", "5.6.7.8")), most=2),
            "ipFamilyPolicy": One(("SingleStack", "PreferDualStack")), "loadBalancerSourceRanges": Items(One(("10.0.0.0/8",)), most=1), "allocateLoadBalancerNodePorts": SWITCH,
        })),
        Kind("Deployment", "apps/v1", "deployments", _spec({"selector": _SELECTOR, "template": _template(("Always",))}, {
            "replicas": SMALL, "minReadySeconds": SMALL, "revisionHistoryLimit": SMALL, "paused": SWITCH, "progressDeadlineSeconds": One((60, 600)),
            "strategy": Either((
                Fields(must={"type": One(("Recreate",))}),
                Fields(must={"type": One(("RollingUpdate",))}, may={"rollingUpdate": Fields(may={"maxSurge": One((1, "25%", "50%")), "maxUnavailable": One((1, "30%"))})}),
            )),
        })),
        Kind("StatefulSet", "apps/v1", "statefulsets", _spec({"selector": _SELECTOR, "serviceName": NAME, "template": _template(("Always",))}, {
            "replicas": SMALL, "podManagementPolicy": One(("OrderedReady", "Parallel")), "volumeClaimTemplates": Items(_CLAIM, least=0, most=1), "minReadySeconds": SMALL, "revisionHistoryLimit": SMALL,
            "updateStrategy": Either((
                Fields(must={"type": One(("OnDelete",))}), Fields(must={"type": One(("RollingUpdate",))}, may={"rollingUpdate": Fields(may={"partition": SMALL})}),
            )),
            "persistentVolumeClaimRetentionPolicy": Fields(may={"whenDeleted": One(("Retain", "Delete")), "whenScaled": One(("Retain", "Delete"))}), "ordinals": Fields(may={"start": SMALL}),
        })),
        Kind("Job", "batch/v1", "jobs", _spec({"template": _template(("Never", "OnFailure"), must=True)}, {
            "parallelism": SMALL, "completions": SMALL, "backoffLimit": SMALL, "suspend": SWITCH, "activeDeadlineSeconds": One((1, 60)), "ttlSecondsAfterFinished": SMALL,
            "completionMode": One(("NonIndexed", "Indexed")), "podReplacementPolicy": One(("Failed", "TerminatingOrFailed")),
            "podFailurePolicy": Fields(must={"rules": Items(Fields(must={"action": One(("Ignore", "FailJob")), "onExitCodes": Fields(must={"operator": One(("In", "NotIn")), "values": Items(One((1, 2, 3)), least=1)})}), most=2)}),
        })),
        Kind("Ingress", "networking.k8s.io/v1", "ingresses", _spec({"rules": Items(_RULE, least=1, most=2)}, {
            "ingressClassName": NAME, "defaultBackend": _BACKEND, "tls": Items(Fields(may={"hosts": Items(One(("a.example.com", "b.example.com")), most=2), "secretName": NAME}), most=2),
        })),
        Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies", _spec({"podSelector": Fields(may={"matchLabels": LABELS})}, {
            "policyTypes": Items(One(("Ingress", "Egress")), most=2), "ingress": Items(Fields(may={"from": Items(_PEER, most=2), "ports": _POLICY_PORTS}), most=2),
            "egress": Items(Fields(may={"to": Items(_PEER, most=2), "ports": _POLICY_PORTS}), most=2),
        })),
        Kind("HorizontalPodAutoscaler", "autoscaling/v2", "horizontalpodautoscalers", _spec({
            "scaleTargetRef": Fields(must={"kind": One(("Deployment", "StatefulSet")), "name": NAME}, may={"apiVersion": One(("apps/v1",))}), "maxReplicas": One((5, 9)),
        }, {"minReplicas": One((1, 2)), "metrics": Items(_METRIC, most=2), "behavior": Fields(may={"scaleUp": _SCALING, "scaleDown": _SCALING})})),
        Kind("Gadget", f"{GROUP}/v1", "gadgets", _GADGET, custom=True),
    ]  # fmt: skip


_PART = Fields(must={"name": NAME}, may={"kind": One(("x", "y")), "n": SMALL, "tags": Items(WORD, most=2)})
_GADGET = _spec({"size": One((1, 2, 3))}, {
    "word": WORD, "color": One(("red", "blue")), "on": SWITCH, "port": One((80, "http")), "ratio": One((0.5, 1, 1.5, 2)), "maybe": One(("x", None)),
    "atomic": Items(WORD, most=3, distinct=False), "set": Items(WORD, most=3), "numbers": Items(SMALL, most=3), "parts": Items(_PART, ("name", "kind"), most=3),
    "plain": Items(_PART, ("name",), most=2), "free": Entries(("x", "y"), Either((WORD, SMALL, Entries(("p", "q"), WORD), Items(WORD, most=2, distinct=False), One((None,))))),
    "map": Entries(("a", "b", "c"), SMALL), "whole": Entries(("a", "b"), WORD), "inner": Fields(may={"x": WORD, "deep": Fields(may={"y": SMALL, "z": WORD})}),
    "maps": Entries(("a", "b"), Fields(may={"x": WORD, "y": SMALL})), "embedded": Fields(must={"apiVersion": One(("v1",)), "kind": One(("ConfigMap",))}, may={"metadata": Fields(may={"name": NAME, "labels": LABELS}), "data": _DATA}),
})  # fmt: skip


def definition() -> dict[str, Any]:
    """The definition of the custom kind: every type of list and map, defaults, and a subtree that is free."""
    text: dict[str, Any] = {"type": "string"}
    number: dict[str, Any] = {"type": "integer"}
    part = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": text, "kind": {"type": "string", "default": "x"}, "n": {"type": "integer", "default": 1},
            "tags": {"type": "array", "items": text, "x-kubernetes-list-type": "set"},
        },
    }  # fmt: skip
    properties = {
        "size": {"type": "integer", "minimum": 1, "maximum": 9}, "word": {"type": "string", "minLength": 2, "maxLength": 9, "pattern": "^[a-z]+$"},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"}, "on": {"type": "boolean"}, "port": {"x-kubernetes-int-or-string": True},
        "ratio": {"type": "number", "multipleOf": 0.5}, "maybe": {"type": "string", "nullable": True}, "atomic": {"type": "array", "items": text, "x-kubernetes-list-type": "atomic"},
        "set": {"type": "array", "items": text, "x-kubernetes-list-type": "set"}, "numbers": {"type": "array", "items": number, "x-kubernetes-list-type": "set"},
        "parts": {"type": "array", "items": part, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "kind"]}, "plain": {"type": "array", "items": part, "maxItems": 3},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "map": {"type": "object", "additionalProperties": number, "maxProperties": 3},
        "whole": {"type": "object", "additionalProperties": text, "x-kubernetes-map-type": "atomic"},
        "inner": {"type": "object", "default": {}, "properties": {"x": {"type": "string", "default": "one"}, "deep": {"type": "object", "properties": {"y": {**number, "default": 5}, "z": text}}}},
        "maps": {"type": "object", "additionalProperties": {"type": "object", "properties": {"x": text, "y": number}}},
        "embedded": {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
    }  # fmt: skip
    spec = {"type": "object", "required": ["size"], "properties": properties}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
    }
    names = {"plural": "gadgets", "kind": "Gadget"}
    return {
        "metadata": {"name": f"gadgets.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }
