"""Sync windows as operations ask about them."""

from __future__ import annotations

from tiphys.controllers.comparison import Context
from tiphys.controllers.operation import OperationRun
from tiphys.controllers.running import Blocked, Windows
from tiphys.model.application import Application
from tiphys.policy.windows import blocked_message, can_sync, next_edge
from tiphys.runtime.clock import Clock

_LATER_S = 0.05  # past the edge, whatever the clocks' granularity


def project_windows(clock: Clock) -> Windows:
    """Asks the windows of the Application's project; a blocked Application looks again at the next edge of one.

    Source: compat 2.8.
    """

    def look(app: Application, context: Context, run: OperationRun | None, manual: bool) -> Blocked | None:
        project = context.project
        if not project.spec.sync_windows:
            return None
        now = clock.now()
        answer = can_sync(project, app, now, manual, run.started_at if run is not None else None)
        if answer:
            return None
        edge = next_edge(project, app, now)
        until_s = max(0.0, (edge - now).total_seconds()) + _LATER_S if edge is not None else None
        return Blocked(until_s, blocked_message(answer))

    return look
