"""Both: the stories told to the two servers at once, and where their answers differ."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from tests.devcluster.compare.allowed import Row
from tests.devcluster.compare.normal import Difference, differences, plain
from tests.devcluster.compare.servers import DEFINITIONS
from tests.devcluster.compare.step import Scenario, Step
from tests.devcluster.compare.wire import Reply, Server
from tests.devcluster.random.kinds import definition, kinds
from tests.devcluster.random.shrink import Steps, kind_of, shrunk
from tests.devcluster.random.stories import SPACE

SERVED_S = 30.0
PARTING = ("/code", "/body/metadata/generation")


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
            seen = differences(case, *_both_plain(answers[0][case], answers[1][case]))
            found += [Finding(scenario, one) for one in seen if not any(row.allows(one) for row in table)]
            if any(one.where in PARTING for one in seen):
                break  # from here on the two objects are not the same
    return found


APPLIED = "failed to create typed patch object"


def _both_plain(real: Reply, ours: Reply) -> tuple[Any, Any]:
    """Two answers without what the real server draws by lot.

    What is wrong with an applied object is looked for in the order of a map, and some faults end the search.
    """
    one, other = plain(real.to_json()), plain(ours.to_json())
    faults = [_faults(side) for side in (one, other)]
    if faults[0] and faults[0] <= faults[1]:
        other["body"]["message"] = one["body"]["message"]
    return one, other


def _faults(answer: Any) -> set[str]:
    body = answer["body"]
    said = str(body.get("message")) if isinstance(body, dict) else ""
    if not said.startswith(APPLIED):
        return set()
    return {line.strip() for line in said.partition("): ")[2].removeprefix("errors:").splitlines() if line.strip()}


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


def firsts(found: Iterable[Finding]) -> list[Finding]:
    """What differs in the first answer of each story in which any does: what comes after follows from it."""
    kept: dict[str, list[Finding]] = {}
    for one in found:
        mine = kept.setdefault(one.scenario.name, [])
        if not mine or mine[0].difference.case == one.difference.case:
            mine.append(one)
    return [one for mine in kept.values() for one in mine]


def by_kind(found: Iterable[Finding]) -> dict[str, list[Finding]]:
    """Findings that look alike, most frequent first."""
    grouped: dict[str, list[Finding]] = {}
    for one in found:
        grouped.setdefault(kind_of(one.difference), []).append(one)
    return dict(sorted(grouped.items(), key=lambda pair: -len(pair[1])))
