"""Notices pushes into a bare repository on this machine.

A push writes lock files and renames them. A file event only says "look again"; what counts is whether the refs differ
from those seen last. So no single event is needed and none can be lost: refs are read after the watch is in place, and
again after every event, once no lock file is left.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from tiphys.engine.source.fileevents import FileEvents
from tiphys.runtime.clock import Clock

# A lock file that stays longer than this was left by a killed push; refs are judged without waiting for it.
SETTLE_LIMIT_S = 2.0
RETRY_S = 1.0
_NO_MORE_WATCHES = (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.ENOMEM)


def git_folder(repository: Path) -> Path:
    """The folder with HEAD and refs: the repository itself when it is bare, its `.git` otherwise."""
    return repository / ".git" if (repository / ".git").is_dir() else repository


async def watch_refs(
    repository: Path,
    changed: Callable[[], None],
    *,
    clock: Clock,
    ready: asyncio.Event | None = None,
    events: Callable[[], FileEvents],
) -> None:
    """Call `changed` on the event loop after each settled change of refs or HEAD; runs until cancelled.

    Loose refs, packed refs and reftable are covered. A repository that is not there, or vanishes, is looked for every
    second; what it holds then is compared as ever. Where the system has no watches left, its refs are looked at every
    second. `ready` is set once nothing can be missed any more.
    """
    folder = await asyncio.to_thread(git_folder, repository)
    seen, _ = await asyncio.to_thread(look_at_refs, folder)
    while True:
        try:
            with events() as watch:
                await asyncio.to_thread(_cover, watch, folder)
                while True:
                    seen = await _settled(folder, watch, seen, changed)
                    if ready is not None:
                        ready.set()
                    await watch.wait(None)
                    # Folders made since are watched before the refs are read, so nothing falls between.
                    await asyncio.to_thread(_cover, watch, folder)
        except OSError as error:
            # Otherwise it is not there, or vanished while it was looked at.
            if error.errno in _NO_MORE_WATCHES:
                now, _ = await asyncio.to_thread(look_at_refs, folder)
                if now != seen:
                    seen = now
                    changed()
                if ready is not None:
                    ready.set()
        await clock.sleep(RETRY_S)


async def _settled(folder: Path, watch: FileEvents, seen: bytes, changed: Callable[[], None]) -> bytes:
    loop = asyncio.get_running_loop()
    give_up = loop.time() + SETTLE_LIMIT_S
    while True:
        now, locked = await asyncio.to_thread(look_at_refs, folder)
        if not locked or loop.time() >= give_up:
            break
        await watch.wait(give_up - loop.time())
    if now != seen:
        changed()
    return now


def look_at_refs(folder: Path) -> tuple[bytes, bool]:
    """(fingerprint of HEAD and all refs, is any of them locked). A missing repository has a fingerprint of its own."""
    digest = hashlib.sha256()
    locked = False
    for name in ("HEAD", "packed-refs"):
        locked |= (folder / f"{name}.lock").exists()
        digest.update(name.encode() + b"\0" + _content(folder / name) + b"\0")
    for top in ("refs", "reftable"):
        for base, folders, files in os.walk(folder / top):
            folders.sort()
            for name in sorted(files):
                if name.endswith(".lock"):
                    locked = True
                elif top == "refs" or name == "tables.list":
                    path = os.path.join(base, name)
                    digest.update(os.fsencode(path) + b"\0" + _content(Path(path)) + b"\0")
    return digest.digest(), locked


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b"-"


def _cover(watch: FileEvents, folder: Path) -> None:
    """Watch every folder with refs. A folder made between the look and the watch of its parent tells nobody, so look
    again until there is none."""
    covered: set[str] = set()
    while not covered.issuperset(folders := _folders(folder)):
        watch.cover(folders)
        covered.update(folders)


def _folders(folder: Path) -> list[str]:
    """Folders whose direct content says where refs are; the repository's own first. Raises OSError when it is gone."""
    if not (folder / "HEAD").exists() and not (folder / "refs").is_dir():
        raise FileNotFoundError(folder)
    found = [str(folder)]
    for top in ("refs", "reftable"):
        found += [base for base, _, _ in os.walk(folder / top)]
    return found
