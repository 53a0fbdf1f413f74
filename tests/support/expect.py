"""Waits that end early: an expectation answers pending, failed or met, and a failed one ends the wait at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pending:
    """Not yet; `seen` is what was seen instead."""

    seen: object


@dataclass(frozen=True, slots=True)
class Failed:
    """It can no longer be met."""

    reason: object


class Met:
    """The expectation holds."""


MET = Met()
Answer = Pending | Failed | Met | bool


def eventually(look: Callable[[], Answer], *, within_s: float = 60.0, what: str = "") -> float:
    """Look until the expectation is met; seconds it took. Fails with what was last seen."""
    started = time.monotonic()
    seen: object = "nothing"
    pause = 0.02
    while True:
        answer = look()
        elapsed = time.monotonic() - started
        if answer is True or isinstance(answer, Met):
            return elapsed
        if isinstance(answer, Failed):
            raise AssertionError(f"{what or 'the expectation'} failed after {elapsed:.1f} s: {answer.reason}")
        if isinstance(answer, Pending):
            seen = answer.seen
        if elapsed > within_s:
            raise AssertionError(f"{what or 'the expectation'} not met within {within_s:g} s; last seen: {seen}")
        time.sleep(pause)
        pause = min(pause * 1.3, 0.5)
