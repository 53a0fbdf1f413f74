"""The tool worker: what it can reach, what it writes, and every tool behind one renderer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.engine.render.conftest import TOOL_ARGV, Repository, Serve, tool_renderer
from tests.unit.engine.render.helm.charts import CONTEXT, data, failure, small

from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import render_source
from tiphys.engine.render.tools import ToolError
from tiphys.engine.render.toolworker import run_program, write_file
from tiphys.runtime.messages import decode

_LOOK = """
import json, os, socket, subprocess, sys, threading
from tiphys.runtime.confine import Allowed, confine
own, program = sys.argv[1], sys.argv[2]
told = confine(Allowed(write=[own, os.devnull], execute=["/lib", "/lib64", "/usr/lib", program], processes=True))
def tried(what):
    try:
        what()
        return "done"
    except OSError as error:
        return type(error).__name__
def start(argv):
    subprocess.run(argv, env={}, cwd=own, check=True, stdout=subprocess.DEVNULL)
def thread():
    one = threading.Thread(target=print, args=("",), kwargs={"file": sys.stderr})
    one.start()
    one.join()
def connect():
    one = socket.socket()
    one.settimeout(2)
    one.connect(("127.0.0.1", int(sys.argv[3])))
print(json.dumps({
    "told": told,
    "write": tried(lambda: open(own + "/x", "w").write("1")),
    "read": tried(lambda: open("/etc/passwd").read()),
    "list": tried(lambda: os.listdir("/etc")),
    "outside": tried(lambda: open(own + "/../y", "w")),
    "program": tried(lambda: start([program, "x"])),
    "other": tried(lambda: start(["/bin/true"])),
    "thread": tried(thread),
    "connect": tried(connect),
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can confine a process")
def test_what_a_confined_process_can_reach(tmp_path: Path) -> None:
    import shutil
    import socket

    own = tmp_path / "own"
    own.mkdir()
    program = Path(shutil.which("echo") or "/bin/echo").resolve()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        argv = [sys.executable, "-I", "-c", _LOOK, str(own), str(program), port]
        done = subprocess.run(argv, capture_output=True, text=True, env={}, timeout=60)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    told = seen.pop("told")
    expected = {"write": "done", "program": "done", "thread": "done"}
    if told["files"] == "none":
        expected |= dict.fromkeys(("read", "list", "outside", "other"), "PermissionError")
    assert {name: seen[name] for name in expected} == expected
    if told["network"] == "none":
        assert seen["connect"] != "done"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/x", "a//b", "", ".", "a/./b", "x\0y", "n" * 300])
def test_a_file_is_written_below_the_folder_or_not_at_all(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    with pytest.raises(ToolError):
        write_file(folder, path, memoryview(b"x"), executable=False)
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == []


def test_files_have_their_content_and_mode(tmp_path: Path) -> None:
    write_file(tmp_path, "a/b.sh", memoryview(b"x"), executable=True)
    assert ((tmp_path / "a/b.sh").read_bytes(), (tmp_path / "a/b.sh").stat().st_mode & 0o777) == (b"x", 0o700)


def test_a_program_that_fails_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    with pytest.raises(ToolError, match=r"^no such chart$"):
        run_program(["/bin/sh", "-c", "echo 'Error: no such chart' >&2; exit 1"], folder)
    with pytest.raises(ToolError, match=r"ended with exit code 3"):
        run_program(["/bin/sh", "-c", "exit 3"], folder)
    with pytest.raises(ToolError, match=r"missing cannot be run"):
        run_program(["/nowhere/missing"], folder)
    assert run_program(["/bin/sh", "-c", "echo out"], folder) == b"out\n"
    assert list(tmp_path.iterdir()) == [folder]


async def test_charts_and_kustomizations_share_a_worker(repository: Repository, tools: Renderer) -> None:
    snapshot = repository.snapshot(
        {
            **small(),
            "kustom/kustomization.yaml": "resources: [a.yaml]\nnamePrefix: x-\n",
            "kustom/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        }
    )
    assert await data(tools, snapshot) == {"v": "1"}
    source = render_source({"path": "kustom", "kustomize": {"nameSuffix": "-$ARGOCD_APP_NAME", "images": ["a:1"]}})
    found = await tools.render(snapshot, source, context=CONTEXT)
    assert found.source_type == "Kustomize"
    assert [one.name for one in found.objects] == ["x-a-$ARGOCD_APP_NAME"]
    assert tools.unchanged(repository.snapshot({"kustom/README.md": "1"}), source, found.key, context=CONTEXT)
    chart_comes = repository.snapshot({"kustom/Chart.yaml": "a"})
    assert not tools.unchanged(chart_comes, source, found.key, context=CONTEXT)


async def test_without_sdk_and_program_a_chart_says_what_to_install(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    argv = [*TOOL_ARGV, "sdk=no"]
    async with serve() as pool, serve(root=tmp_path / "tools", argv=argv, eager=False) as tool_pool:
        message = await failure(tool_renderer(pool, tool_pool), repository.snapshot(small()))
    assert "pip install 'tiphys[helm]'" in message


async def test_a_request_that_makes_no_sense_is_answered(serve: Serve, tmp_path: Path) -> None:
    from tiphys.runtime.messages import encode

    async with serve(root=tmp_path / "tools", argv=TOOL_ARGV, eager=False) as pool:
        header = {"tool": "Helm", "request": {}, "files": [("../x", 1, False)], "max_objects": 1, "cpu_s": 5}
        answer, bodies = await pool.ask(encode(header, [b"x"]), timeout_s=30)
        assert answer["problem"]
        assert not list(tmp_path.rglob("x"))
        assert (answer["objects"], bytes(bodies)) == ([], b"")
        header["files"] = []
        answer, _ = await pool.ask(encode(header), timeout_s=30)
        assert answer["problem"]
        assert len(pool.worker_pids) >= 1
    assert decode(encode({"a": 1}))[0] == {"a": 1}


def test_a_worker_imports_only_what_it_needs() -> None:
    """What it waits for when it starts: a third of it would be what only the engine needs."""
    code = "import sys, tiphys.engine.render.toolworker; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split())
    assert "tiphys.engine.render.toolworker" in loaded
    assert not loaded & {"tiphys.engine.states", "tiphys.model.application", "asyncio", "pygit2", "helm_python"}
