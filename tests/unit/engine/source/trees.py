"""Commits with any content, also content no work tree would hold, written by `git fast-import` in one go."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

GIT_ENV = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "Jo Developer",
    "GIT_AUTHOR_EMAIL": "jo@example.com",
    "GIT_COMMITTER_NAME": "Jo Developer",
    "GIT_COMMITTER_EMAIL": "jo@example.com",
}


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A commit of another repository."""

    sha: str = "1" * 40


Content = str | bytes | Link | Submodule | None


def git(folder: Path, *args: str, stdin: bytes | None = None) -> str:
    """Run git; its output without the line end."""
    done = subprocess.run(["git", *args], cwd=folder, env=GIT_ENV, input=stdin, capture_output=True, timeout=60)
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr.decode()}"
    return done.stdout.decode().strip()


class Bare:
    """A bare repository. `commit` replaces files on a branch without a work tree."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        git(folder, "init", "-q", "--bare", "-b", "main", ".")

    @property
    def url(self) -> str:
        """Its file:// URL."""
        return self.folder.as_uri()

    def commit(
        self, files: Mapping[str, Content], *, branch: str = "main", message: str = "change", fresh: bool = False
    ) -> str:
        """Write files (None deletes) on top of the branch, or alone with `fresh`; the SHA."""
        ref = f"refs/heads/{branch}"
        data = message.encode()
        lines = [
            f"commit {ref}\ncommitter Jo Developer <jo@example.com> 1700000000 +0200\ndata {len(data)}\n".encode()
            + data
        ]
        exists = subprocess.run(
            ["git", "rev-parse", "-q", "--verify", ref], cwd=self.folder, env=GIT_ENV, capture_output=True
        )
        if exists.returncode == 0 and not fresh:
            lines.append(f"\nfrom {ref}^0".encode())
        for path, content in files.items():
            lines.append(b"\n" + _row(path, content))
        git(self.folder, "fast-import", "--quiet", "--force", stdin=b"".join(lines) + b"\n")
        return git(self.folder, "rev-parse", ref)

    def git(self, *args: str) -> str:
        """Run git in it."""
        return git(self.folder, *args)


def _row(path: str, content: Content) -> bytes:
    if content is None:
        return f"D {path}".encode()
    if isinstance(content, Submodule):
        return f"M 160000 {content.sha} {path}".encode()
    mode, data = "100644", content
    if isinstance(content, Link):
        mode, data = "120000", content.target
    body = data.encode() if isinstance(data, str) else data
    assert isinstance(body, bytes)
    return f"M {mode} inline {path}\ndata {len(body)}\n".encode() + body
