"""`tiphys image`: what CI needs in place of `kustomize edit set image`, a commit and a push that may come too late."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tiphys.cli.arguments import Noun, Verb, flag
from tiphys.cli.failure import CommandFailed, not_as_asked

if TYPE_CHECKING:
    from tiphys.imageset.files import Request
    from tiphys.imageset.gitrepo import Git
    from tiphys.imageset.run import Result, Target


@click.group("image", cls=Noun)
def image() -> None:
    """Set and list container images in a repository's files.

    \b
    Example:
      tiphys image set my-app=registry.example.com/my-app:abc12345 --path apps/my-app --push
    """


def _places(command: Any) -> Any:
    options = [
        click.option("--path", default=".", show_default=True, help="Folder or file with the images."),
        click.option("--repo", type=click.Path(exists=True, file_okay=False), help="Work tree; --path starts there."),
        click.option("--url", help="Repository to work on without a work tree."),
        click.option("--branch", help="Branch to push to. [default: the current one]"),
        click.option("--file", "files", multiple=True, help="File below --path to look at; repeatable."),
        flag("-R", "--recurse", help="Look into subfolders of plain manifests too."),
        click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="Form of the answer."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@image.command("set", cls=Verb)
@click.argument("images", nargs=-1, required=True, metavar="NAME=NEW:TAG...")
@_places
@click.option("--key", default="", help="Key of a Helm value to set to the tag, as image.tag.")
@flag("--commit", help="Commit what was changed, and only that.")
@click.option("-m", "--message", default="", help="Message of the commit.")
@flag("--push", help="Commit on top of the remote branch and push, again whenever others were faster.")
@click.option("--remote", default="", help="Remote to push to. [default: of the branch, or origin]")
@flag("--dry-run", help="Only say what would change.")
@click.pass_context
def set_image(
    ctx: click.Context,
    /,
    images: tuple[str, ...],
    path: str,
    repo: str | None,
    url: str | None,
    branch: str | None,
    files: tuple[str, ...],
    recurse: bool,
    output: str,
    key: str,
    commit: bool,
    message: str,
    push: bool,
    remote: str,
    dry_run: bool,
) -> None:
    """Write new images into a kustomization, plain manifests or Helm values.

    An image is NAME=NEW:TAG, NAME=NEW@DIGEST, NAME=NEW, NAME:TAG or NAME@DIGEST; `*` keeps what is there. Comments and
    formatting stay. Nothing to change is no error. With --url, or with --push, the edit is made on the newest commit of
    the remote branch, whatever the work tree holds.

    \b
    Examples:
      tiphys image set my-app=registry.example.com/my-app:abc12345 --path apps/my-app
      tiphys image set registry.example.com/my-app:abc12345 --path apps/my-app --commit --push
      tiphys image set my-app:abc12345 --path charts/my-app --file values-prod.yaml --key image.tag
      tiphys image set nginx:1.28 --url https://github.com/your-org/k8s-manifests.git --branch main --path apps/my-app
    """
    del ctx
    from tiphys.imageset.edits import parse_argument
    from tiphys.imageset.files import Request
    from tiphys.imageset.gitrepo import GitError
    from tiphys.imageset.yamltext import EditError

    if url and repo:
        raise not_as_asked("--url and --repo exclude each other")
    try:
        overrides = tuple(parse_argument(text) for text in images)
        request = Request(path, overrides, files, key, recurse)
        if url:
            work = _on_a_url(url, branch or "", request, message, dry_run)
        else:
            work = _in_work_tree(repo, branch or "", remote, request, message, commit or push, push, dry_run)
        result, target = asyncio.run(work)
    except (EditError, GitError) as error:
        folder = next(
            (text for text in images if "=" not in text and os.path.isdir(os.path.join(repo or ".", text))), ""
        )
        hint = f"A folder is given as an option: --path {folder}" if folder else ""
        raise CommandFailed(str(error), hint=hint) from None
    _print(result, target, output, dry_run=dry_run)


@image.command("list", cls=Verb)
@_places
@click.pass_context
def list_image(
    ctx: click.Context,
    /,
    path: str,
    repo: str | None,
    url: str | None,
    branch: str | None,
    files: tuple[str, ...],
    recurse: bool,
    output: str,
) -> None:
    """Print the images that `image set` would find.

    \b
    Example:
      tiphys image list --path apps/my-app
    """
    del ctx
    from tiphys.imageset.files import Request, list_images
    from tiphys.imageset.gitrepo import GitError, Tip, WorkTree, fetch_tip
    from tiphys.imageset.run import clone_for_push
    from tiphys.imageset.yamltext import EditError

    async def look() -> list[tuple[str, Any]]:
        if not url:
            git, below = await _work_tree(repo, path)
            return await list_images(WorkTree(git.folder), Request(below, (), files, recurse=recurse))
        with tempfile.TemporaryDirectory(prefix="tiphys-image-") as folder:
            git = await clone_for_push(Path(folder), url, branch or "", dict(os.environ))
            tip = await fetch_tip(git, "origin", branch or "", ref="refs/tiphys/tip", shallow=True)
            return await list_images(Tip(git, tip), Request(_in_repository(path), (), files, recurse=recurse))

    try:
        rows = asyncio.run(look())
    except (EditError, GitError) as error:
        raise CommandFailed(str(error)) from None
    if output == "json":
        from tiphys.cli.output import print_json

        print_json([{"path": at, "line": one.line, "image": one.image, "where": one.where} for at, one in rows])
        return
    from tiphys.cli.output import table

    click.echo(table([("FILE", "LINE", "IMAGE"), *((at, str(one.line), one.image) for at, one in rows)]), nl=False)


async def _on_a_url(
    url: str, branch: str, request: Request, message: str, dry_run: bool
) -> tuple[Result, Target | None]:
    import dataclasses

    from tiphys.imageset.run import Target, clone_for_push, set_and_push
    from tiphys.runtime.clock import SystemClock

    target = Target("origin", branch)
    request = dataclasses.replace(request, path=_in_repository(request.path))
    with tempfile.TemporaryDirectory(prefix="tiphys-image-") as folder:
        git = await clone_for_push(Path(folder), url, branch, dict(os.environ))
        result = await set_and_push(
            git,
            target,
            request,
            message=message,
            clock=SystemClock(),
            jitter=secrets.SystemRandom().random,
            shallow=True,
            dry_run=dry_run,
        )
    return result, target


async def _in_work_tree(
    repo: str | None,
    branch: str,
    remote: str,
    request: Request,
    message: str,
    commit: bool,
    push: bool,
    dry_run: bool,
) -> tuple[Result, Target | None]:
    import dataclasses

    from tiphys.imageset.run import Target, follow, set_and_push, set_in_work_tree
    from tiphys.runtime.clock import SystemClock

    git, path = await _work_tree(repo, request.path)
    request = dataclasses.replace(request, path=path)
    if not push:
        return await set_in_work_tree(git, request, message=message if commit else None, dry_run=dry_run), None
    current = await git.line("branch", "--show-current")
    upstream = (await git.line("config", f"branch.{current}.merge")).removeprefix("refs/heads/") if current else ""
    target = Target(
        remote or (await git.line("config", f"branch.{current}.remote") if current else "") or "origin",
        branch or upstream or current,
    )
    if not target.branch:
        raise CommandFailed("HEAD is on no branch; say with --branch where to push")
    result = await set_and_push(
        git,
        target,
        request,
        message=message,
        clock=SystemClock(),
        jitter=secrets.SystemRandom().random,
        dry_run=dry_run,
    )
    return dataclasses.replace(result, note=await follow(git, result, target)), target


async def _work_tree(repo: str | None, path: str) -> tuple[Git, str]:
    """Git in the root of the work tree, and the path below that root."""
    from tiphys.imageset.gitrepo import Git

    here = _real(repo or ".")
    top = await Git(here, os.environ).line("rev-parse", "--show-toplevel")
    root = _real(top) if top else here
    return Git(root, os.environ), _below(root, here, path)


def _real(path: str) -> Path:
    return Path(os.path.realpath(path))


def _below(root: Path, here: Path, path: str) -> str:
    """The path from the root of the work tree: as seen from the current folder, or from the root if it is only there."""
    named = _real(str(here / path))
    if not named.exists() and (root / path).exists():
        named = _real(str(root / path))
    if not named.is_relative_to(root):
        raise CommandFailed(f"{path}: not in the work tree {root}")
    below = named.relative_to(root).as_posix()
    return "" if below == "." else below


def _in_repository(path: str) -> str:
    import posixpath

    cleaned = posixpath.normpath(path)
    if cleaned.startswith(("/", "../")) or cleaned == "..":
        raise CommandFailed(f"{path}: not a path in a repository")
    return "" if cleaned == "." else cleaned


def _print(result: Result, target: Target | None, output: str, *, dry_run: bool) -> None:
    if output == "json":
        from tiphys.cli.output import print_json

        print_json(_as_json(result, dry_run=dry_run))
        return
    if not result.edits:
        click.echo("unchanged")
        return
    for line in _lines(result):
        click.echo(line)
    if result.pushed and target is not None:
        click.echo(f"pushed {result.commit[:8]} to {target.branch} of {target.remote}")
    elif result.commit:
        click.echo(f"committed {result.commit[:8]} on {result.branch or 'a detached HEAD'}")
    elif dry_run:
        click.echo("dry run: nothing was written")
    if result.note:
        click.echo(result.note, err=True)


def _lines(result: Result) -> Sequence[str]:
    return [
        f"{edit.path}:{change.line}: {change.before} -> {change.after}"
        for edit in result.edits
        for change in edit.changes
    ]


def _as_json(result: Result, *, dry_run: bool) -> dict[str, Any]:
    return {
        "changed": bool(result.edits),
        "dryRun": dry_run,
        "files": [
            {
                "path": edit.path,
                "changes": [
                    {"line": one.line, "where": one.where, "before": one.before, "after": one.after}
                    for one in edit.changes
                ],
            }
            for edit in result.edits
        ],
        "commit": result.commit,
        "branch": result.branch,
        "pushed": result.pushed,
        "attempts": result.attempts,
    }
