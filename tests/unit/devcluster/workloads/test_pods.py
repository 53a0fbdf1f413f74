from __future__ import annotations

from typing import Any

import pytest
from tests.support.simulated import NAMESPACE, PODS, Simulated, simulated, template

from tiphys.devcluster.workloads import faults, podstatus
from tiphys.devcluster.workloads.pods import HASH_ALPHABET, template_hash


def pod_spec(**more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    made = template(**more)
    return made["spec"], made["metadata"]


async def start(world: Simulated, **more: Any) -> dict[str, Any]:
    spec, metadata = pod_spec(**more)
    await world.create(PODS, "p", spec, **metadata)
    return world.status(PODS, "p")


def ready(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in status["conditions"] if one["type"] == "Ready")
    return found


async def test_a_pod_becomes_ready_at_once() -> None:
    async with simulated() as world:
        status = await start(world)
        assert status["phase"] == "Running"
        assert status["podIP"].startswith("10.244.")
        assert [one["type"] for one in status["conditions"]] == [
            "PodReadyToStartContainers",
            "Initialized",
            "Ready",
            "ContainersReady",
            "PodScheduled",
        ]
        assert all(one["status"] == "True" for one in status["conditions"])
        (row,) = status["containerStatuses"]
        assert (row["ready"], row["started"], row["imageID"]) == (True, True, "simulated://web:1")


async def test_a_slow_start_shows_the_container_being_created() -> None:
    async with simulated() as world:
        status = await start(world, annotations={"start-delay": "5"})
        assert status["phase"] == "Pending"
        assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
        await world.pass_time(5)
        assert ready(world.status(PODS, "p"))["status"] == "True"


@pytest.mark.parametrize("more", [{"image": "app:does-not-exist"}, {"annotations": {"image-pull-failure": "true"}}])
async def test_an_image_that_cannot_be_pulled_is_told_as_the_kubelet_does(more: dict[str, Any]) -> None:
    async with simulated() as world:
        status = await start(world, **more)
        waiting = status["containerStatuses"][0]["state"]["waiting"]
        image = more.get("image", "web:1")
        assert status["phase"] == "Pending"
        assert waiting["reason"] == "ImagePullBackOff"
        assert waiting["message"].startswith(f'Back-off pulling image "{image}": ErrImagePull: ')
        assert ready(status)["message"] == "containers with unready status: [c]"
        assert world.events("BackOff") == [f'Back-off pulling image "{image}"']


async def test_a_pod_recovers_when_its_image_is_set_to_a_good_one() -> None:
    async with simulated() as world:
        await start(world, image="web:broken")
        await world.change(PODS, "p", {"spec": {"containers": [{"name": "c", "image": "web:2"}]}})
        assert ready(world.status(PODS, "p"))["status"] == "True"


async def test_a_crash_loop_restarts_with_growing_pauses() -> None:
    async with simulated() as world:
        await start(world, annotations={"crash-loop": "true"})
        uid = world.get(PODS, "p")["metadata"]["uid"]
        for seconds, restarts, pause in ((0, 1, "10s"), (11, 2, "20s"), (20, 3, "40s"), (40, 4, "1m20s")):
            await world.pass_time(seconds)
            row = world.status(PODS, "p")["containerStatuses"][0]
            message = f"back-off {pause} restarting failed container=c pod=p_{NAMESPACE}({uid})"
            assert row["restartCount"] == restarts
            assert row["state"]["waiting"] == {"reason": "CrashLoopBackOff", "message": message}
            assert row["lastState"]["terminated"]["exitCode"] == 1
        await world.change(PODS, "p", {"metadata": {"annotations": {"embedded.tiphys.dev/crash-loop": None}}})
        assert ready(world.status(PODS, "p"))["status"] == "True"
        assert world.status(PODS, "p")["containerStatuses"][0]["restartCount"] == 4


async def test_a_pod_that_never_gets_ready_runs() -> None:
    async with simulated() as world:
        status = await start(world, annotations={"never-ready": "true"})
        assert status["phase"] == "Running"
        assert (ready(status)["status"], ready(status)["reason"]) == ("False", "ContainersNotReady")


async def test_init_containers_have_ended_and_sidecars_run_beside() -> None:
    async with simulated() as world:
        inits = [{"name": "i", "image": "i:1"}, {"name": "s", "image": "s:1", "restartPolicy": "Always"}]
        status = await start(world, initContainers=inits)
        states = {row["name"]: next(iter(row["state"])) for row in status["initContainerStatuses"]}
        assert states == {"i": "terminated", "s": "running"}


async def test_a_stuck_init_container_holds_up_the_rest() -> None:
    async with simulated() as world:
        status = await start(world, initContainers=[{"name": "i", "image": "broken"}, {"name": "k", "image": "k:1"}])
        reasons = [row["state"]["waiting"]["reason"] for row in status["initContainerStatuses"]]
        assert reasons == ["ImagePullBackOff", "PodInitializing"]
        assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "PodInitializing"
        initialized = next(one for one in status["conditions"] if one["type"] == "Initialized")
        assert initialized["message"] == "containers with incomplete status: [i k]"


@pytest.mark.parametrize(("command", "phase", "code"), [("exit 0", "Succeeded", 0), ("echo x; exit 4", "Failed", 4)])
async def test_a_pod_that_ends_ends_as_its_command_says(command: str, phase: str, code: int) -> None:
    async with simulated() as world:
        status = await start(world, restartPolicy="Never", container={"command": ["sh", "-c", command]})
        assert status["phase"] == phase
        assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == code


async def test_a_container_waits_for_the_secret_it_takes_its_environment_from() -> None:
    async with simulated() as world:
        env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}}]
        status = await start(world, container={"env": env})
        assert status["phase"] == "Pending"
        waiting = status["containerStatuses"][0]["state"]["waiting"]
        assert waiting == {"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}
        await world.access.create("v1/secrets", NAMESPACE, {"metadata": {"name": "s"}, "data": {"b": "MQ=="}})
        await world.pass_time(3)
        waiting = world.status(PODS, "p")["containerStatuses"][0]["state"]["waiting"]
        assert waiting["message"] == f"couldn't find key a in Secret {NAMESPACE}/s"
        await world.access.patch("v1/secrets", NAMESPACE, "s", {"data": {"a": "MQ=="}})
        await world.pass_time(3)
        assert ready(world.status(PODS, "p"))["status"] == "True"


async def test_a_volume_of_a_missing_config_map_keeps_the_container_from_being_made() -> None:
    async with simulated() as world:
        status = await start(world, volumes=[{"name": "v", "configMap": {"name": "c"}}])
        assert status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
        assert world.events("FailedMount") == ['MountVolume.SetUp failed for volume "v" : configmap "c" not found']
        await world.access.create("v1/configmaps", NAMESPACE, {"metadata": {"name": "c"}})
        await world.pass_time(3)
        assert ready(world.status(PODS, "p"))["status"] == "True"


async def test_optional_references_keep_nothing_up() -> None:
    async with simulated() as world:
        volumes = [{"name": "v", "secret": {"secretName": "s", "optional": True}}]
        env_from = [{"configMapRef": {"name": "c", "optional": True}}]
        status = await start(world, volumes=volumes, container={"envFrom": env_from})
        assert ready(status)["status"] == "True"


async def test_a_readiness_gate_keeps_a_pod_from_being_ready_until_it_is_set() -> None:
    async with simulated() as world:
        status = await start(world, readinessGates=[{"conditionType": "example.com/lb"}])
        assert ready(status)["reason"] == "ReadinessGatesNotReady"
        gate = {"type": "example.com/lb", "status": "True"}
        body = {"status": {"conditions": [*status["conditions"], gate]}}
        await world.access.patch(PODS, NAMESPACE, "p", body, subresource="status")
        await world.quiet()
        assert ready(world.status(PODS, "p"))["status"] == "True"
        assert world.status(PODS, "p")["conditions"][-1] == gate


async def test_a_pod_that_asks_for_another_node_is_not_scheduled() -> None:
    async with simulated() as world:
        status = await start(world, nodeSelector={"disk": "fast"})
        (scheduled,) = status["conditions"]
        assert (scheduled["status"], scheduled["reason"]) == ("False", "Unschedulable")
        assert "didn't match Pod's node affinity/selector" in scheduled["message"]


async def test_a_deleted_pod_is_gone_at_once() -> None:
    async with simulated() as world:
        await start(world)
        await world.delete(PODS, "p")
        assert world.access.objects(PODS) == []
        assert world.events("Killing") == ["Stopping container c"]


@pytest.mark.parametrize(
    ("argv", "seconds", "code"),
    [
        (["sh", "-c", "exit 3"], 0, 3),
        (["/bin/sh", "-ec", "echo start && sleep 2\nsleep 1.5"], 3.5, 0),
        (["sleep", "2m"], 120, 0),
        (["false"], 0, 1),
        (["sh", "-c", "false && echo never"], 0, 1),
        (["sh", "-c", "false; echo on"], 0, 0),
        (["sh", "-c", "run-migrations || exit 1"], 0, 0),
        (["sh", "-c", "sleep 5; curl http://x"], 0, 0),
        (["./migrate", "up"], 0, 0),
        ([], 0, 0),
    ],
)
def test_simple_commands_are_foreseen_and_others_succeed_at_once(argv: list[str], seconds: float, code: int) -> None:
    assert faults.foresee({"command": argv}) == faults.Foreseen(seconds, code)


def test_durations_read_as_go_prints_them() -> None:
    assert [podstatus.go_duration(s) for s in (10, 80, 160, 300)] == ["10s", "1m20s", "2m40s", "5m0s"]


def test_the_template_hash_is_stable_and_in_kubernetes_alphabet() -> None:
    one = template_hash({"a": 1, "b": {"c": [1]}})
    assert one == template_hash({"b": {"c": [1], "d": None}, "a": 1})
    assert one != template_hash({"a": 1, "b": {"c": [1]}}, 1)
    assert set(one) <= set(HASH_ALPHABET)
