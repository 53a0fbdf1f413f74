"""The ledger's rows of operations: opened, closed, and settled after a crash. Losing a row loses history, no deployment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from tiphys.controllers.controlplane import Key, Unreadable
from tiphys.controllers.known import name_of
from tiphys.controllers.operation import OperationRun, summarize
from tiphys.model.application import Application
from tiphys.model.operation import OperationPhase, OperationState
from tiphys.runtime.clock import Clock
from tiphys.runtime.log import SILENT, Logger
from tiphys.store.database import StoreError
from tiphys.store.ledger import Ledger, OperationRow

DELETED = "the Application was deleted while the operation ran"
UNRECORDED = "how it ended was not recorded"


class Records:
    """Writes what operations do to the ledger; trouble with the store is said in the log and stops nothing."""

    def __init__(self, ledger: Ledger, *, clock: Clock, log: Logger = SILENT) -> None:
        self._ledger = ledger
        self._clock = clock
        self._log = log

    async def open(self, app: Application, run: OperationRun) -> None:
        """An operation starts, or goes on in a new process."""
        await self._write(ledger_row(app, run), opens=True)

    async def close(self, app: Application, run: OperationRun) -> None:
        """An operation ended."""
        await self._write(ledger_row(app, run), opens=False)

    async def settle(self, applications: Mapping[Key, Application | Unreadable]) -> None:
        """Close the rows an earlier process left open, except those of operations that still run."""
        try:
            left = await self._ledger.open_rows()
        except StoreError as error:
            self._log.warning("the ledger cannot be read", problem=str(error))
            return
        for row in left:
            found = applications.get((row.app_namespace, row.app_name))
            if isinstance(found, Unreadable):
                continue  # it may go on once it can be read
            settled = settled_row(row, found, self._clock.now())
            if settled is not None:
                self._log.info(
                    "closed the ledger row of an operation that ended unseen",
                    application=name_of((row.app_namespace, row.app_name)),
                    phase=settled.phase,
                )
                await self._write(settled, opens=False)

    async def _write(self, row: OperationRow, *, opens: bool) -> None:
        try:
            if opens:
                await self._ledger.open_operation(row)
            else:
                await self._ledger.close_operation(row)
        except StoreError as error:
            self._log.warning(
                "the ledger could not note an operation",
                application=name_of((row.app_namespace, row.app_name)),
                problem=str(error),
            )


def settled_row(row: OperationRow, app: Application | None, now: datetime) -> OperationRow | None:
    """An open row as its Application says the operation ended; None while it still runs."""
    if app is None or app.uid != row.app_uid:
        return replace(row, phase=OperationPhase.ERROR.value, message=DELETED, finished_at=now)
    state = app.status.operation_state
    if state is not None and state.started_at == row.started_at:
        if state.completed:
            return _row_of(row, state, now)
        if app.deletion_timestamp is None:
            return None
        return replace(row, phase=OperationPhase.ERROR.value, message=DELETED, finished_at=now)
    for entry in app.status.history:
        if entry.deploy_started_at == row.started_at:
            return replace(row, phase=OperationPhase.SUCCEEDED.value, finished_at=entry.deployed_at or now)
    return replace(row, phase=OperationPhase.ERROR.value, message=UNRECORDED, finished_at=now)


def _row_of(row: OperationRow, state: OperationState, now: datetime) -> OperationRow:
    counts: dict[str, int] = {}
    if state.sync_result is not None:
        for resource in state.sync_result.resources:
            word = resource.status or "Pending"
            counts[word] = counts.get(word, 0) + 1
    return replace(
        row,
        phase=state.phase,
        message=state.message,
        revision=(state.sync_result.revision if state.sync_result is not None else "") or row.revision,
        finished_at=state.finished_at or now,
        resources=counts,
    )


def ledger_row(app: Application, run: OperationRun) -> OperationRow:
    """The ledger's row of an operation as it stands."""
    return OperationRow(
        app_uid=app.uid,
        started_at=run.started_at,
        app_namespace=app.namespace,
        app_name=app.name,
        project=app.project_name,
        revision=run.revision,
        initiated_by=run.operation.initiated_by.username,
        automated=run.automated,
        finished_at=run.finished_at if run.phase.completed else None,
        phase=run.phase.value,
        message=run.message,
        resources=summarize(run.results),
        render_keys=run.render_keys,
    )
