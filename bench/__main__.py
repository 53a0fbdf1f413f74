"""Measure engines against the real API server.

    python -m bench B1 B3 --engine tiphys --n 300
    python -m bench B3 --engine tiphys,tiphys-eager,argocd --n 1000 --flavour mixed --repeat 3 --save
    python -m bench --selection --save          # ten minutes of everything
    python -m bench --list

Benchmarks that are named together share one control plane and one deployment, in their order; every repetition has a new
one. `floor` as the only engine measures no engine. An engine whose binaries are not there is reported as not measured.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import results, tables
from bench.benches import BENCHES
from bench.engines import ENGINES
from bench.engines.protocol import NotMeasuredError
from bench.engines.tiphys import Tiphys
from bench.machine import machine
from bench.run import Figures, Options, started, summarize
from bench.site import running

FLAVOURS = ("plain", "helm", "kustomize", "mixed")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    found = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = found.add_argument
    add("benches", nargs="*", metavar="BENCH", help=f"of {', '.join(BENCHES)}")
    add("--engine", default="tiphys", help=f"separated by commas, of {', '.join(ENGINES)}")
    add("--n", type=int, default=300, help="applications (default 300)")
    add("--flavour", choices=FLAVOURS, default="plain", help="what the applications are (default plain)")
    add("--repeat", type=int, default=1, help="blocks, each with a new control plane; figures are medians (default 1)")
    add("--rounds", type=int, default=10, help="commits, drifts or requests of each kind (default 10)")
    add("--no-floor", action="store_true", help="leave the floor out")
    add(
        "--flush",
        action="store_true",
        help="B3: wait until every Application names the last commit, and what that costs",
    )
    add("--everyone", type=float, metavar="S", help="B3: wait so long for every Application to name each commit")
    add("--lag", action="store_true", help="B1: ask the engine's API for its health meanwhile")
    add("--idle", type=float, default=120.0, metavar="S", help="B2: how long nothing happens (default 120)")
    add("--objects", type=int, default=10_000, help="B7: objects in the cluster besides the fleet (default 10000)")
    add("--clients", type=int, default=10, help="B9: clients at once (default 10)")
    add("--cluster", choices=("real", "embedded"), default="real")
    add("--no-fsync", action="store_true", help="etcd does not wait for the disk")
    add("--git", choices=("http", "file"), default="http", help="how engines fetch (default http, with a webhook)")
    add("--json", type=Path, metavar="FILE", help="write the results to this file too")
    add("--save", action="store_true", help="write them to bench/results, which docs/benchmarks.md is made from")
    add("--log", type=Path, metavar="FILE", help="keep the log of the engine of this repository")
    add("--profiler", default="", metavar="COMMAND", help="put before that engine's command line")
    add("--selection", action="store_true", help="ten minutes: every benchmark at a small size")
    add("--list", action="store_true", help="list benchmarks and engines")
    return found


def selection(given: argparse.Namespace) -> list[argparse.Namespace]:
    """Every benchmark at a size at which all of them take about ten minutes, by blocks that share a control plane."""
    cases: list[dict[str, Any]] = [
        {"benches": ["B1", "B2", "B3", "B8"], "n": 100, "flavour": "plain", "idle": 45.0},
        {"benches": ["B1", "B3"], "n": 99, "flavour": "mixed", "rounds": 5, "lag": True},
        {"benches": ["B4"], "n": 30},
        {"benches": ["B6"]},
        {"benches": ["B5"]},
        {"benches": ["B9"], "n": 500},
        {"benches": ["B7"], "n": 100, "objects": 2000, "no_floor": True},
    ]
    return [argparse.Namespace(**{**vars(given), **case}) for case in cases]


def options_of(given: argparse.Namespace) -> Options:
    """What the benchmarks get."""
    return Options(
        n=given.n,
        flavour=given.flavour,
        rounds=given.rounds,
        floor=not given.no_floor,
        everyone_s=given.everyone,
        flush=given.flush,
        lag=given.lag,
        idle_s=given.idle,
        objects=given.objects,
        clients=given.clients,
    )


async def block(given: argparse.Namespace, engine_name: str, root: Path) -> dict[str, Figures]:
    """One repetition: figures by benchmark."""
    found: dict[str, Figures] = {}
    with running(given.cluster, root, http=given.git == "http", fsync=not given.no_fsync) as site:
        engine = ENGINES[engine_name]()
        if isinstance(engine, Tiphys):
            engine.wrap, engine.keep_log = tuple(given.profiler.split()), given.log
        async with started(site, engine, options_of(given)) as run:
            for name in given.benches:
                say(f"{name} of {engine_name}, N = {given.n}")
                found[name] = await BENCHES[name](run)
    return found


def measure(given: argparse.Namespace, engines: Sequence[str]) -> list[results.Result]:
    """All repetitions of all engines, one result for each benchmark; engines take turns, in the opposite order each time."""
    before = machine()
    blocks: dict[str, list[dict[str, Figures]]] = {name: [] for name in engines}
    problems = {name: problem for name in engines if (problem := ENGINES[name]().missing())}
    for turn in range(given.repeat):
        for name in engines if turn % 2 == 0 else reversed(engines):
            if name in problems:
                continue
            started_at = time.monotonic()
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                try:
                    blocks[name].append(asyncio.run(block(given, name, Path(folder))))
                except NotMeasuredError as error:
                    problems[name] = str(error)
            say(f"block {turn + 1} of {given.repeat} of {name} took {time.monotonic() - started_at:.0f} s")
    return [
        results.Result(
            bench=bench,
            engine=engine,
            n=given.n,
            flavour=given.flavour,
            cluster=given.cluster,
            git=given.git,
            fsync=not given.no_fsync,
            repetitions=len(blocks[engine]),
            machine=before,
            objects=given.objects if bench == "B7" else 0,
            figures={} if engine in problems else summarize([entry[bench] for entry in blocks[engine]]),
            not_measured=problems.get(engine, ""),
        )
        for engine in engines
        for bench in given.benches
    ]


def say(text: str) -> None:
    """Progress, apart from the results."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def check(found: argparse.ArgumentParser, given: argparse.Namespace) -> Sequence[str]:
    """Names that exist; the engines."""
    engines: list[str] = given.engine.split(",")
    for name in given.benches:
        if name not in BENCHES:
            found.error(f"there is no benchmark {name}; there are {', '.join(BENCHES)}")
    for name in engines:
        if name not in ENGINES:
            found.error(f"there is no engine {name}; there are {', '.join(ENGINES)}")
    return engines


def interrupt(*_: object) -> None:
    """End as by Ctrl-C."""
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; the exit code."""
    found = parser()
    given = found.parse_args(arguments)
    if given.list or not (given.benches or given.selection):
        for name, bench in BENCHES.items():
            print(f"{name}  {(sys.modules[bench.__module__].__doc__ or '').splitlines()[0].partition(': ')[2]}")
        print("engines:", ", ".join(ENGINES))
        return 0
    signal.signal(signal.SIGTERM, interrupt)  # or else everything that was started would outlive this process
    measured: list[results.Result] = []
    engines = check(found, given)
    for case in selection(given) if given.selection else [given]:
        done = measure(case, engines)
        measured += done
        for result in done:
            print("\n".join(tables.lines(result)), file=sys.stderr, flush=True)
        if given.save:
            for result in done:
                if not result.not_measured:
                    say(f"wrote {results.save(result)}")
    payload: list[Any] = [result.payload() for result in measured]
    print(results.show(payload))
    if given.json is not None:
        given.json.write_text(results.show(payload) + "\n")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)  # as the shell reports an interrupt; what was started is stopped by now
