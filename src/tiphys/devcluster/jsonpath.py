"""The JSONPath of printer columns and selectable fields: dots, brackets, indices, and filters on one field.

What `additionalPrinterColumns` and scale paths use in practice; everything else finds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_STEP: Final = re.compile(
    r"""\.?\[\?\(\s*@\.(?P<field>[\w.\-/]+)\s*(?P<op>==|!=)\s*(?P<quote>["']?)(?P<value>.*?)(?P=quote)\s*\)\]"""
    r"""|\.?\[(?P<index>-?\d+)\]"""
    r"""|\.?\[(?P<all>\*)\]"""
    r"""|\.?\[['"](?P<key>.*?)['"]\]"""
    r"""|\.(?P<name>(?:[^.\[\]\\]|\\.)+)"""
)


def compile_path(text: str) -> tuple[re.Match[str], ...] | None:
    """The steps of a path, None when it is none of ours."""
    text = text.strip()
    if text.startswith("{") and text.endswith("}"):
        text = text[1:-1].strip()
    if text and text[0] not in ".[":
        text = "." + text
    steps: list[re.Match[str]] = []
    at = 0
    while at < len(text):
        match = _STEP.match(text, at)
        if match is None:
            return None
        steps.append(match)
        at = match.end()
    return tuple(steps)


def find(steps: tuple[re.Match[str], ...] | None, obj: object) -> list[Any]:
    """Every value the path leads to, in document order."""
    if steps is None:
        return []
    found: list[Any] = [obj]
    for step in steps:
        found = [value for one in found for value in _follow(step, one)]
    return found


def _follow(step: re.Match[str], value: Any) -> Iterator[Any]:
    name = step["name"]
    if name is None:
        name = step["key"]
    else:
        name = re.sub(r"\\(.)", r"\1", name)
    if name is not None:
        if isinstance(value, Mapping) and name in value:
            yield value[name]
        return
    if step["index"] is not None:
        index = int(step["index"])
        if isinstance(value, list) and -len(value) <= index < len(value):
            yield value[index]
        return
    items = list(value.values()) if isinstance(value, Mapping) else value if isinstance(value, list) else []
    if step["all"]:
        yield from items
        return
    for item in items:
        seen: Any = item
        for part in step["field"].split("."):
            seen = seen.get(part) if isinstance(seen, Mapping) else None
        if seen is not None and (_text(seen) == step["value"]) == (step["op"] == "=="):
            yield item


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
