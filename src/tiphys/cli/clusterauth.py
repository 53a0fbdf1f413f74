"""The ServiceAccount that `cluster add` makes in a cluster: its rights and its token.

Source: compat 14 "cluster add"; argo-cd util/clusterauth.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any

from tiphys.apimachinery.apierrors import AlreadyExists, NotFound
from tiphys.kube.client import MERGE, ApiResource, KubeClient
from tiphys.runtime.clock import Clock
from tiphys.runtime.secret import Secret

NAME = "argocd-manager"
SYSTEM_NAMESPACE = "kube-system"
ROLE, BINDING = f"{NAME}-role", f"{NAME}-role-binding"
TOKEN_WITHIN_S = 5.0
TOKEN_LIFE_S = 10 * 365 * 24 * 3600

_RBAC = "rbac.authorization.k8s.io"
SERVICE_ACCOUNTS = ApiResource("", "v1", "ServiceAccount", "serviceaccounts", True)
SECRETS = ApiResource("", "v1", "Secret", "secrets", True)
CLUSTER_ROLES = ApiResource(_RBAC, "v1", "ClusterRole", "clusterroles", False)
CLUSTER_BINDINGS = ApiResource(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False)
ROLES = ApiResource(_RBAC, "v1", "Role", "roles", True)
BINDINGS = ApiResource(_RBAC, "v1", "RoleBinding", "rolebindings", True)

_EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
_EVERY_URL = {"nonResourceURLs": ["*"], "verbs": ["*"]}


class TokenError(Exception):
    """The cluster gave no token for the ServiceAccount."""


async def install(
    client: KubeClient, *, namespace: str, namespaces: Sequence[str], clock: Clock, say: Callable[[str], None]
) -> Secret:
    """Make the ServiceAccount with all rights in the cluster, or in some namespaces only; its token.

    Raises ApiError, ClusterUnreachable, TokenError.
    """
    await _ensure(client, SERVICE_ACCOUNTS, {"metadata": {"name": NAME}}, namespace, say)
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    if not namespaces:
        await _ensure(client, CLUSTER_ROLES, _named(ROLE, rules=[_EVERYTHING, _EVERY_URL]), "", say)
        binding = _named(BINDING, roleRef=_reference("ClusterRole"), subjects=[subject])
        await _ensure(client, CLUSTER_BINDINGS, binding, "", say)
    for one in namespaces:
        await _ensure(client, ROLES, _named(ROLE, rules=[_EVERYTHING]), one, say)
        await _ensure(client, BINDINGS, _named(BINDING, roleRef=_reference("Role"), subjects=[subject]), one, say)
    return await token_of(client, NAME, namespace, clock=clock, say=say)


async def token_of(
    client: KubeClient, account: str, namespace: str, *, clock: Clock, say: Callable[[str], None]
) -> Secret:
    """A token of a ServiceAccount that does not end, from a Secret the cluster fills; one that ends, where none does."""
    name = f"{account}-long-lived-token"
    secret = {
        "metadata": {"name": name, "annotations": {"kubernetes.io/service-account.name": account}},
        "type": "kubernetes.io/service-account-token",
    }
    try:
        await client.create(SECRETS, secret, namespace, field_manager="argocd")
        say(f'Created bearer token secret "{name}" for ServiceAccount "{account}"')
    except AlreadyExists:
        pass
    deadline = clock.monotonic() + TOKEN_WITHIN_S
    while clock.monotonic() < deadline:
        data = (await client.get(SECRETS, name, namespace)).get("data") or {}
        if token := data.get("token"):
            return Secret(base64.b64decode(token).decode())
        await clock.sleep(0.2)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    request["spec"] = {"expirationSeconds": TOKEN_LIFE_S}
    answer = await client.request_json(
        "POST",
        SERVICE_ACCOUNTS.path(namespace, account, "token"),
        body=_json(request),
        content_type="application/json",
    )
    status = answer.get("status") or {}
    if not status.get("token"):
        raise TokenError(f'the cluster gave no token for ServiceAccount "{account}" in namespace "{namespace}"')
    say(f"The cluster does not fill token Secrets: the token ends at {status.get('expirationTimestamp')}")
    return Secret(str(status["token"]))


async def uninstall(client: KubeClient, *, namespace: str) -> None:
    """Take away what `install` made for the whole cluster. Raises ApiError, ClusterUnreachable."""
    for resource, name, where in (
        (CLUSTER_BINDINGS, BINDING, ""),
        (CLUSTER_ROLES, ROLE, ""),
        (SECRETS, f"{NAME}-long-lived-token", namespace),
        (SERVICE_ACCOUNTS, NAME, namespace),
    ):
        try:
            await client.delete(resource, name, where)
        except NotFound:
            continue


async def _ensure(
    client: KubeClient, resource: ApiResource, obj: dict[str, Any], namespace: str, say: Callable[[str], None]
) -> None:
    name = obj["metadata"]["name"]
    where = f' in namespace "{namespace}"' if namespace else ""
    try:
        await client.create(resource, obj, namespace, field_manager="argocd")
        say(f'{resource.kind} "{name}" created{where}')
    except AlreadyExists:
        body = {key: value for key, value in obj.items() if key in ("rules", "subjects")}
        if body:
            await client.patch(resource, name, body, namespace, content_type=MERGE, field_manager="argocd")
            say(f'{resource.kind} "{name}" updated{where}')
        else:
            say(f'{resource.kind} "{name}" already exists{where}')


def _named(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **fields}


def _reference(kind: str) -> dict[str, str]:
    return {"apiGroup": _RBAC, "kind": kind, "name": ROLE}


def _json(value: object) -> bytes:
    import orjson

    return orjson.dumps(value)
