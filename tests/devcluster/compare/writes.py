"""Writes: each type of patch with its errors, apply and its conflicts, metadata rules, deletion, documents of the server."""

# ruff: noqa: E501 (tables of requests are easier to read in wide rows)

from __future__ import annotations

from typing import Any

from tests.devcluster.compare.lists import config_map, maps
from tests.devcluster.compare.step import (
    APPLY,
    JSON_PATCH,
    MERGE,
    STRATEGIC,
    Scenario,
    Step,
    namespace_of,
)

APIS = ("json", MERGE, STRATEGIC)
LONG = "x" * 254


def scenarios() -> list[Scenario]:
    """All about writing one."""
    return [_json_patches(), _strategic(), _applies(), _metadata(), _deletion(), _garbage(), _documents()]


def deployments(name: str) -> str:
    """The Deployments of a scenario."""
    return f"/apis/apps/v1/namespaces/{namespace_of(name)}/deployments"


def deployment(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A Deployment."""
    pod = {"containers": list(containers) or [{"name": "c", "image": "i:1"}]}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"a": "b"}}, "template": template, **spec},
    }


OPERATIONS: tuple[Any, ...] = (
    [{"op": "add", "path": "/data/x", "value": "1"}], [{"op": "add", "path": "/data/a~1b", "value": "1"}],
    [{"op": "add", "path": "/data", "value": {"z": "1"}}], [{"op": "add", "path": "data", "value": {}}], [],
    [{"op": "add", "path": "/nope/x", "value": "1"}], [{"op": "add", "path": "/data/x"}], [{"op": "odd", "path": "/data"}],
    [{"op": "remove", "path": "/data/a"}], [{"op": "remove", "path": "/data/nope"}], [{"op": "remove", "path": ""}],
    [{"op": "replace", "path": "/data/a", "value": "2"}], [{"op": "replace", "path": "/data/nope", "value": "2"}],
    [{"op": "replace", "path": "", "value": {}}], [{"op": "move", "from": "/data/a", "path": "/data/b"}],
    [{"op": "move", "from": "/data/nope", "path": "/data/b"}], [{"op": "copy", "from": "/data/a", "path": "/data/b"}],
    [{"op": "copy", "path": "/data/b"}], [{"op": "test", "path": "/data/a", "value": "b"}],
    [{"op": "test", "path": "/data/a", "value": 1}], [{"op": "test", "path": "/data/nope", "value": None}],
    [{"op": "test", "path": "/data", "value": {"a": "b"}}], [{"op": "test", "path": "/data/nope", "value": "x"}],
    [{"op": "add", "path": "/metadata/finalizers", "value": ["x.io/a"]}], [{"op": "add", "path": "/metadata/finalizers/-", "value": "x"}],
    [{"op": "add", "path": "/metadata/finalizers/7", "value": "x.io/b"}], [{"op": "add", "path": "/metadata/labels/x", "value": "1"}],
    [{"path": "/data"}], [{"op": "add"}], [1], ["x"], {}, "x", None, [{"op": "add", "path": "/data/n", "value": 1}],
    [{"op": "add", "path": "/metadata/name", "value": "other"}], [{"op": "remove", "path": "/metadata/name"}],
    [{"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}], [{"op": "add", "path": "/unknown", "value": 1}],
    [{"op": "add", "path": "/data/p", "value": "1"}, {"op": "test", "path": "/data/p", "value": "1"}, {"op": "remove", "path": "/data/p"}],
)  # fmt: skip
MERGES: tuple[Any, ...] = (
    {"data": {"m": "1"}}, {"data": {"m": None}}, {"data": None}, {"data": {"a": "b"}}, {"data": {"a": {"b": 1}}}, {"data": ["x"]},
    {"metadata": None}, {"metadata": {"labels": None}}, {"metadata": {"labels": {"x": 1}}}, {"metadata": {"name": None}},
    {"kind": "Secret"}, {"apiVersion": "v2"}, {"kind": None}, {"apiVersion": None}, {"unknown": {"x": 1}}, [], "x", 1, None, {},
    {"metadata": {"creationTimestamp": None}}, {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}},
    {"metadata": {"generation": 9}}, {"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}}, {"metadata": {"managedFields": None}},
    {"metadata": {"managedFields": []}}, {"metadata": {"managedFields": [{}]}}, {"metadata": {"resourceVersion": None}},
    {"metadata": {"resourceVersion": "0"}}, {"metadata": {"namespace": None}}, {"metadata": {"generateName": "gen-"}},
    {"metadata": {"ownerReferences": [{"name": "x"}]}}, {"metadata": {"finalizers": ["bad"]}}, {"immutable": True}, {"data": {"x": "y"}},
    {"immutable": None}, {"data": None},
)  # fmt: skip


def _json_patches() -> Scenario:
    path = maps("patches")
    one = f"{path}/one"
    steps = [Step("POST", path, config_map("one"))]
    for number, operations in enumerate(OPERATIONS):
        steps.append(Step("PATCH", f"{one}?dryRun=All", operations, JSON_PATCH, label=f"json {number} dry"))
        if not str(operations).startswith("[{'op': 'add', 'path': '/metadata/f"):
            steps.append(Step("PATCH", one, operations, JSON_PATCH, label=f"json {number}"))
    for number, patch in enumerate(MERGES):
        for check in ("", "Strict"):
            query = f"{one}?dryRun=All&fieldValidation={check}"
            steps.append(Step("PATCH", query, patch, STRATEGIC, label=f"strategic {number} {check} dry"))
            steps.append(Step("PATCH", query, patch, MERGE, label=f"merge {number} {check} dry"))
        steps.append(Step("PATCH", one, patch, MERGE, label=f"merge {number}"))
    things = f"/apis/things.compared.io/v1/namespaces/{namespace_of('patches')}/things"
    thing = {"apiVersion": "things.compared.io/v1", "kind": "Thing", "metadata": {"name": "one"}, "spec": {"word": "x"}}
    steps.append(Step("POST", things, thing))
    for number, patch in enumerate(MERGES):
        steps.append(Step("PATCH", f"{things}/one?dryRun=All", patch, MERGE, label=f"thing merge {number}"))
        steps.append(
            Step(
                "PATCH", f"{things}/one?dryRun=All&fieldValidation=Strict", patch, MERGE, label=f"thing strict {number}"
            )
        )
    return Scenario("patches", steps)


CONTAINERS: tuple[Any, ...] = (
    [{"name": "c", "image": "i:2"}], [{"name": "d", "image": "j"}], [{"name": "d", "$patch": "delete"}], [{"image": "i"}],
    [{"name": "c", "$patch": "replace"}], [{"$patch": "replace"}, {"name": "e", "image": "k"}], [{"name": "e", "ports": [{"containerPort": 80}]}],
    [{"name": "e", "ports": [{"containerPort": 80, "protocol": "UDP"}]}], [{"name": "e", "env": [{"name": "A", "value": "1"}]}],
    [{"name": "e", "env": [{"name": "B", "value": "2"}, {"name": "A", "$patch": "delete"}]}], [{"name": "e", "command": ["a", "b"]}],
    [{"name": "e", "command": ["c"]}], [{"name": "e", "resources": {"limits": {"cpu": "0.5"}}}], [{"name": "e", "$patch": "odd"}],
    [{"name": "e", "volumeMounts": [{"name": "v", "mountPath": "/v"}]}], "x", [1], None, [{"name": "e", "image": None}],
    [{"name": "e", "$retainKeys": ["name", "image"], "image": "l"}],
)  # fmt: skip
STRATEGIC_SPECS: tuple[Any, ...] = (
    {"strategy": {"type": "Recreate"}}, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, {"strategy": {"rollingUpdate": None, "type": "Recreate"}},
    {"strategy": {"$patch": "replace", "type": "RollingUpdate"}}, {"strategy": None}, {"replicas": None}, {"replicas": "2"}, {"replicas": 1.5},
    {"template": {"spec": {"$setElementOrder/containers": [{"name": "e"}, {"name": "c"}]}}}, {"template": {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}}},
    {"template": {"spec": {"volumes": [{"name": "v", "configMap": {"name": "x"}}]}}}, {"template": {"spec": {"tolerations": [{"key": "x"}]}}},
    {"template": {"spec": {"tolerations": [{"key": "y"}]}}}, {"template": {"spec": {"nodeSelector": {"a": "b"}}}}, {"template": {"spec": {"nodeSelector": {"$patch": "delete"}}}},
    {"template": {"metadata": {"labels": {"$patch": "replace", "a": "b", "n": "o"}}}}, {"template": {"spec": {"imagePullSecrets": [{"name": "s"}]}}},
    {"template": {"spec": {"hostAliases": [{"ip": "1.2.3.4", "hostnames": ["h"]}]}}}, {"paused": True}, {"unknown": 1}, {"selector": {"matchLabels": {"q": "r"}}},
)  # fmt: skip


def _strategic() -> Scenario:
    path = deployments("strategic")
    one = f"{path}/one"
    steps = [Step("POST", path, deployment("one"))]
    specs: list[Any] = [{"template": {"spec": {"containers": containers}}} for containers in CONTAINERS]
    for number, spec in enumerate([*specs, *STRATEGIC_SPECS]):
        for kind in (STRATEGIC, MERGE):
            name = "merge" if kind == MERGE else "strategic"
            steps.append(Step("PATCH", f"{one}?dryRun=All", {"spec": spec}, kind, label=f"{name} {number} dry"))
        steps.append(Step("PATCH", one, {"spec": spec}, STRATEGIC, label=f"strategic {number}"))
        steps.append(
            Step(
                "PATCH", f"{one}?dryRun=All&fieldValidation=Strict", {"spec": spec}, STRATEGIC, label=f"strict {number}"
            )
        )
    return Scenario("strategic", steps)


def _applies() -> Scenario:
    path = deployments("applies")
    steps: list[Step] = []

    def apply(body: Any, query: str, label: str, name: str = "one", sub: str = "") -> None:
        steps.append(Step("PATCH", f"{path}/{name}{sub}?{query}", body, APPLY, label=label))

    one = {"name": "c", "image": "i:1"}
    apply(deployment("one", one), "fieldManager=a&dryRun=All", "creates dry")
    apply(deployment("one", one), "fieldManager=a", "creates")
    apply(deployment("one", one), "fieldManager=a", "again")
    apply(deployment("one", one), "fieldManager=b", "shared")
    apply(deployment("one", {"name": "c", "image": "i:2"}), "fieldManager=b", "conflict")
    apply(deployment("one", {"name": "c", "image": "i:2"}, replicas=4), "fieldManager=b", "conflicts")
    apply(
        deployment("one", {"name": "c", "image": "i:2"}, replicas=4),
        "fieldManager=b&force=true&dryRun=All",
        "forced dry",
    )
    apply(deployment("one", {"name": "c", "image": "i:2"}, replicas=4), "fieldManager=b&force=true", "forced")
    apply(deployment("one", one, {"name": "d", "image": "j"}), "fieldManager=a&force=1", "adds a container")
    apply(deployment("one", one), "fieldManager=a", "removes a container")
    apply(deployment("one", {"name": "d", "image": "j"}), "fieldManager=c", "another container")
    apply(deployment("one", {"image": "j"}), "fieldManager=c", "container without a name")
    apply(deployment("one", one, one), "fieldManager=a", "container twice")
    ports = [{"containerPort": 80}, {"containerPort": 80, "protocol": "UDP"}]
    apply(deployment("one", {**one, "ports": ports}), "fieldManager=a&force=1", "ports")
    apply(deployment("one", {**one, "ports": [{"containerPort": 80, "name": "x"}]}), "fieldManager=d", "port conflict")
    apply(deployment("one", {**one, "env": [{"name": "A", "value": "1"}]}), "fieldManager=a", "variables")
    steps.append(Step("PATCH", f"{path}/one", {"spec": {"replicas": 7}}, MERGE, label="someone scales"))
    steps.append(Step("PATCH", f"{path}/one/scale", {"spec": {"replicas": 8}}, MERGE, label="someone scales by scale"))
    apply(deployment("one", one), "fieldManager=a", "conflict with updates")
    apply(deployment("one", one), "fieldManager=a&force=true", "takes it back")
    apply({**deployment("one", one), "status": {"replicas": 1}}, "fieldManager=a", "status is ignored")
    apply({**deployment("one"), "spec": {}, "status": {"replicas": 1}}, "fieldManager=s", "status", sub="/status")
    apply({**deployment("one"), "spec": {"replicas": 3}}, "fieldManager=s", "spec by status", sub="/status")
    apply(
        {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "one"}, "spec": {"replicas": 5}},
        "fieldManager=s",
        "scale",
        sub="/scale",
    )
    apply(
        {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "one"}, "spec": {"replicas": 5}},
        "fieldManager=s&force=1",
        "scale forced",
        sub="/scale",
    )
    for label, body in (
        ("other kind", {**deployment("one"), "kind": "ReplicaSet"}), ("other version", {**deployment("one"), "apiVersion": "apps/v1beta1"}),
        ("no kind", {"apiVersion": "apps/v1", "metadata": {"name": "one"}}), ("no version", {"kind": "Deployment", "metadata": {"name": "one"}}),
        ("other name", deployment("two")), ("unknown field", {**deployment("one"), "nope": 1}), ("bad type", deployment("one", replicas="x")),
        ("null replicas", deployment("one", replicas=None)), ("managedFields", {**deployment("one"), "metadata": {"name": "one", "managedFields": [{"manager": "x"}]}}),
        ("old version", {**deployment("one"), "metadata": {"name": "one", "resourceVersion": "1"}}), ("uid", {**deployment("one"), "metadata": {"name": "one", "uid": "x"}}),
        ("list", []), ("text", "x"), ("empty", {}), ("nothing", {"apiVersion": "apps/v1", "kind": "Deployment"}),
        ("invalid", deployment("one", replicas=-1)), ("unknown deep", deployment("one", {"name": "c", "image": "i:1", "nope": 1})),
    ):  # fmt: skip
        for query in ("fieldManager=e", "fieldManager=e&force=true&fieldValidation=Strict&dryRun=All"):
            apply(body, query, f"{label} {'strict' if 'Strict' in query else ''}")
    apply(deployment("two"), "", "no manager", "two")
    apply(deployment("two"), "fieldManager=" + "x" * 129, "long manager", "two")
    apply(deployment("two"), "fieldManager=a%0Ab", "manager of two lines", "two")
    apply({**deployment("two"), "spec": None}, "fieldManager=a", "null spec", "two")
    apply(
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "one"}},
        "fieldManager=a",
        "gives everything up",
    )
    steps += [
        Step("GET", f"{path}/one", label="in the end"),
        Step("PATCH", f"{path}/one", {"metadata": {"managedFields": [{}]}}, MERGE, label="forgets owners"),
        Step(
            "PATCH", f"{path}/one?fieldManager=a&force=1", deployment("one", one), APPLY, label="apply after forgetting"
        ),
        Step("PUT", f"{path}/one?fieldManager=z", deployment("one", one, replicas=2), label="put by another"),
        Step("PATCH", f"{path}/one?fieldManager=a", deployment("one", one), APPLY, label="apply after put"),
    ]
    return Scenario("applies", steps)


def _metadata() -> Scenario:
    path = maps("metadata")
    cases: tuple[dict[str, Any], ...] = (
        {"name": ""}, {"name": "UPPER"}, {"name": "a/b"}, {"name": "a..b"}, {"name": "-a"}, {"name": LONG}, {"name": "a b"}, {"name": "ä"},
        {"name": "a", "generateName": "b-"}, {"generateName": "UPPER-"}, {"generateName": "x" * 70}, {"generateName": "gen-"}, {"name": "a", "namespace": ""},
        {"name": "a", "namespace": "other"}, {"name": "a", "uid": "x"}, {"name": "a", "generation": 7}, {"name": "a", "selfLink": "/x"},
        {"name": "a", "creationTimestamp": "2020-01-01T00:00:00Z"}, {"name": "a", "deletionTimestamp": "2020-01-01T00:00:00Z"},
        {"name": "a", "deletionGracePeriodSeconds": 5}, {"name": "a", "labels": {"x": "y" * 64}}, {"name": "a", "labels": {"x/y/z": "1"}},
        {"name": "a", "labels": {"Bad.Domain_/x": "1"}}, {"name": "a", "labels": {"": "1"}}, {"name": "a", "labels": {"x" * 64: "1"}}, {"name": "a", "labels": {}},
        {"name": "a", "annotations": {"x y": "1"}}, {"name": "a", "annotations": {"UPPER/x": "1"}}, {"name": "a", "annotations": {"big": "x" * 262145}},
        {"name": "a", "finalizers": ["x.io/y", "x.io/y"]}, {"name": "a", "finalizers": ["plain"]}, {"name": "a", "finalizers": ["orphan", "foregroundDeletion"]},
        {"name": "a", "finalizers": ["kubernetes"]}, {"name": "a", "finalizers": [""]}, {"name": "a", "ownerReferences": [{}]},
        {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "controller": True}, {"apiVersion": "v1", "kind": "Pod", "name": "q", "uid": "v", "controller": True}]},
        {"name": "a", "ownerReferences": [{"apiVersion": "a/b/c", "kind": "Pod", "name": "p", "uid": "u"}]}, {"name": "a", "ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "p", "uid": "u"}]},
        {"name": "a", "managedFields": [{"manager": "x", "operation": "Odd"}]}, {"name": "a", "resourceVersion": "0"}, {"name": "a", "resourceVersion": "x"}, {},
    )  # fmt: skip
    steps = []
    for number, metadata in enumerate(cases):
        body = {"metadata": metadata}
        steps.append(Step("POST", f"{path}?dryRun=All", body, label=f"create {number}"))
        steps.append(
            Step(
                "PATCH",
                f"{path}/a?dryRun=All&fieldManager=m",
                {"apiVersion": "v1", "kind": "ConfigMap", **body},
                APPLY,
                label=f"apply {number}",
            )
        )
    steps.append(Step("POST", path, config_map("a", finalizers=["x.io/a"])))
    for number, metadata in enumerate(cases):
        steps.append(Step("PATCH", f"{path}/a?dryRun=All", {"metadata": metadata}, MERGE, label=f"merge {number}"))
        steps.append(Step("PUT", f"{path}/a?dryRun=All", {"metadata": metadata}, label=f"put {number}"))
    for plural, name in (
        ("namespaces", "a" * 64), ("namespaces", "a.b"), ("nodes", "A"), ("persistentvolumes", "x_y"), ("namespaces", "default"),
    ):  # fmt: skip
        steps.append(
            Step("POST", f"/api/v1/{plural}?dryRun=All", {"metadata": {"name": name}}, label=f"{plural} {name[:9]}")
        )
    for plural, name in (
        ("services", "1a"),
        ("services", "a.b"),
        ("pods", "A"),
        ("serviceaccounts", "a:b"),
        ("secrets", "a.b-"),
    ):
        steps.append(
            Step(
                "POST",
                f"{path.rsplit('/', 1)[0]}/{plural}?dryRun=All",
                {"metadata": {"name": name}},
                label=f"{plural} {name}",
            )
        )
    return Scenario("metadata", steps)


def _deletion() -> Scenario:
    path = maps("deletion")
    one = f"{path}/one"
    bodies: tuple[Any, ...] = (
        {"propagationPolicy": "Foreground"}, {"propagationPolicy": "Orphan"}, {"propagationPolicy": "Background"}, {"propagationPolicy": ""},
        {"orphanDependents": True}, {"orphanDependents": False}, {"orphanDependents": True, "propagationPolicy": "Foreground"}, {"gracePeriodSeconds": -1},
        {"gracePeriodSeconds": 60}, {"gracePeriodSeconds": "x"}, {"preconditions": {"uid": "x", "resourceVersion": "1"}}, {"preconditions": {"resourceVersion": "1"}},
        {"kind": "DeleteOptions", "apiVersion": "v1"}, {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}, {"kind": "Pod", "apiVersion": "v1"}, {"nope": 1},
        {"dryRun": ["All", "All"]}, {"dryRun": ["Some"]}, {"dryRun": "All"}, {"kind": "DeleteOptions", "apiVersion": "apps/v1"},
        {"ignoreStoreReadErrorWithClusterBreakingPotential": True}, {"preconditions": {"uid": None}},
    )  # fmt: skip
    steps = []
    for held in (False, True):
        finalizers = {"finalizers": ["x.io/a"]} if held else {}
        how = "held" if held else "free"
        for number, body in enumerate(bodies):
            if not held and number in (0, 1, 4):
                continue  # only a collector, which is held here, ends them
            steps += [
                Step("POST", path, config_map("one", None, **finalizers), label=f"{how} {number}"),
                Step("DELETE", one, body, label=f"{how} delete {number}"),
                # What a collector would take away stays, or not, where there is one.
                *([] if number in (0, 1, 4) else [Step("GET", one, label=f"{how} left {number}")]),
                Step("PATCH", one, {"metadata": {"finalizers": None}}, MERGE, label=f"{how} release {number}"),
                Step("DELETE", one, {"propagationPolicy": "Background"}, label=f"{how} clean {number}"),
                Step("PATCH", one, {"metadata": {"finalizers": None}}, MERGE, label=f"{how} release again {number}"),
            ]
    for number, query in enumerate((
        "propagationPolicy=Background", "propagationPolicy=Odd", "gracePeriodSeconds=x", "gracePeriodSeconds=5", "orphanDependents=true&propagationPolicy=Orphan",
        "orphanDependents=false", "dryRun=All&dryRun=All", "dryRun=Some", "dryRun=", "preconditions.uid=x", "pretty=true",
    )):  # fmt: skip
        steps += [
            Step("POST", path, config_map("one"), label=f"query {number}"),
            Step("DELETE", f"{one}?{query}", label=f"delete by query {query}"),
            Step("PATCH", one, {"metadata": {"finalizers": None}}, MERGE, label=f"query release {number}"),
            Step("DELETE", one, {"propagationPolicy": "Background"}, label=f"query clean {number}"),
        ]
    pods = f"/api/v1/namespaces/{namespace_of('deletion')}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"nodeName": "compared", "containers": [{"name": "c", "image": "i"}]}}
    for number, body in enumerate(
        (
            {},
            {"gracePeriodSeconds": 7},
            {"gracePeriodSeconds": 0},
            {"gracePeriodSeconds": 1, "propagationPolicy": "Background"},
        )
    ):
        steps += [
            Step("POST", pods, pod, label=f"pod {number}"),
            Step("DELETE", f"{pods}/p", body, label=f"pod delete {number}"),
            Step("DELETE", f"{pods}/p", {"gracePeriodSeconds": 20}, label=f"pod delete longer {number}"),
            Step("DELETE", f"{pods}/p", {"gracePeriodSeconds": 3}, label=f"pod delete shorter {number}"),
            Step("GET", f"{pods}/p", label=f"pod left {number}"),
            Step("PATCH", f"{pods}/p", {"metadata": {"finalizers": None}}, MERGE, label=f"pod release {number}"),
            Step(
                "DELETE",
                f"{pods}/p",
                {"gracePeriodSeconds": 0, "propagationPolicy": "Background"},
                label=f"pod clean {number}",
            ),
        ]
    return Scenario("deletion", steps)


def _garbage() -> Scenario:
    """What the garbage collector leaves: owners and what they own, by each propagation."""
    path = maps("garbage")
    steps = []
    for policy in ("Background", "Foreground", "Orphan"):
        low = policy.lower()
        owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": low, "uid": "<<uid>>", "blockOwnerDeletion": True}
        steps += [
            Step("POST", path, config_map(low), save={"uid": "metadata.uid"}, label=f"{low} owner"),
            Step("POST", path, config_map(f"{low}-owned", ownerReferences=[owner]), label=f"{low} owned"),
            Step("DELETE", f"{path}/{low}", {"propagationPolicy": policy}, label=f"{low} delete"),
            Step("GET", f"{path}/{low}", until=404, label=f"{low} owner is gone"),
        ]
        if policy == "Orphan":
            steps.append(Step("GET", f"{path}/{low}-owned", label=f"{low} owned stays"))
        else:
            steps.append(Step("GET", f"{path}/{low}-owned", until=404, label=f"{low} owned is gone"))
    absent = {"apiVersion": "v1", "kind": "ConfigMap", "name": "absent", "uid": "nobody"}
    steps += [
        Step("POST", path, config_map("orphan", ownerReferences=[absent]), label="owner is absent"),
        Step("GET", f"{path}/orphan", until=404, label="absent owner's is gone"),
        Step("POST", "/api/v1/namespaces", {"metadata": {"name": "compare-ending"}}),
        Step(
            "POST",
            "/api/v1/namespaces/compare-ending/configmaps",
            config_map("held", finalizers=["x.io/a"]),
            label="held",
        ),
        Step("DELETE", "/api/v1/namespaces/compare-ending", label="namespace delete"),
        Step(
            "POST",
            "/api/v1/namespaces/compare-ending/configmaps",
            config_map("late"),
            label="create in an ending namespace",
        ),
        Step("DELETE", "/api/v1/namespaces/compare-ending/configmaps/held", label="delete held"),
        Step(
            "PATCH",
            "/api/v1/namespaces/compare-ending/configmaps/held",
            {"metadata": {"finalizers": None}},
            MERGE,
            label="release held",
        ),
        Step("GET", "/api/v1/namespaces/compare-ending", until=404, label="namespace is gone"),
    ]
    return Scenario("garbage", steps, controllers=True)


DOCUMENTS = (
    "/", "/api", "/api/", "/apis", "/apis/", "/api/v1", "/apis/apps", "/apis/apps/", "/apis/apps/v1", "/apis/nope", "/apis/apps/v2", "/version", "/version/",
    "/healthz", "/healthz/", "/healthz?verbose", "/healthz/ping", "/healthz/nope", "/readyz", "/readyz?verbose=true", "/readyz/ping", "/readyz/etcd", "/livez", "/livez/ping",
    "/livez?exclude=ping", "/nope", "/openapi", "/openapi/v3/nope", "/openapi/v3/apis/nope/v1", "/apis/batch/v1", "/apis/networking.k8s.io/v1", "/apis/policy/v1",
    "/apis/rbac.authorization.k8s.io/v1", "/apis/autoscaling/v1", "/apis/autoscaling/v2", "/apis/storage.k8s.io/v1", "/apis/apiextensions.k8s.io/v1", "/apis/things.compared.io",
    "/apis/things.compared.io/v1", "/apis/events.k8s.io/v1", "/apis/coordination.k8s.io/v1", "/apis/discovery.k8s.io/v1", "/apis/scheduling.k8s.io/v1", "/apis/node.k8s.io/v1",
    "/apis/admissionregistration.k8s.io/v1", "/apis/certificates.k8s.io/v1", "/apis/flowcontrol.apiserver.k8s.io/v1", "/apis/apiregistration.k8s.io/v1", "/apis/resource.k8s.io/v1",
    "/apis/authentication.k8s.io/v1", "/apis/authorization.k8s.io/v1", "/api/v2", "/api/v1/nope", "/api/v1/namespaces/default/nope/x", "/apis/apps/v1/namespaces/default/nope",
    "/api/v1/nodes/nope/proxy", "/api/v1/componentstatuses", "/metrics/nope", "/logs", "/.well-known/openid-configuration/nope", "/openid/v1/nope", "/api/v1/namespaces/default/configmaps/a/b/c",
)  # fmt: skip


def _documents() -> Scenario:
    aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    steps = []
    for path in DOCUMENTS:
        steps.append(Step("GET", path, label=f"get {path}"))
        steps.append(Step("POST", path, {}, label=f"post {path}"))
        steps.append(Step("HEAD", path, label=f"head {path}"))
    for path in ("/api", "/apis", "/api/v1", "/apis/apps", "/version"):
        for accept in (
            aggregated,
            "application/yaml",
            "text/html",
            "application/json;g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList",
        ):
            steps.append(Step("GET", path, accept=accept, label=f"get {path} as {accept[:70]}"))
    return Scenario("documents", steps)
