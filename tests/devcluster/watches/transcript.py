"""Transcript: a story played on one server, as one answer for each watcher and each write."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.devcluster.compare.normal import plain
from tests.devcluster.compare.step import Scenario, filled
from tests.devcluster.compare.wire import AGENT, INITIAL_EVENTS_END, Server, _headers, _parsed
from tests.devcluster.watches.stories import END, Story, Watcher

RECORDED = Path(__file__).parent / "answers.jsonl.xz"
LONG_S = 60.0
QUIET_S = 1.5
"""A watch that does not end by itself is over when nothing came for so long after the last write."""


def transcripts(server: Server, listed: list[Story]) -> dict[str, Any]:
    """All stories at once: most of their time is waiting. The answers are plain."""
    found: dict[str, Any] = {}
    threads = [threading.Thread(target=_play, args=(server, story, found)) for story in listed]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _play(server: Server, story: Story, found: dict[str, Any]) -> None:
    mine = Server(server.host, server.context, server.token)
    saved: dict[str, str] = {}
    told: dict[str, Any] = {}
    for number, step in enumerate(story.before):
        told[f"watch: {story.name} before {number}"] = mine._answer(filled(step, saved), saved).to_json()
    opened = {label: _Opened(mine, watcher, saved) for label, watcher in story.watchers.items()}
    scenario = Scenario(f"watch: {story.name}", story.writes)
    for case, step in scenario.cases():
        told[case] = mine._answer(filled(step, saved), saved).to_json()
    for label, one in opened.items():
        told[f"watch: {label}"] = one.read()
    mine.close()
    ranks = _ranks(told)
    found.update({case: plain(_ranked(_without_pulse(answer), ranks)) for case, answer in told.items()})


def _without_pulse(answer: Any) -> Any:
    """An answer without the bookmarks that only say how late it is, but with the word that there were some.

    Their number depends on the time, and of a watch that was left before its end that says nothing.
    """
    events, left = answer["body"], answer.pop("left", True)
    if not isinstance(events, list):
        return answer
    kept = [one for one in events if not _is_pulse(one)]
    if left:
        return {**answer, "body": kept}
    return {**answer, "body": kept, "bookmarks": len(kept) < len(events)}


def _is_pulse(event: Any) -> bool:
    if not isinstance(event, dict) or event.get("type") != "BOOKMARK":
        return False
    subject = event["object"]
    if subject.get("kind") == "Table":
        subject = ((subject.get("rows") or [{}])[0].get("object") or {}) if subject.get("rows") else {}
    return INITIAL_EVENTS_END not in ((subject.get("metadata") or {}).get("annotations") or {})


class _Opened:
    """A watch that is open from now on, read by a thread of its own."""

    def __init__(self, server: Server, watcher: Watcher, saved: dict[str, str]) -> None:
        path = watcher.path
        for name, value in saved.items():
            path = path.replace(f"<<{name}>>", value)
        joined = f"{path}&watch=true" if "/watch/" not in path else path
        self._ends_itself = END not in path
        self._connection = http.client.HTTPSConnection(server.host, context=server.context, timeout=LONG_S)
        headers = {"Authorization": f"Bearer {server.token}", "User-Agent": AGENT, "Accept": watcher.accept}
        self._connection.request("GET", quote(joined, safe="/?&=%:;,+!$'()*~@"), headers=headers)
        self._socket = self._connection.sock
        self._reply = self._connection.getresponse()
        self._text = b""
        self.changed = time.monotonic()
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        try:
            while part := self._reply.read1(1 << 16):
                self._text += part
                self.changed = time.monotonic()
        except (OSError, http.client.HTTPException, ValueError):
            pass  # ended from this side

    def read(self) -> dict[str, Any]:
        """All of it, once the server has ended it or nothing comes any more."""
        began = time.monotonic()
        while self._thread.is_alive() and (self._ends_itself or time.monotonic() - max(began, self.changed) < QUIET_S):
            time.sleep(0.02)
        left = self._thread.is_alive()
        if left:
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._connection.close()
        headers = _headers(self._reply)
        body = _parsed(self._text, headers, watch=True)
        return {"code": self._reply.status, "headers": headers, "body": body, "left": left}


def _versions(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        version = value.get("resourceVersion")
        if isinstance(version, str) and version.isdigit() and value.keys() & {"name", "uid"}:
            yield version
        for one in value.values():
            yield from _versions(one)
    elif isinstance(value, list):
        for one in value:
            yield from _versions(one)


def _ranks(told: dict[str, Any]) -> dict[str, str]:
    """The versions of a story's objects by their order, so that which of them are the same can be compared."""
    seen = sorted({int(one) for one in _versions(told)})
    return {str(version): f"version {number}" for number, version in enumerate(seen)}


def _ranked(value: Any, ranks: dict[str, str]) -> Any:
    if isinstance(value, dict):
        named = value.keys() & {"name", "uid"}
        return {
            key: ranks.get(one, one)
            if key == "resourceVersion" and named and isinstance(one, str)
            else _ranked(one, ranks)
            for key, one in value.items()
        }
    return [_ranked(one, ranks) for one in value] if isinstance(value, list) else value
