"""Regular expressions as Go reads them: text to tree, or the error Go gives.

Source: Go's regexp/syntax (what it accepts, the words of its errors, its limits).
Differs: scripts such as `\\p{Greek}` are told by the names of characters, because Python has no table of scripts; expressions
that nest deeper than 200 levels are refused, where Go allows 1000.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_REPEAT: Final = 1000
MAX_DEPTH: Final = 200

_INVALID_RANGE: Final = "invalid character class range"
_INVALID_ESCAPE: Final = "invalid escape sequence"
_MISSING_ARGUMENT: Final = "missing argument to repetition operator"
_REPEAT: Final = re.compile(r"\{(0|[1-9][0-9]*)(?:(,)(0|[1-9][0-9]*)?)?\}", re.ASCII)
_NAME: Final = re.compile(r"[0-9A-Za-z_]+", re.ASCII)
_ESCAPES: Final = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PERL: Final = {"d": "09", "s": "\t\n\f\r  ", "w": "09AZ__az"}
_FOLDED: Final = {"k": "\u212a", "s": "\u017f", "\u00e5": "\u212b"}  # third forms of letters
_POSIX: Final = {
    "alnum": "09AZaz",
    "alpha": "AZaz",
    "ascii": "\0\x7f",
    "blank": "\t\t  ",
    "cntrl": "\0\x1f\x7f\x7f",
    "digit": "09",
    "graph": "!~",
    "lower": "az",
    "print": " ~",
    "punct": "!/:@[`{~",
    "space": "\t\r  ",
    "upper": "AZ",
    "word": "09AZ__az",
    "xdigit": "09AFaf",
}


class PatternError(ValueError):
    """An expression Go would refuse, in its words."""

    def __init__(self, why: str, part: str) -> None:
        super().__init__(f"error parsing regexp: {why}: `{part}`")


class CharSet:
    """Which characters match: ranges and predicates, perhaps negated, perhaps in any case."""

    __slots__ = ("_any_case", "_ends", "_negated", "_predicates", "_starts")

    def __init__(
        self,
        ranges: list[tuple[str, str]],
        predicates: tuple[Callable[[str], bool], ...] = (),
        *,
        negated: bool = False,
        any_case: bool = False,
    ) -> None:
        merged: list[tuple[str, str]] = []
        for low, high in sorted(ranges):
            if merged and low <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
            else:
                merged.append((low, high))
        self._starts = [low for low, _ in merged]
        self._ends = [high for _, high in merged]
        self._predicates = predicates
        self._negated = negated
        self._any_case = any_case

    @property
    def key(self) -> object:
        """Equal for sets that hold the same characters, as far as that is easily told."""
        return tuple(self._starts), tuple(self._ends), self._predicates, self._negated, self._any_case

    def __contains__(self, char: str) -> bool:
        found = self._holds(char)
        if not found and self._any_case:
            lower, upper = char.lower(), char.upper()
            variants = {lower, upper, lower.upper(), upper.lower(), _FOLDED.get(lower, lower)}
            found = any(len(one) == 1 and self._holds(one) for one in variants)
        return found is not self._negated

    def _holds(self, char: str) -> bool:
        at = bisect_right(self._starts, char) - 1
        if at >= 0 and char <= self._ends[at]:
            return True
        return any(one(char) for one in self._predicates)


@dataclass(frozen=True, slots=True)
class Node:
    """A part of an expression: `set` of characters, `assert` of a place, `cat`, `alt`, `repeat` (most -1: no limit)."""

    kind: str
    parts: tuple[Node, ...] = ()
    chars: CharSet | None = None
    place: str = ""  # begin, end, begin-line, end-line, word, no-word
    least: int = 0
    most: int = 0
    depth: int = 1
    copies: int = 1  # product of the repetitions within


_EMPTY: Final = Node("cat")


@dataclass(slots=True)
class _Level:
    """One open parenthesis: finished alternatives, and what is being put together."""

    flags: str
    done: list[Node]
    items: list[Node]


def parse(text: str) -> Node:
    """The tree of an expression. Raises PatternError."""
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._flags = ""  # of i, m, s
        self._levels = [_Level("", [], [])]

    def parse(self) -> Node:
        text = self._text
        last_repeat = -1  # where the repetition just before began
        while self._at < len(text):
            before = self._at
            repeated = self._one(text[before], last_repeat)
            last_repeat = before if repeated else -1
        if len(self._levels) > 1:
            raise PatternError("missing closing )", text)
        return self._finish(self._levels[0])

    def _one(self, char: str, last_repeat: int) -> bool:
        """Read one thing; True when it was a repetition."""
        text, at = self._text, self._at
        if char in "*+?":
            least, most = {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[char]
            self._repeat(at, at + 1, least, most, last_repeat)
            return True
        if char == "{" and (found := _REPEAT.match(text, at)):
            least = int(found[1])
            most = least if not found[2] else (-1 if not found[3] else int(found[3]))
            if least > MAX_REPEAT or most > MAX_REPEAT or 0 <= most < least:
                raise PatternError("invalid repeat count", found[0])
            self._repeat(at, found.end(), least, most, last_repeat, counted=True)
            return True
        self._at += 1
        if char == "(":
            self._open()
        elif char == ")":
            if len(self._levels) == 1:
                raise PatternError("unexpected )", text)
            level = self._levels.pop()
            self._flags = level.flags
            self._push(self._finish(level))
        elif char == "|":
            level = self._levels[-1]
            level.done.append(_cat(level.items))
            level.items = []
        elif char in "^$":
            side = "begin" if char == "^" else "end"
            self._push(Node("assert", place=f"{side}-line" if "m" in self._flags else side))
        elif char == ".":
            ranges = [("\0", chr(0x10FFFF))] if "s" in self._flags else [("\0", "\t"), ("\v", chr(0x10FFFF))]
            self._push(Node("set", chars=CharSet(ranges)))
        elif char == "[":
            self._class(at)
        elif char == "\\":
            self._escaped(at)
        else:
            self._literal(char)
        return False

    # ---- putting together ----

    def _push(self, node: Node) -> None:
        self._levels[-1].items.append(node)

    def _literal(self, char: str) -> None:
        self._push(Node("set", chars=CharSet([(char, char)], any_case="i" in self._flags)))

    def _finish(self, level: _Level) -> Node:
        if not level.done:
            return _cat(level.items)
        return _joined("alt", [*level.done, _cat(level.items)])

    def _repeat(
        self, start: int, after: int, least: int, most: int, last_repeat: int, *, counted: bool = False
    ) -> None:
        text = self._text
        if text.startswith("?", after):
            after += 1
        if last_repeat >= 0:
            raise PatternError("invalid nested repetition operator", text[last_repeat:after])
        items = self._levels[-1].items
        if not items:
            raise PatternError(_MISSING_ARGUMENT, text[start:after])
        inner = items.pop()
        times = max(least, most, 1) if counted else 1
        if counted and times >= 2 and times * inner.copies > MAX_REPEAT:
            raise PatternError("invalid repeat count", text[start:after])
        if inner.depth >= MAX_DEPTH:
            raise PatternError("expression nests too deeply", text)
        copies = max(times * inner.copies, inner.copies)
        items.append(Node("repeat", (inner,), least=least, most=most, depth=inner.depth + 1, copies=copies))
        self._at = after

    # ---- groups ----

    def _open(self) -> None:
        text, at = self._text, self._at
        if not text.startswith("?", at):
            self._levels.append(_Level(self._flags, [], []))
            return
        start = at - 1
        rest = text[start:]
        named = 4 if len(rest) > 4 and rest[2:4] == "P<" else 3 if len(rest) > 3 and rest[2] == "<" else 0
        if named:
            end = rest.find(">")
            if end < 0:
                raise PatternError("invalid named capture", rest)
            if not _NAME.fullmatch(rest, named, end):
                raise PatternError("invalid named capture", rest[: end + 1])
            self._levels.append(_Level(self._flags, [], []))
            self._at = start + end + 1
            return
        self._flagged(start)

    def _flagged(self, start: int) -> None:
        text = self._text
        flags, negative, seen = set(self._flags), False, False
        at = start + 2
        while at < len(text):
            char = text[at]
            at += 1
            if char in "imsU":
                seen = True
                (flags.discard if negative else flags.add)(char)
            elif char == "-" and not negative:
                negative, seen = True, False
            elif char in ":)" and (seen or not negative):
                if char == ":":
                    self._levels.append(_Level(self._flags, [], []))
                self._flags = "".join(flags)
                self._at = at
                return
            else:
                break
        raise PatternError("invalid or unsupported Perl syntax", text[start:at])

    # ---- escapes and classes ----

    def _escaped(self, start: int) -> None:
        text = self._text
        char = text[start + 1 : start + 2]
        places = {"A": "begin", "z": "end", "b": "word", "B": "no-word"}
        if char in places and char:
            self._push(Node("assert", place=places[char]))
            self._at = start + 2
        elif char == "C":
            raise PatternError(_INVALID_ESCAPE, "\\C")
        elif char == "Q":
            end = text.find("\\E", start + 2)
            for one in text[start + 2 : end if end >= 0 else len(text)]:
                self._literal(one)
            self._at = end + 2 if end >= 0 else len(text)
        else:
            self._at = start
            found = self._group_of_chars()
            if found is None:
                self._literal(self._escape())
                return
            ranges, predicate = found
            any_case = "i" in self._flags
            predicates = () if predicate is None else (predicate,)
            self._push(Node("set", chars=CharSet(ranges, predicates, any_case=any_case)))

    def _group_of_chars(self) -> tuple[list[tuple[str, str]], Callable[[str], bool] | None] | None:
        """`\\d`, `\\pL`, `\\p{Greek}` at this place: (ranges, predicate); None when it is something else."""
        text, at = self._text, self._at
        if not text.startswith("\\", at):
            return None
        char = text[at + 1 : at + 2]
        if char and char in "pP":
            return [], self._unicode(at)
        if char.lower() in _PERL and char:
            self._at = at + 2
            ranges = _pairs(_PERL[char.lower()])
            if char.islower():
                return ranges, None
            inside = CharSet(ranges, any_case="i" in self._flags)
            return [], lambda one: one not in inside
        return None

    def _unicode(self, start: int) -> Callable[[str], bool]:
        text = self._text
        if text.startswith("{", start + 2):
            end = text.find("}", start)
            if end < 0:
                raise PatternError(_INVALID_RANGE, text[start:])
            shown, name = text[start : end + 1], text[start + 3 : end]
        else:
            shown, name = text[start : start + 3], text[start + 2 : start + 3]
        self._at = start + len(shown)
        negated = text[start + 1] == "P"
        if name.startswith("^"):
            negated, name = not negated, name[1:]
        holds = _property(name)
        if holds is None or not name:
            raise PatternError(_INVALID_RANGE, shown)
        return (lambda char: not holds(char)) if negated else holds

    def _escape(self) -> str:
        """The character a backslash sequence stands for."""
        text, start = self._text, self._at
        at = start + 1
        if at >= len(text):
            raise PatternError("trailing backslash at end of expression", "")
        char = text[at]
        at += 1
        if char in "01234567" and (char == "0" or (at < len(text) and text[at] in "01234567")):
            while at < len(text) and at < start + 4 and text[at] in "01234567":
                at += 1
            self._at = at
            return chr(int(text[start + 1 : at], 8))
        if char == "x":
            found = re.compile(r"\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2})").match(text, at)
            if found and (found[2] or int(found[1], 16) <= 0x10FFFF):
                self._at = found.end()
                return chr(int(found[1] or found[2], 16))
            at = self._end_of_hex(at)
        elif char in _ESCAPES:
            self._at = at
            return _ESCAPES[char]
        elif char.isascii() and not char.isalnum():
            self._at = at
            return char
        raise PatternError(_INVALID_ESCAPE, text[start:at])

    def _end_of_hex(self, at: int) -> int:
        """How far Go reads before it gives a hexadecimal escape up."""
        text = self._text
        if at >= len(text):
            return at
        if text[at] != "{":
            return min(at + 2, len(text))
        at += 1
        value = 0
        while at < len(text):
            char = text[at]
            at += 1
            if char not in "0123456789abcdefABCDEF":
                break
            value = value * 16 + int(char, 16)
            if value > 0x10FFFF:
                break
        return at

    def _class(self, start: int) -> None:
        text = self._text
        negated = text.startswith("^", self._at)
        if negated:
            self._at += 1
        ranges: list[tuple[str, str]] = []
        predicates: list[Callable[[str], bool]] = []
        first = True
        while first or not text.startswith("]", self._at):
            first = False
            if self._posix(ranges, predicates):
                continue
            group = self._group_of_chars()
            if group is not None:
                ranges += group[0]
                if group[1] is not None:
                    predicates.append(group[1])
                continue
            begun = self._at
            low = high = self._class_char(start)
            if text.startswith("-", self._at) and self._at + 1 < len(text) and text[self._at + 1] != "]":
                self._at += 1
                high = self._class_char(start)
                if high < low:
                    raise PatternError(_INVALID_RANGE, text[begun : self._at])
            ranges.append((low, high))
        self._at += 1
        chars = CharSet(ranges, tuple(predicates), negated=negated, any_case="i" in self._flags)
        self._push(Node("set", chars=chars))

    def _class_char(self, start: int) -> str:
        text = self._text
        if self._at >= len(text):
            raise PatternError("missing closing ]", text[start:])
        if text[self._at] == "\\":
            return self._escape()
        self._at += 1
        return text[self._at - 1]

    def _posix(self, ranges: list[tuple[str, str]], predicates: list[Callable[[str], bool]]) -> bool:
        text, at = self._text, self._at
        if not text.startswith("[:", at) or at + 2 >= len(text):
            return False
        end = text.find(":]", at + 2)
        if end < 0:
            return False
        name = text[at + 2 : end]
        known = _POSIX.get(name.removeprefix("^"))
        if known is None:
            raise PatternError(_INVALID_RANGE, text[at : end + 2])
        if name.startswith("^"):
            inside = CharSet(_pairs(known), any_case="i" in self._flags)
            predicates.append(lambda char: char not in inside)
        else:
            ranges += _pairs(known)
        self._at = end + 2
        return True


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(text[at], text[at + 1]) for at in range(0, len(text), 2)]


def _cat(items: list[Node]) -> Node:
    return items[0] if len(items) == 1 else _joined("cat", items) if items else _EMPTY


def _joined(kind: str, parts: list[Node]) -> Node:
    depth = 1 + max(one.depth for one in parts)
    if depth > MAX_DEPTH:
        raise PatternError("expression nests too deeply", "...")
    return Node(kind, tuple(parts), depth=depth, copies=max(one.copies for one in parts))


_CATEGORIES: Final = {
    "C": "cfnos",
    "L": "lmotu",
    "M": "cen",
    "N": "dlo",
    "P": "cdefios",
    "S": "ckmo",
    "Z": "lps",
}
_SHORT_NAMES: Final = frozenset((one + two).lower() for one, rest in _CATEGORIES.items() for two in ("", *rest))
_LONG_NAMES: Final = {
    "other": "C",
    "control": "Cc",
    "cntrl": "Cc",
    "format": "Cf",
    "unassigned": "Cn",
    "privateuse": "Co",
    "surrogate": "Cs",
    "letter": "L",
    "lowercaseletter": "Ll",
    "modifierletter": "Lm",
    "otherletter": "Lo",
    "titlecaseletter": "Lt",
    "uppercaseletter": "Lu",
    "mark": "M",
    "combiningmark": "M",
    "spacingmark": "Mc",
    "enclosingmark": "Me",
    "nonspacingmark": "Mn",
    "number": "N",
    "decimalnumber": "Nd",
    "digit": "Nd",
    "letternumber": "Nl",
    "othernumber": "No",
    "punctuation": "P",
    "punct": "P",
    "connectorpunctuation": "Pc",
    "dashpunctuation": "Pd",
    "closepunctuation": "Pe",
    "finalpunctuation": "Pf",
    "initialpunctuation": "Pi",
    "otherpunctuation": "Po",
    "openpunctuation": "Ps",
    "symbol": "S",
    "currencysymbol": "Sc",
    "modifiersymbol": "Sk",
    "mathsymbol": "Sm",
    "othersymbol": "So",
    "separator": "Z",
    "lineseparator": "Zl",
    "paragraphseparator": "Zp",
    "spaceseparator": "Zs",
}
_SCRIPTS: Final = {"Han": "CJK UNIFIED IDEOGRAPH"}


def _property(name: str) -> Callable[[str], bool] | None:
    """What `\\p{name}` holds, None when there is no such property."""
    plain = "".join(char for char in name if char not in "_- ").lower()
    name = _LONG_NAMES.get(plain, name)
    if plain in _SHORT_NAMES:
        name = plain[0].upper() + plain[1:]
    if plain == "any":
        return lambda _char: True
    if plain in ("lc", "casedletter"):
        return lambda char: unicodedata.category(char) in ("Lu", "Ll", "Lt")
    if name.lower() in _SHORT_NAMES:
        return lambda char: unicodedata.category(char).startswith(name)
    if not re.fullmatch("[A-Z][a-z]+(_[A-Z]?[a-z]+)*", name):
        return None
    prefix = _SCRIPTS.get(name, name.upper().replace("_", " "))
    return lambda char: unicodedata.name(char, "").startswith(prefix)
