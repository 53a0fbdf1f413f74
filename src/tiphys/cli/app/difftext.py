"""Changes as text: unified with the path of each hunk, counted, as JSON, as Markdown. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from tiphys.cli.app.changes import Change
from tiphys.cli.output import table

CONTEXT = 3
_KEY = re.compile(r"([^\s:#][^:]*):(?: |$)")
_TOP = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines that differ, with some around them; `path` is where in the object they are."""

    header: str
    path: str
    lines: tuple[str, ...]


def yaml_lines(obj: dict[str, Any] | None) -> list[str]:
    """An object as lines of YAML, what identifies it first."""
    if obj is None:
        return []
    from tiphys.apimachinery.yamljson import dump_yaml

    ordered = {key: obj[key] for key in _TOP if key in obj}
    rest = {key: obj[key] for key in sorted(obj) if key not in _TOP}
    return (dump_yaml(ordered) + (dump_yaml(rest) if rest else "")).splitlines()


def hunks(change: Change, *, context: int = CONTEXT) -> list[Hunk]:
    """The hunks of a unified diff from live to target."""
    before, after = yaml_lines(change.live), yaml_lines(change.target)
    found = []
    for group in difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(context):
        first, last = group[0], group[-1]
        header = f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@"
        lines: list[str] = []
        path = ""
        for tag, start, end, new_start, new_end in group:
            if tag == "equal":
                lines += [f" {line}" for line in before[start:end]]
                continue
            if not path:
                path = path_at(before, start) if end > start else path_at(after, new_start)
            lines += [f"-{line}" for line in before[start:end]]
            lines += [f"+{line}" for line in after[new_start:new_end]]
        found.append(Hunk(header, path, tuple(lines)))
    return found


def path_at(lines: Sequence[str], index: int) -> str:
    """The keys above a line of YAML, and its own: `spec.template.spec.containers[0].image`."""
    stack: list[tuple[int, str | int]] = []  # column, and a key or the position of an item
    for line in lines[: index + 1]:
        body = line.lstrip(" ")
        column = len(line) - len(body)
        while body.startswith("- ") or body == "-":
            position = 0
            while stack and (stack[-1][0] > column or (stack[-1][0] == column and isinstance(stack[-1][1], int))):
                at, label = stack.pop()
                if at == column and isinstance(label, int):
                    position = label + 1
            stack.append((column, position))
            column, body = column + 2, body[2:]
        key = _KEY.match(body)
        if key is not None:
            while stack and stack[-1][0] >= column:
                stack.pop()
            stack.append((column, key[1].strip("\"'")))
    path = ""
    for _, label in stack:
        path += f"[{label}]" if isinstance(label, int) else f".{label}" if path else label
    return path


def _range(start: int, end: int) -> str:
    length = end - start
    first = start + 1 if length else start
    return str(first) if length == 1 else f"{first},{length}"


def unified(change: Change, *, colour: bool = False) -> str:
    """A change as text under Argo CD's header line."""
    lines = [f"===== {change.title} ======"]
    for hunk in hunks(change):
        header = f"{hunk.header} {hunk.path}".rstrip()
        lines.append(click.style(header, fg="cyan") if colour else header)
        lines += (_coloured(line) for line in hunk.lines) if colour else hunk.lines
    if colour:
        lines[0] = click.style(lines[0], bold=True)
    return "\n".join(lines) + "\n"


def _coloured(line: str) -> str:
    colour = {"+": "green", "-": "red"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def counts(change: Change) -> tuple[int, int]:
    """How many lines are added, and removed."""
    lines = [line for hunk in hunks(change, context=0) for line in hunk.lines]
    return sum(line.startswith("+") for line in lines), sum(line.startswith("-") for line in lines)


def stat(found: Sequence[Change], *, colour: bool = False) -> str:
    """A line for each object with how much of it changes, and the sum."""
    rows = []
    added = removed = 0
    for change in found:
        plus, minus = counts(change)
        added, removed = added + plus, removed + minus
        rows.append((change.title, change.verb, f"+{plus} -{minus}"))
    by_verb = {verb: sum(change.verb == verb for change in found) for verb in ("create", "update", "prune")}
    verbs = ", ".join(f"{number} to {verb}" for verb, number in by_verb.items() if number) or "no differences"
    total = f"{verbs}; +{added} -{removed} lines" if found else verbs
    return table(rows) + (click.style(total, bold=True) if colour else total) + "\n"


def as_json(found: Sequence[Change]) -> list[dict[str, Any]]:
    """Each change with both sides and its diff."""
    return [
        {
            "group": change.group,
            "kind": change.kind,
            "namespace": change.namespace,
            "name": change.name,
            "change": change.verb,
            "paths": [hunk.path for hunk in hunks(change, context=0)] if change.verb == "update" else [],
            "live": change.live,
            "target": change.target,
        }
        for change in found
    ]


def markdown(found: Sequence[Change], name: str) -> Iterator[str]:
    """For a comment on a pull request: the sums, then each diff behind a line to open it."""
    lines = stat(found).splitlines()
    yield f"#### {name}: {lines[-1]}\n"
    for change in found:
        plus, minus = counts(change)
        yield f"<details><summary><code>{change.title}</code> {change.verb}, +{plus} -{minus}</summary>\n"
        fence = "```"
        body = unified(change).partition("\n")[2]
        while fence in body:
            fence += "`"
        yield f"{fence}diff\n{body}{fence}\n</details>\n"
