"""What Lua health scripts may do, see and answer."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.scripting.lua import evaluate
from tiphys.scripting.protocol import TOO_SLOW, HealthAnswer

JOB = """
hs = {}
if obj.status ~= nil then
  if obj.status.succeeded ~= nil and obj.status.succeeded > 0 then
    hs.status = "Healthy"
    hs.message = "Job completed successfully"
  elseif obj.status.failed ~= nil and obj.status.failed > 0 then
    hs.status = "Degraded"
    hs.message = "Job failed"
  else
    hs.status = "Progressing"
    hs.message = "Job is running"
  end
end
return hs
"""


def said(script: str, obj: Any = None, *, open_libs: bool = False) -> HealthAnswer:
    """What the script says of the object."""
    return evaluate(script, open_libs, obj if obj is not None else {})


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        ({"succeeded": 1}, HealthAnswer("Healthy", "Job completed successfully")),
        ({"failed": 1}, HealthAnswer("Degraded", "Job failed")),
        ({"active": 1}, HealthAnswer("Progressing", "Job is running")),
        (None, HealthAnswer()),
    ],
)
def test_the_script_of_a_job_says_how_it_went(status: Any, answer: HealthAnswer) -> None:
    assert said(JOB, {"kind": "Job", "status": status}) == answer


@pytest.mark.parametrize("script", ["return {}", "return nil", "", "return {1, 2}"])
def test_nothing_and_an_empty_table_are_no_answer(script: str) -> None:
    assert said(script) == HealthAnswer()


def test_a_table_without_a_status_is_an_answer_without_a_health_word() -> None:
    assert said("return {message='x'}") == HealthAnswer("-", "x")


@pytest.mark.parametrize(("script", "kind"), [("return 1", "number"), ("return 'Healthy'", "string")])
def test_only_a_table_can_be_an_answer(script: str, kind: str) -> None:
    assert said(script).problem == f"expect table output from Lua script, not {kind}"


def test_a_message_must_be_text() -> None:
    assert (
        said("return {status='Healthy', message=1}").problem
        == "json: cannot unmarshal number into Go struct field HealthStatus.message of type string"
    )


def test_an_error_names_its_line() -> None:
    assert said("\nreturn obj.status.phase").problem.startswith("<string>:2: attempt to index field 'status'")
    assert said("return {").problem.startswith("<string>:1: unexpected symbol")


DANGEROUS = (
    *("io", "debug", "load", "loadstring", "loadfile", "dofile", "coroutine"),
    *("python", "collectgarbage", "getfenv", "setfenv", "newproxy", "module"),
)


@pytest.mark.parametrize("name", DANGEROUS)
@pytest.mark.parametrize("open_libs", [False, True])
def test_nothing_dangerous_is_in_reach(name: str, open_libs: bool) -> None:
    assert said(f"return {{status=type({name}), message=type(_G['{name}'])}}", open_libs=open_libs) == HealthAnswer(
        "nil", "nil"
    )


def test_without_open_libraries_strings_have_no_methods() -> None:
    script = "local s = 'abc'; return {status=s:upper()}"
    assert "attempt to index" in said(script).problem
    assert said(script, open_libs=True) == HealthAnswer("ABC")
    assert said("return {status=type(string) .. type(math) .. type(os.time())}") == HealthAnswer("nilnilnumber")


def test_the_methods_of_strings_cannot_be_changed() -> None:
    poison = "string.len = nil; return {status=tostring(getmetatable('')), message=tostring(('abc'):len())}"
    assert said(poison, open_libs=True) == HealthAnswer("false", "3")
    assert said("return {status=tostring(obj)}", open_libs=True).problem == ""


def test_what_5_1_has_is_there() -> None:
    script = """
    local n = table.getn({1, 2, 3})
    for i, v in ipairs({1}) do
      if v == 1 then goto continue end
      n = 0
      ::continue::
    end
    return {status=tostring(n), message=tostring(3 / 1) .. select('#', unpack({1, 2}))}
    """
    assert said(script) == HealthAnswer("3", "32")


def test_lists_start_at_one_and_null_is_absent() -> None:
    obj = {"spec": {"items": ["a", "b"], "none": None}}
    script = "return {status=obj.spec.items[1] .. #obj.spec.items, message=tostring(obj.spec.none)}"
    assert said(script, obj) == HealthAnswer("a2", "nil")


@pytest.mark.parametrize("script", ["while true do end", "while true do pcall(function() while true do end end) end"])
def test_a_script_that_does_not_end_is_stopped(script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiphys.scripting.lua.SCRIPT_LIMIT_S", 0.05)
    assert said(script).problem == TOO_SLOW


def test_memory_has_a_limit() -> None:
    assert said("local t = {} for i = 1, 1e9 do t[i] = {i} end").problem == "not enough memory"
    assert said("local s = 'x' while true do s = s .. s end").problem == "not enough memory"


def test_modules_are_those_that_are_in_reach_anyway() -> None:
    assert said("local os = require('os'); return {status=type(os.time), message=type(os.execute)}") == HealthAnswer(
        "function", "nil"
    )
    assert "module io not found" in said("require('io')").problem
