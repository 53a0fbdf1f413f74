"""Shrink: the smallest story that still shows a difference, found by leaving out steps and parts of bodies."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tests.devcluster.compare.normal import Difference
from tests.devcluster.compare.step import Step

Steps = list[Step]
Tries = Callable[[Steps], list[Difference]]


def shrunk(steps: Steps, found: Difference, tries: Tries, *, attempts: int = 250) -> tuple[Steps, Difference]:
    """The smallest story found in so many attempts, and its difference. `tries` answers the differences of a story."""
    wanted = kind_of(found)
    left = attempts
    progress = True
    while progress and left > 0:
        progress = False
        for smaller in _smaller(steps):
            left -= 1
            if left < 0:
                break
            still = [one for one in tries(smaller) if kind_of(one) == wanted]
            if still:
                steps, found, progress = smaller, still[0], True
                break
    return steps, found


def kind_of(found: Difference) -> str:
    """What two differences that have one cause often have in common: the place without numbers and keys."""
    place = re.sub(r"/\d+(?=/|$)", "/N", found.where)
    if "/managedFields" in place:
        return "/managedFields"
    said = ""
    if "patch: Invalid value: " in f"{found.real} {found.ours}" or "map[" in f"{found.real}":
        return "what a patch made cannot be read"
    if found.where.endswith(("/code", "/message", "/reason")):
        said = re.sub(r"r\d+-\d+\w*", "NAME", f" {found.real} {found.ours}")
        if "patch: Invalid value: " in said:
            return "what a patch made cannot be read"
        said = re.sub(r"\d+", "N", said)[:160]
    return place + said


def _smaller(steps: Steps) -> Iterator[Steps]:
    for index in reversed(range(len(steps))):
        if len(steps) > 1:
            yield steps[:index] + steps[index + 1 :]
    for index in reversed(range(len(steps))):
        for body in _without(steps[index].body):
            yield [*steps[:index], replace(steps[index], body=body), *steps[index + 1 :]]


def _without(value: Any) -> Iterator[Any]:
    """The value with one part left out, large parts first."""
    if isinstance(value, dict):
        for key in value:
            if key not in ("apiVersion", "kind", "name", "op", "path"):
                yield {name: one for name, one in value.items() if name != key}
        for key, inner in value.items():
            for smaller in _without(inner):
                yield {**value, key: smaller}
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value[:index] + value[index + 1 :]
        for index, inner in enumerate(value):
            for smaller in _without(inner):
                yield [*value[:index], smaller, *value[index + 1 :]]
