"""What is done to a cluster, one coroutine for each story; each has a namespace of its own.

Every step waits for what the one before it brings about, so that the order of what is told is that of the controllers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from tests.devcluster.sequences.recorder import Obj, User

Story = Callable[[User], Awaitable[None]]
STORIES: Final[dict[str, Story]] = {}

DELAY: Final = "0.4"  # seconds a Pod takes to start, so that the states in between can be told
KNOBS: Final = "embedded.tiphys.dev/"


def story(function: Story) -> Story:
    """Make a coroutine a story of its name."""
    STORIES[function.__name__.replace("_", "-")] = function
    return function


# ---- manifests ----


def template(image: str = "ok:1", *, command: str = "", restart: str = "", **knobs: str) -> Obj:
    """A Pod template with the label app=a."""
    container: Obj = {"name": "c", "image": image, "ports": [{"containerPort": 80, "name": "http"}]}
    if command:
        container["command"] = ["sh", "-c", command]
    spec: Obj = {"containers": [container]}
    if restart:
        spec["restartPolicy"] = restart
    notes = {KNOBS + name.replace("_", "-"): value for name, value in {"start_delay": DELAY, **knobs}.items()}
    return {"metadata": {"labels": {"app": "a"}, "annotations": notes}, "spec": spec}


SELECTOR: Final = {"matchLabels": {"app": "a"}}


def workload(replicas: int = 2, **spec: Any) -> Obj:
    """Spec of a Deployment, ReplicaSet or StatefulSet."""
    return {"replicas": replicas, "selector": SELECTOR, "template": template(), **spec}


def job(command: str, *, restart: str = "Never", **spec: Any) -> Obj:
    """Spec of a Job."""
    return {"template": template(command=command, restart=restart), **spec}


CLAIM: Final[Obj] = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


# ---- what to wait for ----


def has(kind: str, reason: str) -> Callable[[Obj], bool]:
    """A condition of this type and reason, told of the latest generation."""

    def met(obj: Obj) -> bool:
        rows = (obj.get("status") or {}).get("conditions") or ()
        return observed(obj) and any((row["type"], row.get("reason", "")) == (kind, reason) for row in rows)

    return met


def observed(obj: Obj) -> bool:
    """Whether the controller has seen the latest spec."""
    generation = obj["metadata"].get("generation")
    return bool((obj.get("status") or {}).get("observedGeneration", generation) == generation)


def status(**wanted: Any) -> Callable[[Obj], bool]:
    """Fields of the status, 0 and absent being one."""

    def met(obj: Obj) -> bool:
        held = obj.get("status") or {}
        return observed(obj) and all((held.get(name) or 0) == value for name, value in wanted.items())

    return met


ROLLED_OUT: Final = has("Progressing", "NewReplicaSetAvailable")


def rolled_out(replicas: int) -> Callable[[Obj], bool]:
    """A rollout is over and nothing of the old is left."""

    def met(obj: Obj) -> bool:
        counts = status(replicas=replicas, updatedReplicas=replicas, availableReplicas=replicas, terminatingReplicas=0)
        return ROLLED_OUT(obj) and counts(obj)

    return met


def image(name: str) -> Obj:
    """A patch that sets the image."""
    return {"spec": {"template": template(name)}}


# ---- Deployments ----


@story
async def rollout(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.patch("Deployment", "d", image("ok:2"))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()


@story
async def bad_image(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2, progressDeadlineSeconds=3))
    await user.until("Deployment", "d", rolled_out(2))
    await user.patch("Deployment", "d", image("broken:1"))
    await user.until("Deployment", "d", has("Progressing", "ProgressDeadlineExceeded"))
    await user.rest()
    await user.patch("Deployment", "d", image("ok:2"))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()


@story
async def never_ready(user: User) -> None:
    await user.create(
        "Deployment", "d", spec=workload(1, progressDeadlineSeconds=3, template=template(never_ready="true"))
    )
    await user.until("Deployment", "d", has("Progressing", "ProgressDeadlineExceeded"))
    await user.rest()


@story
async def scaling(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(1))
    await user.until("Deployment", "d", rolled_out(1))
    for wanted in (4, 2, 0):
        await user.patch("Deployment", "d", {"spec": {"replicas": wanted}})
        await user.until("Deployment", "d", status(replicas=wanted, availableReplicas=wanted, terminatingReplicas=0))
        await user.rest()


@story
async def undo(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.patch("Deployment", "d", image("ok:2"))
    await user.until("Deployment", "d", rolled_out(2))
    await user.patch("Deployment", "d", image("ok:1"))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()


@story
async def paused(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.patch("Deployment", "d", {"spec": {"paused": True}})
    await user.until("Deployment", "d", has("Progressing", "DeploymentPaused"))
    await user.patch("Deployment", "d", image("ok:2"))
    await user.rest()
    await user.patch("Deployment", "d", {"spec": {"replicas": 3}})
    await user.until("Deployment", "d", status(replicas=3, availableReplicas=3))
    await user.rest()
    await user.patch("Deployment", "d", {"spec": {"paused": None}})
    await user.until("Deployment", "d", rolled_out(3))
    await user.rest()


@story
async def recreate(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2, strategy={"type": "Recreate"}))
    await user.until("Deployment", "d", rolled_out(2))
    await user.patch("Deployment", "d", image("ok:2"))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()


@story
async def surge(user: User) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": "50%"}}
    await user.create("Deployment", "d", spec=workload(4, strategy=strategy, revisionHistoryLimit=1, minReadySeconds=1))
    await user.until("Deployment", "d", rolled_out(4))
    for number in (2, 3):
        await user.patch("Deployment", "d", image(f"ok:{number}"))
        await user.until("Deployment", "d", rolled_out(4))
    await user.rest()


@story
async def no_deadline(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(1, progressDeadlineSeconds=2147483647))
    await user.until("Deployment", "d", status(replicas=1, availableReplicas=1))
    await user.rest()


# ---- Pods ----


@story
async def waiting_pods(user: User) -> None:
    """Pods that wait: for a volume, for a node, for what they refer to."""
    await user.create("PersistentVolumeClaim", "nowhere", spec={**CLAIM["spec"], "storageClassName": "no-such"})
    container = {"name": "c", "image": "ok:1"}
    source = {"valueFrom": {"configMapKeyRef": {"name": "lost", "key": "k"}}}
    wanting: dict[str, Obj] = {
        "unbound": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "nowhere"}}]},
        "no-claim": {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "lost"}}]},
        "no-node": {"nodeSelector": {"disk": "none"}},
        "no-secret": {"volumes": [{"name": "v", "secret": {"secretName": "lost"}}]},
        "no-map": {"containers": [{**container, "env": [{"name": "E", **source}]}]},
        "gated": {"readinessGates": [{"conditionType": "example.com/open"}]},
        "held-back": {"schedulingGates": [{"name": "example.com/later"}]},
        "started": {"initContainers": [{**container, "name": "i"}]},
    }
    for name, spec in wanting.items():
        await user.create("Pod", name, spec={"containers": [container], **spec})
    await user.until("Pod", "started", has("Ready", ""))
    await user.rest()


# ---- other sets ----


@story
async def replica_set(user: User) -> None:
    await user.create("ReplicaSet", "r", spec=workload(2))
    await user.until("ReplicaSet", "r", status(replicas=2, availableReplicas=2))
    await user.rest()
    first = str(user.all("Pod")[0]["metadata"]["name"])
    await user.delete("Pod", first)
    await user.until_gone("Pod", first)
    await user.until_count("Pod", 2)
    await user.until("ReplicaSet", "r", status(replicas=2, availableReplicas=2, terminatingReplicas=0))
    await user.rest()


@story
async def stateful_set(user: User) -> None:
    spec = workload(2, serviceName="s", volumeClaimTemplates=[CLAIM])
    await user.create("StatefulSet", "s", spec=spec)
    await user.until("StatefulSet", "s", status(replicas=2, availableReplicas=2))
    await user.rest()
    await user.patch("StatefulSet", "s", image("ok:2"))
    await user.until("StatefulSet", "s", status(replicas=2, availableReplicas=2, updatedReplicas=2, currentReplicas=2))
    await user.rest()
    for wanted in (3, 1):
        await user.patch("StatefulSet", "s", {"spec": {"replicas": wanted}})
        await user.until("StatefulSet", "s", status(replicas=wanted, availableReplicas=wanted))
        await user.rest()
    await user.delete("StatefulSet", "s", "Foreground")
    await user.until_gone("StatefulSet", "s")
    await user.rest()


@story
async def stateful_set_parallel(user: User) -> None:
    spec = workload(3, serviceName="s", podManagementPolicy="Parallel", ordinals={"start": 1})
    await user.create("StatefulSet", "s", spec=spec)
    await user.until("StatefulSet", "s", status(replicas=3, availableReplicas=3))
    await user.rest()


@story
async def stateful_set_partition(user: User) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    await user.create("StatefulSet", "s", spec=workload(2, serviceName="s", updateStrategy=strategy))
    await user.until("StatefulSet", "s", status(replicas=2, availableReplicas=2))
    await user.rest()
    await user.patch("StatefulSet", "s", image("ok:2"))
    await user.until("StatefulSet", "s", status(replicas=2, availableReplicas=2, updatedReplicas=1, currentReplicas=1))
    await user.rest()


@story
async def stateful_set_retention(user: User) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    spec = workload(2, serviceName="s", volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
    await user.create("StatefulSet", "s", spec=spec)
    await user.until("StatefulSet", "s", status(replicas=2, availableReplicas=2))
    await user.rest()
    await user.patch("StatefulSet", "s", {"spec": {"replicas": 1}})
    await user.until_count("PersistentVolumeClaim", 1)
    await user.rest()
    await user.delete("StatefulSet", "s", "Background")
    await user.until_count("PersistentVolumeClaim", 0)
    await user.rest()


@story
async def daemon_set(user: User) -> None:
    await user.create("DaemonSet", "d", spec={"selector": SELECTOR, "template": template()})
    await user.until("DaemonSet", "d", status(numberReady=1, numberAvailable=1, updatedNumberScheduled=1))
    await user.rest()
    await user.patch("DaemonSet", "d", image("ok:2"))
    await user.until("DaemonSet", "d", status(numberReady=1, numberAvailable=1, updatedNumberScheduled=1))
    await user.rest()
    nowhere = {"nodeSelector": {"disk": "none"}}
    await user.patch("DaemonSet", "d", {"spec": {"template": {"spec": nowhere}}})
    await user.until("DaemonSet", "d", status(desiredNumberScheduled=0, currentNumberScheduled=0))
    await user.rest()


# ---- Jobs ----


@story
async def job_success(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 1"))
    await user.until("Job", "j", has("Complete", "CompletionsReached"))
    await user.rest()


@story
async def job_failure(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 1; exit 3", backoffLimit=0))
    await user.until("Job", "j", has("Failed", "BackoffLimitExceeded"))
    await user.rest()


@story
async def job_backoff(user: User) -> None:
    await user.create("Job", "j", spec=job("exit 1", backoffLimit=1))
    await user.until("Job", "j", has("Failed", "BackoffLimitExceeded"))
    await user.rest()


@story
async def job_on_failure(user: User) -> None:
    await user.create("Job", "j", spec=job("exit 1", restart="OnFailure", backoffLimit=1))
    await user.until("Job", "j", has("Failed", "BackoffLimitExceeded"))
    await user.rest()


@story
async def job_parallel(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 1", completions=4, parallelism=2))
    await user.until("Job", "j", has("Complete", "CompletionsReached"))
    await user.rest()


@story
async def job_indexed(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 1", completions=3, parallelism=3, completionMode="Indexed"))
    await user.until("Job", "j", has("Complete", "CompletionsReached"))
    await user.rest()


@story
async def job_deadline(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 60", activeDeadlineSeconds=3))
    await user.until("Job", "j", has("Failed", "DeadlineExceeded"))
    await user.rest()


@story
async def job_suspend(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 6", suspend=True))
    await user.until("Job", "j", has("Suspended", "JobSuspended"))
    await user.patch("Job", "j", {"spec": {"suspend": False}})
    await user.until("Job", "j", lambda obj: (obj["status"].get("ready") or 0) == 1)
    await user.patch("Job", "j", {"spec": {"suspend": True}})
    await user.until_count("Pod", 0)
    await user.rest()
    await user.patch("Job", "j", {"spec": {"suspend": False}})
    await user.until("Job", "j", has("Complete", "CompletionsReached"))
    await user.rest()


@story
async def job_ttl(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 1", ttlSecondsAfterFinished=1))
    await user.until("Job", "j", has("Complete", "CompletionsReached"))
    await user.until_gone("Job", "j")
    await user.rest()


@story
async def job_delete(user: User) -> None:
    await user.create("Job", "j", spec=job("sleep 60"))
    await user.until("Job", "j", lambda obj: ((obj.get("status") or {}).get("ready") or 0) == 1)
    await user.delete("Job", "j", "Background")
    await user.until_count("Pod", 0)
    await user.rest()


@story
async def cron_job(user: User) -> None:
    """A CronJob of which one time has been missed, so that nothing depends on the minute of the test."""
    spec = {
        "schedule": "0 0 1 1 *",
        "suspend": True,
        "jobTemplate": {"metadata": {"labels": {"app": "c"}}, "spec": job("sleep 1")},
    }
    created = await user.create("CronJob", "c", spec=spec)
    year = int(str(created["metadata"]["creationTimestamp"])[:4])
    await user.patch(
        "CronJob", "c", {"status": {"lastScheduleTime": f"{year - 1}-06-01T00:00:00Z"}}, subresource="status"
    )
    await user.patch("CronJob", "c", {"spec": {"suspend": False}})
    await user.until("CronJob", "c", lambda obj: "lastSuccessfulTime" in (obj.get("status") or {}))
    await user.rest()
    # As `kubectl create job --from` makes it.
    owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": "c", "uid": created["metadata"]["uid"]}
    metadata = {
        "annotations": {"cronjob.kubernetes.io/instantiate": "manual"},
        "labels": {"app": "c"},
        "ownerReferences": [{**owner, "controller": True}],
    }
    await user.create("Job", "by-hand", metadata=metadata, spec=job("sleep 1"))
    await user.until("Job", "by-hand", has("Complete", "CompletionsReached"))
    await user.rest()
    await user.delete("CronJob", "c", "Background")
    await user.until_count("Pod", 0)
    await user.rest()


# ---- storage, networks, budgets, autoscaling ----


@story
async def claims(user: User) -> None:
    await user.create("PersistentVolumeClaim", "free", spec=CLAIM["spec"])
    await user.until("PersistentVolumeClaim", "free", status(phase="Bound"))
    await user.create("PersistentVolumeClaim", "used", spec=CLAIM["spec"])
    await user.until("PersistentVolumeClaim", "used", status(phase="Bound"))
    await user.create("PersistentVolumeClaim", "nowhere", spec={**CLAIM["spec"], "storageClassName": "no-such"})
    pod = template()
    pod["spec"]["volumes"] = [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}]
    await user.create("Pod", "p", metadata=pod["metadata"], spec=pod["spec"])
    await user.until("Pod", "p", status(phase="Running"))
    await user.delete("PersistentVolumeClaim", "free")
    await user.delete("PersistentVolumeClaim", "used")
    await user.rest()
    await user.delete("Pod", "p")
    await user.until_gone("PersistentVolumeClaim", "used")
    await user.rest()


@story
async def service(user: User) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    await user.create("Service", "s", metadata={"labels": {"a": "b"}}, spec={"selector": {"app": "a"}, "ports": ports})
    await user.create("Service", "headless", spec={"selector": {"app": "a"}, "clusterIP": "None", "ports": ports})
    await user.create("Service", "without-selector", spec={"ports": ports})
    await user.rest()
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()
    name = sorted(pod["metadata"]["name"] for pod in user.all("Pod"))[0]
    await user.patch("Pod", name, {"metadata": {"annotations": {KNOBS + "never-ready": "true"}}})
    await user.until("Deployment", "d", status(readyReplicas=1))
    await user.rest()
    await user.patch("Pod", name, {"metadata": {"annotations": {KNOBS + "never-ready": None}}})
    await user.until("Deployment", "d", status(readyReplicas=2))
    await user.rest()
    await user.patch("Deployment", "d", {"spec": {"replicas": 0}})
    await user.until_count("Pod", 0)
    await user.rest()
    await user.delete("Service", "s")
    await user.rest()


@story
async def budget(user: User) -> None:
    await user.create("PodDisruptionBudget", "b", spec={"minAvailable": 2, "selector": SELECTOR})
    await user.rest()
    await user.create("Deployment", "d", spec=workload(3))
    await user.until("Deployment", "d", rolled_out(3))
    await user.until("PodDisruptionBudget", "b", status(disruptionsAllowed=1))
    await user.rest()
    names = sorted(pod["metadata"]["name"] for pod in user.all("Pod"))
    await user.evict(names[0])
    await user.evict(names[1])
    await user.until("PodDisruptionBudget", "b", status(disruptionsAllowed=1, currentHealthy=3))
    await user.rest()
    await user.patch("PodDisruptionBudget", "b", {"spec": {"minAvailable": "100%"}})
    await user.until("PodDisruptionBudget", "b", status(disruptionsAllowed=0, desiredHealthy=3))
    await user.evict(names[1])
    await user.rest()


@story
async def budget_max_unavailable(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(3))
    await user.until("Deployment", "d", rolled_out(3))
    await user.create("PodDisruptionBudget", "b", spec={"maxUnavailable": "50%", "selector": SELECTOR})
    await user.until("PodDisruptionBudget", "b", status(disruptionsAllowed=2))
    await user.rest()


@story
async def autoscaler(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(1))
    await user.until("Deployment", "d", rolled_out(1))
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    await user.create(
        "HorizontalPodAutoscaler",
        "h",
        spec={"scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 4, "metrics": [metric]},
    )
    await user.until("Deployment", "d", status(replicas=2, availableReplicas=2))
    await user.rest()
    await user.create(
        "HorizontalPodAutoscaler",
        "lost",
        spec={"scaleTargetRef": {**target, "name": "gone"}, "minReplicas": 2, "maxReplicas": 4},
    )
    await user.until("HorizontalPodAutoscaler", "lost", has("AbleToScale", "FailedGetScale"))
    await user.rest()


# ---- deletion ----


@story
async def delete_foreground(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()
    await user.delete("Deployment", "d", "Foreground")
    await user.until_gone("Deployment", "d")
    await user.rest()


@story
async def delete_background(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()
    await user.delete("Deployment", "d", "Background")
    await user.until_count("Pod", 0)
    await user.rest()


@story
async def delete_orphan(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()
    await user.delete("Deployment", "d", "Orphan")
    await user.until_gone("Deployment", "d")
    await user.rest()
    await user.create("Deployment", "d", spec=workload(2))
    await user.until("Deployment", "d", rolled_out(2))
    await user.rest()


def _owned_by(owner: Mapping[str, Any], *, block: bool = False) -> Obj:
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
    }
    return {**reference, "blockOwnerDeletion": True} if block else reference


@story
async def delete_chain(user: User) -> None:
    """Owners of owners, a finalizer that holds one, and an object with two owners."""
    top = await user.create("ConfigMap", "top")
    other = await user.create("ConfigMap", "other")
    middle = await user.create("ConfigMap", "middle", metadata={"ownerReferences": [_owned_by(top, block=True)]})
    held = {"ownerReferences": [_owned_by(middle, block=True)], "finalizers": ["example.com/held"]}
    await user.create("ConfigMap", "held", metadata=held)
    await user.create(
        "ConfigMap", "shared", metadata={"ownerReferences": [_owned_by(top, block=True), _owned_by(other)]}
    )
    await user.create("ConfigMap", "loose", metadata={"ownerReferences": [_owned_by(top)]})
    lost = {**_owned_by(top), "name": "never", "uid": "11111111-2222-3333-4444-555555555555"}
    await user.create("ConfigMap", "lost", metadata={"ownerReferences": [lost]})
    await user.until_gone("ConfigMap", "lost")
    await user.delete("ConfigMap", "top", "Foreground")
    await user.rest()
    await user.patch("ConfigMap", "held", {"metadata": {"finalizers": None}})
    await user.until_gone("ConfigMap", "top")
    await user.rest()


@story
async def delete_namespace(user: User) -> None:
    await user.create("Deployment", "d", spec=workload(1))
    await user.create("ConfigMap", "held", metadata={"finalizers": ["example.com/held"]})
    await user.until("Deployment", "d", rolled_out(1))
    await user.rest()
    await user.delete("Namespace", user.namespace)
    await user.until("Namespace", user.namespace, has("NamespaceFinalizersRemaining", "SomeFinalizersRemain"))
    await user.rest()
    await user.patch("ConfigMap", "held", {"metadata": {"finalizers": None}})
    await user.until_gone("Namespace", user.namespace)


@story
async def crash_loop(user: User) -> None:
    await user.create(
        "Deployment", "d", spec=workload(1, progressDeadlineSeconds=2, template=template(crash_loop="true"))
    )
    await user.until("Deployment", "d", has("Progressing", "ProgressDeadlineExceeded"))
    await user.rest()


@story
async def refused_pods(user: User) -> None:
    """A ReplicaSet whose Pods are refused: ReplicaFailure all the way up."""
    await user.create(
        "Deployment",
        "d",
        spec=workload(1, template={**template(), "spec": {**template()["spec"], "serviceAccountName": "no-such"}}),
    )
    await user.until("Deployment", "d", has("ReplicaFailure", "FailedCreate"))
    await user.rest(0.6)
