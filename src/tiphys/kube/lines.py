"""Cuts a byte stream into lines, with a limit: one endless line must not fill the memory."""

from __future__ import annotations


class LineTooLongError(ValueError):
    """A line is longer than the limit."""


class LineSplitter:
    """Bytes in, whole lines out, without their line feeds.

    A line that spans many chunks is joined once, when it ends.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now. Raises LineTooLongError."""
        lines = chunk.split(b"\n")
        tail = lines.pop()
        if lines and self._parts:
            self._parts.append(lines[0])
            lines[0] = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
        if tail:
            self._parts.append(tail)
            self._size += len(tail)
        if self._size > self._limit or any(len(line) > self._limit for line in lines):
            raise LineTooLongError(f"a line is longer than {self._limit} bytes")
        return lines

    def rest(self) -> list[bytes]:
        """The last line when the stream ended without a line feed: usually cut off, so it counts only if it is whole JSON."""
        last = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return [last] if last.endswith(b"}") else []
