"""Health by the scripts of argocd-cm: which script, what is remembered, what an answer means."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.health.assess import NO_HEALTH, assess
from tiphys.engine.health.scripts import HealthScripts, health_of_answer, script_failures
from tiphys.engine.live.index import LiveIndex
from tiphys.engine.states import Health, HealthStatus
from tiphys.scripting.protocol import HealthAnswer, HealthQuestion
from tiphys.scripting.service import ScriptsUnavailable
from tiphys.settings.values import ResourceOverride

H, U = HealthStatus.HEALTHY, HealthStatus.UNKNOWN


class Evaluator:
    """Answers with the script's own text as status and the object's name as message."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.broken = False

    async def __call__(self, questions: Sequence[HealthQuestion]) -> list[HealthAnswer]:
        """Answer, or not."""
        if self.broken:
            raise ScriptsUnavailable("scripts cannot be run: no")
        answers = []
        for question in questions:
            metadata = json.loads(question.object)["metadata"]
            self.asked.append((metadata["name"], metadata["resourceVersion"]))
            problem = "<string>:1: oh" if question.script == "fails" else ""
            answers.append(HealthAnswer(question.script, metadata["name"], problem))
        return answers


def job(name: str = "a", version: str = "1", **more: Any) -> dict[str, Any]:
    """A Job of some version."""
    metadata = {"name": name, "namespace": "ns", "uid": f"uid-{name}", "resourceVersion": version, **more}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata}


def override(script: str) -> ResourceOverride:
    """A kind with this health script."""
    return ResourceOverride(health_lua=script)


async def test_an_object_is_asked_about_once_per_version() -> None:
    evaluator = Evaluator()
    scripts = HealthScripts(evaluator)
    rules = {"batch/Job": override("Healthy")}
    lookup = scripts.lookup(rules)
    assert lookup is not None
    assess(job(), lookup)
    assert await lookup.settle() == {ResourceKey("batch", "Job", "ns", "a")}
    assert assess(job(), lookup) == Health(H, "a")
    assert await lookup.settle() == frozenset()

    later = scripts.lookup(rules)
    assert later is not None
    assert assess(job(), later) == Health(H, "a")
    assert await later.settle() == frozenset()
    assess(job(version="2"), later)
    await later.settle()
    assert evaluator.asked == [("a", "1"), ("a", "2")]


async def test_a_changed_script_is_asked_anew_and_one_taken_away_counts_no_more() -> None:
    evaluator = Evaluator()
    scripts = HealthScripts(evaluator)
    for word in ("Healthy", "Degraded"):
        lookup = scripts.lookup({"batch/Job": override(word)})
        assert lookup is not None
        assess(job(), lookup)
        await lookup.settle()
        assert assess(job(), lookup) == Health(HealthStatus(word), "a")
    assert scripts.lookup({}) is None


async def test_the_very_kind_wins_over_patterns() -> None:
    scripts = HealthScripts(Evaluator())
    lookup = scripts.lookup(
        {"*/*": override("Degraded"), "batch/Job": override("Healthy"), "apps/*": ResourceOverride()}
    )
    assert lookup is not None
    deployment = {**job(), "apiVersion": "apps/v1", "kind": "Deployment"}
    config = {**job("c"), "apiVersion": "v1", "kind": "ConfigMap"}
    for obj in (job(), deployment, config):
        assess(obj, lookup)
    await lookup.settle()
    assert assess(job(), lookup) == Health(H, "a")
    assert assess(deployment, lookup) == Health(HealthStatus.DEGRADED, "a")
    assert assess(config, lookup) is None or lookup(config) is None  # `*/*` needs a group


async def test_what_is_being_deleted_is_not_asked_about() -> None:
    evaluator = Evaluator()
    lookup = HealthScripts(evaluator).lookup({"batch/Job": override("Healthy")})
    assert lookup is not None
    found = assess(job(deletionTimestamp="2026-01-01T00:00:00Z"), lookup)
    assert found == Health(HealthStatus.PROGRESSING, "Pending deletion")
    assert await lookup.settle() == frozenset()


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        (HealthAnswer("Suspended", "x"), Health(HealthStatus.SUSPENDED, "x")),
        (HealthAnswer("Fine", "x"), Health(U, "Lua returned an invalid health status")),
        (HealthAnswer("-", "x"), Health(U, "Lua returned an invalid health status")),
        (HealthAnswer(problem="<string>:1: oh"), Health(U, "<string>:1: oh")),
        (HealthAnswer(), NO_HEALTH),
    ],
)
def test_what_answers_mean(answer: HealthAnswer, health: object) -> None:
    assert health_of_answer(answer) == health


async def test_an_answer_that_says_nothing_hides_the_built_in_check() -> None:
    async def nothing(questions: Sequence[HealthQuestion]) -> list[HealthAnswer]:
        return [HealthAnswer() for _ in questions]

    lookup = HealthScripts(nothing).lookup({"batch/Job": override("x")})
    assert lookup is not None
    assess(job(), lookup)
    await lookup.settle()
    assert assess(job(), lookup) is None


async def test_a_failing_script_is_told_of_the_object_it_failed_on() -> None:
    lookup = HealthScripts(Evaluator()).lookup({"batch/Job": override("fails")})
    assert lookup is not None
    assess(job(), lookup)
    await lookup.settle()
    assert assess(job(), lookup) == Health(U, "<string>:1: oh")
    row = LiveIndex(changed=lambda *_: None).row(job())
    assert lookup.problem(row) == "<string>:1: oh"
    one, two = (row.key, "oh"), (row.key, "no")
    assert script_failures([one]) == (
        'error setting app health: failed to get resource health for "Job" with name "a" in namespace "ns": oh'
    )
    assert script_failures([one, two]).startswith(
        "error setting app health: see application-controller logs for 1 other errors; most recent error was: failed"
    )
    assert script_failures([]) == ""


async def test_without_workers_objects_are_unknown_for_now_and_asked_about_again() -> None:
    evaluator = Evaluator()
    scripts = HealthScripts(evaluator)
    rules = {"batch/Job": override("Healthy")}
    evaluator.broken = True
    lookup = scripts.lookup(rules)
    assert lookup is not None
    assess(job(), lookup)
    await lookup.settle()
    assert assess(job(), lookup) == Health(U, "scripts cannot be run: no")
    with pytest.raises(ScriptsUnavailable):
        lookup.require()
    evaluator.broken = False
    again = scripts.lookup(rules)
    assert again is not None
    assess(job(), again)
    await again.settle()
    assert assess(job(), again) == Health(H, "a")
