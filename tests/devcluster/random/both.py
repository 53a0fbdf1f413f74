"""Both: the stories told to the two servers at once, and where their answers differ."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from tests.devcluster.compare.allowed import Row
from tests.devcluster.compare.normal import Difference, differences, plain
from tests.devcluster.compare.servers import DEFINITIONS
from tests.devcluster.compare.step import Scenario, Step
from tests.devcluster.compare.wire import Reply, Server
from tests.devcluster.random.kinds import definition, kinds
from tests.devcluster.random.shrink import Steps, kind_of, shrunk
from tests.devcluster.random.stories import SPACE

SERVED_S = 30.0


@dataclass(frozen=True)
class Finding:
    """A difference that no row allows, and the whole story it is in."""

    scenario: Scenario
    difference: Difference


def define(server: Server) -> None:
    """Make the custom kind and wait until it is served."""
    code, _, text = server.send("POST", DEFINITIONS, json.dumps(definition()).encode())
    assert code in (201, 409), f"{code} {text!r}"
    gadgets = next(one for one in kinds() if one.custom)
    probe = json.dumps(gadgets.named("probe", {"spec": {"size": 1}})).encode()
    path = f"{gadgets.collection(f'compare-{SPACE}')}?dryRun=All"
    deadline = time.monotonic() + SERVED_S
    while (code := server.send("POST", path, probe)[0]) != 201:
        assert time.monotonic() < deadline, f"{path} answers {code}"
        time.sleep(0.05)


def told(real: Server, ours: Server, scenarios: Sequence[Scenario]) -> tuple[dict[str, Reply], dict[str, Reply]]:
    """The answers of each server."""
    answers: tuple[dict[str, Reply], dict[str, Reply]] = ({}, {})

    def tell(server: Server, found: dict[str, Reply]) -> None:
        for scenario in scenarios:
            found.update(server.run(scenario))

    threads = [threading.Thread(target=tell, args=pair) for pair in zip((real, ours), answers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def findings(
    scenarios: Iterable[Scenario], answers: tuple[dict[str, Reply], dict[str, Reply]], table: Sequence[Row]
) -> list[Finding]:
    """Differences that no row allows."""
    found = []
    for scenario in scenarios:
        for case, _ in scenario.cases():
            if all(side[case].code == 0 and "there is nothing at" in side[case].body for side in answers):
                continue
            one, other = (plain(side[case].to_json()) for side in answers)
            for difference in differences(case, one, other):
                if not any(row.allows(difference) for row in table):
                    found.append(Finding(scenario, difference))
    return found


class Smallest:
    """Makes a finding as small as it gets, by asking both servers again and again."""

    def __init__(self, real: Server, ours: Server, table: Sequence[Row]) -> None:
        self._servers = real, ours
        self._table = table
        self._numbers = count()

    def of(self, finding: Finding, attempts: int = 250) -> tuple[Steps, Difference]:
        """The smallest story and its difference."""
        last = next(step for case, step in finding.scenario.cases() if case == finding.difference.case)
        steps = finding.scenario.steps[: finding.scenario.steps.index(last) + 1]
        return shrunk(steps, finding.difference, lambda tried: self._again(finding.scenario, tried), attempts=attempts)

    def _again(self, scenario: Scenario, steps: Steps) -> list[Difference]:
        old = scenario.name.rpartition(" ")[2]
        fresh = f"{old}s{next(self._numbers)}"
        end = [step for step in scenario.steps[-2:] if step not in steps]
        renamed = Scenario(f"{scenario.name}", [_renamed(step, f"r{old}", f"r{fresh}") for step in [*steps, *end]])
        return [one.difference for one in findings([renamed], told(*self._servers, [renamed]), self._table)]


def _renamed(step: Step, old: str, new: str) -> Step:
    body = step.body if step.body is None else json.loads(json.dumps(step.body).replace(f'"{old}"', f'"{new}"'))
    return replace(step, path=step.path.replace(old, new), body=body)


def by_kind(found: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings that look alike, most frequent first."""
    grouped: dict[str, list[Finding]] = {}
    for one in found:
        grouped.setdefault(kind_of(one.difference), []).append(one)
    return dict(sorted(grouped.items(), key=lambda pair: -len(pair[1])))
