"""/api/v1/applications/{name}/resource: one live object of an Application, and what can be done to it.

Source: compat 4.4, 13.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tiphys.apimachinery.names import ResourceKey
from tiphys.kube.client import JSON, MERGE, STRATEGIC
from tiphys.server.authz import named_action
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, failed_precondition, invalid_argument
from tiphys.server.http import Response, json_response, member, text_member
from tiphys.server.ports import LiveResource, LiveResources

_PATCH_TYPES = {"": MERGE, MERGE: MERGE, JSON: JSON, STRATEGIC: STRATEGIC}


async def get_resource(context: Context) -> Response:
    """GET /applications/{name}/resource: the live manifest as JSON text, Secret values masked."""
    return _manifest(await _from_query(context).read())


async def patch_resource(context: Context) -> Response:
    """POST /applications/{name}/resource: change it by the patch that is the body, a JSON text itself."""
    request = context.request
    resource = _from_query(context)
    kind = request.query("patchType")
    if kind not in _PATCH_TYPES:
        raise invalid_argument(f"unsupported patch type: {kind}")
    patch = await request.json()
    if not isinstance(patch, str):
        raise invalid_argument("the body is not a patch in a JSON string")
    try:
        orjson.loads(patch)
    except orjson.JSONDecodeError:
        raise invalid_argument("the patch is not JSON") from None
    return _manifest(await resource.patch(patch.encode(), _PATCH_TYPES[kind]))


async def delete_resource(context: Context) -> Response:
    """DELETE /applications/{name}/resource: in the foreground, with `force` at once, with `orphan` without what it owns."""
    request = context.request
    resource = _from_query(context)
    if request.query_bool("orphan"):
        await resource.delete(propagation="Orphan", grace_period_s=None)
    elif request.query_bool("force"):
        await resource.delete(propagation="Background", grace_period_s=0)
    else:
        await resource.delete(propagation="Foreground", grace_period_s=None)
    return Response()


async def list_actions(context: Context) -> Response:
    """GET /applications/{name}/resource/actions."""
    return json_response({"actions": list(await _from_query(context).actions())})


async def run_action(context: Context) -> Response:
    """POST /applications/{name}/resource/actions: the body is the action's name."""
    resource = _from_query(context)
    _group, _kind, name = await named_action(context.request)
    return await _run(resource, name, {})


async def run_action_v2(context: Context) -> Response:
    """POST /applications/{name}/resource/actions/v2: object, action and parameters are in the body."""
    body = await context.request.json_object()
    group, kind, namespace, name, version = (
        text_member(body, field) for field in ("group", "kind", "namespace", "resourceName", "version")
    )
    params: dict[str, str] = {}
    for item in member(body, "resourceActionParameters") or ():
        if not isinstance(item, Mapping):
            raise invalid_argument("resourceActionParameters: expected objects")
        params[text_member(item, "name")] = text_member(item, "value")
    return await _run(
        _find(context, ResourceKey(group, kind, namespace, name), version), text_member(body, "action"), params
    )


async def resource_links(context: Context) -> Response:
    """GET /applications/{name}/resource/links: none are configured."""
    return json_response({"items": []})


async def list_events(context: Context) -> Response:
    """GET /applications/{name}/events: of the Application, or of one of its objects."""
    request, app = context.request, context.application
    name, namespace, uid = (request.query(field) for field in ("resourceName", "resourceNamespace", "resourceUID"))
    if not (name or uid):
        found = await live(context).events(app.key, str(app.metadata.get("uid") or ""), None)
    else:
        if not (name and uid):
            raise invalid_argument("resourceName and resourceUID are needed together")
        found = await live(context).events(app.key, uid, (namespace, name))
        if found is None:
            raise invalid_argument(f"{name} not found as part of application {app.name} resources")
    return event_list(found or ())


def event_list(events: Any) -> Response:
    """Argo CD's EventList."""
    return json_response({"metadata": {}, "items": list(events)})


def live(context: Context) -> LiveResources:
    """Live objects. Raises RequestError where the server has no view of them."""
    found = context.services.resources
    if found is None:
        raise RequestError(Code.UNIMPLEMENTED, "live resources cannot be seen from here")
    return found


async def _run(resource: LiveResource, name: str, params: Mapping[str, str]) -> Response:
    problem = await resource.run_action(name, params)
    if problem:
        raise failed_precondition(problem)
    return Response()


def _from_query(context: Context) -> LiveResource:
    query = context.request.query
    key = ResourceKey(query("group"), query("kind"), query("namespace"), query("resourceName"))
    return _find(context, key, query("version"))


def _find(context: Context, key: ResourceKey, version: str) -> LiveResource:
    found = live(context).find(context.application.key, key, version)
    if found is None:
        app = context.application.name
        raise invalid_argument(f"{key.kind} {key.group} {key.name} not found as part of application {app}")
    return found


def _manifest(obj: Mapping[str, Any]) -> Response:
    return json_response({"manifest": orjson.dumps(obj).decode()})
