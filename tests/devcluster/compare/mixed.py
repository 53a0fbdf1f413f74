"""Mixed: requests on a few kinds, written one by one."""

from __future__ import annotations

from typing import Any

from tests.devcluster.compare.step import APPLY, JSON_PATCH, MERGE, STRATEGIC, TABLE, Scenario, Step, namespace_of

NS = namespace_of("mixed")
MAPS = f"/api/v1/namespaces/{NS}/configmaps"
SECRETS = f"/api/v1/namespaces/{NS}/secrets"
PODS = f"/api/v1/namespaces/{NS}/pods"
SERVICES = f"/api/v1/namespaces/{NS}/services"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NS}/deployments"
JOBS = f"/apis/batch/v1/namespaces/{NS}/jobs"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
FOOS = f"/apis/x.io/v1/namespaces/{NS}/foos"


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "n"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


POD = {"spec": {"containers": [{"name": "c", "image": "n:1"}], "terminationGracePeriodSeconds": 5}}

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer", "default": 3, "minimum": 1},
                "title": {"type": "string", "maxLength": 5},
                "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
        },
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "words": {"type": "string"}}},
    },
}
DEFINITION = {
    "metadata": {"name": "foos.x.io"},
    "spec": {
        "group": "x.io",
        "scope": "Namespaced",
        "names": {"plural": "foos", "kind": "Foo", "shortNames": ["fo"], "categories": ["all"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "R", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "T", "type": "string", "jsonPath": ".spec.title", "priority": 1},
                ],
            }
        ],
    },
}


def config_map(name: str, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **more.pop("metadata", {})}, **more}


STEPS: list[Step] = [
    # paths and methods
    Step("GET", f"{MAPS}/nope"),
    Step("GET", f"/api/v1/namespaces/{NS}/nope"),
    Step("GET", f"/apis/nope.io/v1/namespaces/{NS}/nopes"),
    Step("GET", f"/apis/apps/v9/namespaces/{NS}/deployments"),
    Step("GET", f"{DEPLOYMENTS}/nope"),
    Step("GET", f"{DEPLOYMENTS}/nope/scale"),
    Step("GET", f"{DEPLOYMENTS}/nope/status"),
    Step("GET", f"{DEPLOYMENTS}/nope/nope"),
    Step("PATCH", MAPS, {}, MERGE),
    Step("PUT", MAPS, {}),
    Step("DELETE", f"{MAPS}/nope"),
    Step("POST", "/version", {}),
    Step("POST", f"{MAPS}/x", {}),
    Step("GET", "/api/v1/namespaces/nope/configmaps?limit=1"),
    Step("POST", "/api/v1/namespaces/nope/configmaps", config_map("a")),
    Step("POST", "/api/v1/configmaps", config_map("a")),
    # bodies
    Step("POST", MAPS, b"{bad"),
    Step("POST", MAPS, b""),
    Step("POST", MAPS, b"[]"),
    Step("POST", MAPS, b"x", "text/foo"),
    Step(
        "POST",
        MAPS,
        b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: yaml\ndata:\n  a: 'on'\n",
        "application/yaml",
    ),
    Step("POST", MAPS, {"metadata": {"name": "Bad_Name"}}),
    Step("POST", MAPS, {}),
    Step("POST", MAPS, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}}),
    Step(
        "POST",
        MAPS,
        {"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "x"}},
    ),
    Step("POST", MAPS, config_map("x", metadata={"namespace": "other"})),
    Step("POST", MAPS, config_map("x", metadata={"resourceVersion": "5"})),
    Step("POST", MAPS, config_map("x", metadata={"labels": {"-bad": "y"}})),
    Step("POST", MAPS, config_map("x", metadata={"finalizers": ["bad finalizer"]})),
    Step("POST", f"{MAPS}?fieldValidation=Strict", b'{"metadata":{"name":"a"},"data":{"a":"b","a":"c"},"foo":1}'),
    Step("POST", f"{MAPS}?fieldValidation=Warn", b'{"metadata":{"name":"warned"},"data":{"a":"b","a":"c"},"foo":1}'),
    Step("POST", f"{MAPS}?fieldValidation=Nonsense", config_map("a")),
    Step("POST", f"{MAPS}?dryRun=Some", config_map("a")),
    Step("POST", f"{MAPS}?dryRun=All", config_map("dry", data={"a": "b"})),
    Step("GET", f"{MAPS}/dry"),
    # create, update, patch
    Step("POST", MAPS, config_map("w1", data={"a": "b"})),
    Step("POST", MAPS, config_map("w1", data={"a": "b"})),
    Step("POST", MAPS, {"metadata": {"generateName": "g-"}}),
    Step("PUT", f"{MAPS}/w1", config_map("w1", metadata={"resourceVersion": "1"}, data={"a": "b"})),
    Step("PUT", f"{MAPS}/w1", config_map("other", data={"a": "b"})),
    Step("PUT", f"{MAPS}/w1", {"data": {"a": "b"}}),
    Step("PUT", f"{MAPS}/w2", config_map("w2", data={"a": "b"})),
    Step("PUT", f"{MAPS}/w1", config_map("w1", metadata={"uid": "zzz"}, data={"a": "b"})),
    Step("PUT", f"{MAPS}/w1", config_map("w1", metadata={"labels": {"x": "y"}}, data={"a": "c"})),
    Step("PATCH", f"{MAPS}/w1", {"data": {"a": "c"}}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"data": {"b": "2", "a": None}}, STRATEGIC),
    Step("PATCH", f"{MAPS}/w1", [{"op": "add", "path": "/data/c", "value": "3"}], JSON_PATCH),
    Step("PATCH", f"{MAPS}/w1", [{"op": "test", "path": "/data/c", "value": "zz"}], JSON_PATCH),
    Step("PATCH", f"{MAPS}/w1", [{"op": "remove", "path": "/nope"}], JSON_PATCH),
    Step("PATCH", f"{MAPS}/w1", {"a": 1}, JSON_PATCH),
    Step("PATCH", f"{MAPS}/w1", {"a": 1}, "application/json"),
    Step("PATCH", f"{MAPS}/w1", b"{bad", MERGE),
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"name": "other"}}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"namespace": "other"}}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"uid": "zzz"}}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"resourceVersion": "1"}, "data": {"q": "r"}}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"data": {"a": 1}}, MERGE),
    Step("PATCH", f"{MAPS}/w1?fieldValidation=Strict", {"nope": 1}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"data": {"a": 1}}, STRATEGIC),
    Step("PATCH", f"{MAPS}/w1?fieldValidation=Strict", {"nope": 1}, STRATEGIC),
    Step("PATCH", f"{MAPS}/w1?force=true", {"data": {"x": "y"}}, MERGE),
    Step("PATCH", f"{MAPS}/nope", {"data": {"x": "y"}}, MERGE),
    # apply
    Step("PATCH", f"{MAPS}/w1", config_map("w1", data={"a": "b"}), APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m", config_map("w1", data={"b": "other"}), APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m&force=true", config_map("w1", data={"b": "other"}), APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m", {"apiVersion": "v1", "kind": "ConfigMap"}, APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m", {"data": {"a": "b"}}, APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m", config_map("other", data={"a": "b"}), APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m", config_map("w1", metadata={"managedFields": [{}]}), APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m", config_map("w1", nope=1), APPLY),
    Step("PATCH", f"{MAPS}/w1?fieldManager=m&fieldValidation=Strict", config_map("w1", nope=1), APPLY),
    Step("PATCH", f"{MAPS}/applied?fieldManager=m", config_map("applied", data={"a": "b"}), APPLY),
    Step("PATCH", f"{MAPS}/applied?fieldManager=m", config_map("applied", data={"a": "b"}), APPLY),
    Step("PATCH", f"{MAPS}/applied?fieldManager=m&dryRun=All", config_map("applied", data={"z": "b"}), APPLY),
    Step("PATCH", f"{MAPS}/applied?fieldManager=m", config_map("applied", metadata={"uid": "zzz"}), APPLY),
    Step("PATCH", f"{MAPS}/absent?fieldManager=m", config_map("absent", metadata={"uid": "zzz"}), APPLY),
    Step("GET", f"{MAPS}/applied"),
    # lists
    Step("GET", f"{MAPS}?labelSelector=x=y"),
    Step("GET", f"{MAPS}?labelSelector=a===b"),
    Step("GET", f"{MAPS}?fieldSelector=metadata.name=w1"),
    Step("GET", f"{MAPS}?fieldSelector=data.a=b"),
    Step("GET", f"{PODS}?fieldSelector=spec.nope=b"),
    Step("GET", f"{MAPS}?continue=zzz"),
    Step("GET", f"{MAPS}?limit=x"),
    Step("GET", f"{MAPS}?resourceVersion=x"),
    Step("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Exact"),
    Step("GET", f"{MAPS}?resourceVersionMatch=Exact"),
    Step("GET", f"{MAPS}?resourceVersion=0&resourceVersionMatch=Exact"),
    Step("GET", f"{MAPS}?resourceVersion=1&resourceVersionMatch=Nonsense"),
    Step("GET", f"{MAPS}?sendInitialEvents=true"),
    Step("GET", f"{MAPS}?watch=1&sendInitialEvents=true"),
    Step("GET", f"{MAPS}?watch=1&resourceVersionMatch=Exact&timeoutSeconds=1"),
    Step("GET", f"{MAPS}?watch=nonsense&timeoutSeconds=1&fieldSelector=metadata.name=none"),
    Step("GET", f"{MAPS}?resourceVersion=0&watch=1&timeoutSeconds=1&fieldSelector=metadata.name=w1"),
    Step("GET", f"{MAPS}/w1", accept=TABLE),
    Step("GET", f"{MAPS}?fieldSelector=metadata.name=w1", accept=TABLE),
    Step("GET", f"{MAPS}?fieldSelector=metadata.name=w1&includeObject=None", accept=TABLE),
    Step("GET", f"{MAPS}/w1", accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"),
    Step(
        "GET",
        f"{MAPS}?fieldSelector=metadata.name=w1",
        accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
    ),
    Step("GET", f"{MAPS}/w1", accept="text/html"),
    # deletion
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"finalizers": ["x.io/f"]}}, MERGE),
    Step("DELETE", f"{MAPS}/w1", {"preconditions": {"uid": "nope"}}),
    Step("DELETE", f"{MAPS}/w1", {"preconditions": {"resourceVersion": "1"}}),
    Step("DELETE", f"{MAPS}/w1", {"propagationPolicy": "Nonsense"}),
    Step("DELETE", f"{MAPS}/w1", {"propagationPolicy": "Orphan", "orphanDependents": True}),
    Step("DELETE", f"{MAPS}/w1?dryRun=All"),
    Step("DELETE", f"{MAPS}/w1"),
    Step("DELETE", f"{MAPS}/w1"),
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"finalizers": ["x.io/f", "x.io/g"]}}, MERGE),
    Step("PATCH", f"{MAPS}/w1", {"metadata": {"finalizers": None}}, MERGE),
    Step("GET", f"{MAPS}/w1"),
    Step("DELETE", f"{MAPS}/applied"),
    Step("DELETE", f"{MAPS}?labelSelector=none=such"),
    # deployments: generation, status, scale
    Step("POST", DEPLOYMENTS, {**deployment("im"), "status": {"replicas": 7}}),
    Step("POST", DEPLOYMENTS, deployment("bad", replicas=-1)),
    Step("POST", DEPLOYMENTS, deployment("bad", replicas="x")),
    Step("POST", DEPLOYMENTS, {"metadata": {"name": "empty"}}),
    Step("PATCH", f"{DEPLOYMENTS}/im", {"metadata": {"labels": {"x": "y"}}, "status": {"replicas": 3}}, MERGE),
    Step("PATCH", f"{DEPLOYMENTS}/im", {"metadata": {"annotations": {"x": "y"}}}, MERGE),
    Step("PATCH", f"{DEPLOYMENTS}/im", {"spec": {"paused": True}}, STRATEGIC),
    Step(
        "PATCH",
        f"{DEPLOYMENTS}/im",
        {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "m"}]}}}},
        STRATEGIC,
    ),
    Step("PATCH", f"{DEPLOYMENTS}/im/status", {"spec": {"replicas": 9}, "status": {"replicas": 1}}, MERGE),
    Step("GET", f"{DEPLOYMENTS}/im/status"),
    Step("GET", f"{DEPLOYMENTS}/im/scale"),
    Step("PATCH", f"{DEPLOYMENTS}/im/scale", {"spec": {"replicas": 2}}, MERGE),
    Step("PATCH", f"{DEPLOYMENTS}/im/scale", {"spec": {"replicas": -2}}, MERGE),
    Step(
        "PUT",
        f"{DEPLOYMENTS}/im/scale",
        {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "im"}, "spec": {"replicas": 1}},
    ),
    Step("PATCH", f"{DEPLOYMENTS}/im?fieldManager=m&force=true", deployment("im", replicas=4), APPLY),
    Step(
        "PATCH",
        f"{DEPLOYMENTS}/im",
        {"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}},
        MERGE,
    ),
    Step("GET", f"{DEPLOYMENTS}/im", accept=TABLE),
    Step("DELETE", f"{DEPLOYMENTS}/im", {"propagationPolicy": "Foreground"}),
    # services, secrets, jobs, pods
    Step("POST", SERVICES, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}),
    Step("POST", SERVICES, {"metadata": {"name": "n"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}),
    Step("POST", SERVICES, {"metadata": {"name": "Bad"}, "spec": {}}),
    Step("PATCH", f"{SERVICES}/s", {"spec": {"clusterIP": "1.2.3.4"}}, MERGE),
    Step("PATCH", f"{SERVICES}/s", {"spec": {"type": "LoadBalancer"}}, MERGE),
    Step("DELETE", f"{SERVICES}/n"),
    Step("POST", SECRETS, {"metadata": {"name": "s"}, "stringData": {"a": "b"}}),
    Step("POST", SECRETS, {"metadata": {"name": "t"}, "type": "kubernetes.io/tls"}),
    Step("POST", SECRETS, {"metadata": {"name": "t"}, "data": {"a": "not base64!"}}),
    Step("PATCH", f"{SECRETS}/s", {"type": "other"}, MERGE),
    Step(
        "POST",
        JOBS,
        {
            "metadata": {"name": "j"},
            "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}},
        },
    ),
    Step("DELETE", f"{JOBS}/j?dryRun=All"),
    Step("DELETE", f"{JOBS}/j", {"propagationPolicy": "Background"}),  # no collector would end it otherwise
    Step("POST", PODS, {"metadata": {"name": "p"}, **POD}),
    Step("PATCH", f"{PODS}/p", {"spec": {"containers": [{"name": "c", "image": "n:2"}]}}, STRATEGIC),
    Step("PATCH", f"{PODS}/p", {"spec": {"restartPolicy": "Never"}}, MERGE),
    Step("PATCH", f"{PODS}/p/status", {"status": {"phase": "Running"}}, MERGE),
    Step(
        "POST",
        f"{PODS}/p/binding",
        {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}},
    ),
    Step(
        "POST",
        f"{PODS}/p/binding",
        {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n2"}},
    ),
    Step("GET", f"{PODS}/p"),
    Step("DELETE", f"{PODS}/p"),
    Step("DELETE", f"{PODS}/p", {"gracePeriodSeconds": 0}),
    Step("GET", f"{PODS}/p"),
    # custom resources
    Step("POST", DEFINITIONS, DEFINITION),
    Step("POST", f"{FOOS}?dryRun=All", {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "p"}}, until=201),
    Step("GET", f"{DEFINITIONS}/foos.x.io"),
    Step("GET", FOOS),
    Step("POST", FOOS, {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"bad": 1}}),
    Step("POST", FOOS, {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "b"}}),
    Step("POST", FOOS, {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "b"}}),
    Step("POST", FOOS, {"apiVersion": "x.io/v1", "kind": "Bar", "metadata": {"name": "c"}}),
    Step("POST", FOOS, {"metadata": {"name": "c"}}),
    Step("POST", FOOS, {"apiVersion": "x.io/v2", "kind": "Foo", "metadata": {"name": "c"}}),
    Step(
        "POST",
        f"{FOOS}?fieldValidation=Strict",
        {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "c", "nope": 1}, "nope": 1, "spec": {"bad": 1}},
    ),
    Step(
        "POST",
        FOOS,
        {
            "apiVersion": "x.io/v1",
            "kind": "Foo",
            "metadata": {"name": "c"},
            "spec": {"replicas": 0, "tags": ["a", "a"]},
        },
    ),
    Step("POST", FOOS, {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "C"}}),
    Step("PATCH", f"{FOOS}/a", {"spec": {"replicas": 4, "free": {"x": {"y": 1}}}, "status": {"replicas": 9}}, MERGE),
    Step("PATCH", f"{FOOS}/a", {"spec": {"replicas": 4}}, STRATEGIC),
    Step("PATCH", f"{FOOS}/a/status", {"spec": {"replicas": 5}, "status": {"replicas": 2}}, MERGE),
    Step("GET", f"{FOOS}/a/scale"),
    Step("PATCH", f"{FOOS}/a/scale", {"spec": {"replicas": 6}}, MERGE),
    Step("PUT", f"{FOOS}/a", {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {}}),
    Step(
        "PATCH",
        f"{FOOS}/a?fieldManager=m&force=true",
        {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"tags": ["x", "y"]}},
        APPLY,
    ),
    Step(
        "PATCH",
        f"{FOOS}/a?fieldManager=m",
        {"apiVersion": "x.io/v1", "kind": "Foo", "metadata": {"name": "a"}, "spec": {"tags": ["y"], "nope": 1}},
        APPLY,
    ),
    Step("GET", FOOS),
    Step("GET", FOOS, accept=TABLE),
    Step("GET", f"{FOOS}?fieldSelector=spec.x=1"),
    Step("DELETE", f"{FOOS}/b"),
    Step("DELETE", FOOS),
    # other kinds
    Step("POST", PODS, {"metadata": {"name": "e", "labels": {"a": "b"}}, **POD}),
    Step(
        "POST",
        f"/apis/policy/v1/namespaces/{NS}/poddisruptionbudgets",
        {"metadata": {"name": "pdb"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    ),
    Step(
        "POST",
        f"{PODS}/e/eviction",
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "e", "namespace": NS}},
    ),
    Step("GET", f"{PODS}/e"),
    Step(
        "POST",
        f"/api/v1/namespaces/{NS}/serviceaccounts/default/token",
        {"spec": {"audiences": ["x"], "expirationSeconds": 600}},
    ),
    Step("POST", f"/api/v1/namespaces/{NS}/serviceaccounts/default/token", {"spec": {"expirationSeconds": 5}}),
    Step("POST", f"/api/v1/namespaces/{NS}/serviceaccounts/nope/token", {"spec": {}}),
    Step(
        "POST",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": "wrong.y.io"},
            "spec": {"group": "y.io", "scope": "Namespaced", "names": {}, "versions": []},
        },
    ),
    Step(
        "POST",
        f"/apis/networking.k8s.io/v1/namespaces/{NS}/ingresses",
        {"metadata": {"name": "i"}, "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    ),
    Step(
        "POST",
        f"/apis/autoscaling/v1/namespaces/{NS}/horizontalpodautoscalers",
        {
            "metadata": {"name": "h"},
            "spec": {
                "maxReplicas": 3,
                "targetCPUUtilizationPercentage": 50,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"},
            },
        },
    ),
    Step("GET", f"/apis/autoscaling/v1/namespaces/{NS}/horizontalpodautoscalers/h"),
    Step("GET", f"/apis/autoscaling/v2/namespaces/{NS}/horizontalpodautoscalers/h"),
    Step(
        "PATCH", f"/apis/autoscaling/v2/namespaces/{NS}/horizontalpodautoscalers/h", {"spec": {"maxReplicas": 5}}, MERGE
    ),
    Step(
        "PATCH", f"/apis/autoscaling/v1/namespaces/{NS}/horizontalpodautoscalers/h", {"spec": {"maxReplicas": 6}}, MERGE
    ),
    Step(
        "POST",
        f"/api/v1/namespaces/{NS}/events",
        {
            "metadata": {"name": "ev"},
            "involvedObject": {"kind": "Pod", "name": "p", "namespace": NS},
            "reason": "Because",
            "message": "hello",
            "type": "Normal",
            "source": {"component": "test"},
            "count": 1,
        },
    ),
    Step("GET", f"/apis/events.k8s.io/v1/namespaces/{NS}/events/ev"),
    Step("GET", f"/api/v1/namespaces/{NS}/events?fieldSelector=involvedObject.name=p,reason=Because"),
    Step(
        "POST",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/roles",
        {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
    Step(
        "POST",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/rolebindings",
        {
            "metadata": {"name": "r"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "default"}],
        },
    ),
    Step(
        "PUT",
        f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NS}/roles/made",
        {"metadata": {"name": "made"}, "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
    ),
    Step(
        "POST",
        f"/apis/coordination.k8s.io/v1/namespaces/{NS}/leases",
        {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}},
    ),
    Step("PUT", f"/apis/coordination.k8s.io/v1/namespaces/{NS}/leases/l", {"metadata": {"name": "l"}, "spec": {}}),
    Step(
        "POST",
        "/apis/scheduling.k8s.io/v1/priorityclasses",
        {"metadata": {"name": "same-high"}, "value": 1000, "description": "x"},
    ),
    Step(
        "POST", f"/api/v1/namespaces/{NS}/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "9"}}}
    ),
    Step(
        "POST",
        f"/api/v1/namespaces/{NS}/persistentvolumeclaims",
        {
            "metadata": {"name": "c"},
            "spec": {
                "storageClassName": "",
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
            },
        },
    ),
    Step("DELETE", f"/api/v1/namespaces/{NS}/persistentvolumeclaims/c"),
    Step("PATCH", f"/api/v1/namespaces/{NS}", {"metadata": {"labels": {"x": "y"}}, "spec": {"finalizers": []}}, MERGE),
    Step("PATCH", f"/api/v1/namespaces/{NS}", {"metadata": {"labels": {"kubernetes.io/metadata.name": "z"}}}, MERGE),
    Step("POST", "/api/v1/namespaces", {"metadata": {"name": "Not_A_Name"}}),
    Step(
        "PATCH",
        f"{DEPLOYMENTS}/ssa?fieldManager=argocd-controller",
        {**deployment("ssa"), "metadata": {"name": "ssa", "annotations": {"x": "1"}}},
        APPLY,
    ),
    Step("PATCH", f"{DEPLOYMENTS}/ssa", {"spec": {"replicas": 3}}, MERGE),
    Step("PATCH", f"{DEPLOYMENTS}/ssa?fieldManager=argocd-controller", deployment("ssa"), APPLY),
    Step("PATCH", f"{DEPLOYMENTS}/ssa?fieldManager=argocd-controller&force=true", deployment("ssa"), APPLY),
    Step(
        "PATCH",
        f"{DEPLOYMENTS}/ssa/status?fieldManager=argocd-controller",
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ssa"}, "status": {"replicas": 1}},
        APPLY,
    ),
    Step("GET", f"{DEPLOYMENTS}/ssa"),
    Step(
        "POST",
        "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
        {
            "metadata": {"name": "same"},
            "webhooks": [
                {
                    "name": "a.b.io",
                    "admissionReviewVersions": ["v1"],
                    "sideEffects": "None",
                    "clientConfig": {"url": "https://127.0.0.1:1/"},
                    "rules": [],
                }
            ],
        },
    ),
    Step("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/same"),
    # reviews and discovery
    Step("GET", "/api"),
    Step("GET", "/api/v1"),
    Step("GET", "/apis/apps"),
    Step("GET", "/apis/nope.io"),
    Step("GET", "/apis/apps/v9"),
    Step(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        {"spec": {}},
    ),
    Step("GET", "/healthz"),
    Step("GET", "/nope"),
]


def scenarios() -> list[Scenario]:
    """One, whose requests build on each other."""
    return [Scenario("mixed", STEPS)]
