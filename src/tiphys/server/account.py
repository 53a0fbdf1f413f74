"""/api/v1/account: own password, what one may do, the list of accounts.

Source: compat 6.4.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tiphys.identity.accounts import password_patch, tokens_patch
from tiphys.identity.passwords import hash_password, is_acceptable
from tiphys.identity.tokens import ISSUER
from tiphys.policy.rbac import ACTIONS, RESOURCES, is_project_subject
from tiphys.runtime.secret import Secret
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, failed_precondition, invalid_argument
from tiphys.server.http import Response, int_member, json_response, text_member
from tiphys.server.routing import Access
from tiphys.settings.values import CAPABILITY_API_KEY, Account

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
    may = bool(context.ask(resource, action, obj, project))
    if not may and obj == "*" and resource in _IN_PROJECTS:
        may = bool(context.ask(resource, action, "*/*"))  # "any": objects of these are <project>/<name>
    return json_response({"value": "yes" if may else "no"})


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
    return json_response(_shown(_account(context, name)))


async def create_token(context: Context) -> Response:
    """POST /account/{name}/token: a token that speaks for the account, for `expiresIn` seconds or for good."""
    body = await context.request.json_object()
    name, services = context.request.params["name"], context.services
    lifetime, wanted = int_member(body, "expiresIn"), text_member(body, "id")
    async with services.account_lock:
        account = _account(context, name)
        if not account.can(CAPABILITY_API_KEY):
            raise failed_precondition(f"account '{name}' does not have {CAPABILITY_API_KEY} capability")
        if wanted and any(token.id == wanted for token in account.tokens):
            raise invalid_argument(f"account already has token with id '{wanted}'")
        token, issued = services.sessions.issue_key(
            f"{name}:{CAPABILITY_API_KEY}", wanted, timedelta(seconds=lifetime) if lifetime > 0 else None
        )
        await services.secrets.patch_settings_secret(tokens_patch(name, (*account.tokens, issued)))
    return json_response({"token": token})


async def delete_token(context: Context) -> Response:
    """DELETE /account/{name}/token/{id}: the token counts no more."""
    name, token_id, services = context.request.params["name"], context.request.params["id"], context.services
    async with services.account_lock:
        account = _account(context, name)
        kept = tuple(token for token in account.tokens if token.id != token_id)
        if len(kept) == len(account.tokens):
            raise RequestError(Code.NOT_FOUND, f"token with id '{token_id}' does not exist")
        await services.secrets.patch_settings_secret(tokens_patch(name, kept))
    return Response()


async def check_own_account(context: Context) -> None:
    """Everybody may manage the tokens of his own account; others need `accounts, update`."""
    name, principal = context.request.params["name"], context.principal
    if principal is None or principal.name != name or principal.issuer != ISSUER:
        context.enforce("accounts", "update", name)


OWN_ACCOUNT = Access("accounts, update, {name}; one's own account always", check_own_account)


def _account(context: Context, name: str) -> Account:
    account = context.services.settings().accounts.get(name)
    if account is None:
        raise RequestError(Code.NOT_FOUND, f"account '{name}' does not exist")
    return account


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
