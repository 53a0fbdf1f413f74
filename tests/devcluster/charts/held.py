"""What a cluster holds for one case, as facts that two clusters can share: every object of the namespace, whatever of the
whole cluster bears the case's name, and who owns which of their fields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tests.devcluster.sequences.facets import Facets, facets_of
from tests.devcluster.sequences.recorder import KINDS as FOLLOWED
from tests.devcluster.sequences.recorder import Recorder

from tiphys.apimachinery.apierrors import NotFound
from tiphys.devenv.kubeaccess import KubeAccess
from tiphys.kube.client import KubeClient
from tiphys.kube.config import read_kubeconfig
from tiphys.runtime.clock import SystemClock

KINDS: Final[Mapping[str, str]] = {
    **{name: kind for name, kind in FOLLOWED.items() if kind not in ("Namespace", "PersistentVolume", "Event")},
    "v1/secrets": "Secret",
    "v1/serviceaccounts": "ServiceAccount",
    "v1/limitranges": "LimitRange",
    "networking.k8s.io/v1/networkpolicies": "NetworkPolicy",
    "rbac.authorization.k8s.io/v1/roles": "Role",
    "rbac.authorization.k8s.io/v1/rolebindings": "RoleBinding",
    "charts.example.com/v1/definitions": "Gadget",
}
CLUSTER_KINDS: Final[Mapping[str, str]] = {
    "rbac.authorization.k8s.io/v1/clusterroles": "ClusterRole",
    "rbac.authorization.k8s.io/v1/clusterrolebindings": "ClusterRoleBinding",
    "scheduling.k8s.io/v1/priorityclasses": "PriorityClass",
    "admissionregistration.k8s.io/v1/validatingwebhookconfigurations": "ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/v1/mutatingwebhookconfigurations": "MutatingWebhookConfiguration",
    "apiextensions.k8s.io/v1/customresourcedefinitions": "CustomResourceDefinition",
    "apiregistration.k8s.io/v1/apiservices": "APIService",
    "networking.k8s.io/v1/ingressclasses": "IngressClass",
}
_RELEASE: Final = "helm.sh/release.v1"
_USERS: Final = ("helm", "kubectl")
# Steps in between, which `sequences` compares; numbers that are drawn; helm's times; and the note that a write of endpoints
# bears when it was for a Pod or Service that changed just then, which is a matter of how many changes were taken together.
_TRIGGER_TIME: Final = "last/metadata.annotations.endpoints.kubernetes.io/last-change-trigger-time"
_LEFT_OUT: Final = ("counts/", "conditions/", "phase", "held", "gone", "owners")
_DRAWN: Final = (
    ("Service", "last/spec.healthCheckNodePort"),
    ("Service", "last/status.loadBalancer.ingress[0].ip"),
    ("Secret", "last/metadata.labels.modifiedAt"),
    ("Endpoints", _TRIGGER_TIME),
    ("EndpointSlice", _TRIGGER_TIME),
)

Held = Facets


class _Moment(Recorder):
    """Objects that were read at one moment, as a recorder has them."""

    def __init__(self, objects: Sequence[Any]) -> None:
        self.states = {(one["kind"], one["metadata"]["uid"]): [one] for one in objects}
        self.gone = set()


class Looker:
    """Reads one cluster."""

    def __init__(self, access: KubeAccess) -> None:
        self._access = access

    async def held(self, namespace: str, name: str) -> tuple[Held, list[str]]:
        """What is there of a case, and the names of what is on its way."""
        objects = [one for resource in KINDS for one in await self._list(resource, namespace)]
        for resource in CLUSTER_KINDS:
            objects += [
                {**one, "metadata": {**one["metadata"], "namespace": namespace}}
                for one in await self._list(resource, "")
                if _is_of(name, one["metadata"])
            ]
        moving = [f"{one['kind']} {one['metadata']['name']}" for one in objects if _moves(one)]
        facets = facets_of(_Moment([_plain(one) for one in objects]), namespace, (), ())
        return {
            group: {
                place: value
                for place, value in places.items()
                if not place.startswith(_LEFT_OUT) and (group.partition(" ")[0], place) not in _DRAWN
            }
            for group, places in facets.items()
        }, moving

    async def _list(self, resource: str, namespace: str) -> list[Any]:
        try:
            found: Any
            found, _ = await self._access.list(resource, namespace=namespace)
        except NotFound:
            return []
        kind = {**KINDS, **CLUSTER_KINDS}[resource]
        return [{**one, "kind": kind} for one in found]


def _is_of(name: str, metadata: Any) -> bool:
    """Whether an object of the whole cluster is a case's."""
    if metadata["name"] in (f"charts-{name}", f"{name}.charts.example.com"):
        return True
    return bool((metadata.get("annotations") or {}).get("meta.helm.sh/release-name") == name)


def _moves(obj: Any) -> bool:
    if obj["metadata"].get("deletionTimestamp"):
        return True
    status = obj.get("status") or {}
    if obj["kind"] == "Pod":
        return status.get("phase") == "Pending"
    if obj["kind"] == "Job":
        return not any(one["type"] in ("Complete", "Failed") for one in status.get("conditions") or ())
    return "spec" in obj and status.get("observedGeneration", 0) < 1 and obj["kind"] in ("Deployment", "StatefulSet")


def _plain(obj: Any) -> Any:
    """An object with the fields of its users beside it; a release without its packed content, which has times in it."""
    users = {
        f"{one['manager']} {one['operation']} {one.get('subresource', '')}".strip(): one["fieldsV1"]
        for one in obj["metadata"].get("managedFields") or ()
        if one["manager"].startswith(_USERS)
    }
    plain = {name: value for name, value in obj.items() if name != "data" or obj.get("type") != _RELEASE}
    # The order of Pods is that of their addresses, which are drawn.
    if plain.get("endpoints"):
        plain["endpoints"] = _by_pod(plain["endpoints"])
    if plain.get("subsets"):
        plain["subsets"] = [{**one, "addresses": _by_pod(one.get("addresses") or ())} for one in plain["subsets"]]
    return {**plain, "managed by": users}


def _by_pod(rows: Any) -> list[Any]:
    return sorted(rows, key=lambda row: str((row.get("targetRef") or {}).get("name")))


@asynccontextmanager
async def looking(kubeconfig: Path) -> AsyncIterator[Looker]:
    """Eyes on a cluster."""
    clock = SystemClock()
    async with KubeClient(read_kubeconfig(kubeconfig), user_agent="tests", clock=clock) as client:
        yield Looker(KubeAccess(client, manager="tests", kinds={**KINDS, **CLUSTER_KINDS}, clock=clock))
