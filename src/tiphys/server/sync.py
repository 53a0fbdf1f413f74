"""/api/v1/applications/{name}/sync and /operation: operations are asked for in the Application itself.

Source: compat 2.7, 13.1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tiphys.apimachinery.apierrors import Conflict
from tiphys.model.application import Application, parse_application
from tiphys.model.codec import decode, encode
from tiphys.model.operation import (
    Info,
    Operation,
    OperationInitiator,
    OperationPhase,
    SyncOperation,
    SyncOperationResource,
    SyncStrategy,
)
from tiphys.model.source import ApplicationSource
from tiphys.model.syncpolicy import RetryStrategy
from tiphys.server.authz import enforce_on_application
from tiphys.server.cache import StoredApplication, visible
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, failed_precondition, invalid_argument
from tiphys.server.http import Response, bool_member, json_response, member, text_list_member, text_member
from tiphys.server.syncwindows import require_open_window

_CONFLICT_ATTEMPTS = 10
BUSY = "another operation is already in progress"


async def sync_application(context: Context) -> Response:
    """POST /applications/{name}/sync: sets the Application's operation; the engine does the rest."""
    app = parse_application(context.application.obj)
    require_open_window(context, app)
    enforce_on_application(context, "sync")
    body = await context.request.json_object()
    if member(body, "manifests"):
        enforce_on_application(context, "override")
        raise RequestError(Code.UNIMPLEMENTED, "sync of local manifests is not supported")
    if app.deletion_timestamp is not None:
        raise failed_precondition("application is deleting")
    revision = text_member(body, "revision")
    dry_run = bool_member(body, "dryRun")
    revisions = _revisions(app, body)
    if app.spec.policy.is_automated and not dry_run:
        _refuse_other_revision(app, revision, revisions)
    options = _options(app, body)
    if "Replace=true" in options and not context.services.settings().replace_allowed:
        raise failed_precondition("sync with replace was disabled on the API Server level via the server configuration")
    strategy = member(body, "strategy")
    retry = member(body, "retryStrategy")
    operation = Operation(
        sync=SyncOperation(
            revision=revision,
            revisions=revisions,
            prune=bool_member(body, "prune"),
            dry_run=dry_run,
            sync_options=options,
            sync_strategy=decode(SyncStrategy, strategy, path="strategy", fold_case=True) if strategy else None,
            resources=tuple(
                decode(SyncOperationResource, item, path=f"resources[{index}]", fold_case=True)
                for index, item in enumerate(_list(body, "resources"))
            ),
        ),
        initiated_by=OperationInitiator(username=context.username),
        info=tuple(
            decode(Info, item, path=f"infos[{index}]", fold_case=True)
            for index, item in enumerate(_list(body, "infos"))
        ),
        retry=decode(RetryStrategy, retry, path="retryStrategy", fold_case=True)
        if retry
        else app.spec.policy.retry or RetryStrategy(),
    )
    return json_response(visible(await set_operation(context, operation)))


async def terminate_operation(context: Context) -> Response:
    """DELETE /applications/{name}/operation: the running operation is to end."""
    enforce_on_application(context, "sync")

    def change(app: Mapping[str, Any]) -> dict[str, Any]:
        state = (app.get("status") or {}).get("operationState")
        if not app.get("operation") or not state:
            raise invalid_argument("Unable to terminate operation. No operation is in progress")
        return {"status": {"operationState": {"phase": OperationPhase.TERMINATING.value}}}

    await change_application(context, change)
    return Response()


async def set_operation(
    context: Context, operation: Operation, *, annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Put an operation, and annotations with it, into the Application unless there is one; what the last one left is
    cleared."""

    def change(app: Mapping[str, Any]) -> dict[str, Any]:
        if app.get("operation"):
            raise failed_precondition(BUSY)
        patch: dict[str, Any] = {"operation": encode(operation)}
        if (app.get("status") or {}).get("operationState"):
            patch["status"] = {"operationState": None}
        if annotations:
            patch["metadata"] = {"annotations": dict(annotations)}
        return patch

    return await change_application(context, change)


async def change_application(context: Context, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Patch the Application on condition that it is still the one `change` looked at; look again when it is not."""
    app: StoredApplication = context.application
    writer = context.services.writer
    obj: Mapping[str, Any] = app.obj
    for _ in range(_CONFLICT_ATTEMPTS):
        patch = change(obj)
        version = (obj.get("metadata") or {}).get("resourceVersion")
        if version:
            patch.setdefault("metadata", {})["resourceVersion"] = version
        try:
            return await writer.merge_patch(app.namespace, app.name, patch)
        except Conflict:
            obj = await writer.get(app.namespace, app.name)
    raise RequestError(Code.ABORTED, "the application changes too often: try again")


def _options(app: Application, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Sync options of the request, or the Application's where it has none."""
    asked = member(body, "syncOptions")
    if asked is None:
        return app.spec.policy.sync_options
    if not isinstance(asked, Mapping):
        raise invalid_argument("syncOptions: expected an object")
    return tuple(text_list_member(asked, "items"))


def _revisions(app: Application, body: Mapping[str, Any]) -> tuple[str, ...]:
    """Revisions by source: those asked for at their (one-based) positions, else what the sources say."""
    revisions = text_list_member(body, "revisions")
    if not revisions or not app.spec.has_multiple_sources:
        return ()
    positions = _list(body, "sourcePositions")
    if len(positions) != len(revisions):
        raise invalid_argument("source positions and revisions must have the same length")
    found = [source.target_revision for source in app.spec.sources]
    for position, revision in zip(positions, revisions, strict=True):
        if isinstance(position, bool) or not isinstance(position, int) or not 0 < position <= len(found):
            raise invalid_argument("source position is out of range")
        found[position - 1] = revision
    return tuple(found)


def _refuse_other_revision(app: Application, revision: str, revisions: tuple[str, ...]) -> None:
    """With automation on, another revision would be undone at once."""
    for source, asked in zip(app.spec.all_sources, revisions or (revision,), strict=False):
        if asked and asked != (source.target_revision or "HEAD"):
            raise failed_precondition(f"Cannot sync to {asked}: auto-sync currently set to {_target(source)}")


def _target(source: ApplicationSource) -> str:
    return source.target_revision or "HEAD"


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    value = member(body, name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise invalid_argument(f"{name}: expected a list")
    return value
