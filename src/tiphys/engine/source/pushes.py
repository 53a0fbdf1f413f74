"""Push: what a Git server says was pushed, and which sources that may concern.

A push is a hint only: it decides what is fetched at once, never what is deployed.

Source: compat 8.5 "URL match", "Revision match".
Differs: which files a push changed is not asked of the sender, because comparing ids after the fetch answers it for all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tiphys.apimachinery.semver import SemverError, is_constraint, parse_constraint, parse_version

_SCP_LIKE = re.compile(r"^(?:[^/:@\s]+@)?([^/:\s]+):(?!//)(.*)$")
_LONGEST_URL = 4096


def push_address(url: str) -> str:
    """`host/path` of a repository URL as pushes are matched with it; empty when it has none.

    Scheme, user, port, case, a final `.git` and the `ssh.` or `altssh.` that hosts put before their name do not count.
    """
    text = url.strip().lower()
    if len(text) > _LONGEST_URL:
        return ""
    scp = _SCP_LIKE.match(text) if "://" not in text else None
    if scp is not None:
        host, path = scp[1], scp[2]
    else:
        try:
            parts = urlsplit(text if "://" in text else f"https://{text}")
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return ""
    for prefix in ("ssh.", "altssh."):
        host = host.removeprefix(prefix)
    path = path.strip("/").removesuffix(".git")
    return f"{host}/{path}" if host and path else ""


@dataclass(frozen=True, slots=True)
class Push:
    """Refs of one repository that moved. An empty `refs` stands for any of them.

    `addresses` are its `push_address`es. `default_branch` is empty when the sender did not name it.
    """

    addresses: frozenset[str]
    refs: frozenset[str] = frozenset()  # full: refs/heads/main, refs/tags/v1
    default_branch: str = ""

    def may_move(self, tag_prefix: str, revision: str) -> bool:
        """The revision expression may name another commit now. When that cannot be known, it may."""
        if not self.refs:
            return True
        if revision in ("", "HEAD"):
            return not self.default_branch or f"refs/heads/{self.default_branch}" in self.refs
        if {revision, f"refs/heads/{revision}", f"refs/tags/{revision}", f"refs/{revision}"} & self.refs:
            return True
        if not is_constraint(revision):
            return False
        constraint = parse_constraint(revision)
        for ref in self.refs:
            tag = ref.removeprefix("refs/tags/")
            if tag == ref or not tag.startswith(tag_prefix):
                continue
            try:
                if constraint.allows(parse_version(tag.removeprefix(tag_prefix))):
                    return True
            except SemverError:
                continue
        return False


def make_push(urls: list[str], refs: list[str], default_branch: str = "") -> Push | None:
    """The push of a repository with these URLs; None when none of them is one."""
    addresses = frozenset(filter(None, map(push_address, urls)))
    return Push(addresses, frozenset(refs), default_branch) if addresses else None
