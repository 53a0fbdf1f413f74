"""Rendered manifests by render key, compressed and sealed: what was rendered once is not rendered again after a restart."""

from __future__ import annotations

import zlib

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from tiphys.model.time import format_time
from tiphys.runtime.clock import Clock
from tiphys.store.database import Database
from tiphys.store.schema import RENDERS
from tiphys.store.seal import BrokenSealError, Seal

_LEVEL = 1  # manifests are repetitive: the fastest level already takes most of them away


class Renders:
    """Rendered output by key. A value that does not open counts as absent: it is only a cache."""

    def __init__(self, database: Database, *, clock: Clock, seal: Seal) -> None:
        self._database = database
        self._clock = clock
        self._seal = seal
        put = (postgresql.insert if database.dialect == "postgresql" else sqlite.insert)(RENDERS)
        self._put = put.on_conflict_do_update(
            index_elements=[RENDERS.c.key],
            set_={name: put.excluded[name] for name in ("content", "size_bytes", "stored_at")},
        )
        self._get = select(RENDERS.c.content).where(RENDERS.c.key == bindparam("wanted"))

    async def get(self, key: str) -> bytes | None:
        """What was stored under `key`, None when there is nothing that can be trusted. Raises StoreError."""

        def work(connection: Connection) -> bytes | None:
            sealed = connection.execute(self._get, {"wanted": key}).scalar()
            if sealed is None:
                return None
            try:
                return zlib.decompress(self._seal.open(bytes(sealed), key))
            except (BrokenSealError, zlib.error):
                return None

        return await self._database.read(work)

    async def put(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, in place of what was there. Raises StoreError."""
        stored_at = format_time(self._clock.now())

        def work(connection: Connection) -> None:
            sealed = self._seal.seal(zlib.compress(content, _LEVEL), key)
            row = {"key": key, "content": sealed, "size_bytes": len(sealed), "stored_at": stored_at}
            connection.execute(self._put, row)

        await self._database.write(work)

    async def evict(self, max_bytes: int) -> int:
        """Drop the oldest until what is left takes at most `max_bytes`; returns how many were dropped."""

        def work(connection: Connection) -> int:
            total = int(connection.execute(select(func.coalesce(func.sum(RENDERS.c.size_bytes), 0))).scalar() or 0)
            keys = []
            if total > max_bytes:
                ordered = select(RENDERS.c.key, RENDERS.c.size_bytes).order_by(RENDERS.c.stored_at, RENDERS.c.key)
                for row in connection.execute(ordered):
                    if total <= max_bytes:
                        break
                    keys.append(row.key)
                    total -= row.size_bytes
            for key in keys:
                connection.execute(delete(RENDERS).where(RENDERS.c.key == key))
            return len(keys)

        return await self._database.write(work)
