from __future__ import annotations

from typing import Any

from tests.support.simulated import DEPLOYMENTS, NAMESPACE, PODS, Simulated, deployment_spec, simulated, template

from tiphys.devcluster.workloads.world import (
    AUTOSCALERS,
    BUDGETS,
    CLAIMS,
    DAEMONSETS,
    REVISIONS,
    STATEFULSETS,
    STORAGE_CLASSES,
    VOLUMES,
)

CLAIM: dict[str, Any] = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def stateful(**more: Any) -> dict[str, Any]:
    known = {name: more.pop(name) for name in ("image", "annotations") if name in more}
    return {
        "replicas": 2,
        "serviceName": "x",
        "selector": {"matchLabels": {"app": "web"}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "template": template(**known),
        "volumeClaimTemplates": [CLAIM],
        **more,
    }


def daemon(**more: Any) -> dict[str, Any]:
    return {
        "selector": {"matchLabels": {"app": "web"}},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
        "template": template(**more),
    }


def order(world: Simulated, event: str) -> list[str]:
    return [o["metadata"]["name"] for _, where, kind, o in world.access._history if (where, kind) == (PODS, event)]


async def test_pods_of_a_stateful_set_come_one_after_another_with_bound_claims() -> None:
    async with simulated() as world:
        await world.create(STATEFULSETS, "db", stateful(replicas=3))
        assert order(world, "ADDED") == ["db-0", "db-1", "db-2"]
        pod = world.get(PODS, "db-1")
        revision = world.status(STATEFULSETS, "db")["currentRevision"]
        assert pod["metadata"]["labels"] == {
            "app": "web",
            "apps.kubernetes.io/pod-index": "1",
            "controller-revision-hash": revision,
            "statefulset.kubernetes.io/pod-name": "db-1",
        }
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "x")
        assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}]
        assert {one["metadata"]["name"]: one["status"]["phase"] for one in world.access.objects(CLAIMS)} == {
            f"data-db-{n}": "Bound" for n in range(3)
        }
        assert world.status(STATEFULSETS, "db") == {
            "observedGeneration": 1,
            "replicas": 3,
            "readyReplicas": 3,
            "currentReplicas": 3,
            "updatedReplicas": 3,
            "availableReplicas": 3,
            "currentRevision": revision,
            "updateRevision": revision,
            "collisionCount": 0,
        }


async def test_a_pod_that_is_not_ready_holds_up_those_after_it() -> None:
    async with simulated() as world:
        await world.create(STATEFULSETS, "db", stateful(annotations={"never-ready": "true"}))
        assert order(world, "ADDED") == ["db-0"]


async def test_parallel_pods_do_not_wait_for_each_other() -> None:
    async with simulated() as world:
        spec = stateful(podManagementPolicy="Parallel", annotations={"never-ready": "true"})
        await world.create(STATEFULSETS, "db", spec)
        assert order(world, "ADDED") == ["db-0", "db-1"]


async def test_a_stateful_update_goes_from_the_last_pod_to_the_first_and_ends_with_one_revision() -> None:
    async with simulated() as world:
        await world.create(STATEFULSETS, "db", stateful(replicas=3))
        await world.change(STATEFULSETS, "db", {"spec": {"template": template(image="web:2")}})
        assert order(world, "DELETED") == ["db-2", "db-1", "db-0"]
        status = world.status(STATEFULSETS, "db")
        assert status["currentRevision"] == status["updateRevision"]
        assert (status["updatedReplicas"], status["readyReplicas"]) == (3, 3)
        assert len(world.access.objects(REVISIONS)) == 2


async def test_a_partition_keeps_lower_ordinals_as_they_are() -> None:
    async with simulated() as world:
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
        await world.create(STATEFULSETS, "db", stateful(updateStrategy=strategy))
        await world.change(STATEFULSETS, "db", {"spec": {"template": template(image="web:2")}})
        images = {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in world.pods(app="web")}
        assert images == {"db-0": "web:1", "db-1": "web:2"}
        await world.delete(PODS, "db-0")
        assert world.get(PODS, "db-0")["spec"]["containers"][0]["image"] == "web:1"
        status = world.status(STATEFULSETS, "db")
        assert (status["updatedReplicas"], status["currentReplicas"]) == (1, 1)
        assert status["currentRevision"] != status["updateRevision"]


async def test_scaling_a_stateful_set_down_takes_the_highest_first_and_keeps_claims() -> None:
    async with simulated() as world:
        await world.create(STATEFULSETS, "db", stateful(replicas=3))
        await world.change(STATEFULSETS, "db", {"spec": {"replicas": 1}})
        assert order(world, "DELETED") == ["db-2", "db-1"]
        assert len(world.access.objects(CLAIMS)) == 3


async def test_a_daemon_set_has_a_pod_on_the_node() -> None:
    async with simulated() as world:
        await world.create(DAEMONSETS, "agent", daemon())
        assert world.status(DAEMONSETS, "agent") == {
            "currentNumberScheduled": 1,
            "desiredNumberScheduled": 1,
            "numberAvailable": 1,
            "numberMisscheduled": 0,
            "numberReady": 1,
            "observedGeneration": 1,
            "updatedNumberScheduled": 1,
        }
        await world.change(DAEMONSETS, "agent", {"spec": {"template": template(image="web:2")}})
        (pod,) = world.pods(app="web")
        assert pod["spec"]["containers"][0]["image"] == "web:2"
        assert world.status(DAEMONSETS, "agent")["numberAvailable"] == 1


async def test_a_daemon_set_for_other_nodes_has_no_pod() -> None:
    async with simulated() as world:
        await world.create(DAEMONSETS, "agent", daemon(nodeSelector={"gpu": "yes"}))
        assert world.pods(app="web") == []
        assert world.status(DAEMONSETS, "agent")["desiredNumberScheduled"] == 0


async def test_a_claim_is_bound_to_a_new_volume_and_both_end_together() -> None:
    async with simulated() as world:
        assert [one["metadata"]["name"] for one in world.access.objects(STORAGE_CLASSES)] == ["standard"]
        await world.create(CLAIMS, "data", {**CLAIM["spec"], "storageClassName": "standard"})
        claim = world.get(CLAIMS, "data")
        assert claim["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}}
        volume = world.get(VOLUMES, claim["spec"]["volumeName"])
        assert (volume["status"]["phase"], volume["spec"]["claimRef"]["uid"]) == ("Bound", claim["metadata"]["uid"])
        await world.delete(CLAIMS, "data")
        assert world.access.objects(VOLUMES) == []


async def test_a_claim_in_use_is_kept_until_the_pod_is_gone() -> None:
    async with simulated() as world:
        await world.create(CLAIMS, "data", CLAIM["spec"], finalizers=["kubernetes.io/pvc-protection"])
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        made = template(volumes=volumes)
        await world.create(PODS, "p", made["spec"], **made["metadata"])
        await world.delete(CLAIMS, "data")
        assert world.get(CLAIMS, "data")["metadata"]["deletionTimestamp"]
        await world.delete(PODS, "p")
        assert world.access.objects(CLAIMS) == []


async def test_a_claim_of_an_unknown_class_waits_and_so_does_its_pod() -> None:
    async with simulated() as world:
        await world.create(CLAIMS, "data", {**CLAIM["spec"], "storageClassName": "fast"})
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]
        made = template(volumes=volumes)
        await world.create(PODS, "p", made["spec"], **made["metadata"])
        (scheduled,) = world.status(PODS, "p")["conditions"]
        assert scheduled["message"].endswith("pod has unbound immediate PersistentVolumeClaims. not found")


async def test_an_autoscaler_keeps_replicas_within_its_bounds() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=1))
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
        await world.create(AUTOSCALERS, "web", {"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4})
        assert world.get(DEPLOYMENTS, "web")["spec"]["replicas"] == 2
        await world.change(DEPLOYMENTS, "web", {"spec": {"replicas": 9}})
        assert world.get(DEPLOYMENTS, "web")["spec"]["replicas"] == 4
        conditions = [(one["type"], one["status"]) for one in world.status(AUTOSCALERS, "web")["conditions"]]
        assert conditions == [("AbleToScale", "True"), ("ScalingActive", "True"), ("ScalingLimited", "False")]


async def test_an_autoscaler_without_a_target_says_so() -> None:
    async with simulated() as world:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}
        await world.create(AUTOSCALERS, "web", {"scaleTargetRef": target, "maxReplicas": 4})
        (one,) = world.status(AUTOSCALERS, "web")["conditions"]
        assert (one["status"], one["reason"]) == ("False", "FailedGetScale")


async def test_a_disruption_budget_counts_what_may_be_missing() -> None:
    async with simulated() as world:
        await world.create(BUDGETS, "web", {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}})
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=3))
        status = world.status(BUDGETS, "web")
        assert (status["currentHealthy"], status["desiredHealthy"], status["disruptionsAllowed"]) == (3, 2, 1)
        assert status["conditions"][0]["reason"] == "SufficientPods"
        assert world.get(BUDGETS, "web")["metadata"]["namespace"] == NAMESPACE


async def test_pods_of_a_daemon_set_stay_whatever_happens_to_the_node() -> None:
    mine = {
        "key": "node.kubernetes.io/unreachable",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": 7,
    }
    body = daemon()
    body["template"]["spec"] |= {"hostNetwork": True, "tolerations": [{"operator": "Exists"}, mine]}
    async with simulated() as world:
        await world.create(DAEMONSETS, "agent", body)
        (pod,) = world.pods(app="web")
    rows = [(one.get("key", "").rpartition("/")[2], one.get("effect")) for one in pod["spec"]["tolerations"]]
    assert rows == [
        ("", None),
        ("unreachable", "NoExecute"),
        ("not-ready", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
    ]
    assert not any("tolerationSeconds" in one for one in pod["spec"]["tolerations"])
