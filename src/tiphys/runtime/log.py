"""Structured log: constant message, values as fields.

A line is text on a terminal and one JSON object elsewhere. Fields are redacted on the way out, so a caller cannot
forget it; a `Secret` shows stars in any case. What the libraries log through `logging` goes the same way.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from enum import IntEnum
from typing import Literal, Protocol

import orjson

from tiphys.runtime.clock import Clock, SystemClock
from tiphys.runtime.redact import redact_text

# The only context variable of the package: the id of the HTTP request that is being answered, put on every line.
request_id: ContextVar[str] = ContextVar("request_id", default="")


class Level(IntEnum):
    """How loud a line is; the numbers are those of `logging`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class Stream(Protocol):
    """Where lines go: stderr, or a StringIO in tests."""

    def write(self, text: str, /) -> object:
        """Take some text."""

    def flush(self) -> object:
        """Pass it on."""

    def isatty(self) -> bool:
        """True for a terminal."""


def parse_level(text: str) -> Level:
    """`debug`, `info`, `warn`, `warning`, `error` in any case. Raises ValueError."""
    name = text.strip().upper()
    name = {"WARN": "WARNING", "FATAL": "ERROR", "PANIC": "ERROR", "TRACE": "DEBUG"}.get(name, name)
    try:
        return Level[name]
    except KeyError:
        raise ValueError(f"log level {text!r} is not one of debug, info, warn, error") from None


class LogSink:
    """Formats lines and writes them to one stream."""

    def __init__(
        self,
        stream: Stream,
        *,
        form: Literal["auto", "text", "json"] = "auto",
        level: Level = Level.INFO,
        clock: Clock | None = None,
    ) -> None:
        self.level = level
        self._stream = stream
        self._clock: Clock = clock or SystemClock()
        self._json = form == "json" or (form == "auto" and not stream.isatty())

    def write(self, level: Level, message: str, fields: Mapping[str, object]) -> None:
        """Write one line if it is loud enough. A stream that is gone is no reason to fail."""
        if level < self.level:
            return
        moment = self._clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = self._as_json(moment, level, message, fields) if self._json else _as_text(moment, level, message, fields)
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            pass  # closed pipe or closed file: there is nowhere left to say it

    @staticmethod
    def _as_json(moment: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
        row: dict[str, object] = {"time": moment, "level": level.name.lower(), "msg": message}
        for name, value in fields.items():
            row[name if name not in row else f"field.{name}"] = _plain(value)
        return orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _as_text(moment: str, level: Level, message: str, fields: Mapping[str, object]) -> str:
    parts = [moment[11:23], level.name[:5].ljust(5), message]
    trailing = ""
    for name, value in fields.items():
        text = str(_plain(value))
        if "\n" in text:
            trailing += "\n" + text.rstrip("\n")
        else:
            parts.append(f"{name}={_quoted(text)}")
    return " ".join(parts) + trailing


def _quoted(text: str) -> str:
    if text and text.isprintable() and not any(c in text for c in ' "='):
        return text
    return orjson.dumps(text).decode()


def _plain(value: object) -> object:
    """The value as JSON can say it, with credentials starred."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return redact_text(text)


class Logger:
    """Writes lines that all carry the same fields. Messages are constants: what varies is a field."""

    __slots__ = ("_fields", "_sink")

    def __init__(self, sink: LogSink | None, fields: Mapping[str, object] | None = None) -> None:
        """Without a sink nothing is written."""
        self._sink = sink
        self._fields: dict[str, object] = dict(fields or {})

    def bind(self, **fields: object) -> Logger:
        """A logger whose lines carry these fields too."""
        return Logger(self._sink, {**self._fields, **fields})

    def is_on(self, level: Level) -> bool:
        """True when lines of this level are written; ask before computing a costly field."""
        return self._sink is not None and level >= self._sink.level

    def debug(self, message: str, /, **fields: object) -> None:
        """For someone who follows one case step by step."""
        self._write(Level.DEBUG, message, fields)

    def info(self, message: str, /, **fields: object) -> None:
        """Something happened that an operator may look for later."""
        self._write(Level.INFO, message, fields)

    def warning(self, message: str, /, **fields: object) -> None:
        """Something an operator can and should change; the work goes on."""
        self._write(Level.WARNING, message, fields)

    def error(self, message: str, /, **fields: object) -> None:
        """Something did not get done."""
        self._write(Level.ERROR, message, fields)

    def exception(self, message: str, error: BaseException, /, **fields: object) -> None:
        """A bug: the error with its stack, without the values of any variable."""
        stack = "".join(traceback.format_exception(error))
        self._write(Level.ERROR, message, {**fields, "error": f"{type(error).__name__}: {error}", "stack": stack})

    def _write(self, level: Level, message: str, fields: dict[str, object]) -> None:
        sink = self._sink
        if sink is None or level < sink.level:
            return
        merged = {**self._fields, **fields} if self._fields else fields
        request = request_id.get()
        if request:
            merged = {**merged, "request": request}
        sink.write(level, message, merged)


SILENT = Logger(None)  # for whoever was given no logger; it holds nothing and writes nowhere


class LibraryHandler(logging.Handler):
    """Brings what libraries log into our sink; attach it to the root logger once, in wiring."""

    def __init__(self, sink: LogSink, *, level: Level = Level.WARNING) -> None:
        super().__init__(int(level))
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record of `logging`."""
        fields: dict[str, object] = {"logger": record.name}
        if record.exc_info and record.exc_info[1] is not None:
            fields["stack"] = "".join(traceback.format_exception(record.exc_info[1]))
        levels = [level for level in Level if level <= record.levelno]
        try:
            message = redact_text(record.getMessage())
        except Exception:
            message = str(record.msg)  # a library's format string does not fit its arguments
        self._sink.write(max(levels, default=Level.DEBUG), message, fields)
