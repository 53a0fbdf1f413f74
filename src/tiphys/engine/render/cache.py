"""Renders by key, parsed files by blob id, both in memory with a limit; and what a lasting store of renders must offer.

A blob id names its content, so an entry is never stale; entries only leave because others are needed more.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from tiphys.apimachinery.names import GroupVersionKind
from tiphys.engine.states import Rendered, RenderedObject
from tiphys.runtime.messages import decode, encode

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

# What an object costs beside its JSON, for the weight of an entry.
OBJECT_OVERHEAD_BYTES = 600


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """What one blob gave: objects, or a problem with its line (0 when not known)."""

    objects: tuple[RenderedObject, ...] = ()
    problem: str = ""
    line: int = 0

    @property
    def weight(self) -> int:
        """Bytes it keeps in memory, roughly."""
        return OBJECT_OVERHEAD_BYTES + sum(OBJECT_OVERHEAD_BYTES + len(one.json) for one in self.objects)


class RenderStore(Protocol):
    """Lasting memory of renders; what it gives back is exactly what was put."""

    async def get(self, key: str) -> bytes | None:
        """What was put under this key, None when it is not there."""

    async def put(self, key: str, data: bytes) -> None:
        """Keep `data` under `key`."""


class Recent(Generic[K, V]):
    """The most recently used entries up to a total weight."""

    def __init__(self, limit: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        self._limit = limit
        self._weigh = weigh
        self._entries: OrderedDict[K, V] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        """The entry, which becomes the most recent one."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        """Keep an entry; the least recent ones leave to make room."""
        self.drop(key)
        self._entries[key] = value
        self._weight += self._weigh(value)
        while self._weight > self._limit and len(self._entries) > 1:
            _, old = self._entries.popitem(last=False)
            self._weight -= self._weigh(old)

    def drop(self, key: K) -> None:
        """Forget an entry."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._weight -= self._weigh(old)


def rendered_weight(rendered: Rendered) -> int:
    """Bytes a render keeps in memory, roughly."""
    return OBJECT_OVERHEAD_BYTES + sum(OBJECT_OVERHEAD_BYTES + len(one.json) for one in rendered.objects)


def encode_rendered(rendered: Rendered) -> bytes:
    """A render as bytes for a store."""
    header = {
        "key": rendered.key,
        "type": rendered.source_type,
        "warnings": rendered.warnings,
        "objects": [(*one.gvk, one.namespace, one.name, one.digest, len(one.json)) for one in rendered.objects],
    }
    return encode(header, [one.json for one in rendered.objects])


def decode_rendered(data: bytes, *, key: str, revision: str) -> Rendered:
    """The render that was put under `key`. Raises ValueError when the bytes are another one's or damaged."""
    header, bodies = decode(data)
    try:
        if header["key"] != key:
            raise ValueError("stored render has another key")
        return Rendered(
            revision=revision,
            source_type=str(header["type"]),
            key=key,
            objects=objects_from_rows(header["objects"], bodies),
            warnings=tuple(header["warnings"]),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"stored render cannot be read: {error}") from None


def objects_from_rows(rows: list[list[object]], bodies: memoryview) -> tuple[RenderedObject, ...]:
    """Objects of a message: `[group, version, kind, namespace, name, sha256, size]` each, their JSON in `bodies`."""
    objects = []
    at = 0
    for group, version, kind, namespace, name, digest, size in rows:
        if not isinstance(size, int) or size < 0 or at + size > len(bodies):
            raise ValueError("a message speaks of more bytes than it has")
        gvk = GroupVersionKind(str(group), str(version), str(kind))
        objects.append(RenderedObject(gvk, str(namespace), str(name), str(digest), bytes(bodies[at : at + size])))
        at += size
    return tuple(objects)


def as_cached(rendered: Rendered, revision: str) -> Rendered:
    """The same render for another revision that reads the same inputs."""
    return dataclasses.replace(rendered, revision=revision, cached=True)
