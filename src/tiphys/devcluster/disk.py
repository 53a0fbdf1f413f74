"""Disk: where the embedded cluster's objects survive the process, in one SQLite file.

One thread owns the connection. The event loop hands it batches; each batch is one transaction (WAL, synchronous=NORMAL: it
survives any kill of the process, not a power cut). While a batch is being written the next one gathers.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SCHEMA_VERSION = 1


class StoreError(Exception):
    """The store cannot be used: held by another process, written by a newer version, or broken."""


def may_pass(exc: BaseException) -> bool:
    """Whether a failed write may work again later, as after the disk was full; the transaction was rolled back whole."""
    if not isinstance(exc, sqlite3.OperationalError):
        return False
    name = str(getattr(exc, "sqlite_errorname", ""))
    return name.startswith(("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_BUSY", "SQLITE_CANTOPEN"))


class Row(NamedTuple):
    """One object as kept. `body` None means: it is gone."""

    bucket: str
    key: str  # namespace/name
    rv: int
    body: bytes | None


class Batch(NamedTuple):
    """What one transaction writes; `reserved` is the resourceVersion below which versions may have been given out."""

    rows: Sequence[Row]
    reserved: int | None


class Disk:
    """The SQLite file of one cluster. `open` takes the lock, `load` reads all, `submit` writes, `close` ends the thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "store.db"
        self._lock_fd = -1
        self._db: sqlite3.Connection | None = None
        self._queue: queue.SimpleQueue[tuple[Batch, Callable[[Exception | None], None]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def open(self) -> int:
        """Take the lock, make or check the schema; the reserved resourceVersion. Raises StoreError."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_lock()
        try:
            return self._open_db()
        except sqlite3.DatabaseError as exc:
            self.close()
            raise StoreError(f"{self.path} is not a usable store: {exc}") from exc
        except StoreError:
            self.close()
            raise

    def _take_lock(self) -> None:
        fd = os.open(self.folder / "store.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(fd, 64, 0).decode(errors="replace").strip()
            os.close(fd)
            who = f"process {holder}" if holder else "another process"
            raise StoreError(f"the store in {self.folder} is in use by {who}") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock_fd = fd

    def _open_db(self) -> int:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
        self._db = db
        os.chmod(self.path, 0o600)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        found = dict(db.execute("SELECT key, value FROM meta"))
        version = int(found.get("schema", SCHEMA_VERSION))
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} has schema version {version}; this program knows up to {SCHEMA_VERSION}."
                " Use the newer program, or another folder"
            )
        db.execute(
            "CREATE TABLE IF NOT EXISTS obj("
            "bucket TEXT NOT NULL, key TEXT NOT NULL, rv INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(bucket, key))"
        )
        db.execute("INSERT OR IGNORE INTO meta VALUES('schema', ?)", (str(SCHEMA_VERSION),))
        return int(found.get("reserved", 0))

    def load(self) -> Iterator[Row]:
        """Every object kept, in no order."""
        assert self._db is not None
        for bucket, key, rv, body in self._db.execute("SELECT bucket, key, rv, body FROM obj"):
            yield Row(bucket, key, rv, body)

    def start(self) -> None:
        """Start the writer thread; from here on the connection is its own."""
        self._thread = threading.Thread(target=self._run, name="devcluster-store", daemon=True)
        self._thread.start()

    def submit(self, batch: Batch, done: Callable[[Exception | None], None]) -> None:
        """Write one batch; `done` is called in the writer thread, with the error if it failed."""
        self._queue.put((batch, done))

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            batch, done = job
            try:
                self._write(batch)
            except Exception as exc:  # whatever SQLite or the disk raised; the Store decides what it means
                done(exc)
            else:
                done(None)

    def _write(self, batch: Batch) -> None:
        db = self._db
        assert db is not None
        db.execute("BEGIN IMMEDIATE")
        try:
            if batch.reserved is not None:
                db.execute("INSERT OR REPLACE INTO meta VALUES('reserved', ?)", (str(batch.reserved),))
            for row in batch.rows:
                if row.body is None:
                    db.execute("DELETE FROM obj WHERE bucket=? AND key=?", (row.bucket, row.key))
                else:
                    db.execute("INSERT OR REPLACE INTO obj VALUES(?,?,?,?)", row)
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # a full disk makes SQLite roll back by itself
                db.execute("ROLLBACK")
            raise

    def close(self, reserved: int | None = None) -> None:
        """Finish what was submitted, note the exact resourceVersion, give the lock back."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None
        if self._db is not None:
            try:
                if reserved is not None:
                    self._write(Batch((), reserved))
            except sqlite3.OperationalError:
                pass  # without it, versions of the reserved block are skipped, as after a crash
            finally:
                self._db.close()
                self._db = None
        if self._lock_fd >= 0:
            os.ftruncate(self._lock_fd, 0)
            os.close(self._lock_fd)
            self._lock_fd = -1
