"""A repository to push to, and the loopback HTTP server from which every engine fetches it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import Program, clean_env, wait_for


@dataclass(frozen=True, slots=True)
class Push:
    """What a forge tells about one push. `url` is the repository's, as an Application names it."""

    url: str
    name: str
    before: str
    after: str
    paths: tuple[str, ...]


class Repository:
    """A bare repository and a work tree that pushes to it. Committing and pushing are apart, so that a push can be timed."""

    def __init__(self, root: Path, name: str, base_url: str) -> None:
        """Make it below `root`. Engines know it as `base_url/NAME.git`, or by its path where `base_url` is empty."""
        self.name = name
        self.bare, self._tree = root / f"{name}.git", root / f"{name}.tree"
        self.url = f"{base_url}/{name}.git" if base_url else self.bare.as_uri()
        root.mkdir(parents=True, exist_ok=True)
        self._git(root, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git(root, "init", "-q", "-b", "main", str(self._tree))
        self._git(self._tree, "remote", "add", "origin", str(self.bare))
        self._pushed = ""

    def commit(self, files: Mapping[str, str], message: str = "change", removed: Iterable[str] = ()) -> Push:
        """Write and remove files, and commit; what a push of it is."""
        for name, text in files.items():
            path = self._tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        gone = list(removed)
        for name in gone:
            (self._tree / name).unlink()
        self._git(self._tree, "add", "-A")
        self._git(self._tree, "commit", "-q", "-m", message)
        head = self._git(self._tree, "rev-parse", "HEAD").strip()
        return Push(self.url, self.name, self._pushed, head, (*files, *gone))

    def push(self, push: Push) -> None:
        """Push what is committed."""
        self._git(self._tree, "push", "-q", "origin", "main")
        self._pushed = push.after

    @staticmethod
    def _git(cwd: Path, *args: str) -> str:
        who = {"NAME": "bench", "EMAIL": "bench@example.com"}
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        env |= {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        done = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
        if done.returncode != 0:
            raise RuntimeError(f"git {' '.join(args)}: {done.stderr}")
        return done.stdout


class GitServer:
    """git's http-backend behind `bench.gitserver`, a process of its own so that its cost is nobody else's."""

    def __init__(self, root: Path, log: Path) -> None:
        """Start it over the bare repositories below `root`."""
        root.mkdir(parents=True, exist_ok=True)
        port = root / "port"
        command = [sys.executable, "-m", "bench.gitserver", str(root), str(port)]
        self._program = Program(command, log=log, env=clean_env(PYTHONPATH=os.getcwd()))
        wait_for(port, self._program)
        self.url = f"http://127.0.0.1:{port.read_text()}"

    @property
    def pid(self) -> int:
        """Its process."""
        return self._program.pid

    def stop(self) -> None:
        """End it."""
        self._program.stop()
