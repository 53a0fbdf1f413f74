"""Bodies no client would send by mistake: a clear 400, never a bug's 500, and never much memory."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.apimachinery.apierrors import BadRequest
from tiphys.apimachinery.names import GroupVersionKind
from tiphys.devcluster.decode import parse_body
from tiphys.devcluster.status import is_too_deep

CONFIG_MAP = GroupVersionKind("", "v1", "ConfigMap")


def parse(body: bytes) -> Any:
    return parse_body(body, "application/json", CONFIG_MAP, strict=True).obj


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_json_nested_deeper_than_an_object_can_be_is_refused(body: bytes) -> None:
    with pytest.raises(BadRequest, match="exceeded max depth"):
        parse(body)


def test_text_that_is_no_unicode_is_read_as_go_reads_it() -> None:
    assert parse(b'{"data":{"a":"\\ud800x"}}') == {"data": {"a": "\ufffdx"}}
    assert parse(b'{"data":{"a":"\xffx"}}') == {"data": {"a": "\ufffdx"}}


def test_only_depth_is_taken_for_depth() -> None:
    assert is_too_deep(RecursionError())
    assert is_too_deep(TypeError("Recursion limit reached"))
    assert not is_too_deep(TypeError("str is not valid UTF-8"))
