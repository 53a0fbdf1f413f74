"""The benchmarks, by their names on the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.benches.big import big_application
from bench.benches.deploy import first_deploy
from bench.benches.drift import drift_reverted
from bench.benches.idle import nothing_happens
from bench.benches.memory import memory_and_restart
from bench.benches.monorepo import one_of_many
from bench.benches.renders import both_tools
from bench.benches.waves import ten_waves
from bench.benches.web import lists_and_streams
from bench.run import Figures, Run

Bench = Callable[[Run], Awaitable[Figures]]

BENCHES: dict[str, Bench] = {
    "B1": first_deploy,
    "B2": nothing_happens,
    "B3": one_of_many,
    "B4": both_tools,
    "B5": big_application,
    "B6": ten_waves,
    "B7": memory_and_restart,
    "B8": drift_reverted,
    "B9": lists_and_streams,
}
