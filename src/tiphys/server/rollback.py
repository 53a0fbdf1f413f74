"""/api/v1/applications/{name}/rollback and /hold: an operation with what a history entry deployed, and what keeps it there.

Source: compat 12, 13.1.
Differs: with automated sync on, a rollback holds the Application instead of being refused, unless `server.rollback.hold`
is false; without that, an emergency would mean to edit the Application, which its own repository then undoes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiphys.model.application import Application, parse_application
from tiphys.model.duration import parse_duration
from tiphys.model.hold import HOLD, Hold, format_hold
from tiphys.model.operation import Operation, OperationInitiator, SyncOperation, SyncStrategy, SyncStrategyApply
from tiphys.model.statuses import RevisionHistory
from tiphys.server.authz import enforce_on_application
from tiphys.server.cache import visible
from tiphys.server.context import Context
from tiphys.server.errors import failed_precondition, invalid_argument
from tiphys.server.http import Response, bool_member, int_member, json_response, text_member
from tiphys.server.sync import change_application, set_operation
from tiphys.server.syncwindows import require_open_window


async def rollback_application(context: Context) -> Response:
    """POST /applications/{name}/rollback: without hooks, as upstream does it; `id` names the history entry."""
    enforce_on_application(context, "rollback" if context.services.settings().rollback_enforced else "sync")
    body = await context.request.json_object()
    app = parse_application(context.application.obj)
    require_open_window(context, app)
    if app.deletion_timestamp is not None:
        raise failed_precondition("application is deleting")
    entry = _entry(app, int_member(body, "id"))
    hold = _hold(context, app, entry, body) if app.spec.policy.is_automated else None
    if entry.source is None and not entry.sources:
        raise failed_precondition(
            "cannot rollback to revision deployed with Argo CD v0.11 or lower. sync to revision instead."
        )
    operation = Operation(
        sync=SyncOperation(
            revision=entry.revision,
            revisions=entry.revisions,
            dry_run=bool_member(body, "dryRun"),
            prune=bool_member(body, "prune"),
            sync_options=app.spec.policy.sync_options,
            sync_strategy=SyncStrategy(apply=SyncStrategyApply()),
            source=entry.source if not entry.sources else None,
            sources=entry.sources,
        ),
        initiated_by=OperationInitiator(username=context.username),
    )
    kept = {HOLD: format_hold(hold)} if hold is not None and not bool_member(body, "dryRun") else None
    return json_response(visible(await set_operation(context, operation, annotations=kept)))


async def release_hold(context: Context) -> Response:
    """DELETE /applications/{name}/hold: automated sync follows Git again."""
    enforce_on_application(context, "rollback" if context.services.settings().rollback_enforced else "sync")

    def change(app: Mapping[str, Any]) -> dict[str, Any]:
        if HOLD not in ((app.get("metadata") or {}).get("annotations") or {}):
            raise failed_precondition(f"application {context.application.name} is not held")
        return {"metadata": {"annotations": {HOLD: None}}}

    return json_response(visible(await change_application(context, change)))


def _hold(context: Context, app: Application, entry: RevisionHistory, body: Mapping[str, Any]) -> Hold:
    """What keeps automation from undoing the rollback. `reason` and `holdFor` (a duration) of the request are ours."""
    if not context.services.settings().rollback_holds:
        raise failed_precondition("rollback cannot be initiated when auto-sync is enabled")
    now = context.services.clock.now().replace(microsecond=0)
    until = None
    if text_member(body, "holdFor"):
        try:
            until = now + parse_duration(text_member(body, "holdFor"))
        except (ValueError, OverflowError) as error:
            raise invalid_argument(f"holdFor: {error}") from None
    sync = app.status.sync
    return Hold(
        history_id=entry.id,
        revision=entry.revision or next(iter(entry.revisions), ""),
        instead_of=(sync.revision or next(iter(sync.revisions), "")) if sync is not None else "",
        owner=context.username,
        reason=text_member(body, "reason"),
        since=now,
        until=until,
    )


def _entry(app: Application, wanted: int) -> RevisionHistory:
    entry = next((item for item in app.status.history if item.id == wanted), None)
    if entry is None:
        raise invalid_argument(f"application {app.namespace}/{app.name} does not have deployment with id {wanted}")
    return entry
