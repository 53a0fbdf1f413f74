"""The example repository."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tiphys.devenv.example import ExampleError, application, ensure_repository


def test_the_repository_is_made_once(tmp_path: Path) -> None:
    """Later it is the user's and stays as it is."""
    bare = tmp_path / "config.git"
    env = {"PATH": os.environ["PATH"]}
    assert ensure_repository(bare, env)
    head = _git(bare, "rev-parse", "main")
    assert not ensure_repository(bare, env)
    assert _git(bare, "rev-parse", "main") == head
    files = _git(bare, "ls-tree", "-r", "--name-only", "main").split()
    assert {"apps/my-app/deployment.yaml", "apps/my-app/service.yaml"} <= set(files)


def test_without_git_nothing_is_left_behind(tmp_path: Path) -> None:
    """And the message says how to get it."""
    with pytest.raises(ExampleError, match="git is not on PATH"):
        ensure_repository(tmp_path / "config.git", {"PATH": str(tmp_path)})
    assert list(tmp_path.iterdir()) == []


def test_the_application_is_the_guide_s(tmp_path: Path) -> None:
    """With its finalizer, automation and retry."""
    spec = application("file:///r")["spec"]
    assert spec["source"] == {"repoURL": "file:///r", "targetRevision": "main", "path": "apps/my-app"}
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}


def _git(bare: Path, *args: str) -> str:
    return subprocess.run(
        ["git", "--git-dir", str(bare), *args], capture_output=True, text=True, check=True, timeout=30
    ).stdout.strip()
