"""Local accounts: what has to exist at first start, and how a password is changed. Pure: gives objects and patches.

Source: compat 6.4.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from tiphys.identity.passwords import generate_password
from tiphys.model.codec import encode
from tiphys.model.time import format_time
from tiphys.runtime.ids import Ids
from tiphys.runtime.secret import Secret
from tiphys.settings.accounts import account_key
from tiphys.settings.keys import CM, PARAMS_CM, RBAC_CM, SECRET
from tiphys.settings.load import secret_data
from tiphys.settings.values import ADMIN, ApiToken

INITIAL_ADMIN_SECRET = "argocd-initial-admin-secret"  # noqa: S105 - the name of an object
INITIAL_PASSWORD_KEY = "password"  # noqa: S105 - the name of a key

_SIGNING_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class FirstStart:
    """What is missing: objects to create, and a merge patch for argocd-secret if that is there but incomplete."""

    create: tuple[dict[str, Any], ...] = ()
    patch_secret: dict[str, Any] | None = None
    admin_password: Secret | None = None  # the generated one, if one was needed


def plan_first_start(
    namespace: str,
    existing: Mapping[str, Mapping[str, Any] | None],
    *,
    ids: Ids,
    now: datetime,
    hash_password: Callable[[Secret], str],
    admin_enabled: bool = True,
) -> FirstStart:
    """ConfigMaps and Secrets an installation needs, for those of `existing` (by name) that are None or absent.

    A password for admin is generated only when argocd-secret has none and admin is enabled; it is then also kept in
    argocd-initial-admin-secret, whose previous content is replaced by the caller if it exists.
    """
    create = [_config_map(namespace, name) for name in (CM, PARAMS_CM, RBAC_CM) if not existing.get(name)]
    secret = existing.get(SECRET)
    present = secret_data(secret) if secret else {}
    values: dict[str, str] = {}
    if not present.get("server.secretkey"):
        values["server.secretkey"] = ids.token(_SIGNING_KEY_BYTES)
    password: Secret | None = None
    if admin_enabled and not present.get(account_key(ADMIN, "password")):
        password = generate_password(ids)
        values |= password_values(ADMIN, hash_password(password), now)
        create.append(_secret(namespace, INITIAL_ADMIN_SECRET, {INITIAL_PASSWORD_KEY: password.reveal()}))
    if not secret:
        # Before the initial password's Secret: whoever sees that one may log in.
        create.insert(len(create) - (1 if password else 0), _secret(namespace, SECRET, values))
        return FirstStart(tuple(create), None, password)
    return FirstStart(tuple(create), {"data": _encoded(values)} if values else None, password)


def password_values(account: str, password_hash: str, now: datetime) -> dict[str, str]:
    """Keys of argocd-secret that set an account's password; sessions issued before `now` end."""
    return {
        account_key(account, "password"): password_hash,
        account_key(account, "passwordMtime"): format_time(now),
    }


def password_patch(account: str, password_hash: str, now: datetime) -> dict[str, Any]:
    """Merge patch of argocd-secret that sets an account's password."""
    return {"data": _encoded(password_values(account, password_hash, now))}


def tokens_patch(account: str, tokens: Sequence[ApiToken]) -> dict[str, Any]:
    """Merge patch of argocd-secret that sets the list of an account's API tokens; the tokens themselves are not kept."""
    listed = orjson.dumps([encode(token) for token in tokens]).decode()
    return {"data": _encoded({account_key(account, "tokens"): listed})}


def _config_map(namespace: str, name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(namespace, name), "data": {}}


def _secret(namespace: str, name: str, values: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(namespace, name),
        "type": "Opaque",
        "data": _encoded(values),
    }


def _metadata(namespace: str, name: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"}
    return {"name": name, "namespace": namespace, "labels": labels}


def _encoded(values: Mapping[str, str]) -> dict[str, str]:
    return {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
