"""Plain overlays made at random: objects that refer to each other, bases, overlays with patches and what else they change."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import yaml

NAMES = ("app", "web", "db", "cache-1", "front.end")
IMAGES = ("nginx", "nginx:1.27", "registry.example.com:5000/team/app:v1", "app@sha256:0123", "busybox:1.36@sha256:ab")
TEXTS = (
    "a",
    "yes",
    "1",
    "true",
    "two words",
    "line one\nline two\n",
    "0777",
    "1.5",
    "x: y",
    "# no",
    "ä",
    "",
    "null",
    "~",
)


def random_tree(random: Random) -> tuple[dict[str, str], str]:
    """(files, the directory to build)."""
    files: dict[str, str] = {}
    objects: list[dict[str, Any]] = []
    directory = _directory(random, files, "base", [], objects)
    for level in range(random.randrange(3)):
        directory = _directory(random, files, f"overlays/{level}", [directory], objects)
    return files, directory


def _directory(
    random: Random, files: dict[str, str], directory: str, bases: list[str], objects: list[dict[str, Any]]
) -> str:
    up = "../" * (directory.count("/") + 1)
    kustomization: dict[str, Any] = {"resources": [up + base for base in bases]}
    if random.random() < 0.3:
        kustomization |= {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    own = [_object(random) for _ in range(random.randrange(5) if bases else random.randrange(1, 7))]
    own = list({(one["kind"], one["metadata"]["name"]): one for one in own}.values())
    for number, one in enumerate(own):
        files[f"{directory}/{number}.yaml"] = _written(random, one)
        kustomization["resources"].append(random.choice(["", "./"]) + f"{number}.yaml")
    objects += own
    if random.random() < 0.3:
        name = random.choice(["settings", *NAMES])
        entry: dict[str, Any] = {"name": name, "literals": [f"k={random.choice(TEXTS)}", "q='<&>'", 'r="']}
        if random.random() < 0.5:
            files[f"{directory}/data.txt"] = random.choice(["one\ntwo\n", "a: b", "\ttab\n", "", "x \n\n"])
            entry["files"] = [random.choice(["data.txt", "key.txt=./data.txt"])]
        kustomization["configMapGenerator"] = [entry]
        objects.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
    _changes(random, kustomization, objects)
    patches: list[dict[str, Any]] = []
    for number in range(random.choice([0, 0, 1, 2])):
        if random.random() < 0.4:
            patches.append(_targeted(random, random.choice(objects)))
            continue
        text = _written(random, _patch(random, random.choice(objects)))
        if random.random() < 0.5:
            patches.append({"patch": text})
        else:
            files[f"{directory}/patch-{number}.yaml"] = text
            patches.append({"path": f"patch-{number}.yaml"})
    if patches:
        kustomization["patches"] = patches
        if random.random() < 0.2 and "target" not in patches[-1]:
            kustomization["patchesStrategicMerge"] = [next(iter(kustomization["patches"].pop().values()))]
    files[f"{directory}/kustomization.yaml"] = _written(random, kustomization)
    return directory


def _written(random: Random, value: Any) -> str:
    value = json.loads(json.dumps(value))  # so that nothing is written as an alias
    style = random.randrange(6)
    if style == 0:
        return json.dumps(value)
    text = yaml.safe_dump(
        value, default_flow_style=True if style == 1 else None if style == 2 else False, sort_keys=style == 3
    )
    return f"---\n{text}" if style == 4 else str(text)


def _changes(random: Random, kustomization: dict[str, Any], objects: list[dict[str, Any]]) -> None:
    def sometimes(share: float) -> bool:
        return random.random() < share

    if sometimes(0.5):
        kustomization["namePrefix"] = random.choice(["p-", "app-", "x."])
    if sometimes(0.25):
        kustomization["nameSuffix"] = random.choice(["-s", "-1"])
    if sometimes(0.4):
        kustomization["namespace"] = random.choice(["prod", "team-a", "default"])
    if sometimes(0.4):
        names = random.sample(["nginx", "registry.example.com:5000/team/app", "app", "busybox", "other"], 2)
        images = []
        for name in names:
            image = {"name": name}
            for field, values in (
                ("newName", ["other", "r.io/x/y"]),
                ("newTag", ["v2", "1.0", "2"]),
                ("digest", ["sha256:ff"]),
            ):
                if sometimes(0.5):
                    image[field] = random.choice(values)
            images.append(image)
        kustomization["images"] = images
    if sometimes(0.2):
        scaled = [one for one in objects if one["kind"] in ("Deployment", "StatefulSet")]
        if scaled:
            kustomization["replicas"] = [
                {"name": random.choice(scaled)["metadata"]["name"], "count": random.randrange(9)}
            ]
    if sometimes(0.25):
        kustomization["commonLabels"] = {"team": random.choice(["a", "yes", "7"])}
    if sometimes(0.25):
        pairs = {"tier": random.choice(["x", "on"]), "app": "labelled"}
        kustomization["labels"] = [{"pairs": pairs}]
        for flag in ("includeSelectors", "includeTemplates"):
            if sometimes(0.4):
                kustomization["labels"][0][flag] = sometimes(0.8)
    if sometimes(0.25):
        kustomization["commonAnnotations"] = {"example.com/note": random.choice(TEXTS), "who": "me"}


def _object(random: Random) -> dict[str, Any]:
    kind = random.choice(list(_MAKERS))
    metadata: dict[str, Any] = {"name": random.choice(NAMES)}
    if random.random() < 0.3:
        metadata["labels"] = {"app": random.choice(NAMES), "num": "1"}
    if random.random() < 0.3:
        metadata["annotations"] = {"example.com/a": random.choice(TEXTS), "b": "c"}
    if random.random() < 0.1:
        metadata["namespace"] = "default"
    if random.random() < 0.1:
        metadata["creationTimestamp"] = None
    return {"apiVersion": _API_VERSIONS[kind], "kind": kind, "metadata": metadata, **_MAKERS[kind](random)}


def _patch(random: Random, target: dict[str, Any]) -> dict[str, Any]:
    kind = target["kind"]
    metadata: dict[str, Any] = {"name": target["metadata"]["name"]}
    if random.random() < 0.3:
        metadata["labels"] = {"patched": "yes", "num": "2"}
    if random.random() < 0.3:
        metadata["annotations"] = {"example.com/a": random.choice(TEXTS)}
    if random.random() < 0.1:
        metadata["finalizers"] = random.sample(["one", "two", "three"], 2)
    body = _MAKERS[kind](random)
    for key in list(body):
        if random.random() < 0.2:
            del body[key]
    if isinstance(body.get("spec"), dict):
        for key in list(body["spec"]):
            if random.random() < 0.5:
                del body["spec"][key]
    return {"apiVersion": target["apiVersion"], "kind": kind, "metadata": metadata, **body}


def _targeted(random: Random, target: dict[str, Any]) -> dict[str, Any]:
    selector = {"kind": target["kind"]}
    if random.random() < 0.5:
        selector["name"] = target["metadata"]["name"]
    if random.random() < 0.2:
        selector["version"] = target["apiVersion"].rpartition("/")[2]
    if random.random() < 0.5:
        patch = {**_patch(random, target), "metadata": {"name": "any", "labels": {"patched": "all"}}}
        if random.random() < 0.3:
            patch["kind"] = "Anything"
        return {"target": selector, "patch": _written(random, patch)}
    operations = random.sample(
        [
            {"op": "add", "path": "/metadata/labels", "value": {"json": "yes"}},
            {"op": "add", "path": "/metadata/annotations/example.com~1a", "value": random.choice(TEXTS)},
            {"op": "replace", "path": "/spec/replicas", "value": 7},
            {"op": "remove", "path": "/spec/selector"},
            {"op": "add", "path": "/spec/template/spec/containers/0/args", "value": ["x", "2"]},
            {"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "late", "image": "nginx"}},
            {"op": "replace", "path": "/data", "value": {"z": random.choice(TEXTS)}},
            {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "nginx:9"},
        ],
        random.choice([1, 1, 2]),
    )
    return {
        "target": selector,
        "patch": json.dumps(operations) if random.random() < 0.5 else yaml.safe_dump(operations),
    }


def _container(random: Random, name: str) -> dict[str, Any]:
    container: dict[str, Any] = {"name": name, "image": random.choice(IMAGES)}
    if random.random() < 0.5:
        container["env"] = [_variable(random, one) for one in random.sample(["A", "B", "C"], random.randrange(1, 4))]
    if random.random() < 0.3:
        container["envFrom"] = [
            random.choice(
                [{"configMapRef": {"name": random.choice(NAMES)}}, {"secretRef": {"name": random.choice(NAMES)}}]
            )
        ]
    if random.random() < 0.4:
        ports: list[dict[str, Any]] = [{"containerPort": one} for one in random.sample([80, 443, 8080], 2)]
        for port in ports:
            if random.random() < 0.4:
                port["protocol"] = random.choice(["TCP", "UDP"])
            if random.random() < 0.4:
                port["name"] = "p"
        container["ports"] = ports
    if random.random() < 0.3:
        container["volumeMounts"] = [
            {"name": "v", "mountPath": one} for one in random.sample(["/a", "/b", "/c"], random.randrange(1, 3))
        ]
    if random.random() < 0.3:
        container["resources"] = {
            "limits": {"memory": random.choice(["64Mi", "1Gi"]), "cpu": random.choice(["100m", "1", 2])}
        }
    if random.random() < 0.2:
        container["args"] = random.choices(TEXTS, k=2)
    return container


def _variable(random: Random, name: str) -> dict[str, Any]:
    reference = {"name": random.choice(NAMES), "key": "k"}
    return random.choice(
        [
            {"name": name, "value": random.choice(TEXTS)},
            {"name": name, "valueFrom": {"configMapKeyRef": reference}},
            {"name": name, "valueFrom": {"secretKeyRef": reference}},
        ]
    )


def _pod(random: Random) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "containers": [
            _container(random, one) for one in random.sample(["main", "side", "third"], random.randrange(1, 3))
        ]
    }
    if random.random() < 0.2:
        spec["initContainers"] = [_container(random, "init")]
    if random.random() < 0.4:
        spec["serviceAccountName"] = random.choice(NAMES)
    if random.random() < 0.3:
        spec["imagePullSecrets"] = [{"name": one} for one in random.sample(NAMES, 2)]
    if random.random() < 0.2:
        spec["tolerations"] = [{"key": random.choice("ab"), "operator": "Exists"}]
    if random.random() < 0.4:
        volumes: list[dict[str, Any]] = [
            {"name": "v", "configMap": {"name": random.choice(NAMES)}},
            {"name": "w", "secret": {"secretName": random.choice(NAMES)}},
            {"name": "x", "persistentVolumeClaim": {"claimName": random.choice(NAMES)}},
            {"name": "u", "projected": {"sources": [{"secret": {"name": random.choice(NAMES)}}]}},
            {"name": "z", "emptyDir": {}},
        ]
        spec["volumes"] = random.sample(volumes, random.randrange(1, 4))
    if random.random() < 0.2:
        selector = {"matchLabels": {"app": "a"}}
        spec["topologySpreadConstraints"] = [
            {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "x", "labelSelector": selector}
        ]
        term = {"topologyKey": "zone", "labelSelector": selector}
        spec["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    return spec


def _template(random: Random) -> dict[str, Any]:
    template: dict[str, Any] = {"spec": _pod(random)}
    if random.random() < 0.8:
        template["metadata"] = {"labels": {"app": "a"}}
    return template


def _workload(random: Random) -> dict[str, Any]:
    spec: dict[str, Any] = {"template": _template(random), "selector": {"matchLabels": {"app": "a"}}}
    if random.random() < 0.7:
        spec["replicas"] = random.randrange(4)
    if random.random() < 0.2:
        spec["strategy"] = {"type": "Recreate"}
    return {"spec": spec}


def _stateful(random: Random) -> dict[str, Any]:
    made = _workload(random)
    made["spec"].pop("strategy", None)
    made["spec"]["serviceName"] = random.choice(NAMES)
    if random.random() < 0.4:
        made["spec"]["volumeClaimTemplates"] = [
            {"metadata": {"name": random.choice("ab")}, "spec": {"storageClassName": "fast"}}
        ]
    return made


def _service(random: Random) -> dict[str, Any]:
    ports: list[dict[str, Any]] = [
        {"port": one, "targetPort": random.choice([8080, "http"])} for one in random.sample([80, 443], 2)
    ]
    for port in ports:
        if random.random() < 0.3:
            port["protocol"] = "TCP"
    return {"spec": {"selector": {"app": "a"}, "ports": ports}}


def _ingress(random: Random) -> dict[str, Any]:
    backend = {"service": {"name": random.choice(NAMES), "port": {"number": 80}}}
    return {
        "spec": {
            "tls": [{"hosts": ["a.example.com"], "secretName": random.choice(NAMES)}],
            "rules": [
                {"host": "a.example.com", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": backend}]}}
            ],
        }
    }


def _scaler(random: Random) -> dict[str, Any]:
    return {
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": random.choice(NAMES)},
        }
    }


def _config(random: Random) -> dict[str, Any]:
    return {"data": {random.choice("abc"): random.choice(TEXTS), "k": random.choice(TEXTS)}}


_MAKERS: dict[str, Callable[[Random], dict[str, Any]]] = {
    "ConfigMap": _config,
    "Secret": lambda random: {"type": "Opaque", "stringData": _config(random)["data"]},
    "ServiceAccount": lambda random: {"imagePullSecrets": [{"name": random.choice(NAMES)}]},
    "Service": _service,
    "Deployment": _workload,
    "DaemonSet": lambda random: {"spec": {"template": _template(random), "selector": {"matchLabels": {"app": "a"}}}},
    "StatefulSet": _stateful,
    "Job": lambda random: {"spec": {"template": _template(random), "backoffLimit": 1}},
    "CronJob": lambda random: {
        "spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": _template(random)}}}
    },
    "Pod": lambda random: {"spec": _pod(random)},
    "PersistentVolumeClaim": lambda random: {
        "spec": {"resources": {"requests": {"storage": random.choice(["1Gi", "2Gi"])}}}
    },
    "Ingress": _ingress,
    "HorizontalPodAutoscaler": _scaler,
    "PodDisruptionBudget": lambda random: {
        "spec": {"minAvailable": random.choice([1, "50%"]), "selector": {"matchLabels": {"app": "a"}}}
    },
    "NetworkPolicy": lambda random: {
        "spec": {
            "podSelector": {"matchLabels": {"app": "a"}},
            "ingress": [{"from": [{"podSelector": {"matchLabels": {"b": "c"}}}]}],
        }
    },
    "Role": lambda random: {
        "rules": [
            {"apiGroups": [""], "resources": ["secrets"], "resourceNames": random.sample(NAMES, 2), "verbs": ["get"]}
        ]
    },
}
_MAKERS["Monitor"] = lambda random: {
    "spec": {"containers": [_container(random, "main")], "endpoints": [{"port": random.choice(NAMES)}], "replicas": 1}
}
_API_VERSIONS = {
    "Monitor": "monitoring.example.com/v1",
    **dict.fromkeys(("ConfigMap", "Secret", "ServiceAccount", "Service", "Pod", "PersistentVolumeClaim"), "v1"),
    **dict.fromkeys(("Deployment", "DaemonSet", "StatefulSet"), "apps/v1"),
    **dict.fromkeys(("Job", "CronJob"), "batch/v1"),
    **dict.fromkeys(("Ingress", "NetworkPolicy"), "networking.k8s.io/v1"),
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "Role": "rbac.authorization.k8s.io/v1",
}
