"""Planning a Kustomize build: what is read, what a later commit may change, and the limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.conformance.kustomize.trees import Trees

from tiphys.engine.render.kustomize import closure
from tiphys.engine.render.kustomize.plan import plan_kustomize, safe_options
from tiphys.engine.render.tools import RenderContext, ToolPlan
from tiphys.engine.states import SourceTree, StageError

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


@pytest.fixture
def trees(tmp_path: Path) -> Trees:
    return Trees(tmp_path)


def _plan(tree: SourceTree, source: Mapping[str, object] | None = None, **context: object) -> ToolPlan:
    return plan_kustomize(tree, "app", source or {}, RenderContext(**context), tool_version="5")  # type: ignore[arg-type]


def _stands(plan: ToolPlan, tree: SourceTree) -> bool:
    return all(tree.tree_id(path) == oid for path, oid in plan.reads)


def _message(tree: SourceTree) -> str:
    with pytest.raises(StageError) as raised:
        _plan(tree)
    return raised.value.message


FILES = {
    "app/kustomization.yaml": "resources: [../base, x.yaml]\n",
    "app/x.yaml": CONFIG_MAP,
    "base/kustomization.yml": "configMapGenerator: [{name: c, files: [k=data.txt]}]\n",
    "base/data.txt": "1",
    "other/file": "1",
}


def test_a_plan_stands_while_nothing_it_read_changes(trees: Trees) -> None:
    """Other files may come, change and go, also beside the files that were read."""
    plan = _plan(trees.make(FILES))
    assert _stands(plan, trees.make({**FILES, "other/file": "2", "app/new.yaml": "x", "base/new": "x"}))


@pytest.mark.parametrize(
    "change",
    [
        {"app/kustomization.yaml": "resources: [../base]\n"},
        {"app/x.yaml": CONFIG_MAP + "data: {}\n"},
        {"base/data.txt": "2"},
        {"base/kustomization.yml": ""},
        {"base/kustomization.yaml": ""},
        {"app/Kustomization": ""},
    ],
)
def test_a_plan_falls_with_anything_it_read(trees: Trees, change: dict[str, str]) -> None:
    """Also with a second kustomization file, which Kustomize would refuse."""
    plan = _plan(trees.make(FILES))
    assert not _stands(plan, trees.make({**FILES, **change}))


def test_a_component_that_appears_fells_the_plan_that_did_without(trees: Trees) -> None:
    """What was missing is part of what was read."""
    source = {"components": ["../extra"], "ignoreMissingComponents": True}
    plan = _plan(trees.make(FILES), source)
    component = {"extra/kustomization.yaml": "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n"}
    assert _stands(plan, trees.make({**FILES, "else/a": ""}))
    assert not _stands(plan, trees.make({**FILES, **component}))


def test_equal_inputs_have_equal_keys(trees: Trees) -> None:
    """The key says nothing about the commit, the Application or the environment that is not used."""
    first = _plan(trees.make(FILES), app_name="one", env={"ARGOCD_APP_REVISION": "1"})
    second = _plan(trees.make({**FILES, "other/file": "2"}), app_name="two", env={"ARGOCD_APP_REVISION": "2"})
    assert first.key == second.key
    assert first.key != _plan(trees.make(FILES), {"namePrefix": "p-"}).key
    assert first.key != _plan(trees.make({**FILES, "base/data.txt": "2"})).key
    assert first.key != _plan(trees.make(FILES), build_options=("--load-restrictor=LoadRestrictionsNone",)).key


def test_overrides_replace_the_kustomization_alone(trees: Trees) -> None:
    """Everything else is given by id."""
    plan = _plan(trees.make(FILES), {"namePrefix": "p-"})
    assert [file.path for file in plan.files if file.content is not None] == ["app/kustomization.yaml"]
    assert all(file.oid for file in plan.files if file.content is None)


def test_a_long_chain_of_bases_is_refused(trees: Trees) -> None:
    """A thousand bases of bases end at the limit of depth."""
    files = {f"b{n}/kustomization.yaml": f"resources: [../b{n + 1}]\n" for n in range(1000)}
    files["app/kustomization.yaml"] = "resources: [../b0]\n"
    assert "more than 64 kustomizations lead to this one (limit of depth)" in _message(trees.make(files))


def test_bases_that_double_at_each_step_are_refused(trees: Trees) -> None:
    """Thirty small directories that would be built a billion times."""
    files = {"app/kustomization.yaml": "resources: [../a0, ../b0]\n"}
    for n in range(30):
        below = f"resources: [../a{n + 1}, ../b{n + 1}]\nnamePrefix: "
        files |= {f"a{n}/kustomization.yaml": f"{below}a\n", f"b{n}/kustomization.yaml": f"{below}b\n"}
    files |= {f"{name}30/kustomization.yaml": "resources: []\n" for name in "ab"}
    assert "directories to build (limit of builds)" in _message(trees.make(files))


def test_many_bases_beside_each_other_are_fine(trees: Trees) -> None:
    """A thousand bases of one overlay are no depth."""
    files = {f"b{n}/kustomization.yaml": "namePrefix: x\n" for n in range(1000)}
    files["app/kustomization.yaml"] = f"resources: [{', '.join(f'../b{n}' for n in range(1000))}]\n"
    assert len(_plan(trees.make(files)).files) == 1001


def test_a_huge_kustomization_is_not_read(trees: Trees) -> None:
    """More than a mebibyte is no kustomization."""
    files = {"app/kustomization.yaml": "#" * (closure.MAX_KUSTOMIZATION_BYTES + 1)}
    assert "(limit of a kustomization)" in _message(trees.make(files))


def test_huge_files_of_a_generator_are_refused_by_their_size(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum is judged before anything is read."""
    monkeypatch.setattr(closure, "MAX_TOTAL_BYTES", 1000)
    files = {
        "app/kustomization.yaml": "configMapGenerator: [{name: a, files: [u, v, z]}]\n",
        **{f"app/{name}": "x" * 400 for name in "uvz"},
    }
    assert "app/z: the kustomization reads more than 1000 bytes (limit of size)" in _message(trees.make(files))


def test_too_many_files_are_refused(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of files has a limit of its own."""
    monkeypatch.setattr(closure, "MAX_FILES", 10)
    files = {f"app/f{n}": "" for n in range(20)}
    files["app/kustomization.yaml"] = (
        f"configMapGenerator: [{{name: a, files: [{', '.join(sorted(files))}]}}]\n".replace("app/", "")
    )
    assert "the kustomization reads more than 10 files (limit of files)" in _message(trees.make(files))


def test_a_submodule_has_no_kustomization(trees: Trees) -> None:
    """A base in a folder that is not there says so."""
    assert "no such file or directory: vendor/x" in _message(
        trees.make({"app/kustomization.yaml": "resources: [../vendor/x]\n", "vendor/y": ""})
    )


@pytest.mark.parametrize(
    ("options", "safe"),
    [
        ((), ()),
        (("--load-restrictor", "LoadRestrictionsNone"), ("--load-restrictor=LoadRestrictionsNone",)),
        (("--load_restrictor=LoadRestrictionsNone",), ("--load-restrictor=LoadRestrictionsNone",)),
        (("--reorder", "none"), ()),
        (
            ("--reorder=legacy", "--load-restrictor=LoadRestrictionsRootOnly"),
            ("--load-restrictor=LoadRestrictionsRootOnly",),
        ),
    ],
)
def test_safe_build_options_are_passed(options: tuple[str, ...], safe: tuple[str, ...]) -> None:
    """Only what keeps a build inside its files, and nothing that it would not know."""
    assert safe_options(options) == safe


@pytest.mark.parametrize(
    "options",
    [("--load-restrictor",), ("--load-restrictor=x",), ("--enable-helm",), ("--mount", "x"), ("-e", "A=b"), ("x",)],
)
def test_other_build_options_are_refused_by_name(options: tuple[str, ...]) -> None:
    """The message names the option."""
    with pytest.raises(StageError, match=f"kustomize.buildOptions: {options[0].partition('=')[0]}"):
        safe_options(options)
