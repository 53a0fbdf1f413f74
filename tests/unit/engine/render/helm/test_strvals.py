"""`--set` and its kin, as Helm's own parser reads them."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.engine.render.helm.integers import first_template
from tiphys.engine.render.helm.strvals import SetInteger, put, put_file, put_string
from tiphys.engine.render.tools import ToolError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=1", {"a": 1}),
        ("a=1,b=x", {"a": 1, "b": "x"}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        ("a={1,b}", {"a": [1, "b"]}),
        ("a={}", {"a": [""]}),
        ("a={,}", {"a": ["", ""]}),
        ("a={1},b=2", {"a": [1], "b": 2}),
        ("a[1]=2", {"a": [None, 2]}),
        ("a[0][1]=2", {"a": [[None, 2]]}),
        ("a[0].b[1]=x", {"a": [{"b": [None, "x"]}]}),
        ("a[0]", {"a": []}),
        (r"a\.b=1", {"a.b": 1}),
        (r"a=x\,y", {"a": "x,y"}),
        ("a\\", None),
        ("a=\\", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a==", {"a": "="}),
        ("a=", {"a": ""}),
        ("a=true,b=false,c=null", {"a": True, "b": False, "c": None}),
        ("a=True", {"a": "True"}),
        ("a=1.5", {"a": "1.5"}),
        ("a=007", {"a": "007"}),
        ("a=0", {"a": 0}),
        ("a=00", {"a": "00"}),
        ("a=-5", {"a": -5}),
        ("a=+5", {"a": 5}),
        ("a=1e5", {"a": "1e5"}),
        ("a=0x10", {"a": "0x10"}),
        ("a= 5", {"a": " 5"}),
        ("a=9223372036854775807", {"a": 9223372036854775807}),
        ("a=9223372036854775808", {"a": "9223372036854775808"}),
        ("a=x,", {"a": "x"}),
        ("=1", {}),
        ("", {}),
        ("ключ=значение", {"ключ": "значение"}),
    ],
)
def test_set(text: str, values: dict[str, Any] | None) -> None:
    found: dict[str, Any] = {}
    if values is None:
        with pytest.raises(ToolError, match="has no value"):
            put(found, text)
        return
    put(found, text)
    assert found == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a", 'key "a" has no value'),
        ("a.b", 'key "b" has no value'),
        ("a,b=1", 'key "a" has no value (cannot end with ,)'),
        ("a[x]=1", 'error parsing index: strconv.Atoi: parsing "x": invalid syntax'),
        ("a[-1]=1", "negative -1 index not allowed"),
        ("a[70000]=1", "index of 70000 is greater than maximum supported index of 65536"),
        ("a[0]b=1", "unexpected data at end of array index"),
        ("a={1,2", "list must terminate with '}'"),
        ("a={1,2}x", 'key "x" has no value'),
        (".".join("a" * 40) + "=1", "value name nested level is greater than maximum supported nested level of 30"),
        ("s.x=1", "interface conversion: interface {} is string, not map[string]interface {}"),
        ("s[0]=1", "interface conversion: interface {} is string, not []interface {}"),
    ],
)
def test_what_helm_refuses_is_refused(text: str, says: str) -> None:
    with pytest.raises(ToolError) as caught:
        put({"s": "text"}, text)
    assert says in str(caught.value)


def test_what_is_there_is_changed_in_its_place() -> None:
    values = {"env": [{"name": "A", "value": "1"}, {"name": "B"}], "m": {"x": 1, "y": 2}}
    put(values, "env[1].value=2,m.x=null")
    assert values == {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": 2}], "m": {"x": None, "y": 2}}


def test_set_string_and_set_file_give_text() -> None:
    values: dict[str, Any] = {}
    put_string(values, "a=1,b={true,2}")
    put_file(values, "c=some/path", lambda path: f"content of {path}")
    assert values == {"a": "1", "b": ["true", "2"], "c": "content of some/path"}


def test_only_integers_that_were_set_need_a_template() -> None:
    assert first_template({"a": 1234567, "b": [1, {"c": 2}], "d": "5"}) == ""
    assert "int64 5" in first_template({"a": {"b": SetInteger(5)}})
    assert "\n" not in first_template({"a": SetInteger(5), "global": {"x": [SetInteger(1)]}}, kube_version=">=1")
