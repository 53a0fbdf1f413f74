"""Globs of `directory.include` and `directory.exclude`, as gobwas matches them without separators.

`*` and `**` match anything, also `/`; `?` one character; `[abc]`, `[a-z]`, `[!a-z]` one character of a set; `{a,b}` one of
several; a backslash takes the next character as it is. Matching takes time linear in the path for each alternative,
because patterns come from tenants and are matched in the engine's process.

Source: compat, table of glob dialects; 1.3 "include / exclude".
"""

from __future__ import annotations

import re

MAX_ALTERNATIVES = 512
MAX_LENGTH = 4096


class GlobError(ValueError):
    """A pattern that cannot be read."""


class Glob:
    """A compiled pattern."""

    __slots__ = ("_alternatives", "pattern")

    def __init__(self, pattern: str) -> None:
        """Raises GlobError."""
        if len(pattern) > MAX_LENGTH:
            raise GlobError(f"pattern of {len(pattern)} characters is longer than {MAX_LENGTH}")
        self.pattern = pattern
        tokens, end = _alternatives(pattern, 0, inside=False)
        if end != len(pattern):
            raise GlobError(f"pattern {pattern!r}: unexpected {pattern[end]!r} at position {end + 1}")
        self._alternatives = [re.compile(_linear(one), re.DOTALL) for one in tokens]

    def matches(self, text: str) -> bool:
        """Does the whole text match?"""
        return any(one.fullmatch(text) for one in self._alternatives)

    def __repr__(self) -> str:
        return f"Glob({self.pattern!r})"


_ANY = "*"  # as a token; every other token is an expression for exactly one character
_Tokens = tuple[str, ...]


def _alternatives(pattern: str, at: int, *, inside: bool) -> tuple[list[_Tokens], int]:
    """Token sequences that `pattern` from `at` may stand for, up to its end or to the brace or comma that closes it."""
    found: list[_Tokens] = [()]
    while at < len(pattern):
        char = pattern[at]
        if inside and char in ",}":
            break
        if char == "{":
            choices: list[_Tokens] = []
            while True:
                some, at = _alternatives(pattern, at + 1, inside=True)
                choices += some
                if at >= len(pattern):
                    raise GlobError(f"pattern {pattern!r}: a brace is not closed")
                if pattern[at] == "}":
                    break
            at += 1
            _check_count(pattern, len(found) * len(choices))
            found = [left + right for left in found for right in choices]
            continue
        token, at = _token(pattern, at)
        found = [(*one, token) for one in found]
    _check_count(pattern, len(found))
    return found, at


def _check_count(pattern: str, count: int) -> None:
    if count > MAX_ALTERNATIVES:
        raise GlobError(f"pattern {pattern!r} stands for more than {MAX_ALTERNATIVES} alternatives")


def _token(pattern: str, at: int) -> tuple[str, int]:
    char = pattern[at]
    if char == "*":
        return _ANY, at + 1
    if char == "?":
        return ".", at + 1
    if char == "\\":
        if at + 1 == len(pattern):
            raise GlobError(f"pattern {pattern!r} ends with a backslash")
        return re.escape(pattern[at + 1]), at + 2
    if char == "[":
        return _character_set(pattern, at)
    return re.escape(char), at + 1


def _character_set(pattern: str, at: int) -> tuple[str, int]:
    end = pattern.find("]", at + 1)
    body = pattern[at + 1 : end] if end > 0 else ""
    negated = body.startswith("!")
    body = body[1:] if negated else body
    if not body:
        raise GlobError(f"pattern {pattern!r}: a character set is empty or not closed")
    if len(body) == 3 and body[1] == "-":
        if body[0] > body[2]:
            raise GlobError(f"pattern {pattern!r}: the range {body} goes backwards")
        inner = f"{re.escape(body[0])}-{re.escape(body[2])}"
    else:
        inner = "".join(re.escape(char) for char in body)
    return f"[{'^' if negated else ''}{inner}]", end + 1


def _linear(tokens: _Tokens) -> str:
    """An expression that never goes back over a `*`.

    What stands between two stars has a fixed length, so taking its first occurrence is always right; an atomic group
    says so. The part after the last star is bound to the end of the text.
    """
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == _ANY:
            parts.append([])
        else:
            parts[-1].append(token)
    head, *rest = ["".join(part) for part in parts]
    if not rest:
        return head
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1] if part)
    return f"{head}{middle}.*{rest[-1]}"
