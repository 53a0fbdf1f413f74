"""The benchmarks, by their names on the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.benches.big import big_application
from bench.benches.deploy import first_deploy
from bench.benches.drift import drift
from bench.benches.idle import idle
from bench.benches.memory import memory
from bench.benches.monorepo import monorepo
from bench.benches.renders import renders
from bench.benches.waves import waves
from bench.benches.web import lists_and_streams
from bench.run import Figures, Run

Bench = Callable[[Run], Awaitable[Figures]]

BENCHES: dict[str, Bench] = {
    "B1": first_deploy,
    "B2": idle,
    "B3": monorepo,
    "B4": renders,
    "B5": big_application,
    "B6": waves,
    "B7": memory,
    "B8": drift,
    "B9": lists_and_streams,
}
