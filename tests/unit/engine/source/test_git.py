"""(repository, revision expression) -> Snapshot, against repositories made by the git program."""

from __future__ import annotations

import asyncio
import base64
import http.server
import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tests.unit.engine.source.trees import Bare

from tiphys.engine.source.access import GitCredentials
from tiphys.engine.source.git import GitRepositories
from tiphys.engine.states import StageError
from tiphys.runtime.clock import SystemClock
from tiphys.runtime.process import Completed, run_program
from tiphys.runtime.secret import Secret


async def test_every_kind_of_expression_leads_to_its_commit(bare: Bare, repositories: GitRepositories) -> None:
    one = bare.commit({"a": "1"})
    bare.git("tag", "light", one)
    bare.git("tag", "-a", "-m", "annotated", "v1.0", one)
    two = bare.commit({"a": "2"})
    other = bare.commit({"a": "3"}, branch="feature/x")
    bare.git("update-ref", "refs/pull/7/head", other)
    expected = {
        "": two,
        "HEAD": two,
        "main": two,
        "refs/heads/main": two,
        "feature/x": other,
        "light": one,
        "v1.0": one,
        "refs/tags/v1.0": one,
        "refs/pull/7/head": other,
        one: one,
        one.upper(): one,
        two[:7]: two,
        one[:12]: one,
    }
    found = {expression: await repositories.revision(bare.url, expression) for expression in expected}
    assert found == expected


async def test_a_branch_wins_over_a_tag_of_the_same_name(bare: Bare, repositories: GitRepositories) -> None:
    one = bare.commit({"a": "1"})
    bare.git("tag", "both", one)
    two = bare.commit({"a": "2"}, branch="both")
    assert await repositories.revision(bare.url, "both") == two


async def test_a_commit_that_no_branch_reaches_is_fetched_by_its_sha(bare: Bare, repositories: GitRepositories) -> None:
    lost = bare.commit({"a": "1"}, branch="gone")
    bare.commit({"a": "2"})
    bare.git("update-ref", "-d", "refs/heads/gone")
    bare.git("config", "uploadpack.allowAnySHA1InWant", "true")
    assert await repositories.revision(bare.url, lost) == lost


async def test_an_unknown_revision_says_what_there_is(bare: Bare, repositories: GitRepositories) -> None:
    bare.commit({"a": "1"})
    bare.commit({"a": "1"}, branch="release")
    with pytest.raises(StageError) as caught:
        await repositories.revision(bare.url, "mian")
    assert (caught.value.stage, caught.value.reason) == ("source", "ComparisonError")
    assert "unable to resolve 'mian' to a commit SHA" in caught.value.message
    assert "known branches: main, release" in caught.value.message


@pytest.mark.parametrize("expression", ["--upload-pack=x", "a..b", "HEAD~1", ":/fix", "main@{1}", "a b", ">=1 <"])
async def test_expressions_that_are_more_than_a_name_are_refused(
    bare: Bare, repositories: GitRepositories, expression: str
) -> None:
    bare.commit({"a": "1"})
    with pytest.raises(StageError) as caught:
        await repositories.revision(bare.url, expression)
    assert caught.value.reason == "InvalidSpecError"


async def test_unknown_shas_and_ambiguous_ones_are_told(bare: Bare, repositories: GitRepositories) -> None:
    bare.commit({"a": "1"})
    for sha in ("0123456789012345678901234567890123456789", "0123456"):
        with pytest.raises(StageError, match=f"unable to resolve '{sha}'.*no such commit"):
            await repositories.revision(bare.url, sha)


async def test_a_tag_on_a_file_is_no_revision(bare: Bare, repositories: GitRepositories) -> None:
    sha = bare.commit({"a": "1"})
    bare.git("tag", "blob", bare.git("rev-parse", f"{sha}:a"))
    with pytest.raises(StageError, match="leads to a blob, not to a commit"):
        await repositories.revision(bare.url, "blob")


async def test_an_empty_repository_says_so_and_works_after_the_first_push(
    bare: Bare, repositories: GitRepositories
) -> None:
    with pytest.raises(StageError, match="has no commits yet; push a branch"):
        await repositories.revision(bare.url, "HEAD")
    sha = bare.commit({"a": "1"})
    assert await repositories.revision(bare.url, "HEAD", refresh=True) == sha


async def test_a_head_that_names_no_branch_leaves_the_branches_usable(
    bare: Bare, repositories: GitRepositories
) -> None:
    sha = bare.commit({"a": "1"}, branch="trunk")
    assert await repositories.revision(bare.url, "trunk") == sha
    with pytest.raises(StageError, match=r"names a branch that does not exist; set targetRevision .* trunk"):
        await repositories.revision(bare.url, "HEAD")


async def test_a_push_is_seen_with_refresh_and_not_without(bare: Bare, repositories: GitRepositories) -> None:
    one = bare.commit({"a": "1"})
    assert await repositories.revision(bare.url, "main", refresh=True) == one
    two = bare.commit({"a": "2"})
    assert await repositories.revision(bare.url, "main") == one
    snapshot = await repositories.snapshot(bare.url, "main", refresh=True)
    assert (snapshot.revision, snapshot.repo_url) == (two, bare.url)
    (entry,) = snapshot.tree.entries("", recurse=True)
    assert snapshot.tree.read(entry.oid) == b"2"


async def test_deleted_branches_are_gone_and_forced_ones_moved(bare: Bare, repositories: GitRepositories) -> None:
    bare.commit({"a": "1"})
    bare.commit({"a": "2"}, branch="dir")
    await repositories.revision(bare.url, "dir", refresh=True)
    bare.git("update-ref", "-d", "refs/heads/dir")
    below = bare.commit({"a": "3"}, branch="dir/below")
    forced = bare.commit({"b": "4"}, fresh=True)
    assert await repositories.revision(bare.url, "dir/below", refresh=True) == below
    assert await repositories.revision(bare.url, "main") == forced
    with pytest.raises(StageError, match="unable to resolve 'dir'"):
        await repositories.revision(bare.url, "dir")


async def test_old_snapshots_stay_readable_after_pushes_and_packing(bare: Bare, repositories: GitRepositories) -> None:
    bare.commit({"a": "old"})
    snapshot = await repositories.snapshot(bare.url, "main", refresh=True)
    bare.commit({"a": "new"}, fresh=True)
    bare.git("gc", "-q", "--prune=now")
    await repositories.revision(bare.url, "main", refresh=True)
    (entry,) = snapshot.tree.entries("", recurse=True)
    assert snapshot.tree.read(entry.oid) == b"old"


async def test_changed_compares_a_path_of_two_commits(bare: Bare, repositories: GitRepositories) -> None:
    one = bare.commit({"a/x": "1", "b/x": "1"})
    two = bare.commit({"b/x": "2"})
    assert not await repositories.changed(bare.url, one, two, "a")
    assert await repositories.changed(bare.url, one, two, "b")
    assert not await repositories.changed(bare.url, one, two, "missing")
    assert await repositories.changed(bare.url, one, two, "")


async def test_commit_info_is_what_people_ask_for(bare: Bare, repositories: GitRepositories) -> None:
    sha = bare.commit({"a": "1"}, message="Say hello\n\nBecause.\n")
    bare.git("tag", "v2", sha)
    bare.git("tag", "-a", "-m", "x", "v1", sha)
    info = await repositories.commit_info(bare.url, sha)
    assert (info.sha, info.author, info.message, info.tags) == (
        sha,
        "Jo Developer <jo@example.com>",
        "Say hello\n\nBecause.",
        ("v1", "v2"),
    )
    assert info.date.isoformat() == "2023-11-15T00:13:20+02:00"


async def test_an_unreachable_repository_is_told_with_a_time_to_retry(
    tmp_path: Path, repositories: GitRepositories
) -> None:
    delays = []
    for _ in range(2):
        with pytest.raises(StageError) as caught:
            await repositories.snapshot((tmp_path / "nowhere").as_uri(), "main", refresh=True)
        assert caught.value.reason == "ComparisonError"
        assert "there is no Git repository there; check repoURL" in caught.value.message
        delays.append(caught.value.retry_after_s)
    assert delays == [5.0, 10.0]


async def test_connection_refused_is_told_without_credentials(repositories: GitRepositories) -> None:
    with pytest.raises(StageError) as caught:
        await repositories.snapshot("http://jo:s3cret-word@127.0.0.1:9/a.git", "main", refresh=True)
    assert "connection refused" in caught.value.message
    assert "s3cret-word" not in caught.value.message
    assert "127.0.0.1:9/a.git" in caught.value.message


async def test_local_repositories_need_permission(bare: Bare, tmp_path: Path) -> None:
    refusing = GitRepositories(tmp_path / "m", clock=SystemClock())
    with pytest.raises(StageError, match="file:// repositories are refused here"):
        await refusing.snapshot(bare.url, "main", refresh=True)


async def test_a_missing_git_program_is_told(bare: Bare, tmp_path: Path) -> None:
    lost = GitRepositories(tmp_path / "m", clock=SystemClock(), allow_file_urls=True, git="git-that-is-not-there")
    with pytest.raises(StageError, match="git cannot be run: git-that-is-not-there"):
        await lost.snapshot(bare.url, "main", refresh=True)


async def test_locks_left_by_a_killed_fetch_and_a_broken_mirror_do_not_last(bare: Bare, tmp_path: Path) -> None:
    def engine() -> GitRepositories:
        return GitRepositories(
            tmp_path / "m", clock=SystemClock(), allow_file_urls=True, env={"PATH": os.environ["PATH"]}
        )

    bare.commit({"a": "1"})
    await engine().snapshot(bare.url, "main", refresh=True)
    (mirror,) = (tmp_path / "m").iterdir()
    for lock in ("packed-refs.lock", "refs/heads/main.lock"):
        (mirror / lock).touch()
    two = bare.commit({"a": "2"})
    assert await engine().revision(bare.url, "main", refresh=True) == two
    for pack in [*(mirror / "objects").rglob("*.pack"), *(mirror / "objects").rglob("*.idx")]:
        pack.unlink()
    for loose in (mirror / "objects").glob("??/*"):
        loose.chmod(0o600)
        loose.write_bytes(b"")
    (mirror / "HEAD").write_text("garbage")
    three = bare.commit({"a": "3"})
    snapshot = await engine().snapshot(bare.url, "main", refresh=True)
    assert snapshot.revision == three
    assert len(snapshot.tree.entries("", recurse=True)) == 1


class Counting:
    """Runs programs, remembers command lines and environments."""

    def __init__(self) -> None:
        self.argvs: list[list[str]] = []
        self.envs: list[Mapping[str, str]] = []

    async def __call__(
        self, argv: list[str], *, env: Mapping[str, str], timeout_s: float, output_limit_bytes: int
    ) -> Completed:
        self.argvs.append(argv)
        self.envs.append(env)
        return await run_program(argv, env=env, timeout_s=timeout_s, output_limit_bytes=output_limit_bytes)


async def test_callers_that_wait_share_one_fetch_and_each_sees_its_push(bare: Bare, tmp_path: Path) -> None:
    programs = Counting()
    repositories = GitRepositories(
        tmp_path / "m",
        clock=SystemClock(),
        allow_file_urls=True,
        env={"PATH": os.environ["PATH"]},
        run_process=programs,
    )
    bare.commit({"a": "1"})
    await repositories.revision(bare.url, "main", refresh=True)
    programs.argvs.clear()
    sha = bare.commit({"a": "2"})
    found = await asyncio.gather(*(repositories.revision(bare.url, "main", refresh=True) for _ in range(50)))
    assert set(found) == {sha}
    assert len(programs.argvs) <= 2  # the one under way may be older than the push, so one more


async def test_many_callers_of_a_new_repository_get_along(bare: Bare, tmp_path: Path) -> None:
    sha = bare.commit({"a": "1"})
    for number in range(5):
        repositories = GitRepositories(
            tmp_path / f"m{number}", clock=SystemClock(), allow_file_urls=True, env={"PATH": os.environ["PATH"]}
        )
        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(repositories.revision(bare.url, "main", refresh=n % 2 == 0)) for n in range(8)]
            await asyncio.sleep(0.001 * number)
            asking[0].cancel()
        assert {task.result() for task in asking[1:]} == {sha}


async def test_a_fetch_that_was_killed_does_not_stand_in_the_way_of_the_next(bare: Bare, tmp_path: Path) -> None:
    async def hanging(
        argv: list[str], *, env: Mapping[str, str], timeout_s: float, output_limit_bytes: int
    ) -> Completed:
        """Git that takes a lock and then hangs, the first time."""
        lock = Path(env["GIT_DIR"]) / "packed-refs.lock"
        if not (tmp_path / "hung").exists():
            (tmp_path / "hung").touch()
            lock.touch()
            argv, timeout_s = ["sleep", "600"], 0.05
        return await run_program(argv, env=env, timeout_s=timeout_s, output_limit_bytes=output_limit_bytes)

    repositories = GitRepositories(
        tmp_path / "m",
        clock=SystemClock(),
        allow_file_urls=True,
        env={"PATH": os.environ["PATH"]},
        run_process=hanging,
    )
    bare.commit({"a": "1"})
    bare.git("pack-refs", "--all")
    with pytest.raises(StageError, match="the server did not answer in time") as caught:
        await repositories.revision(bare.url, "main", refresh=True)
    assert caught.value.retry_after_s == 5.0
    sha = bare.commit({"a": "2"})
    assert await repositories.revision(bare.url, "main", refresh=True) == sha
    bare.git("update-ref", "-d", "refs/heads/main")
    with pytest.raises(StageError, match="no commits yet"):
        await repositories.revision(bare.url, "HEAD", refresh=True)


async def test_a_cancelled_caller_does_not_take_the_others_with_it(bare: Bare, repositories: GitRepositories) -> None:
    sha = bare.commit({"a": "1"})
    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(repositories.revision(bare.url, "main", refresh=True))
        second = tasks.create_task(repositories.revision(bare.url, "main", refresh=True))
        await asyncio.sleep(0.003)
        first.cancel()
    assert second.result() == sha


class _Dumb(http.server.SimpleHTTPRequestHandler):
    required: str = ""
    seen: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        given = self.headers.get("Authorization", "")
        type(self).seen.append(given)
        if self.required and given != self.required:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(bare: Bare) -> Iterator[tuple[str, type[_Dumb]]]:
    """The repository's folder over http on loopback, read by git's dumb protocol."""

    class Handler(_Dumb):
        seen: list[str] = []  # noqa: RUF012

        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, directory=str(bare.folder.parent), **kwargs)  # type: ignore[arg-type]

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/repo.git", Handler
    server.shutdown()
    thread.join()
    server.server_close()


async def test_http_is_fetched_anonymously(
    bare: Bare, web: tuple[str, type[_Dumb]], repositories: GitRepositories
) -> None:
    sha = bare.commit({"a": "1"})
    bare.git("update-server-info")
    assert await repositories.revision(web[0], "main", refresh=True) == sha
    assert set(web[1].seen) == {""}


async def test_credentials_reach_the_server_and_no_command_line(
    bare: Bare, web: tuple[str, type[_Dumb]], tmp_path: Path
) -> None:
    url, handler = web
    sha = bare.commit({"a": "1"})
    bare.git("update-server-info")
    handler.required = "Basic " + base64.b64encode(b"jo:s3cret-word").decode()
    programs = Counting()
    repositories = GitRepositories(
        tmp_path / "m", clock=SystemClock(), env={"PATH": os.environ["PATH"]}, run_process=programs
    )
    with pytest.raises(StageError, match="authentication required"):
        await repositories.revision(url, "main", refresh=True)
    credentials = GitCredentials("jo", Secret("s3cret-word"))
    assert await repositories.revision(url, "main", refresh=True, credentials=credentials) == sha
    with_userinfo = url.replace("://", "://jo:s3cret-word@")
    assert await repositories.revision(with_userinfo, "main", refresh=True) == sha
    assert not [argument for argv in programs.argvs for argument in argv if "s3cret" in argument]
    with pytest.raises(StageError, match="authentication required") as caught:
        await repositories.revision(
            url, "main", refresh=True, credentials=GitCredentials("jo", Secret("wrong-password"))
        )
    assert "wrong-password" not in caught.value.message


async def test_git_sees_nothing_of_the_engines_environment(
    bare: Bare, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINE_TOKEN", "s3cret-word")
    programs = Counting()
    repositories = GitRepositories(
        tmp_path / "m",
        clock=SystemClock(),
        allow_file_urls=True,
        env={"PATH": os.environ["PATH"]},
        run_process=programs,
    )
    bare.commit({"a": "1"})
    await repositories.revision(bare.url, "main", refresh=True)
    (env,) = programs.envs
    assert not [value for value in env.values() if "s3cret" in value]
    assert (env["GIT_TERMINAL_PROMPT"], env["GIT_CONFIG_NOSYSTEM"], env["GIT_ALLOW_PROTOCOL"]) == ("0", "1", "file")


async def test_readers_with_other_credentials_do_not_share_a_mirror(
    bare: Bare, web: tuple[str, type[_Dumb]], tmp_path: Path
) -> None:
    url, handler = web
    sha = bare.commit({"a": "1"})
    bare.git("update-server-info")
    handler.required = "Basic " + base64.b64encode(b"jo:s3cret-word").decode()
    repositories = GitRepositories(tmp_path / "m", clock=SystemClock(), env={"PATH": os.environ["PATH"]})
    credentials = GitCredentials("jo", Secret("s3cret-word"))
    await repositories.revision(url, sha, credentials=credentials)
    with pytest.raises(StageError, match="authentication required"):
        await repositories.revision(url, sha)
