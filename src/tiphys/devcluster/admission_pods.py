"""Admission of Pods: service account and its token, tolerations, priority, limits of the namespace, quality of service."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from tiphys.apimachinery.apierrors import ApiError, forbidden
from tiphys.apimachinery.quantity import parse
from tiphys.devcluster.defaults_pods import FILE_MODE
from tiphys.devcluster.objectmeta import name_before_generation

Json = dict[str, Any]

CREDENTIALS_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
CREDENTIALS_VOLUME: Final = "kube-api-access-"
TOKEN_LIFETIME_S: Final = 3607  # an hour and seven seconds, by which kubelets tell it from a lifetime someone asked for
TOLERATION_S: Final = 300
MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
LIMITS_ANNOTATION: Final = "kubernetes.io/limit-ranger"

SYSTEM_PRIORITIES: Final = {"system-node-critical": 2000001000, "system-cluster-critical": 2000000000}


class Reader(Protocol):
    """Reading the cluster, see `admission.Lookup`."""

    def get(self, resource: str, namespace: str, name: str) -> Mapping[str, Any] | None:
        """One object, None when there is none."""

    def list(self, resource: str, namespace: str | None = None) -> Iterable[Mapping[str, Any]]:
        """All objects of a namespace, or of all with None."""


def admit_pod(pod: Json, lookup: Reader, suffix: Callable[[], str]) -> None:
    """Fill in what the admission plugins of a Pod's creation fill in.

    Raises Forbidden when the service account or the priority class does not exist.

    Source: dev-cluster 2 (pod admission); plugin/pkg/admission/{serviceaccount,defaulttolerationseconds,priority}.
    """
    _limit_ranges(pod, lookup)
    if MIRROR_ANNOTATION not in (pod["metadata"].get("annotations") or {}):
        _service_account(pod, lookup, suffix)
    add_tolerations(pod["spec"])
    _priority(pod, lookup)


def prepare_pod(pod: Json, now: str) -> None:
    """The status a new Pod starts with; `now` is the time of its first condition, if it has one."""
    pod["status"] = {"phase": "Pending", "qosClass": quality_of_service(pod["spec"])}
    if pod["spec"].get("schedulingGates"):
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": now,
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]


def quality_of_service(spec: Mapping[str, Any]) -> str:
    """`Guaranteed` when every container limits CPU and memory to what it requests, `BestEffort` when none asks for any.

    Source: pkg/apis/core/helper/qos ComputePodQOS.
    """
    asked = False
    guaranteed = True
    whole = spec.get("resources")
    parts = [whole] if whole else [one.get("resources") or {} for one in _running(spec)]
    for resources in parts:
        requests = _counted(resources.get("requests"))
        limits = _counted(resources.get("limits"))
        asked = asked or bool(requests or limits)
        if set(limits) != {"cpu", "memory"} or any(requests.get(name) != amount for name, amount in limits.items()):
            guaranteed = False
    if not asked:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _running(spec: Mapping[str, Any]) -> list[Json]:
    return [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]


def _counted(amounts: Mapping[str, str] | None) -> dict[str, str]:
    return {name: amount for name, amount in (amounts or {}).items() if name in ("cpu", "memory") and amount != "0"}


def _service_account(pod: Json, lookup: Reader, suffix: Callable[[], str]) -> None:
    spec, metadata = pod["spec"], pod["metadata"]
    name = spec.get("serviceAccountName") or "default"
    spec["serviceAccountName"] = spec["serviceAccount"] = name
    namespace = metadata.get("namespace", "")
    account = lookup.get("v1/serviceaccounts", namespace, name)
    if account is None:
        missing = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise _refused(pod, missing)
    wanted = spec.get("automountServiceAccountToken")
    if wanted is None:
        wanted = account.get("automountServiceAccountToken")
    if wanted is not False:
        _mount_token(spec, suffix)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(one) for one in account["imagePullSecrets"]]


def _mount_token(spec: Json, suffix: Callable[[], str]) -> None:
    volumes = spec.get("volumes") or []
    name = next((one["name"] for one in volumes if one["name"].startswith(CREDENTIALS_VOLUME)), "")
    existing = bool(name)
    name = name or CREDENTIALS_VOLUME + suffix()
    mounted = False
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        mounts = container.setdefault("volumeMounts", [])
        if not any(one.get("mountPath") == CREDENTIALS_PATH for one in mounts):
            mounts.append({"name": name, "readOnly": True, "mountPath": CREDENTIALS_PATH})
            mounted = True
    if mounted and not existing:
        spec["volumes"] = [*volumes, {"name": name, "projected": _token_sources()}]


def _token_sources() -> Json:
    field = {"apiVersion": "v1", "fieldPath": "metadata.namespace"}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME_S, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": field}]}},
        ],
        "defaultMode": FILE_MODE,
    }


def add_tolerations(spec: Json) -> None:
    """Let a pod stay five minutes on a node that is not ready or not reachable, unless it says otherwise."""
    tolerations = spec.get("tolerations") or []
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(_covers(one, key) for one in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": TOLERATION_S}
            )
    spec["tolerations"] = tolerations


def _covers(toleration: Mapping[str, Any], key: str) -> bool:
    return toleration.get("key", "") in (key, "") and toleration.get("effect", "") in ("NoExecute", "")


def _priority(pod: Json, lookup: Reader) -> None:
    spec = pod["spec"]
    name = spec.get("priorityClassName")
    policy = "PreemptLowerPriority"
    if name:
        found = lookup.get("scheduling.k8s.io/v1/priorityclasses", "", name)
        if found is None and name not in SYSTEM_PRIORITIES:
            raise _refused(pod, f"no PriorityClass with name {name} was found")
        value = SYSTEM_PRIORITIES.get(name, 0) if found is None else found["value"]
        policy = policy if found is None else found.get("preemptionPolicy", policy)
    else:
        marked = [one for one in lookup.list("scheduling.k8s.io/v1/priorityclasses") if one.get("globalDefault")]
        lowest = min(marked, key=lambda one: int(one["value"]), default=None)
        value = 0
        if lowest is not None:
            value = lowest["value"]
            policy = lowest.get("preemptionPolicy", policy)
            spec["priorityClassName"] = lowest["metadata"]["name"]
    if spec.get("priority") not in (None, value):
        given = spec["priority"]
        raise _refused(
            pod,
            f"the integer value of priority ({given}) must not be provided in pod spec; priority admission controller "
            f"computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", policy)


def _limit_ranges(pod: Json, lookup: Reader) -> None:
    """Defaults of the namespace's LimitRanges for containers that name no amounts; the rest is `limitranges`' work."""
    changed: list[str] = []
    ranges = lookup.list("v1/limitranges", pod["metadata"].get("namespace", ""))
    for limit_range in sorted(ranges, key=lambda one: str(one["metadata"]["name"])):
        for item in limit_range.get("spec", {}).get("limits") or ():
            if item.get("type") == "Container":
                for group, word in (("containers", "container"), ("initContainers", "init container")):
                    for container in pod["spec"].get(group) or ():
                        changed += _limit_container(container, item, word)
    if changed:
        annotations = pod["metadata"].setdefault("annotations", {})
        annotations[LIMITS_ANNOTATION] = "LimitRanger plugin set: " + "; ".join(changed)


def _limit_container(container: Json, item: Mapping[str, Any], word: str) -> list[str]:
    said = []
    resources = container.setdefault("resources", {})
    for source, target, what in (("defaultRequest", "requests", "request"), ("default", "limits", "limit")):
        added = {
            name: parse(amount).text
            for name, amount in (item.get(source) or {}).items()
            if name not in resources.get(target, {})
        }
        if added:
            resources.setdefault(target, {}).update(added)
            said.append(f"{', '.join(sorted(added))} {what} for {word} {container.get('name', '')}")
    return said


def _refused(pod: Mapping[str, Any], why: str) -> ApiError:
    return forbidden("pods", "", name_before_generation(pod["metadata"]), why)
