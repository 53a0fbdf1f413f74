"""A bare repository to push to, with a work tree beside it, as a developer has them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Jo Developer",
    "GIT_AUTHOR_EMAIL": "jo@example.com",
    "GIT_COMMITTER_NAME": "Jo Developer",
    "GIT_COMMITTER_EMAIL": "jo@example.com",
}


class GitRepository:
    """`url` is what an Application names; `commit` writes files, commits and pushes."""

    def __init__(self, root: Path) -> None:
        self.bare = root / "k8s-manifests.git"
        self.tree = root / "k8s-manifests"
        self._git(root, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git(root, "clone", "-q", str(self.bare), str(self.tree))
        self._git(self.tree, "checkout", "-q", "-b", "main")

    @property
    def url(self) -> str:
        """file:// URL of the bare repository."""
        return self.bare.as_uri()

    def commit(self, files: Mapping[str, str | None], message: str = "change") -> str:
        """Write files (None deletes), commit, push; the commit's SHA."""
        for name, text in files.items():
            path = self.tree / name
            if text is None:
                path.unlink()
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git(self.tree, "add", "-A")
        self._git(self.tree, "commit", "-q", "--allow-empty", "-m", message)
        return self.push()

    def push(self) -> str:
        """Push what is committed; the SHA of HEAD."""
        self._git(self.tree, "push", "-q", "origin", "main")
        return self._git(self.tree, "rev-parse", "HEAD").strip()

    def revert(self) -> str:
        """`git revert HEAD`, pushed."""
        self._git(self.tree, "revert", "--no-edit", "HEAD")
        return self.push()

    @staticmethod
    def _git(cwd: Path, *args: str) -> str:
        done = subprocess.run(
            ["git", *args], cwd=cwd, env=_ENV, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"git {' '.join(args)} failed: {done.stderr}")
        return done.stdout
