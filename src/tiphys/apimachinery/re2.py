"""Regular expressions whose time grows with the text and not with its cleverness, as Go's.

    compile_pattern("^(a+)+$").search("a" * 30 + "b")      # False, at once

An expression becomes a nondeterministic automaton; searching builds the states of a deterministic one as the text needs
them. Every character is read once, so no expression makes matching explode.

Source: Thompson's construction; Go's regexp/syntax by `re2syntax`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from tiphys.apimachinery.re2syntax import CharSet, Node, PatternError, parse

__all__ = ["Pattern", "PatternCostError", "PatternError", "compile_pattern"]

MAX_INSTRUCTIONS: Final = 50_000
MAX_REMEMBERED: Final = 200_000  # instructions in the states that are kept
MAX_WORK: Final = 4_000_000  # instructions looked at in one search; some seconds
_MAX_CHARS: Final = 4096

_SET: Final = 0
_SPLIT: Final = 1
_ASSERT: Final = 2
_MATCH: Final = 3

# What is at a side of a place in the text.
_NOTHING: Final = 0
_NEWLINE: Final = 1
_WORD: Final = 2
_OTHER: Final = 3


class PatternCostError(Exception):
    """A search was given up: the expression has too many states for a text of this length."""


class _Class:
    """Characters that no part of the expression tells apart."""

    __slots__ = ("kind", "sets")

    def __init__(self, sets: frozenset[int], kind: int) -> None:
        self.sets = sets
        self.kind = kind


class _State:
    """Where the automaton may be, and what was just before."""

    __slots__ = ("before", "moves", "places")

    def __init__(self, places: frozenset[int], before: int) -> None:
        self.places = places
        self.before = before
        self.moves: dict[_Class, _State | None] = {}  # None: the text matches, whatever follows


class Pattern:
    """One expression. Not for several threads at once."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree: Node | None = parse(text)
        self._program: list[tuple[int, int, int]] = []  # (what, argument or next, other next)
        self._sets: list[CharSet] = []
        self._known_sets: dict[object, int] = {}
        self._places: list[str] = []
        self._start = 0
        self._classes: dict[tuple[frozenset[int], int], _Class] = {}
        self._chars: dict[str, _Class] = {}
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._remembered = 0
        self._work = 0

    def search(self, text: str) -> bool:
        """Whether any part of the text matches. Raises PatternCostError."""
        if self._tree is not None:
            self._compile(self._tree)
            self._tree = None
        self._work = 0
        chars = self._chars
        state = self._state(frozenset(), _NOTHING)
        for char in text:
            found = chars.get(char)
            if found is None:
                found = self._class_of(char)
            try:
                following = state.moves[found]
            except KeyError:
                following = state.moves[found] = self._move(state, found)
            if following is None:
                return True
            state = following
        return self._close(state, _NOTHING) is None

    # ---- compiling ----

    def _compile(self, tree: Node) -> None:
        final = self._emit(_MATCH)
        self._start = self._build(tree, final)

    def _emit(self, what: int, first: int = 0, second: int = 0) -> int:
        if len(self._program) >= MAX_INSTRUCTIONS:
            raise PatternCostError(f"the expression has more than {MAX_INSTRUCTIONS} states")
        self._program.append((what, first, second))
        return len(self._program) - 1

    def _build(self, node: Node, following: int) -> int:
        """Instructions that go to `following` when the node has matched; where they begin."""
        if node.kind == "set":
            assert node.chars is not None
            at = self._known_sets.setdefault(node.chars.key, len(self._sets))
            if at == len(self._sets):
                self._sets.append(node.chars)
            return self._emit(_SET, at, following)
        if node.kind == "assert":
            if node.place not in self._places:
                self._places.append(node.place)
            return self._emit(_ASSERT, self._places.index(node.place), following)
        if node.kind == "cat":
            for part in reversed(node.parts):
                following = self._build(part, following)
            return following
        if node.kind == "alt":
            at = self._build(node.parts[-1], following)
            for part in reversed(node.parts[:-1]):
                at = self._emit(_SPLIT, self._build(part, following), at)
            return at
        return self._build_repeat(node, following)

    def _build_repeat(self, node: Node, following: int) -> int:
        inner, least = node.parts[0], node.least
        if node.most < 0:
            loop = self._emit(_SPLIT)
            body = self._build(inner, loop)
            self._program[loop] = (_SPLIT, body, following)
            at, least = (loop, 0) if least == 0 else (body, least - 1)
        else:
            at = following
            for _ in range(node.most - least):
                at = self._emit(_SPLIT, self._build(inner, at), following)
        for _ in range(least):
            at = self._build(inner, at)
        return at

    # ---- searching ----

    def _class_of(self, char: str) -> _Class:
        kind = _OTHER
        if self._places:
            is_word = char == "_" or (char.isascii() and char.isalnum())
            kind = _NEWLINE if char == "\n" else _WORD if is_word else _OTHER
        sets = frozenset(at for at, one in enumerate(self._sets) if char in one)
        self._work += len(self._sets)
        found = self._classes.setdefault((sets, kind), _Class(sets, kind))
        if len(self._chars) >= _MAX_CHARS:
            self._chars.clear()
        self._chars[char] = found
        return found

    def _state(self, places: frozenset[int], before: int) -> _State:
        key = (places, before)
        found = self._states.get(key)
        if found is None:
            if self._remembered > MAX_REMEMBERED:
                self._states.clear()
                self._remembered = 0
            found = self._states[key] = _State(places, before)
            self._remembered += 1 + len(places)
        return found

    def _move(self, state: _State, found: _Class) -> _State | None:
        reached = self._close(state, found.kind)
        if reached is None:
            return None
        program, sets = self._program, found.sets
        places = frozenset(program[at][2] for at in reached if program[at][1] in sets)
        return self._state(places, found.kind)

    def _close(self, state: _State, after: int) -> list[int] | None:
        """The sets that may come next at a place, knowing what follows; None when the end is reached."""
        program = self._program
        waiting = [*state.places, self._start]
        seen = set(waiting)
        reached: list[int] = []
        while waiting:
            at = waiting.pop()
            what, first, second = program[at]
            if what == _SET:
                reached.append(at)
                continue
            if what == _MATCH:
                return None
            if what == _ASSERT:
                following: tuple[int, ...] = (second,) if _holds(self._places[first], state.before, after) else ()
            else:
                following = (first, second)
            for one in following:
                if one not in seen:
                    seen.add(one)
                    waiting.append(one)
        self._work += len(seen)
        if self._work > MAX_WORK:
            raise PatternCostError(f"the expression {self.text!r} takes too long on a text of this length")
        return reached


def _holds(place: str, before: int, after: int) -> bool:
    if place == "begin":
        return before == _NOTHING
    if place == "end":
        return after == _NOTHING
    if place == "begin-line":
        return before in (_NOTHING, _NEWLINE)
    if place == "end-line":
        return after in (_NOTHING, _NEWLINE)
    return ((before == _WORD) != (after == _WORD)) == (place == "word")


@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """The expression, ready to search with. Raises PatternError when Go would refuse it."""
    return Pattern(text)
