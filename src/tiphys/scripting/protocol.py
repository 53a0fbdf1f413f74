"""What the engine asks of a script worker and what it answers: forms and limits that both agree on."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tiphys.runtime.messages import encode

WORKER_ARGV = (sys.executable, "-I", "-m", "tiphys.scripting.worker")

SCRIPT_LIMIT_S = 1.0  # of one script on one object; source: compat 3.3, 4.3
KILL_AFTER_S = 1.25  # a script that does not let itself be interrupted ends with its process
LUA_MEMORY_BYTES = 64 * 1024 * 1024
MAX_BATCH = 64
MAX_BATCH_BYTES = 8 * 1024 * 1024
TOO_SLOW = "context deadline exceeded"

HEALTH, PATHS, CHECK = "health", "paths", "check"

Path = tuple[str | int, ...]  # keys and positions from the root of an object


@dataclass(frozen=True, slots=True)
class HealthQuestion:
    """What a Lua script says of the health of one object, given as JSON."""

    script: str
    open_libs: bool
    object: bytes


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """`status` as the script gave it, empty when it gave none; `problem` says why there is no answer."""

    status: str = ""
    message: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PathsQuestion:
    """Which paths of one object, given as JSON, some jq expressions name.

    Each expression sees the object without what the ones before it named.
    """

    expressions: tuple[str, ...]
    object: bytes


@dataclass(frozen=True, slots=True)
class PathsAnswer:
    """For each expression the paths to delete, none where it failed on this object; `problems` tells of those."""

    steps: tuple[tuple[Path, ...], ...] = ()
    problems: tuple[str, ...] = ()


def encode_health(questions: Sequence[HealthQuestion]) -> bytes:
    """A request for answers to these; a script that several use is sent once."""
    scripts: dict[str, int] = {}
    items = [
        (HEALTH, len(question.object), scripts.setdefault(question.script, len(scripts)), question.open_libs)
        for question in questions
    ]
    return encode({"scripts": list(scripts), "items": items}, [question.object for question in questions])


def encode_paths(questions: Sequence[PathsQuestion]) -> bytes:
    """A request for answers to these."""
    items = [(PATHS, len(question.object), question.expressions) for question in questions]
    return encode({"scripts": (), "items": items}, [question.object for question in questions])


def encode_check(expressions: Sequence[str]) -> bytes:
    """A request to say which jq expressions cannot be read."""
    return encode({"scripts": (), "items": [(CHECK, 0, expression) for expression in expressions]})


def health_answer(result: Sequence[Any]) -> HealthAnswer:
    """One result of a reply as a value. Raises ValueError for what is none."""
    status, message, problem = result
    return HealthAnswer(str(status), str(message), str(problem))


def paths_answer(result: Sequence[Any]) -> PathsAnswer:
    """One result of a reply as a value. Raises ValueError for what is none."""
    steps, problems = result
    return PathsAnswer(
        tuple(tuple(tuple(path) for path in step) for step in steps), tuple(str(problem) for problem in problems)
    )
