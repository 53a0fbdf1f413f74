"""Scripts in their workers: batches, killers, confinement."""

from __future__ import annotations

import json

from tiphys.runtime.workerpool import WorkerPool
from tiphys.scripting.protocol import TOO_SLOW, HealthAnswer, HealthQuestion, PathsAnswer, PathsQuestion
from tiphys.scripting.service import Scripts

FINE = "return {status='Healthy', message=obj.name}"
# Backtracking inside the pattern matcher: no hook is called there.
STUCK = "return {status=tostring(string.find(string.rep('a', 60), string.rep('a*', 30) .. 'b'))}"


def health(script: str, name: str = "x") -> HealthQuestion:
    """A question about an object with this name."""
    return HealthQuestion(script, True, json.dumps({"name": name}).encode())


async def test_no_process_lives_before_somebody_asks(pool: WorkerPool, scripts: Scripts) -> None:
    assert pool.worker_pids == ()
    assert await scripts.health([health(FINE)]) == [HealthAnswer("Healthy", "x")]
    assert len(pool.worker_pids) == 1


async def test_answers_come_in_the_order_of_the_questions(scripts: Scripts) -> None:
    answers = await scripts.health([health(FINE, str(number)) for number in range(150)])
    assert [answer.message for answer in answers] == [str(number) for number in range(150)]


async def test_a_script_that_cannot_be_interrupted_takes_nothing_with_it(scripts: Scripts) -> None:
    answers = await scripts.health([health(FINE, "a"), health(STUCK), health(FINE, "b")])
    assert answers == [HealthAnswer("Healthy", "a"), HealthAnswer(problem=TOO_SLOW), HealthAnswer("Healthy", "b")]


async def test_paths_are_computed_one_expression_after_the_other(scripts: Scripts) -> None:
    obj = b'{"spec":{"a":[{"n":"x"},{"n":"y"}],"big":9007199254740993}}'
    first, second = '.spec.a[] | select(.n == "x")', ".spec.a[0]"
    assert await scripts.paths([PathsQuestion((first, second), obj)]) == [
        PathsAnswer(((("spec", "a", 0),), (("spec", "a", 0),)))
    ]


async def test_an_expression_that_fails_is_skipped_and_told(scripts: Scripts) -> None:
    (answer,) = await scripts.paths([PathsQuestion((".spec.nope[]", ".spec"), b'{"spec":{}}')])
    assert answer.steps == ((), (("spec",),))
    assert answer.problems == (".spec.nope[]: Cannot iterate over null (null)",)


async def test_neither_the_environment_nor_other_input_can_be_read(scripts: Scripts) -> None:
    (answer,) = await scripts.paths(
        [PathsQuestion((".a | select((env | length) + ($ENV | length) == 0)", "input"), b'{"a":1}')]
    )
    assert answer.steps[0] == (("a",),)
    assert answer.steps[1] == ()


async def test_an_endless_expression_is_killed_alone(scripts: Scripts) -> None:
    answers = await scripts.paths(
        [PathsQuestion((".a",), b'{"a":1}'), PathsQuestion(("def f: f; f",), b"{}"), PathsQuestion((".a",), b'{"a":1}')]
    )
    assert [answer.steps for answer in answers] == [((("a",),),), ((),), ((("a",),),)]
    assert answers[1].problems == (TOO_SLOW,)


async def test_what_is_no_expression_is_told(scripts: Scripts) -> None:
    fine, bad = await scripts.problems([".a[]", ".a["])
    assert fine == ""
    assert bad.startswith("syntax error")


async def test_a_finalizer_does_not_outlive_the_limit_of_time(scripts: Scripts) -> None:
    spin = "setmetatable({}, {__gc=function() while true do end end}); return {status='Healthy', message='set'}"
    assert await scripts.health([health(spin), health(FINE)]) == [
        HealthAnswer("Healthy", "set"),
        HealthAnswer("Healthy", "x"),
    ]


async def test_what_a_script_leaves_behind_is_not_there_for_another(scripts: Scripts) -> None:
    """Neither globals nor what it does to shared functions; and what failed once is run anew."""
    leave = "left = 1; string.len = nil; table.insert = nil; return {status='Healthy'}"
    look = "return {status=tostring(left), message=type(string.len) .. type(table.insert)}"
    broken = "if obj.name == 'b' then error('no') end return {status='Healthy', message=obj.name}"
    answers = await scripts.health([health(leave), health(look), health(leave), health(look)])
    assert answers[1] == answers[3] == HealthAnswer("nil", "functionfunction")
    a, b, c = await scripts.health([health(broken, name) for name in "abc"])
    assert (a.message, b.problem, c.message) == ("a", "<string>:1: no", "c")
