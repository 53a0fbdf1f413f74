"""managedFields and merged values of random writes are those of a real API server.

Random ConfigMaps and Deployments are written by three managers with server-side apply, replace and merge patch; what the
server answers is compared with what `apimachinery.managedfields` computes from the same object and the same request. The
seed and the number of writes can be set: `TIPHYS_APPLY_SEED`, `TIPHYS_APPLY_WRITES`.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests.realcluster import build
from tests.realcluster.cluster import Cluster, running

from tiphys.apimachinery import fieldset, managedfields
from tiphys.apimachinery.apierrors import ApiError, Conflict
from tiphys.apimachinery.mergeschema import MergeSchema, MergeSchemas
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.apimachinery.schema import Schema, apply_defaults, fill, prune, unknown_field_errors
from tiphys.apimachinery.schemastructural import structural_errors
from tiphys.apimachinery.schemavalidation import validate

SEED = int(os.environ.get("TIPHYS_APPLY_SEED", "1"))
WRITES = int(os.environ.get("TIPHYS_APPLY_WRITES", "336"))
MANAGERS = ("one", "two", "three")
NOW = "2030-01-01T00:00:00Z"


@dataclass
class Server:
    """A connection to the API server as an administrator."""

    host: str
    context: ssl.SSLContext
    token: str
    connection: http.client.HTTPSConnection | None = None
    warnings: list[str] = field(default_factory=list)

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        self.warnings = [one.split(" - ", 1)[1] for one in answer.headers.get_all("Warning") or []]
        text = answer.read()
        return answer.status, json.loads(text) if "json" in answer.headers.get("Content-Type", "") else text.decode()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    try:
        command, release = build._find_go("go")
        built = build.cache_directory() / build._key(release) / "realcluster"
        assert command
    except build.WrongGoError as exc:
        pytest.skip(f"the real API server is not built: {exc}")
    if not built.is_file():
        pytest.skip("the real API server is not built: run `python tests/realcluster/build.py`")
    with running(tmp_path_factory.mktemp("realcluster")) as found:
        # Its writes would come between a write and the next one here.
        pid = found.pid("kube-controller-manager")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield found
        finally:
            os.kill(pid, signal.SIGCONT)


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Iterator[Server]:
    kubeconfig = yaml.safe_load(cluster.engine_credentials().read_text())
    context = ssl.create_default_context(cafile=str(cluster.certificate_authority))
    found = Server(cluster.url.removeprefix("https://"), context, kubeconfig["users"][0]["user"]["token"])
    yield found
    if found.connection is not None:
        found.connection.close()


@dataclass
class Kind:
    """A kind under test: its collection, its type and what an object of it always has."""

    api_version: str
    kind: str
    path: str
    schema: MergeSchema
    has_status: bool
    zero: dict[str, Any] = field(default_factory=dict)


def kinds() -> tuple[Kind, Kind]:
    schemas = MergeSchemas.builtin()
    config_map = schemas.for_kind(GroupVersionKind("", "v1", "ConfigMap"))
    deployment = schemas.for_kind(GroupVersionKind("apps", "v1", "Deployment"))
    assert config_map is not None
    assert deployment is not None
    zero = {
        "metadata": {},
        "spec": {"selector": None, "strategy": {}, "template": {"metadata": {}, "spec": {"containers": None}}},
        "status": {},
    }
    return (
        Kind("v1", "ConfigMap", "/api/v1/namespaces/default/configmaps", config_map, False, {"metadata": {}}),
        Kind("apps/v1", "Deployment", "/apis/apps/v1/namespaces/default/deployments", deployment, True, zero),
    )


# ---- random objects ----


def some(rng: random.Random, of: list[Any], least: int = 0) -> list[Any]:
    return rng.sample(of, rng.randint(least, len(of)))


def random_metadata(rng: random.Random, name: str) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name, "namespace": "default"}
    for key in ("labels", "annotations"):
        if rng.random() < 0.4:
            out[key] = {k: rng.choice("xyz") for k in some(rng, ["p", "q", "r.io/s"])}
        elif rng.random() < 0.1:
            out[key] = None
    if rng.random() < 0.3:
        out["finalizers"] = [f"x.io/{one}" for one in some(rng, ["a", "b", "c"])]
    if rng.random() < 0.2:
        out["ownerReferences"] = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": f"o{one}", "uid": f"u-{one}"} for one in some(rng, [1, 2])
        ]
    return out


def random_config_map(rng: random.Random, name: str) -> dict[str, Any]:
    out: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": random_metadata(rng, name)}
    if rng.random() < 0.85:
        out["data"] = {key: rng.choice(["1", "2", "3", ""]) for key in some(rng, ["a", "b", "c", "d<e"])}
    elif rng.random() < 0.3:
        out["data"] = None
    if rng.random() < 0.2:
        out["binaryData"] = {key: rng.choice(["AAA=", "AQ=="]) for key in some(rng, ["x", "y"])}
    return out


def random_container(rng: random.Random, name: str, twice: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"name": name}
    if rng.random() < 0.9:
        out["image"] = rng.choice(["i:1", "i:2"])
    if rng.random() < 0.5:
        ports: list[dict[str, Any]] = [
            {"containerPort": port} | ({"protocol": protocol} if protocol else {})
            for port, protocol in some(rng, [(80, ""), (443, "TCP"), (80, "UDP"), (9, "")])
        ]
        for port in ports:
            if rng.random() < 0.3:
                port["hostIP"] = "127.0.0.1"
        out["ports"] = ports
    if rng.random() < 0.5:
        out["env"] = [{"name": key, "value": rng.choice(["1", "2", ""])} for key in some(rng, ["A", "B", "C"])]
        if twice and out["env"] and rng.random() < 0.3:
            out["env"].insert(0, {"name": out["env"][0]["name"], "value": rng.choice("12")})
    if rng.random() < 0.4:
        out["resources"] = rng.choice(
            [
                {},
                {"limits": {"cpu": "500m"}},
                {"requests": {"cpu": "0.5", "memory": "1Gi"}},
                {"limits": {"memory": "1Gi"}},
            ]
        )
    if rng.random() < 0.3:
        out["command"] = some(rng, ["sh", "-c", "true"])
    if rng.random() < 0.2:
        out["securityContext"] = rng.choice([{}, {"runAsUser": 1}, {"capabilities": {"add": ["A"]}}])
    if rng.random() < 0.2:
        out["readinessProbe"] = {"httpGet": {"path": rng.choice(["/", "/h"]), "port": rng.choice([80, "p"])}}
    if rng.random() < 0.2:
        out["envFrom"] = [{"configMapRef": {"name": rng.choice(["a", "b"])}}]
    return out


def random_deployment(rng: random.Random, name: str, *, twice: bool) -> dict[str, Any]:
    names = some(rng, ["c1", "c2", "c3"], least=1)
    pod: dict[str, Any] = {"containers": [random_container(rng, one, twice) for one in names]}
    if rng.random() < 0.3:
        pod["volumes"] = [
            {"name": one} | rng.choice([{"emptyDir": {}}, {"configMap": {"name": "c"}}])
            for one in some(rng, ["v1", "v2"])
        ]
    if rng.random() < 0.3:
        pod["nodeSelector"] = {key: rng.choice("xy") for key in some(rng, ["n", "m"])}
    if rng.random() < 0.3:
        pod["tolerations"] = [{"key": key, "operator": "Exists"} for key in some(rng, ["t", "u"])]
    if rng.random() < 0.3:
        pod["imagePullSecrets"] = [{"name": one} for one in some(rng, ["s1", "s2"])]
    if rng.random() < 0.2:
        pod["hostAliases"] = [
            {"ip": ip, "hostnames": some(rng, ["h", "i"], 1)} for ip in some(rng, ["1.1.1.1", "2.2.2.2"])
        ]
    if rng.random() < 0.2:
        pod["terminationGracePeriodSeconds"] = rng.choice([5, 30])
    if rng.random() < 0.2:
        pod["securityContext"] = rng.choice([{}, {"fsGroup": 1}])
    spec: dict[str, Any] = {
        "selector": {"matchLabels": {"app": "x"}},
        "template": {
            "metadata": {"labels": {"app": "x"} | ({"v": rng.choice("12")} if rng.random() < 0.4 else {})},
            "spec": pod,
        },
    }
    if rng.random() < 0.4:
        spec["replicas"] = rng.choice([0, 1, 2])
    if rng.random() < 0.3:
        spec["strategy"] = rng.choice(
            [
                {},
                {"type": "Recreate"},
                {"rollingUpdate": {"maxSurge": rng.choice([1, "30%"])}},
                {"type": "RollingUpdate"},
            ]
        )
    if rng.random() < 0.2:
        spec["paused"] = rng.choice([True, False])
    out = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": random_metadata(rng, name), "spec": spec}
    if rng.random() < 0.1:
        out["status"] = {"replicas": 3}
    return out


def random_object(rng: random.Random, kind: Kind, name: str, *, twice: bool) -> dict[str, Any]:
    if kind.kind == "ConfigMap":
        return random_config_map(rng, name)
    return random_deployment(rng, name, twice=twice)


# ---- comparing ----


def entries(obj: dict[str, Any]) -> str:
    """managedFields as text, in order, saying of times only whether there is one."""
    found = obj["metadata"].get("managedFields") or []
    shown = [one | ({"time": "T"} if "time" in one else {}) for one in found]
    # A real server writes custom objects with sorted keys, others in the order of the API.
    return "\n".join(json.dumps(one, sort_keys=obj.get("kind") == "Thing") for one in shown)


def sorted_entries(obj: dict[str, Any]) -> list[str]:
    return sorted(entries(obj).splitlines())


def values(obj: dict[str, Any]) -> dict[str, Any]:
    """What users wrote of an object, without what the server sets."""
    metadata = {
        k: v for k, v in obj["metadata"].items() if k in ("labels", "annotations", "finalizers", "ownerReferences")
    }
    return {"metadata": metadata} | {k: v for k, v in obj.items() if k in ("data", "binaryData", "spec")}


@dataclass
class Tally:
    fields: int = 0
    values: int = 0
    conflicts: int = 0
    refused: int = 0


class Walk:
    """One object written again and again, by turns."""

    def __init__(self, server: Server, kind: Kind, rng: random.Random, name: str, tally: Tally) -> None:
        self.server, self.kind, self.rng, self.name, self.tally = server, kind, rng, name, tally
        self.live: dict[str, Any] | None = None

    def step(self) -> None:
        manager = self.rng.choice(MANAGERS)
        roll = self.rng.random()
        if self.live is not None and self.kind.has_status and roll < 0.15:
            self.through_subresource(f"{manager}-{self.rng.randint(1, 9)}")
        elif roll < 0.65:
            self.apply(manager)
        elif roll < 0.85 or self.live is None:
            self.replace(manager)
        else:
            self.patch(manager)

    def arguments(self, manager: str, subresource: str = "") -> dict[str, Any]:
        group = self.kind.api_version.rpartition("/")[0]
        reset = managedfields.reset_fields_of(group, self.kind.kind, subresource, has_status=self.kind.has_status)
        return {
            "manager": manager,
            "api_version": self.kind.api_version,
            "schema": self.kind.schema,
            "now": NOW,
            "subresource": subresource,
            "reset_fields": reset,
            "zero": self.kind.zero,
        }

    def apply(self, manager: str) -> None:
        config = random_object(self.rng, self.kind, self.name, twice=False)
        force = self.rng.random() < 0.5
        path = f"{self.kind.path}/{self.name}?fieldManager={manager}&force={'true' if force else 'false'}"
        status, answer = self.server.send("PATCH", path, config, "application/apply-patch+yaml")
        said = json.dumps([self.live, config, answer])
        try:
            new = managedfields.apply(self.live, config, force=force, **self.arguments(manager))
        except Conflict as exc:
            self.compare_conflict(exc, status, answer, said)
            return
        if status == 422:
            self.tally.refused += 1
            return
        assert status in (200, 201), said
        self.compare_values(new, answer, said)
        self.compare_fields(new, answer, said)
        self.live = answer

    def compare_conflict(self, found: Conflict, status: int, answer: dict[str, Any], said: str) -> None:
        assert status == 409, said
        wanted = {(one["message"], one["field"]) for one in answer["details"]["causes"]}
        assert {(one.message, one.field) for one in found.causes} == wanted, said
        assert sorted(found.message.splitlines()) == sorted(answer["message"].splitlines()), said
        self.tally.conflicts += 1

    def compare_fields(self, new: dict[str, Any], answer: dict[str, Any], said: str) -> None:
        assert sorted_entries(new) == sorted_entries(answer), said
        self.tally.fields += 1

    def compare_values(self, new: dict[str, Any], answer: dict[str, Any], said: str) -> None:
        """The server reads the merged object as it reads its own result."""
        body = {key: value for key, value in new.items() if key != "metadata"}
        body["metadata"] = {key: value for key, value in new["metadata"].items() if key != "managedFields"}
        path = f"{self.kind.path}/{self.name}?dryRun=All"
        body["metadata"].pop("resourceVersion", None)
        status, read = self.server.send("PUT", path, body)
        assert status == 200, said + json.dumps([body, read])
        assert values(read) == values(answer), said + json.dumps(body)
        self.tally.values += 1

    def replace(self, manager: str) -> None:
        new = random_object(self.rng, self.kind, self.name, twice=True)
        if self.live is None:
            status, answer = self.server.send("POST", f"{self.kind.path}?fieldManager={manager}", new)
        else:
            status, answer = self.server.send("PUT", f"{self.kind.path}/{self.name}?fieldManager={manager}", new)
        self.updated(manager, status, answer, new)

    def patch(self, manager: str) -> None:
        change = random_object(self.rng, self.kind, self.name, twice=True)
        for key in some(self.rng, ["spec", "data", "binaryData"], 1):
            change.pop(key, None)
        change["metadata"].pop("name")
        path = f"{self.kind.path}/{self.name}?fieldManager={manager}"
        status, answer = self.server.send("PATCH", path, change, "application/merge-patch+json")
        self.updated(manager, status, answer, change)

    def through_subresource(self, manager: str) -> None:
        """A status or a scale written by one of many managers, so that some objects come to have too many of them."""
        assert self.live is not None
        query = f"fieldManager={manager}"
        if self.rng.random() < 0.5:
            wanted = self.rng.choice([3, 4])
            replicas = self.live["spec"].get("replicas")
            path = f"{self.kind.path}/{self.name}/scale?{query}"
            status, _ = self.server.send("PATCH", path, {"spec": {"replicas": wanted}}, "application/merge-patch+json")
            assert status == 200
            _, answer = self.server.send("GET", f"{self.kind.path}/{self.name}")
            # A scale makes the server write all entries with sorted keys, until the next write.
            entries_ = answer["metadata"].get("managedFields") or []
            in_order = [one | {"fieldsV1": fieldset.encode(one["fieldsV1"])} for one in entries_]
            answer = managedfields.with_managed_fields(answer, in_order)
            if replicas != wanted:
                fields = managedfields.update_scale(self.live, manager=manager, api_version=self.kind.api_version)
                said = json.dumps([self.live, wanted, answer])
                self.compare_fields({"metadata": {"managedFields": fields}}, answer, said)
            self.live = answer
            return
        change = {
            "metadata": {"labels": {"p": self.rng.choice("xyz")}, "annotations": {"q": self.rng.choice("xyz")}},
            "spec": {"paused": True},
            "status": {"replicas": self.rng.randint(0, 3), "observedGeneration": self.rng.randint(1, 3)},
        }
        path = f"{self.kind.path}/{self.name}/status?{query}"
        status, answer = self.server.send("PATCH", path, change, "application/merge-patch+json")
        self.updated(manager, status, answer, change, subresource="status")

    def updated(
        self, manager: str, status: int, answer: dict[str, Any], request: dict[str, Any], *, subresource: str = ""
    ) -> None:
        said = json.dumps([self.live, request, answer])
        if status == 422:
            self.tally.refused += 1
            return
        assert status in (200, 201), said
        metadata = {key: value for key, value in answer["metadata"].items() if key != "managedFields"}
        arguments = self.arguments(manager, subresource)
        fields = managedfields.update(self.live, answer | {"metadata": metadata}, **arguments)
        self.compare_fields({"metadata": {"managedFields": fields}}, answer, said)
        self.live = answer


def test_ownership_and_values_of_random_writes_are_those_of_the_real_server(server: Server) -> None:
    rng = random.Random(SEED)
    tally = Tally()
    for round_ in range(max(1, WRITES // 24)):
        for kind in kinds():
            walk = Walk(server, kind, rng, f"w{round_}", tally)
            for _ in range(12):
                walk.step()
    print(f"compared: {tally}")
    if WRITES >= 336:
        assert tally.fields + tally.values + tally.conflicts >= 300


# ---- custom kinds ----

ITEM = {
    "type": "object",
    "required": ["k"],
    "properties": {
        "k": {"type": "string"},
        "p": {"type": "string", "default": "x"},
        "v": {"type": "integer", "minimum": 0},
        "free": {
            "type": "object",
            "x-kubernetes-preserve-unknown-fields": True,
            "properties": {"n": {"type": "integer"}},
        },
    },
}
SPEC: dict[str, Any] = {
    "size": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "exclusiveMaximum": True},
    "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z]+$"},
    "mode": {"type": "string", "enum": ["A", "B"], "default": "A"},
    "when": {"type": "string", "format": "date-time"},
    "ip": {"type": "string", "format": "ipv4"},
    "port": {"x-kubernetes-int-or-string": True},
    "ratio": {"type": "number", "multipleOf": 0.5, "maximum": 2.5},
    "flag": {"type": "boolean", "nullable": True},
    "tags": {"type": "array", "x-kubernetes-list-type": "set", "maxItems": 3, "items": {"type": "string"}},
    "items": {
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["k", "p"],
        "items": ITEM,
    },
    "plain": {"type": "array", "minItems": 1, "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "child": {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "x-kubernetes-embedded-resource": True,
    },
    "map": {"type": "object", "maxProperties": 2, "additionalProperties": {"type": "integer"}},
    "objects": {
        "type": "object",
        "additionalProperties": {"type": "object", "properties": {"a": {"type": "string", "default": "d"}}},
    },
    "atom": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"x": {"type": "integer"}}},
    "nested": {"type": "object", "default": {}, "properties": {"z": {"type": "integer", "default": 3}}},
    "choice": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "oneOf": [{"required": ["a"]}, {"required": ["b"]}],
    },
    "any": {"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 2}], "allOf": [{"minimum": -5}]},
    "nope": {"type": "string", "not": {"enum": ["bad"]}},
}
CUSTOM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {"type": "object", "required": ["size"], "properties": SPEC},
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
GOOD: dict[str, list[Any]] = {
    "size": [1, 5, 9],
    "name": ["ab", "abc"],
    "mode": ["A", "B"],
    "when": ["2030-01-01T00:00:00Z", "2030-01-01T00:00:00.5+01:00"],
    "ip": ["1.2.3.4"],
    "port": [80, "http"],
    "ratio": [0.5, 1.5],
    "flag": [True, False, None],
    "tags": [[], ["a"], ["a", "b"], ["b", "c", "a"]],
    "items": [
        [],
        [{"k": "a"}],
        [{"k": "a", "v": 1}, {"k": "b"}],
        [{"k": "b", "p": "y"}, {"k": "a", "v": 2, "free": {"n": 1, "m": [1, {"o": True}]}}],
        [{"k": "a", "free": {"m": 1}}, {"k": "a", "p": "y", "v": 3}],
    ],
    "plain": [[{"a": "1"}], [{"a": "1"}, {}]],
    "free": [{}, {"a": 1}, {"a": True, "b": {"c": [1, 2]}}, {"b": {"d": "x"}}, {"b": [1]}, {"a": {"e": None}}],
    "child": [
        {"apiVersion": "v1", "kind": "Pod"},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"y": 1}},
    ],
    "map": [{}, {"a": 1}, {"a": 2, "b": 1}],
    "objects": [{}, {"a": {}}, {"a": {"a": "1"}, "b": {}}],
    "atom": [{}, {"x": 1}, {"x": 2}],
    "nested": [{}, {"z": 4}],
    "choice": [{"a": 1}, {"b": 1}],
    "any": [1, 6],
    "nope": ["good"],
}
BAD: dict[str, list[Any]] = {
    "size": [0, 10, 3000000000, "x", 1.5, None, True],
    "name": ["a", "abcdef", "A1", 1, None, ["x"], ""],
    "mode": ["C", 1, None, ""],
    "when": ["yesterday", 5, ""],
    "ip": ["1.2.3", "::1"],
    "port": [True, 1.5, {}, None],
    "ratio": [0.3, 3.5, "1", True, 2],
    "flag": ["true", 1],
    "tags": [["a", "a"], ["a", "b", "c", "d"], "x", [1], [None], ["a", "a", "a"]],
    "items": [[{"k": "a"}, {"k": "a", "v": -1}], [{}], [{"k": 1}], ["x"], {}, [{"k": "a", "u": 1}], [None]],
    "plain": [[], [{"a": 1, "u": 1}], [None], [[]]],
    "free": ["x", [1], None],
    "child": [{}, {"kind": "A B", "apiVersion": ""}, {"kind": "", "apiVersion": "a/b/c"}],
    "map": [{"a": "x"}, {"a": 1, "b": 2, "c": 3}, [], {"a": None}],
    "objects": [{"a": None}, {"a": {"u": 1}}, {"a": 1}],
    "atom": [{"x": "y", "u": {"v": 1}}, []],
    "nested": [{"z": "y"}, None, {"u": [1]}],
    "choice": [{}, {"a": 1, "b": 2}, {"a": "x"}, 5],
    "any": [3, -7, "x"],
    "nope": ["bad", 5],
    "unknown": [1, {"a": 1}, [{"b": 1}]],
}


def random_custom(rng: random.Random, name: str, badness: float) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    for key in [*GOOD, "unknown"]:
        if rng.random() < badness:
            spec[key] = rng.choice(BAD[key])
        elif key in GOOD and (key == "size" or rng.random() < 0.4):
            spec[key] = rng.choice(GOOD[key])
    out: dict[str, Any] = {
        "apiVersion": "x.io/v1",
        "kind": "Thing",
        "metadata": random_metadata(rng, name),
        "spec": spec,
    }
    if rng.random() < 0.2:
        out["status"] = {"a": rng.choice([1, 2])}
    if rng.random() < badness:
        out["unknown"] = 1
    if rng.random() < badness / 4:
        out["spec"] = rng.choice([None, "x", []])
    return out


class CustomWalk:
    """One custom object written again and again; only what the server accepts stays."""

    def __init__(self, server: Server, rng: random.Random, name: str, tally: Tally) -> None:
        self.server, self.rng, self.name, self.tally = server, rng, name, tally
        self.schema = Schema(CUSTOM_SCHEMA)
        self.merge = MergeSchemas.builtin().for_custom(CUSTOM_SCHEMA)
        self.path = "/apis/x.io/v1/namespaces/default/things"
        self.live: dict[str, Any] | None = None

    def arguments(self, manager: str) -> dict[str, Any]:
        reset = managedfields.reset_fields_of("x.io", "Thing", "", has_status=True)
        return {"manager": manager, "api_version": "x.io/v1", "schema": self.merge, "now": NOW, "reset_fields": reset}

    def step(self) -> None:
        manager = self.rng.choice(MANAGERS)
        badness = self.rng.choice([0, 0, 0.03, 0.1])
        if self.rng.random() < 0.5:
            self.apply(manager, random_custom(self.rng, self.name, badness / 3))
        else:
            self.write(manager, random_custom(self.rng, self.name, badness))

    def write(self, manager: str, new: dict[str, Any]) -> None:
        query = f"fieldManager={manager}&fieldValidation=Warn"
        if self.live is None:
            status, answer = self.server.send("POST", f"{self.path}?{query}", new)
        else:
            new["metadata"]["resourceVersion"] = self.live["metadata"]["resourceVersion"]
            status, answer = self.server.send("PUT", f"{self.path}/{self.name}?{query}", new)
        said = json.dumps([self.live, new, answer])
        pruned, unknown = prune(new, self.schema)
        warnings = sorted(go_unquote(one) for one in self.server.warnings)
        assert sorted(unknown_field_errors(unknown)) == warnings, said
        self.settle(manager, fill(pruned, self.schema), status, answer, said)

    def settle(self, manager: str, new: dict[str, Any], status: int, answer: dict[str, Any], said: str) -> None:
        found = self.problems(new)
        if found or status == 422:
            assert status == 422, said + str(found)
            wanted = {(one["reason"], one.get("message"), one["field"]) for one in answer["details"]["causes"]}
            assert found == wanted, said
            self.tally.conflicts += 1
            return
        assert status in (200, 201), said
        assert new["spec"] == answer["spec"], said
        self.tally.values += 1
        # The type of metadata is the server's own, which drops what is empty there.
        metadata = {key: value for key, value in answer["metadata"].items() if key != "managedFields"}
        fields = managedfields.update(self.live, new | {"metadata": metadata}, **self.arguments(manager))
        assert sorted_entries({"kind": "Thing", "metadata": {"managedFields": fields}}) == sorted_entries(answer), said
        self.tally.fields += 1
        self.live = answer

    def problems(self, new: dict[str, Any]) -> set[tuple[str, str, str]]:
        old = self.live
        if old is not None and "status" in old:
            new = new | {"status": old["status"]}
        else:
            new = {key: value for key, value in new.items() if key != "status"}
        return {(one.reason, one.message, one.field) for one in validate(new, self.schema, old=old)}

    def apply(self, manager: str, config: dict[str, Any]) -> None:
        force = self.rng.random() < 0.5
        path = f"{self.path}/{self.name}?fieldManager={manager}&force={'true' if force else 'false'}"
        status, answer = self.server.send("PATCH", path, config, "application/apply-patch+yaml")
        said = json.dumps([self.live, config, answer])
        try:
            new = managedfields.apply(self.live, config, force=force, **self.arguments(manager))
        except ApiError as exc:
            self.compare_error(exc, status, answer, said)
            return
        entries_ = new["metadata"].pop("managedFields", [])
        new = apply_defaults(new, self.schema)
        if status == 422 or self.problems(new):
            found = self.problems(new)
            wanted = {(one["reason"], one.get("message"), one["field"]) for one in answer["details"]["causes"]}
            assert found == wanted, said
            self.tally.refused += 1
            return
        assert status in (200, 201), said
        assert new["spec"] == answer["spec"], said
        self.tally.values += 1
        assert sorted_entries({"kind": "Thing", "metadata": {"managedFields": entries_}}) == sorted_entries(answer), (
            said
        )
        self.tally.fields += 1
        self.live = answer

    def compare_error(self, found: ApiError, status: int, answer: dict[str, Any], said: str) -> None:
        assert found.code == status, said + found.message
        head, typed, text = found.message.partition("): ")
        their_head, _, their_text = answer["message"].partition("): ")
        assert head == their_head, said + found.message
        if typed:
            # The server goes through maps in random order and stops at the first field that is not declared.
            theirs, ours = (one.removeprefix("errors:").split("\n") for one in (their_text, text))
            assert {one.strip() for one in theirs} <= {one.strip() for one in ours}, said + found.message
        else:
            assert sorted(text.splitlines()) == sorted(their_text.splitlines()), said + found.message
        self.tally.conflicts += 1


def go_unquote(text: str) -> str:
    found = json.loads(text)
    assert isinstance(found, str)
    return found


def install(server: Server, schema: dict[str, Any], plural: str, kind: str) -> tuple[int, Any]:
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }
    crd = {
        "metadata": {"name": f"{plural}.x.io"},
        "spec": {
            "group": "x.io",
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [version],
        },
    }
    return server.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)


@pytest.fixture(scope="module")
def things(server: Server) -> Server:
    status, answer = install(server, CUSTOM_SCHEMA, "things", "Thing")
    assert status == 201, answer
    deadline = time.monotonic() + 30
    while (status := server.send("GET", "/apis/x.io/v1/namespaces/default/things")[0]) != 200:
        assert time.monotonic() < deadline, f"the kind is not served; the last answer had status {status}"
        time.sleep(0.1)
    return server


def test_custom_objects_are_pruned_defaulted_validated_and_owned_as_on_the_real_server(things: Server) -> None:
    rng = random.Random(SEED)
    tally = Tally()
    for round_ in range(max(1, WRITES // 12)):
        walk = CustomWalk(things, rng, f"t{round_}", tally)
        for _ in range(12):
            walk.step()
    print(f"compared: {tally}")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {}}},
        {"type": "object", "properties": {"a": {"type": "array"}}},
        {"type": "string"},
        {"properties": {"a": {"type": "string"}}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {
            "type": "object",
            "properties": {
                "a": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "properties": {"b": {"type": "string"}},
                }
            },
        },
        {
            "type": "object",
            "properties": {"a": {"type": "object", "oneOf": [{"type": "object"}, {"properties": {"b": {}}}]}},
        },
        {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True, "items": {"type": "string"}}}},
        {
            "type": "object",
            "properties": {
                "a": {"type": "array", "x-kubernetes-list-type": "map", "items": {"type": "object", "properties": {}}}
            },
        },
        {
            "type": "object",
            "properties": {
                "a": {
                    "type": "array",
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string"}}},
                }
            },
        },
        {"type": "object", "properties": {"a": {"type": "string", "x-kubernetes-list-type": "set"}}},
        {"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-map-type": "odd"}}},
        {"type": "object", "properties": {"a": {"type": "wrong"}}},
        {"type": "object", "properties": {"a": {"x-kubernetes-embedded-resource": True, "type": "object"}}},
        {
            "type": "object",
            "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
        },
        {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}},
        {"type": "object", "properties": {"a": {"type": "integer", "not": {"type": "string", "default": 1}}}},
        {"type": "object", "properties": {"a": {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}]}}},
    ],
    ids=str,
)
def test_faults_of_schemas_are_those_the_real_server_names(server: Server, schema: dict[str, Any]) -> None:
    status, answer = install(server, schema, "faults", "Fault")
    assert status == 422, answer
    wanted = {(one["reason"], one["field"]) for one in answer["details"]["causes"]}
    found = structural_errors(schema, "spec.validation.openAPIV3Schema", has_status=True)
    assert {(one.reason, one.field) for one in found} == wanted, json.dumps([answer["message"], str(found)])
