"""/api/v1/session and /auth/logout: logging in and out.

Source: api-ui 2.3 "Auth".
"""

from __future__ import annotations

from tiphys.runtime.secret import Secret
from tiphys.server.authz import COOKIE
from tiphys.server.context import Context
from tiphys.server.http import Response, json_response, text_member

_MAX_COOKIE_BYTES = 4093


async def create_session(context: Context) -> Response:
    """POST /session: a token for user name and password, also as a cookie."""
    body = await context.request.json_object()
    token = await context.services.sessions.login(text_member(body, "username"), Secret(text_member(body, "password")))
    response = json_response({"token": token})
    response.headers += session_cookies(token, secure=context.services.secure)
    return response


async def delete_session(context: Context) -> Response:
    """DELETE /session: the session ends here and everywhere."""
    if context.principal is not None:
        context.services.sessions.logout(context.principal)
    response = Response()
    response.headers += _blank_cookies(context)
    return response


async def logout(context: Context) -> Response:
    """GET /auth/logout: for browsers; blanks the cookies and goes to the start page."""
    if context.principal is not None:
        context.services.sessions.logout(context.principal)
    return Response(b"", 303, "text/plain", [("Location", "/"), *_blank_cookies(context)])


async def user_info(context: Context) -> Response:
    """GET /session/userinfo: who is asking; an empty object without a session."""
    principal = context.principal
    if principal is None:
        return Response()
    info: dict[str, object] = {"loggedIn": True, "username": principal.name, "iss": principal.issuer}
    if principal.groups:
        info["groups"] = list(principal.groups)
    return json_response(info)


def session_cookies(token: str, *, secure: bool) -> list[tuple[str, str]]:
    """Set-Cookie headers for a session; a token that is too long is sent in parts."""
    attributes = "; path=/; SameSite=lax; httpOnly" + ("; Secure" if secure else "")
    room = _MAX_COOKIE_BYTES - len(attributes) - len(COOKIE) - 8
    parts = [token[start : start + room] for start in range(0, len(token), room)]
    if len(parts) == 1:
        return [("Set-Cookie", f"{COOKIE}={token}{attributes}")]
    values = [f"{COOKIE}={len(parts)}:{parts[0]}"] + [f"{COOKIE}-{n}={part}" for n, part in enumerate(parts[1:], 1)]
    return [("Set-Cookie", value + attributes) for value in values]


def _blank_cookies(context: Context) -> list[tuple[str, str]]:
    names = [name for name in context.request.cookies if name == COOKIE or name.startswith(f"{COOKIE}-")]
    return [("Set-Cookie", f"{name}=; path=/; Max-Age=0; SameSite=lax; httpOnly") for name in names]
