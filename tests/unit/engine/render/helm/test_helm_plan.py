"""Which files a chart reads, and what makes it render again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.engine.render.conftest import TOOLS, Repository
from tests.unit.engine.render.helm.charts import CONTEXT, chart, config_map, data, failure, objects, rendered, small
from tests.unit.engine.source.trees import Content, Link

from tiphys.engine.render.environment import Consulted, build_environment, envsubst
from tiphys.engine.render.helm.closure import Charts
from tiphys.engine.render.helm.options import escape_commas
from tiphys.engine.render.helm.plan import plan_helm
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.render.tools import KubeVersions, RenderContext, ToolPlan
from tiphys.engine.states import Snapshot, StageError


def plan(snapshot: Snapshot, context: RenderContext = CONTEXT, **helm: Any) -> ToolPlan:
    return plan_helm(snapshot.tree, "chart", helm, context, tool_version=TOOLS.helm_sdk, charts=Charts())


def values_read(snapshot: Snapshot, *files: str, **helm: Any) -> list[str]:
    found = plan(snapshot, valueFiles=list(files), **helm).request["value_files"]
    assert isinstance(found, list)
    return found


VALUE_FILES: dict[str, Content] = {
    **small(),
    "chart/envs/b.yaml": "v: b\n",
    "chart/envs/a.yaml": "v: a\n",
    "chart/envs/eu/c.yaml": "v: c\n",
    "common/all.yaml": "v: all\n",
}


@pytest.mark.parametrize(
    ("files", "read"),
    [
        (["values.yaml"], ["chart/values.yaml"]),
        (["./envs/../values.yaml"], ["chart/values.yaml"]),
        (["../common/all.yaml"], ["common/all.yaml"]),
        (["/common/all.yaml"], ["common/all.yaml"]),
        (["envs/*.yaml"], ["chart/envs/a.yaml", "chart/envs/b.yaml"]),
        (["envs/**/*.yaml"], ["chart/envs/a.yaml", "chart/envs/b.yaml", "chart/envs/eu/c.yaml"]),
        (["/common/*.yaml", "envs/?.yaml"], ["common/all.yaml", "chart/envs/a.yaml", "chart/envs/b.yaml"]),
        (["envs/*.yaml", "envs/a.yaml"], ["chart/envs/b.yaml", "chart/envs/a.yaml"]),
        (["envs/[ax].yaml"], ["chart/envs/a.yaml"]),
        (["envs/$ARGOCD_APP_NAME.yaml"], ["chart/envs/a.yaml"]),
    ],
)
def test_value_files(repository: Repository, files: list[str], read: list[str]) -> None:
    context = replace(CONTEXT, env={"ARGOCD_APP_NAME": "a"})
    found = plan(repository.snapshot(VALUE_FILES), context, valueFiles=files)
    assert found.request["value_files"] == read


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("missing.yaml", "open chart/missing.yaml: no such file or directory"),
        ("missing/*.yaml", "missing/*.yaml: no value file matches the pattern"),
        ("../../x.yaml", "value file path ../../x.yaml resolves outside the repository root"),
        ("https://example.com/v.yaml", "value files from a URL are not supported yet"),
        ("$other/v.yaml", "v.yaml"),
        ("envs", "read chart/envs: is a directory"),
        ("*" * 20, "more than 10 wildcards"),
    ],
)
def test_value_files_that_cannot_be_had(repository: Repository, file: str, says: str) -> None:
    with pytest.raises(StageError) as caught:
        values_read(repository.snapshot(VALUE_FILES), file)
    assert says in caught.value.message


def test_missing_value_files_may_be_ignored_and_count_when_they_come(repository: Repository) -> None:
    snapshot = repository.snapshot(small())
    files = ["later.yaml", "later/*.yaml", "/elsewhere.yaml"]
    found = plan(snapshot, valueFiles=files, ignoreMissingValueFiles=True)
    assert found.request["value_files"] == []
    assert {("chart/later.yaml", None), ("chart/later", None), ("elsewhere.yaml", None)} <= set(found.reads)
    later = repository.snapshot({"chart/later.yaml": "v: 2\n"})
    assert values_read(later, *files, ignoreMissingValueFiles=True) == ["chart/later.yaml"]


async def test_a_commit_elsewhere_renders_nothing_also_with_files_outside(
    repository: Repository, tools: Renderer
) -> None:
    files: dict[str, Content] = {
        **small(),
        "shared/values.yaml": "v: 2\n",
        "chart/templates/linked.yaml": Link("../../shared/linked.yaml"),
        "shared/linked.yaml": config_map("x: y", "linked"),
    }
    source = render_source({"path": "chart", "helm": {"valueFiles": ["/shared/values.yaml"]}})
    snapshot = repository.snapshot(files)
    first = await tools.render(snapshot, source, context=CONTEXT)
    elsewhere = repository.snapshot({"other/a.yaml": "1", "README.md": "2"})
    context = replace(CONTEXT, env={"ARGOCD_APP_REVISION": elsewhere.revision}, kube=KubeVersions("1.37.0"))
    assert tools.unchanged(elsewhere, source, first.key, context=context)
    again = await tools.render(elsewhere, source, context=context)
    assert (again.cached, again.key, tools.renders) == (True, first.key, 1)
    for path, text in {"shared/values.yaml": "v: 3\n", "shared/linked.yaml": config_map("x: z", "linked")}.items():
        changed = repository.snapshot({path: text})
        assert not tools.unchanged(changed, source, first.key, context=CONTEXT)
        assert (await tools.render(changed, source, context=CONTEXT)).key != first.key


async def test_the_same_files_again_are_not_rendered_again(repository: Repository, tools: Renderer) -> None:
    first = await rendered(tools, repository.snapshot(small()))
    await rendered(tools, repository.snapshot({"chart/values.yaml": "v: 2\n"}))
    back = await rendered(tools, repository.snapshot({"chart/values.yaml": "v: 1\n"}))
    assert (back.cached, back.key) == (True, first.key)


def test_only_what_is_consulted_is_in_the_key(repository: Repository) -> None:
    snapshot = repository.snapshot(small())
    other = replace(CONTEXT, env={"ARGOCD_APP_REVISION": "1" * 40}, kube=KubeVersions("1.31.0", ("x/v1",)))
    assert plan(snapshot).key == plan(snapshot, other).key
    parameter: dict[str, Any] = {"parameters": [{"name": "v", "value": "$ARGOCD_APP_REVISION"}]}
    assert plan(snapshot, other, **parameter).key != plan(snapshot, **parameter).key
    changes: list[dict[str, Content]] = [
        {"chart/templates/_h.tpl": "{{ .Capabilities.KubeVersion }}"},
        {"chart/templates/_h.tpl": None, "chart/Chart.yaml": chart(more="kubeVersion: '>=1.20'\n")},
        {"chart/Chart.yaml": chart(), "chart/charts/x.tgz": b"unknown"},
    ]
    for files in changes:
        snapshot = repository.snapshot(files)
        assert plan(snapshot).uses_kube
        assert plan(snapshot).key != plan(snapshot, other).key
        assert (
            plan(snapshot, kubeVersion="1.30.0", apiVersions=["a/v1"]).key
            == plan(snapshot, other, kubeVersion="1.30.0", apiVersions=["a/v1"]).key
        )


async def test_dependencies_of_the_repository_are_found(repository: Repository, tools: Renderer) -> None:
    files: dict[str, Content] = {
        **small(),
        "chart/Chart.yaml": chart(
            more='dependencies: [{name: lib, version: 0.1.0, repository: "file://../libs/lib"}]\n'
        ),
        "libs/lib/Chart.yaml": chart("lib"),
        "libs/lib/templates/x.yaml": config_map("x: '1'", "from-lib"),
    }
    snapshot = repository.snapshot(files)
    assert [one["metadata"]["name"] for one in await objects(tools, snapshot)] == ["from-lib", "web"]
    changed = repository.snapshot({"libs/lib/templates/x.yaml": config_map("x: '2'", "from-lib")})
    assert (await objects(tools, changed))[0]["data"] == {"x": "2"}
    missing = repository.snapshot({"libs/lib/Chart.yaml": None, "libs/lib/templates/x.yaml": None})
    assert "found in Chart.yaml, but missing in charts/ directory: lib" in await failure(tools, missing)


async def test_override_files_change_the_source(repository: Repository, tools: Renderer) -> None:
    snapshot = repository.snapshot(
        {
            **small("v: {{ .Values.v | quote }}\nname: {{ .Release.Name }}"),
            "chart/.argocd-source.yaml": "helm: {parameters: [{name: v, value: all}], releaseName: r}\npath: elsewhere\n",
            "chart/.argocd-source-web.yaml": "helm: {parameters: [{name: v, value: web}]}\n",
        }
    )
    assert await data(tools, snapshot) == {"v": "web", "name": "r"}
    assert await data(tools, snapshot, context=replace(CONTEXT, app_name="api")) == {"v": "all", "name": "r"}
    assert await data(tools, repository.snapshot({"chart/.argocd-source-web.yaml": None})) == {"v": "all", "name": "r"}
    broken = repository.snapshot({"chart/.argocd-source.yaml": "a: [\n"})
    assert 'Failed to unmarshal "chart/.argocd-source.yaml": line' in await failure(tools, broken)


def test_the_release_is_called_as_the_application_without_its_namespace(repository: Repository) -> None:
    snapshot = repository.snapshot(small())
    assert plan(snapshot, replace(CONTEXT, app_name="team-a_web")).request["release"] == "web"


ENV = build_environment(
    app_name="web",
    namespace="prod",
    project="default",
    revision="0123456789abcdef",
    repo_url="https://h/r",
    path="apps/web",
    target_revision="HEAD",
)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain", "plain"),
        ("$ARGOCD_APP_NAME-x", "web-x"),
        ("${ARGOCD_APP_NAME}x", "webx"),
        ("$$ARGOCD_APP_NAME", "$ARGOCD_APP_NAME"),
        ("$ARGOCD_APP_REVISION_SHORT/$ARGOCD_APP_REVISION_SHORT_8", "0123456/01234567"),
        ("$UNKNOWN|${UNKNOWN}|", "||"),
        ("a$", "a$"),
        ("$ x$-", "$ x"),
        ("${", ""),
        ("a${}b", "ab"),
        ("$1a", "a"),
    ],
)
def test_variables_are_put_in_as_go_does(text: str, result: str) -> None:
    assert envsubst(text, ENV) == result


def test_an_environment_knows_what_it_was_asked_for() -> None:
    env = Consulted({"A": "1", "B": "2"})
    envsubst("$A $C", env)
    assert env.asked == (("A", "1"), ("C", None))


@pytest.mark.parametrize(
    ("value", "escaped"), [("a,b", r"a\,b"), (r"a\,b", r"a\,b"), ("{a,b}", "{a,b}"), (",", r"\,"), ("a", "a")]
)
def test_commas_of_parameters_are_part_of_the_value(value: str, escaped: str) -> None:
    assert escape_commas(value) == escaped
