"""One SQL database: one writer thread that groups commits, one reader thread, an async face.

`write` answers after the commit that holds its change, so what was answered survives any kill of the process (SQLite: WAL,
synchronous=NORMAL; a power cut may take the last commits, never the order or the integrity). Writes that wait while a
commit runs share the next one; each has a savepoint, so one that fails takes nothing else with it.

Failures are `StoreError`s. The caller can go on: losing the store costs history and time, never correctness.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from tiphys.store.schema import SCHEMA_VERSION, create_tables, read_version

T = TypeVar("T")

_MAX_GROUP = 256  # writes in one commit: bounds how long the first of them waits
_BUSY_TIMEOUT_S = 10


class StoreError(Exception):
    """The store could not do what was asked."""


class StoreFullError(StoreError):
    """No space is left where the store lives."""


class StoreVersionError(StoreError):
    """The store was written by a newer version; this one must not touch it."""


@dataclass(slots=True)
class _Job:
    work: Callable[[Connection], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    result: Any = None
    error: BaseException | None = None


_Jobs = queue.SimpleQueue[_Job | None]


@dataclass(slots=True)
class _Worker:
    """A thread with its connection and what waits for it."""

    jobs: _Jobs = field(default_factory=queue.SimpleQueue)
    thread: threading.Thread | None = None


class Database:
    """A store at an SQLAlchemy URL (`sqlite:///path`, `sqlite://` in memory, `postgresql+...`). Call `start` first."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._engine: Engine | None = None
        self._writer = _Worker()
        self._reader = _Worker()
        self._in_memory = url in ("sqlite://", "sqlite:///:memory:")

    async def start(self) -> None:
        """Open the store, create or check its tables, start the threads.

        Raises StoreVersionError for a store of a newer version, StoreError when it cannot be opened.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._open)
        self._writer.thread = threading.Thread(target=self._run_writer, name="store-writer", daemon=True)
        self._writer.thread.start()
        if not self._in_memory:
            self._reader.thread = threading.Thread(target=self._run_reader, name="store-reader", daemon=True)
            self._reader.thread.start()

    async def stop(self) -> None:
        """Finish what was asked for, then close. Asking afterwards raises StoreError."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        loop = asyncio.get_running_loop()
        for worker in (self._reader, self._writer):
            if worker.thread is not None:
                worker.jobs.put(None)
                await loop.run_in_executor(None, worker.thread.join)
                worker.thread = None
        engine.dispose()

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread; returns its result once it is committed. Raises StoreError."""
        return await self._ask(self._writer, work)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the reader thread, on what is committed. Raises StoreError."""
        return await self._ask(self._writer if self._in_memory else self._reader, work)

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._url.partition(":")[0].partition("+")[0]

    async def _ask(self, worker: _Worker, work: Callable[[Connection], T]) -> T:
        if self._engine is None:
            raise StoreError("the store is not open")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        worker.jobs.put(_Job(work, loop, future))
        return await future

    def _open(self) -> None:
        engine = _create_engine(self._url)
        try:
            if self.dialect == "sqlite" and not self._in_memory:
                _make_private(Path(self._url.removeprefix("sqlite:///")))
            if not self._in_memory:
                with engine.connect() as connection:
                    _prepare(connection)
        except SQLAlchemyError as error:
            engine.dispose()
            raise _store_error(error) from error
        except BaseException:
            engine.dispose()
            raise
        self._engine = engine

    def _connect(self) -> Connection:
        assert self._engine is not None
        connection = self._engine.connect()
        if self._in_memory:
            _prepare(connection)
        return connection

    def _run_writer(self) -> None:
        connection = self._connect()
        try:
            while (job := self._writer.jobs.get()) is not None:
                group = [job]
                last = False
                while len(group) < _MAX_GROUP:
                    try:
                        more = self._writer.jobs.get_nowait()
                    except queue.Empty:
                        break
                    if more is None:
                        last = True
                        break
                    group.append(more)
                _commit_group(connection, group)
                if last:
                    break
        finally:
            connection.close()

    def _run_reader(self) -> None:
        connection = self._connect()
        try:
            while (job := self._reader.jobs.get()) is not None:
                _run_alone(connection, job)
                _answer([job])
        finally:
            connection.close()


def sqlite_url(path: Path) -> str:
    """URL of an SQLite store in a file."""
    return f"sqlite:///{path}"


def _make_private(path: Path) -> None:
    """A database file only its owner reads; SQLite gives the files beside it the same rights. Raises StoreError."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        path.chmod(0o600)
    except OSError as error:
        raise StoreError(f"the store {path} cannot be opened: {error.strerror}") from error


def _create_engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, poolclass=NullPool)
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_S}
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: sqlite3.Connection, _record: object) -> None:
        # The driver's own transaction control starts them late and not for every statement.
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA wal_autocheckpoint=1000")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def _prepare(connection: Connection) -> None:
    """Tables of this version, or StoreVersionError."""
    with connection.begin():
        version = read_version(connection)
        if version is not None and version > SCHEMA_VERSION:
            raise StoreVersionError(
                f"the store has schema version {version}, this Tiphys knows {SCHEMA_VERSION}: "
                "run the newer Tiphys, or move the store away to start with an empty one"
            )
        create_tables(connection, version)


def _commit_group(connection: Connection, group: list[_Job]) -> None:
    """All jobs in one transaction, each in a savepoint; when the commit fails, none of them happened."""
    try:
        with connection.begin():
            for job in group:
                _run_in_savepoint(connection, job)
    except Exception as error:
        failure = _store_error(error)
        for job in group:
            job.error = job.error or failure
    _answer(group)


def _run_in_savepoint(connection: Connection, job: _Job) -> None:
    """Run one job of a group. Raises when the transaction itself is lost, as SQLite does when the disk is full."""
    connection.exec_driver_sql("SAVEPOINT job")
    try:
        job.result = job.work(connection)
    except Exception as error:
        job.error = _store_error(error) if isinstance(error, SQLAlchemyError) else error
        try:
            connection.exec_driver_sql("ROLLBACK TO SAVEPOINT job")
        except SQLAlchemyError:
            raise error from None
    connection.exec_driver_sql("RELEASE SAVEPOINT job")


def _run_alone(connection: Connection, job: _Job) -> None:
    try:
        with connection.begin():
            job.result = job.work(connection)
    except SQLAlchemyError as error:
        job.error = _store_error(error)
    except Exception as error:
        job.error = error


def _answer(jobs: list[_Job]) -> None:
    """Hand results to the event loops that wait for them, one call per loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Job]] = {}
    for job in jobs:
        by_loop.setdefault(job.loop, []).append(job)
    for loop, waiting in by_loop.items():
        try:
            loop.call_soon_threadsafe(_resolve, waiting)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more


def _resolve(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.future.cancelled():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)


def _store_error(error: Exception) -> StoreError:
    """The failure in one line, without the statement and its values: they may be confidential."""
    original = error.orig if isinstance(error, DBAPIError) else error
    text = str(original).splitlines()[0] if str(original) else type(original).__name__
    if isinstance(original, sqlite3.Error):
        code = getattr(original, "sqlite_errorname", "") or ""
        if code.startswith("SQLITE_FULL") or "disk is full" in text:
            return StoreFullError("no space left for the store; operations go on, their history is not kept")
        if code.startswith("SQLITE_READONLY"):
            return StoreError(f"the store cannot be written: {text}")
    return StoreError(f"the store failed: {text}")
