"""/api/v1/account: own password, what one may do, the list of accounts.

Source: compat 6.4.
"""

from __future__ import annotations

from typing import Any

from tiphys.identity.accounts import password_patch
from tiphys.identity.passwords import hash_password, is_acceptable
from tiphys.identity.tokens import ISSUER
from tiphys.policy.rbac import ACTIONS, RESOURCES, is_project_subject
from tiphys.runtime.secret import Secret
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, invalid_argument
from tiphys.server.http import Response, json_response, text_member
from tiphys.settings.values import Account

_IN_PROJECTS = frozenset(("applications", "applicationsets", "logs", "exec"))


async def update_password(context: Context) -> Response:
    """PUT /account/password: of oneself, or with the right `accounts, update` of another."""
    body = await context.request.json_object()
    name, services = text_member(body, "name"), context.services
    new = Secret(text_member(body, "newPassword"))
    principal = context.principal
    if principal is None:
        raise RequestError(Code.UNAUTHENTICATED, "no session information")
    if not name and is_project_subject(principal.name):
        raise invalid_argument(f'password can only be changed for local users, not user "{principal.name}"')
    account = name or principal.name
    if account != principal.name or principal.issuer != ISSUER:
        context.enforce("accounts", "update", name)
    current = Secret(text_member(body, "currentPassword"))
    if not await services.sessions.verify_password(principal.name, current):
        raise invalid_argument("current password does not match")
    pattern = services.settings().password_pattern
    if not is_acceptable(new, pattern):
        raise invalid_argument(f"New password does not match the following expression: {pattern}.")
    if account not in services.settings().accounts:
        raise RequestError(Code.NOT_FOUND, f"account '{account}' does not exist")
    try:
        hashed = await services.sessions.hash(new, hash_password)
    except ValueError as error:
        raise invalid_argument(str(error)) from None
    await services.secrets.patch_settings_secret(password_patch(account, hashed, services.clock.now()))
    return Response()


async def can_i(context: Context) -> Response:
    """GET /account/can-i/{resource}/{action}/{subresource}: yes or no."""
    params = context.request.params
    resource, action, obj = params["resource"], params["action"], params["subresource"]
    if resource not in RESOURCES:
        raise invalid_argument(f"[{' '.join(RESOURCES)}] does not contain {resource}")
    if action.split("/", 1)[0] not in ACTIONS:
        raise invalid_argument(f"[{' '.join(ACTIONS)}] does not contain {action}")
    if action == "rollback" and not context.services.settings().rollback_enforced:
        action = "sync"
    project = obj.split("/", 1)[0] if resource in _IN_PROJECTS else obj if resource == "projects" else ""
    return json_response({"value": "yes" if context.ask(resource, action, obj, project) else "no"})


async def list_accounts(context: Context) -> Response:
    """GET /account: accounts the caller may see; oneself always."""
    accounts = context.services.settings().accounts
    permissions = context.permissions("accounts", "get")
    shown = [accounts[name] for name in sorted(accounts) if name == context.username or permissions.of(name)]
    return json_response({"items": [_shown(account) for account in shown]})


async def get_account(context: Context) -> Response:
    """GET /account/{name}."""
    name = context.request.params["name"]
    if name != context.username:
        context.enforce("accounts", "get", name)
    account = context.services.settings().accounts.get(name)
    if account is None:
        raise RequestError(Code.NOT_FOUND, f"account '{name}' does not exist")
    return json_response(_shown(account))


def _shown(account: Account) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": account.name, "capabilities": sorted(account.capabilities)}
    if account.enabled:
        shown["enabled"] = True
    if account.tokens:
        shown["tokens"] = [
            {"id": token.id, "issuedAt": token.iat, **({"expiresAt": token.exp} if token.exp else {})}
            for token in account.tokens
        ]
    return shown
