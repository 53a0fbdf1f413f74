"""The gate: what is live is what was declared."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from bench import workload
from bench.equivalence import NotEquivalentError, compare


def as_live(objects: list[Any]) -> list[Any]:
    """With what a server and an engine add."""
    found = copy.deepcopy(objects)
    for obj in found:
        obj["metadata"] |= {"uid": "1", "annotations": {"argocd.argoproj.io/tracking-id": "x"}}
        if obj["kind"] == "Service":
            obj["spec"] |= {"clusterIP": "10.0.0.1"}
    return found


def test_tracking_and_defaults_are_no_difference() -> None:
    declared = workload.objects(1)

    assert compare(declared, as_live(declared)) == compare(declared, declared)


def test_the_digest_tells_versions_apart() -> None:
    one, two = workload.objects(1, "a"), workload.objects(1, "b")

    assert compare(one, one)["digest"] != compare(two, two)["digest"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda live: live.pop(), "ConfigMap/bench-000/app-0001 is missing"),
        (lambda live: live.append(workload.objects(2)[0]), "ServiceAccount/bench-000/app-0002 was not declared"),
        (lambda live: live[2]["data"].update(version="old"), "app-0001 differs in .data.version"),
        (lambda live: live[2]["data"].update(more="x"), "app-0001 differs in .data.more"),
        (lambda live: live[1]["spec"]["ports"][0].update(port=81), "app-0001 differs in .spec.ports"),
    ],
)
def test_what_differs_is_said_and_nothing_counts(change: Any, words: str) -> None:
    live = as_live(workload.objects(1))
    change(live)

    with pytest.raises(NotEquivalentError, match=words.replace(".", r"\.")):
        compare(workload.objects(1), live)
