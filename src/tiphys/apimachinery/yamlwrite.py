"""Write YAML the way kubectl prints it.

Source: go.yaml.in/yaml/v2 encode.go, emitterc.go, sorter.go.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from tiphys.apimachinery.yamlscalars import SPECIAL, go_float, resolve_plain, whole_number


def dump_yaml(obj: object) -> str:
    """`obj` as block YAML the way kubectl prints it: keys in Go's natural order, lists not indented below their key.

    Source: go.yaml.in/yaml/v2 encode.go, emitterc.go, sorter.go.
    """
    out: list[str] = []
    _emit(obj, 0, out)
    return "".join(out)


def _emit(value: object, indent: int, out: list[str]) -> None:
    """Append `value` and a line end; the first line continues what is there, later ones start at `indent`."""
    if isinstance(value, dict) and value:
        pad = "\n" + " " * indent
        first = True
        for key in sorted(value, key=_NaturalKey):
            if not first:
                out.append(pad[1:])
            first = False
            _emit_entry(str(key), value[key], indent, out)
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            out.append((" " * indent if index else "") + "- ")
            _emit(item, indent + 2, out)
    else:
        out.append(_scalar(value, indent or 2) + "\n")


def _emit_entry(key: str, value: object, indent: int, out: list[str]) -> None:
    if len(key.encode()) <= 128 and not any(char in _BREAKS for char in key):
        out.append(f"{_string(key, indent, key=True)}:")
    else:
        out.append(f"? {_string(key, indent + 2, key=True)}\n{' ' * indent}:")
    if isinstance(value, dict) and value:
        out.append("\n" + " " * (indent + 2))
        _emit(value, indent + 2, out)
    elif isinstance(value, list | tuple) and value:
        out.append("\n" + " " * indent)
        _emit(value, indent, out)
    else:
        out.append(f" {_scalar(value, indent + 2)}\n")


def _scalar(value: object, indent: int) -> str:
    if isinstance(value, str):
        return _string(value, indent)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        whole = whole_number(value)
        return str(whole) if isinstance(whole, int) else go_float(value)
    if isinstance(value, dict):
        return "{}"
    if isinstance(value, list | tuple):
        return "[]"
    raise ValueError(f"{type(value).__name__} cannot be written as YAML")


_BASE60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)
_TIMESTAMP: Final = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})"
    r"| [0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:[.,][0-9]+)?)?",
    re.ASCII,
)
_SAFE: Final = re.compile(r"[A-Za-z/_][A-Za-z0-9/_.-]*", re.ASCII)


def _string(text: str, indent: int, *, key: bool = False) -> str:
    if text not in SPECIAL and _SAFE.fullmatch(text):
        return text
    shape = _Shape.of(text)
    if any(char in text for char in _BREAKS if char != "\n"):
        return _double(text)  # Go writes these breaks raw, and readers disagree about them
    if "\n" in text:
        return _literal(text, indent) if shape.block else _double(text)
    if (key and text == "<<") or not _reads_as_text(text):
        return _double(text)
    if shape.plain:
        return text
    return "'" + text.replace("'", "''") + "'" if shape.single else _double(text)


def _reads_as_text(text: str) -> bool:
    if text in SPECIAL or _BASE60.fullmatch(text) or _TIMESTAMP.fullmatch(text):
        return False
    return isinstance(resolve_plain(text), str)


def _printable(char: str) -> bool:
    return (
        " " <= char <= "~"
        or char == "\n"
        or "\xa0" <= char <= "\ud7ff"
        or ("\ue000" <= char <= "\ufffd" and char != "\ufeff")
    )


_BREAKS: Final = "\r\n\x85\u2028\u2029"


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which styles can carry a text."""

    plain: bool
    single: bool
    block: bool

    @classmethod
    def of(cls, text: str) -> _Shape:
        indicator = text.startswith(("---", "...")) or text[:1] in tuple("#,[]{}&*!|>'\"%@`")
        if text[:1] in ("?", ":", "-") and (len(text) == 1 or text[1] in " \t" + _BREAKS):
            indicator = True
        if not indicator:
            indicator = bool(re.search(r":(?:[ \t\r\n\x85\u2028\u2029]|$)|[ \t\r\n\x85\u2028\u2029]#", text))
        special = any(not _printable(char) for char in text)
        breaks = any(char in _BREAKS for char in text)
        edge = text[:1] in tuple(" " + _BREAKS) or text[-1:] in tuple(" " + _BREAKS)
        break_space = bool(re.search(r"[\r\n\x85\u2028\u2029] ", text))
        space_break = bool(re.search(r" [\r\n\x85\u2028\u2029]", text))
        awkward = special or space_break
        return cls(
            plain=not (indicator or edge or breaks or break_space or awkward),
            single=not (break_space or awkward),
            block=not (awkward or text.endswith(" ")),
        )


def _literal(text: str, indent: int) -> str:
    hint = "2" if text[0] in " " + _BREAKS else ""
    if text[-1] not in _BREAKS:
        hint += "-"
    elif len(text) == 1 or text[-2] in _BREAKS:
        hint += "+"
    pad = " " * indent
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    return f"|{hint}\n" + "\n".join(pad + line if line else "" for line in lines)


_ESCAPES: Final = {
    "\0": "\\0",
    "\a": "\\a",
    "\b": "\\b",
    "\t": "\\t",
    "\n": "\\n",
    "\v": "\\v",
    "\f": "\\f",
    "\r": "\\r",
    "\x1b": "\\e",
    '"': '\\"',
    "\\": "\\\\",
    "\x85": "\\N",
    "\xa0": "\\_",
    "\u2028": "\\L",
    "\u2029": "\\P",
}


def _double(text: str) -> str:
    out = []
    for char in text:
        if char in _ESCAPES and char != "\xa0":
            out.append(_ESCAPES[char])
        elif _printable(char):
            out.append(char)
        elif (point := ord(char)) <= 0xFF:
            out.append(f"\\x{point:02X}")
        else:
            out.append(f"\\u{point:04X}" if point <= 0xFFFF else f"\\U{point:08X}")
    return '"' + "".join(out) + '"'


class _NaturalKey(str):
    """Orders keys as Go's YAML writer does: letters after other characters, digit runs by their value."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        left, right = str(self), str(other)
        for at, (a, b) in enumerate(zip(left, right, strict=False)):
            if a != b:
                return _differs_below(left, right, at)
        return len(left) < len(right)


def _differs_below(left: str, right: str, at: int) -> bool:
    a, b = left[at], right[at]
    if a.isalpha() and b.isalpha():
        return a < b
    if a.isalpha() or b.isalpha():
        return b.isalpha()
    lead = ""
    if "0" in (a, b):
        back = at - 1
        while back >= 0 and left[back].isdecimal():
            if left[back] != "0":
                lead = "1"
                break
            back -= 1
    end_a, end_b = _digits_end(left, at), _digits_end(right, at)
    number_a, number_b = int(lead + left[at:end_a] or "0"), int(lead + right[at:end_b] or "0")
    if number_a != number_b:
        return number_a < number_b
    if end_a != end_b:
        return end_a < end_b
    return a < b


def _digits_end(text: str, at: int) -> int:
    while at < len(text) and text[at].isdecimal():
        at += 1
    return at
