"""`tiphys image`: what is typed, what is printed, how it ends."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tiphys.cli.main import run

KUSTOMIZATION = "resources: []\nimages:\n- name: web\n  newTag: v1\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work tree on branch main, with an identity, and the current folder in it."""
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Jo")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "jo@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    root = tmp_path / "tree"
    (root / "apps/my-app").mkdir(parents=True)
    (root / "apps/my-app/kustomization.yaml").write_text(KUSTOMIZATION)
    _git(root, "init", "-q", "-b", "main")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "first")
    monkeypatch.chdir(root)
    return root


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["image", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_set_edits_the_file_and_says_what_changed(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time it says so, and that is no failure."""
    words = ("set", "web=mirror/web:v2", "--path", "apps/my-app")
    assert _run(capsys, *words) == (0, "apps/my-app/kustomization.yaml:3: web:v1 -> mirror/web:v2\n", "")
    assert "newName: mirror/web\n  newTag: v2\n" in (tree / "apps/my-app/kustomization.yaml").read_text()
    assert _run(capsys, *words) == (0, "unchanged\n", "")
    assert _git(tree, "rev-list", "--count", "HEAD") == "1"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", ["--path", "apps/my-app"]),
        ("apps", ["--path", "my-app"]),
        ("apps/my-app", []),
        ("apps/my-app", ["--path", "apps/my-app"]),
        ("/", ["--repo", "TREE", "--path", "apps/my-app"]),
        (".", ["--path", "TREE/apps/my-app/kustomization.yaml"]),
    ],
)
def test_the_path_is_seen_from_the_current_folder_or_the_root(
    tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, folder: str, words: list[str]
) -> None:
    """As one stands in the work tree, and as an Application writes it."""
    monkeypatch.chdir(tree / folder)
    code, out, _ = _run(capsys, "list", "-o", "json", *(word.replace("TREE", str(tree)) for word in words))
    assert code == 0
    assert json.loads(out) == [
        {"path": "apps/my-app/kustomization.yaml", "line": 3, "image": "web:v1", "where": "images[web]"}
    ]


def test_commit_with_a_message(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON names the commit."""
    code, out, _ = _run(
        capsys, "set", "web:v2", "--path", "apps/my-app", "--commit", "-m", "chore: web v2", "-o", "json"
    )
    found = json.loads(out)
    assert code == 0
    assert found["commit"] == _git(tree, "rev-parse", "HEAD")
    assert (found["branch"], found["pushed"], found["changed"]) == ("main", False, True)
    assert found["files"][0]["changes"][0]["after"] == "web:v2"
    assert _git(tree, "log", "-1", "--format=%s") == "chore: web v2"


def test_a_dry_run_writes_nothing(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what it would do."""
    code, out, _ = _run(capsys, "set", "web:v2", "--path", "apps/my-app", "--commit", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "dry run: nothing was written")
    assert (tree / "apps/my-app/kustomization.yaml").read_text() == KUSTOMIZATION


def test_a_folder_outside_git_can_be_edited_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a commit no repository is needed."""
    (tmp_path / "kustomization.yaml").write_text(KUSTOMIZATION)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert _run(capsys, "set", "web:v2")[:2] == (0, "kustomization.yaml:3: web:v1 -> web:v2\n")


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["set", "web"], 20, "invalid format of image 'web'"),
        (["set"], 1, "Missing argument"),
        (["set", "web:v2", "--path", "gone"], 20, "gone: no such file or folder"),
        (["set", "web:v2", "--path", "../.."], 20, "not in the work tree"),
        (["set", "web:v2", "--url", "file:///x", "--repo", "."], 1, "exclude each other"),
        (["set", "web:v2", "--url", "file:///x"], 20, "--url needs --branch"),
        (
            ["set", "web:v2", "--url", "file:///x", "--branch", "main", "--path", "../x"],
            20,
            "not a path in a repository",
        ),
        (["set", "web:v2", "--url", "file:///nowhere", "--branch", "main"], 20, "git fetch: "),
        (["set", "web:v2", "--path", "apps/my-app", "--push"], 20, "git fetch: "),
        (["list", "--path", "gone"], 20, "gone: no such file or folder"),
    ],
)
def test_what_cannot_be_done_is_said(
    tree: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, problem: str
) -> None:
    """Nothing is written then."""
    ended, out, err = _run(capsys, *words)
    assert (ended, out) == (code, "")
    assert problem in err
    assert _git(tree, "status", "--porcelain") == ""


def test_a_detached_head_needs_a_branch(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As CI often checks out."""
    _git(tree, "checkout", "-q", "--detach")
    code, _, err = _run(capsys, "set", "web:v2", "--path", "apps/my-app", "--push")
    assert code == 20
    assert "HEAD is on no branch; say with --branch where to push" in err
