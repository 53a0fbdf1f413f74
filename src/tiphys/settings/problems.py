"""Problem: one thing wrong with a setting, in words that name where it stands and never its value."""

from __future__ import annotations

from typing import NamedTuple


class Problem(NamedTuple):
    """`object` is the ConfigMap or Secret, `key` the key in it, `message` completes "<key> ..."."""

    object: str
    key: str
    message: str

    def __str__(self) -> str:
        return f"{self.object}: {self.key} {self.message}"


class Problems:
    """Collects problems while settings are read."""

    def __init__(self) -> None:
        self._found: list[Problem] = []

    def add(self, obj: str, key: str, message: str) -> None:
        """Note one problem."""
        self._found.append(Problem(obj, key, message))

    def found(self) -> tuple[Problem, ...]:
        """All problems so far, in the order they were met."""
        return tuple(self._found)
