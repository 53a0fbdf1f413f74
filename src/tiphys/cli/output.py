"""What commands print: tables as Go's tabwriter lays them out, JSON, YAML, Go's times and durations.

Data goes to stdout and nothing else does. Source: api-ui 5.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

import click

PADDING = 2


def table(rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells, laid out; the last cell of a row is as long as it is."""
    return tabulate("".join("\t".join(row) + "\n" for row in rows))


def tabulate(text: str, *, min_width: int = 0) -> str:
    """Text whose cells end with tabs, with columns aligned.

    A column is a run of lines that have a tab-ended cell there; each run has its own width: the rule of Go's
    text/tabwriter with padding 2 and blanks.
    """
    lines = [line.split("\t") for line in text.split("\n")]
    out: list[str] = []
    _format(lines, 0, len(lines), [], min_width, out)
    return "\n".join(out)


def _format(lines: list[list[str]], start: int, end: int, widths: list[int], min_width: int, out: list[str]) -> None:
    column = len(widths)
    index = start
    while index < end:
        if column >= len(lines[index]) - 1:
            out.append(_line(lines[index], widths))
            index += 1
            continue
        stop = index
        width = min_width
        while stop < end and column < len(lines[stop]) - 1:
            width = max(width, len(lines[stop][column]) + PADDING)
            stop += 1
        _format(lines, index, stop, [*widths, width], min_width, out)
        index = stop


def _line(cells: list[str], widths: list[int]) -> str:
    padded = [cell.ljust(widths[i]) if i < len(widths) and i < len(cells) - 1 else cell for i, cell in enumerate(cells)]
    return "".join(padded)


def print_json(value: object) -> None:
    """JSON, two blanks an indent."""
    click.echo(value_text(value, "json"), nl=False)


def print_yaml(value: object) -> None:
    """YAML with sorted keys."""
    click.echo(value_text(value, "yaml"), nl=False)


def print_value(value: object, form: str) -> None:
    """A value in the form `-o` asked for. Raises UnknownFormError for another form."""
    click.echo(value_text(value, form), nl=False)


def value_text(value: object, form: str) -> str:
    """A value as `json` or `yaml`, ending with a newline. Raises UnknownFormError for another form."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if form == "yaml":
        from tiphys.apimachinery.yamljson import dump_yaml

        return dump_yaml(value)
    raise UnknownFormError(form)


class UnknownFormError(Exception):
    """`-o` names no form of this command."""

    def __init__(self, form: str) -> None:
        super().__init__(f"unknown output format: {form}")


def go_time(text: object, zone: tzinfo | None = None) -> str:
    """A time of the API as Go prints it, `2006-01-02 15:04:05 -0700 MST`, in this machine's zone; `<nil>` for none."""
    if not text:
        return "<nil>"
    try:
        moment = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return str(text)
    local = moment.astimezone(zone)
    fraction = f".{local.microsecond:06d}".rstrip("0") if local.microsecond else ""
    return f"{local:%Y-%m-%d %H:%M:%S}{fraction} {local:%z} {local.tzname() or ''}".rstrip()


def go_duration(seconds: int) -> str:
    """Whole seconds as Go prints a Duration: `5s`, `1m30s`, `1h0m0s`."""
    if seconds < 0:
        return f"-{go_duration(-seconds)}"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:(?:\d+(?:\.\d+)?)(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(text: str) -> float | None:
    """Seconds of a duration such as `1h30m`, `10m`, `7d`, or of a plain number; None for anything else."""
    if text.isdecimal():
        return float(text)
    if not _DURATION.fullmatch(text):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def seconds_between(start: object, end: object, now: datetime) -> int:
    """Whole seconds from one time of the API to another, or to now when it has no end."""
    try:
        began = datetime.fromisoformat(str(start).replace("Z", "+00:00"))
        ended = datetime.fromisoformat(str(end).replace("Z", "+00:00")) if end else now
    except ValueError:
        return 0
    return int(ended.timestamp()) - int(began.timestamp())
