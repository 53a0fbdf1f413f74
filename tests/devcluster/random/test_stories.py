"""What is drawn is drawn again by the same numbers, and is made smaller without losing what was found."""

from __future__ import annotations

from tests.devcluster.compare.normal import Difference
from tests.devcluster.compare.step import Step
from tests.devcluster.random.shrink import Steps, shrunk
from tests.devcluster.random.stories import scenario


def test_the_same_numbers_give_the_same_story_and_ten_numbers_ten_kinds() -> None:
    assert scenario(7, 1) == scenario(7, 1)
    assert scenario(7, 1) != scenario(7, 2)
    assert len({scenario(number, 1).name.split()[1] for number in range(10)}) == 10


def test_a_story_is_made_as_small_as_what_it_shows_allows() -> None:
    def tries(steps: Steps) -> list[Difference]:
        bad = any("x" in (step.body or {}).get("spec", {}) for step in steps)
        return [Difference("case", "/body/spec", 1, 2)] if bad else []

    steps = [Step("POST", "/a", {"spec": {"x": 1, "y": 2}, "metadata": {}}), Step("GET", "/a")]
    found, difference = shrunk(steps, Difference("case", "/body/spec", 1, 2), tries)
    assert [step.body for step in found] == [{"spec": {"x": 1}}]
    assert difference.where == "/body/spec"
