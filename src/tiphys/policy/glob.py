"""The two glob dialects of Argo CD's rules, compiled once and never slower than pattern length times text length allows.

`glob_match` reads gobwas globs: `*`, `**`, `?`, `[abc]`, `[a-z]`, `[!a]`, `{a,b}`, backslash. With separators `*` and `?`
stop at them and `**` does not. `path_match` reads Go's filepath.Match: `*` and `?` stop at `/`, `[^a]`, no braces. A
pattern that cannot be read matches nothing, as in Argo CD.

Source: compat "Glob dialects in play".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

Matcher = Callable[[str], bool]

# Above this many stars a backtracking matcher could be made to crawl; states are tracked instead.
_MAX_BACKTRACKING_STARS = 3
_MAX_NESTING = 20


class BadPatternError(ValueError):
    """A glob that cannot be read."""


def glob_match(pattern: str, text: str, separators: str = "") -> bool:
    """Whether a gobwas glob matches all of `text`; never raises."""
    return _compiled_glob(pattern, separators)(text)


def path_match(pattern: str, text: str) -> bool:
    """Whether a filepath.Match pattern matches all of `text`; never raises."""
    return _compiled_path(pattern)(text)


def glob_or_regexp_match(pattern: str, text: str) -> bool:
    """A gobwas glob, or a regular expression searched for when wrapped in slashes. Source: compat 1.1 "Apps in any namespace"."""
    if len(pattern) > 1 and pattern[0] == pattern[-1] == "/":
        regexp = compiled_regexp(pattern[1:-1])
        return regexp is not None and regexp.search(text) is not None
    return glob_match(pattern, text)


@lru_cache(maxsize=1024)
def compiled_regexp(pattern: str) -> re.Pattern[str] | None:
    """A Go regular expression as Python reads it, None when it cannot."""
    try:
        return re.compile(pattern.replace("\\z", "\\Z"))
    except (re.error, RecursionError, OverflowError):
        return None


class _Token(NamedTuple):
    """One step of a pattern."""

    kind: str  # text, one, star, super, set, alternatives
    text: str = ""  # of `text`: the characters; of `set`: the body of a regular expression class
    options: tuple[tuple[_Token, ...], ...] = ()


@lru_cache(maxsize=4096)
def _compiled_glob(pattern: str, separators: str) -> Matcher:
    try:
        tokens = _parse_glob(pattern)
    except BadPatternError:
        return _never
    return _matcher(tokens, separators)


@lru_cache(maxsize=4096)
def _compiled_path(pattern: str) -> Matcher:
    try:
        tokens = _parse_path(pattern)
    except BadPatternError:
        return _never
    return _matcher(tokens, "/")


def _never(text: str) -> bool:
    return False


def _matcher(tokens: tuple[_Token, ...], separators: str) -> Matcher:
    if all(token.kind == "text" for token in tokens):
        whole = "".join(token.text for token in tokens)
        return lambda text: text == whole
    if len(tokens) == 1 and (tokens[0].kind == "super" or (tokens[0].kind == "star" and not separators)):
        return lambda text: True
    if _stars(tokens) <= _MAX_BACKTRACKING_STARS:
        fullmatch = re.compile(_regexp(tokens, separators), re.DOTALL).fullmatch
        return lambda text: fullmatch(text) is not None
    return _StateMatcher(tokens, separators)


def _stars(tokens: tuple[_Token, ...]) -> int:
    count = 0
    for token in tokens:
        if token.kind in ("star", "super"):
            count += 1
        for option in token.options:
            count += _stars(option)
    return count


def _regexp(tokens: tuple[_Token, ...], separators: str) -> str:
    no_separator = f"[^{re.escape(separators)}]" if separators else "."
    parts = []
    for token in tokens:
        if token.kind == "text":
            parts.append(re.escape(token.text))
        elif token.kind == "one":
            parts.append(no_separator)
        elif token.kind == "star":
            parts.append(f"{no_separator}*")
        elif token.kind == "super":
            parts.append(".*")
        elif token.kind == "set":
            parts.append(f"[{token.text}]")
        else:
            parts.append(f"(?:{'|'.join(_regexp(option, separators) for option in token.options)})")
    return "".join(parts)


class _StateMatcher:
    """Follows all ways through a pattern at once: time is pattern length times text length whatever the pattern."""

    def __init__(self, tokens: tuple[_Token, ...], separators: str) -> None:
        self._separators = separators
        # One entry per state: (accepts a character, next state, states reached without one).
        self._accepts: list[Callable[[str], bool] | None] = []
        self._next: list[int] = []
        self._free: list[list[int]] = []
        self._end = self._add_sequence(tokens, self._new_state())

    def __call__(self, text: str) -> bool:
        states = self._closure({0})
        for char in text:
            moved = set()
            for state in states:
                accepts = self._accepts[state]
                if accepts is not None and accepts(char):
                    moved.add(self._next[state])
            if not moved:
                return False
            states = self._closure(moved)
        return self._end in states

    def _new_state(self) -> int:
        self._accepts.append(None)
        self._next.append(0)
        self._free.append([])
        return len(self._accepts) - 1

    def _step(self, state: int, accepts: Callable[[str], bool]) -> int:
        after = self._new_state()
        self._accepts[state], self._next[state] = accepts, after
        return after

    def _add_sequence(self, tokens: tuple[_Token, ...], state: int) -> int:
        separators = self._separators
        for token in tokens:
            if token.kind == "text":
                for char in token.text:
                    state = self._step(state, char.__eq__)
            elif token.kind == "one":
                state = self._step(state, lambda char: char not in separators)
            elif token.kind == "set":
                state = self._step(state, _set_test(token.text))
            elif token.kind in ("star", "super"):
                loop, after = self._new_state(), self._new_state()
                self._free[state].append(loop)
                self._free[loop].append(after)
                crosses = token.kind == "super"
                self._accepts[loop] = _any if crosses else (lambda char: char not in separators)
                self._next[loop] = loop
                state = after
            else:
                after = self._new_state()
                for option in token.options:
                    start = self._new_state()
                    self._free[state].append(start)
                    self._free[self._add_sequence(option, start)].append(after)
                state = after
        return state

    def _closure(self, states: set[int]) -> set[int]:
        pending = list(states)
        while pending:
            for free in self._free[pending.pop()]:
                if free not in states:
                    states.add(free)
                    pending.append(free)
        return states


def _any(char: str) -> bool:
    return True


def _set_test(body: str) -> Callable[[str], bool]:
    match = re.compile(f"[{body}]", re.DOTALL).match
    return lambda char: match(char) is not None


def _parse_glob(pattern: str) -> tuple[_Token, ...]:
    tokens, position = _parse_until(pattern, 0, depth=0)
    assert position == len(pattern)  # only a brace ends early, and only inside one
    return tokens


def _parse_until(pattern: str, position: int, *, depth: int) -> tuple[tuple[_Token, ...], int]:
    """Tokens up to the end, or inside braces up to `,` or `}`."""
    if depth > _MAX_NESTING:
        raise BadPatternError("braces nest too deep")
    tokens: list[_Token] = []
    text: list[str] = []

    def flush() -> None:
        if text:
            tokens.append(_Token("text", "".join(text)))
            text.clear()

    while position < len(pattern):
        char = pattern[position]
        if depth and char in ",}":
            break
        if char == "\\":
            if position + 1 >= len(pattern):
                raise BadPatternError("ends in a backslash")
            text.append(pattern[position + 1])
            position += 2
            continue
        if char not in "*?[{":
            text.append(char)
            position += 1
            continue
        flush()
        if char == "*":
            end = position
            while end < len(pattern) and pattern[end] == "*":
                end += 1
            tokens.append(_Token("super" if end - position > 1 else "star"))
            position = end
        elif char == "?":
            tokens.append(_Token("one"))
            position += 1
        elif char == "[":
            token, position = _parse_glob_set(pattern, position + 1)
            tokens.append(token)
        else:
            token, position = _parse_alternatives(pattern, position + 1, depth=depth)
            tokens.append(token)
    flush()
    return tuple(tokens), position


def _parse_alternatives(pattern: str, position: int, *, depth: int) -> tuple[_Token, int]:
    options = []
    while True:
        option, position = _parse_until(pattern, position, depth=depth + 1)
        options.append(option)
        if position >= len(pattern):
            raise BadPatternError("a brace is not closed")
        position += 1
        if pattern[position - 1] == "}":
            return _Token("alternatives", options=tuple(options)), position


def _parse_glob_set(pattern: str, position: int) -> tuple[_Token, int]:
    """A set: one range `a-z`, or a list of characters; `!` in front negates."""
    negated = pattern[position : position + 1] == "!"
    if negated:
        position += 1
    end = position
    chars: list[str] = []
    while end < len(pattern) and pattern[end] != "]":
        if pattern[end] == "\\" and end + 1 < len(pattern):
            end += 1
        chars.append(pattern[end])
        end += 1
    if end >= len(pattern) or not chars:
        raise BadPatternError("a set is empty or not closed")
    if len(chars) == 3 and chars[1] == "-":
        if chars[0] > chars[2]:
            raise BadPatternError("a range runs backwards")
        body = f"{re.escape(chars[0])}-{re.escape(chars[2])}"
    else:
        body = "".join(map(re.escape, chars))
    return _Token("set", ("^" if negated else "") + body), end + 1


def _parse_path(pattern: str) -> tuple[_Token, ...]:
    tokens: list[_Token] = []
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*":
            if not tokens or tokens[-1].kind != "star":
                tokens.append(_Token("star"))
        elif char == "?":
            tokens.append(_Token("one"))
        elif char == "[":
            token, position = _parse_path_set(pattern, position)
            tokens.append(token)
        else:
            if char == "\\":
                if position >= len(pattern):
                    raise BadPatternError("ends in a backslash")
                char = pattern[position]
                position += 1
            tokens.append(_Token("text", char))
    return tuple(tokens)


def _parse_path_set(pattern: str, position: int) -> tuple[_Token, int]:
    negated = pattern[position : position + 1] == "^"
    if negated:
        position += 1
    body: list[str] = []
    while True:
        if position < len(pattern) and pattern[position] == "]" and body:
            return _Token("set", ("^" if negated else "") + "".join(body)), position + 1
        low, position = _path_set_char(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _path_set_char(pattern, position + 1)
        if low > high:
            raise BadPatternError("a range runs backwards")
        body.append(f"{re.escape(low)}-{re.escape(high)}")


def _path_set_char(pattern: str, position: int) -> tuple[str, int]:
    if position >= len(pattern) or pattern[position] in "-]":
        raise BadPatternError("a set is empty or not closed")
    if pattern[position] == "\\":
        position += 1
        if position >= len(pattern):
            raise BadPatternError("ends in a backslash")
    return pattern[position], position + 1
