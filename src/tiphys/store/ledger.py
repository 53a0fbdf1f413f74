"""The ledger: who deployed what, when, from which commit, and how it ended.

One row per operation, keyed by the Application's UID and the operation's start. A row is opened before the first apply
and closed after the last; rows still open after a crash are reconciled with the Applications at start.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from tiphys.model.time import format_time, parse_time
from tiphys.store.database import Database
from tiphys.store.schema import OPERATIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRow:
    """One operation. `resources` counts results by code (Synced, Pruned, ...); `finished_at` None is still open."""

    app_uid: str
    started_at: datetime
    app_namespace: str
    app_name: str
    project: str = ""
    revision: str = ""  # several revisions are joined with commas, in the order of their sources
    initiated_by: str = ""
    automated: bool = False
    finished_at: datetime | None = None
    phase: str = ""
    message: str = ""
    resources: Mapping[str, int] = field(default_factory=dict)
    render_keys: tuple[str, ...] = ()  # of the renders that were applied, in the order of their sources

    @property
    def is_open(self) -> bool:
        """The operation has not been seen to end."""
        return self.finished_at is None


class Ledger:
    """Rows of operations in a Database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        insert = postgresql.insert if database.dialect == "postgresql" else sqlite.insert
        # Made once and given values when they run: making one costs several times what running it does.
        self._open = insert(OPERATIONS).on_conflict_do_nothing()
        close = insert(OPERATIONS)
        self._close = close.on_conflict_do_update(
            index_elements=[OPERATIONS.c.app_uid, OPERATIONS.c.started_at],
            set_={
                name: close.excluded[name]
                for name in (
                    "revision",
                    "finished_at",
                    "phase",
                    "message",
                    "resources",
                    "render_keys",
                )
            },
        )

    async def open_operation(self, row: OperationRow) -> None:
        """Note that an operation starts. Opening it again changes nothing, closed or not."""
        values = _values(row)
        await self._database.write(lambda connection: _execute(connection, self._open, values))

    async def close_operation(self, row: OperationRow) -> None:
        """Note how an operation ended; a row that was never opened is written whole. The last word counts."""
        values = _values(row)
        await self._database.write(lambda connection: _execute(connection, self._close, values))

    async def open_rows(self) -> tuple[OperationRow, ...]:
        """Operations not seen to end, oldest first."""
        statement = select(OPERATIONS).where(OPERATIONS.c.finished_at.is_(None)).order_by(OPERATIONS.c.started_at)
        return await self._database.read(lambda connection: _rows(connection.execute(statement).all()))

    async def list_for_app(self, namespace: str, name: str, *, limit: int = 100) -> tuple[OperationRow, ...]:
        """Operations of an Application of this name, newest first, also of earlier ones that were deleted."""
        statement = (
            select(OPERATIONS)
            .where(OPERATIONS.c.app_namespace == namespace, OPERATIONS.c.app_name == name)
            .order_by(OPERATIONS.c.started_at.desc())
            .limit(limit)
        )
        return await self._database.read(lambda connection: _rows(connection.execute(statement).all()))

    async def latest(self, *, limit: int = 100) -> tuple[OperationRow, ...]:
        """Operations of all Applications, newest first."""
        statement = select(OPERATIONS).order_by(OPERATIONS.c.started_at.desc()).limit(limit)
        return await self._database.read(lambda connection: _rows(connection.execute(statement).all()))

    async def forget_before(self, moment: datetime) -> int:
        """Drop closed rows that started before `moment`; returns how many."""
        statement = delete(OPERATIONS).where(
            OPERATIONS.c.started_at < format_time(moment), OPERATIONS.c.finished_at.is_not(None)
        )
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)


def _execute(connection: Connection, statement: Any, values: Mapping[str, Any]) -> None:
    connection.execute(statement, values)


def _values(row: OperationRow) -> dict[str, Any]:
    return {
        "app_uid": row.app_uid,
        "started_at": format_time(row.started_at),
        "app_namespace": row.app_namespace,
        "app_name": row.app_name,
        "project": row.project,
        "revision": row.revision,
        "initiated_by": row.initiated_by,
        "automated": row.automated,
        "finished_at": format_time(row.finished_at) if row.finished_at else None,
        "phase": row.phase,
        "message": row.message,
        "resources": json.dumps(dict(row.resources), sort_keys=True),
        "render_keys": ",".join(row.render_keys),
    }


def _rows(rows: Sequence[Row[Any]]) -> tuple[OperationRow, ...]:
    return tuple(
        OperationRow(
            app_uid=row.app_uid,
            started_at=parse_time(row.started_at),
            app_namespace=row.app_namespace,
            app_name=row.app_name,
            project=row.project,
            revision=row.revision,
            initiated_by=row.initiated_by,
            automated=bool(row.automated),
            finished_at=parse_time(row.finished_at) if row.finished_at else None,
            phase=row.phase,
            message=row.message,
            resources=json.loads(row.resources),
            render_keys=tuple(row.render_keys.split(",")) if row.render_keys else (),
        )
        for row in rows
    )
