"""/api/v1/projects: list and get."""

from __future__ import annotations

from tiphys.apimachinery.apierrors import not_found
from tiphys.model.appproject import AppProject
from tiphys.model.codec import encode
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError
from tiphys.server.http import Response, json_response


async def list_projects(context: Context) -> Response:
    """GET /projects: those the caller may see, sorted by name."""
    projects = context.services.projects()
    shown = [
        _shown(project) for name, project in sorted(projects.items()) if context.ask("projects", "get", name, name)
    ]
    return json_response({"metadata": {}, "items": shown})


async def get_project(context: Context) -> Response:
    """GET /projects/{name}."""
    name = context.request.params["name"]
    project = context.services.projects().get(name)
    if project is None:
        raise RequestError(Code.NOT_FOUND, str(not_found("appprojects", "argoproj.io", name)))
    return json_response(_shown(project))


def _shown(project: AppProject) -> dict[str, object]:
    shown = encode(project)
    shown.pop("apiVersion", None)
    shown.pop("kind", None)
    shown["metadata"] = {key: value for key, value in project.metadata.items() if key != "managedFields"}
    return shown
