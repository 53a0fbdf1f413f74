"""Charts that hang, explode, escape or crash: the limit is named, the next render works, no process is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.engine.render.conftest import TOOL_ARGV, Repository, Serve, tool_renderer
from tests.unit.engine.render.helm.charts import chart, data, failure, small
from tests.unit.engine.render.test_pool import is_running, until
from tests.unit.engine.source.trees import Content, Link

from tiphys.engine.render.renderer import Renderer
from tiphys.runtime.workerpool import WorkerPool
from tiphys.wiring.rendering import TOOL_LIMITS

GOOD = {path.replace("chart/", "good/"): content for path, content in small().items()}


@pytest.fixture
async def pool(serve: Serve, tmp_path: Path) -> AsyncIterator[WorkerPool]:
    """Two tool workers, with less memory than the engine gives."""
    limits = replace(TOOL_LIMITS, memory_bytes=3 * 1024**3)
    async with serve(root=tmp_path / "tools", argv=TOOL_ARGV, size=2, limits=limits, eager=False) as pool:
        yield pool


@pytest.fixture
async def hurried(serve: Serve, pool: WorkerPool) -> AsyncIterator[Renderer]:
    """A renderer that gives a tool two seconds."""
    async with serve() as parsers:
        yield tool_renderer(parsers, pool, timeout_s=2.0)


@pytest.fixture
async def patient(serve: Serve, pool: WorkerPool) -> AsyncIterator[Renderer]:
    """A renderer that gives a tool the time it needs on a machine with other work."""
    async with serve() as parsers:
        yield tool_renderer(parsers, pool)


def with_template(text: str, **more: Content) -> dict[str, Content]:
    return {"chart/Chart.yaml": chart(), "chart/templates/a.yaml": text, **GOOD, **more}


A_LINK = "chart/templates/x"
TIME = ("limit of time", "limit of processor time")
Row = tuple[str, dict[str, Content], tuple[str, ...]]

# Only the death of the worker ends these.
LETHAL: list[Row] = [
    (
        "nested range",
        with_template("{{ range until 10000 }}{{ range until 10000 }}{{ range until 10000 }}{{ end }}{{ end }}{{ end }}"),
        TIME,
    ),
    ("many keys", with_template("{{ range until 10000 }}{{ $_ := genPrivateKey `rsa` }}{{ end }}"), TIME),
    ("huge repeat", with_template("{{ $x := repeat 1000000000 `abcdefgh` }}{{ repeat 4 $x }}"), ("limit of memory",)),
    (
        "endless tpl",
        {**with_template("{{ tpl .Values.t . }}"), "chart/values.yaml": "t: '{{ tpl .Values.t . }}'\n"},
        ("limit of memory", *TIME),
    ),
]  # fmt: skip

# The worker says what is wrong and goes on.
REFUSED: list[Row] = [
    ("recursion", with_template("{{ define `a` }}{{ include `a` . }}{{ end }}{{ include `a` . }}"), ("nested reference",)),
    (
        "much output",
        with_template("{apiVersion: v1, kind: A, metadata: {name: a}, x: {{ repeat 70000000 `y` }}}"),
        ("limit of rendered output",),
    ),
    (
        "bomb in the values",
        {
            **with_template("x: {{ .Values.x9 }}"),
            "chart/values.yaml": "x0: &x0 [a,a,a,a,a,a,a,a,a]\n"
            + "".join(f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 10)),
        },
        ("excessive aliasing", "limit of"),
    ),
    ("link out", {**with_template(""), A_LINK: Link("/etc/passwd")}, ("a link in this path is absolute",)),
    ("link up", {**with_template(""), A_LINK: Link("../../../etc")}, ("a link in this path leads out",)),
    ("link in a circle", {**with_template(""), A_LINK: Link(".")}, ("a link to a folder inside a linked folder",)),
    (
        "files outside",
        with_template("x: {{ .Files.Get `../../../../../../etc/passwd` | required `nothing there` }}"),
        ("nothing there",),
    ),
    ("the environment", with_template("x: {{ env `HOME` }}"), ("function \"env\" not defined",)),
    ("names", with_template("x: {{ getHostByName `localhost` | required `no answer` }}"), ("no answer", "not defined")),
    ("NUL", with_template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"a\"}\nx: \"a\0b\"\n"), ("templates/a.yaml",)),
    ("packed chart of nothing", {**with_template(""), "chart/charts/x.tgz": b"\x1f\x8b\0\0"}, ("x.tgz", "EOF", "gzip")),
    ("Chart.yaml of nothing", {**with_template(""), "chart/Chart.yaml": "- a"}, ("Chart.yaml",)),
]  # fmt: skip


@pytest.mark.parametrize(("files", "says"), [row[1:] for row in LETHAL], ids=[row[0] for row in LETHAL])
async def test_a_chart_that_hangs_or_explodes_is_killed_at_its_limit(
    repository: Repository, hurried: Renderer, pool: WorkerPool, files: dict[str, Content], says: tuple[str, ...]
) -> None:
    snapshot = repository.snapshot(files)
    message = await failure(hurried, snapshot)
    assert any(one in message for one in says), message
    before = pool.worker_pids
    assert await failure(hurried, repository.snapshot({"elsewhere": "1"})) == message
    assert pool.worker_pids == before, "it is tried again at another commit"
    assert await data(hurried, snapshot, path="good") == {"v": "1"}


async def test_a_chart_that_is_refused_leaves_the_worker_as_it_was(
    repository: Repository, patient: Renderer, pool: WorkerPool
) -> None:
    assert await data(patient, repository.snapshot(GOOD), path="good") == {"v": "1"}
    workers = set(pool.worker_pids)
    for name, files, says in REFUSED:
        message = await failure(patient, repository.snapshot(files, fresh=True))
        assert any(one in message for one in says), f"{name}: {message}"
        assert "/tmp" not in message
        assert workers <= set(pool.worker_pids), f"{name}: {message}"
    assert await data(patient, repository.snapshot({**GOOD, "good/values.yaml": "v: 2\n"}), path="good") == {"v": "2"}


async def test_no_process_and_no_file_is_left(serve: Serve, repository: Repository, tmp_path: Path) -> None:
    async with (
        serve() as parsers,
        serve(root=tmp_path / "tools", argv=TOOL_ARGV, limits=TOOL_LIMITS, eager=False) as pool,
    ):
        renderer = tool_renderer(parsers, pool, timeout_s=1.0)
        assert len(pool.worker_pids) == 0, "no source needed a tool yet"
        await failure(renderer, repository.snapshot(LETHAL[0][1]))
        await until(lambda: bool(pool.worker_pids), "the killed worker has a successor")
        pids: tuple[int, ...] = pool.worker_pids
    assert not [pid for pid in pids if is_running(pid)]
    assert not (tmp_path / "tools").exists()
