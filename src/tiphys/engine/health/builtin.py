"""Health of the built-in kinds, one function per kind, as Argo CD decides it.

Each function takes a live object and gives a Health, or None where the kind has none. Messages are wire strings.

Source: compat 4.2 (conditions in order).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tiphys.apimachinery.names import GroupKind
from tiphys.engine.states import Health, HealthStatus

Object = Mapping[str, Any]
Check = Callable[[Object], Health | None]

HEALTHY = Health(HealthStatus.HEALTHY)


def _int(value: object, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _conditions(obj: Object) -> Sequence[Object]:
    found = (obj.get("status") or {}).get("conditions")
    return found if isinstance(found, list) else ()


def _stale(obj: Object) -> bool:
    """The status speaks of an older generation than the spec."""
    generation = _int((obj.get("metadata") or {}).get("generation"))
    return generation > _int((obj.get("status") or {}).get("observedGeneration"))


def _progressing(message: str) -> Health:
    return Health(HealthStatus.PROGRESSING, message)


def _degraded(message: str) -> Health:
    return Health(HealthStatus.DEGRADED, message)


def deployment(obj: Object) -> Health:
    """Health of an apps/v1 Deployment."""
    if str(obj.get("apiVersion")) != "apps/v1":
        return Health(HealthStatus.UNKNOWN, f"unsupported Deployment GVK: {obj.get('apiVersion')}, Kind=Deployment")
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if spec.get("paused"):
        return Health(HealthStatus.SUSPENDED, "Deployment is paused")
    if _stale(obj):
        return _progressing(
            "Waiting for rollout to finish: observed deployment generation less than desired generation"
        )
    for condition in _conditions(obj):
        if condition.get("type") == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            name = (obj.get("metadata") or {}).get("name", "")
            return _degraded(f'Deployment "{name}" exceeded its progress deadline')
    replicas, updated = _int(status.get("replicas")), _int(status.get("updatedReplicas"))
    available = _int(status.get("availableReplicas"))
    wanted = spec.get("replicas")
    if wanted is not None and updated < _int(wanted):
        return _progressing(
            f"Waiting for rollout to finish: {updated} out of {_int(wanted)} new replicas have been updated..."
        )
    if replicas > updated:
        return _progressing(
            f"Waiting for rollout to finish: {replicas - updated} old replicas are pending termination..."
        )
    if available < updated:
        return _progressing(
            f"Waiting for rollout to finish: {available} of {updated} updated replicas are available..."
        )
    return HEALTHY


def replicaset(obj: Object) -> Health:
    """Health of an apps/v1 ReplicaSet."""
    if _stale(obj):
        return _progressing(
            "Waiting for rollout to finish: observed replica set generation less than desired generation"
        )
    for condition in _conditions(obj):
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _degraded(str(condition.get("message") or ""))
    wanted = (obj.get("spec") or {}).get("replicas")
    available = _int((obj.get("status") or {}).get("availableReplicas"))
    if wanted is not None and available < _int(wanted):
        return _progressing(
            f"Waiting for rollout to finish: {available} out of {_int(wanted)} new replicas are available..."
        )
    return HEALTHY


def statefulset(obj: Object) -> Health:
    """Health of an apps/v1 StatefulSet."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if _int(status.get("observedGeneration")) == 0 or _stale(obj):
        return _progressing("Waiting for statefulset spec update to be observed...")
    wanted = spec.get("replicas")
    ready = _int(status.get("readyReplicas"))
    if wanted is not None and ready < _int(wanted):
        return _progressing(f"Waiting for {_int(wanted) - ready} pods to be ready...")
    strategy = spec.get("updateStrategy") or {}
    updated = _int(status.get("updatedReplicas"))
    partition = (strategy.get("rollingUpdate") or {}).get("partition")
    if strategy.get("type") == "RollingUpdate" and partition is not None and wanted is not None:
        due = _int(wanted) - _int(partition)
        if updated < due:
            return _progressing(
                f"Waiting for partitioned roll out to finish: {updated} out of {due} new pods have been updated..."
            )
        return Health(HealthStatus.HEALTHY, f"partitioned roll out complete: {updated} new pods have been updated...")
    if strategy.get("type") == "OnDelete":
        return Health(HealthStatus.HEALTHY, f"statefulset has {ready} ready pods")
    if status.get("updateRevision") != status.get("currentRevision"):
        return _progressing(
            f"waiting for statefulset rolling update to complete {updated} pods at revision {status.get('updateRevision')}..."
        )
    return Health(
        HealthStatus.HEALTHY,
        f"statefulset rolling update complete {_int(status.get('currentReplicas'))} pods at revision "
        f"{status.get('currentRevision')}...",
    )


def daemonset(obj: Object) -> Health:
    """Health of an apps/v1 DaemonSet."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    if _stale(obj):
        return _progressing(
            "Waiting for rollout to finish: observed daemon set generation less than desired generation"
        )
    if (spec.get("updateStrategy") or {}).get("type") == "OnDelete":
        return Health(
            HealthStatus.HEALTHY,
            f"daemon set {_int(status.get('updatedNumberScheduled'))} out of "
            f"{_int(status.get('desiredNumberScheduled'))} new pods have been updated",
        )
    desired = _int(status.get("desiredNumberScheduled"))
    name = (obj.get("metadata") or {}).get("name", "")
    updated, available = _int(status.get("updatedNumberScheduled")), _int(status.get("numberAvailable"))
    if updated < desired:
        return _progressing(
            f'Waiting for daemon set "{name}" rollout to finish: {updated} out of {desired} new pods have been updated...'
        )
    if available < desired:
        return _progressing(
            f'Waiting for daemon set "{name}" rollout to finish: {available} of {desired} updated pods are available...'
        )
    return HEALTHY


def _waiting_error(reason: str) -> bool:
    return reason.startswith("Err") or reason.endswith(("Error", "BackOff"))


def pod(obj: Object) -> Health:
    """Health of a Pod; containers that cannot start make it Degraded when it is to run for ever.

    Source: compat 4.2; gitops-engine pkg/health/health_pod.go.
    Differs: an init container that cannot start counts too, because the Pod will not get further without it.
    """
    metadata, spec, status = obj.get("metadata") or {}, obj.get("spec") or {}, obj.get("status") or {}
    annotations = metadata.get("annotations") or {}
    policy = spec.get("restartPolicy") or "Always"
    hook = "argocd.argoproj.io/hook" in annotations
    forever = policy == "Always" or (annotations.get("argocd.argoproj.io/ignore-restart-policy") == "true" and not hook)
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    if forever:
        messages = [
            str(waiting.get("message") or "")
            for container in containers
            if (waiting := (container.get("state") or {}).get("waiting"))
            and _waiting_error(str(waiting.get("reason") or ""))
        ]
        if messages:
            return _degraded(", ".join(messages))
    phase = status.get("phase")
    message = str(status.get("message") or "")
    if phase == "Pending":
        return _progressing(message)
    if phase == "Succeeded":
        return Health(HealthStatus.HEALTHY, message)
    if phase == "Failed":
        return _degraded(message or _terminated(containers))
    if phase == "Running":
        if not forever:
            return _progressing(message)
        if any(c.get("type") == "Ready" and c.get("status") == "True" for c in _conditions(obj)):
            return Health(HealthStatus.HEALTHY, message)
        if any((c.get("lastState") or {}).get("terminated") for c in status.get("containerStatuses") or ()):
            return _degraded(message)
        return _progressing(message)
    return Health(HealthStatus.UNKNOWN, message)


def _terminated(containers: Sequence[Object]) -> str:
    for container in containers:
        ended = (container.get("state") or {}).get("terminated")
        if not ended:
            continue
        if ended.get("message"):
            return str(ended["message"])
        if ended.get("reason") == "OOMKilled":
            return "OOMKilled"
        code = _int(ended.get("exitCode"))
        if code != 0:
            return f'container "{container.get("name")}" failed with exit code {code}'
    return ""


def persistentvolumeclaim(obj: Object) -> Health:
    """Health of a PersistentVolumeClaim by its phase."""
    phase = (obj.get("status") or {}).get("phase")
    table = {"Lost": HealthStatus.DEGRADED, "Pending": HealthStatus.PROGRESSING, "Bound": HealthStatus.HEALTHY}
    return Health(table.get(str(phase), HealthStatus.UNKNOWN))


def _has_address(obj: Object) -> bool:
    return bool(((obj.get("status") or {}).get("loadBalancer") or {}).get("ingress"))


def service(obj: Object) -> Health:
    """A Service of type LoadBalancer waits for its address; others are Healthy."""
    if (obj.get("spec") or {}).get("type") == "LoadBalancer" and not _has_address(obj):
        return Health(HealthStatus.PROGRESSING)
    return HEALTHY


def ingress(obj: Object) -> Health:
    """An Ingress waits for its address."""
    return HEALTHY if _has_address(obj) else Health(HealthStatus.PROGRESSING)


def job(obj: Object) -> Health:
    """Health of a batch/v1 Job by its conditions; the status value of Failed and Complete is not looked at.

    Source: compat 4.2; gitops-engine pkg/health/health_job.go.
    Differs: a Job that was suspended and goes on is Progressing until it ends, not Healthy, because it has not run yet.
    """
    failed = complete = suspended = False
    fail_message = message = ""
    for condition in _conditions(obj):
        kind = condition.get("type")
        if kind == "Failed":
            failed, complete, fail_message = True, True, str(condition.get("message") or "")
        elif kind == "Complete":
            complete, message = True, str(condition.get("message") or "")
        elif kind == "Suspended":
            message = str(condition.get("message") or "")
            suspended = condition.get("status") == "True"
    if not complete:
        return Health(HealthStatus.SUSPENDED if suspended else HealthStatus.PROGRESSING, message)
    if failed:
        return _degraded(fail_message)
    return Health(HealthStatus.HEALTHY, message)


_METRIC_FAILURES = (
    "FailedGetResourceMetric",
    "FailedGetObjectMetric",
    "FailedGetPodsMetric",
    "FailedGetExternalMetric",
    "FailedComputeMetricsReplicas",
    "InvalidSelector",
)
_HPA_FAILURES = frozenset(
    {("AbleToScale", reason) for reason in ("FailedGetScale", "FailedUpdateScale")}
    | {("ScalingActive", reason) for reason in _METRIC_FAILURES}
)


def horizontalpodautoscaler(obj: Object) -> Health:
    """Health of an HPA: the first condition that says something; version v1 keeps its conditions as JSON in an annotation.

    The order counts: one that may scale is Healthy although a metric it cannot get stands further down.

    Source: compat 4.2; gitops-engine pkg/health/health_hpa.go checkConditions.
    """
    conditions = _conditions(obj)
    if str(obj.get("apiVersion")) == "autoscaling/v1":
        text = ((obj.get("metadata") or {}).get("annotations") or {}).get("autoscaling.alpha.kubernetes.io/conditions")
        try:
            conditions = json.loads(text) if text else ()
        except ValueError as error:
            return Health(HealthStatus.UNKNOWN, f"failed to convert conditions annotation to typed: {error}")
    for condition in conditions:
        kind, message = condition.get("type"), str(condition.get("message") or "")
        if (kind, condition.get("reason")) in _HPA_FAILURES:
            return _degraded(message)
        if kind in ("AbleToScale", "ScalingLimited") and condition.get("status") == "True":
            return Health(HealthStatus.HEALTHY, message)
    return _progressing("Waiting to Autoscale")


def apiservice(obj: Object) -> Health:
    """Health of an APIService by its Available condition."""
    for condition in _conditions(obj):
        if condition.get("type") == "Available":
            text = f"{condition.get('reason', '')}: {condition.get('message', '')}"
            ok = condition.get("status") == "True"
            return Health(HealthStatus.HEALTHY if ok else HealthStatus.PROGRESSING, text)
    return _progressing("Waiting to be processed")


def workflow(obj: Object) -> Health:
    """Health of an Argo Workflow by its phase."""
    status = obj.get("status") or {}
    message = str(status.get("message") or "")
    phase = str(status.get("phase") or "")
    if phase in ("", "Pending", "Running"):
        return _progressing(message)
    if phase == "Succeeded":
        return Health(HealthStatus.HEALTHY, message)
    if phase in ("Failed", "Error"):
        return _degraded(message)
    return Health(HealthStatus.UNKNOWN, message)


def customresourcedefinition(obj: Object) -> Health:
    """A CRD is Healthy when established, its names accepted and its schema structural; that order decides the message.

    Source: argo-cd resource_customizations/apiextensions.k8s.io/CustomResourceDefinition/health.lua.
    """
    found = {str(c.get("type")): c for c in _conditions(obj)}
    if not found:
        return _progressing("Status conditions not found")

    def says(kind: str, word: str) -> bool:
        return kind in found and found[kind].get("status") == word

    def message(kind: str) -> str:
        return str(found[kind].get("message") or "")

    if says("Terminating", "True"):
        return _progressing(f"CRD is terminating: {message('Terminating')}")
    if says("NamesAccepted", "False"):
        return _degraded(f"CRD names have not been accepted: {message('NamesAccepted')}")
    if not says("Established", "True"):
        if found.get("Established", {}).get("reason") == "Installing":
            return _progressing(f"CRD is being installed: {message('Established')}")
        return _degraded("CRD is not established")
    if says("NonStructuralSchema", "True"):
        return _degraded(f"Schema violations found: {message('NonStructuralSchema')}")
    return Health(HealthStatus.HEALTHY, "CRD is healthy")


def cronjob(obj: Object) -> Health:
    """A CronJob is Degraded when a run came after its last success and none is running; a suspended one is Healthy.

    Source: compat 4.2; argo-cd resource_customizations/batch/CronJob/health.lua.
    """
    if (obj.get("spec") or {}).get("suspend") is True:
        return Health(HealthStatus.HEALTHY, "CronJob is Suspended")
    status = obj.get("status")
    if status is None:
        return _progressing("Waiting for CronJob")
    last, success = status.get("lastScheduleTime"), status.get("lastSuccessfulTime")
    if last is None:
        return Health(HealthStatus.HEALTHY, "CronJob has not been scheduled yet")
    if success is None:  # never run to its end, or never successfully: nobody can tell
        return Health(HealthStatus.HEALTHY, "The CronJob never completed successfully. It may not be healthy")
    if status.get("active"):
        return Health(HealthStatus.HEALTHY, "The job is running. Its last execution may not have been successful")
    if str(success) < str(last):
        return _degraded("CronJob has not completed its last execution successfully")
    return Health(HealthStatus.HEALTHY, "CronJob has completed its last execution successfully")


def poddisruptionbudget(obj: Object) -> Health:
    """A PodDisruptionBudget is Degraded when a condition is False for another reason than too few Pods.

    Source: argo-cd resource_customizations/policy/PodDisruptionBudget/health.lua.
    """
    reason = None
    for condition in _conditions(obj):
        reason = condition.get("reason")
        if condition.get("status") == "False" and reason != "InsufficientPods":
            return _degraded(f"PodDisruptionBudget has {reason}")
    if reason is None:
        return _progressing("Waiting for status")
    return Health(HealthStatus.HEALTHY, f"PodDisruptionBudget has {reason}")


CHECKS: Mapping[GroupKind, Check] = {
    GroupKind("apps", "Deployment"): deployment,
    GroupKind("apps", "ReplicaSet"): replicaset,
    GroupKind("apps", "StatefulSet"): statefulset,
    GroupKind("apps", "DaemonSet"): daemonset,
    GroupKind("", "Pod"): pod,
    GroupKind("", "PersistentVolumeClaim"): persistentvolumeclaim,
    GroupKind("", "Service"): service,
    GroupKind("networking.k8s.io", "Ingress"): ingress,
    GroupKind("extensions", "Ingress"): ingress,
    GroupKind("batch", "Job"): job,
    GroupKind("batch", "CronJob"): cronjob,
    GroupKind("autoscaling", "HorizontalPodAutoscaler"): horizontalpodautoscaler,
    GroupKind("apiregistration.k8s.io", "APIService"): apiservice,
    GroupKind("argoproj.io", "Workflow"): workflow,
    GroupKind("apiextensions.k8s.io", "CustomResourceDefinition"): customresourcedefinition,
    GroupKind("policy", "PodDisruptionBudget"): poddisruptionbudget,
}

# Kinds whose controllers say which generation their status speaks of: no settling time is needed after an apply.
KNOWS_GENERATION = frozenset(
    {
        GroupKind("apps", "Deployment"),
        GroupKind("apps", "ReplicaSet"),
        GroupKind("apps", "StatefulSet"),
        GroupKind("apps", "DaemonSet"),
    }
)
