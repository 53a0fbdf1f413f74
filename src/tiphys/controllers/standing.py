"""Applications that a commit does not touch, without looking at each of them.

An Application stands while the paths its render has read are what they were. Those that stand at the same commit of the
same expression are kept together: a commit is compared with the one before once, the paths that changed are looked up, and
all who read none of them are at the new commit by that. Their revision is written later, a few at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from tiphys.controllers.controlplane import Key
from tiphys.engine.source.changes import Changes
from tiphys.runtime.clock import Clock

_BEFORE_WRITING = 0.6  # part of the time until a revision must be written in which newer ones may come
_TICK_S = 1.0


class At(NamedTuple):
    """What is followed: an expression of a repository, reached as a project does (empty: as everybody does)."""

    url: str
    scope: str
    expression: str


class Moved(NamedTuple):
    """A commit that Applications are at because it changed nothing for them, and when that was seen."""

    revision: str
    at: datetime


@dataclass(slots=True)
class _Group:
    """Those that stand at one commit, and what they were rendered with besides files."""

    revision: str
    given: object
    members: dict[Key, frozenset[str]] = field(default_factory=dict)
    readers: dict[str, set[Key]] = field(default_factory=dict)
    moved: Moved | None = None  # since it was made
    since: datetime | None = None  # the first move that is not being written yet


class Standing:
    """Who stands where. Belongs to the event loop."""

    def __init__(self, *, clock: Clock, within_s: Callable[[], float]) -> None:
        """A revision is to be written within `within_s()` seconds."""
        self._clock = clock
        self._within_s = within_s
        self._groups: dict[At, list[_Group]] = {}
        self._of: dict[Key, _Group] = {}
        self._to_write: asyncio.Queue[_Group] = asyncio.Queue()
        self.turns = 0  # rises whenever what `moved` says of anybody may be another

    def admit(self, key: Key, at: At, revision: str, paths: frozenset[str], given: object = None) -> None:
        """The Application was rendered at a revision from what is at these paths, and with `given`."""
        self.leave(key)
        groups = self._groups.setdefault(at, [])
        group = next((g for g in groups if g.revision == revision and g.given == given), None)
        if group is None:
            group = _Group(revision, given)
            groups[:] = [g for g in groups if g.members]
            groups.append(group)
        self.turns += 1
        group.members[key] = paths
        for path in paths:
            group.readers.setdefault(path, set()).add(key)
        self._of[key] = group

    def leave(self, key: Key) -> None:
        """It is looked at by itself from now on."""
        group = self._of.pop(key, None)
        if group is None:
            return
        self.turns += 1
        for path in group.members.pop(key):
            readers = group.readers[path]
            readers.discard(key)
            if not readers:
                del group.readers[path]

    def has(self, at: At) -> bool:
        """Whether anybody stands there."""
        return any(group.members for group in self._groups.get(at, ()))

    def moved(self, key: Key) -> Moved | None:
        """The newer commit the Application is at, None when there was none since it was admitted."""
        group = self._of.get(key)
        return group.moved if group is not None else None

    def since(self, key: Key) -> datetime | None:
        """Since when its revision is another than the one that is written."""
        group = self._of.get(key)
        return (group.since or (group.moved.at if group.moved is not None else None)) if group is not None else None

    def move(
        self, at: At, before: str, after: str, changes: Changes | None, *, given: Callable[[object], bool]
    ) -> Set[Key]:
        """A commit came after another; those who stand at the new one too. The others leave.

        `given` tells whether what somebody was rendered with still holds.
        """
        standing: set[Key] = set()
        for group in self._groups.get(at, ()):
            if changes is None or group.revision != before or not given(group.given):
                gone: Collection[Key] = tuple(group.members)
            else:
                gone = _touched(group, changes)
            for key in gone:
                self.leave(key)
            if not group.members:
                continue
            now = self._clock.now()
            group.revision, group.moved = after, Moved(after, now)
            self.turns += 1
            if group.since is None:
                group.since = now
                self._to_write.put_nowait(group)
            standing |= group.members.keys()
        return standing

    async def run(self, write: Callable[[Key, str], Awaitable[None]]) -> None:
        """Have revisions written that nothing else writes, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._write(await self._to_write.get(), write))

    async def _write(self, group: _Group, write: Callable[[Key, str], Awaitable[None]]) -> None:
        within_s = self._within_s()
        await self._clock.sleep(within_s * _BEFORE_WRITING)
        group.since = None
        left = list(group.members)
        at_once = max(1, round(len(left) * _TICK_S / max(within_s * (1.0 - _BEFORE_WRITING) - _TICK_S, _TICK_S)))
        while left:
            some, left = left[:at_once], left[at_once:]
            for key in some:
                if self._of.get(key) is group:
                    await write(key, group.revision)
            if left:
                await self._clock.sleep(_TICK_S)


def _touched(group: _Group, changes: Changes) -> set[Key]:
    touched: set[Key] = set()
    for path in changes.paths & group.readers.keys():
        touched |= group.readers[path]
    if changes.below:
        for path, readers in group.readers.items():
            if changes.concern(path):
                touched |= readers
    return touched
