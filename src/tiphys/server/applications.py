"""/api/v1/applications: get, create, update, delete.

Source: compat 13.1; api-ui 2.2, 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from tiphys.apimachinery.jsonpatch import JsonPatchError
from tiphys.apimachinery.jsonpatch import apply as apply_json_patch
from tiphys.apimachinery.mergepatch import apply as apply_merge_patch
from tiphys.model.annotations import (
    BACKGROUND_FINALIZER,
    FOREGROUND_FINALIZER,
    REFRESH_HARD,
    REFRESH_NORMAL,
    RESOURCES_FINALIZER,
)
from tiphys.model.application import DEFAULT_PROJECT, Application, application_object, parse_application
from tiphys.model.codec import encode
from tiphys.policy.project import permits_source_namespace
from tiphys.policy.spec import spec_problems
from tiphys.server.cache import StoredApplication, visible
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, failed_precondition, invalid_argument, permission_denied
from tiphys.server.fieldmask import FieldMask
from tiphys.server.http import Response, json_response, text_member

REFRESH_TIMEOUT_S = 300.0
_FINALIZERS_OF_CASCADE = frozenset((RESOURCES_FINALIZER, FOREGROUND_FINALIZER, BACKGROUND_FINALIZER))
# What is exported with an Application and means nothing for a new one (uid, resourceVersion, ...) is left out.
_METADATA_OF_CREATE = frozenset(("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"))
_CASCADE = {
    "": RESOURCES_FINALIZER,
    "foreground": RESOURCES_FINALIZER,
    "background": BACKGROUND_FINALIZER,
}


async def get_application(context: Context) -> Response:
    """GET /applications/{name}; `refresh` waits until the Application was looked at again."""
    app, services = context.application, context.services
    refresh = context.request.query("refresh")
    if refresh:
        kind = REFRESH_HARD if refresh == REFRESH_HARD else REFRESH_NORMAL
        if not await services.refresher.refresh(app.namespace, app.name, kind, REFRESH_TIMEOUT_S):
            raise RequestError(
                Code.DEADLINE_EXCEEDED, f"application was not refreshed within {REFRESH_TIMEOUT_S:.0f} s"
            )
        app = services.applications.get(app.namespace, app.name) or app
    shown = visible(app.obj)
    if services.trees is not None:
        shown = with_resource_health(shown, await services.trees.resource_health(app.namespace, app.name))
    fields = context.request.query("fields")
    return json_response((FieldMask(fields).apply(shown) or {}) if fields else shown)


def with_resource_health(
    app: dict[str, Any], healths: Mapping[tuple[str, str, str, str], Mapping[str, str]]
) -> dict[str, Any]:
    """The Application with the health of each resource put in: it is kept out of the object, where it would be a write each.

    Source: compat 1.10 "resourceHealthSource".
    """
    status = app.get("status")
    resources = status.get("resources") if isinstance(status, Mapping) else None
    if not isinstance(resources, list) or not healths or not isinstance(status, Mapping):
        return app
    filled = []
    for resource in resources:
        key = tuple(str(resource.get(field) or "") for field in ("group", "kind", "namespace", "name"))
        health = healths.get(key) if len(key) == 4 else None
        filled.append({**resource, "health": health} if health is not None and "health" not in resource else resource)
    return {**app, "status": {**status, "resources": filled}}


async def create_application(context: Context) -> Response:
    """POST /applications: idempotent for an equal Application; `upsert` updates one that differs."""
    request, services = context.request, context.services
    asked = await _read_application(context)
    context.enforce("applications", "create", asked.rbac_object(services.namespace), asked.project_name)
    upsert = request.query_bool("upsert")
    _validate(context, asked, check_spec=request.query_bool("validate", True))
    existing = services.applications.get(asked.namespace, asked.name)
    if existing is None:
        if request.query_bool("validate", True):
            await _require_sources(context, asked)
        metadata = {name: value for name, value in asked.metadata.items() if name in _METADATA_OF_CREATE}
        wanted = replace(asked, metadata=metadata, operation=None, status=Application().status)
        return _answer(await services.writer.create(application_object(wanted)))
    current = _parsed(existing)
    if _same(asked, current):
        return Response(existing.encoded)
    if not upsert:
        raise invalid_argument("existing application spec is different, use upsert flag to force update")
    context.enforce("applications", "update", existing.rbac_object(services.namespace), existing.project)
    await _require_new_sources(context, current, asked)
    return await _update(context, existing, asked, merge_metadata=True)


async def update_application(context: Context) -> Response:
    """PUT /applications/{name}: spec, labels, annotations and finalizers are replaced; the last write wins."""
    asked = await _read_application(context)
    app = context.application
    if (asked.namespace, asked.name) != app.key:
        raise invalid_argument("the application in the body is not the one in the path")
    _enforce_move(context, app, asked)
    _validate(context, asked, check_spec=context.request.query_bool("validate", True))
    await _require_new_sources(context, _parsed(app), asked)
    return await _update(context, app, asked)


async def update_spec(context: Context) -> Response:
    """PUT /applications/{name}/spec: only the spec is replaced; answers with the spec."""
    app = context.application
    body = await context.request.json_object()
    asked = replace(_parsed(app), spec=_normalized(parse_application({"spec": body}, fold_case=True)).spec)
    _enforce_move(context, app, asked)
    _validate(context, asked, check_spec=context.request.query_bool("validate", True))
    await _require_new_sources(context, _parsed(app), asked)
    answer = await context.services.writer.json_patch(
        app.namespace, app.name, [{"op": "add", "path": "/spec", "value": encode(asked.spec)}]
    )
    return json_response(answer.get("spec") or {})


async def patch_application(context: Context) -> Response:
    """PATCH /applications/{name}: only spec, labels, annotations and finalizers are taken from the patched object."""
    app = context.application
    body = await context.request.json_object()
    kind = text_member(body, "patchType")
    try:
        patch = orjson.loads(text_member(body, "patch"))
        if kind == "merge":
            patched = apply_merge_patch(app.obj, patch)
        elif kind in ("json", ""):
            patched = apply_json_patch(app.obj, patch)
        else:
            raise invalid_argument(f"Patch type '{kind}' is not supported")
    except orjson.JSONDecodeError:
        raise invalid_argument("patch: is not JSON") from None
    except JsonPatchError as error:
        raise invalid_argument(str(error)) from None
    asked = _normalized(parse_application(patched))
    if (asked.namespace, asked.name) != app.key:
        raise invalid_argument("the patch would rename the application")
    _enforce_move(context, app, asked)
    _validate(context, asked)
    await _require_new_sources(context, _parsed(app), asked)
    return await _update(context, app, asked)


async def delete_application(context: Context) -> Response:
    """DELETE /applications/{name}: with its resources unless `cascade=false`."""
    app, request = context.application, context.request
    cascade = request.query_bool("cascade", True)
    policy = request.query("propagationPolicy").lower()
    if policy and not cascade:
        raise failed_precondition("cannot set propagation policy when cascading is disabled")
    if policy not in _CASCADE:
        raise invalid_argument(f"invalid propagation policy: {policy}")
    finalizers = [str(item) for item in app.metadata.get("finalizers") or ()]
    wanted = [item for item in finalizers if item not in _FINALIZERS_OF_CASCADE]
    if cascade:
        kept = [item for item in finalizers if item in _FINALIZERS_OF_CASCADE]
        wanted += kept if kept and not policy else [_CASCADE[policy]]
    writer = context.services.writer
    if sorted(wanted) != sorted(finalizers) and not app.metadata.get("deletionTimestamp"):
        await writer.merge_patch(app.namespace, app.name, {"metadata": {"finalizers": wanted}})
    await writer.delete(app.namespace, app.name)
    return Response()


def _answer(obj: Mapping[str, Any]) -> Response:
    return json_response(visible(obj))


async def _read_application(context: Context) -> Application:
    """The Application of a request body, put into its namespace and normalised."""
    body = await context.request.json_object()
    if not body:
        raise invalid_argument("error creating application: application is nil in request")
    app = parse_application(body, fold_case=True)
    namespace = app.namespace or context.request.query("appNamespace") or context.services.namespace
    if not context.serves(namespace):
        raise permission_denied(f"namespace '{namespace}' is not permitted")
    app = replace(app, metadata={**app.metadata, "namespace": namespace})
    if not app.name:
        raise invalid_argument("metadata.name: is required")
    return _normalized(app)


def _normalized(app: Application) -> Application:
    """The project written out, empty tool blocks left out."""
    spec = app.spec
    sources = tuple(_without_empty_tools(source) for source in spec.sources)
    source = _without_empty_tools(spec.source) if spec.source is not None else None
    return replace(app, spec=replace(spec, project=spec.project or DEFAULT_PROJECT, source=source, sources=sources))


def _without_empty_tools(source: Any) -> Any:
    empty = {
        name: None
        for name in ("helm", "kustomize", "directory")
        if getattr(source, name) is not None and not encode(getattr(source, name))
    }
    return replace(source, **empty) if empty else source


def _validate(context: Context, app: Application, *, check_spec: bool = True) -> None:
    """Raises RequestError when the project is missing or does not allow the Application, or its spec makes no sense."""
    services = context.services
    project = services.projects().get(app.project_name)
    if project is None:
        raise invalid_argument(f"application references project {app.project_name} which does not exist")
    answer = permits_source_namespace(
        project,
        app.namespace,
        controller_namespace=services.namespace,
        allowed_namespaces=services.settings().application_namespaces,
    )
    if not answer:
        raise permission_denied(answer.reason)
    if check_spec:
        problems = spec_problems(app.spec, project, services.clusters())
        if problems:
            listed = ";".join(f"InvalidSpecError: {problem}" for problem in problems)
            raise invalid_argument(f"application spec for {app.name} is invalid: {listed}")


async def _require_sources(context: Context, app: Application) -> None:
    """Raises RequestError when nothing can be rendered from the sources of the Application.

    Source: an error that a user quoted, crossplane-contrib/provider-argocd issue 209.
    """
    manifests = context.services.manifests
    problem = await manifests.problem_of(app) if manifests is not None else ""
    if problem:
        raise invalid_argument(f"application spec for {app.name} is invalid: InvalidSpecError: {problem}")


async def _require_new_sources(context: Context, current: Application, asked: Application) -> None:
    """Render the sources an Application is to get.

    Differs: Argo CD renders for every update, so that nobody can switch automation off while the repository is away or a
    commit is broken; sources that stay are not rendered here.
    """
    if context.request.query_bool("validate", True) and current.spec.all_sources != asked.spec.all_sources:
        await _require_sources(context, asked)


def _enforce_move(context: Context, current: StoredApplication, asked: Application) -> None:
    """Moving an Application to another project needs the right to have it there too."""
    if asked.project_name != current.project:
        obj = asked.rbac_object(context.services.namespace)
        context.enforce("applications", "create", obj, asked.project_name)
        context.enforce("applications", "update", obj, asked.project_name)


async def _update(
    context: Context, current: StoredApplication, asked: Application, *, merge_metadata: bool = False
) -> Response:
    labels, annotations = dict(asked.labels), dict(asked.annotations)
    if merge_metadata:
        labels = {**(current.metadata.get("labels") or {}), **labels}
        annotations = {**(current.metadata.get("annotations") or {}), **annotations}
    patch: list[dict[str, Any]] = [
        {"op": "add", "path": "/spec", "value": encode(asked.spec)},
        {"op": "add", "path": "/metadata/labels", "value": labels},
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
        {"op": "add", "path": "/metadata/finalizers", "value": list(asked.finalizers)},
    ]
    return _answer(await context.services.writer.json_patch(current.namespace, current.name, patch))


def _parsed(app: StoredApplication) -> Application:
    return _normalized(parse_application(app.obj))


def _same(asked: Application, current: Application) -> bool:
    """Equal in all that a create may set."""
    return (
        asked.spec == current.spec
        and dict(asked.labels) == dict(current.labels)
        and dict(asked.annotations) == dict(current.annotations)
        and asked.finalizers == current.finalizers
    )
