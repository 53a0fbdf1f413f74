"""What is asked before it is known which differences count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest
from tests.support.plans import live, manifest, target

from tiphys.controllers.clusters import ClusterSession
from tiphys.controllers.ignoring import Ignoring, wants_respect
from tiphys.engine.diff.ignored import Ignored, IgnoreRules
from tiphys.engine.states import StageError
from tiphys.kube.client import ApiResource
from tiphys.model.destination import ResourceIgnoreDifferences
from tiphys.scripting.protocol import PathsAnswer, PathsQuestion
from tiphys.scripting.service import Scripts, ScriptsUnavailable


class Cluster:
    """Discovery and client of a cluster with one ConfigMap."""

    def __init__(self, managed: Sequence[Any] = ()) -> None:
        self.discovery = self.client = self
        self._managed = list(managed)

    async def lookup(self, *_kind: object) -> ApiResource:
        """Everything is served."""
        return ApiResource("", "v1", "ConfigMap", "configmaps", True)

    async def get(self, *_name: object) -> dict[str, Any]:
        """The object with its managedFields."""
        return {"metadata": {"managedFields": self._managed}}


class Answers:
    """Scripts that name /data/j, or cannot be run."""

    def __init__(self, problem: str = "", *, broken: bool = False) -> None:
        self._problem = problem
        self._broken = broken

    async def paths(self, questions: Sequence[PathsQuestion]) -> list[PathsAnswer]:
        """The same paths for each."""
        if self._broken:
            raise ScriptsUnavailable("scripts cannot be run: no")
        return [PathsAnswer(((("data", "j"),),)) for _ in questions]

    async def problems(self, expressions: Sequence[str]) -> list[str]:
        """The same problem for each."""
        return [self._problem for _ in expressions]


def ignoring(answers: Answers | None = None, cluster: Cluster | None = None) -> Ignoring:
    """Asks these."""
    return Ignoring(cast(ClusterSession, cluster or Cluster()), cast(Scripts, answers) if answers is not None else None)


def config(**data: str) -> dict[str, Any]:
    """A ConfigMap."""
    return manifest(data=data)


async def test_a_difference_is_covered_when_all_of_it_is_ignored() -> None:
    ask, one = ignoring(Answers()), target(config())
    rule = Ignored(expressions=(".data.j",))
    assert await ask.covers(rule, one, config(j="1", a="1"), config(j="2", a="1"))
    assert not await ask.covers(rule, one, config(j="1", a="1"), config(j="2", a="2"))


async def test_only_the_fields_of_trusted_managers_are_covered() -> None:
    managed = [
        {"manager": "hpa", "fieldsV1": {"f:data": {"f:a": {}}}},
        {"manager": "x", "fieldsV1": {"f:data": {"f:b": {}}}},
    ]
    ask, one = ignoring(cluster=Cluster(managed)), target(config())
    rule = Ignored(managers=("hpa",))
    assert await ask.covers(rule, one, config(a="1", b="1"), config(a="2", b="1"))
    assert not await ask.covers(rule, one, config(a="1", b="1"), config(a="1", b="2"))


async def test_an_apply_leaves_alone_what_pointers_expressions_and_managers_name() -> None:
    managed = [{"manager": "hpa", "fieldsV1": {"f:data": {"f:m": {}}}}]
    rule = Ignored(("/data/p",), (".data.j",), ("hpa",))
    there = live(config(p="live", j="live", m="live", a="live"))
    found = await ignoring(Answers(), Cluster(managed)).respected(
        rule, target(config(p="git", j="git", m="git", a="git")), there
    )
    assert found.manifest["data"] == {"p": "live", "j": "live", "m": "live", "a": "git"}


async def test_an_expression_that_cannot_be_read_stops_the_comparison() -> None:
    rules = IgnoreRules([ResourceIgnoreDifferences(kind="X", jq_path_expressions=(".a[",))], {})
    with pytest.raises(StageError, match=r"^Failed to compare desired state to live state: .*: syntax error") as found:
        await ignoring(Answers("syntax error")).require_readable(rules)
    assert found.value.reason == "ComparisonError"
    await ignoring(Answers()).require_readable(rules)
    await ignoring().require_readable(IgnoreRules([], {}))


async def test_without_workers_nothing_is_decided() -> None:
    """It is asked again later; neither Synced nor OutOfSync may be guessed."""
    with pytest.raises(StageError) as found:
        await ignoring(Answers(broken=True)).covers(Ignored(expressions=(".a",)), target(config()), config(), config())
    assert found.value.retry_after_s is not None


def test_the_option_is_compared_to_the_letter() -> None:
    assert wants_respect(["CreateNamespace=true", "RespectIgnoreDifferences=true"])
    assert not wants_respect(["RespectIgnoreDifferences=false"])
    assert not wants_respect([])
