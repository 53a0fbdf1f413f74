"""What a source says about its rendering, and what its files say."""

from __future__ import annotations

import pytest

from tiphys.engine.render.detect import detect_type, override_files, refuse_overrides, require_supported
from tiphys.engine.render.spec import RenderSource, render_source
from tiphys.engine.states import StageError


def test_directory_options_are_read() -> None:
    source = {
        "repoURL": "https://h/r",
        "path": "./apps//web/",
        "directory": {"recurse": True, "include": "*.yaml", "exclude": "{x,y}*", "disableExtensionFilter": True},
    }
    assert render_source(source) == RenderSource("apps/web", "Directory", True, "*.yaml", "{x,y}*", True)


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
    ("names", "explicit", "says"),
    [
        (
            {"Chart.yaml"},
            "",
            "apps/x: source type Helm (Chart.yaml) is not supported yet; commit the rendered manifests",
        ),
        ({"kustomization.yaml"}, "", "source type Kustomize (kustomization.yaml) is not supported yet"),
        (set(), "Plugin", "source type Plugin is not supported yet"),
    ],
)
def test_what_cannot_be_rendered_yet_is_an_error_and_not_empty(names: set[str], explicit: str, says: str) -> None:
    source = RenderSource("apps/x", explicit)
    with pytest.raises(StageError) as caught:
        require_supported(source, detect_type(source, names), names)
    assert says in caught.value.message
    assert caught.value.reason == "ComparisonError"


@pytest.mark.parametrize("name", [".argocd-source.yaml", ".argocd-source-web.yaml"])
def test_an_override_file_meant_for_the_application_is_refused_by_name(name: str) -> None:
    source = RenderSource("apps/x")
    files = override_files({"a.yaml", name})
    with pytest.raises(StageError, match=f"apps/x/{name}: parameter override files are not supported yet"):
        refuse_overrides(source, files, "web")


def test_an_override_file_of_another_application_is_none_of_our_business() -> None:
    refuse_overrides(RenderSource("apps/x"), override_files({".argocd-source-api.yaml"}), "web")
