"""`--set`, `--set-string` and `--set-file`: `a.b[0].c=value,d={x,y}` put into a tree of values. Runs in the worker.

Commas separate assignments, `{}` makes a list, a backslash takes the next character as it is. Integers that are set this
way are `SetInteger`, because templates see them as integers while numbers from files are floats.

Source: Helm's documentation of `--set`; behaviour compared with Helm's own parser in tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tiphys.engine.render.tools import ToolError

MAX_INDEX = 65536
MAX_NESTING = 30

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None}
Values = dict[str, Any]
Read = Callable[[str], Any]


class SetInteger(int):
    """An integer that was set by a parameter: a template must see an integer."""


def put(values: Values, text: str) -> None:
    """`--set`: words and integers get their type. Raises ToolError."""
    _Parser(text, _typed).into(values)


def put_string(values: Values, text: str) -> None:
    """`--set-string`: every value is a string. Raises ToolError."""
    _Parser(text, str).into(values)


def put_file(values: Values, text: str, read: Read) -> None:
    """`--set-file`: every value is what `read` gives for the path written there. Raises ToolError."""
    _Parser(text, read).into(values)


def _typed(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text) and (text == "0" or not text.startswith("0")):
        number = int(text) if len(text) < 25 else 2**64
        if -(2**63) <= number < 2**63:
            return SetInteger(number)
    return text


def _known(value: Any, kind: type) -> Any:
    """What is there already, which must be of the kind that the path goes on with."""
    if isinstance(value, kind):
        return value
    raise ToolError(f"unable to parse key: interface conversion: interface {{}} is {_go(value)}, not {_go(kind())}")


def _go(value: Any) -> str:
    """How Go calls the type of a value."""
    if isinstance(value, dict):
        return "map[string]interface {}"
    if isinstance(value, list):
        return "[]interface {}"
    if value is None:
        return "nil"
    return {bool: "bool", str: "string", SetInteger: "int64"}.get(type(value), "float64")


class _End(Exception):
    """The text is at its end."""


class _Parser:
    def __init__(self, text: str, read: Read) -> None:
        self._text = text
        self._at = 0
        self._read = read

    def into(self, values: Values) -> None:
        try:
            while True:
                self._key(values, 0)
        except _End:
            return

    def _key(self, data: Values, nesting: int) -> None:
        name, stop = self._until("=[,.")
        if stop == "":
            if not name:
                raise _End
            raise ToolError(f'key "{name}" has no value')
        if stop == "[":
            index = self._index()
            items = list(_known(data[name], list)) if name in data else []
            try:
                self._list(items, index, nesting)
            finally:
                self._set(data, name, items)  # an index without a value makes the list, too
        elif stop == "=":
            if self._at >= len(self._text):
                self._set(data, name, "")
                raise _End
            self._set(data, name, self._value())
        elif stop == ",":
            self._set(data, name, "")
            raise ToolError(f'key "{name}" has no value (cannot end with ,)')
        else:
            if nesting + 1 > MAX_NESTING:
                raise ToolError(
                    f"value name nested level is greater than maximum supported nested level of {MAX_NESTING}"
                )
            inner = _known(data[name], dict) if name in data else {}
            try:
                self._key(inner, nesting + 1)
            finally:
                if inner:
                    self._set(data, name, inner)
            if not inner:
                raise ToolError(f'key map "{name}" has no value')

    def _list(self, items: list[Any], index: int, nesting: int) -> None:
        if index < 0:
            raise ToolError(f"negative {index} index not allowed")
        name, stop = self._until("[.=")
        if name:
            raise ToolError(f'unexpected data at end of array index: "{name}"')
        known = items[index] if len(items) > index else None
        value: Any
        if stop == "":
            raise _End
        if stop == "=":
            value = self._value()
        elif stop == "[":
            value = [] if known is None else list(_known(known, list))
            self._list(value, self._index(), nesting)
        else:
            value = known if isinstance(known, dict) else {}
            self._key(value, nesting + 1)
        if index > MAX_INDEX:
            raise ToolError(f"index of {index} is greater than maximum supported index of {MAX_INDEX}")
        items += [None] * (index + 1 - len(items))
        items[index] = value

    def _index(self) -> int:
        text, stop = self._until("]")
        if stop == "":
            raise _End
        if not _INTEGER.fullmatch(text) or len(text) > 20:
            raise ToolError(f'error parsing index: strconv.Atoi: parsing "{text}": invalid syntax')
        return int(text)

    def _value(self) -> Any:
        if self._at >= len(self._text):
            return ""
        if self._text[self._at] != "{":
            return self._read(self._until(",")[0])
        self._at += 1
        items = []
        while True:
            text, stop = self._until(",}")
            if stop == "":
                raise ToolError("list must terminate with '}'")
            items.append(self._read(text))
            if stop == "}":
                if self._text[self._at : self._at + 1] == ",":
                    self._at += 1
                return items

    def _until(self, stops: str) -> tuple[str, str]:
        """(text up to the first of `stops`, that one); an empty stop at the end of everything."""
        found: list[str] = []
        while self._at < len(self._text):
            char = self._text[self._at]
            self._at += 1
            if char in stops:
                return "".join(found), char
            if char == "\\":
                if self._at == len(self._text):
                    break
                char = self._text[self._at]
                self._at += 1
            found.append(char)
        return "".join(found), ""

    def _set(self, data: Values, name: str, value: Any) -> None:
        if name:
            data[name] = value
