"""Names: what a server draws (uids, versions, continue tokens), replaced in later requests by where it was read.

`<<7:items.web.metadata.uid>>` is the uid of the item called web in the answer to request 7. An answer's place is given by
keys, list items by their name; a Table's rows are its items.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

_PLACE = re.compile(r"<<(\d+):([^<>]*)>>")
_VERSION = re.compile(r'(resourceVersion(?:=|%3D|":\s?"|\\":\\"))(\d+)')
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def drawn(number: int, answer: bytes, *, watch: bool) -> Iterator[tuple[str, str]]:
    """(value, its place) of everything in an answer that the server drew."""
    for value, place in _values(_documents(answer, watch=watch)):
        yield value, f"<<{number}:{place}>>"


def replaced(text: str, known: Mapping[str, str], last: str) -> str:
    """A later request with places instead of drawn values. `last`: the place of the newest version, for unknown ones."""
    text = _UID.sub(lambda found: known.get(found[0], found[0]), text)
    text = _VERSION.sub(lambda found: found[1] + (found[2] if found[2] == "0" else known.get(found[2], last)), text)
    found = re.search(r"continue=([^&]+)", text)
    return text.replace(found[1], known[found[1]]) if found and found[1] in known else text


def filled(text: str, read: Callable[[int], Any]) -> str:
    """A kept request with the values this server drew; `read` gives the answer to an earlier request."""

    def value(found: re.Match[str]) -> str:
        at = read(int(found[1]))
        for part in found[2].split("|"):
            at = _step(at, part)
        return str(at) if isinstance(at, str) else "0"

    return _PLACE.sub(value, text)


def _documents(answer: bytes, *, watch: bool) -> Any:
    try:
        if watch:
            return {"events": [json.loads(line)["object"] for line in answer.splitlines() if line.startswith(b"{")]}
        return json.loads(answer)
    except (ValueError, KeyError):
        return None


def _values(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        return
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        at = f"{place}|metadata" if place else "metadata"
        for key in ("uid", "resourceVersion", "continue"):
            if isinstance(metadata.get(key), str) and metadata[key]:
                yield metadata[key], f"{at}|{key}"
    for key in ("items", "events", "rows"):
        for one in value.get(key) or ():
            inner = one.get("object") if key == "rows" else one
            if isinstance(inner, dict):
                name = (inner.get("metadata") or {}).get("name")
                kind = inner.get("kind", "")
                yield from _values(inner, f"{place}|{key}|{kind}/{name}" if place else f"{key}|{kind}/{name}")


def _step(at: Any, part: str) -> Any:
    if isinstance(at, dict):
        return at.get(part)
    if isinstance(at, list):
        kind, _, name = part.partition("/")
        for one in reversed(at):
            inner = one.get("object", one) if isinstance(one, dict) else {}
            if (inner.get("metadata") or {}).get("name") == name and inner.get("kind", "") == kind:
                return inner
    return None
