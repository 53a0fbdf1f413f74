"""Charts rendered by the engine and by a real helm program: the same objects, or both refuse."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pygit2
import pytest
from tests.conformance.helm.casefile import Case, read_cases
from tests.conformance.helm.oracle import NoOracleError, helm_program
from tests.unit.engine.source.trees import Bare

from tiphys.apimachinery.yamljson import load_all
from tiphys.engine.render.protocol import TOOL_WORKER_ARGV, WORKER_ARGV
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.render.toolruns import ToolRuns
from tiphys.engine.render.tools import KubeVersions, RenderContext, Tools
from tiphys.engine.source.tree import GitTree, TreeObjects
from tiphys.engine.states import Snapshot, StageError
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.supervisor import Lifetime
from tiphys.runtime.workerpool import WorkerPool
from tiphys.wiring.rendering import TOOL_LIMITS, find_tools

CASES = read_cases(Path(__file__).parent / "cases")
KUBE = KubeVersions("1.36.2", ("v1", "apps/v1", "apps/v1/Deployment", "policy/v1", "policy/v1/PodDisruptionBudget"))
CONTEXT = RenderContext(app_name="rel", namespace="prod", kube=KUBE)

# A program is started for each chart, so it is shown some of them.
FOR_PROGRAM = CASES[::4]

Outcome = list[str] | str  # objects as sorted canonical JSON, or why there are none


@pytest.fixture(scope="module")
def oracle() -> dict[str, Outcome]:
    """What helm says of each chart."""
    try:
        helm = helm_program()
    except NoOracleError as error:
        pytest.skip(f"nothing to compare with: {error}")
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        found = threads.map(lambda case: _by_helm(helm, Path(folder), case), CASES)
        return dict(zip((case.name for case in CASES), found, strict=True))


@pytest.fixture(scope="module")
def by_sdk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What the engine says of each chart with the SDK."""
    tools = find_tools(os.environ["PATH"])
    if not tools.helm_sdk:
        pytest.skip("the Helm SDK is not installed")
    return asyncio.run(_by_engine(tmp_path_factory.mktemp("sdk"), tools, [*TOOL_WORKER_ARGV], CASES))


@pytest.fixture(scope="module")
def by_program(oracle: dict[str, Outcome], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """What the engine says with a helm program in place of the SDK."""
    helm = str(helm_program(fetch=False))
    argv = [*TOOL_WORKER_ARGV, f"helm={helm}", "sdk=no"]
    tools = Tools(helm=helm, helm_version="4")
    return asyncio.run(_by_engine(tmp_path_factory.mktemp("program"), tools, argv, FOR_PROGRAM))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_sdk_gives_the_same_objects(case: Case, oracle: dict[str, Outcome], by_sdk: dict[str, Outcome]) -> None:
    _compare(case, by_sdk[case.name], oracle[case.name])


@pytest.mark.parametrize("case", FOR_PROGRAM, ids=lambda case: case.name)
def test_the_program_gives_the_same_objects(
    case: Case, oracle: dict[str, Outcome], by_program: dict[str, Outcome]
) -> None:
    _compare(case, by_program[case.name], oracle[case.name])


def _compare(case: Case, ours: Outcome, theirs: Outcome) -> None:
    if case.refused:
        assert isinstance(theirs, str), "helm accepts it"
        assert isinstance(ours, str), "it is accepted"
        assert case.refused in theirs
        assert case.refused in ours
        return
    assert not isinstance(theirs, str), theirs
    assert ours == theirs


def test_there_are_enough_charts() -> None:
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


def _by_helm(helm: Path, folder: Path, case: Case) -> Outcome:
    chart = folder / case.name
    for name, text in case.files.items():
        (chart / name).parent.mkdir(parents=True, exist_ok=True)
        (chart / name).write_text(text, encoding="utf-8")
    argv = [str(helm), "template", case.helm.get("releaseName", "rel"), ".", *_arguments(case.helm, chart)]
    env = {"HOME": str(folder), "PATH": ""}
    done = subprocess.run(argv, cwd=chart, env=env, capture_output=True, timeout=60)
    if done.returncode != 0:
        return done.stderr.decode()
    objects: list[Any] = []
    for document in load_all(done.stdout):
        objects += document["items"] if document.get("kind") == "List" else [document]
    return sorted(_canonical(one) for one in objects)


def _arguments(options: dict[str, Any], chart: Path) -> list[str]:
    """The command line that Argo CD makes of a source."""
    argv = ["--namespace", options.get("namespace", "prod"), "--kube-version", options.get("kubeVersion", KUBE.version)]
    for version in options.get("apiVersions", KUBE.api_versions):
        argv += ["--api-versions", version]
    for path in options.get("valueFiles", []):
        argv += ["--values", path]
    if "values" in options or "valuesObject" in options:
        inline = chart.parent / f"{chart.name}.values"
        inline.write_text(options.get("values") or json.dumps(options["valuesObject"]), encoding="utf-8")
        argv += ["--values", str(inline)]
    for one in options.get("parameters", []):
        value = str(one["value"])
        if not (value.startswith("{") and value.endswith("}")):
            value = value.replace("\\,", ",").replace(",", "\\,")
        argv += ["--set-string" if one.get("forceString") else "--set", f"{one['name']}={value}"]
    for one in options.get("fileParameters", []):
        argv += ["--set-file", f"{one['name']}={one['path']}"]
    for option, flag in (("skipTests", "--skip-tests"), ("skipSchemaValidation", "--skip-schema-validation")):
        argv += [flag] if options.get(option) else []
    return argv if options.get("skipCrds") else [*argv, "--include-crds"]


async def _by_engine(folder: Path, tools: Tools, argv: list[str], cases: list[Case]) -> dict[str, Outcome]:
    bare = Bare(folder / "repo.git")
    sha = bare.commit({f"{case.name}/{name}": text for case in cases for name, text in case.files.items()})
    repository = pygit2.Repository(str(bare.folder))
    tree = GitTree(TreeObjects(repository), str(repository[sha].peel(pygit2.Tree).id))
    snapshot = Snapshot(bare.url, sha, tree)
    clock, life = SystemClock(), Lifetime()
    pool = WorkerPool(root=folder / "workers", clock=clock, size=1, argv=WORKER_ARGV, eager=False)
    tool_pool = WorkerPool(root=folder / "tools", clock=clock, size=1, argv=argv, limits=TOOL_LIMITS, eager=False)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(pool.serve(life))
        tasks.create_task(tool_pool.serve(life))
        renderer = Renderer(pool, clock=clock, tools=tools, tool_runs=ToolRuns(tool_pool, clock=clock))
        await asyncio.sleep(0.1)
        try:
            return {case.name: await _render(renderer, snapshot, case) for case in cases}
        finally:
            life.stop()


async def _render(renderer: Renderer, snapshot: Snapshot, case: Case) -> Outcome:
    try:
        source = render_source({"path": case.name, "helm": case.helm})
        found = await renderer.render(snapshot, source, context=CONTEXT)
    except StageError as error:
        return error.message
    return sorted(_canonical(json.loads(one.json)) for one in found.objects)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
