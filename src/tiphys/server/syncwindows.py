"""Sync windows as the API answers them, and as they forbid an operation that somebody asks for.

Source: compat 2.8, 13.1.
"""

from __future__ import annotations

from typing import Any

from tiphys.model.application import Application, parse_application
from tiphys.model.appproject import SyncWindow
from tiphys.model.codec import encode
from tiphys.policy.windows import WindowError, active_windows, can_sync, state_of
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError
from tiphys.server.http import Response, json_response


async def application_windows(context: Context) -> Response:
    """GET /applications/{name}/syncwindows: windows of the Application's project, and whether it may be synced now."""
    project = context.services.projects().get(context.application.project)
    if project is None or not project.spec.sync_windows:
        return json_response({"canSync": True})
    app, now = parse_application(context.application.obj), context.services.clock.now()
    answer: dict[str, Any] = {"canSync": can_sync(project, app, now, manual=True).allowed}
    try:
        state = state_of(project.spec.sync_windows, app, now)
    except WindowError as error:
        raise RequestError(Code.INVALID_ARGUMENT, f"invalid sync windows: {error}") from None
    for name, windows in (("activeWindows", state.active), ("assignedWindows", state.assigned)):
        if windows:
            answer[name] = [_shown(window) for window in windows]
    return json_response(answer)


async def project_windows(context: Context) -> Response:
    """GET /projects/{name}/syncwindows: the windows that are active now."""
    project = context.services.projects().get(context.request.params["name"])
    windows = project.spec.sync_windows if project is not None else ()
    try:
        active = active_windows(windows, context.services.clock.now())
    except WindowError as error:
        raise RequestError(Code.INVALID_ARGUMENT, f"invalid sync windows: {error}") from None
    return json_response({"windows": [encode(window) for window in active]})


def require_open_window(context: Context, app: Application) -> None:
    """Raises RequestError when a window forbids that the Application is synced by hand now."""
    project = context.services.projects().get(app.project_name)
    if project is None:
        return
    answer = can_sync(project, app, context.services.clock.now(), manual=True)
    if not answer:
        raise RequestError(Code.PERMISSION_DENIED, answer.reason)


def _shown(window: SyncWindow) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": window.kind, "schedule": window.schedule, "duration": window.duration}
    if window.manual_sync:
        shown["manualSync"] = True
    return {name: value for name, value in shown.items() if value}
