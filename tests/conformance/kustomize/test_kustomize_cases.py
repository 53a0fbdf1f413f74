"""Tables of kustomizations: the planned files are enough, overrides are what `kustomize edit` leaves, faults are named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.conformance.kustomize.random_trees import random_tree
from tests.conformance.kustomize.trees import Trees, write_files

from tiphys.apimachinery.yamljson import canonical_json, load_all, load_one
from tiphys.engine.render.kustomize.build import build
from tiphys.engine.render.kustomize.direct.builds import DirectBuilds
from tiphys.engine.render.kustomize.plan import plan_kustomize
from tiphys.engine.render.kustomize.schema import Definitions, packed_definitions
from tiphys.engine.render.tools import RenderContext, ToolError, ToolPlan
from tiphys.engine.states import SourceTree, StageError

KUBECTL = str(Path(sys.executable).parent / "kubectl")
HERE = Path(__file__).parent
DEFINITIONS = Definitions(packed_definitions())


def _table(name: str) -> list[Any]:
    rows = load_one((HERE / name).read_bytes())["cases"]
    return [pytest.param(row, id=row["id"]) for row in rows]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    return Trees(tmp_path_factory.mktemp("trees"))


def _plan(tree: SourceTree, case: dict[str, Any]) -> ToolPlan:
    context = RenderContext(
        app_name="app", env=case.get("env", {}), build_options=tuple(case.get("options", "").split())
    )
    return plan_kustomize(tree, case.get("path", "app"), case.get("source", {}), context, tool_version="5.8.1")


def _built(tree: SourceTree, plan: ToolPlan, root: Path) -> bytes:
    texts = []
    for file in plan.files:
        target = root / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        texts.append(file.content if file.content is not None else tree.read(file.oid))
        target.write_bytes(texts[-1])
    return build(root, plan.request, kubectl=KUBECTL, definitions=DEFINITIONS, texts=texts)


def _direct(tree: SourceTree, plan: ToolPlan) -> list[bytes] | None:
    files = {one.path: one.content if one.content is not None else tree.read(one.oid) for one in plan.files}
    found = DirectBuilds(DEFINITIONS).build(files, plan.request)
    return None if found is None else [canonical_json(one) for one in found]


def _objects(text: bytes) -> list[bytes]:
    return [canonical_json(one) for one in load_all(text)]


def _kustomize(root: Path, case: dict[str, Any]) -> bytes:
    """What Kustomize itself makes of the whole tree."""
    options = case.get("options", "").split()
    done = subprocess.run(
        [KUBECTL, "kustomize", *options, case.get("path", "app") or "."],
        cwd=root,
        env={"HOME": str(root)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize(
    "case", [*_table("builds.cases.yaml"), *_table("merges.cases.yaml"), *_table("direct.cases.yaml")]
)
def test_build_of_the_closure(case: dict[str, Any], trees: Trees, tmp_path: Path) -> None:
    """The planned files alone give what the whole tree gives; files that are not read are not planned.

    A build that is done without Kustomize gives the same objects in the same order.
    """
    write_files(tmp_path / "whole", case["files"])
    tree = trees.make(case["files"])
    plan = _plan(tree, case)

    output = _built(tree, plan, tmp_path / "closure")
    assert output == _kustomize(tmp_path / "whole", case)
    assert _direct(tree, plan) in (None, _objects(output))
    assert not {file.path for file in plan.files} & set(case.get("unread", ()))
    for path, oid in plan.reads:
        assert tree.tree_id(path) == oid


@pytest.mark.parametrize("case", _table("overrides.cases.yaml"))
def test_overrides(case: dict[str, Any], trees: Trees, tmp_path: Path) -> None:
    """The Application's overrides give what the kustomization would give that `kustomize edit` leaves behind."""
    files = {**load_one((HERE / "overrides.cases.yaml").read_bytes())["files"], **case.get("files", {})}
    tree = trees.make(files)
    if "error" in case:
        with pytest.raises(StageError) as raised:
            _plan(tree, case)
        assert case["error"] in raised.value.message
        assert raised.value.reason == case.get("reason", "ComparisonError")
        return
    edited = case["edited"]
    write_files(tmp_path / "whole", {**files, "app/kustomization.yaml": edited})

    plan = _plan(tree, case)
    output = _built(tree, plan, tmp_path / "closure")

    assert load_all(output) == load_all(_kustomize(tmp_path / "whole", case))
    assert _direct(tree, plan) in (None, _objects(output))


@pytest.mark.parametrize("case", _table("refused.cases.yaml"))
def test_refused(case: dict[str, Any], trees: Trees, tmp_path: Path) -> None:
    """A malformed or hostile kustomization ends in a sentence that says what is wrong, and never shows our folder."""
    tree = trees.make(case["files"])
    with pytest.raises((StageError, ToolError)) as raised:
        _built(tree, _plan(tree, case), tmp_path / "closure")
    assert case["error"] in str(raised.value)
    assert str(tmp_path) not in str(raised.value)
    if isinstance(raised.value, StageError):
        assert raised.value.reason == case.get("reason", "ComparisonError")


@pytest.mark.parametrize("case", _table("refused.cases.yaml"))
def test_refused_directly(case: dict[str, Any], trees: Trees) -> None:
    """What Kustomize refuses is not built without it."""
    tree = trees.make(case["files"])
    try:
        plan = _plan(tree, case)
    except StageError:
        return
    assert _direct(tree, plan) is None


@pytest.mark.parametrize("seed", range(10))
def test_random_overlays(seed: int, trees: Trees, tmp_path: Path) -> None:
    """A build that is done without Kustomize gives the same objects in the same order: three of each seed."""
    random = Random(seed)
    compared = 0
    for attempt in range(60):
        files, directory = random_tree(random)
        case = {"path": directory}
        tree = trees.make(files)
        plan = _plan(tree, case)
        found = _direct(tree, plan)
        if found is None:
            continue
        root = tmp_path / str(attempt)
        write_files(root, files)
        assert found == _objects(_kustomize(root, case)), files
        compared += 1
        if compared == 3:
            break
    assert compared == 3
