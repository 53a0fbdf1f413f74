"""Background: what the server does after a write, in small slices between requests.

Work is named by a key; a key that already waits is not queued twice. Slices end after a few milliseconds, so that deleting a
namespace of thousands of objects does not hold up other clients.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable

SLICE_S = 0.004

_log = logging.getLogger(__name__)


class Background:
    """A queue of small synchronous pieces of work on the event loop; first in, first out, one per key."""

    def __init__(self) -> None:
        self._queue: dict[Hashable, Callable[[], None]] = {}
        self._scheduled = False
        self._stopped = False

    def add(self, key: Hashable, work: Callable[[], None]) -> None:
        """Do `work` soon, unless work of this key already waits."""
        if self._stopped or key in self._queue:
            return
        self._queue[key] = work
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def stop(self) -> None:
        """Forget what waits and take nothing more."""
        self._stopped = True
        self._queue.clear()

    @property
    def idle(self) -> bool:
        """Nothing waits."""
        return not self._queue

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + SLICE_S
        while self._queue and loop.time() < end:
            key = next(iter(self._queue))
            work = self._queue.pop(key)
            try:
                work()
            except Exception:  # one object's trouble must not stop the others; it is logged with its key
                _log.exception("background work failed", extra={"key": str(key)})
        self._scheduled = bool(self._queue) and not self._stopped
        if self._scheduled:
            loop.call_soon(self._run)
