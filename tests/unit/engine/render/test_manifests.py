"""One file's bytes -> objects, also when the bytes are hostile."""

from __future__ import annotations

import time

import pytest

from tiphys.engine.render.manifests import ManifestError, parse_manifests

CONFIG_MAP = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def problem(data: bytes, form: str = "yaml", **options: int) -> tuple[str, int]:
    with pytest.raises(ManifestError) as caught:
        parse_manifests(data, form, **options)
    return caught.value.problem, caught.value.line


def test_an_object_is_named_and_written_canonically() -> None:
    (row,) = parse_manifests(b"kind: Deployment\nmetadata: {namespace: shop, name: web}\napiVersion: apps/v1\n", "yaml")
    assert row[:5] == ("apps", "v1", "Deployment", "shop", "web")
    assert row[6] == b'{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"}}'


def test_equal_objects_have_equal_digests_whatever_their_text() -> None:
    as_json = b'{"metadata": {"name": "a"}, "kind": "ConfigMap", "apiVersion": "v1"}'
    assert parse_manifests(CONFIG_MAP, "yaml") == parse_manifests(as_json, "json") == parse_manifests(as_json, "yaml")


def test_the_line_of_a_broken_document_is_counted_from_the_start_of_the_file() -> None:
    text = b"# head\n" + CONFIG_MAP + b"---\n" + CONFIG_MAP + b"---\napiVersion: v1\nkind: a: b\nmetadata: {}\n"
    said, line = problem(text)
    assert (said, line) == ("mapping values are not allowed in this context", 11)


def test_the_line_of_a_nameless_object_is_where_it_begins() -> None:
    assert problem(CONFIG_MAP + b"---\n# note\n\napiVersion: v1\nkind: Secret\n") == (
        "the Secret has no metadata.name; exclude the file if it is not meant for the cluster",
        7,
    )


def test_utf_16_and_byte_order_marks_are_understood() -> None:
    text = CONFIG_MAP.decode()
    for encoded in (text.encode("utf-8-sig"), text.encode("utf-16")):
        assert parse_manifests(encoded, "yaml") == parse_manifests(CONFIG_MAP, "yaml")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (CONFIG_MAP + b"data: {a: \xff\xfe}\n", "invalid leading UTF-8 octet"),
        (CONFIG_MAP + b"data: {a: 'x\x00y'}\n", ""),
        (CONFIG_MAP + b"data: &a [*a]\n", "contains itself"),
        (CONFIG_MAP + b"data: " + b"[" * 10_000 + b"]" * 10_000, " deep"),
        (CONFIG_MAP + b"data: *nothing\n", "undefined alias"),
    ],
    ids=["invalid utf-8", "nul", "self reference", "deep nesting", "undefined alias"],
)
def test_hostile_yaml_is_an_error_with_its_reason(data: bytes, says: str) -> None:
    said, _ = problem(data)
    assert says in said


def test_an_alias_bomb_is_stopped_early() -> None:
    lines = [b"a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [b"a%d: &a%d [%s]" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 10)]
    start = time.process_time()
    said, line = problem(CONFIG_MAP + b"data:\n" + b"\n".join(b"  " + text for text in lines))
    assert "excessive aliasing" in said
    assert line > 4
    assert time.process_time() - start < 5  # of CPU: expanded it would be minutes


def test_too_many_documents_and_objects_name_the_limit() -> None:
    assert problem(b"a: 1\n---\n" * 100_000) == ("more than 50000 documents (limit of documents in one file)", 100_000)
    items = b"apiVersion: v1\nkind: List\nitems:\n" + b"- {apiVersion: v1, kind: A, metadata: {name: a}}\n" * 11
    assert problem(items, max_objects=10) == ("more than 10 objects (limit of objects in one file)", 1)


def test_json_nested_without_end_is_an_error() -> None:
    said, line = problem(b'{"a":' * 5000, "json")
    assert line == 1
    assert said
