"""Sync windows as the API answers them, and as they forbid an operation that somebody asks for.

Source: compat 2.8, 13.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiphys.apimachinery.apierrors import not_found
from tiphys.model.application import Application, parse_application
from tiphys.model.appproject import AppProject, SyncWindow
from tiphys.model.codec import encode
from tiphys.policy.windows import INVALID, WindowError, active_windows, can_sync, state_of
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, permission_denied
from tiphys.server.http import Response, json_response


async def application_windows(context: Context) -> Response:
    """GET /applications/{name}/syncwindows: windows about the Application, and whether it may be synced by hand now."""
    project = context.services.projects().get(context.application.project)
    answer: dict[str, Any] = {}
    if project is not None and project.spec.sync_windows:
        app = parse_application(context.application.obj)
        try:
            state = state_of(project.spec.sync_windows, app, context.services.clock.now())
        except WindowError as error:
            raise RequestError(Code.UNKNOWN, f"invalid sync windows: {error}") from None
        answer = {"activeWindows": _shown(state.active), "assignedWindows": _shown(state.assigned)}
        answer = {name: windows for name, windows in answer.items() if windows}
        return json_response({**answer, "canSync": state.permits(manual=True)})
    return json_response({"canSync": True})


async def project_windows(context: Context) -> Response:
    """GET /projects/{name}/syncwindows: the windows that are open now."""
    name = context.request.params["name"]
    project = context.services.projects().get(name)
    if project is None:
        raise RequestError(Code.NOT_FOUND, str(not_found("appprojects", "argoproj.io", name)))
    try:
        active = active_windows(project.spec.sync_windows, context.services.clock.now())
    except WindowError as error:
        raise RequestError(Code.UNKNOWN, f"invalid sync windows: {error}") from None
    return json_response({"windows": [encode(window) for window in active]})


def require_open_window(context: Context, app: Application) -> None:
    """Raises RequestError when a window forbids that the Application is synced by hand now."""
    project = context.services.projects().get(app.project_name)
    if project is not None:
        answer = can_sync(project, app, context.services.clock.now(), True)
        if not answer:
            raise permission_denied(answer.reason)


def check_windows(project: AppProject, context: Context) -> None:
    """Raises RequestError when a window of a project that is to be stored cannot be read."""
    try:
        active_windows(project.spec.sync_windows, context.services.clock.now())
    except WindowError as error:
        raise RequestError(Code.INVALID_ARGUMENT, f"{INVALID.removeprefix('cannot sync: ')}: {error}") from None


def _shown(windows: Sequence[SyncWindow]) -> list[dict[str, Any]]:
    """Argo CD's ApplicationSyncWindow: less than what the project says."""
    shown = []
    for window in windows:
        item = {"kind": window.kind, "schedule": window.schedule, "duration": window.duration}
        shown.append({**item, "manualSync": True} if window.manual_sync else item)
    return shown
