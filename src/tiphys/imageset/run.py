"""Set images in a work tree, or on the tip of a remote branch however many others push there at the same time."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tiphys.imageset.files import FileEdit, Request, plan_edits
from tiphys.imageset.gitrepo import Git, PushRaceError, Tip, WorkTree, commit_on, fetch_tip, push
from tiphys.imageset.yamltext import EditError
from tiphys.runtime.clock import Clock

PUSH_ATTEMPTS = 50
PUSH_WITHIN_S = 180.0
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 3.0


@dataclass(frozen=True, slots=True)
class Result:
    """What became of it: edits made (none: all was as asked), the commit with them, and how often it was tried."""

    edits: tuple[FileEdit, ...]
    commit: str = ""
    branch: str = ""
    pushed: bool = False
    attempts: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """A branch of a remote, as git names both."""

    remote: str
    branch: str


async def set_in_work_tree(git: Git, request: Request, *, message: str | None, dry_run: bool) -> Result:
    """Edit the files on disk; with a `message` also commit them, and only them."""
    root = git.folder
    edits = tuple(await plan_edits(WorkTree(root), request))
    if dry_run or not edits:
        return Result(edits)
    for edit in edits:
        _replace(root / edit.path, edit.content)
    if message is None:
        return Result(edits)
    paths = [edit.path for edit in edits]
    await git.run("commit", "--quiet", "--only", "-m", message or default_message(edits), "--", *paths)
    return Result(edits, commit=await git.line("rev-parse", "HEAD"), branch=await git.line("branch", "--show-current"))


async def set_and_push(
    git: Git,
    target: Target,
    request: Request,
    *,
    message: str,
    clock: Clock,
    jitter: Callable[[], float],
    shallow: bool = False,
    dry_run: bool = False,
) -> Result:
    """Put the edit on top of the remote branch: fetch, edit its files, commit, push if it has not moved; again if it has.

    Each attempt starts from what is there then, so nobody's commit is lost or merged. Raises EditError, GitError, and
    PushRaceError after `PUSH_ATTEMPTS` or `PUSH_WITHIN_S`. `jitter` gives numbers from 0 to 1.
    """
    began = clock.monotonic()
    ref = f"refs/tiphys/image-set-{os.getpid()}-{int(jitter() * 1e9)}"
    with tempfile.TemporaryDirectory(prefix="tiphys-image-set-") as scratch:
        try:
            for attempt in range(1, PUSH_ATTEMPTS + 1):
                try:
                    tip = await fetch_tip(git, target.remote, target.branch, ref=ref, shallow=shallow)
                    edits = tuple(await plan_edits(Tip(git, tip), request))
                    if dry_run or not edits:
                        return Result(edits, branch=target.branch, attempts=attempt)
                    files = {edit.path: edit.content for edit in edits}
                    text = message or default_message(edits)
                    commit = await commit_on(git, tip, files, text, index=Path(scratch) / f"index-{attempt}")
                    await push(git, target.remote, target.branch, commit=commit, expected=tip)
                except PushRaceError as error:
                    last = error
                else:
                    return Result(edits, commit, target.branch, pushed=True, attempts=attempt)
                if clock.monotonic() - began > PUSH_WITHIN_S:
                    break
                pause = min(_FIRST_PAUSE_S * 2 ** min(attempt, 10), _LONGEST_PAUSE_S)
                await clock.sleep(pause * (0.2 + 0.8 * jitter()))
            raise PushRaceError(f"others were faster {attempt} times, given up; last: {last}")
        finally:
            await git.attempt("update-ref", "-d", ref)


async def clone_for_push(folder: Path, url: str, branch: str, env: dict[str, str]) -> Git:
    """An empty bare repository in `folder` whose remote `origin` is `url`; only what is asked for is ever fetched."""
    git = Git(folder, env)
    await git.run("init", "--quiet", "--bare", ".")
    await git.run("config", "remote.origin.url", url)
    await git.run("config", "remote.origin.promisor", "true")
    await git.run("config", "remote.origin.partialclonefilter", "blob:none")
    if not branch:
        raise EditError("--url needs --branch")
    return git


async def follow(git: Git, result: Result, target: Target) -> str:
    """Bring the local branch to the pushed commit if nothing stands in the way; a note when it does not."""
    if not result.pushed or await git.line("branch", "--show-current") != target.branch:
        return ""
    done = await git.attempt("merge", "--quiet", "--ff-only", result.commit)
    if done.exit_code == 0:
        return ""
    return f"the local branch {target.branch} was left as it is; `git pull` brings it to {result.commit[:8]}"


def default_message(edits: Sequence[FileEdit]) -> str:
    """`Set image my-app:abc1234`, with one line for each image and file below when there are several."""
    changes = [(edit.path, change) for edit in edits for change in edit.changes]
    images = list(dict.fromkeys(change.after for _, change in changes))
    head = f"Set image {images[0]}" if len(images) == 1 else f"Set {len(images)} images"
    if len(changes) == 1:
        return head
    return head + "\n\n" + "\n".join(f"{path}: {change.before} -> {change.after}" for path, change in changes)


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its mode stays. A link's target is written, not the link."""
    real = path.resolve()
    temporary = real.with_name(f".{real.name}.tiphys")
    temporary.write_bytes(content)
    temporary.chmod(real.stat().st_mode & 0o7777)
    temporary.replace(real)
