"""Table answers: columns as recorded, cells as `kubectl get` prints them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.incluster import incluster

from tiphys.devcluster import jsonpath
from tiphys.devcluster.durations import human_duration
from tiphys.devcluster.printers import PRINTERS
from tiphys.devcluster.resources import builtin_registry
from tiphys.devcluster.tables import cells_of, columns_of

NOW = datetime(2026, 1, 1, 1, tzinfo=UTC)
REGISTRY = builtin_registry()
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


def row(name: str, obj: dict[str, Any]) -> dict[str, Any]:
    """Cells by column name."""
    group, version, plural = name.split("/") if name.count("/") == 2 else ("", *name.split("/"))
    resource = REGISTRY.lookup(group, version, plural)
    assert resource is not None
    metadata = {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z", **obj.pop("metadata", {})}
    cells = cells_of(resource, {"metadata": metadata, **obj}, NOW)
    columns = columns_of(resource)
    assert len(cells) == len(columns)
    return {column.name: cell for column, cell in zip(columns, cells, strict=True)}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (192, "3m12s"),
        (600, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (11100, "3h5m"),
        (28800, "8h"),
        (172799, "47h"),
        (172800, "2d"),
        (187200, "2d4h"),
        (691200, "8d"),
        (63072000, "2y"),
        (63072000 + 86400 * 3, "2y3d"),
        (86400 * 365 * 9, "9y"),
    ],
)
def test_durations_are_kubectls(seconds: int, text: str) -> None:
    assert human_duration(seconds) == text


def test_every_resource_with_recorded_columns_fills_them_even_for_an_empty_object() -> None:
    for resource in REGISTRY.buckets():
        cells = cells_of(resource, {"metadata": {"name": "x"}}, NOW)
        extra = resource.bucket == "ipaddresses.networking.k8s.io"  # an age that no column heads
        assert len(cells) == len(columns_of(resource)) + extra, resource


def test_the_common_kinds_have_their_own_printer() -> None:
    assert len(PRINTERS) >= 35
    assert set(PRINTERS) <= {resource.bucket for resource in REGISTRY.buckets()}


def test_deployments() -> None:
    spec = {
        "replicas": 3,
        "selector": {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "t", "operator": "In", "values": ["y", "x"]}],
        },
        "template": {"spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}},
    }
    status = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}

    assert row("apps/v1/deployments", {"spec": spec, "status": status}) == {
        "Name": "x",
        "Ready": "1/3",
        "Up-to-date": 2,
        "Available": 1,
        "Age": "60m",
        "Containers": "c,d",
        "Images": "i,j",
        "Selector": "a=b,t in (x,y)",
    }


def pod(*statuses: dict[str, Any], phase: str = "Running", **more: Any) -> dict[str, Any]:
    containers = [{"name": f"c{number}"} for number in range(len(statuses))]
    return {"spec": {"containers": containers}, "status": {"phase": phase, "containerStatuses": list(statuses)}, **more}


def state(kind: str, *, ready: bool = False, restarts: int = 0, **inner: Any) -> dict[str, Any]:
    return {"ready": ready, "restartCount": restarts, "state": {kind: inner}}


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (pod(phase="Pending"), ("0/0", "Pending", "0")),
        (pod(state("running", ready=True)), ("1/1", "Running", "0")),
        (pod(state("waiting", reason="CrashLoopBackOff", restarts=4)), ("0/1", "CrashLoopBackOff", "4")),
        (pod(state("waiting", reason="ImagePullBackOff"), phase="Pending"), ("0/1", "ImagePullBackOff", "0")),
        (pod(state("terminated", reason="Completed"), phase="Succeeded"), ("0/1", "Completed", "0")),
        (pod(state("terminated", exitCode=3), phase="Failed"), ("0/1", "ExitCode:3", "0")),
        (pod(state("terminated", exitCode=0, signal=9), phase="Failed"), ("0/1", "Signal:9", "0")),
        (
            pod(state("running", ready=True), metadata={"deletionTimestamp": "2026-01-01T00:30:00Z"}),
            ("1/1", "Terminating", "0"),
        ),
    ],
)
def test_pods_summarise_their_containers(obj: dict[str, Any], expected: tuple[str, str, str]) -> None:
    found = row("v1/pods", obj)

    assert (found["Ready"], found["Status"], found["Restarts"]) == expected


def test_a_restart_says_how_long_ago() -> None:
    one = state("running", ready=True, restarts=2)
    one["lastState"] = {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}}

    assert row("v1/pods", pod(one))["Restarts"] == "2 (5m ago)"


def test_init_containers_show_their_progress() -> None:
    spec = {"containers": [{"name": "c"}], "initContainers": [{"name": "i"}, {"name": "j"}]}
    done = {"name": "i", "state": {"terminated": {"exitCode": 0}}}
    running = {"name": "j", "state": {"running": {}}}
    failed = {"name": "j", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}

    for second, text in ((running, "Init:1/2"), (failed, "Init:Error")):
        status = {"phase": "Pending", "initContainerStatuses": [done, second]}
        assert row("v1/pods", {"spec": spec, "status": status})["Status"] == text


@pytest.mark.parametrize(
    ("resource", "obj", "expected"),
    [
        (
            "v1/services",
            {
                "spec": {"type": "NodePort", "clusterIP": "1.2.3.4", "ports": [{"port": 80, "nodePort": 30000}]},
            },
            {"Type": "NodePort", "Cluster-IP": "1.2.3.4", "External-IP": "<none>", "Port(s)": "80:30000/TCP"},
        ),
        ("v1/services", {"spec": {"type": "LoadBalancer"}}, {"External-IP": "<pending>", "Port(s)": "<none>"}),
        (
            "v1/services",
            {"spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": [{"ip": "1.1.1.1"}]}}},
            {"External-IP": "1.1.1.1"},
        ),
        (
            "v1/endpoints",
            {"subsets": [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(4)], "ports": [{"port": 80}]}]},
            {"Endpoints": "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 1 more..."},
        ),
        ("v1/endpoints", {}, {"Endpoints": "<none>"}),
        (
            "networking.k8s.io/v1/ingresses",
            {"spec": {"ingressClassName": "n", "tls": [{}], "rules": [{"host": "a.b"}]}},
            {"Class": "n", "Hosts": "a.b", "Address": "", "Ports": "80, 443"},
        ),
        ("networking.k8s.io/v1/ingresses", {"spec": {}}, {"Class": "<none>", "Hosts": "*", "Ports": "80"}),
        ("v1/configmaps", {"data": {"a": "1"}, "binaryData": {"b": "Yg=="}}, {"Data": 2, "Age": "60m"}),
        (
            "batch/v1/jobs",
            {
                "spec": {"completions": 2},
                "status": {
                    "succeeded": 2,
                    "startTime": "2026-01-01T00:00:00Z",
                    "completionTime": "2026-01-01T00:00:30Z",
                    "conditions": [{"type": "Complete", "status": "True"}],
                },
            },
            {"Status": "Complete", "Completions": "2/2", "Duration": "30s"},
        ),
        ("batch/v1/jobs", {"spec": {"completions": 1}}, {"Status": "Running", "Completions": "0/1", "Duration": ""}),
        (
            "policy/v1/poddisruptionbudgets",
            {"spec": {"minAvailable": "50%"}, "status": {"disruptionsAllowed": 1}},
            {"Min Available": "50%", "Max Unavailable": "N/A", "Allowed Disruptions": 1},
        ),
        (
            "v1/nodes",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/worker": ""}},
                "spec": {"unschedulable": True},
                "status": {"conditions": [{"type": "Ready", "status": "True"}]},
            },
            {"Status": "Ready,SchedulingDisabled", "Roles": "worker"},
        ),
        (
            "v1/events",
            {
                "type": "Normal",
                "reason": "R",
                "message": "m\n",
                "count": 3,
                "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": "2026-01-01T00:59:00Z",
                "involvedObject": {"kind": "Pod", "name": "p"},
            },
            {"Last Seen": "60s (x3 over 60m)", "Object": "pod/p", "Message": "m", "Count": 3},
        ),
        (
            "autoscaling/v2/horizontalpodautoscalers",
            {
                "spec": {
                    "scaleTargetRef": {"kind": "Deployment", "name": "d"},
                    "maxReplicas": 3,
                    "metrics": [
                        {
                            "type": "Resource",
                            "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}},
                        }
                    ],
                }
            },
            {"Reference": "Deployment/d", "Targets": "cpu: <unknown>/50%", "MinPods": "<unset>"},
        ),
    ],
)
def test_cells_are_those_of_kubectl(resource: str, obj: dict[str, Any], expected: dict[str, Any]) -> None:
    found = row(resource, obj)

    assert {name: found[name] for name in expected} == expected


async def test_rows_carry_metadata_unless_something_else_is_asked_for() -> None:
    path = "/api/v1/namespaces/default/configmaps"
    async with incluster() as client:
        partial = await client.get(path, accept=TABLE)
        nothing = await client.get(f"{path}?includeObject=None", accept=TABLE)
        whole = await client.get(f"{path}?includeObject=Object", accept=TABLE)
        metadata = await client.get(
            path, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"
        )

    assert partial["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert nothing["rows"][0]["object"] is None
    assert whole["rows"][0]["object"]["kind"] == "ConfigMap"
    assert metadata["kind"] == "PartialObjectMetadataList"
    assert set(metadata["items"][0]) == {"kind", "apiVersion", "metadata"}


def test_json_paths_of_printer_columns() -> None:
    obj = {
        "spec": {"a.b": 1, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2}]},
        "metadata": {"labels": {"x.io/y": "z"}},
    }
    cases = {
        ".spec.list[0].v": [1],
        ".spec.list[*].v": [1, 2],
        ".spec.list[-1].v": [2],
        '.spec.list[?(@.n=="y")].v': [2],
        ".spec.list[?(@.n!='y')].v": [1],
        ".spec.a\\.b": [1],
        ".spec['a.b']": [1],
        r".metadata.labels.x\.io/y": ["z"],
        ".spec.nope": [],
        "{.spec.list[1].n}": ["y"],
        ".spec.list[(": [],
    }
    assert {path: jsonpath.find(jsonpath.compile_path(path), obj) for path in cases} == cases


def test_ages_move_with_the_clock() -> None:
    resource = REGISTRY.lookup("", "v1", "namespaces")
    assert resource is not None
    obj = {"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Active"}}

    assert cells_of(resource, obj, NOW - timedelta(minutes=59)) == ["x", "Active", "60s"]
