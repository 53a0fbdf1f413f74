"""What a source says about its rendering, and what its files say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tiphys.engine.render.detect import detect_type, require_supported
from tiphys.engine.render.overrides import override_names, with_overrides
from tiphys.engine.render.spec import RenderSource, render_source, tool_options
from tiphys.engine.states import StageError


def test_directory_options_are_read() -> None:
    source = {
        "repoURL": "https://h/r",
        "path": "./apps//web/",
        "directory": {"recurse": True, "include": "*.yaml", "exclude": "{x,y}*", "disableExtensionFilter": True},
    }
    assert replace(render_source(source), options="") == RenderSource(
        "apps/web", "Directory", True, "*.yaml", "{x,y}*", True
    )


def test_the_root_is_a_path() -> None:
    assert render_source({"path": "."}).path == ""


def test_every_problem_is_listed() -> None:
    source = {
        "path": "/etc",
        "helm": {},
        "kustomize": {"namePrefix": "x"},
        "directory": {"recurse": "yes", "include": "{a", "exclude": 3},
    }
    with pytest.raises(StageError) as caught:
        render_source(source)
    assert (caught.value.stage, caught.value.reason) == ("render", "InvalidSpecError")
    for part in (
        "multiple application sources defined: Kustomize,Helm,Directory",
        "/etc: app path is absolute",
        "directory.recurse is not a boolean",
        "directory.include: pattern '{a'",
        "directory.exclude is not a string",
    ):
        assert part in caught.value.message


@pytest.mark.parametrize("path", ["..", "../x", "a/../../b"])
def test_a_path_cannot_leave_the_repository(path: str) -> None:
    with pytest.raises(StageError, match="app path outside root"):
        render_source({"path": path})


def test_a_source_without_path_and_chart_is_an_error() -> None:
    with pytest.raises(StageError, match=r"either spec.source.path or spec.source.chart are required"):
        render_source({"repoURL": "https://h/r"})


@pytest.mark.parametrize(
    ("names", "explicit", "disabled", "expected"),
    [
        ({"a.yaml"}, "", (), "Directory"),
        ({"Chart.yaml", "kustomization.yaml"}, "", (), "Helm"),
        ({"kustomization.yml"}, "", (), "Kustomize"),
        ({"Kustomization"}, "", (), "Kustomize"),
        ({"chart.yaml"}, "", (), "Directory"),
        ({"Chart.yaml"}, "Directory", (), "Directory"),
        ({"a.yaml"}, "Helm", (), "Helm"),
        ({"a.yaml"}, "Plugin", (), "Plugin"),
        ({"Chart.yaml"}, "", ("Helm",), "Directory"),
        ({"kustomization.yaml"}, "Kustomize", ("Kustomize",), "Directory"),
    ],
)
def test_the_type_is_what_is_said_then_what_is_there(
    names: set[str], explicit: str, disabled: tuple[str, ...], expected: str
) -> None:
    assert detect_type(RenderSource("x", explicit), names, disabled=disabled) == expected


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (RenderSource("apps/x", "Plugin"), "apps/x: source type Plugin is not supported yet"),
        (render_source({"chart": "redis"}), "chart redis: repositories of charts are not supported yet"),
    ],
)
def test_what_cannot_be_rendered_yet_is_an_error_and_not_empty(source: RenderSource, says: str) -> None:
    with pytest.raises(StageError) as caught:
        require_supported(source, detect_type(source, set()))
    assert says in caught.value.message
    assert caught.value.reason == "ComparisonError"


def test_override_files_are_merged_the_application_s_own_last() -> None:
    source = render_source({"path": "x", "helm": {"releaseName": "r", "parameters": [{"name": "a", "value": "1"}]}})
    names = {".argocd-source-web.yaml", ".argocd-source.yaml", ".argocd-source-api.yaml"}
    assert override_names(names, "web") == (".argocd-source.yaml", ".argocd-source-web.yaml")
    patches = [
        ("p1", b'{"helm":{"releaseName":"s","valueFiles":["v.yaml"]},"path":"elsewhere","targetRevision":"x"}'),
        ("p2", b'{"helm":{"releaseName":null}}'),
    ]
    merged = with_overrides(source, patches)
    assert merged.path == "x"
    assert tool_options(merged, "Helm") == {"parameters": [{"name": "a", "value": "1"}], "valueFiles": ["v.yaml"]}


def test_an_override_that_makes_no_source_is_an_error_that_names_its_file() -> None:
    with pytest.raises(StageError, match=r"x/p: multiple application sources defined: Kustomize,Directory"):
        with_overrides(RenderSource("x"), [("x/p", b'{"directory":{},"kustomize":{}}')])
    with pytest.raises(StageError, match=r"x/p: parameter overrides are an object"):
        with_overrides(RenderSource("x"), [("x/p", b"[1]")])
