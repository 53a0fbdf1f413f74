"""Revision expression -> commit, looked up in the refs of a mirror. Synchronous; call it from a thread."""

from __future__ import annotations

import re
from typing import Any

import pygit2

from tiphys.engine.states import StageError

HEAD_REF = "refs/tiphys/HEAD"  # where a mirror keeps what HEAD of the remote repository was at the last fetch

FULL_SHA = re.compile(r"^[0-9a-fA-F]{40}$")
_SHORT_SHA = re.compile(r"^[0-9a-fA-F]{7,39}$")
# What git's ref name rules forbid; an expression with one of these names nothing.
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|^/|/$|//|\.lock$")
_SHOWN = 8


def check_expression(expression: str) -> None:
    """Refuse what git could read as an option, a range or a search. Raises StageError(reason="InvalidSpecError")."""
    if _NO_REF.search(expression) or len(expression) > 1024:
        raise StageError(
            "source",
            "InvalidSpecError",
            f"targetRevision {expression!r} is not a branch, tag, HEAD, full ref or commit SHA "
            "(version ranges over Git tags are not supported yet)",
        )


def find_commit(repository: Any, expression: str) -> str | None:
    """Full SHA of the commit that `expression` names, None when the mirror has no such thing.

    Order: HEAD, full SHA, full ref, branch, tag (peeled), short SHA of at least seven digits. A branch wins over a tag
    of the same name. Raises StageError when a name leads to something that is no commit or a short SHA is ambiguous.

    Source: compat 1.2 "Revision".
    Differs: a full or short SHA is looked up, because a commit that is not there cannot be rendered.
    """
    if expression in ("", "HEAD"):
        return _peeled(repository, HEAD_REF, "HEAD")
    if FULL_SHA.match(expression):
        return _commit_of(repository, repository.get(expression.lower()), expression)
    candidates = [f"refs/heads/{expression}", f"refs/tags/{expression}", f"refs/{expression}"]
    if expression.startswith("refs/"):
        candidates.insert(0, expression)
    for name in candidates:
        commit = _peeled(repository, name, expression)
        if commit is not None:
            return commit
    if _SHORT_SHA.match(expression):
        return _by_prefix(repository, expression)
    return None


def unknown_revision(repository: Any, expression: str, display_url: str) -> StageError:
    """The error for an expression that names nothing, with the names that do exist."""
    if FULL_SHA.match(expression) or _SHORT_SHA.match(expression):
        return _failed(
            f"unable to resolve '{expression}' to a commit SHA: {display_url} has no such commit on its branches and tags"
        )
    if expression in ("", "HEAD"):
        branches = _names(repository, "refs/heads/")
        if not branches:
            return _failed(f"{display_url} has no commits yet; push a branch to it")
        return _failed(
            f"unable to resolve 'HEAD' to a commit SHA: HEAD of {display_url} names a branch that does not exist; "
            f"set targetRevision to one of its branches: {_shown(branches)}"
        )
    branches, tags = _names(repository, "refs/heads/"), _names(repository, "refs/tags/")
    known = f"known branches: {_shown(branches)}" + (f"; tags: {_shown(tags)}" if tags else "; it has no tags")
    return _failed(f"unable to resolve '{expression}' to a commit SHA in {display_url}; {known}")


def tags_by_commit(repository: Any) -> dict[str, list[str]]:
    """Tag names by the SHA of the commit they lead to, sorted."""
    found: dict[str, list[str]] = {}
    for name in _names(repository, "refs/tags/"):
        try:
            commit = _peeled(repository, f"refs/tags/{name}", name)
        except StageError:
            continue  # a tag on a tree or blob
        if commit:
            found.setdefault(commit, []).append(name)
    return found


def _peeled(repository: Any, ref: str, expression: str) -> str | None:
    try:
        target = repository.lookup_reference(ref).resolve().target
    except (KeyError, ValueError, pygit2.GitError):
        return None
    return _commit_of(repository, repository.get(target), expression)


def _commit_of(repository: Any, obj: Any, expression: str) -> str | None:
    if obj is None:
        return None
    try:
        return str(obj.peel(pygit2.Commit).id)
    except (pygit2.GitError, pygit2.InvalidSpecError, ValueError):
        raise _failed(f"revision '{expression}' leads to a {obj.type_str}, not to a commit") from None


def _by_prefix(repository: Any, prefix: str) -> str | None:
    try:
        obj = repository[prefix.lower()]
    except KeyError:
        return None
    except ValueError:
        raise _failed(f"revision '{prefix}' is ambiguous: several objects start with it; use more digits") from None
    return _commit_of(repository, obj, prefix)


def _names(repository: Any, prefix: str) -> list[str]:
    return sorted(str(name)[len(prefix) :] for name in repository.references if str(name).startswith(prefix))


def _shown(names: list[str]) -> str:
    if not names:
        return "none"
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _failed(message: str) -> StageError:
    return StageError("source", "ComparisonError", message)
