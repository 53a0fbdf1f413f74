"""Git as `image set` needs it: commits on top of a branch's tip, pushed only if the branch is still where it was.

No work tree is touched. The git program is used, with the user's own settings, credentials and identity: what `git push`
may, this may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.runtime.process import Completed, ProcessError, run_program

QUICK_TIMEOUT_S = 30.0
REMOTE_TIMEOUT_S = 120.0
_REGULAR = ("100644", "100755")
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")
_RACE = ("[rejected]", "stale info", "fetch first", "cannot lock ref", "failed to update ref", "incorrect old value")
_IN_THE_WAY = ("cannot lock ref", ".lock': File exists", "shallow file has changed")


class GitError(Exception):
    """Git refused or failed; the message is what it said, without credentials."""


class PushRaceError(GitError):
    """Somebody else has moved the branch."""


class Git:
    """The git program in one folder. `env` is its environment, with the user's home for settings and credentials."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self._env = {**env, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}

    async def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout_s: float = QUICK_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Standard output of a git command. Raises GitError."""
        done = await self.attempt(*arguments, stdin=stdin, timeout_s=timeout_s, env=env)
        if done.exit_code != 0:
            raise GitError(_said(arguments, done))
        return done.stdout

    async def attempt(
        self,
        *arguments: str,
        stdin: bytes = b"",
        timeout_s: float = QUICK_TIMEOUT_S,
        env: Mapping[str, str] | None = None,
    ) -> Completed:
        """How a git command ended; a refusal is an answer."""
        try:
            return await run_program(
                ["git", *arguments],
                env={**self._env, **(env or {})},
                cwd=self.folder,
                stdin=stdin,
                timeout_s=timeout_s,
            )
        except ProcessError as error:
            raise GitError(f"git {arguments[0]}: {error}") from None

    async def line(self, *arguments: str) -> str:
        """The one line a command prints, empty when it fails."""
        done = await self.attempt(*arguments)
        return done.stdout.decode("utf-8", "replace").strip() if done.exit_code == 0 else ""


class Tip:
    """`Files` of one commit."""

    def __init__(self, git: Git, commit: str) -> None:
        self._git = git
        self.commit = commit

    async def listing(self, path: str) -> dict[str, bool] | None:
        """Names in a folder of the commit -> is it a folder itself."""
        done = await self._git.attempt("ls-tree", "-z", f"{self.commit}:{path}", timeout_s=REMOTE_TIMEOUT_S)
        if done.exit_code != 0:
            return None
        rows = [row.partition(b"\t") for row in done.stdout.split(b"\0") if row]
        return {name.decode("utf-8", "surrogateescape"): head.split()[1] == b"tree" for head, _, name in rows}

    async def read(self, paths: Sequence[str]) -> list[bytes]:
        """Contents of files of the commit."""
        if not paths:
            return []
        names = "".join(f"{self.commit}:{path}\n" for path in paths).encode("utf-8", "surrogateescape")
        # Objects that a partial clone left out come over the network.
        output = await self._git.run("cat-file", "--batch", stdin=names, timeout_s=REMOTE_TIMEOUT_S)
        found = []
        at = 0
        for path in paths:
            end = output.index(b"\n", at)
            head = output[at:end].split()
            if len(head) != 3 or head[1] != b"blob":
                raise GitError(f"{path}: not a file in {self.commit[:8]}")
            size = int(head[2])
            found.append(output[end + 1 : end + 1 + size])
            at = end + 1 + size + 1
        return found


class WorkTree:
    """`Files` on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    async def listing(self, path: str) -> dict[str, bool] | None:
        """Names in a folder -> is it a folder itself."""
        folder = self.root / path
        if not folder.is_dir():
            return None
        return {entry.name: entry.is_dir() for entry in folder.iterdir()}

    async def read(self, paths: Sequence[str]) -> list[bytes]:
        """Contents of files."""
        return [(self.root / path).read_bytes() for path in paths]


async def fetch_tip(git: Git, remote: str, branch: str, *, ref: str, shallow: bool) -> str:
    """Fetch a branch and put it at our own `ref`, no other ref is touched; the id of its tip.

    Raises PushRaceError when another git in the same repository was in the way, GitError.
    """
    depth = ("--depth", "1") if shallow else ()
    arguments = ("--quiet", "--no-tags", "--refmap=", *depth, "--", remote, f"+refs/heads/{branch}:{ref}")
    done = await git.attempt("fetch", *arguments, timeout_s=REMOTE_TIMEOUT_S)
    if done.exit_code != 0:
        said = _said(("fetch",), done)
        raise PushRaceError(said) if any(word in said for word in _IN_THE_WAY) else GitError(said)
    return (await git.run("rev-parse", "--verify", f"{ref}^{{commit}}")).decode().strip()


async def commit_on(git: Git, tip: str, files: Mapping[str, bytes], message: str, *, index: Path) -> str:
    """A commit whose parent is `tip`, with these files changed; its id. Only objects are written, and `index`.

    The identity is the user's, as for `git commit`; it is signed when `commit.gpgSign` asks for it.
    """
    env = {"GIT_INDEX_FILE": str(index)}
    await git.run("read-tree", tip, env=env)
    for path, content in files.items():
        row = (await git.run("ls-files", "-s", "--", path, env=env)).split()
        mode = row[0].decode() if row else _REGULAR[0]
        if mode not in _REGULAR:
            raise GitError(f"{path}: a link; name the file that it leads to")
        blob = (await git.run("hash-object", "-w", "--stdin", stdin=content)).decode().strip()
        await git.run("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", env=env)
    tree = (await git.run("write-tree", "--missing-ok", env=env)).decode().strip()
    sign = ("-S",) if await git.line("config", "--type=bool", "commit.gpgSign") == "true" else ()
    made = await git.run("commit-tree", *sign, "-p", tip, "-F", "-", tree, stdin=message.encode())
    return made.decode().strip()


async def push(git: Git, remote: str, branch: str, *, commit: str, expected: str) -> None:
    """Move the remote branch from `expected` to its child `commit`, or not at all.

    Raises PushRaceError when the branch is elsewhere by now, GitError when the push is refused for another reason.
    """
    done = await git.attempt(
        "push",
        "--porcelain",
        f"--force-with-lease=refs/heads/{branch}:{expected}",  # exact comparison; the commit is a child of it anyway
        "--",
        remote,
        f"{commit}:refs/heads/{branch}",
        timeout_s=REMOTE_TIMEOUT_S,
    )
    if done.exit_code == 0:
        return
    said = _said(("push",), done)
    if any(word in said for word in _RACE):
        raise PushRaceError(said)
    raise GitError(said)


def _said(arguments: Sequence[str], done: Completed) -> str:
    both = done.stderr + (done.stdout if arguments[0] == "push" else b"")
    text = both.decode("utf-8", "replace").strip() or f"exit code {done.exit_code}"
    hidden = _CREDENTIALS.sub(r"\1***@", text)
    return f"git {arguments[0]}: {hidden}"
