"""Random Deployments and Services, changes of them, and strategic merge patches for them.

Everything comes from the `random.Random` passed in. With `valid`, objects pass an API server's validation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

Json = dict[str, Any]

KINDS: Final = ("Deployment", "Service")
NAMES: Final = ("a", "b", "c", "d", "e")
MERGE_KEYS: Final = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "imagePullSecrets": "name",
    "hostAliases": "ip",
    "volumeMounts": "mountPath",
    "ownerReferences": "uid",
    "topologySpreadConstraints": "topologyKey",
}
_IDENTITY: Final = frozenset((*MERGE_KEYS.values(), "port", "containerPort", "kind", "apiVersion", "selector"))


def some(random: Random, pool: Sequence[Any], most: int | None = None) -> list[Any]:
    """A few of the pool, none twice, in any order."""
    return random.sample(list(pool), random.randint(0, len(pool) if most is None else most))


def merge_key(kind: str, field: str) -> str | None:
    """The key by which list `field` of an object of `kind` is merged."""
    if field == "ports":
        return "port" if kind == "Service" else "containerPort"
    return MERGE_KEYS.get(field)


def container(random: Random, name: str) -> Json:
    """A container of a Pod template with some of the fields that merge."""
    made: Json = {"name": name, "image": random.choice(("i1", "i2"))}
    if random.random() < 0.5:
        made["ports"] = [
            {"containerPort": port} | ({"protocol": "UDP"} if random.random() < 0.3 else {})
            for port in some(random, (80, 81, 443))
        ]
    if random.random() < 0.6:
        made["env"] = [environment(random, key) for key in some(random, NAMES)]
    if random.random() < 0.3:
        made["args"] = some(random, ("x", "y", "z"))
    if random.random() < 0.3:
        made["resources"] = {"limits": {key: random.choice("12") for key in some(random, ("cpu", "memory"))}}
    if random.random() < 0.3:
        made["envFrom"] = [{"configMapRef": {"name": name}} for name in some(random, ("m", "n"))]
    return made


def environment(random: Random, name: str) -> Json:
    """One environment variable, plain or from a field."""
    if random.random() < 0.7:
        return {"name": name, "value": random.choice("123")}
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": random.choice(("metadata.name", "status.podIP"))}}}


def volume(random: Random, name: str) -> Json:
    """A volume of one of three sources; the source is what `$retainKeys` is for."""
    sources: list[Json] = [
        {"emptyDir": {}},
        {"configMap": {"name": random.choice("xy")}},
        {"secret": {"secretName": random.choice("xy")}},
    ]
    return {"name": name} | random.choice(sources)


def pod_spec(random: Random) -> Json:
    """A Pod specification with at least one container."""
    names = random.sample(NAMES, random.randint(1, 4))
    made: Json = {"containers": [container(random, name) for name in names]}
    optional: dict[str, Callable[[], Any]] = {
        "initContainers": lambda: [container(random, f"init-{name}") for name in some(random, NAMES, 2)],
        "volumes": lambda: [volume(random, name) for name in some(random, ("p", "q", "s", "t"))],
        "imagePullSecrets": lambda: [{"name": name} for name in some(random, NAMES, 3)],
        "tolerations": lambda: [{"key": key, "operator": "Exists"} for key in some(random, ("k", "l"))],
        "hostAliases": lambda: [{"ip": ip, "hostnames": ["h"]} for ip in some(random, ("1.1.1.1", "2.2.2.2"))],
        "nodeSelector": lambda: {key: random.choice("12") for key in some(random, "abc")},
        "securityContext": lambda: dict(some(random, (("runAsUser", 1), ("fsGroup", 2)))),
        "topologySpreadConstraints": lambda: [
            {"topologyKey": key, "maxSkew": random.randint(1, 2), "whenUnsatisfiable": "ScheduleAnyway"}
            for key in some(random, ("z1", "z2"))
        ],
    }
    for field, make in optional.items():
        if random.random() < 0.35:
            made[field] = make()
    return made


def metadata(random: Random, name: str) -> Json:
    """Metadata with some labels, annotations, finalizers and owners."""
    made: Json = {"name": name, "namespace": "default"}
    if random.random() < 0.5:
        made["labels"] = {key: random.choice("12") for key in some(random, "abc")}
    if random.random() < 0.5:
        made["annotations"] = {key: random.choice("12") for key in some(random, "abc")}
    if random.random() < 0.5:
        made["finalizers"] = [f"x.io/{one}" for one in some(random, "fghi")]
    if random.random() < 0.3:
        made["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "Node", "name": random.choice("no"), "uid": uid}
            for uid in some(random, ("u1", "u2", "u3"))
        ]
    return made


def deployment(random: Random, name: str = "x") -> Json:
    """A Deployment."""
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec(random)}
    spec: Json = {"selector": {"matchLabels": labels}, "template": template}
    if random.random() < 0.5:
        spec["replicas"] = random.randint(0, 3)
    if random.random() < 0.5:
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": random.choice((1, "25%"))}}
        spec["strategy"] = random.choice(({"type": "Recreate"}, rolling, {"type": "RollingUpdate"}))
    return copy.deepcopy(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata(random, name), "spec": spec}
    )


def service(random: Random, name: str = "x") -> Json:
    """A Service; two of its ports may have one number, as a TCP and a UDP port do."""
    numbers = random.sample((80, 81, 443), random.randint(1, 3))
    ports: list[Json] = [{"port": number, "name": f"p{number}"} for number in numbers]
    if random.random() < 0.2:
        ports.append({"port": numbers[0], "name": "udp", "protocol": "UDP"})
    for port in ports:
        if random.random() < 0.4:
            port["targetPort"] = random.choice((8080, "web"))
    spec: Json = {"ports": ports}
    if random.random() < 0.6:
        spec["selector"] = {key: random.choice("12") for key in some(random, "abc")}
    if random.random() < 0.3:
        spec["externalIPs"] = some(random, ("1.1.1.1", "2.2.2.2", "3.3.3.3"))
    if random.random() < 0.4:
        spec["type"] = random.choice(("ClusterIP", "NodePort"))
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata(random, name), "spec": spec}


def build(random: Random, kind: str, name: str = "x") -> Json:
    """A random object of one of `KINDS`."""
    return deployment(random, name) if kind == "Deployment" else service(random, name)


def has_twins(value: Any, kind: str) -> bool:
    """Whether a keyed list has two items of one key, which no strategic merge patch can tell apart."""
    if isinstance(value, dict):
        for field, items in value.items():
            key = merge_key(kind, field)
            if key and isinstance(items, list):
                found = [item.get(key) for item in items]
                if len(set(found)) < len(found):
                    return True
        return any(has_twins(item, kind) for item in value.values())
    return isinstance(value, list) and any(has_twins(item, kind) for item in value)


def edited(random: Random, value: Any) -> Any:
    """`value` after some edits: members and items gone, items moved, texts changed; what identifies things stays."""
    if isinstance(value, dict):
        return {
            key: item if key in _IDENTITY else edited(random, item)
            for key, item in value.items()
            if key in _IDENTITY or key in ("spec", "metadata", "template", "containers") or random.random() > 0.08
        }
    if isinstance(value, list):
        kept = [edited(random, item) for item in value if random.random() > 0.15] or [edited(random, i) for i in value]
        if random.random() < 0.25:
            random.shuffle(kept)
        return kept
    if value in ("i1", "i2", "1", "2") and random.random() < 0.15:
        return random.choice(("3", "4"))
    return value


def mixed(random: Random, kind: str, one: Json) -> Json:
    """`one` edited, with parts of another object of its kind put in."""
    made: Json = edited(random, one)
    if random.random() < 0.6:
        other = build(random, kind)
        for field, value in other["spec"].items():
            if field not in ("selector", "template") and random.random() < 0.4:
                made["spec"][field] = value
        if kind == "Deployment":
            inner = made["spec"]["template"]["spec"]
            for field, value in other["spec"]["template"]["spec"].items():
                if random.random() < 0.4:
                    inner[field] = value
    return copy.deepcopy(made)


# ---- patches with directives ----


def new_item(random: Random, kind: str, field: str) -> Json:
    """An item that may not be in the list yet."""
    name = random.choice((*NAMES, "z"))
    makers: dict[str, Callable[[], Json]] = {
        "containers": lambda: container(random, name),
        "initContainers": lambda: container(random, f"init-{name}"),
        "env": lambda: {"name": name, "value": "9"},
        "volumes": lambda: volume(random, random.choice("pqrst")),
        "imagePullSecrets": lambda: {"name": name},
        "hostAliases": lambda: {"ip": "3.3.3.3", "hostnames": ["h"]},
        "volumeMounts": lambda: {"name": "p", "mountPath": "/d"},
        "ownerReferences": lambda: {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u9"},
        "topologySpreadConstraints": lambda: {
            "topologyKey": "z3",
            "maxSkew": 1,
            "whenUnsatisfiable": "ScheduleAnyway",
        },
        "ports": lambda: {"port": 8080, "name": "p8080"} if kind == "Service" else {"containerPort": 8080},
    }
    return makers[field]()


def patch(random: Random, kind: str, value: Json, depth: int = 0) -> Json:
    """A strategic merge patch about `value`, with directives here and there; not every one can be applied."""
    made: Json = {}
    if depth > 1 and random.random() < 0.02:
        made["$patch"] = random.choice(("replace", "delete"))
    for field, item in value.items():
        left_out = 0.1 if field in ("spec", "template", "metadata", "containers", "ports") else 0.35
        if field in ("apiVersion", "kind", "selector", "status", "managedFields") or random.random() < left_out:
            continue
        if depth == 1 and field in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation"):
            continue
        if depth > 0 and random.random() < 0.04:
            made[field] = None
        elif isinstance(item, dict):
            made[field] = patch(random, kind, item, depth + 1)
            if field == "strategy" and random.random() < 0.4:
                made[field]["$retainKeys"] = random.choice((["type"], ["type", "rollingUpdate"]))
        elif isinstance(item, list):
            _patch_list(random, kind, field, item, made, depth)
        elif isinstance(item, str) and random.random() < 0.2:
            made[field] = random.choice(("1", "2"))
        else:
            made[field] = item
    return made


def _patch_list(random: Random, kind: str, field: str, items: list[Any], made: Json, depth: int) -> None:
    key = merge_key(kind, field)
    if key:
        _patch_keyed(random, kind, field, items, made, depth, key)
    elif field == "finalizers":
        added = some(random, ("x.io/f", "x.io/g", "x.io/y", "x.io/z"), 3)
        gone = [item for item in some(random, items) if item not in added]
        if added:
            made[field] = added
        if gone and random.random() < 0.6:
            made[f"$deleteFromPrimitiveList/{field}"] = gone
        if random.random() < 0.4:
            order = list(dict.fromkeys([*added, *(item for item in items if random.random() < 0.7)]))
            made[f"$setElementOrder/{field}"] = order
    else:
        made[field] = items[: random.randint(0, len(items))]


def _patch_keyed(random: Random, kind: str, field: str, items: list[Json], made: Json, depth: int, key: str) -> None:
    pool = [*items, *(new_item(random, kind, field) for _ in range(random.randint(0, 2)))]
    random.shuffle(pool)
    changes: list[Json] = []
    for item in pool:
        chance = random.random()
        if chance < 0.4:
            continue
        if chance < 0.55:
            changes.append({key: item[key], "$patch": "delete"})
        else:
            known = item in items
            change = patch(random, kind, item, depth + 1) if known and random.random() < 0.8 else dict(item)
            change = {name: one for name, one in change.items() if name != "$patch"}
            changes.append(change | {key: item[key]})
            if field == "volumes" and random.random() < 0.3:
                changes[-1]["$retainKeys"] = sorted(name for name in changes[-1] if changes[-1][name] is not None)
    if changes and random.random() < 0.03:
        changes.append({"$patch": "replace", key: "any"})
    if changes:
        made[field] = changes
    if random.random() < 0.5:
        order = list(dict.fromkeys(change[key] for change in changes if "$patch" not in change))
        for item in items:
            if item[key] not in order and random.random() < 0.5:
                order.insert(random.randint(0, len(order)), item[key])
        made[f"$setElementOrder/{field}"] = [{key: one} for one in order]
