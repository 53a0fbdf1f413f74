"""Snapshot -> Rendered: from real commits through real workers."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest
from tests.unit.engine.render.conftest import Repository, Serve
from tests.unit.engine.source.trees import Content, Link

from tiphys.engine.render.cache import decode_rendered, encode_rendered
from tiphys.engine.render.renderer import Renderer
from tiphys.engine.render.spec import RenderSource, render_source
from tiphys.engine.render.tools import RenderContext
from tiphys.engine.states import Rendered, Snapshot, StageError
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.log import Level, Logger, LogSink


def config_map(name: str, value: str = "1") -> str:
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  v: {value!r}\n"


def names(rendered: Rendered) -> list[str]:
    return [one.name for one in rendered.objects]


APP = RenderSource("app")
CONTEXT = RenderContext(app_name="web")


async def render(renderer: Renderer, snapshot: Snapshot, source: RenderSource = APP) -> Rendered:
    return await renderer.render(snapshot, source, context=CONTEXT)


async def failure(renderer: Renderer, snapshot: Snapshot, source: RenderSource = APP) -> str:
    with pytest.raises(StageError) as caught:
        await render(renderer, snapshot, source)
    assert (caught.value.reason, caught.value.retry_after_s) == ("ComparisonError", None)
    return caught.value.message


async def test_objects_come_with_their_names_and_canonical_json(repository: Repository, renderer: Renderer) -> None:
    snapshot = repository.snapshot(
        {
            "app/a.yaml": config_map("a"),
            "app/b.yaml": "kind: B\napiVersion: x.io/v1\nmetadata: {name: b, namespace: n2}\n",
        }
    )
    rendered = await render(renderer, snapshot)
    assert (rendered.revision, rendered.source_type, rendered.cached) == (snapshot.revision, "Directory", False)
    first, second = rendered.objects
    assert (str(first.gvk), first.name) == (str(first.gvk), "a")
    assert (second.gvk.api_version, second.gvk.kind, second.namespace, second.name) == ("x.io/v1", "B", "n2", "b")
    assert json.loads(first.json) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "a"},
        "data": {"v": "1"},
    }
    assert b" " not in first.json


async def test_a_commit_that_changes_nothing_read_renders_nothing(repository: Repository, renderer: Renderer) -> None:
    first = await render(
        renderer, repository.snapshot({"app/a.yaml": config_map("a"), "other/x.yaml": config_map("x")})
    )
    changes: list[dict[str, Content]] = [
        {"other/x.yaml": config_map("x", "2")},
        {"app/README.md": "hello"},
        {"app/sub/s.yaml": config_map("s")},
    ]
    for change in changes:
        snapshot = repository.snapshot(change)
        again = await render(renderer, snapshot)
        assert (again.cached, again.key, again.revision) == (True, first.key, snapshot.revision)
        assert again.objects == first.objects
    assert renderer.renders == 1


async def test_every_input_is_in_the_key(repository: Repository, renderer: Renderer) -> None:
    keys = {
        (
            await render(
                renderer, repository.snapshot({"app/a.yaml": config_map("a"), "app/s/b.yaml": config_map("b")})
            )
        ).key
    }
    changes: list[dict[str, Content]] = [
        {"app/a.yaml": config_map("a", "2")},
        {"app/c.yml": config_map("c")},
        {"app/c.yml": None, "app/d.yml": config_map("c")},
    ]
    for change in changes:
        rendered = await render(renderer, repository.snapshot(change))
        assert rendered.key not in keys
        keys.add(rendered.key)
    snapshot = repository.snapshot({})
    for source in (
        RenderSource("app", recurse=True),
        RenderSource("app", include="d*"),
        RenderSource("app", exclude="*"),
    ):
        rendered = await render(renderer, snapshot, source)
        assert rendered.key not in keys
        keys.add(rendered.key)


async def test_the_line_about_it_is_logged(repository: Repository, serve: Serve) -> None:
    text = io.StringIO()
    async with serve() as pool:
        renderer = Renderer(pool, clock=SystemClock(), log=Logger(LogSink(text, form="json", level=Level.DEBUG)))
        await renderer.render(
            repository.snapshot({"app/a.yaml": config_map("a")}), APP, context=CONTEXT, application="web"
        )
        later = repository.snapshot({"b": "1"})
        await renderer.render(later, APP, context=CONTEXT, application="web")
    lines = [json.loads(line) for line in text.getvalue().splitlines()]
    assert [line["msg"] for line in lines] == ["rendered", "nothing read by this application changed"]
    assert (lines[1]["application"], lines[1]["revision"]) == ("web", later.revision)
    assert (lines[0]["files"], lines[0]["parsed"], lines[0]["objects"]) == (1, 1, 1)


async def test_only_changed_files_are_parsed_again(repository: Repository, serve: Serve) -> None:
    text = io.StringIO()
    files: dict[str, Content] = {f"app/{n}.yaml": config_map(f"c{n}") for n in range(20)}
    async with serve() as pool:
        renderer = Renderer(pool, clock=SystemClock(), log=Logger(LogSink(text, form="json")))
        await render(renderer, repository.snapshot(files))
        rendered = await render(renderer, repository.snapshot({"app/7.yaml": config_map("changed")}))
    assert names(rendered)[17] == "changed"  # 0, 1, 10 .. 19, 2 .. 9
    assert [json.loads(line)["parsed"] for line in text.getvalue().splitlines()] == [20, 1]


async def test_many_askers_of_one_key_cost_one_render(repository: Repository, renderer: Renderer) -> None:
    snapshot = repository.snapshot({"app/a.yaml": config_map("a")})
    found = await asyncio.gather(*(render(renderer, snapshot) for _ in range(20)))
    assert sum(not one.cached for one in found) == 1
    assert renderer.renders == 1


async def test_a_file_behind_a_link_is_an_input_though_it_lies_elsewhere(
    repository: Repository, renderer: Renderer
) -> None:
    first = await render(
        renderer, repository.snapshot({"base/x.yaml": config_map("x"), "app/x.yaml": Link("../base/x.yaml")})
    )
    assert names(first) == ["x"]
    second = await render(renderer, repository.snapshot({"base/x.yaml": config_map("z")}))
    assert (names(second), second.cached) == (["z"], False)
    third = await render(renderer, repository.snapshot({"unrelated": "1"}))
    assert third.cached


async def test_a_link_that_begins_to_lead_somewhere_is_noticed(repository: Repository, renderer: Renderer) -> None:
    first = await render(
        renderer, repository.snapshot({"app/a.yaml": config_map("a"), "app/x.yaml": Link("../later.yaml")})
    )
    assert names(first) == ["a"]
    second = await render(renderer, repository.snapshot({"later.yaml": config_map("late")}))
    assert names(second) == ["a", "late"]


async def test_an_empty_directory_is_an_empty_render_and_a_missing_one_an_error(
    repository: Repository, renderer: Renderer
) -> None:
    snapshot = repository.snapshot({"app/README": "nothing"})
    assert (await render(renderer, snapshot)).objects == ()
    assert await failure(renderer, snapshot, RenderSource("nope")) == "nope: app path does not exist"


async def test_removing_the_last_file_is_an_error_and_not_empty(repository: Repository, renderer: Renderer) -> None:
    await render(renderer, repository.snapshot({"app/a.yaml": config_map("a"), "b": "1"}))
    assert "app: app path does not exist" in await failure(renderer, repository.snapshot({"app/a.yaml": None}))


async def test_the_root_of_the_repository_can_be_the_source(repository: Repository, renderer: Renderer) -> None:
    snapshot = repository.snapshot({"a.yaml": config_map("a"), "d/b.yaml": config_map("b")})
    assert names(await render(renderer, snapshot, RenderSource(""))) == ["a"]
    assert names(await render(renderer, snapshot, RenderSource("", recurse=True))) == ["a", "b"]


async def test_all_broken_files_are_named_with_their_lines(repository: Repository, renderer: Renderer) -> None:
    bad = "apiVersion: v1\nkind: A\nmetadata: {name: [}\n"
    snapshot = repository.snapshot({"app/a.yaml": config_map("a"), "app/b.yaml": bad, "app/c.yaml": "\n\n" + bad})
    message = await failure(renderer, snapshot)
    assert 'Failed to unmarshal "app/b.yaml": line 3: ' in message
    assert 'Failed to unmarshal "app/c.yaml": line 5: ' in message
    assert "app/a.yaml" not in message
    assert await failure(renderer, snapshot) == message


async def test_a_mended_file_renders(repository: Repository, renderer: Renderer) -> None:
    await failure(renderer, repository.snapshot({"app/a.yaml": "apiVersion: v1\nkind: A\nmetadata: [\n"}))
    assert names(await render(renderer, repository.snapshot({"app/a.yaml": config_map("a")}))) == ["a"]


@pytest.mark.parametrize("files", [{"app/Chart.yaml": "name: x"}, {"app/kustomization.yaml": "resources: []"}])
async def test_a_renderer_without_tools_says_so(
    repository: Repository, renderer: Renderer, files: dict[str, Content]
) -> None:
    assert "cannot be rendered here" in await failure(renderer, repository.snapshot(files))


async def test_a_chart_read_as_a_directory_is_a_directory(repository: Repository, renderer: Renderer) -> None:
    snapshot = repository.snapshot({"app/Chart.yaml": "name: x\n", "app/a.yaml": config_map("a")})
    assert names(await render(renderer, snapshot, render_source({"path": "app", "directory": {}}))) == ["a"]


HOSTILE: list[tuple[str, dict[str, Content], str]] = [
    ("absolute link", {"app/a.yaml": Link("/etc/passwd")}, "app/a.yaml: a link in this path is absolute"),
    ("link out", {"app/a.yaml": Link("../../../etc/passwd")}, "app/a.yaml: a link in this path leads out"),
    (
        "chain out",
        {"app/a.yaml": Link("../l1"), "l1": Link("d/l2"), "d/l2": Link("../../x")},
        "app/a.yaml: a link in this path leads out",
    ),
    ("circle", {"app/a.yaml": Link("a.yaml")}, "more than 40 links"),
    (
        "alias bomb",
        {
            "app/a.yaml": config_map("a")
            + "x0: &x0 [a,a,a,a,a,a,a,a,a]\n"
            + "".join(f"x{n}: &x{n} [{','.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 9))
        },
        "app/a.yaml",
    ),
    ("deep", {"app/a.yaml": config_map("a") + "x: " + "[" * 50_000}, " deep"),
    (
        "documents",
        {"app/a.yaml": "a: 1\n---\n" * 100_000},
        "more than 50000 documents (limit of documents in one file)",
    ),
    ("giant", {"app/a.yaml": "#" * 10_000_001}, "exceeded max combined manifest file size: 10000001 bytes in 1 files"),
    ("not text", {"app/a.yaml": config_map("a").encode() + b"x: \xff\xff\n"}, 'Failed to unmarshal "app/a.yaml": '),
    ("merge of itself", {"app/a.yaml": config_map("a") + "x: &x\n  <<: *x\n"}, "app/a.yaml"),
]


@pytest.mark.parametrize(("files", "says"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
async def test_hostile_files_are_an_error_that_names_them(
    repository: Repository, renderer: Renderer, files: dict[str, Content], says: str
) -> None:
    message = await failure(renderer, repository.snapshot({**files, "good/a.yaml": config_map("good")}))
    assert says in message
    assert len(message) < 2000
    # and nobody else is hurt
    assert names(await render(renderer, repository.snapshot({}), RenderSource("good"))) == ["good"]


async def test_a_worker_that_cannot_start_may_be_tried_again(repository: Repository, serve: Serve) -> None:
    async with serve(argv=("/nonexistent/python",)) as pool:
        renderer = Renderer(pool, clock=SystemClock())
        with pytest.raises(StageError, match="could not be started") as caught:
            await render(renderer, repository.snapshot({"app/a.yaml": config_map("a")}))
        assert caught.value.retry_after_s == 10.0


class MemoryStore:
    """A lasting store, for the length of a test."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    async def get(self, key: str) -> bytes | None:
        return self.rows.get(key)

    async def put(self, key: str, data: bytes) -> None:
        self.rows[key] = data


async def test_a_store_answers_after_a_restart_without_a_worker(
    repository: Repository, serve: Serve, tmp_path: Path
) -> None:
    store = MemoryStore()
    snapshot = repository.snapshot({"app/a.yaml": config_map("a")})
    async with serve() as pool:
        first = await render(Renderer(pool, clock=SystemClock(), store=store), snapshot)
    restarted = Renderer(pool, clock=SystemClock(), store=store)  # its pool is gone
    again = await render(restarted, snapshot)
    assert (again.objects, again.cached) == (first.objects, True)


async def test_a_damaged_or_swapped_entry_of_the_store_is_left_aside(repository: Repository, serve: Serve) -> None:
    store = MemoryStore()
    one = repository.snapshot({"app/a.yaml": config_map("a"), "two/b.yaml": config_map("b")})
    async with serve() as pool:
        renderer = Renderer(pool, clock=SystemClock(), store=store)
        a, b = await render(renderer, one), await render(renderer, one, RenderSource("two"))
        store.rows[a.key] = store.rows[b.key]
        store.rows[b.key] = store.rows[b.key][:-1]
        later = Renderer(pool, clock=SystemClock(), store=store)
        assert names(await render(later, one)) == ["a"]
        assert names(await render(later, one, RenderSource("two"))) == ["b"]


async def test_a_render_survives_being_written_and_read(repository: Repository, renderer: Renderer) -> None:
    rendered = await render(
        renderer, repository.snapshot({"app/a.yaml": config_map("a"), "app/b.yaml": config_map("b")})
    )
    assert decode_rendered(encode_rendered(rendered), key=rendered.key, revision=rendered.revision) == rendered


async def test_unchanged_knows_without_rendering(repository: Repository, renderer: Renderer) -> None:
    first = await render(renderer, repository.snapshot({"app/a.yaml": config_map("a")}))
    assert renderer.unchanged(repository.snapshot({"x": "1"}), APP, first.key, context=CONTEXT)
    assert not renderer.unchanged(repository.snapshot({"app/a.yaml": config_map("b")}), APP, first.key, context=CONTEXT)
    assert not renderer.unchanged(repository.snapshot({}), RenderSource("other"), first.key, context=CONTEXT)
