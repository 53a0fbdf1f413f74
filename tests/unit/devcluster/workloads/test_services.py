from __future__ import annotations

from typing import Any

from tests.support.simulated import DEPLOYMENTS, NAMESPACE, deployment_spec, simulated

from tiphys.devcluster.workloads.triggertime import ANNOTATION
from tiphys.devcluster.workloads.world import ENDPOINTS, INGRESSES, SERVICES, SLICES, STATEFULSETS

PORTS = [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]
CONTAINER = {"ports": [{"name": "web", "containerPort": 8080, "protocol": "TCP"}]}


def service(**more: Any) -> dict[str, Any]:
    return {"type": "ClusterIP", "selector": {"app": "web"}, "ports": PORTS, **more}


async def test_a_service_has_the_addresses_of_its_ready_pods() -> None:
    async with simulated() as world:
        await world.create(SERVICES, "web", service(), labels={"team": "a"})
        (slice_,) = world.access.objects(SLICES)
        assert slice_.get("endpoints") is None
        await world.create(DEPLOYMENTS, "web", deployment_spec(container=CONTAINER))
        (slice_,) = world.access.objects(SLICES)
        assert slice_["metadata"]["labels"] == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert slice_["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        addresses = sorted(pod["status"]["podIP"] for pod in world.pods(app="web"))
        assert [row["addresses"] for row in slice_["endpoints"]] == [[one] for one in addresses]
        assert all(row["conditions"]["ready"] for row in slice_["endpoints"])
        (subset,) = world.get(ENDPOINTS, "web")["subsets"]
        assert [row["ip"] for row in subset["addresses"]] == addresses
        assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]


async def test_pods_that_are_not_ready_are_kept_apart() -> None:
    async with simulated() as world:
        await world.create(SERVICES, "web", service())
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=1, annotations={"never-ready": "true"}))
        (subset,) = world.get(ENDPOINTS, "web")["subsets"]
        assert "addresses" not in subset
        assert len(subset["notReadyAddresses"]) == 1
        (row,) = world.access.objects(SLICES)[0]["endpoints"]
        assert row["conditions"] == {"ready": False, "serving": False, "terminating": False}


async def test_endpoints_follow_scaling_to_zero_and_the_end_of_the_service() -> None:
    async with simulated() as world:
        await world.create(SERVICES, "web", service())
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        await world.change(DEPLOYMENTS, "web", {"spec": {"replicas": 0}})
        assert world.get(ENDPOINTS, "web").get("subsets") is None
        assert world.access.objects(SLICES)[0].get("endpoints") is None
        await world.delete(SERVICES, "web")
        assert world.access.objects(ENDPOINTS) == []


async def test_pods_are_named_under_the_service_they_say_they_belong_to_and_no_other() -> None:
    async with simulated() as world:
        for name in ("mine", "other"):
            await world.create(SERVICES, name, service(clusterIP="None"))
        spec = {**deployment_spec(replicas=1, container=CONTAINER), "serviceName": "mine"}
        await world.create(STATEFULSETS, "db", spec)
        for name, hostname in (("mine", "db-0"), ("other", None)):
            (subset,) = world.get(ENDPOINTS, name)["subsets"]
            (found,) = [one for one in world.access.objects(SLICES) if one["metadata"]["name"].startswith(name)]
            assert [row.get("hostname") for row in (*subset["addresses"], *found["endpoints"])] == [hostname] * 2


async def test_a_change_is_noted_with_its_time_until_a_change_that_no_pod_brought_about() -> None:
    async with simulated() as world:
        await world.create(SERVICES, "web", service())
        made = world.get(SERVICES, "web")["metadata"]["creationTimestamp"]
        assert world.get(ENDPOINTS, "web")["metadata"]["annotations"] == {ANNOTATION: made}
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=2))
        noted = world.get(ENDPOINTS, "web")["metadata"]["annotations"][ANNOTATION]
        assert noted >= made
        await world.change(DEPLOYMENTS, "web", {"spec": {"replicas": 1}})
        held = [world.get(ENDPOINTS, "web"), *world.access.objects(SLICES)]
        assert [ANNOTATION in (one["metadata"].get("annotations") or {}) for one in held] == [False, False]


async def test_a_service_without_selector_is_left_alone() -> None:
    async with simulated() as world:
        await world.create(SERVICES, "outside", service(selector=None))
        assert world.access.objects(ENDPOINTS) == []
        assert world.access.objects(SLICES) == []


async def test_load_balancers_get_an_address_of_their_own_and_lose_it_with_the_type() -> None:
    async with simulated() as world:
        for name in ("one", "two"):
            await world.create(SERVICES, name, service(type="LoadBalancer"))
        found = {
            one["metadata"]["name"]: one["status"]["loadBalancer"]["ingress"][0]["ip"]
            for one in world.access.objects(SERVICES)
        }
        assert found == {"one": "192.0.2.2", "two": "192.0.2.3"}
        await world.change(SERVICES, "one", {"spec": {"type": "ClusterIP"}})
        assert world.status(SERVICES, "one")["loadBalancer"] == {}


async def test_an_ingress_gets_an_address() -> None:
    async with simulated() as world:
        await world.create(INGRESSES, "web", {"rules": []})
        assert world.status(INGRESSES, "web") == {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
        assert world.get(INGRESSES, "web")["metadata"]["namespace"] == NAMESPACE
