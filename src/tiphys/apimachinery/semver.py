"""Semantic versions and constraints on them, in the dialect of Masterminds/semver 3.4, which Argo CD and Helm speak.

A version may lack parts (`1`, `v1.2`). A constraint is one or more groups joined by `||`, each of comparisons that must all
hold, separated by white space or commas: `>=1.2 <2`, `^1`, `~1.4.0`, `1.x`, `1.2 - 3`. A prerelease satisfies only a group in
which some comparison names a prerelease (`>=1.0-0`).

Source: dependencies.md 9, compat 1.2; the table in the tests was judged by Helm's engine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import total_ordering

# White space is what Go's \s takes, and digits are ASCII.
_SPACE = r"[\t\n\f\r ]"
_SUFFIX = r"(-[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
_VERSION = re.compile(rf"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?{_SUFFIX}")
_PART = r"[0-9xX*|]+"
_PATTERN = re.compile(rf"v?({_PART})(?:\.({_PART}))?(?:\.({_PART}))?{_SUFFIX}")
_OPERATOR = re.compile(r"!=|>=|=>|<=|=<|~>|=|>|<|~|\^|")
_SPACES = re.compile(rf"{_SPACE}*")
_SEPARATOR = re.compile(rf",{_SPACE}*")
_HYPHEN = re.compile(
    rf"(v?{_PART}(?:\.{_PART}){{0,2}}{_SUFFIX}){_SPACE}+-{_SPACE}+(v?{_PART}(?:\.{_PART}){{0,2}}{_SUFFIX})"
)
_MAX_NUMBER = 2**64
_MAX_LENGTH = 1024
_WILD = frozenset("xX*")

Identifier = tuple[int, int, str]  # numbers sort before words


class SemverError(ValueError):
    """A text is no version, or no constraint."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version. `original` is the text it was read from; build metadata does not count in comparisons."""

    original: str
    major: int
    minor: int
    patch: int
    prerelease: str = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self._key() == other._key()

    def __lt__(self, other: Version) -> bool:
        return self._key() < other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[int, int, int, bool, tuple[Identifier, ...]]:
        return (self.major, self.minor, self.patch, not self.prerelease, _identifiers(self.prerelease))


def parse_version(text: str) -> Version:
    """`v1`, `1.2`, `1.2.3-rc.1+build`. Raises SemverError."""
    match = _VERSION.fullmatch(text) if len(text) <= _MAX_LENGTH else None
    if match is None:
        raise SemverError(f"invalid semantic version: {text[:64]!r}")
    major, minor, patch = (int(part or 0) if len(part or "") <= 20 else _MAX_NUMBER for part in match.group(1, 2, 3))
    prerelease = (match[4] or "")[1:]
    if max(major, minor, patch) >= _MAX_NUMBER:
        raise SemverError(f"invalid semantic version: a number of {text[:64]!r} is too large")
    if any(len(part) > 1 and part[0] == "0" and part.isdigit() for part in prerelease.split(".")):
        raise SemverError(f"invalid semantic version: a number of {text[:64]!r} starts with 0")
    return Version(text, major, minor, patch, prerelease)


@dataclass(frozen=True, slots=True)
class _Comparison:
    """One operator and a version of which the last parts may be left open."""

    holds: Callable[[Version, _Comparison], bool]
    version: Version
    open_major: bool = False  # `*`
    open_minor: bool = False  # `1`, `1.x`
    open_patch: bool = False  # `1.2`, `1.2.x`

    @property
    def open(self) -> bool:
        """Some part is left open."""
        return self.open_major or self.open_minor or self.open_patch


@dataclass(frozen=True, slots=True)
class Constraint:
    """Which versions are wanted."""

    text: str
    groups: tuple[tuple[_Comparison, ...], ...]

    def allows(self, version: Version) -> bool:
        """Whether all comparisons of some group hold for the version."""
        return any(_group_allows(group, version) for group in self.groups)


def parse_constraint(text: str) -> Constraint:
    """Read a constraint. Raises SemverError."""
    if len(text) > _MAX_LENGTH:
        raise SemverError("improper constraint: it is too long")
    spelled = _HYPHEN.sub(lambda match: f">= {match[1]}, <= {match[4]} ", text)
    return Constraint(text, tuple(_group(part) for part in spelled.split("||")))


def is_constraint(text: str) -> bool:
    """Whether a text asks for a range: a constraint that is not one plain version.

    `1.2` and `v1.0` are versions; a range has an operator or an open part. Source: compat 1.2 "Semver pin vs constraint".
    """
    if _is_version(text):
        return False
    try:
        parse_constraint(text)
    except SemverError:
        return False
    return True


def newest(constraint: Constraint, versions: Iterable[str]) -> str | None:
    """The text of the highest version that is allowed, the first of equal ones; what is no version is passed over."""
    best: Version | None = None
    for text in versions:
        try:
            version = parse_version(text)
        except SemverError:
            continue
        if (best is None or version > best) and constraint.allows(version):
            best = version
    return best.original if best is not None else None


def _is_version(text: str) -> bool:
    try:
        parse_version(text)
    except SemverError:
        return False
    return True


def _group_allows(group: tuple[_Comparison, ...], version: Version) -> bool:
    if version.prerelease and not any(comparison.version.prerelease for comparison in group):
        return False
    return all(comparison.holds(version, comparison) for comparison in group)


def _group(text: str) -> tuple[_Comparison, ...]:
    found: list[_Comparison] = []
    at = _end(_SPACES, text, 0)
    while True:
        operator = _OPERATOR.match(text, at)
        assert operator is not None  # it may be empty
        pattern = _PATTERN.match(text, _end(_SPACES, text, operator.end()))
        if pattern is None:
            raise SemverError(f"improper constraint: {text}")
        found.append(_comparison(operator[0], pattern))
        after = _end(_SPACES, text, pattern.end())
        if after == len(text):
            return tuple(found)
        at = _end(_SEPARATOR, text, after)
        if at == pattern.end():
            raise SemverError(f"improper constraint: {text}")


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match is not None else at


def _comparison(operator: str, pattern: re.Match[str]) -> _Comparison:
    major, minor, patch = pattern.group(1, 2, 3)
    prerelease = pattern[4] or ""
    holds = _OPERATIONS[operator]
    if major in _WILD:
        return _Comparison(holds, parse_version(f"0.0.0{prerelease}"), open_major=True)
    if minor is None or minor in _WILD:
        return _Comparison(holds, parse_version(f"{major}.0.0{prerelease}"), open_minor=True)
    if patch is None or patch in _WILD:
        return _Comparison(holds, parse_version(f"{major}.{minor}.0{prerelease}"), open_patch=True)
    return _Comparison(holds, parse_version(pattern[0]))


def _identifiers(prerelease: str) -> tuple[Identifier, ...]:
    if not prerelease:
        return ()
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease.split("."))


def _differs(version: Version, wanted: _Comparison) -> bool:
    base = wanted.version
    if wanted.open:
        if version.major != base.major:
            return True
        if wanted.open_minor:
            return False
        if version.minor != base.minor:
            return True
        if wanted.open_patch:
            return version.prerelease != base.prerelease
    return version != base


def _above(version: Version, wanted: _Comparison) -> bool:
    base = wanted.version
    if wanted.open and version.major != base.major:
        return version.major > base.major
    if wanted.open_minor:
        return False  # every 11.y.z is part of 11
    if wanted.open_patch:
        return version.minor > base.minor
    return version > base


def _below(version: Version, wanted: _Comparison) -> bool:
    return version < wanted.version


def _at_least(version: Version, wanted: _Comparison) -> bool:
    return version >= wanted.version


def _at_most(version: Version, wanted: _Comparison) -> bool:
    base = wanted.version
    if not wanted.open:
        return version <= base
    if version.major != base.major:
        return version.major < base.major
    return version.minor <= base.minor or wanted.open_minor


def _tilde(version: Version, wanted: _Comparison) -> bool:
    base = wanted.version
    if version < base:
        return False
    if base.major == base.minor == base.patch == 0 and not (wanted.open_minor or wanted.open_patch):
        return True  # `*`, and `~0.0.0` as well
    return version.major == base.major and (version.minor == base.minor or wanted.open_minor)


def _equal(version: Version, wanted: _Comparison) -> bool:
    return _tilde(version, wanted) if wanted.open else version == wanted.version


def _caret(version: Version, wanted: _Comparison) -> bool:
    base = wanted.version
    if version < base:
        return False
    if base.major > 0 or wanted.open_minor:
        return version.major == base.major
    if version.major > 0:
        return False
    if base.minor > 0 or wanted.open_patch:
        return version.minor == base.minor
    return version.minor == 0 and version.patch == base.patch


_OPERATIONS: dict[str, Callable[[Version, _Comparison], bool]] = {
    "": _equal,
    "=": _equal,
    "!=": _differs,
    ">": _above,
    "<": _below,
    ">=": _at_least,
    "=>": _at_least,
    "<=": _at_most,
    "=<": _at_most,
    "~": _tilde,
    "~>": _tilde,
    "^": _caret,
}
