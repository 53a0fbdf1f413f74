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
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml
from tests.realcluster import build
from tests.realcluster.cluster import Cluster, running

from tiphys.apimachinery import managedfields
from tiphys.apimachinery.apierrors import Conflict
from tiphys.apimachinery.mergeschema import MergeSchema, MergeSchemas
from tiphys.apimachinery.names import GroupVersionKind

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

    def send(self, method: str, path: str, body: object = None, kind: str = "application/json") -> tuple[int, Any]:
        if self.connection is None:
            self.connection = http.client.HTTPSConnection(self.host, context=self.context, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"}
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())


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
    return "\n".join(json.dumps(one | ({"time": "T"} if "time" in one else {})) for one in found)


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
        if roll < 0.65:
            self.apply(manager)
        elif roll < 0.85 or self.live is None:
            self.replace(manager)
        else:
            self.patch(manager)

    def arguments(self, manager: str) -> dict[str, Any]:
        group = self.kind.api_version.rpartition("/")[0]
        reset = managedfields.reset_fields_of(group, self.kind.kind, "", has_status=self.kind.has_status)
        return {
            "manager": manager,
            "api_version": self.kind.api_version,
            "schema": self.kind.schema,
            "now": NOW,
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

    def updated(self, manager: str, status: int, answer: dict[str, Any], request: dict[str, Any]) -> None:
        said = json.dumps([self.live, request, answer])
        if status == 422:
            self.tally.refused += 1
            return
        assert status in (200, 201), said
        metadata = {key: value for key, value in answer["metadata"].items() if key != "managedFields"}
        fields = managedfields.update(self.live, answer | {"metadata": metadata}, **self.arguments(manager))
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
