"""Files whose YAML means one thing only: to YAML 1.1, to YAML 1.2, and after Kustomize has written it anew."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from tiphys.apimachinery.yamljson import YamlError, YamlLimits, load_all
from tiphys.apimachinery.yamlscalars import resolve_plain

MAX_BYTES: Final = 512 * 1024
_LIMITS = YamlLimits(depth=60, documents=200, size_bytes=MAX_BYTES, aliased_values=0)

# Document markers that carry something, directives, and comments that kyaml may read as schemas or setters.
_ODD_LINES = re.compile(rb"^(?:---[^\n]*\S|\.\.\.|%)|#[ \t]*[{$]|[\r\x00\x85]|\xef\xbb\xbf", re.MULTILINE)
_INTEGER = re.compile(r"-?[1-9][0-9]{0,14}|0")
# Plain scalars that begin with a digit or a dash and are text to everybody: quantities, versions, names of files, suffixes.
_TEXT_WITH_DIGITS = re.compile(
    r"""[0-9]+(?:[A-DF-Za-df-np-z]|E[A-Za-z])[A-Za-z]?
    | [0-9]+(?:\.[0-9]+){2,}
    | [0-9]+%
    | [0-9]+[-.](?![eE][-+0-9])[A-Za-z][A-Za-z0-9.-]*
    | -[A-Za-z][A-Za-z0-9-]*""",
    re.VERBOSE,
)
_OPERATION = frozenset({"op", "path", "value"})
_BEGINS_TEXT = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/_")


class UnclearError(Exception):
    """What is asked for is not surely understood here."""


def read_documents(data: bytes) -> list[dict[str, Any]]:
    """The objects of one file of YAML or JSON, or the operations of a JSON patch.

    Raises UnclearError for anything that is out of the ordinary.
    No anchors, tags, floats, repeated or odd keys, no null but a `creationTimestamp`; no plain scalar that is a boolean, a
    date or a number to one reader and a text to another.
    """
    if len(data) > MAX_BYTES or _ODD_LINES.search(data):
        raise UnclearError("text")
    try:
        _check_events(data)
        documents = load_all(data, strict=True, limits=_LIMITS)
    except (yaml.YAMLError, YamlError, UnicodeError) as error:
        raise UnclearError("yaml") from error
    if len(documents) == 1 and isinstance(documents[0], list):
        documents = documents[0]
        if not documents or not all(isinstance(one, dict) and one.keys() <= _OPERATION for one in documents):
            raise UnclearError("list")
    for document in documents:
        if not isinstance(document, dict):
            raise UnclearError("document")
        _check_nulls(document)
    return documents


def _check_nulls(value: Any) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if item is None and key != "creationTimestamp":
                raise UnclearError("null")
            _check_nulls(item)
    elif isinstance(value, list):
        for item in value:
            if item is None:
                raise UnclearError("null")
            _check_nulls(item)


def _check_events(data: bytes) -> None:
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.ScalarEvent):
            if event.anchor is not None or event.tag is not None:
                raise UnclearError("anchor or tag")
            value = event.value
            if event.implicit[0]:
                if not is_plain(value) and value != "null":
                    raise UnclearError("plain scalar")
            elif event.style == ">" or not is_writable(value):
                raise UnclearError("text")
        elif isinstance(event, yaml.AliasEvent):
            raise UnclearError("alias")
        elif isinstance(event, yaml.CollectionStartEvent) and (event.anchor is not None or event.tag is not None):
            raise UnclearError("anchor or tag")


def is_plain(text: str) -> bool:
    """Is an unquoted scalar the same value to every reader: a text, a decimal integer, true or false?"""
    if not text:
        return False
    if text[0] in _BEGINS_TEXT:
        return resolve_plain(text) is text or text in ("true", "false")
    if text.startswith(("./", "../")):
        return True
    return _INTEGER.fullmatch(text) is not None or _TEXT_WITH_DIGITS.fullmatch(text) is not None


def is_writable(text: str) -> bool:
    """Is it the same after it was written as YAML and read again, whoever does it?"""
    if text[:1].isspace() and "\n" in text:
        return False
    return all(line.isprintable() for line in text.replace("\t", " ").split("\n"))


def is_text(text: str) -> bool:
    """Is it a text to every reader even without quotes?"""
    return bool(text) and text[0] in _BEGINS_TEXT and resolve_plain(text) is text


def copy(value: Any) -> Any:
    """A JSON value that shares nothing that can change."""
    if value.__class__ is dict:
        return {key: copy(item) for key, item in value.items()}
    if value.__class__ is list:
        return [copy(item) for item in value]
    return value
