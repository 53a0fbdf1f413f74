"""/api/v1/projects: read, create, update, delete.

Source: compat 5, 13.2; api-ui 2.2, 2.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from tiphys.apimachinery.apierrors import AlreadyExists, not_found
from tiphys.model.application import DEFAULT_PROJECT, Application, parse_application
from tiphys.model.appproject import AppProject, JWTTokens, appproject_object, parse_appproject
from tiphys.model.codec import InvalidObject, encode
from tiphys.model.destination import ApplicationDestination
from tiphys.model.source import ApplicationSource
from tiphys.policy.project import permits_destination, permits_source
from tiphys.policy.spec import DestinationError, resolve_destination
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, invalid_argument
from tiphys.server.http import Response, bool_member, json_response, member
from tiphys.server.ports import ProjectWriter
from tiphys.server.projectrules import check_project, normalized
from tiphys.server.resources import event_list, live
from tiphys.server.syncwindows import check_windows

_METADATA = frozenset(("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences"))
_KIND_LISTS = (
    "cluster_resource_whitelist",
    "cluster_resource_blacklist",
    "namespace_resource_whitelist",
    "namespace_resource_blacklist",
)


async def list_projects(context: Context) -> Response:
    """GET /projects: those the caller may see, sorted by name."""
    projects = context.services.projects()
    visible = [
        _shown(project) for name, project in sorted(projects.items()) if context.ask("projects", "get", name, name)
    ]
    return json_response({"metadata": {}, "items": visible})


async def get_project(context: Context) -> Response:
    """GET /projects/{name}."""
    return json_response(_shown(_project(context)))


async def get_detailed(context: Context) -> Response:
    """GET /projects/{name}/detailed: with the clusters that belong to the project."""
    project = _project(context)
    clusters = [
        {"server": cluster.server, "name": cluster.name, "project": cluster.project, "config": {}}
        for cluster in context.services.clusters()
        if cluster.project == project.name
    ]
    answer: dict[str, Any] = {"project": _shown(project)}
    if clusters:
        answer["clusters"] = clusters
    return json_response(answer)


async def global_projects(context: Context) -> Response:
    """GET /projects/{name}/globalprojects: none are configured."""
    _project(context)
    return json_response({"items": []})


async def project_events(context: Context) -> Response:
    """GET /projects/{name}/events."""
    project = _project(context)
    return event_list(await live(context).own_events(project.name, project.uid))


async def project_links(context: Context) -> Response:
    """GET /projects/{name}/links: none are configured."""
    _project(context)
    return json_response({"items": []})


async def create_project(context: Context) -> Response:
    """POST /projects: idempotent for an equal spec; `upsert` updates one that differs."""
    body = await context.request.json_object()
    asked = _asked(context, body)
    context.enforce("projects", "create", asked.name)
    asked = normalized(asked)
    check_project(asked)
    check_windows(asked, context)
    writer = writer_of(context)
    metadata = {name: value for name, value in asked.metadata.items() if name in _METADATA}
    try:
        return _answer(await writer.create(appproject_object(replace(asked, metadata=metadata))))
    except AlreadyExists:
        existing = parse_appproject(await writer.get(asked.name))
    if not bool_member(body, "upsert"):
        if existing.spec == asked.spec:
            return json_response(_shown(existing))
        raise invalid_argument(_different(existing, asked))
    context.enforce("projects", "update", asked.name, asked.name)
    return _answer(await writer.replace(appproject_object(replace(existing, spec=asked.spec))))


async def update_project(context: Context) -> Response:
    """PUT /projects/{name}: a resourceVersion in the body is a precondition."""
    body = await context.request.json_object()
    asked = normalized(_asked(context, body))
    name = context.request.params["name"]
    if asked.name != name:
        raise invalid_argument("the project in the body is not the one in the path")
    check_project(asked)
    check_windows(asked, context)
    writer = writer_of(context)
    current = await writer.get(name)
    old = parse_appproject(current)
    _enforce_reach(context, old, asked)
    _refuse_orphans(context, old, asked)
    given = {key: value for key, value in asked.metadata.items() if key in _METADATA}
    metadata = {
        **{key: value for key, value in current["metadata"].items() if key not in _METADATA and key != "managedFields"},
        **given,
        "namespace": context.services.namespace,
    }
    if asked.metadata.get("resourceVersion"):
        metadata["resourceVersion"] = asked.metadata["resourceVersion"]
    status = asked.status if asked.status.jwt_tokens_by_role else old.status
    return _answer(await writer.replace(appproject_object(replace(asked, metadata=metadata, status=status))))


async def delete_project(context: Context) -> Response:
    """DELETE /projects/{name}: refused while Applications are in it."""
    name = context.request.params["name"]
    if name == DEFAULT_PROJECT:
        raise invalid_argument(f"name '{name}' is reserved and cannot be deleted")
    count = sum(1 for app in context.services.applications if app.project == name)
    if count:
        raise invalid_argument(f"project is referenced by {count} applications")
    await writer_of(context).delete(name)
    return Response()


def writer_of(context: Context) -> ProjectWriter:
    """Writes projects. Raises RequestError where the server cannot."""
    found = context.services.project_writer
    if found is None:
        raise RequestError(Code.UNIMPLEMENTED, "projects cannot be changed from here")
    return found


def _asked(context: Context, body: Mapping[str, Any]) -> AppProject:
    given = member(body, "project")
    if not isinstance(given, Mapping):
        raise invalid_argument("missing payload 'project' in request")
    project = parse_appproject(given, fold_case=True)
    if not project.name:
        raise invalid_argument("metadata.name: is required")
    return replace(project, metadata={**project.metadata, "namespace": context.services.namespace})


def _project(context: Context) -> AppProject:
    name = context.request.params["name"]
    project = context.services.projects().get(name)
    if project is None:
        raise RequestError(Code.NOT_FOUND, str(not_found("appprojects", "argoproj.io", name)))
    return project


def _enforce_reach(context: Context, old: AppProject, new: AppProject) -> None:
    """Who widens or narrows what a project reaches needs the right to those clusters and repositories."""
    clusters = _servers(new) ^ _servers(old)
    if any(getattr(old.spec, name) != getattr(new.spec, name) for name in _KIND_LISTS):
        clusters |= _servers(new)
    for server in sorted(clusters):
        context.enforce("clusters", "update", server)
    for url in sorted(set(new.spec.source_repos) ^ set(old.spec.source_repos)):
        context.enforce("repositories", "update", url)


def _servers(project: AppProject) -> set[str]:
    return {item.server for item in project.spec.destinations if item.server}


def _refuse_orphans(context: Context, old: AppProject, new: AppProject) -> None:
    """No Application that was permitted may become one that is not."""
    sources = destinations = 0
    for stored in context.services.applications:
        if stored.project != new.name:
            continue
        try:
            app = parse_application(stored.obj)
        except InvalidObject:
            continue
        sources += any(_lost_source(source, old, new) for source in app.spec.all_sources)
        destinations += _lost_destination(context, app, old, new)
    parts = [
        f"{count} applications {what} became invalid"
        for count, what in ((sources, "source"), (destinations, "destination"))
        if count
    ]
    if parts:
        raise invalid_argument(f"as a result of project update {' and '.join(parts)}")


def _lost_source(source: ApplicationSource, old: AppProject, new: AppProject) -> bool:
    return bool(permits_source(old, source.repo_url)) and not permits_source(new, source.repo_url)


def _lost_destination(context: Context, app: Application, old: AppProject, new: AppProject) -> bool:
    try:
        found: ApplicationDestination = resolve_destination(app.spec.destination, context.services.clusters())
    except DestinationError:
        return False  # it is in error already
    return bool(permits_destination(old, found)) and not permits_destination(new, found)


def _different(existing: AppProject, asked: AppProject) -> str:
    before, after = encode(existing.spec), encode(asked.spec)
    keys = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    listed = ",".join(name[:1].upper() + name[1:] for name in keys)
    return f'existing project spec is different; use upsert flag to force update; difference in keys "{listed}"'


def _answer(obj: Mapping[str, Any]) -> Response:
    return json_response(_shown(parse_appproject(obj)))


def _shown(project: AppProject) -> dict[str, Any]:
    """A project as answered: tokens of a role stand both in its role and in the status."""
    by_role = dict(project.status.jwt_tokens_by_role)
    roles = []
    for role in project.spec.roles:
        items = by_role[role.name].items if role.name in by_role else ()
        known = {(token.id, token.iat) for token in items}
        items += tuple(token for token in role.jwt_tokens if (token.id, token.iat) not in known)
        if items:
            by_role[role.name] = JWTTokens(items=items)
        roles.append(replace(role, jwt_tokens=items))
    both = replace(project, spec=replace(project.spec, roles=tuple(roles)))
    both = replace(both, status=replace(project.status, jwt_tokens_by_role=by_role))
    shown = encode(both)
    shown.pop("apiVersion", None)
    shown.pop("kind", None)
    shown["metadata"] = {key: value for key, value in project.metadata.items() if key != "managedFields"}
    return shown
