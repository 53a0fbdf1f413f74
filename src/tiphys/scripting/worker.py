"""The child that runs users' scripts: `python -I -m tiphys.scripting.worker`.

It says hello, then answers each request on stdin with one reply on stdout, until stdin closes. It has no credentials,
an empty environment, and after `confine` no network, no files and no processes. Before each item it writes the item's number
into `progress` in its folder and sets an alarm that kills it: a Lua pattern or a jq program that never ends cannot be
interrupted in another way, and the engine then knows which item it was.
"""

from __future__ import annotations

import os
import resource
import signal
from typing import Any

import orjson

from tiphys.runtime.confine import confine
from tiphys.runtime.frames import read_frame, write_frame
from tiphys.runtime.messages import PROGRESS_DIGITS, PROGRESS_FILE, decode, encode
from tiphys.scripting import jqpaths, lua
from tiphys.scripting.protocol import HEALTH, KILL_AFTER_S, PATHS, HealthAnswer

_STDIN = 0


def main() -> None:
    """Serve requests until stdin closes."""
    # Whatever prints must not break the frames: they get a descriptor of their own.
    out = os.dup(1)
    os.dup2(2, 1)
    os.environ.clear()  # jq's `env` shows it
    progress = os.open(PROGRESS_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    programs = jqpaths.Programs()
    _warm_up(programs)
    write_frame(out, encode({"hello": 1, **confine()}))
    while (request := read_frame(_STDIN)) is not None:
        results = answer(request, programs, progress)
        write_frame(out, encode({"results": results, **_usage()}))


def answer(request: bytes, programs: jqpaths.Programs, progress: int) -> list[object]:
    """Results of one request, in the order of its items."""
    header, bodies = decode(request)
    scripts: list[str] = header["scripts"]
    runners: dict[tuple[int, bool], lua.Runner] = {}
    results: list[object] = []
    at = 0
    for number, (form, size, *rest) in enumerate(header["items"]):
        os.pwrite(progress, b"%0*d" % (PROGRESS_DIGITS, number), 0)
        data = bytes(bodies[at : at + size])
        at += size
        _arm()
        results.append(_health(data, rest, scripts, runners) if form == HEALTH else _paths(form, data, rest, programs))
        signal.setitimer(signal.ITIMER_REAL, 0)
    os.ftruncate(progress, 0)
    return results


def _health(data: bytes, rest: list[Any], scripts: list[str], runners: dict[tuple[int, bool], lua.Runner]) -> object:
    number, open_libs = rest
    try:
        runner = runners.get((number, open_libs))
        if runner is None:
            runner = runners[number, open_libs] = lua.Runner()
        said = lua.evaluate(scripts[number], bool(open_libs), orjson.loads(data), runner)
    except Exception as error:  # a bug, or a new kind of hostile script: it must not stop the others
        said = HealthAnswer(problem=f"{type(error).__name__}: {error}")
    if said.problem:
        runners.pop((number, open_libs), None)
    return (said.status, said.message, said.problem)


def _paths(form: str, data: bytes, rest: list[Any], programs: jqpaths.Programs) -> object:
    if form == PATHS:
        found = jqpaths.answer(programs, rest[0], data, _arm)
        return (found.steps, found.problems)
    return programs.problem(rest[0])


def _arm() -> None:
    """From now on the process has so long; its end is the signal's default action."""
    signal.setitimer(signal.ITIMER_REAL, KILL_AFTER_S)


def _warm_up(programs: jqpaths.Programs) -> None:
    """Load what is loaded at first use: afterwards no file can be read."""
    "".encode("utf-16")
    lua.evaluate("return {status='Healthy', message=os.date('%c', os.time())}", True, {"a": [1]})
    jqpaths.answer(programs, (".a[] | select(. == 1)", ".["), b'{"a":[1]}', _nothing)


def _nothing() -> None:
    pass


def _usage() -> dict[str, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    peak = used.ru_maxrss if os.uname().sysname == "Darwin" else used.ru_maxrss * 1024
    return {"rss_bytes": peak, "cpu_s": used.ru_utime + used.ru_stime}


if __name__ == "__main__":
    main()
