"""What a commit to a chart's folder makes of the applications that share the chart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.engine.render.conftest import TOOLS, Repository
from tests.unit.engine.render.helm.charts import CONTEXT, chart, config_map, data, small
from tests.unit.engine.render.helm.test_mentions import packed
from tests.unit.engine.source.trees import Content, Link

from tiphys.engine.render.helm.closure import Charts
from tiphys.engine.render.helm.plan import plan_helm
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.render.tools import ToolPlan
from tiphys.engine.states import Snapshot


def plan(snapshot: Snapshot, **helm: Any) -> ToolPlan:
    return plan_helm(snapshot.tree, "chart", helm, CONTEXT, tool_version=TOOLS.helm_sdk, charts=Charts())


def template(text: str) -> dict[str, Content]:
    return {"chart/templates/more.yaml": text}


def given(found: ToolPlan) -> set[str]:
    return {file.path.removeprefix("chart/") for file in found.files}


SHARED: dict[str, Content] = {
    **small("v: {{ .Values.v | quote }}"),
    "chart/values-a.yaml": "v: a\n",
    "chart/values-b.yaml": "v: b\n",
    "chart/conf/a.txt": "one",
    "chart/conf/deep/b.txt": "two",
    "chart/README.md": "Files\n",
    "chart/ci/test-values.yaml": "v: ci\n",
    "chart/.helmignore": "*.bak\n",
    "chart/templates/NOTES.txt": "{{ .Values.v }}",
    "chart/crds/x.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: crd}\n",
    "chart/charts/sub/Chart.yaml": chart("sub"),
    "chart/charts/sub/values.yaml": "s: 1\n",
    "chart/charts/sub/README.md": "read me\n",
    "chart/charts/sub/conf/a.txt": "of sub",
    "chart/charts/sub/templates/x.yaml": config_map("s: {{ .Values.s | quote }}", "sub"),
}
LOADED = {
    "Chart.yaml",
    "values.yaml",
    ".helmignore",
    "templates/cm.yaml",
    "templates/NOTES.txt",
    "crds/x.yaml",
    "charts/sub/Chart.yaml",
    "charts/sub/values.yaml",
    "charts/sub/templates/x.yaml",
}
MORE = LOADED | {"templates/more.yaml"}


def test_only_what_helm_loads_and_what_the_source_names_is_given(repository: Repository) -> None:
    assert given(plan(repository.snapshot(SHARED), valueFiles=["values-a.yaml"])) == LOADED | {"values-a.yaml"}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ('{{ .Files.Get "conf/a.txt" }}', {"conf/a.txt", "charts/sub/conf/a.txt"}),
        ('{{ .Files.Get "conf" }}{{ .Files.Get "../x" }}{{ .Files.Get "missing" }}', set()),
        ('{{ (.Files.Glob "conf/*.txt").AsConfig }}', {"conf/a.txt", "conf/deep/b.txt", "charts/sub/conf/a.txt"}),
        ('{{ .Files.Glob "*.md" }}', {"README.md", "charts/sub/README.md"}),
        ('{{ .Files.Get (printf "conf/d%s" "x") }}', {"conf/deep/b.txt"}),
    ],
)
def test_files_that_templates_name_are_given(repository: Repository, text: str, more: set[str]) -> None:
    assert given(plan(repository.snapshot({**SHARED, **template(text)}))) == MORE | more


@pytest.mark.parametrize("text", ["{{ .Files.Get .Values.file }}", "{{ toYaml $ }}"])
def test_all_files_are_given_where_any_may_be_read(repository: Repository, text: str) -> None:
    found = plan(repository.snapshot({**SHARED, **template(text)}))
    assert given(found) == {path.removeprefix("chart/") for path in SHARED} | {"templates/more.yaml"}


def test_values_count_as_templates_where_a_template_makes_them_one(repository: Repository) -> None:
    helm: dict[str, Any] = {"valueFiles": ["values-a.yaml"], "parameters": [{"name": "x", "value": "{{ .Files }}"}]}
    snapshot = repository.snapshot(SHARED)
    assert "README.md" not in given(plan(snapshot, **helm))
    with_tpl = repository.snapshot(template("{{ tpl .Values.x . }}"))
    assert "README.md" not in given(plan(with_tpl, valueFiles=["values-a.yaml"]))
    assert "README.md" in given(plan(with_tpl, **helm))
    for file in ("values-a.yaml", "values.yaml", "charts/sub/values.yaml"):
        said = repository.snapshot(
            {**SHARED, **template("{{ tpl .x . }}"), f"chart/{file}": "x: '{{ .Files.Get .y }}'"}
        )
        assert "README.md" in given(plan(said, valueFiles=["values-a.yaml"]))
    chain = repository.snapshot(
        {**SHARED, **template('{{ tpl (.Files.Get "conf/a.txt") . }}'), "chart/conf/a.txt": "{{ .Files.Get .x }}"}
    )
    assert "README.md" in given(plan(chain))


def test_a_packed_subchart_is_part_of_the_chart(repository: Repository) -> None:
    sub = {"lib/Chart.yaml": chart("lib"), "lib/templates/_h.tpl": '{{ define "h" }}{{ .Files.Get "x" }}{{ end }}'}
    found = plan(repository.snapshot({**SHARED, "chart/charts/lib-0.1.0.tgz": packed(sub), "chart/x": "1"}))
    assert given(found) == LOADED | {"charts/lib-0.1.0.tgz", "x"}
    assert not found.uses_kube


async def test_a_chart_in_the_root_reads_no_more_than_another(repository: Repository, tools: Renderer) -> None:
    files = {path.removeprefix("chart/"): content for path, content in small().items()}
    snapshot = repository.snapshot({**files, "other/a.yaml": "1", "values-b.yaml": "v: b\n"})
    found = plan_helm(snapshot.tree, "", {}, CONTEXT, tool_version="", charts=Charts())
    assert {file.path for file in found.files} == set(files)
    assert await data(tools, snapshot, path=".") == {"v": "1"}
    await data(tools, repository.snapshot({"other/a.yaml": "2", "values-b.yaml": "v: c\n"}), path=".")
    assert tools.renders == 1


def test_a_folder_in_charts_that_is_no_chart_is_given_so_that_helm_says_so(repository: Repository) -> None:
    found = plan(repository.snapshot({**SHARED, "chart/charts/other/README.md": "1"}))
    assert given(found) == LOADED | {"charts/other/README.md"}


def _keys(snapshot: Snapshot) -> list[str]:
    """Equal keys are one render."""
    return [plan(snapshot, valueFiles=[f"values-{name}.yaml"]).key for name in ("a", "b")]


@pytest.mark.parametrize(
    ("text", "changes", "renders"),
    [
        ("", {"values-b.yaml": "v: c\n"}, 1),
        ("", {"values-c.yaml": "v: c\n", "README.md": "2", "conf/a.txt": "2", "ci/test-values.yaml": "2"}, 0),
        ("", {"charts/sub/README.md": "2", "charts/sub/conf/a.txt": "2"}, 0),
        ("", {"templates/NOTES.txt": "2"}, 2),
        ("", {"values.yaml": "v: 2\n"}, 2),
        ("", {"charts/sub/values.yaml": "s: 2\n"}, 2),
        ("", {"values.schema.json": "{}"}, 2),
        ("", {".helmignore": "README.md\n"}, 2),
        ("", {"Chart.lock": "dependencies: []\n"}, 2),
        ('# {{ .Files.Get "conf/a.txt" }}', {"values-b.yaml": "v: c\n", "conf/deep/b.txt": "2"}, 1),
        ('# {{ .Files.Get "conf/a.txt" }}', {"conf/a.txt": "2"}, 2),
        ('# {{ .Files.Get "later.txt" }}', {"later.txt": "2"}, 2),
        ('# {{ len (.Files.Glob "conf/*.txt") }}', {"conf/later.txt": "2"}, 2),
        ('# {{ len (.Files.Glob "conf/*.txt") }}', {"conf/later.md": "2"}, 0),
        ("# {{ len .Files }}", {"README.md": "2"}, 2),
    ],
)
def test_a_commit_renders_the_applications_that_read_what_changed(
    repository: Repository, text: str, changes: Mapping[str, Content], renders: int
) -> None:
    before = _keys(repository.snapshot({**SHARED, **template(text)}))
    after = _keys(repository.snapshot({f"chart/{path}": content for path, content in changes.items()}))
    assert sum(old != new for old, new in zip(before, after, strict=True)) == renders


async def test_an_application_stands_while_nothing_it_reads_changed(repository: Repository, tools: Renderer) -> None:
    source = render_source({"path": "chart", "helm": {"valueFiles": ["values-a.yaml"]}})
    text = '# {{ .Files.Get "conf/a.txt" }}'
    first = await tools.render(repository.snapshot({**SHARED, **template(text)}), source, context=CONTEXT)

    def stands(files: dict[str, Content]) -> bool:
        return tools.unchanged(repository.snapshot(files), source, first.key, context=CONTEXT)

    assert stands({"chart/values-b.yaml": "v: c\n", "chart/values-new.yaml": "", "chart/README.md": "2"})
    assert stands({"chart/.argocd-source-other.yaml": "helm: {releaseName: x}\n"})
    await tools.render(repository.snapshot({"chart/values-b.yaml": "v: d\n"}), source, context=CONTEXT)
    assert tools.renders == 1
    again = await tools.render(repository.snapshot({"chart/conf/a.txt": "2"}), source, context=CONTEXT)
    assert (tools.renders, again.cached) == (2, False)
    undone = await tools.render(repository.snapshot({"chart/conf/a.txt": "one"}), source, context=CONTEXT)
    assert (tools.renders, undone.key) == (2, first.key)
    for path in (
        "conf/a.txt",
        "values-a.yaml",
        "templates/new.yaml",
        ".argocd-source.yaml",
        ".argocd-source-web.yaml",
        "charts/sub/templates/x.yaml",
    ):
        back = repository.snapshot({**SHARED, **template(text)}, fresh=True)
        assert tools.unchanged(back, source, first.key, context=CONTEXT)
        assert not stands({f"chart/{path}": "# changed\n"}), path


async def test_a_link_counts_as_what_it_leads_to(repository: Repository, tools: Renderer) -> None:
    files: dict[str, Content] = {
        **small("v: {{ .Values.v | quote }}"),
        "chart/templates": Link("../shared/templates"),
        "chart/broken": Link("nowhere"),
        "shared/templates/cm.yaml": config_map("v: '1'"),
    }
    files.pop("chart/templates/cm.yaml")
    assert await data(tools, repository.snapshot(files)) == {"v": "1"}
    assert await data(tools, repository.snapshot({"shared/templates/cm.yaml": config_map("v: '2'")})) == {"v": "2"}
