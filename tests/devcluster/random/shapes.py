"""Shapes: what values of a kind look like, and how one is drawn: whole, in part, or with something wrong in it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class One:
    """A scalar: one of a few values, few enough that two managers often mean the same and often do not."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Fields:
    """A struct. `must` is always there in a whole object; each of `may` is there as often as the draw is dense."""

    must: Mapping[str, Shape] = field(default_factory=dict)
    may: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True)
class Items:
    """A list. Items are told apart by `keys` (all empty: by themselves), and are so in a draw without mistakes."""

    of: Shape
    keys: tuple[str, ...] = ()
    least: int = 0
    most: int = 3
    distinct: bool = True


@dataclass(frozen=True)
class Entries:
    """A map with free keys."""

    keys: tuple[str, ...]
    of: Shape
    least: int = 0


@dataclass(frozen=True)
class Either:
    """One of several shapes."""

    shapes: tuple[Shape, ...]


Shape = One | Fields | Items | Entries | Either

MISTAKES: tuple[Any, ...] = (
    None,
    "",
    0,
    -1,
    1.5,
    True,
    False,
    [],
    {},
    "Bad_Name",
    "x" * 70,
    70000,
    "7",
    [None],
    {"x": None},
    ["a", "a"],
)


@dataclass
class Draw:
    """Draws values. `density`: how often an optional field is there; `mistakes`: how often a value is a wrong one."""

    source: random.Random
    density: float = 0.4
    mistakes: float = 0.0

    def whole(self, shape: Shape) -> Any:
        """A complete value."""
        return self._value(shape, whole=True)

    def part(self, shape: Shape) -> Any:
        """Some of it: required fields may be missing too, but for the keys of list items."""
        return self._value(shape, whole=False)

    def often(self, chance: float) -> bool:
        """True as often as that."""
        return self.source.random() < chance

    def _value(self, shape: Shape, *, whole: bool, keep: tuple[str, ...] = ()) -> Any:
        if self.mistakes and self.often(self.mistakes):
            return self.source.choice(MISTAKES)
        match shape:
            case One():
                return self.source.choice(shape.values)
            case Either():
                return self._value(self.source.choice(shape.shapes), whole=whole)
            case Fields():
                return self._fields(shape, whole=whole, keep=keep)
            case Items():
                return self._items(shape, whole=whole)
            case Entries():
                wanted = [key for key in shape.keys if self.often(self.density)]
                while len(wanted) < shape.least:
                    wanted = [*wanted, self.source.choice(shape.keys)]
                return {key: self._value(shape.of, whole=whole) for key in wanted}

    def _fields(self, shape: Fields, *, whole: bool, keep: tuple[str, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, one in shape.must.items():
            if whole or name in keep or self.often(0.6):
                found[name] = self._value(one, whole=whole)
        for name, one in shape.may.items():
            if (name in keep and self.often(0.5)) or self.often(self.density):
                found[name] = self._value(one, whole=whole)
        if self.mistakes and self.often(self.mistakes):
            found["unheardOf"] = "x"
        return found

    def _items(self, shape: Items, *, whole: bool) -> list[Any]:
        found: list[Any] = []
        for _ in range(self.source.randint(shape.least, shape.most)):
            one = self._value(shape.of, whole=whole, keep=shape.keys)
            if (
                shape.distinct
                and not self.often(self.mistakes)
                and any(_same(one, other, shape.keys) for other in found)
            ):
                continue
            found.append(one)
        return found


def _same(one: Any, other: Any, keys: tuple[str, ...]) -> bool:
    if keys and isinstance(one, dict) and isinstance(other, dict):
        return all(one.get(key) == other.get(key) for key in keys)
    return bool(one == other)
