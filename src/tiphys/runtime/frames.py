"""Messages on a pipe: four bytes of length, most significant first, then that many bytes.

The blocking side here is for the child at the other end of `process.Child`; it uses plain descriptors and no event loop.
"""

from __future__ import annotations

import os

HEADER_BYTES = 4
MAX_FRAME_BYTES = 2**32 - 1


class FrameError(Exception):
    """The stream ended inside a message, or a message is larger than allowed."""


def frame_header(size_bytes: int) -> bytes:
    """The four bytes that announce a message of this size."""
    if size_bytes > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {size_bytes} bytes does not fit a frame")
    return size_bytes.to_bytes(HEADER_BYTES, "big")


def read_frame(descriptor: int, *, limit_bytes: int = MAX_FRAME_BYTES) -> bytes | None:
    """The next message, None at the end of the stream. Blocks. Raises FrameError."""
    header = _read_exactly(descriptor, HEADER_BYTES)
    if not header:
        return None
    size = int.from_bytes(header, "big")
    if size > limit_bytes:
        raise FrameError(f"a message of {size} bytes is over the limit of {limit_bytes}")
    body = _read_exactly(descriptor, size)
    if len(body) < size:
        raise FrameError("the stream ended inside a message")
    return body


def write_frame(descriptor: int, message: bytes) -> None:
    """Write one message. Blocks until the pipe has taken it."""
    # Short ones in one write: one system call, and the reader sees header and body together.
    if len(message) <= 65536 - HEADER_BYTES:
        _write_all(descriptor, frame_header(len(message)) + message)
        return
    _write_all(descriptor, frame_header(len(message)))
    _write_all(descriptor, message)


def _read_exactly(descriptor: int, size: int) -> bytes:
    """`size` bytes, none when the stream is at its end. Raises FrameError when it ends after the first byte."""
    chunk = os.read(descriptor, min(size, 1 << 20)) if size else b""
    if len(chunk) == size or not chunk:
        return chunk
    buffer = bytearray(chunk)
    while len(buffer) < size:
        chunk = os.read(descriptor, min(size - len(buffer), 1 << 20))
        if not chunk:
            raise FrameError("the stream ended inside a message")
        buffer += chunk
    return bytes(buffer)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
