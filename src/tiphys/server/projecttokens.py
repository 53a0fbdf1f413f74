"""/api/v1/projects/{name}/roles/{role}/token: tokens of project roles.

Source: compat 6.3.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from tiphys.apimachinery.apierrors import Conflict
from tiphys.model.appproject import AppProject, JWTToken, JWTTokens, appproject_object, parse_appproject
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, invalid_argument
from tiphys.server.http import Response, int_member, json_response, text_member
from tiphys.server.projects import writer_of

_ATTEMPTS = 5


async def create_token(context: Context) -> Response:
    """POST: a token that speaks for the role, for `expiresIn` seconds or for good."""
    body = await context.request.json_object()
    name, role_name = context.request.params["name"], context.request.params["role"]
    lifetime, wanted = int_member(body, "expiresIn"), text_member(body, "id")
    sessions = context.services.sessions
    token, issued = sessions.issue_key(
        f"proj:{name}:{role_name}", wanted, timedelta(seconds=lifetime) if lifetime > 0 else None
    )

    def change(project: AppProject) -> AppProject:
        if all(role.name != role_name for role in project.spec.roles):
            raise RequestError(Code.NOT_FOUND, f"project '{name}' does not have role '{role_name}'")
        tokens = tokens_of(project, role_name)
        if any(other.id == issued.id for other in tokens):
            raise invalid_argument(f"Token id '{issued.id}' has been used. ")
        return _with_tokens(project, role_name, (*tokens, JWTToken(iat=issued.iat, exp=issued.exp, id=issued.id)))

    await _change(context, name, change)
    return json_response({"token": token})


async def delete_token(context: Context) -> Response:
    """DELETE .../{iat}: by id where one is given, else by its time; one that is not there is no error."""
    request = context.request
    name, role_name, iat = request.params["name"], request.params["role"], request.params["iat"]
    token_id = request.query("id")

    def change(project: AppProject) -> AppProject:
        kept = tuple(
            token
            for token in tokens_of(project, role_name)
            if (token.id != token_id if token_id else str(token.iat) != iat)
        )
        return _with_tokens(project, role_name, kept)

    await _change(context, name, change)
    return Response()


def tokens_of(project: AppProject, role_name: str) -> tuple[JWTToken, ...]:
    """Tokens of a role, wherever the project lists them; one without an id has its time as its id."""
    found = project.status.jwt_tokens_by_role
    listed = list(found[role_name].items) if role_name in found else []
    for role in project.spec.roles:
        if role.name == role_name:
            listed += role.jwt_tokens
    named = (replace(token, id=token.id or str(token.iat)) for token in listed)
    return tuple({token.id: token for token in named}.values())


def _with_tokens(project: AppProject, role_name: str, tokens: tuple[JWTToken, ...]) -> AppProject:
    roles = tuple(replace(role, jwt_tokens=tokens) if role.name == role_name else role for role in project.spec.roles)
    by_role = {**project.status.jwt_tokens_by_role, role_name: JWTTokens(items=tokens)}
    changed = replace(project, spec=replace(project.spec, roles=roles))
    return replace(changed, status=replace(project.status, jwt_tokens_by_role=by_role))


async def _change(context: Context, name: str, change: Callable[[AppProject], AppProject]) -> None:
    writer = writer_of(context)
    for attempt in range(_ATTEMPTS):
        project = parse_appproject(await writer.get(name))
        try:
            await writer.replace(appproject_object(change(project)))
            return
        except Conflict:
            if attempt == _ATTEMPTS - 1:
                raise
