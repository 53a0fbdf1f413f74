"""Compress the tables derived from Kubernetes' Go types into the package's data files.

    python scripts/gen_goshapes.py shapes GO_SHAPES.json > src/tiphys/apimachinery/data/goshapes.json.gz
    python scripts/gen_goshapes.py proto PROTO_TABLE.json > src/tiphys/devcluster/data/proto.json.gz

`GO_SHAPES.json` is `{"types": {type: {field: [type, flags]}}, "alias": {type: type}}` read from struct tags of
k8s.io/api, k8s.io/apimachinery and k8s.io/apiextensions-apiserver; flags are `o` omitempty, `z` omitzero, `p` pointer,
`l` list, `m` map, `i` inline. `PROTO_TABLE.json` is `{message: {number: [name, type, flags]}}` read from their
generated.proto; flags are `r` repeated and `m` map, and a fourth element `i` marks an embedded message. kube-aggregator's
APIService is in neither and is added here by hand.
"""

from __future__ import annotations

import gzip
import json
import sys
from typing import Any

META = "apimachinery.pkg.apis.meta.v1."
AGGREGATOR = "kube-aggregator.pkg.apis.apiregistration.v1."

PREFIXES = {"api.": "", "apiextensions-apiserver.pkg.apis.": "", "kube-aggregator.pkg.apis.": ""}

GROUPS = {
    "core": "",
    "apps": "apps",
    "autoscaling": "autoscaling",
    "batch": "batch",
    "extensions": "extensions",
    "policy": "policy",
    "admission": "admission.k8s.io",
    "admissionregistration": "admissionregistration.k8s.io",
    "apidiscovery": "apidiscovery.k8s.io",
    "apiextensions": "apiextensions.k8s.io",
    "apiregistration": "apiregistration.k8s.io",
    "apiserverinternal": "internal.apiserver.k8s.io",
    "authentication": "authentication.k8s.io",
    "authorization": "authorization.k8s.io",
    "certificates": "certificates.k8s.io",
    "coordination": "coordination.k8s.io",
    "discovery": "discovery.k8s.io",
    "events": "events.k8s.io",
    "flowcontrol": "flowcontrol.apiserver.k8s.io",
    "imagepolicy": "imagepolicy.k8s.io",
    "networking": "networking.k8s.io",
    "node": "node.k8s.io",
    "rbac": "rbac.authorization.k8s.io",
    "resource": "resource.k8s.io",
    "scheduling": "scheduling.k8s.io",
    "storage": "storage.k8s.io",
    "storagemigration": "storagemigration.k8s.io",
}

EXTRA_TYPES: dict[str, dict[str, list[str]]] = {
    AGGREGATOR + "APIService": {
        "metav1.TypeMeta": [META + "TypeMeta", "i"],
        "metadata": [META + "ObjectMeta", "o"],
        "spec": [AGGREGATOR + "APIServiceSpec", "o"],
        "status": [AGGREGATOR + "APIServiceStatus", "o"],
    },
    AGGREGATOR + "APIServiceList": {
        "metav1.TypeMeta": [META + "TypeMeta", "i"],
        "metadata": [META + "ListMeta", "o"],
        "items": [AGGREGATOR + "APIService", "l"],
    },
    AGGREGATOR + "APIServiceSpec": {
        "service": [AGGREGATOR + "ServiceReference", "op"],
        "group": ["string", "o"],
        "version": ["string", "o"],
        "insecureSkipTLSVerify": ["bool", "o"],
        "caBundle": ["bytes", "o"],
        "groupPriorityMinimum": ["int32", ""],
        "versionPriority": ["int32", ""],
    },
    AGGREGATOR + "ServiceReference": {"namespace": ["string", "o"], "name": ["string", "o"], "port": ["int32", "op"]},
    AGGREGATOR + "APIServiceStatus": {"conditions": [AGGREGATOR + "APIServiceCondition", "ol"]},
    AGGREGATOR + "APIServiceCondition": {
        "type": [AGGREGATOR + "APIServiceConditionType", ""],
        "status": [AGGREGATOR + "ConditionStatus", ""],
        "lastTransitionTime": [META + "Time", "o"],
        "reason": ["string", "o"],
        "message": ["string", "o"],
    },
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus": {},
}

EXTRA_ALIASES = {
    AGGREGATOR + "APIServiceConditionType": "string",
    AGGREGATOR + "ConditionStatus": "string",
    "api.admissionregistration.v1beta1.RuleWithOperations": "api.admissionregistration.v1.RuleWithOperations",
    "api.admissionregistration.v1alpha1.RuleWithOperations": "api.admissionregistration.v1.RuleWithOperations",
    "api.admissionregistration.v1beta1.ReinvocationPolicyType": "string",
    "api.admissionregistration.v1alpha1.ReinvocationPolicyType": "string",
    "api.apiserverinternal.v1alpha1.StorageVersionSpec": META + "EmptyStruct",
}

EXTRA_MESSAGES: dict[str, dict[str, list[str]]] = {
    "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIService": {
        "1": ["metadata", "k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta", ""],
        "2": ["spec", "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIServiceSpec", ""],
        "3": ["status", "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIServiceStatus", ""],
    },
    "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIServiceSpec": {
        "1": ["service", "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.ServiceReference", ""],
        "2": ["group", "string", ""],
        "3": ["version", "string", ""],
        "4": ["insecureSkipTLSVerify", "bool", ""],
        "5": ["caBundle", "bytes", ""],
        "7": ["groupPriorityMinimum", "int32", ""],
        "8": ["versionPriority", "int32", ""],
    },
    "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.ServiceReference": {
        "1": ["namespace", "string", ""],
        "2": ["name", "string", ""],
        "3": ["port", "int32", ""],
    },
    "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIServiceStatus": {
        "1": ["conditions", "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIServiceCondition", "r"],
    },
    "k8s.io.kube_aggregator.pkg.apis.apiregistration.v1.APIServiceCondition": {
        "1": ["type", "string", ""],
        "2": ["status", "string", ""],
        "3": ["lastTransitionTime", "k8s.io.apimachinery.pkg.apis.meta.v1.Time", ""],
        "4": ["reason", "string", ""],
        "5": ["message", "string", ""],
    },
}


def flatten(types: dict[str, Any], alias: dict[str, str], name: str) -> dict[str, list[str]]:
    """Fields of one struct with those of its embedded structs in place; the outer field wins over an embedded one."""
    fields: dict[str, list[str]] = {}
    for field, (target, flags) in types[name].items():
        if "i" not in flags:
            fields[field] = [target, flags]
            continue
        target = alias.get(target, target)
        for inner, shape in flatten(types, alias, target).items():
            if inner not in types[name]:
                fields[inner] = shape
    return fields


def group_version(type_name: str) -> tuple[str, str, str] | None:
    """(group, version, name) of an API type; None for a type that is no part of a group."""
    for prefix in PREFIXES:
        if type_name.startswith(prefix):
            parts = type_name[len(prefix) :].split(".")
            if len(parts) == 3 and parts[0] in GROUPS:
                return GROUPS[parts[0]], parts[1], parts[2]
    return None


def shapes(source: dict[str, Any]) -> dict[str, Any]:
    """`{"types", "alias", "kinds"}`: flattened structs reachable from a kind, and `group/version/Kind` -> type."""
    types: dict[str, Any] = {**source["types"], **EXTRA_TYPES, META + "EmptyStruct": {}}
    alias: dict[str, str] = {**source["alias"], **EXTRA_ALIASES}
    kinds: dict[str, str] = {}
    for name in (*types, *(a for a, target in alias.items() if target == META + "List")):
        found = group_version(name)
        resolved = alias.get(name, name)
        if found and any("i" in flags and target == META + "TypeMeta" for target, flags in types[resolved].values()):
            kinds["/".join(found)] = resolved
    for options in (
        "DeleteOptions",
        "CreateOptions",
        "UpdateOptions",
        "PatchOptions",
        "Status",
        "PartialObjectMetadata",
    ):
        kinds[f"meta.k8s.io/v1/{options}"] = META + options
    wanted: dict[str, Any] = {}
    queue = list(kinds.values())
    while queue:
        name = queue.pop()
        if name in wanted or name not in types:
            continue
        wanted[name] = flatten(types, alias, name)
        for target, _ in wanted[name].values():
            target = alias.get(target, target)
            queue.append(target.split(":", 1)[-1])
    used = {target for fields in wanted.values() for target, _ in fields.values()}
    return {
        "types": dict(sorted(wanted.items())),
        "alias": {name: target for name, target in sorted(alias.items()) if name in used},
        "kinds": dict(sorted(kinds.items())),
    }


def proto(source: dict[str, Any]) -> dict[str, Any]:
    """Messages by name; the `k8s.io.` prefix all of them share is left out."""
    cut = len("k8s.io.")
    messages: dict[str, Any] = {}
    for message, fields in {**source, **EXTRA_MESSAGES}.items():
        messages[message[cut:]] = {
            number: [shape[0], shape[1].removeprefix("k8s.io."), *shape[2:]] for number, shape in fields.items()
        }
    return dict(sorted(messages.items()))


def main(arguments: list[str]) -> int:
    """Write the gzip of the table named by the first argument to standard output."""
    which, path = arguments
    with open(path, encoding="utf-8") as file:
        source = json.load(file)
    table = shapes(source) if which == "shapes" else proto(source)
    sys.stdout.buffer.write(gzip.compress(json.dumps(table, separators=(",", ":")).encode(), 9, mtime=0))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
