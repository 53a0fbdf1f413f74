"""Builds in the confined worker: what they give, and how hostile ones end."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.unit.engine.render.conftest import TOOL_ARGV, TOOLS, Repository, Serve, tool_renderer
from tests.unit.engine.source.trees import Content

from tiphys.engine.render.kustomize.build import build, clean_message
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.render.tools import RenderContext, ToolError
from tiphys.engine.states import Snapshot, StageError
from tiphys.wiring.rendering import TOOL_LIMITS

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"


def _app(text: str) -> dict[str, Content]:
    return {"app/kustomization.yaml": text, "app/x.yaml": CONFIG_MAP}


async def _render(renderer: Renderer, snapshot: Snapshot, kustomize: object = None) -> list[str]:
    source = render_source({"path": "app", **({"kustomize": kustomize} if kustomize else {})})
    rendered = await renderer.render(snapshot, source, context=RenderContext(app_name="a"))
    assert rendered.source_type == "Kustomize"
    return [f"{one.gvk.kind}/{one.name}" for one in rendered.objects]


async def _message(renderer: Renderer, snapshot: Snapshot) -> str:
    with pytest.raises(StageError) as raised:
        await _render(renderer, snapshot)
    return raised.value.message


async def test_a_build_in_the_worker(tools: Renderer, repository: Repository) -> None:
    """The same worker builds one after the other; what fails says so and harms nothing."""
    good = repository.snapshot(_app("resources: [x.yaml]\n"))
    assert await _render(tools, good) == ["ConfigMap/x"]
    assert await _render(tools, good, {"namePrefix": "p-"}) == ["ConfigMap/p-x"]
    bad = repository.snapshot(_app("resources: [x.yaml]\nnope: 1\n"))
    assert await _message(tools, bad) == (
        '`kustomize build app` failed exit status 1: Error: invalid Kustomization: json: unknown field "nope"'
    )
    assert await _render(tools, repository.snapshot(_app("resources: [x.yaml]\nnameSuffix: -s\n"))) == ["ConfigMap/x-s"]


async def test_a_build_that_takes_too_long_is_killed_and_named(
    serve: Serve, tmp_path: Path, repository: Repository
) -> None:
    """The program that the worker runs dies with it; the next build is done by another worker."""
    files: dict[str, Content] = {"app/kustomization.yaml": "resources: [../a0, ../b0]\n"}
    for name in "ab":
        for n in range(11):
            files[f"{name}{n}/kustomization.yaml"] = f"resources: [../a{n + 1}, ../b{n + 1}]\nnamePrefix: {name}\n"
        files |= {f"{name}11/kustomization.yaml": f"resources: [x.yaml]\nnamePrefix: {name}\n"}
        files |= {f"{name}11/x.yaml": CONFIG_MAP}
    options = {"argv": TOOL_ARGV, "limits": TOOL_LIMITS, "eager": False}
    async with serve() as pool, serve(root=tmp_path / "tools", **options) as tool_pool:
        renderer = tool_renderer(pool, tool_pool, timeout_s=3.0)
        assert "killed after 3 s (limit of time)" in await _message(renderer, repository.snapshot(files))
        assert await _render(renderer, repository.snapshot(_app("resources: [x.yaml]\n"), fresh=True)) == [
            "ConfigMap/x"
        ]
    async with asyncio.timeout(10):
        while children := _programs_in(tmp_path):
            await asyncio.sleep(0.05)
    assert children == []


async def test_a_build_that_needs_too_much_memory_is_named(tools: Renderer, repository: Repository) -> None:
    """Sixty copies of a large file are more than a build may hold, or give."""
    maps = ", ".join(f"{{name: m{n}, files: [big.txt]}}" for n in range(60))
    files: dict[str, Content] = {
        "app/kustomization.yaml": f"configMapGenerator: [{maps}]\n",
        "app/big.txt": "0123456789abcde\n" * 1_500_000,
    }
    assert "(limit of" in await _message(tools, repository.snapshot(files))


def test_settings_of_kubectl_in_the_repository_are_not_read(tmp_path: Path) -> None:
    """kubectl would take default flags from a file in its home."""
    (tmp_path / "kustomization.yaml").write_text("helmCharts: [{name: x}]\n")
    kuberc = tmp_path / ".kube" / "kuberc"
    kuberc.parent.mkdir()
    kuberc.write_text(
        "apiVersion: kubectl.config.k8s.io/v1beta1\nkind: Preference\n"
        "defaults: [{command: kustomize, options: [{name: enable-helm, default: 'true'}]}]\n"
    )
    with pytest.raises(ToolError, match="must specify --enable-helm"):
        build(tmp_path, {"path": "."}, kubectl=TOOLS.kubectl)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".kube", "kustomization.yaml"]


def test_a_build_without_kubectl_says_so(tmp_path: Path) -> None:
    """In words, not as a stack."""
    with pytest.raises(ToolError, match="kubectl cannot be run: No such file"):
        build(tmp_path, {"path": "."}, kubectl="/nowhere/kubectl")


def test_a_build_out_of_time_says_so(tmp_path: Path) -> None:
    """Also where nobody else has a clock."""
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    slow.chmod(0o755)
    with pytest.raises(ToolError, match=r"was stopped after 0.2 s \(limit of time\)"):
        build(tmp_path, {"path": ".", "timeout_s": 0.2}, kubectl=str(slow))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("error: x '/w/tree/app' y\n", "Error: x 'app' y"),
        ("# Warning: old\nerror: x in '/w/tree'\n", "Error: x in '.'"),
        ("panic: x\n\ngoroutine 1 [running]:\nmain.go\n", "panic: x"),
        ("fatal error: runtime: out of memory\n\ngoroutine 1:\n", "Error: it needs more memory than it may have"),
        ("", "nothing was said"),
    ],
)
def test_messages_name_no_folder_of_ours(said: str, shown: str) -> None:
    """Nor warnings, nor stacks."""
    assert clean_message(said, Path("/w/tree")).startswith(shown)


def _programs_in(folder: Path) -> list[str]:
    """Command lines of programs that work below a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(folder)):
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found
