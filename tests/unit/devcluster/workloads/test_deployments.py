from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.support.simulated import DEPLOYMENTS, PODS, REPLICASETS, Simulated, deployment_spec, simulated, template

RECREATE = {"type": "Recreate"}


def conditions(status: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(one["type"], one["status"], one["reason"]) for one in status.get("conditions") or ()]


async def statuses(world: Simulated, resource: str, name: str) -> list[dict[str, Any]]:
    return [
        obj.get("status") or {}
        for _, where, _, obj in world.access._history
        if where == resource and obj["metadata"]["name"] == name
    ]


def reasons(history: Sequence[dict[str, Any]], kind: str) -> list[str]:
    """Reasons of a condition in the order they came, without repetitions."""
    seen: list[str] = []
    for status in history:
        for one in status.get("conditions") or ():
            if one["type"] == kind and (not seen or seen[-1] != one["reason"]):
                seen.append(one["reason"])
    return seen


async def test_a_deployment_becomes_available_with_the_reasons_of_the_real_controller() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=2))
        status = world.status(DEPLOYMENTS, "web")
        assert {name: value for name, value in status.items() if name != "conditions"} == {
            "observedGeneration": 1,
            "replicas": 2,
            "updatedReplicas": 2,
            "readyReplicas": 2,
            "availableReplicas": 2,
            "terminatingReplicas": 0,
        }
        assert conditions(status) == [
            ("Available", "True", "MinimumReplicasAvailable"),
            ("Progressing", "True", "NewReplicaSetAvailable"),
        ]
        history = await statuses(world, DEPLOYMENTS, "web")
        assert history[0] == {}
        assert reasons(history, "Progressing") == [
            "NewReplicaSetCreated",
            "ReplicaSetUpdated",
            "NewReplicaSetAvailable",
        ]
        assert reasons(history, "Available") == ["MinimumReplicasUnavailable", "MinimumReplicasAvailable"]


async def test_a_replica_set_carries_hash_revision_and_the_deployments_annotations() -> None:
    async with simulated() as world:
        noted = {"argocd.argoproj.io/tracking-id": "a:b", "kubectl.kubernetes.io/last-applied-configuration": "{}"}
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=3), annotations=noted)
        (one,) = world.access.objects(REPLICASETS)
        digest = one["metadata"]["labels"]["pod-template-hash"]
        assert one["metadata"]["name"] == f"web-{digest}"
        assert one["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
        assert one["metadata"]["annotations"] == {
            "argocd.argoproj.io/tracking-id": "a:b",
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
        }
        assert world.get(DEPLOYMENTS, "web")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "1"
        assert all(pod["metadata"]["labels"]["pod-template-hash"] == digest for pod in world.pods(app="web"))


async def test_a_rolling_update_keeps_enough_available_and_never_too_many() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=8))
        before = len(world.access._history)
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:2")}})
        sizes: dict[str, tuple[int, int]] = {}
        for one in world.access.objects(REPLICASETS):
            sizes[one["metadata"]["name"]] = (0, 0)
        sizes[min(sizes, key=lambda name: _revision(world, name) != "1")] = (8, 8)
        for _, where, _, obj in world.access._history[before:]:
            if where == REPLICASETS:
                available = (obj.get("status") or {}).get("availableReplicas", 0)
                sizes[obj["metadata"]["name"]] = (obj["spec"]["replicas"], available)
                assert sum(wanted for wanted, _ in sizes.values()) <= 10
                assert sum(there for _, there in sizes.values()) >= 6
        assert {pod["spec"]["containers"][0]["image"] for pod in world.pods(app="web")} == {"web:2"}
        assert len(world.pods(app="web")) == 8
        assert conditions(world.status(DEPLOYMENTS, "web"))[1] == ("Progressing", "True", "NewReplicaSetAvailable")


def _revision(world: Simulated, name: str) -> str:
    found: str = world.get(REPLICASETS, name)["metadata"]["annotations"]["deployment.kubernetes.io/revision"]
    return found


async def test_a_bad_image_is_told_by_the_progress_deadline_and_the_old_pods_stay() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=2, progressDeadlineSeconds=30))
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:does-not-exist")}})
        status = world.status(DEPLOYMENTS, "web")
        assert status["updatedReplicas"] == 1
        assert ("Progressing", "True", "ReplicaSetUpdated") in conditions(status)
        await world.pass_time(29)
        assert ("Progressing", "True", "ReplicaSetUpdated") in conditions(world.status(DEPLOYMENTS, "web"))
        await world.pass_time(3)
        status = world.status(DEPLOYMENTS, "web")
        assert conditions(status) == [
            ("Available", "True", "MinimumReplicasAvailable"),
            ("Progressing", "False", "ProgressDeadlineExceeded"),
        ]
        assert (status["replicas"], status["availableReplicas"], status["unavailableReplicas"]) == (3, 2, 1)


async def test_a_repaired_image_completes_a_rollout_that_had_timed_out() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(progressDeadlineSeconds=10, image="broken:1"))
        await world.pass_time(15)
        assert ("Progressing", "False", "ProgressDeadlineExceeded") in conditions(world.status(DEPLOYMENTS, "web"))
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:1")}})
        await world.quiet()
        assert conditions(world.status(DEPLOYMENTS, "web"))[-1] == ("Progressing", "True", "NewReplicaSetAvailable")


async def test_scaling_up_and_down_needs_no_new_replica_set() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=1))
        for wanted in (5, 2, 0, 1):
            await world.change(DEPLOYMENTS, "web", {"spec": {"replicas": wanted}})
            assert len(world.pods(app="web")) == wanted
            assert world.status(DEPLOYMENTS, "web").get("availableReplicas", 0) == wanted
        assert len(world.access.objects(REPLICASETS)) == 1


async def test_recreate_starts_new_pods_when_the_old_are_gone() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=2, strategy=RECREATE))
        before = len(world.access._history)
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:2")}})
        alive = {"web:1": 2, "web:2": 0}
        for _, where, event, obj in world.access._history[before:]:
            if where == PODS and event in ("ADDED", "DELETED"):
                alive[obj["spec"]["containers"][0]["image"]] += 1 if event == "ADDED" else -1
                assert alive["web:2"] == 0 or alive["web:1"] == 0
        assert alive == {"web:1": 0, "web:2": 2}


async def test_going_back_to_an_earlier_template_uses_its_replica_set_again() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        first = world.access.objects(REPLICASETS)[0]["metadata"]["name"]
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:2")}})
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:1")}})
        annotations = world.get(REPLICASETS, first)["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision"] == "3"
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert world.status(REPLICASETS, first)["readyReplicas"] == 2
        assert len(world.access.objects(REPLICASETS)) == 2


async def test_old_replica_sets_beyond_the_history_limit_are_deleted() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(revisionHistoryLimit=1))
        for number in range(2, 6):
            await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image=f"web:{number}")}})
        images = [
            one["spec"]["template"]["spec"]["containers"][0]["image"] for one in world.access.objects(REPLICASETS)
        ]
        assert sorted(images) == ["web:4", "web:5"]


async def test_a_paused_deployment_scales_but_does_not_roll() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        await world.change(DEPLOYMENTS, "web", {"spec": {"paused": True}})
        await world.change(DEPLOYMENTS, "web", {"spec": {"template": template(image="web:2"), "replicas": 3}})
        assert {pod["spec"]["containers"][0]["image"] for pod in world.pods(app="web")} == {"web:1"}
        assert len(world.pods(app="web")) == 3
        assert ("Progressing", "Unknown", "DeploymentPaused") in conditions(world.status(DEPLOYMENTS, "web"))
        await world.change(DEPLOYMENTS, "web", {"spec": {"paused": None}})
        assert {pod["spec"]["containers"][0]["image"] for pod in world.pods(app="web")} == {"web:2"}
        assert conditions(world.status(DEPLOYMENTS, "web"))[-1] == ("Progressing", "True", "NewReplicaSetAvailable")


async def test_min_ready_seconds_delay_availability() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(minReadySeconds=10))
        status = world.status(DEPLOYMENTS, "web")
        assert (status["readyReplicas"], status.get("availableReplicas")) == (2, None)
        await world.pass_time(12)
        assert world.status(DEPLOYMENTS, "web")["availableReplicas"] == 2


async def test_pods_that_are_refused_are_told_as_a_replica_failure() -> None:
    from tiphys.apimachinery.apierrors import forbidden

    async with simulated() as world:
        world.access.refused[PODS, "create"] = forbidden("pods", "", "", "exceeded quota")
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        failure = next(one for one in world.status(DEPLOYMENTS, "web")["conditions"] if one["type"] == "ReplicaFailure")
        assert (failure["reason"], failure["message"]) == ("FailedCreate", "pods is forbidden: exceeded quota")
        world.access.refused.clear()
        await world.pass_time(20)
        assert conditions(world.status(DEPLOYMENTS, "web")) == [
            ("Available", "True", "MinimumReplicasAvailable"),
            ("Progressing", "True", "NewReplicaSetAvailable"),
        ]


async def test_a_pod_that_is_deleted_is_replaced() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        before = {pod["metadata"]["uid"] for pod in world.pods(app="web")}
        await world.delete(PODS, world.pods(app="web")[0]["metadata"]["name"])
        after = {pod["metadata"]["uid"] for pod in world.pods(app="web")}
        assert len(after) == 2
        assert len(before & after) == 1


async def test_an_expired_watch_loses_nothing_and_doubles_nothing() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        world.access.expire()
        await world.pass_time(5)
        await world.change(DEPLOYMENTS, "web", {"spec": {"replicas": 4}})
        world.access.expire()
        await world.pass_time(5)
        assert len(world.pods(app="web")) == 4
        assert world.status(DEPLOYMENTS, "web")["availableReplicas"] == 4


async def test_a_settled_cluster_is_written_to_no_more() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        before = len(world.access.writes)
        await world.pass_time(1200)
        assert world.access.writes[before:] == []


async def test_a_pod_takes_three_writes_from_nothing_to_ready() -> None:
    async with simulated(events=False) as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=1))
        (pod,) = world.pods(app="web")
        name = pod["metadata"]["name"]
        assert [row for row in world.access.writes if row[2] == name] == [
            ("create", PODS, name),
            ("patch", f"{PODS}/binding", name),
            ("patch", f"{PODS}/status", name),
        ]


@pytest.mark.parametrize("replicas", [1, 3])
async def test_events_say_what_was_scaled_and_created(replicas: int) -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec(replicas=replicas))
        (name,) = [one["metadata"]["name"] for one in world.access.objects(REPLICASETS)]
        assert world.events("ScalingReplicaSet") == [f"Scaled up replica set {name} from 0 to {replicas}"]
        assert len(world.events("SuccessfulCreate")) == replicas
        assert len(world.events("Started")) == replicas


async def test_what_was_left_behind_by_a_deployment_is_taken_over_by_its_successor() -> None:
    async with simulated() as world:
        await world.create(DEPLOYMENTS, "web", deployment_spec())
        (before,) = world.access.objects(REPLICASETS)
        pods = {pod["metadata"]["uid"] for pod in world.pods(app="web")}
        # As an orphaning delete leaves them.
        await world.delete(DEPLOYMENTS, "web")
        await world.change(REPLICASETS, before["metadata"]["name"], {"metadata": {"ownerReferences": None}})
        successor = await world.create(DEPLOYMENTS, "web", deployment_spec())
        (after,) = world.access.objects(REPLICASETS)
        assert after["metadata"]["ownerReferences"][0]["uid"] == successor["metadata"]["uid"]
        assert {pod["metadata"]["uid"] for pod in world.pods(app="web")} == pods
        assert world.status(DEPLOYMENTS, "web")["availableReplicas"] == 2


async def test_an_unreachable_cluster_is_worked_on_when_it_is_back() -> None:
    from tiphys.apimachinery.apierrors import ServiceUnavailable

    async with simulated() as world:
        gone = ServiceUnavailable("cluster is not reachable")
        for resource in (PODS, REPLICASETS, DEPLOYMENTS):
            for verb in ("create", "patch", "delete"):
                world.access.refused[resource, verb] = gone
        body = {
            "metadata": {"name": "web", "namespace": "team", "uid": "u", "generation": 1},
            "spec": deployment_spec(),
        }
        world.access.put(DEPLOYMENTS, body)
        await world.pass_time(3)
        assert world.access.objects(REPLICASETS) == []
        world.access.refused.clear()
        await world.pass_time(20)
        assert world.status(DEPLOYMENTS, "web")["availableReplicas"] == 2
