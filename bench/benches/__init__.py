"""The benchmarks, by their names on the command line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bench.benches.deploy import first_deploy
from bench.benches.monorepo import monorepo
from bench.benches.renders import renders
from bench.run import Figures, Run

Bench = Callable[[Run], Awaitable[Figures]]

BENCHES: dict[str, Bench] = {
    "B1": first_deploy,
    "B3": monorepo,
    "B4": renders,
}
