"""Repository URLs: which are accepted, what they are fetched as, and when two mean the same repository.

A URL comes from whoever may write an Application, so everything git would read as an option, a transport helper or a
path on this machine is refused before git sees it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, quote, unquote, urlsplit

from tiphys.engine.source.access import GitCredentials
from tiphys.engine.states import StageError
from tiphys.runtime.redact import redact_url
from tiphys.runtime.secret import Secret

# `user@host:path`; a Windows drive or a URL with a scheme is not one.
_SCP_LIKE = re.compile(r"^(?P<user>[A-Za-z0-9_.+-]+)@(?P<host>[A-Za-z0-9_.\[\]:-]+?):(?!//)(?P<path>.+)$")
_SCHEME = re.compile(r"^(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)(?P<rest>::|://)")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_FETCHABLE = ("https", "http", "ssh", "file")
_HOST = re.compile(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]")
_USER = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+@-]*")
_DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22}


@dataclass(frozen=True, slots=True)
class RepositoryUrl:
    """A repository URL that may be fetched. `key` is equal for URLs that fetch the same repository."""

    key: str
    fetch: str  # without user or password
    display: str  # for messages: credentials starred
    origin: str  # `https://host:port/`, empty for file and ssh
    local: Path | None = None  # folder of a file:// repository
    credentials: GitCredentials | None = None  # those written in the URL itself
    ssh_host: str = ""  # empty for other schemes

    @property
    def host(self) -> str:
        """Host name without port; empty for file."""
        return self.ssh_host or urlsplit(self.fetch).hostname or ""


def parse_repository_url(url: str, *, allow_file: bool) -> RepositoryUrl:
    """Check a URL and take it apart. Raises StageError(reason="InvalidSpecError") with what is accepted instead.

    Differs: the key keeps the case of the path, because two repositories whose names differ in case only must not
    share a mirror.
    """
    text = url.strip()
    if not text:
        raise _refused("repoURL is empty; give the https:// address of a Git repository")
    if text.startswith("-") or _CONTROL.search(text):
        raise _refused(f"repoURL {redact_url(text)!r} is not a URL: it starts with '-' or holds white space")
    scheme = _SCHEME.match(text)
    if scheme is None:
        scp = _SCP_LIKE.match(text)
        if scp is not None:
            return _ssh(scp["user"], scp["host"].lower(), None, scp["path"], text, scp=True)
        raise _refused(f"repoURL {redact_url(text)!r} has no scheme; use https://host/path")
    name = scheme["scheme"].lower()
    if scheme["rest"] == "::":
        raise _refused(f"repoURL {redact_url(text)!r} names a transport helper ({name}::), which is never run")
    if name == "oci":
        raise _refused(f"repository {redact_url(text)}: OCI sources are not supported yet")
    if name not in _FETCHABLE:
        raise _refused(f"repoURL {redact_url(text)!r}: scheme {name} is not one of https, ssh, http")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _refused(f"repoURL {redact_url(text)!r} cannot be read: {error}") from None
    if name == "file":
        return _local(parts, text, allow_file)
    if name == "ssh":
        host = (parts.hostname or "").lower()
        host = f"[{host}]" if ":" in host else host
        return _ssh(unquote(parts.username or "git"), host, port, parts.path, text, scp=False)
    return _remote(parts, name, port, text)


def _remote(parts: SplitResult, scheme: str, port: int | None, text: str) -> RepositoryUrl:
    host = (parts.hostname or "").lower()
    if not host or host.startswith("-"):
        raise _refused(f"repoURL {redact_url(text)!r} names no host")
    if ":" in host:
        host = f"[{host}]"
    netloc = host if port is None else f"{host}:{port}"
    path = parts.path.rstrip("/")
    query = f"?{parts.query}" if parts.query else ""
    credentials = None
    if parts.username or parts.password:
        credentials = GitCredentials(unquote(parts.username or ""), Secret(unquote(parts.password or "")))
    same_port = host if port in (None, _DEFAULT_PORTS[scheme]) else netloc
    return RepositoryUrl(
        key=f"{scheme}://{same_port}{path.removesuffix('.git')}{query}",
        fetch=f"{scheme}://{netloc}{path}{query}",
        display=redact_url(f"{scheme}://{netloc}{path}{query}"),
        origin=f"{scheme}://{netloc}/",
        credentials=credentials,
    )


def _ssh(user: str, host: str, port: int | None, path: str, text: str, *, scp: bool) -> RepositoryUrl:
    """git hands user, host and path to ssh as arguments and, on the other side, to a shell; so only plain ones pass.

    `user@host:path` is relative to the user's home there, unlike a path of an ssh:// URL.
    """
    if not _HOST.fullmatch(host) or host.startswith("-"):
        raise _refused(f"repoURL {redact_url(text)!r} names no host")
    if not _USER.fullmatch(user):
        raise _refused(f"repoURL {redact_url(text)!r}: its user is not a plain name")
    if not path.strip("/") or path.startswith("-"):
        raise _refused(f"repoURL {redact_url(text)!r} has no path")
    where = host if port in (None, _DEFAULT_PORTS["ssh"]) else f"{host}:{port}"
    trimmed = path.rstrip("/")
    fetch = f"{user}@{host}:{trimmed}" if scp else f"ssh://{user}@{host if port is None else f'{host}:{port}'}{trimmed}"
    tail = trimmed.removesuffix(".git")
    # Where a server has no homes, as all the large hosts, both forms name the same; elsewhere a mirror is kept twice.
    key = f"ssh://{user}@{where}" + (f":{tail}" if scp else tail)
    return RepositoryUrl(key=key, fetch=fetch, display=fetch, origin="", ssh_host=host.strip("[]"))


def _local(parts: SplitResult, text: str, allow_file: bool) -> RepositoryUrl:
    if not allow_file:
        raise _refused(
            f"repository {redact_url(text)}: file:// repositories are refused here; "
            "they are for `tiphys up` or an engine started with --allow-file-repositories"
        )
    if parts.netloc not in ("", "localhost"):
        raise _refused(f"repoURL {redact_url(text)!r}: a file:// URL names no host; use file:///path")
    path = Path(unquote(parts.path))
    if not path.is_absolute() or ".." in path.parts:
        raise _refused(f"repoURL {redact_url(text)!r}: the path of a file:// URL is absolute and has no '..'")
    fetch = f"file://{quote(str(path))}"
    return RepositoryUrl(key=fetch, fetch=fetch, display=fetch, origin="", local=path)


def _refused(message: str) -> StageError:
    return StageError("source", "InvalidSpecError", message)
