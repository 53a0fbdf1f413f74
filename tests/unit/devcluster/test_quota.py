"""Quotas: what counts for which, and what is refused when a share is used up; messages as a real API server wrote them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.incluster import Client, incluster, quiet

from tiphys.devcluster.quota import bucket_of, matches, read_share, usage, used_of, why_not

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
PODS = "/api/v1/namespaces/default/pods"
MAPS = "/api/v1/namespaces/default/configmaps"


def container(
    name: str, requests: dict[str, str] | None = None, limits: dict[str, str] | None = None, **more: Any
) -> Any:
    return {"name": name, "image": "i", "resources": {"requests": requests or {}, "limits": limits or {}}, **more}


def pod(name: str = "p", *containers: Any, phase: str = "Running", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {"containers": list(containers) or [container("c")], **spec},
        "status": {"phase": phase},
    }


def quota(hard: dict[str, str], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}}


@pytest.mark.parametrize(
    ("resource", "bucket"),
    [
        ("pods", "pods"),
        ("requests.cpu", "pods"),
        ("limits.memory", "pods"),
        ("requests.nvidia.com/gpu", "pods"),
        ("configmaps", "configmaps"),
        ("services.nodeports", "services"),
        ("requests.storage", "persistentvolumeclaims"),
        ("fast.storageclass.storage.k8s.io/persistentvolumeclaims", "persistentvolumeclaims"),
        ("count/deployments.apps", "deployments.apps"),
        ("count/pods", "pods"),
    ],
)
def test_every_resource_is_used_by_objects_of_one_kind(resource: str, bucket: str) -> None:
    assert bucket_of(resource) == bucket


def test_a_pod_uses_what_its_containers_ask_for_together_or_one_of_its_init_containers_alone() -> None:
    found = usage(
        "pods",
        pod(
            "p",
            container("a", {"cpu": "200m"}, {"memory": "1Gi"}),
            container("b", {"cpu": "300m"}, {"memory": "512Mi"}),
            initContainers=[
                container("i", {"cpu": "900m"}),
                container("j", {"memory": "1Gi"}),
                container("side", {"cpu": "100m"}, restartPolicy="Always"),
            ],
        ),
    )

    assert {name: str(amount) for name, amount in found.items()} == {
        "count/pods": "1",
        "pods": "1",
        "requests.cpu": "900m",
        "cpu": "900m",
        "requests.memory": "1Gi",
        "memory": "1Gi",
        "limits.memory": "1536Mi",
    }


def test_a_pod_that_has_ended_only_counts_as_an_object() -> None:
    assert set(usage("pods", pod("p", container("a", {"cpu": "1"}), phase="Succeeded"))) == {"count/pods"}


@pytest.mark.parametrize(
    ("spec", "nodeports", "balancers"),
    [
        ({"type": "ClusterIP", "ports": [{"port": 80}]}, "0", "0"),
        ({"type": "NodePort", "ports": [{"port": 80}, {"port": 81}]}, "2", "0"),
        ({"type": "LoadBalancer", "ports": [{"port": 80}]}, "1", "1"),
        ({"type": "LoadBalancer", "ports": [{"port": 80}], "allocateLoadBalancerNodePorts": False}, "0", "1"),
    ],
)
def test_a_service_uses_its_node_ports_and_its_load_balancer(spec: Any, nodeports: str, balancers: str) -> None:
    found = usage("services", {"spec": spec})

    assert (str(found["services.nodeports"]), str(found["services.loadbalancers"])) == (nodeports, balancers)


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        ({"scopes": ["BestEffort"]}, True),
        ({"scopes": ["NotBestEffort"]}, False),
        ({"scopes": ["Terminating"]}, False),
        ({"scopes": ["BestEffort", "NotTerminating"]}, True),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, True),
        (
            {
                "scopeSelector": {
                    "matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["x"]}]
                }
            },
            False,
        ),
    ],
)
def test_scopes_choose_the_pods_a_quota_is_about(spec: Any, counted: bool) -> None:
    share = read_share(quota({"pods": "1"}, **spec))

    assert matches(share, "pods", pod(priorityClassName="high")) is counted
    assert not matches(share, "configmaps", {"metadata": {}})


def test_what_is_missing_is_told_as_a_real_server_tells_it() -> None:
    share = read_share(quota({"limits.memory": "1Gi", "pods": "2", "requests.cpu": "1"}))
    silent = pod("p", container("b"), container("a", {"cpu": "1"}))
    large = pod("p", container("a", {"cpu": "400m"}, {"memory": "1Mi"}))
    others = {"pods": [pod("x", container("a", {"cpu": "800m"}))]}

    assert why_not([share], "pods", silent, None, others) == (
        "failed quota: q: must specify limits.memory for: a,b; requests.cpu for: b"
    )
    assert why_not([share], "pods", large, None, others) == (
        "exceeded quota: q, requested: requests.cpu=400m, used: requests.cpu=800m, limited: requests.cpu=1"
    )
    assert why_not([share], "pods", large, None, {}) == ""
    assert {name: str(amount) for name, amount in used_of(share, others).items()} == {
        "limits.memory": "0",
        "pods": "1",
        "requests.cpu": "800m",
    }


async def status_of(client: Client) -> Any:
    await quiet(client.core)
    return (await client.get(f"{QUOTAS}/q"))["status"]


async def test_a_quota_is_kept_to_and_its_status_follows() -> None:
    async with incluster() as client:
        await client.create(QUOTAS, quota({"configmaps": "2", "count/configmaps": "5"}))
        fresh = await status_of(client)
        await client.create(MAPS, {"metadata": {"name": "a"}})
        refused = await client.request("POST", MAPS, {"metadata": {"name": "b"}})
        full = await status_of(client)
        await client.patch(f"{MAPS}/a", {"data": {"x": "y"}})
        await client.request("DELETE", f"{MAPS}/a")
        freed = await status_of(client)

    hard = {"configmaps": "2", "count/configmaps": "5"}
    assert fresh == {"hard": hard, "used": {"configmaps": "1", "count/configmaps": "1"}}
    assert (refused.code, refused.json["message"]) == (
        403,
        'configmaps "b" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2',
    )
    assert full["used"] == {"configmaps": "2", "count/configmaps": "2"}
    assert freed == fresh


async def test_a_service_that_becomes_more_is_judged_by_what_it_becomes() -> None:
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    path = "/api/v1/namespaces/default/services"
    async with incluster() as client:
        await client.create(QUOTAS, quota({"services.nodeports": "0", "services": "2"}))
        await client.create(path, service)
        refused = await client.request(
            "PATCH", f"{path}/s", {"spec": {"type": "NodePort"}}, kind="application/merge-patch+json"
        )
        renamed = await client.patch(f"{path}/s", {"metadata": {"labels": {"a": "b"}}})

    assert refused.json["message"] == (
        'services "s" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=0,'
        " limited: services.nodeports=0"
    )
    assert renamed.json["metadata"]["labels"] == {"a": "b"}
