from __future__ import annotations

import random

import pytest
from tests.support.clock import settle
from tests.support.simulated import (
    DEPLOYMENTS,
    JOBS,
    NAMESPACE,
    PODS,
    REPLICASETS,
    Simulated,
    deployment_spec,
    job_spec,
    simulated,
    template,
)

from tiphys.apimachinery.apierrors import ApiError, ServiceUnavailable
from tiphys.devcluster.workloads.world import ENDPOINTS, SERVICES, STATEFULSETS

STEPS = 40


async def disturb(world: Simulated, chance: random.Random, number: int) -> None:
    """One thing users, operators or networks do, while everything else is still under way."""
    access = world.access
    kind = chance.choice((DEPLOYMENTS, STATEFULSETS))
    match chance.randrange(8):
        case 0 | 1:
            await access.patch(kind, NAMESPACE, "web", {"spec": {"replicas": chance.randrange(6)}})
        case 2 | 3:
            spec = {"template": template(image=chance.choice(("web:1", "web:2", f"web:{number}")))}
            await access.patch(kind, NAMESPACE, "web", {"spec": spec})
        case 4:
            pods = access.objects(PODS)
            if pods:
                try:
                    await access.delete(PODS, NAMESPACE, chance.choice(pods)["metadata"]["name"])
                except ApiError:
                    pass  # it went by itself, or deleting is refused now
        case 5:
            access.expire()
        case 6:
            access.refused[chance.choice((PODS, REPLICASETS)), chance.choice(("create", "patch", "delete"))] = (
                ServiceUnavailable("not now")
            )
        case 7:
            access.refused.clear()
            await world.clock.advance(chance.random() * 5, turns=chance.randrange(1, 30))
    await settle(chance.randrange(40))


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_in_between_the_end_is_what_is_wanted(seed: int) -> None:
    chance = random.Random(seed)
    async with simulated(events=False) as world:
        await world.create(SERVICES, "web", {"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=3))
        stateful = {**deployment_spec(replicas=2), "strategy": None, "serviceName": "x"}
        stateful["selector"] = {"matchLabels": {"app": "db"}}
        stateful["updateStrategy"] = {"type": "RollingUpdate"}
        await world.create(STATEFULSETS, "web", stateful)
        await world.create(
            JOBS, "j", job_spec(parallelism=2, completions=3, backoffLimit=100, annotations={"run-seconds": "3"})
        )
        for number in range(STEPS):
            await disturb(world, chance, number)
        world.access.refused.clear()
        await world.pass_time(3000)
        check_end(world)
        before = len(world.access.writes)
        await world.pass_time(600)
        assert world.access.writes[before:] == []


def check_end(world: Simulated) -> None:
    pods = world.access.objects(PODS)
    owned = {name: [p for p in pods if _owner(p) == name] for name in ("ReplicaSet", "StatefulSet", "Job")}
    for resource, kind in ((DEPLOYMENTS, "ReplicaSet"), (STATEFULSETS, "StatefulSet")):
        wanted = world.get(resource, "web")["spec"]
        image = wanted["template"]["spec"]["containers"][0]["image"]
        assert [p["spec"]["containers"][0]["image"] for p in owned[kind]] == [image] * wanted["replicas"]
        status = world.status(resource, "web")
        assert status["observedGeneration"] == world.get(resource, "web")["metadata"]["generation"]
        assert status.get("readyReplicas", 0) == status.get("availableReplicas", 0) == wanted["replicas"]
    addresses = [p["status"]["podIP"] for p in pods if (p.get("status") or {}).get("phase") == "Running"]
    assert len(set(addresses)) == len(addresses)
    subsets = world.get(ENDPOINTS, "web").get("subsets") or []
    assert sorted(row["ip"] for one in subsets for row in one["addresses"]) == sorted(addresses)
    status = world.status(JOBS, "j")
    assert status["succeeded"] == 3
    assert not any(p["metadata"].get("finalizers") for p in owned["Job"])
    assert len([p for p in owned["Job"] if p["status"]["phase"] == "Succeeded"]) <= 3


def _owner(pod: dict[str, object]) -> object:
    metadata = pod["metadata"]
    assert isinstance(metadata, dict)
    return metadata["ownerReferences"][0]["kind"]
