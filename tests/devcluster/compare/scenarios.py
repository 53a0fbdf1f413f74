"""Scenarios: everything that is compared."""

from __future__ import annotations

from tests.devcluster.compare import definitions, kinds, lists, mixed, writes
from tests.devcluster.compare.step import Scenario


def scenarios() -> list[Scenario]:
    """All of them, in the order in which they are sent."""
    return [*kinds.scenarios(), *mixed.scenarios(), *lists.scenarios(), *writes.scenarios(), *definitions.scenarios()]
