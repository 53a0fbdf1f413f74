"""What Tiphys needs in a cluster before it can start: namespace, CRDs, the default project, the settings objects.

Only what is absent is made. CRDs that are there are never changed: they may belong to an Argo CD that is to be swapped out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.apimachinery.apierrors import AlreadyExists, ApiError, NotFound
from tiphys.controllers.controlplane import CONFIG_MAPS, PROJECTS, SECRETS
from tiphys.credentials.followed import CERTIFICATES_CM, KNOWN_HOSTS_CM
from tiphys.identity.accounts import INITIAL_ADMIN_SECRET, plan_first_start
from tiphys.identity.passwords import hash_password
from tiphys.kube.client import MERGE, ApiResource, KubeClient
from tiphys.model.annotations import PART_OF_LABEL
from tiphys.model.crds import crd_objects
from tiphys.runtime.clock import Clock
from tiphys.runtime.ids import Ids
from tiphys.runtime.log import SILENT, Logger
from tiphys.settings.keys import CM, PARAMS_CM, RBAC_CM, SECRET
from tiphys.settings.load import load_settings

NAMESPACES = ApiResource("", "v1", "Namespace", "namespaces", False)
CRDS = ApiResource("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False)
MANAGER = "argocd-server"
_ESTABLISH_DEADLINE_S = 30.0


class BootstrapError(Exception):
    """The cluster lacks something that could not be made."""


async def ensure_namespace(client: KubeClient, namespace: str, log: Logger = SILENT) -> None:
    """Make our namespace if it is absent; the Lease that says who prepares the rest stands in it."""
    await _ensure(client, NAMESPACES, {"metadata": {"name": namespace}}, "", log)


async def prepare(client: KubeClient, *, namespace: str, clock: Clock, ids: Ids, log: Logger = SILENT) -> None:
    """Make what is absent in our namespace. Raises BootstrapError, ApiError, ClusterUnreachable."""
    for crd in crd_objects():
        if await _ensure(client, CRDS, crd, "", log):
            await _until_established(client, str(crd["metadata"]["name"]), clock)
    await _prepare_accounts(client, namespace, clock, ids, log)
    for name in (KNOWN_HOSTS_CM, CERTIFICATES_CM):
        labels = {"app.kubernetes.io/name": name, PART_OF_LABEL: "argocd"}
        await _ensure(client, CONFIG_MAPS, {"metadata": {"name": name, "labels": labels}}, namespace, log)
    await _ensure(client, PROJECTS, default_project(namespace), namespace, log)


async def _prepare_accounts(client: KubeClient, namespace: str, clock: Clock, ids: Ids, log: Logger) -> None:
    """Settings objects, signing key and admin password. A generated password is readable in its Secret until deleted."""
    existing: dict[str, Mapping[str, Any] | None] = {}
    for resource, name in ((CONFIG_MAPS, CM), (CONFIG_MAPS, PARAMS_CM), (CONFIG_MAPS, RBAC_CM), (SECRETS, SECRET)):
        try:
            existing[name] = await client.get(resource, name, namespace)
        except NotFound:
            existing[name] = None
    settings = load_settings({name: obj for name, obj in existing.items() if obj is not None}).settings
    missing = plan_first_start(
        namespace,
        existing,
        ids=ids,
        now=clock.now(),
        hash_password=hash_password,
        admin_enabled=settings.admin_enabled,
    )
    for obj in missing.create:
        resource = SECRETS if obj["kind"] == "Secret" else CONFIG_MAPS
        name = str(obj["metadata"]["name"])
        if not await _ensure(client, resource, obj, namespace, log) and name == INITIAL_ADMIN_SECRET:
            await client.patch(
                resource, name, {"data": obj["data"]}, namespace, content_type=MERGE, field_manager=MANAGER
            )
    if missing.patch_secret is not None:
        await client.patch(SECRETS, SECRET, missing.patch_secret, namespace, content_type=MERGE, field_manager=MANAGER)
        log.info("completed argocd-secret")


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
