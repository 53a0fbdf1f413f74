"""Revision expression -> commit, looked up in the refs of a mirror. Synchronous; call it from a thread."""

from __future__ import annotations

import re
from typing import Any

import pygit2

from tiphys.apimachinery.semver import is_constraint, newest, parse_constraint
from tiphys.engine.states import StageError

HEAD_REF = "refs/tiphys/HEAD"  # where a mirror keeps what HEAD of the remote repository was at the last fetch

FULL_SHA = re.compile(r"^[0-9a-fA-F]{40}$")
_SHORT_SHA = re.compile(r"^[0-9a-fA-F]{7,39}$")
# What git's ref name rules forbid; an expression with one of these names nothing.
_NO_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|^-|^/|/$|//|\.lock$")
_SHOWN = 8
_PREFIX_END = "\n"  # no ref and no range has one


def revision_expression(target_revision: str, tag_prefix: str = "") -> str:
    """One text for a targetRevision and its tagPrefix, as `find_commit` takes it."""
    return f"{tag_prefix}{_PREFIX_END}{target_revision}" if tag_prefix else target_revision


def split_expression(expression: str) -> tuple[str, str]:
    """(tagPrefix, targetRevision) of a revision expression."""
    prefix, found, revision = expression.rpartition(_PREFIX_END)
    return (prefix, revision) if found else ("", expression)


def check_expression(expression: str) -> None:
    """Refuse what git could read as an option or a search. Raises StageError(reason="InvalidSpecError")."""
    prefix, revision = split_expression(expression)
    if prefix:
        if _NO_REF.search(prefix.rstrip("/")) or len(prefix) > 1024:
            raise _invalid(f"tagPrefix {prefix!r} is not how a tag can begin")
        if not is_constraint(revision):
            raise _invalid(
                f"targetRevision {revision!r} is not a version range, which it has to be with tagPrefix {prefix!r}"
            )
        return
    if (_NO_REF.search(revision) or len(revision) > 1024) and not is_constraint(revision):
        raise _invalid(
            f"targetRevision {revision!r} is not a branch, tag, HEAD, full ref, commit SHA or version range over tags"
        )


def find_commit(repository: Any, expression: str) -> str | None:
    """Full SHA of the commit that `expression` names, None when the mirror has no such thing.

    Order: HEAD, full SHA, highest tag in a version range, full ref, branch, tag (peeled), short SHA of at least seven
    digits. A branch wins over a tag of the same name. A range that no tag satisfies is looked up as a name, unless there
    is a tagPrefix. Raises StageError when a name leads to something that is no commit or a short SHA is ambiguous.

    Source: compat 1.2 "Revision", "Semver pin vs constraint", "tagPrefix".
    Differs: a full or short SHA is looked up, because a commit that is not there cannot be rendered.
    """
    prefix, expression = split_expression(expression)
    if expression in ("", "HEAD"):
        return _peeled(repository, HEAD_REF, "HEAD")
    if FULL_SHA.match(expression):
        return _commit_of(repository, repository.get(expression.lower()), expression)
    if is_constraint(expression):
        tag = tag_in_range(repository, expression, prefix)
        if tag is not None:
            return _peeled(repository, f"refs/tags/{tag}", tag)
    if prefix or _NO_REF.search(expression):
        return None
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


def tag_in_range(repository: Any, range_: str, prefix: str = "") -> str | None:
    """The tag with the highest version in a range; tags without the prefix, or that are no version, do not count."""
    tags = (name.removeprefix(prefix) for name in _names(repository, "refs/tags/") if name.startswith(prefix))
    found = newest(parse_constraint(range_), tags)
    return None if found is None else prefix + found


def unknown_revision(repository: Any, expression: str, display_url: str) -> StageError:
    """The error for an expression that names nothing, with the names that do exist."""
    prefix, expression = split_expression(expression)
    if is_constraint(expression):
        tags = [tag for tag in _names(repository, "refs/tags/") if tag.startswith(prefix)]
        which = f"tags with the prefix '{prefix}'" if prefix else "tags"
        return _failed(
            f"unable to resolve '{expression}' to a commit SHA: version matching constraint not found in {len(tags)} {which} "
            f"of {display_url}: {_shown(tags[::-1])}"
        )
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


def _invalid(message: str) -> StageError:
    return StageError("source", "InvalidSpecError", message)


def _failed(message: str) -> StageError:
    return StageError("source", "ComparisonError", message)
