"""Answer: whether something may happen, and why not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """True when allowed. `reason` is empty then, else a sentence for the user."""

    allowed: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.allowed


ALLOWED = Answer(True)


def denied(reason: str) -> Answer:
    """An Answer that says no."""
    return Answer(False, reason)
