"""Edits on top of a remote branch: nothing is lost when others push, nothing is pushed that was not asked for."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tiphys.imageset.edits import parse_argument
from tiphys.imageset.files import Request, list_images
from tiphys.imageset.gitrepo import Git, GitError, PushRaceError, Tip, WorkTree, commit_on, fetch_tip, push
from tiphys.imageset.run import Target, clone_for_push, follow, set_and_push, set_in_work_tree
from tiphys.imageset.yamltext import EditError
from tiphys.runtime.clock import SystemClock

ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Jo",
    "GIT_AUTHOR_EMAIL": "jo@example.com",
    "GIT_COMMITTER_NAME": "Jo",
    "GIT_COMMITTER_EMAIL": "jo@example.com",
}
KUSTOMIZATION = "resources: [x.yaml]\nimages:\n- name: web\n  newTag: v1  # by CI\n"
ORIGIN = Target("origin", "main")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, env=ENV, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Remote:
    """A bare repository, and work trees of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bare = root / "remote.git"
        _git(root, "init", "-q", "--bare", "-b", "main", str(self.bare))
        _git(self.bare, "config", "uploadpack.allowFilter", "true")
        _git(self.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
        self.tree = self.clone("first")
        self.commit({"app/kustomization.yaml": KUSTOMIZATION, "other/file": "1\n"})

    @property
    def url(self) -> str:
        return self.bare.as_uri()

    def clone(self, name: str) -> Path:
        _git(self.root, "clone", "-q", self.url, name)
        tree = self.root / name
        _git(tree, "checkout", "-q", "-B", "main")
        return tree

    def commit(self, files: Mapping[str, str]) -> str:
        for name, text in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        _git(self.tree, "add", "-A")
        _git(self.tree, "commit", "-q", "-m", "change")
        _git(self.tree, "push", "-q", "-u", "origin", "main")
        return _git(self.tree, "rev-parse", "HEAD")

    def show(self, path: str) -> str:
        return _git(self.bare, "show", f"main:{path}") + "\n"

    def count(self) -> int:
        return int(_git(self.bare, "rev-list", "--count", "main"))


@pytest.fixture
def remote(tmp_path: Path) -> Remote:
    return Remote(tmp_path)


def _request(*images: str, path: str = "app", **more: object) -> Request:
    return Request(path, tuple(parse_argument(image) for image in images), **more)  # type: ignore[arg-type]


def _half() -> float:
    return 0.5


async def _cloned(remote: Remote, name: str) -> Git:
    folder = remote.root / name
    folder.mkdir()
    return await clone_for_push(folder, remote.url, "main", dict(ENV))


async def test_the_edit_is_a_commit_on_the_tip(remote: Remote) -> None:
    """One file changes, the parent is what was there, and nothing is needed but the address."""
    before = _git(remote.bare, "rev-parse", "main")
    git = await _cloned(remote, "bare")

    result = await set_and_push(
        git, ORIGIN, _request("web:v2"), message="", clock=SystemClock(), jitter=_half, shallow=True
    )

    assert result.pushed
    assert result.attempts == 1
    assert remote.show("app/kustomization.yaml") == KUSTOMIZATION.replace("v1", "v2")
    assert _git(remote.bare, "rev-parse", "main~1") == before
    assert _git(remote.bare, "diff", "--name-only", "main~1", "main") == "app/kustomization.yaml"
    assert _git(remote.bare, "log", "-1", "--format=%an <%ae> %s", "main") == "Jo <jo@example.com> Set image web:v2"
    assert _git(git.folder, "for-each-ref", "refs/tiphys") == ""


async def test_nothing_to_change_makes_no_commit(remote: Remote) -> None:
    """Asked twice, done once."""
    git = await _cloned(remote, "bare")
    result = await set_and_push(
        git, ORIGIN, _request("web:v1"), message="", clock=SystemClock(), jitter=_half, shallow=True
    )
    assert (result.edits, result.pushed, remote.count()) == ((), False, 1)


async def test_a_dry_run_pushes_nothing(remote: Remote) -> None:
    """It says what would change."""
    git = await _cloned(remote, "bare")
    result = await set_and_push(
        git, ORIGIN, _request("web:v2"), message="", clock=SystemClock(), jitter=_half, dry_run=True
    )
    assert [change.after for edit in result.edits for change in edit.changes] == ["web:v2"]
    assert remote.count() == 1


async def test_a_commit_that_came_in_between_is_kept(remote: Remote) -> None:
    """The push of a commit on the old tip is refused, and the edit is made again on the new one."""
    git = await _cloned(remote, "bare")
    tip = await fetch_tip(git, "origin", "main", ref="refs/tiphys/tip", shallow=True)
    commit = await commit_on(git, tip, {"app/kustomization.yaml": b"x: y\n"}, "m", index=remote.root / "index")
    remote.commit({"other/file": "2\n"})
    with pytest.raises(PushRaceError):
        await push(git, "origin", "main", commit=commit, expected=tip)
    assert remote.show("other/file") == "2\n"

    await set_and_push(git, ORIGIN, _request("web:v2"), message="", clock=SystemClock(), jitter=_half, shallow=True)

    assert remote.show("other/file") == "2\n"
    assert "newTag: v2  # by CI" in remote.show("app/kustomization.yaml")


async def test_a_branch_that_was_set_back_is_not_brought_back(remote: Remote) -> None:
    """A commit that somebody took away does not return with ours: the id is compared, not the ancestry."""
    git = await _cloned(remote, "bare")
    remote.commit({"other/file": "wrong\n"})
    tip = await fetch_tip(git, "origin", "main", ref="refs/tiphys/tip", shallow=False)
    commit = await commit_on(git, tip, {"app/kustomization.yaml": b"x: y\n"}, "m", index=remote.root / "index")
    _git(remote.bare, "update-ref", "refs/heads/main", f"{tip}~1")

    with pytest.raises(PushRaceError):
        await push(git, "origin", "main", commit=commit, expected=tip)

    assert remote.show("other/file") == "1\n"


async def test_ten_pushers_at_once_lose_nothing(remote: Remote) -> None:
    """Ten processes of CI, ten images, one file: ten commits, and every tag is there."""

    async def one(number: int) -> int:
        git = await _cloned(remote, f"bare-{number}")
        result = await set_and_push(
            git,
            ORIGIN,
            _request(f"app-{number}:v{number}"),
            message=f"app-{number}",
            clock=SystemClock(),
            jitter=lambda: (number * 0.137) % 1,
            shallow=True,
        )
        assert result.pushed
        return result.attempts

    attempts = await asyncio.gather(*(one(number) for number in range(10)))

    text = remote.show("app/kustomization.yaml")
    assert all(f"- name: app-{number}\n  newTag: v{number}\n" in text for number in range(10))
    assert "newTag: v1  # by CI" in text
    assert remote.count() == 11
    assert len(attempts) == 10


async def test_pushers_in_one_work_tree_do_not_stand_in_each_other_s_way(remote: Remote) -> None:
    """Jobs that share a clone: every edit lands, and the clone is in order afterwards."""
    git = Git(remote.tree, ENV)

    async def one(number: int) -> None:
        result = await set_and_push(
            git,
            ORIGIN,
            _request(f"app-{number}:v{number}"),
            message="m",
            clock=SystemClock(),
            jitter=lambda: (number * 0.137) % 1,
        )
        assert result.pushed

    await asyncio.gather(*(one(number) for number in range(4)))

    text = remote.show("app/kustomization.yaml")
    assert all(f"- name: app-{number}\n  newTag: v{number}\n" in text for number in range(4))
    assert _git(remote.tree, "for-each-ref", "refs/tiphys") == ""
    assert _git(remote.tree, "fsck", "--no-dangling") == ""


async def test_a_hook_that_refuses_is_no_race(remote: Remote) -> None:
    """A protected branch is said at once, in the server's words."""
    hook = remote.bare / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho branch is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    git = await _cloned(remote, "bare")
    with pytest.raises(GitError, match="branch is protected") as raised:
        await set_and_push(git, ORIGIN, _request("web:v2"), message="", clock=SystemClock(), jitter=_half)
    assert not isinstance(raised.value, PushRaceError)


async def test_a_branch_that_is_not_there_is_said(remote: Remote) -> None:
    """Git names it."""
    git = await _cloned(remote, "bare")
    with pytest.raises(GitError, match="gone"):
        await set_and_push(
            git, Target("origin", "gone"), _request("web:v2"), message="", clock=SystemClock(), jitter=_half
        )


async def test_credentials_in_an_address_are_not_shown(remote: Remote) -> None:
    """Neither in what git says nor in ours."""
    folder = remote.root / "bare"
    folder.mkdir()
    git = await clone_for_push(folder, "http://jo:hunter2@127.0.0.1:9/x.git", "main", dict(ENV))
    with pytest.raises(GitError) as raised:
        await set_and_push(git, ORIGIN, _request("web:v2"), message="", clock=SystemClock(), jitter=_half)
    assert "hunter2" not in str(raised.value)


async def test_the_work_tree_follows_what_was_pushed(remote: Remote) -> None:
    """A clean work tree on that branch is brought along, with commits of others too."""
    tree = remote.clone("second")
    remote.commit({"other/file": "2\n"})
    git = Git(tree, ENV)

    result = await set_and_push(git, ORIGIN, _request("web:v2"), message="m", clock=SystemClock(), jitter=_half)

    assert await follow(git, result, ORIGIN) == ""
    assert (tree / "other/file").read_text() == "2\n"
    assert "v2" in (tree / "app/kustomization.yaml").read_text()
    assert _git(tree, "status", "--porcelain") == ""


async def test_local_work_is_neither_pushed_nor_touched(remote: Remote) -> None:
    """Commits and changes that are only here stay here; the answer says so."""
    tree = remote.clone("second")
    (tree / "mine").write_text("1")
    _git(tree, "add", "mine")
    _git(tree, "commit", "-q", "-m", "mine")
    (tree / "app/kustomization.yaml").write_text("changed: here\n")
    git = Git(tree, ENV)

    result = await set_and_push(git, ORIGIN, _request("web:v2"), message="m", clock=SystemClock(), jitter=_half)

    assert "the local branch main was left as it is" in await follow(git, result, ORIGIN)
    assert (tree / "app/kustomization.yaml").read_text() == "changed: here\n"
    assert "mine" not in _git(remote.bare, "ls-tree", "--name-only", "main")


async def test_a_commit_holds_only_what_was_set(remote: Remote) -> None:
    """Other changes, also staged ones, stay as they are."""
    (remote.tree / "other/file").write_text("mine\n")
    _git(remote.tree, "add", "other/file")
    git = Git(remote.tree, ENV)

    result = await set_in_work_tree(git, _request("web:v2"), message="mine", dry_run=False)

    assert result.commit == _git(remote.tree, "rev-parse", "HEAD")
    assert _git(remote.tree, "show", "--name-only", "--format=%s") == "mine\n\napp/kustomization.yaml"
    assert _git(remote.tree, "diff", "--cached", "--name-only") == "other/file"
    assert remote.count() == 1


async def test_a_file_keeps_its_mode_and_its_link(remote: Remote) -> None:
    """What a link leads to is written."""
    real = remote.tree / "app/kustomization.yaml"
    real.chmod(0o755)
    (remote.tree / "linked").symlink_to("app")
    await set_in_work_tree(Git(remote.tree, ENV), _request("web:v2", path="linked"), message=None, dry_run=False)
    assert "v2" in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o755
    assert (remote.tree / "linked").is_symlink()


@pytest.mark.parametrize("in_commit", [False, True])
async def test_which_files_are_looked_at(remote: Remote, in_commit: bool) -> None:
    """A kustomization alone, a chart's values, or the manifests of the folder; the same on disk and in a commit."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: web:v1}]}\n"
    remote.commit(
        {
            "app/x.yaml": pod,
            "chart/Chart.yaml": "name: c\n",
            "chart/values.yaml": "image: {repository: web, tag: v1}\n",
            "chart/values-prod.yaml": "image: {tag: v1}\n",
            "chart/templates/x.yaml": "image: {{ .Values.x }}\n",
            "plain/a.yaml": pod,
            "plain/b.json": '{"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"image": "web:v1"}]}}\n',
            "plain/notes.yaml": "some: thing\n",
            "plain/sub/c.yml": pod,
            "empty/readme": "",
        }
    )
    git = Git(remote.tree, ENV)
    files = Tip(git, "HEAD") if in_commit else WorkTree(remote.tree)

    async def seen(path: str, *names: str, recurse: bool = False) -> list[str]:
        return [at for at, _ in await list_images(files, Request(path, (), names, recurse=recurse))]

    assert await seen("app") == ["app/kustomization.yaml"]
    assert await seen("app/x.yaml") == ["app/x.yaml"]
    assert await seen("chart") == ["chart/values.yaml"]
    assert await seen("plain") == ["plain/a.yaml", "plain/b.json"]
    assert await seen("plain", recurse=True) == ["plain/a.yaml", "plain/b.json", "plain/sub/c.yml"]
    assert await seen("", "plain/a.yaml", "chart/values.yaml") == ["plain/a.yaml", "chart/values.yaml"]
    assert await seen("empty") == []
    for path, problem in (("gone", "gone: no such file"), ("app/gone.yaml", "no such file")):
        with pytest.raises(EditError, match=problem):
            await seen(path)
    with pytest.raises(EditError, match="out of the repository"):
        await seen("app", "../../etc/passwd")


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (_request("nginx:1", path="plain"), "plain: no image nginx; there are busybox, web:v1"),
        (_request("nginx:1", path="empty"), "empty: no kustomization, no values and no manifests there"),
        (_request("web:1", path="broken"), "broken/a.yaml: while parsing"),
        (_request("web:1", "b:1", path="values.yaml", key="a.b"), "--key goes with one image"),
        (_request("web=x", path="values.yaml", key="a.b"), "--key needs an image with a tag"),
    ],
)
async def test_what_is_not_found_is_said(tmp_path: Path, request_: Request, problem: str) -> None:
    """With what there is instead."""
    pod = "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: web:v1}, {image: busybox}]}\n"
    for name, text in {
        "plain/a.yaml": pod,
        "empty/x": "",
        "broken/a.yaml": "apiVersion: v1\nkind: [\n",
        "values.yaml": "a: {b: c}\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(EditError, match=problem):
        await set_in_work_tree(Git(tmp_path, ENV), request_, message=None, dry_run=False)
