"""A push into a local repository is noticed, at once and every time."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.unit.engine.source.trees import Bare, git

from tiphys.engine.source.fileevents import FileEvents, Inotify, WatchfilesEvents, system_file_events
from tiphys.engine.source.git import GitRepositories
from tiphys.engine.source.notify import look_at_refs, watch_refs
from tiphys.engine.states import StageError
from tiphys.runtime.clock import SystemClock

WATCHERS = [pytest.param(Inotify().events, id="inotify"), pytest.param(WatchfilesEvents, id="watchfiles")]
if system_file_events() is WatchfilesEvents:
    WATCHERS = WATCHERS[1:]  # no Linux


class Noticed:
    """How often a change was told, and a way to wait for the next one."""

    def __init__(self) -> None:
        self.count = 0
        self.at = 0.0
        self._event = asyncio.Event()

    def __call__(self) -> None:
        self.count += 1
        self.at = time.monotonic()
        self._event.set()

    async def after(self, moment: float, timeout_s: float = 5.0) -> float:
        """Wait for a change told after this moment; when it was told. Changes close together may be told as one."""
        async with asyncio.timeout(timeout_s):
            while self.at <= moment:
                self._event.clear()
                await self._event.wait()
        return self.at


@asynccontextmanager
async def watching(folder: Path, events: Callable[[], FileEvents]) -> AsyncIterator[Noticed]:
    noticed, ready = Noticed(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch_refs(folder, noticed, clock=SystemClock(), ready=ready, events=events))
        async with asyncio.timeout(5):
            await ready.wait()
        yield noticed
        task.cancel()


def clone(bare: Bare, tmp_path: Path) -> Path:
    work = tmp_path / "work"
    git(tmp_path, "clone", "-q", str(bare.folder), str(work))
    return work


@pytest.mark.parametrize("events", WATCHERS)
async def test_pushes_are_noticed_within_a_moment(bare: Bare, tmp_path: Path, events: Callable[[], FileEvents]) -> None:
    bare.commit({"a": "0"})
    work = clone(bare, tmp_path)
    delays = []
    async with watching(bare.folder, events) as noticed:
        for number in range(3):
            git(work, "commit", "-q", "--allow-empty", "-m", str(number))
            began = time.monotonic()
            await asyncio.to_thread(git, work, "push", "-q", "origin", "HEAD:main")
            pushed = time.monotonic()
            delays.append(await noticed.after(began) - pushed)
    assert min(delays) < 0.1  # a busy machine may be late, but not each time


@pytest.mark.parametrize("events", WATCHERS)
async def test_every_way_a_ref_can_change_is_noticed(bare: Bare, events: Callable[[], FileEvents]) -> None:
    one = bare.commit({"a": "1"})
    two = bare.commit({"a": "2"}, branch="other")
    async with watching(bare.folder, events) as noticed:
        for step in (
            ("update-ref", "refs/heads/new/deep/branch", one),
            ("update-ref", "refs/heads/new/deep/branch", two),
            ("tag", "v1", one),
            ("tag", "-d", "v1"),
            ("symbolic-ref", "HEAD", "refs/heads/other"),
            ("update-ref", "refs/heads/main", two),
            ("update-ref", "-d", "refs/heads/new/deep/branch"),
            ("pack-refs", "--all"),
            ("update-ref", "-d", "refs/heads/other"),
        ):
            began = time.monotonic()
            await asyncio.to_thread(bare.git, *step)
            await noticed.after(began)


async def test_writing_objects_is_no_change(bare: Bare) -> None:
    bare.commit({"a": "1"})
    async with watching(bare.folder, system_file_events()) as noticed:
        await asyncio.to_thread(bare.git, "hash-object", "-w", "HEAD")
        (bare.folder / "description").write_text("new")
        await asyncio.to_thread(bare.git, "tag", "now")
        await noticed.after(0.0)
        assert noticed.count == 1


async def test_nothing_is_told_while_a_lock_is_held(bare: Bare) -> None:
    one = bare.commit({"a": "1"})
    lock = bare.folder / "refs/heads/main.lock"
    async with watching(bare.folder, system_file_events()) as noticed:
        lock.touch()
        (bare.folder / "refs/heads/second").write_text(one + "\n")
        with pytest.raises(TimeoutError):
            await noticed.after(0.0, timeout_s=0.1)
        lock.unlink()
        await noticed.after(0.0)
        assert noticed.count == 1


async def test_a_repository_that_comes_later_is_noticed(tmp_path: Path, bare: Bare) -> None:
    bare.commit({"a": "1"})
    hidden = bare.folder.rename(tmp_path / "away.git")
    noticed = Noticed()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watch_refs(bare.folder, noticed, clock=QuickClock(), events=system_file_events()))
        await asyncio.sleep(0.03)
        assert noticed.count == 0
        hidden.rename(bare.folder)
        await noticed.after(0.0)
        task.cancel()


class QuickClock(SystemClock):
    """Seconds are hundredths."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 100)


def test_reftable_and_loose_and_packed_refs_are_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "reftable").mkdir()
    (tmp_path / "refs/heads").mkdir(parents=True)
    seen = {look_at_refs(tmp_path)[0]}
    for name, content in (
        ("HEAD", "ref: refs/heads/main\n"),
        ("reftable/tables.list", "0x1.ref\n"),
        ("reftable/tables.list", "0x2.ref\n"),
        ("packed-refs", "# pack-refs\n"),
        ("refs/heads/main", "1" * 40),
        ("refs/heads/main", "2" * 40),
    ):
        (tmp_path / name).write_text(content)
        fingerprint, locked = look_at_refs(tmp_path)
        assert fingerprint not in seen
        assert not locked
        seen.add(fingerprint)
    (tmp_path / "reftable/tables.list.lock").touch()
    assert look_at_refs(tmp_path)[1]


async def test_only_local_repositories_are_watched(repositories: GitRepositories) -> None:
    with pytest.raises(StageError, match="only file:// repositories can be watched"):
        await repositories.watch_local("https://host.example/a", lambda: None)


async def test_many_repositories_share_one_inotify_instance(tmp_path: Path) -> None:
    """A user has 128 of them by default; a push is told to those who watch its repository alone."""
    if system_file_events() is WatchfilesEvents:
        pytest.skip("inotify is Linux's")
    bares = [Bare(tmp_path / f"{number}.git") for number in range(150)]
    told: list[int] = []
    events = system_file_events()
    async with asyncio.TaskGroup() as tasks:
        ready = [asyncio.Event() for _ in bares]
        running = [
            tasks.create_task(
                watch_refs(bare.folder, partial(told.append, n), clock=SystemClock(), ready=ready[n], events=events)
            )
            for n, bare in enumerate(bares)
        ]
        async with asyncio.timeout(20):
            for event in ready:
                await event.wait()
        instances = [
            entry
            for entry in Path("/proc/self/fd").iterdir()
            if entry.is_symlink() and "inotify" in str(entry.readlink())
        ]
        bares[149].commit({"a": "1"})
        async with asyncio.timeout(10):
            while not told:
                await asyncio.sleep(0.01)
        for task in running:
            task.cancel()
    assert set(told) == {149}
    assert len(instances) <= 2  # that of the event loop's own watchers apart


async def test_without_watches_left_the_refs_are_looked_at_every_second(tmp_path: Path) -> None:
    """The system refuses: a push is noticed all the same."""

    class Refused:
        def __enter__(self) -> Refused:
            raise OSError(errno.EMFILE, "Too many open files")

        def __exit__(self, *_: object) -> None: ...

        def cover(self, folders: object) -> None: ...

        async def wait(self, timeout_s: float | None) -> bool:
            return False

    bare = Bare(tmp_path / "bare.git")
    bare.commit({"a": "1"})
    async with watching(bare.folder, Refused) as noticed:
        before = time.monotonic()
        bare.commit({"a": "2"})
        await noticed.after(before)
