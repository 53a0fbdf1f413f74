"""Which value files a source names: paths, globs, and what is missing.

Source: compat 1.4 "Value files", "Missing files".
"""

from __future__ import annotations

import posixpath
import re

from tiphys.engine.render.helm.options import HelmOptions
from tiphys.engine.states import FileKind, SourceTree

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
MAX_WILDCARDS = 10  # what matching costs grows with each, and patterns come from tenants
_GLOB = re.compile(r"[*?\[]")


class ValueFileError(Exception):
    """A value file that cannot be had."""


def place(base: str, written: str) -> str:
    """A path of the repository: relative to the chart, or to the root when it begins with a slash.

    Raises ValueFileError for what is not in this repository.
    """
    if _URL.match(written):
        raise ValueFileError(f"{written}: value files from a URL are not supported yet")
    if written.startswith("$"):
        raise ValueFileError(f"{written}: value files from another source are not supported yet")
    joined = posixpath.normpath(written.lstrip("/") if written.startswith("/") else posixpath.join(base, written))
    if joined == ".." or joined.startswith("../") or "\0" in joined:
        raise ValueFileError(f"value file path {written} resolves outside the repository root")
    return "" if joined == "." else joined


def find_value_files(tree: SourceTree, base: str, options: HelmOptions) -> tuple[list[str], dict[str, str | None]]:
    """(paths in the order in which they apply, ids that this was decided by).

    Globs give their matches in lexical order; a file that is also named outright keeps the place where it is named.
    Raises ValueFileError.
    """
    looked_at: dict[str, str | None] = {}
    wanted = [(written, place(base, written)) for written in options.value_files]
    named = {path for written, path in wanted if not _GLOB.search(written)}
    found: list[str] = []
    for written, path in wanted:
        if not _GLOB.search(written):
            looked_at[path] = tree.tree_id(path)
            if looked_at[path] is not None:
                found.append(path)
            elif not options.ignore_missing_value_files:
                raise ValueFileError(f"open {path}: no such file or directory")
            continue
        matches = [one for one in _matching(tree, path, looked_at) if one not in named and one not in found]
        taken = any(_pattern(path).fullmatch(one) for one in (*named, *found))
        if not matches and not taken and not options.ignore_missing_value_files:
            raise ValueFileError(f"{written}: no value file matches the pattern")
        found += matches
    return found, looked_at


def _matching(tree: SourceTree, path: str, looked_at: dict[str, str | None]) -> list[str]:
    folder = posixpath.dirname(path[: _first_glob(path)])
    looked_at[folder] = tree.tree_id(folder)
    if looked_at[folder] is None:
        return []
    pattern = _pattern(path)
    entries = tree.entries(folder, recurse=True)
    return sorted(one.path for one in entries if one.kind is not FileKind.DIRECTORY and pattern.fullmatch(one.path))


def _first_glob(path: str) -> int:
    match = _GLOB.search(path)
    assert match is not None
    return match.start()


def _pattern(glob: str) -> re.Pattern[str]:
    """`*` and `?` stay in one folder, `**` as a whole part crosses any number of them; `[a-z]` and `[^a-z]` are sets."""
    if len(_GLOB.findall(glob)) > MAX_WILDCARDS:
        raise ValueFileError(f"{glob}: the pattern has more than {MAX_WILDCARDS} wildcards")
    parts = []
    rest = re.split(r"(\*\*/|\*+|\?|\[[^\]]*\])", glob)
    for part in rest:
        if part == "**/":
            parts.append("(?:[^/]+/)*")
        elif part and set(part) == {"*"}:
            parts.append(".*" if part == "**" else "[^/]*")
        elif part == "?":
            parts.append("[^/]")
        elif part.startswith("[") and part.endswith("]") and len(part) > 2:
            body = part[1:-1]
            negated = body[0] in "!^"
            body = body[1:] if negated else body
            parts.append("[" + ("^" if negated else "") + body.replace("\\", r"\\").replace("[", r"\[") + "]")
        else:
            parts.append(re.escape(part))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:
        raise ValueFileError(f"{glob}: the pattern cannot be read") from None
