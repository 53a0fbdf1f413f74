"""Ids that count, so that a test can name them."""

from __future__ import annotations


class CountedIds:
    """`00000000-0000-4000-8000-000000000001`, then 2 and so on; suffixes count likewise."""

    def __init__(self) -> None:
        self._uuids = 0
        self._suffixes = 0

    def uuid(self) -> str:
        """The next uuid."""
        self._uuids += 1
        return f"00000000-0000-4000-8000-{self._uuids:012d}"

    def suffix(self, length: int = 5) -> str:
        """The next name suffix."""
        self._suffixes += 1
        return f"{self._suffixes:0{length}d}"

    def token(self, size_bytes: int = 32) -> str:
        """No secret at all."""
        return "t" * size_bytes

    def fraction(self) -> float:
        """Always the middle."""
        return 0.5
