"""The store: order, history, commits and restarts."""

from __future__ import annotations

import asyncio
import sqlite3
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tiphys.apimachinery.apierrors import InternalError
from tiphys.devcluster.disk import SCHEMA_VERSION, Disk, StoreError
from tiphys.devcluster.store import RV_BLOCK, Event, Store


def obj(name: str, **data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": name, "uid": "u-" + name}, "data": data}


class Seen:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, int]] = []

    def offer(self, event: Event) -> None:
        self.events.append((event.type, event.record.key, event.rv))


def test_lists_are_in_key_order_and_by_namespace() -> None:
    store = Store()
    for key in ("b/x", "a-b/x", "a/z", "a/y"):
        store.put("configmaps", key, obj(key))

    assert [record.key for record in store.scan("configmaps")] == ["a-b/x", "a/y", "a/z", "b/x"]
    assert [record.key for record in store.scan("configmaps", "a")] == ["a/y", "a/z"]


def test_the_bytes_of_an_object_take_no_more_room_than_they_are_long() -> None:
    store = Store()
    tracemalloc.start()
    try:
        records = [store.put("configmaps", f"a/{number}", obj(str(number), text="x" * 900)) for number in range(100)]
        for record in records:
            record.keep_bytes_only()
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 100 * 3000


def test_every_write_has_a_higher_version_and_the_object_carries_it() -> None:
    store = Store()
    first = store.put("configmaps", "a/x", obj("x"))
    second = store.put("secrets", "a/x", obj("x"))
    gone = store.remove("configmaps", "a/x")

    assert (first.rv, second.rv, gone.rv) == (1, 2, 3)
    assert gone.obj["metadata"]["resourceVersion"] == "3"
    assert store.get("configmaps", "a/x") is None


def test_the_past_can_be_listed_while_the_events_are_kept() -> None:
    store = Store()
    store.put("configmaps", "a/x", obj("x", v="1"))
    at = store.put("configmaps", "a/y", obj("y")).rv
    store.put("configmaps", "a/x", obj("x", v="2"))
    store.remove("configmaps", "a/y")
    store.put("configmaps", "a/z", obj("z"))

    then = store.scan_at("configmaps", None, at)

    assert then is not None
    assert [(record.key, record.obj["data"]) for record in then] == [("a/x", {"v": "1"}), ("a/y", {})]


def test_what_is_too_long_ago_is_said_to_be() -> None:
    store = Store(ring_size=20)
    for number in range(25):
        store.put("configmaps", f"a/{number % 10}", obj("x"))

    assert store.scan_at("configmaps", None, 3) is None
    assert store.since("configmaps", 3) is None
    assert len(store.since("configmaps", store.last_rv - 2) or ()) == 2


def test_a_watcher_that_writes_does_not_change_the_order_others_see() -> None:
    store = Store()

    class Writes:
        def offer(self, event: Event) -> None:
            if event.record.key == "a/x" and event.type == "ADDED":
                store.put("configmaps", "a/y", obj("y"))

    store.watch("configmaps", Writes())
    seen = Seen()
    store.watch("configmaps", seen)
    store.put("configmaps", "a/x", obj("x"))

    assert seen.events == [("ADDED", "a/x", 1), ("ADDED", "a/y", 2)]


async def test_events_and_answers_wait_for_the_commit(tmp_path: Path) -> None:
    store = Store(Disk(tmp_path))
    store.open()
    store.bind(asyncio.get_running_loop())
    seen = Seen()
    store.watch("configmaps", seen)

    record = store.put("configmaps", "a/x", obj("x"))
    before = list(seen.events)
    await store.committed(record.rv)

    assert before == []
    assert seen.events == [("ADDED", "a/x", record.rv)]
    store.close()


async def test_what_was_committed_is_there_after_a_restart_and_versions_go_on(tmp_path: Path) -> None:
    store = Store(Disk(tmp_path))
    store.open()
    store.bind(asyncio.get_running_loop())
    for number in range(20):
        store.put("configmaps", f"a/{number}", obj(str(number)))
    store.remove("configmaps", "a/3")
    last = store.last_rv
    await store.committed(last)
    store.close()

    again = Store(Disk(tmp_path))
    again.open()
    assert again.count("configmaps") == 19
    assert again.get("configmaps", "a/3") is None
    assert again.committed_rv == last
    again.close()


async def test_versions_never_go_back_after_a_crash(tmp_path: Path) -> None:
    store = Store(Disk(tmp_path / "one"))
    store.open()
    store.bind(asyncio.get_running_loop())
    record = store.put("configmaps", "a/x", obj("x"))
    await store.committed(record.rv)
    # A crash: the file as it is now, without what `close` would have noted.
    (tmp_path / "two").mkdir()
    with (
        sqlite3.connect(tmp_path / "one" / "store.db") as source,
        sqlite3.connect(tmp_path / "two" / "store.db") as copy,
    ):
        source.backup(copy)
    source.close()
    copy.close()
    store.close()

    again = Store(Disk(tmp_path / "two"))
    again.open()
    assert record.rv < again.committed_rv <= record.rv + RV_BLOCK
    assert again.since("configmaps", record.rv) is None
    again.close()


def test_a_second_process_is_told_who_has_the_store(tmp_path: Path) -> None:
    import os

    first = Disk(tmp_path)
    first.open()
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        Disk(tmp_path).open()
    first.close()
    Disk(tmp_path).open()


def test_a_store_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    disk.open()
    disk.close()
    db = sqlite3.connect(tmp_path / "store.db")
    db.execute("UPDATE meta SET value=? WHERE key='schema'", (str(SCHEMA_VERSION + 1),))
    db.commit()
    db.close()

    with pytest.raises(StoreError, match="schema version"):
        Disk(tmp_path).open()


async def test_a_failed_write_stops_everything_that_waits(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    store = Store(disk)
    store.open()
    store.bind(asyncio.get_running_loop())
    failures: list[Exception] = []
    store.on_failure = failures.append
    db = sqlite3.connect(tmp_path / "store.db")
    db.execute("DROP TABLE obj")
    db.commit()
    db.close()

    record = store.put("configmaps", "a/x", obj("x"))
    with pytest.raises(StoreError, match="the store failed"):
        await store.committed(record.rv)
    with pytest.raises(StoreError):
        store.put("configmaps", "a/y", obj("y"))
    assert len(failures) == 1
    store.close()


async def test_a_full_disk_refuses_what_is_written_and_nothing_else(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    store = Store(disk)
    store.open()
    store.bind(asyncio.get_running_loop())
    seen: list[tuple[str, str]] = []

    class Watcher:
        def offer(self, event: Event) -> None:
            seen.append((event.type, event.record.key))

    store.watch("configmaps", Watcher())
    kept = store.put("configmaps", "a/kept", obj("kept"))
    await store.committed(store.put("configmaps", "a/gone", obj("gone")).rv)
    assert disk._db is not None
    pages = disk._db.execute("PRAGMA page_count").fetchone()[0]
    disk._db.execute(f"PRAGMA max_page_count={pages}")
    before = store.committed_rv

    refused = store.put("configmaps", "a/new", {**obj("new"), "data": {"x": "y" * 100_000}})
    store.put("configmaps", "a/kept", {**obj("kept"), "data": {"x": "z"}})
    store.remove("configmaps", "a/gone")
    with pytest.raises(InternalError, match="cannot be written, nothing was changed: database or disk is full"):
        await store.committed(refused.rv)

    await store.settled("configmaps")
    assert [(record.key, record.rv) for record in store.scan("configmaps")] == [("a/gone", 2), ("a/kept", kept.rv)]
    assert store.committed_rv == store.bucket_rv("configmaps") == before
    assert store.since("configmaps", before) == []

    disk._db.execute("PRAGMA max_page_count=1000000")
    written = store.put("configmaps", "a/new", obj("new"))
    await store.committed(written.rv)
    assert written.rv > refused.rv
    with pytest.raises(InternalError):
        await store.committed(refused.rv)
    assert seen == [("ADDED", "a/kept"), ("ADDED", "a/gone"), ("ADDED", "a/new")]
    store.close()

    again = Store(Disk(tmp_path))
    again.open()
    assert [record.key for record in again.scan("configmaps")] == ["a/gone", "a/kept", "a/new"]
    again.close()
