"""Which paths of an object jq expressions name, and the object without them. Used in the worker only.

jq computes the paths and Python deletes: through jq's own `del` large integers would change.

Source: compat 3.3; dependencies 9.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import jq
import orjson

from tiphys.scripting.paths import deleted
from tiphys.scripting.protocol import Path, PathsAnswer

_KEPT_PROGRAMS = 256


class Programs:
    """Compiled expressions, the most recently used ones."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Any] = OrderedDict()

    def program(self, expression: str) -> Any:
        """The program that lists the paths of an expression. Raises ValueError for what is no expression."""
        found = self._kept.get(expression)
        if found is None:
            found = self._kept[expression] = jq.compile(f"[path({expression}\n)]")
            if len(self._kept) > _KEPT_PROGRAMS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(expression)
        return found

    def problem(self, expression: str) -> str:
        """Why an expression cannot be read, empty when it can."""
        try:
            jq.compile(f"[path({expression}\n)]")
        except ValueError as error:
            return _first_line(str(error))
        return ""

    def paths(self, expression: str, obj: bytes) -> tuple[Path, ...]:
        """The paths an expression names in an object. Raises ValueError where it fails on this object."""
        outputs = self.program(expression).input_text(obj.decode()).all()
        if len(outputs) != 1 or not isinstance(outputs[0], list):
            raise ValueError("JQ patch returned multiple objects" if outputs else "JQ patch did not return any data")
        found: list[Path] = []
        for path in outputs[0]:
            if not isinstance(path, list) or not all(isinstance(step, str | int | float) for step in path):
                continue  # a slice: `.a[1:3]`
            found.append(tuple(int(step) if isinstance(step, float) else step for step in path))
        return tuple(found)


def answer(programs: Programs, expressions: Sequence[str], obj: bytes, arm: Any) -> PathsAnswer:
    """What the expressions name in an object, one after the other. `arm` starts the limit of time for the next one."""
    steps: list[tuple[Path, ...]] = []
    problems: list[str] = []
    for expression in expressions:
        arm()
        try:
            paths = programs.paths(expression, obj)
        except ValueError as error:
            problems.append(f"{expression}: {_first_line(str(error))}")
            steps.append(())
            continue
        steps.append(paths)
        if paths and len(steps) < len(expressions):
            obj = orjson.dumps(deleted(orjson.loads(obj), paths))
    return PathsAnswer(tuple(steps), tuple(problems))


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0].removeprefix("jq: error: ").strip()
