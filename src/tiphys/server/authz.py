"""Request -> policy question: who asks, and the access checks that routes are registered with.

Source: api-ui 2.3 "Auth"; compat 6.1 "Not-found masking".
"""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.apimachinery.apierrors import not_found
from tiphys.identity.tokens import Principal, TokenError, is_project_token_listed
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, permission_denied, request_error
from tiphys.server.http import Request, member
from tiphys.server.routing import Access

COOKIE = "argocd.token"
_MAX_COOKIE_PARTS = 20


def authenticate(context: Context) -> None:
    """Fill in the principal, or why the token that was sent does not count. Never raises."""
    token = sent_token(context.request)
    if not token:
        return
    try:
        principal = context.services.sessions.check(token)
        if principal.is_project_token:
            _check_listed(context, principal)
        context.principal = principal
    except TokenError as error:
        context.token_error = error


def require_session(context: Context) -> None:
    """Raises RequestError unless somebody is logged in or anonymous access is on."""
    if context.principal is not None or context.services.settings().anonymous_enabled:
        return
    if context.token_error is not None:
        error = request_error(context.token_error)
        assert error is not None
        raise error
    raise RequestError(Code.UNAUTHENTICATED, "no session information")


def still_valid(context: Context) -> bool:
    """Whether the session a stream was opened with still counts: tokens are revoked and expire while streams are open."""
    fresh = Context(context.request, context.services)
    authenticate(fresh)
    if context.principal is None:
        return context.services.settings().anonymous_enabled
    return fresh.principal is not None and fresh.principal.name == context.principal.name


def still_permitted(context: Context, *resources: str) -> bool:
    """Whether the session still counts and may still `get` the Application a stream is about, as each of `resources`."""
    app = context.services.applications.get(*context.application.key)
    if app is None or not still_valid(context):
        return False
    obj = app.rbac_object(context.services.namespace)
    return all(context.ask(resource, "get", obj, app.project) for resource in resources)


def sent_token(request: Request) -> str:
    """The token of a request: header `token`, then bearer, then cookie, which may come in parts."""
    if token := request.headers.get("token"):
        return token
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer.count(".") == 2:
        return bearer.strip()
    cookies = request.cookies
    first = cookies.get(COOKIE, "")
    head, colon, rest = first.partition(":")
    if colon and head.isdecimal():
        count = min(int(head), _MAX_COOKIE_PARTS)
        return rest + "".join(cookies.get(f"{COOKIE}-{n}", "") for n in range(1, count))
    return first


def _check_listed(context: Context, principal: Principal) -> None:
    project = context.services.projects().get(principal.name.split(":")[1])
    if project is None or not is_project_token_listed(principal, project):
        raise TokenError("project token is not known, or was deleted")


async def _allow(context: Context) -> None:
    return


PUBLIC = Access("anyone", _allow, session=False)
SIGNED_IN = Access("any session; the handler asks about each object it shows", _allow)


def enforce(resource: str, action: str, parameter: str = "", *, in_project: bool = False) -> Access:
    """RBAC on a resource; the object is a path parameter, or `*`. `in_project`: the object is itself a project."""

    async def check(context: Context) -> None:
        obj = context.request.params[parameter] if parameter else "*"
        context.enforce(resource, action, obj, obj if in_project else "")

    return Access(f"{resource}, {action}, {'{' + parameter + '}' if parameter else '*'}", check)


def application_access(action: str, parameter: str = "name") -> Access:
    """RBAC on the Application a route names; loads it into the context.

    Without `project` in the query, missing and forbidden are the same 403. With it and permission on it, missing and
    "in another project" are the same 404.
    """

    async def check(context: Context) -> None:
        _check_application(context, (action,), context.request.params[parameter])

    return Access(f"applications, {action}, {{project}}/{{{parameter}}}", check)


def resource_access(action: str) -> Access:
    """RBAC on one object of the Application a route names: `update` or `delete` it; loads the Application.

    The right to the Application itself counts only where the settings say so. Source: compat 6.1 "Inheritance".
    """

    async def check(context: Context) -> None:
        request = context.request
        names = (request.query(name) for name in ("group", "kind", "namespace", "resourceName"))
        asked = [f"{action}/{'/'.join(names)}"]
        if not context.services.settings().fine_grained_rbac:
            asked.append(action)
        _check_application(context, asked, request.params["name"])

    return Access(f"applications, {action}/{{group}}/{{kind}}/{{namespace}}/{{name}}, {{project}}/{{name}}", check)


def action_access() -> Access:
    """RBAC on running an action, which the body names, on objects of a kind; loads the Application."""

    async def check(context: Context) -> None:
        group, kind, name = await named_action(context.request)
        _check_application(context, (f"action/{group}/{kind}/{name}",), context.request.params["name"])

    return Access("applications, action/{group}/{kind}/{action}, {project}/{name}", check)


def logs_access() -> Access:
    """RBAC on the logs of the Application a route names, which must be visible too; loads it into the context."""

    async def check(context: Context) -> None:
        _check_application(context, ("get",), context.request.params["name"])
        app = context.application
        context.enforce("logs", "get", app.rbac_object(context.services.namespace), app.project)

    return Access("applications, get, and logs, get, {project}/{name}", check)


async def named_action(request: Request) -> tuple[str, str, str]:
    """Group, kind and name of the action that a request is to run; empty where it does not say.

    The older form has the name as the whole body, and the rest in the query. Source: compat 13.1.
    """
    body = await request.json()
    if isinstance(body, dict):
        found = (member(body, "group"), member(body, "kind"), member(body, "action"))
    else:
        found = (request.query("group"), request.query("kind"), body)
    group, kind, name = (value if isinstance(value, str) else "" for value in found)
    return group, kind, name


def _check_application(context: Context, actions: Sequence[str], name: str) -> None:
    """Load an Application that the caller may do one of `actions` with. Raises RequestError."""
    request, services = context.request, context.services
    namespace = request.query("appNamespace") or services.namespace
    asked_project = request.query("project") or request.query("projects")
    if not context.serves(namespace):
        raise permission_denied(f"namespace '{namespace}' is not permitted")

    def may(obj: str, project: str) -> bool:
        return any(context.ask("applications", action, obj, project) for action in actions)

    app = services.applications.get(namespace, name)
    if asked_project and not may(_rbac_object(asked_project, namespace, name, services.namespace), asked_project):
        raise permission_denied()
    hidden = RequestError(Code.NOT_FOUND, str(not_found("applications", "argoproj.io", name)))
    if app is None:
        raise hidden if asked_project else permission_denied()
    if not may(app.rbac_object(services.namespace), app.project):
        raise hidden if asked_project else permission_denied()
    if asked_project and asked_project != app.project:
        raise hidden
    context.app = app


def enforce_on_application(context: Context, action: str) -> None:
    """A further right on the loaded Application, refused with the reason: that it exists is known by now."""
    app = context.application
    context.enforce("applications", action, app.rbac_object(context.services.namespace), app.project)


def _rbac_object(project: str, namespace: str, name: str, controller_namespace: str) -> str:
    return f"{project}/{name}" if namespace == controller_namespace else f"{project}/{namespace}/{name}"
