"""What the engine and a worker say to each other: a JSON header, then the raw bytes it speaks of.

A message is four bytes with the header's length, the header, the bodies one after another; `frames` puts it on the pipe.
Nothing in it can run code, so a worker that was taken over can only answer wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_LENGTH_BYTES = 4

# The number of the item a worker is at, in decimal, in its own folder; empty between requests.
PROGRESS_FILE = "progress"
PROGRESS_DIGITS = 8


def encode(header: Mapping[str, object], bodies: Sequence[bytes] = ()) -> bytes:
    """One message."""
    head = orjson.dumps(header)
    return b"".join((len(head).to_bytes(_LENGTH_BYTES, "big"), head, *bodies))


def decode(message: bytes) -> tuple[dict[str, Any], memoryview]:
    """(header, all bodies). Raises ValueError for what is no message."""
    size = int.from_bytes(message[:_LENGTH_BYTES], "big")
    end = _LENGTH_BYTES + size
    if len(message) < end:
        raise ValueError("message shorter than its header")
    view = memoryview(message)
    header = orjson.loads(view[_LENGTH_BYTES:end])
    if not isinstance(header, dict):
        raise ValueError("header of a message is no object")
    return header, view[end:]
