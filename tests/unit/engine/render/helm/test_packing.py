"""A chart in memory is what Helm would have read from a folder."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import pytest
from tests.unit.engine.render.conftest import Repository
from tests.unit.engine.render.helm.charts import CONTEXT, chart, config_map, data, objects, small

from tiphys.engine.render.helm.packing import may_be_packed, packed
from tiphys.engine.render.helm.sdk import is_left_as_it_was
from tiphys.engine.render.renderer import Renderer

FILES = {"Chart.yaml": b"name: a\n", "templates/a.yaml": b"x", "charts/sub/values.yaml": b""}


@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 5000])
def test_an_archive_holds_the_files(size: int) -> None:
    files = {**FILES, "templates/b.yaml": b"b" * size, "deep/" * 30 + "name": b"1", "templates/ä.yaml": b"2"}
    with tarfile.open(fileobj=io.BytesIO(packed(files)), mode="r:gz") as archive:
        found = {}
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.removeprefix("chart/")] = content.read()
    assert found == files


@pytest.mark.parametrize(
    ("rules", "packs"),
    [
        ("# made by helm\n.DS_Store\n.git/\n*.swp\n*~\n.vscode/\n\n", True),
        ("README.md\n/ci/\n", True),
        ("a.yaml\n", False),
        ("*.yaml\n", False),
        ("/templates/\n", False),
        ("templates/a.*\n", False),
        ("sub/\n", False),
        ("!x\n", False),
        ("[x\n", False),
        ("**/x\n", False),
        ("./\n", False),
    ],
)
def test_a_chart_is_packed_where_nothing_of_it_may_be_ignored(rules: str, packs: bool) -> None:
    assert may_be_packed({**FILES, ".helmignore": rules.encode()}) is packs


@pytest.mark.parametrize("name", ["templates/.hidden.yaml", "a\\b", "c:/x"])
def test_names_that_mean_something_else_in_an_archive_are_not_packed(name: str) -> None:
    assert may_be_packed(FILES)
    assert not may_be_packed({**FILES, name: b""})


@pytest.mark.parametrize(
    ("metadata", "more", "same"),
    [
        ({}, {}, True),
        ({"keywords": ["one"], "annotations": {"a": "b"}}, {}, True),
        ({"keywords": ["b", "a"]}, {}, False),
        ({"dependencies": [{"name": "a"}]}, {}, False),
        ({}, {"charts/a/Chart.yaml": b""}, False),
        ({}, {"requirements.yaml": b""}, False),
    ],
)
def test_a_chart_is_kept_where_no_render_changes_it(
    metadata: dict[str, object], more: dict[str, bytes], same: bool
) -> None:
    assert is_left_as_it_was(metadata, {"Chart.yaml": b"", **more}) is same


MUTATING = (
    "was: {{ toJson .Values | quote }}\n"
    '{{- $_ := set .Values.a "b" .Release.Name }}{{ $_ := set (index .Values.l 0) "x" 2 }}{{ $_ := unset .Values "v" }}'
    '{{ $_ := set .Values "new" 1 }}{{ $_ := set .Values.global "g" 1 }}'
)


async def test_what_a_template_does_to_values_is_not_seen_by_the_next_render(
    repository: Repository, tools: Renderer
) -> None:
    values = "v: 1\na: {b: c}\nl: [{x: 1}]\nglobal: {h: 1}\n"
    snapshot = repository.snapshot(small(MUTATING, values))
    for name in ("web", "api", "web2"):
        found = await data(tools, snapshot, context=replace(CONTEXT, app_name=name))
        assert found == {"was": '{"a":{"b":"c"},"global":{"h":1},"l":[{"x":1}],"v":1}'}


async def test_a_subchart_that_is_off_in_one_render_is_there_in_the_next(
    repository: Repository, tools: Renderer
) -> None:
    files = {
        **small(),
        "chart/Chart.yaml": chart(more="dependencies: [{name: sub, version: 0.1.0, condition: sub.enabled}]\n"),
        "chart/charts/sub/Chart.yaml": chart("sub"),
        "chart/charts/sub/templates/x.yaml": config_map("x: y", "sub"),
    }
    snapshot = repository.snapshot(files)
    for on, names in ((True, ["sub", "web"]), (False, ["web"]), (True, ["sub", "web"])):
        found = await objects(tools, snapshot, values=f"sub: {{enabled: {str(on).lower()}}}\n")
        assert [one["metadata"]["name"] for one in found] == names


async def test_what_is_ignored_is_not_rendered(repository: Repository, tools: Renderer) -> None:
    files = {
        **small(),
        "chart/.helmignore": "templates/no.yaml\n",
        "chart/templates/no.yaml": "no: {{ fail `read` }}",
        "chart/templates/.hidden.yaml": "no: {{ fail `read` }}",
    }
    assert await data(tools, repository.snapshot(files)) == {"v": "1"}
