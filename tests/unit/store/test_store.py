"""The store answers after the commit, survives a kill, refuses a newer schema, and fails clearly."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert, text

from tiphys.runtime.secret import Secret
from tiphys.store.database import Database, StoreError, StoreFullError, StoreVersionError, sqlite_url
from tiphys.store.ledger import Ledger, OperationRow
from tiphys.store.renders import Renders
from tiphys.store.schema import META
from tiphys.store.seal import BrokenSealError, Seal

START = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)


class FixedClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing here sleeps")


@pytest.fixture(params=["file", "memory"])
async def database(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Database]:
    opened = Database("sqlite://" if request.param == "memory" else sqlite_url(tmp_path / "store.db"))
    await opened.start()
    yield opened
    await opened.stop()


def row(n: int = 0, *, uid: str = "u", name: str = "web") -> OperationRow:
    return OperationRow(
        app_uid=uid,
        started_at=START + timedelta(seconds=n),
        app_namespace="argocd",
        app_name=name,
        revision="abc",
        initiated_by="admin",
        phase="Running",
    )


def closed(opened: OperationRow, phase: str = "Succeeded") -> OperationRow:
    return OperationRow(
        app_uid=opened.app_uid,
        started_at=opened.started_at,
        app_namespace=opened.app_namespace,
        app_name=opened.app_name,
        revision="abc",
        initiated_by="admin",
        finished_at=opened.started_at + timedelta(seconds=1),
        phase=phase,
        resources={"Synced": 2},
    )


async def test_a_row_is_open_until_it_is_closed(database: Database) -> None:
    ledger = Ledger(database)
    await ledger.open_operation(row(0))
    await ledger.open_operation(row(1))
    assert [r.started_at for r in await ledger.open_rows()] == [START, START + timedelta(seconds=1)]
    await ledger.close_operation(closed(row(0)))
    assert await ledger.open_rows() == (row(1),)
    assert await ledger.list_for_app("argocd", "web") == (row(1), closed(row(0)))
    assert await ledger.list_for_app("argocd", "other") == ()


async def test_opening_again_changes_nothing_and_closing_twice_keeps_one_row(database: Database) -> None:
    ledger = Ledger(database)
    await ledger.close_operation(closed(row(0)))
    await ledger.open_operation(row(0))
    assert await ledger.open_rows() == ()
    await ledger.close_operation(closed(row(0), "Failed"))
    assert [r.phase for r in await ledger.latest()] == ["Failed"]


async def test_old_rows_are_forgotten_but_never_open_ones(database: Database) -> None:
    ledger = Ledger(database)
    await ledger.open_operation(row(0))
    await ledger.close_operation(closed(row(1)))
    await ledger.close_operation(closed(row(100)))
    assert await ledger.forget_before(START + timedelta(seconds=50)) == 1
    assert len(await ledger.latest()) == 2


async def test_many_writers_share_commits_and_one_failure_takes_nothing_else_with_it(database: Database) -> None:
    ledger = Ledger(database)

    def broken(connection: Connection) -> None:
        connection.execute(insert(META).values(key="x", value="y"))
        connection.execute(text("insert into nowhere values (1)"))

    results = await asyncio.gather(
        *(ledger.open_operation(row(n)) for n in range(300)),
        database.write(broken),
        *(ledger.open_operation(row(n)) for n in range(300, 400)),
        return_exceptions=True,
    )
    assert [r for r in results if r is not None] == [results[300]]
    assert isinstance(results[300], StoreError)
    assert len(await ledger.open_rows()) == 400
    assert await database.read(lambda c: c.execute(text("select count(*) from meta where key='x'")).scalar()) == 0


async def test_renders_are_kept_sealed_and_a_changed_or_moved_one_is_absent(database: Database) -> None:
    clock = FixedClock()
    renders = Renders(database, clock=clock, seal=Seal(Secret("key"), random_bytes=os.urandom))
    await renders.put("a", b"canary manifest " * 50)
    await renders.put("b", b"other")
    assert await renders.get("a") == b"canary manifest " * 50
    assert await renders.get("missing") is None
    raw = await database.read(lambda c: c.execute(text("select content from renders where key='a'")).scalar())
    assert isinstance(raw, bytes)
    assert b"canary" not in raw
    await database.write(lambda c: c.execute(text("update renders set content=:c where key='b'"), {"c": raw}) and None)
    assert await renders.get("b") is None
    other_key = Renders(database, clock=clock, seal=Seal(Secret("rotated"), random_bytes=os.urandom))
    assert await other_key.get("a") is None


async def test_the_oldest_renders_go_first(database: Database) -> None:
    clock = FixedClock()
    renders = Renders(database, clock=clock, seal=Seal(Secret("key"), random_bytes=os.urandom))
    for name in "abc":
        await renders.put(name, os.urandom(1000))
        clock.time += timedelta(seconds=1)
    assert await renders.evict(2500) == 1
    assert [await renders.get(name) is not None for name in "abc"] == [False, True, True]


def test_a_seal_opens_only_for_its_purpose() -> None:
    seal = Seal(Secret("key"), random_bytes=os.urandom)
    sealed = seal.seal(b"x", "a")
    assert seal.open(sealed, "a") == b"x"
    for broken in (sealed[:-1] + bytes([sealed[-1] ^ 1]), b"", b"\x02" + sealed[1:]):
        with pytest.raises(BrokenSealError):
            seal.open(broken, "a")
    with pytest.raises(BrokenSealError):
        seal.open(sealed, "b")


async def test_a_newer_store_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    first = Database(sqlite_url(path))
    await first.start()
    await first.stop()
    with sqlite3.connect(path) as connection:
        connection.execute("update meta set value='999' where key='schema_version'")
    with pytest.raises(StoreVersionError, match="schema version 999"):
        await Database(sqlite_url(path)).start()


async def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"store\.db cannot be opened: No such file or directory"):
        await Database(sqlite_url(tmp_path / "missing" / "store.db")).start()
    stopped = Database(sqlite_url(tmp_path / "s.db"))
    with pytest.raises(StoreError, match="not open"):
        await Ledger(stopped).open_rows()


async def test_a_full_disk_is_named_and_the_store_goes_on_when_there_is_space_again(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "store.db"))
    await database.start()
    renders = Renders(database, clock=FixedClock(), seal=Seal(Secret("key"), random_bytes=os.urandom))
    await database.write(lambda c: c.exec_driver_sql("pragma max_page_count=30").close())
    puts = (renders.put(str(n), os.urandom(4000)) for n in range(100))
    results = await asyncio.gather(*puts, return_exceptions=True)
    assert {type(result) for result in results if result is not None} == {StoreFullError}
    await database.write(lambda c: c.exec_driver_sql("pragma max_page_count=100000").close())
    await renders.put("after", b"space again")
    assert await renders.get("after") == b"space again"
    await database.stop()


WRITER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tiphys.store.database import Database, sqlite_url
from tiphys.store.ledger import Ledger, OperationRow

async def main():
    database = Database(sqlite_url(Path(sys.argv[1])))
    await database.start()
    ledger = Ledger(database)
    for n in range(100000):
        await ledger.open_operation(OperationRow(app_uid="u", started_at=datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=n),
            app_namespace="a", app_name="b"))
        print(n, flush=True)

asyncio.run(main())
"""


async def test_what_was_answered_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    source = str(Path(__file__).resolve().parents[3] / "src")
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": source},
    )
    assert process.stdout is not None
    answered = -1
    for line in process.stdout:
        answered = int(line)
        if answered >= 40:
            process.send_signal(signal.SIGKILL)
            break
    for line in process.stdout:
        answered = int(line)
    process.stdout.close()
    process.wait(timeout=30)
    database = Database(sqlite_url(path))
    await database.start()
    assert len(await Ledger(database).open_rows()) >= answered + 1
    assert await database.read(lambda c: c.execute(text("pragma integrity_check")).scalar()) == "ok"
    await database.stop()


async def test_the_database_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.touch(mode=0o644)
    database = Database(sqlite_url(path))
    await database.start()
    await Ledger(database).open_operation(row())
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    await database.stop()


async def test_a_store_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    database = Database(sqlite_url(path))
    await database.start()
    await Ledger(database).open_operation(row())
    await database.stop()
    with sqlite3.connect(path) as connection:
        connection.execute("alter table operations drop column render_keys")
        connection.execute("update meta set value='1' where key='schema_version'")
    connection.close()
    database = Database(sqlite_url(path))
    await database.start()
    ledger = Ledger(database)
    assert [found.render_keys for found in await ledger.list_for_app("argocd", "web")] == [()]
    await ledger.close_operation(replace(row(), phase="Succeeded", render_keys=("a", "b")))
    assert [found.render_keys for found in await ledger.list_for_app("argocd", "web")] == [("a", "b")]
    await database.stop()
