"""A chart as an archive in memory: Helm reads it without a folder being written for it. Runs in the worker.

An archive is loaded as it is, while a folder's `.helmignore` is obeyed; so only a chart of which nothing may be ignored
is packed.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Collection
from fnmatch import fnmatchcase

from tiphys.engine.render.helm.build import Files

_FOLDER = "chart/"
_BLOCK = 512
_NAME_BYTES = 100
# Rules whose meaning is not looked into here.
_HARD = frozenset("!\\[")


def may_be_packed(files: Files) -> bool:
    """Would Helm load the same from an archive as from a folder? False where that is not sure."""
    rules = [line.strip() for line in files.get(".helmignore", b"").decode("utf-8", "replace").splitlines()]
    rules = [rule for rule in rules if rule and not rule.startswith("#")]
    if any(_HARD & set(rule) or "**" in rule or not rule.strip("./") for rule in rules):
        return False
    names: set[str] = set()
    for name in files:
        if name.startswith("templates/.") or "\\" in name or ":/" in name:
            return False  # ignored without a rule, or a path of another kind in an archive
        parts = name.split("/")
        names |= {"/".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return not any(_matches_any(rule.strip("/"), names) for rule in rules)


def packed(files: Files) -> bytes:
    """The archive."""
    blocks: list[bytes] = []
    for name, content in files.items():
        blocks += (_header(f"{_FOLDER}{name}", len(content)), content, bytes(-len(content) % _BLOCK))
    blocks.append(bytes(2 * _BLOCK))
    store = zlib.compressobj(0, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return store.compress(b"".join(blocks)) + store.flush()


def _matches_any(rule: str, names: Collection[str]) -> bool:
    """Whether a rule may match one of these paths, or only the last part of one; too often rather than too seldom."""
    return any(fnmatchcase(name, rule) or fnmatchcase(name.rpartition("/")[2], rule) for name in names)


def _header(name: str, size: int) -> bytes:
    """A POSIX header; written here because tarfile takes ten times as long for it."""
    if len(name) > _NAME_BYTES or not name.isascii():
        info = tarfile.TarInfo(name)
        info.size = size
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    owner, time, no_sum = b"0000000\0" * 2, b"0" * 11 + b"\0", b" " * 8
    before = name.encode().ljust(_NAME_BYTES, b"\0") + b"0000644\0" + owner + b"%011o\0" % size + time
    after = b"0" + bytes(_NAME_BYTES) + b"ustar\x0000" + bytes(_BLOCK - 265)
    return before + b"%06o\0 " % sum(before + no_sum + after) + after
