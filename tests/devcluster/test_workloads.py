"""What the simulated controllers and node do, against what the controllers of Kubernetes 1.36 were recorded doing.

With `--cluster=real` the controllers are the real ones and only the node is simulated, so the same expectations judge
the recording itself and the node.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support.environment import Cluster, start_cluster

from tiphys.apimachinery.apierrors import AlreadyExists, NotFound
from tiphys.devcluster.workloads.world import DEPLOYMENTS, JOBS, KINDS, PODS
from tiphys.devenv.kubeaccess import KubeAccess
from tiphys.kube.client import KubeClient
from tiphys.kube.config import read_kubeconfig
from tiphys.runtime.clock import SystemClock

NAMESPACE = "tl"
DELAY = {"embedded.tiphys.dev/start-delay": "0.4"}  # as the kubelet of the recording took

# Reasons by type of condition, in the order of the recording, repetitions left out.
FIRST_ROLLOUT = ["NewReplicaSetCreated", "ReplicaSetUpdated", "NewReplicaSetAvailable"]
BAD_IMAGE = ["NewReplicaSetAvailable", "NewReplicaSetCreated", "ReplicaSetUpdated", "ProgressDeadlineExceeded"]
COMPLETE = [
    ("Available", "True", "MinimumReplicasAvailable"),
    ("Progressing", "True", "NewReplicaSetAvailable"),
]
TIMED_OUT = [
    ("Available", "True", "MinimumReplicasAvailable"),
    ("Progressing", "False", "ProgressDeadlineExceeded"),
]
JOB_DONE = [
    ("SuccessCriteriaMet", "True", "CompletionsReached"),
    ("Complete", "True", "CompletionsReached"),
]
JOB_FAILED = [
    ("FailureTarget", "True", "BackoffLimitExceeded"),
    ("Failed", "True", "BackoffLimitExceeded"),
]

Conditions = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with start_cluster(request.config, tmp_path_factory.mktemp("workloads")) as running:
        yield running


@asynccontextmanager
async def connected(cluster: Cluster) -> AsyncIterator[KubeAccess]:
    clock = SystemClock()
    async with KubeClient(read_kubeconfig(cluster.kubeconfig), user_agent="tests", clock=clock) as client:
        yield KubeAccess(client, manager="tests", kinds=KINDS, clock=clock)


class Observer:
    """Every state of one object from now on, as a watch tells them."""

    def __init__(self, access: KubeAccess, resource: str, namespace: str, name: str) -> None:
        self._access = access
        self._where = (resource, namespace, name)
        self.statuses: list[dict[str, Any]] = []
        self.object: Any = None

    async def until(self, met: Callable[[Any], bool], *, within_s: float = 30.0) -> None:
        """Follow until the object, or its absence (None), is as wanted."""
        resource, namespace, name = self._where
        _, version = await self._access.list(resource, namespace=namespace)
        try:
            self.object = await self._access.get(resource, namespace, name)
        except NotFound:
            self.object = None
        if self.object is not None:
            self.statuses.append(self.object.get("status") or {})
        if met(self.object):
            return
        try:
            async with asyncio.timeout(within_s):
                async for kind, obj in self._access.watch(resource, version):
                    found: Any = obj
                    metadata = found["metadata"]
                    if (metadata.get("namespace"), metadata.get("name")) != (namespace, name) or kind == "BOOKMARK":
                        continue
                    self.object = None if kind == "DELETED" else found
                    self.statuses.append(found.get("status") or {})
                    if met(self.object):
                        return
        except TimeoutError:
            raise AssertionError(f"{self._where} is not as wanted after {within_s} s; last: {self.object}") from None


def conditions(status: dict[str, Any]) -> Conditions:
    return [(one["type"], one["status"], one["reason"]) for one in status.get("conditions") or ()]


def reasons(statuses: list[dict[str, Any]], kind: str) -> list[str]:
    seen: list[str] = []
    for status in statuses:
        for name, _, reason in conditions(status):
            if name == kind and (not seen or seen[-1] != reason):
                seen.append(reason)
    return seen


def has(kind: str, reason: str) -> Callable[[Any], bool]:
    def met(obj: Any) -> bool:
        if obj is None:
            return False
        status = obj.get("status") or {}
        current = status.get("observedGeneration", obj["metadata"].get("generation")) == obj["metadata"].get(
            "generation"
        )
        return current and any((row[0], row[2]) == (kind, reason) for row in conditions(status))

    return met


def template(image: str, **annotations: str) -> dict[str, Any]:
    metadata = {"labels": {"a": "b"}, "annotations": {**DELAY, **annotations}}
    return {"metadata": metadata, "spec": {"containers": [{"name": "c", "image": image}]}}


async def ensure_namespace(access: KubeAccess) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    try:
        await access.create("v1/namespaces", "", body)
    except AlreadyExists:
        pass  # an earlier test made it
    for _ in range(200):
        try:
            await access.get("v1/serviceaccounts", NAMESPACE, "default")
            return
        except NotFound:
            await asyncio.sleep(0.05)
    raise AssertionError("the ServiceAccount default does not appear")


async def create_deployment(access: KubeAccess, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 2,
            "progressDeadlineSeconds": 6,
            "selector": {"matchLabels": {"a": "b"}},
            "template": template("ok:1"),
            **spec,
        },
    }
    await access.create(DEPLOYMENTS, NAMESPACE, body)


async def test_rollouts_take_the_recorded_way_and_a_bad_image_stops_them(cluster: Cluster) -> None:
    async with connected(cluster) as access:
        await ensure_namespace(access)
        first = Observer(access, DEPLOYMENTS, NAMESPACE, "d")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(first.until(has("Progressing", "NewReplicaSetAvailable")))
            await asyncio.sleep(0.2)
            await create_deployment(access, "d")
            await watching
        assert first.statuses[0].get("conditions") is None
        assert reasons(first.statuses, "Progressing") == FIRST_ROLLOUT
        assert reasons(first.statuses, "Available") == ["MinimumReplicasUnavailable", "MinimumReplicasAvailable"]
        assert conditions(first.object["status"]) == COMPLETE
        second = Observer(access, DEPLOYMENTS, NAMESPACE, "d")
        done = has("Progressing", "NewReplicaSetAvailable")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(
                second.until(lambda obj: bool(done(obj) and obj["metadata"]["generation"] == 2))
            )
            await asyncio.sleep(0.2)
            await access.patch(DEPLOYMENTS, NAMESPACE, "d", {"spec": {"template": template("ok:2")}})
            await watching
        assert reasons(second.statuses, "Progressing") == ["NewReplicaSetAvailable", *FIRST_ROLLOUT]
        assert reasons(second.statuses, "Available") == ["MinimumReplicasAvailable"]
        third = Observer(access, DEPLOYMENTS, NAMESPACE, "d")
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(third.until(has("Progressing", "ProgressDeadlineExceeded")))
            await asyncio.sleep(0.2)
            await access.patch(DEPLOYMENTS, NAMESPACE, "d", {"spec": {"template": template("broken:3")}})
            await watching
        seen = reasons(third.statuses, "Progressing")
        if cluster.kind == "real" and "ReplicaSetUpdated" not in seen:
            # Its controller counts the new Pod in the sync that makes it where its informer of ReplicaSets comes late.
            seen.insert(-1, "ReplicaSetUpdated")
        assert seen == BAD_IMAGE
        status = third.object["status"]
        assert conditions(status) == TIMED_OUT
        counted = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "unavailableReplicas")
        assert [status.get(name) for name in counted] == [3, 3, 1, 2, 1]
        assert third.object["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"
        pods, _ = await access.list(PODS, namespace=NAMESPACE, label_selector="a=b")
        waiting = [
            row["state"]["waiting"]["reason"]
            for pod in pods
            for row in (pod["status"].get("containerStatuses") or ())  # type: ignore[attr-defined]
            if "waiting" in row["state"]
        ]
        assert waiting == ["ImagePullBackOff"]
        await access.delete(DEPLOYMENTS, NAMESPACE, "d", propagation="Foreground")
        await Observer(access, DEPLOYMENTS, NAMESPACE, "d").until(lambda obj: obj is None)
        left, _ = await access.list(PODS, namespace=NAMESPACE, label_selector="a=b")
        assert left == []


async def test_scaling_is_seen_in_the_status(cluster: Cluster) -> None:
    async with connected(cluster) as access:
        await ensure_namespace(access)
        await create_deployment(access, "s", replicas=1, progressDeadlineSeconds=600)
        done = has("Progressing", "NewReplicaSetAvailable")
        for generation, wanted in ((1, 1), (2, 4), (3, 2)):
            if generation > 1:
                await access.patch(DEPLOYMENTS, NAMESPACE, "s", {"spec": {"replicas": wanted}})

            def met(obj: Any, generation: int = generation, wanted: int = wanted) -> bool:
                status = (obj or {}).get("status") or {}
                counts = [status.get(name) for name in ("observedGeneration", "replicas", "availableReplicas")]
                return done(obj) and counts == [generation, wanted, wanted]

            seen = Observer(access, DEPLOYMENTS, NAMESPACE, "s")
            await seen.until(met)
            assert conditions(seen.object["status"])[-1][2] in ("NewReplicaSetAvailable", "MinimumReplicasAvailable")
        await access.delete(DEPLOYMENTS, NAMESPACE, "s", propagation="Foreground")


@pytest.mark.parametrize(
    ("name", "command", "expected"),
    [("good", "sleep 0.3; exit 0", JOB_DONE), ("bad", "sleep 0.3; exit 1", JOB_FAILED)],
)
async def test_jobs_end_with_the_recorded_conditions(
    cluster: Cluster, name: str, command: str, expected: Conditions
) -> None:
    async with connected(cluster) as access:
        await ensure_namespace(access)
        container = {"name": "c", "image": "ok:1", "command": ["sh", "-c", command]}
        body = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
        }
        seen = Observer(access, JOBS, NAMESPACE, name)
        last = expected[-1]
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(seen.until(lambda obj: obj is not None and last in conditions(obj["status"])))
            await asyncio.sleep(0.2)
            await access.create(JOBS, NAMESPACE, body)
            await watching
        kinds = [[row[0] for row in conditions(status)] for status in seen.statuses]
        steps = [step for index, step in enumerate(kinds) if index == 0 or step != kinds[index - 1]]
        assert steps == [[], [expected[0][0]], [row[0] for row in expected]]
        assert conditions(seen.object["status"]) == expected
        active = [status.get("active") for status in seen.statuses if status.get("active")]
        assert set(active) == {1}
        assert seen.object["status"]["uncountedTerminatedPods"] == {}
        await access.delete(JOBS, NAMESPACE, name, propagation="Background")
