"""What Go's encoding/json says about text that is not JSON."""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_DEPTH: Final = 10000

_SPACE: Final = b" \t\r\n"
_DIGITS: Final = b"0123456789"
_HEX: Final = b"0123456789abcdefABCDEF"
_END: Final = "unexpected end of JSON input"


def syntax_error(text: bytes) -> str | None:
    """The complaint about the first byte that cannot be, None when `text` is one JSON value.

    Source: encoding/json scanner.go.
    """
    try:
        index = _skip(text, _value(text, _skip(text, 0), 0))
        if index < len(text):
            raise _Stop(_invalid(text, index, "after top-level value"))
    except _Stop as stop:
        return stop.problem
    return None


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def read_json(body: bytes) -> Any:
    """The value of a text that need not be good Unicode. Raises ValueError with Go's complaint.

    As Go reads it, what is no UTF-8 and half of a surrogate pair are the replacement character.
    """
    problem = syntax_error(body)
    if problem is not None:
        raise ValueError(problem)
    try:
        value = json.loads(body.decode("utf-8", "replace"))
        text = json.dumps(value, ensure_ascii=False)
        return json.loads(_SURROGATE.sub("\ufffd", text)) if _SURROGATE.search(text) else value
    except (ValueError, RecursionError):
        raise ValueError("exceeded max depth") from None


class _Stop(Exception):
    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def _invalid(text: bytes, index: int, where: str) -> str:
    if index >= len(text):
        return _END
    return f"invalid character {_quoted(text[index])} {where}"


def _quoted(byte: int) -> str:
    if byte == ord("'"):
        return "'\\''"
    if byte == ord('"'):
        return "'\"'"
    char = chr(byte)
    if char == "\\":
        return "'\\\\'"
    special = {"\n": "\\n", "\r": "\\r", "\t": "\\t", "\a": "\\a", "\b": "\\b", "\f": "\\f", "\v": "\\v"}
    if char in special:
        return f"'{special[char]}'"
    return f"'{char}'" if char.isprintable() else f"'\\x{byte:02x}'" if byte < 0x80 else f"'\\u{byte:04x}'"


def _skip(text: bytes, index: int) -> int:
    while index < len(text) and text[index] in _SPACE:
        index += 1
    return index


def _value(text: bytes, index: int, depth: int) -> int:
    """Offset after the value at `index`."""
    if depth > 250:  # deeper than any API object; Python's own recursion is the limit here
        raise _Stop("exceeded max depth")
    if index >= len(text):
        raise _Stop(_END)
    byte = text[index : index + 1]
    if byte == b"{":
        return _object(text, index + 1, depth)
    if byte == b"[":
        return _array(text, index + 1, depth)
    if byte == b'"':
        return _string(text, index + 1)
    if byte == b"-" or byte in _DIGITS:
        return _number(text, index)
    for word in (b"true", b"false", b"null"):
        if byte == word[:1]:
            return _literal(text, index, word)
    raise _Stop(_invalid(text, index, "looking for beginning of value"))


def _object(text: bytes, index: int, depth: int) -> int:
    index = _skip(text, index)
    if text[index : index + 1] == b"}":
        return index + 1
    while True:
        if text[index : index + 1] != b'"':
            raise _Stop(_invalid(text, index, "looking for beginning of object key string"))
        index = _skip(text, _string(text, index + 1))
        if text[index : index + 1] != b":":
            raise _Stop(_invalid(text, index, "after object key"))
        index = _skip(text, _value(text, _skip(text, index + 1), depth + 1))
        mark = text[index : index + 1]
        if mark == b"}":
            return index + 1
        if mark != b",":
            raise _Stop(_invalid(text, index, "after object key:value pair"))
        index = _skip(text, index + 1)


def _array(text: bytes, index: int, depth: int) -> int:
    index = _skip(text, index)
    if text[index : index + 1] == b"]":
        return index + 1
    while True:
        index = _skip(text, _value(text, index, depth + 1))
        mark = text[index : index + 1]
        if mark == b"]":
            return index + 1
        if mark != b",":
            raise _Stop(_invalid(text, index, "after array element"))
        index = _skip(text, index + 1)


def _string(text: bytes, index: int) -> int:
    while index < len(text):
        byte = text[index]
        if byte == ord('"'):
            return index + 1
        if byte < 0x20:
            raise _Stop(_invalid(text, index, "in string literal"))
        if byte != ord("\\"):
            index += 1
            continue
        index += 1
        escape = text[index : index + 1]
        if escape == b"u":
            for offset in range(1, 5):
                if index + offset >= len(text) or text[index + offset] not in _HEX:
                    raise _Stop(_invalid(text, index + offset, "in \\u hexadecimal character escape"))
            index += 5
        elif escape and escape in b'bfnrt\\/"':
            index += 1
        else:
            raise _Stop(_invalid(text, index, "in string escape code"))
    raise _Stop(_END)


def _digits(text: bytes, index: int, where: str) -> int:
    if index >= len(text) or text[index] not in _DIGITS:
        raise _Stop(_invalid(text, index, where))
    while index < len(text) and text[index] in _DIGITS:
        index += 1
    return index


def _number(text: bytes, index: int) -> int:
    if text[index] == ord("-"):
        index += 1
    index = index + 1 if text[index : index + 1] == b"0" else _digits(text, index, "in numeric literal")
    if text[index : index + 1] == b".":
        index = _digits(text, index + 1, "after decimal point in numeric literal")
    if text[index : index + 1] in (b"e", b"E"):
        index += 1
        if text[index : index + 1] in (b"+", b"-"):
            index += 1
        index = _digits(text, index, "in exponent of numeric literal")
    return index


def _literal(text: bytes, index: int, word: bytes) -> int:
    for offset in range(1, len(word)):
        if text[index + offset : index + offset + 1] != word[offset : offset + 1]:
            where = f"in literal {word.decode()} (expecting '{chr(word[offset])}')"
            raise _Stop(_invalid(text, index + offset, where))
    return index + len(word)
