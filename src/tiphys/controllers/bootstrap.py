"""What Tiphys needs in a cluster before it can start: namespace, CRDs, the default project, the settings objects.

Only what is absent is made. CRDs that are there are never changed: they may belong to an Argo CD that is to be swapped out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, NotFound
from tiphys.controllers.controlplane import CONFIG_MAPS, PROJECTS, SECRETS
from tiphys.kube.client import ApiResource, KubeClient
from tiphys.model.annotations import PART_OF_LABEL
from tiphys.model.crds import crd_objects
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger

NAMESPACES = ApiResource("", "v1", "Namespace", "namespaces", False)
CRDS = ApiResource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
MANAGER = "argocd-server"
_ESTABLISH_DEADLINE_S = 30.0


class BootstrapError(Exception):
    """The cluster lacks something that could not be made."""


async def prepare(
    client: KubeClient,
    *,
    namespace: str,
    clock: Clock,
    secrets: Iterable[Mapping[str, Any]] = (),
    log: Logger = SILENT,
) -> None:
    """Make what is absent. Raises BootstrapError, ApiError, ClusterUnreachable."""
    await _ensure(client, NAMESPACES, {"metadata": {"name": namespace}}, "", log)
    for crd in crd_objects():
        if await _ensure(client, CRDS, crd, "", log):
            await _until_established(client, str(crd["metadata"]["name"]), clock)
    for name in ("argocd-cm", "argocd-rbac-cm", "argocd-cmd-params-cm"):
        metadata = {"name": name, "namespace": namespace, "labels": {PART_OF_LABEL: "argocd"}}
        await _ensure(client, CONFIG_MAPS, {"metadata": metadata}, namespace, log)
    for secret in secrets:
        await _ensure(client, SECRETS, secret, namespace, log)
    await _ensure(client, PROJECTS, default_project(namespace), namespace, log)


def default_project(namespace: str) -> dict[str, Any]:
    """The project `default`: everything is allowed. Source: compat 5 "default project"."""
    return {
        "metadata": {"name": "default", "namespace": namespace},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }


async def _ensure(
    client: KubeClient, resource: ApiResource, obj: Mapping[str, Any], namespace: str, log: Logger
) -> bool:
    """Make the object if it is absent; True when it was made."""
    name = str(obj["metadata"]["name"])
    try:
        await client.get(resource, name, namespace)
    except NotFound:
        pass
    else:
        return False
    body = {**obj, "apiVersion": resource.api_version, "kind": resource.kind}
    try:
        await client.create(resource, body, namespace, field_manager=MANAGER)
    except AlreadyExists:
        return False
    except ApiError as error:
        raise BootstrapError(f"{resource.plural}/{name} is missing and cannot be made: {error.message}") from error
    log.info("made what was missing", kind=resource.kind, name=name)
    return True


async def _until_established(client: KubeClient, name: str, clock: Clock) -> None:
    deadline = clock.monotonic() + _ESTABLISH_DEADLINE_S
    conditions: list[Any] = []
    while clock.monotonic() < deadline:
        conditions = ((await client.get(CRDS, name)).get("status") or {}).get("conditions") or []
        if any(c.get("type") == "Established" and c.get("status") == "True" for c in conditions):
            return
        await clock.sleep(0.05)
    raise BootstrapError(
        f"{name} was not established within {_ESTABLISH_DEADLINE_S:.0f} s; its conditions: {conditions}"
    )
