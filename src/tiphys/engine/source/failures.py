"""What git says when a fetch fails -> one sentence that says what it means and what to do; nothing secret is in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tiphys.engine.source.access import GitCredentials, explain_no_access
from tiphys.engine.source.urls import RepositoryUrl
from tiphys.engine.states import StageError
from tiphys.runtime.redact import redact_text

NO_HEAD = re.compile(r"couldn't find remote ref head", re.IGNORECASE)
REDIRECTED = re.compile(r"returned error: 30[12378]", re.IGNORECASE)
DAMAGED = re.compile(
    r"not a git repository: '|bad object|unable to read (sha1|tree|commit)|is corrupt|loose object .* is empty|"
    r"did not send all necessary objects|object file .* is empty",
    re.IGNORECASE,
)

_NO_ACCESS = "no access"  # stands for what depends on the credentials
_UNKNOWN_HOST = "unknown host"

# (what git says, what it means to the reader); the first that matches is told.
_CAUSES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (r"could not resolve host", "its host name is not known to DNS; check repoURL"),
        (
            r"remote host identification has changed|host key for .* has changed",
            "ssh: handshake failed: knownhosts: key mismatch; the server shows another key than argocd-ssh-known-hosts-cm "
            "has for it: somebody may be listening in, or its key was changed",
        ),
        (r"host key is known for|host key verification failed", _UNKNOWN_HOST),
        (
            r"load key .*(invalid format|error in libcrypto|incorrect passphrase)|unable to load .*key",
            "its sshPrivateKey cannot be read; it must be a private key in OpenSSH or PEM form without a passphrase",
        ),
        (r"no user exists for uid", "ssh does not run for a user without a line in /etc/passwd"),
        (
            r"terminal prompts disabled|authentication failed|could not read (username|password)|error: 401|error: 403|"
            r"permission denied \(|too many authentication failures",
            _NO_ACCESS,
        ),
        (
            r"repository .* not found|error: 404",
            "repository not found; check repoURL, and credentials if it is private",
        ),
        (
            r"failed to connect|connection refused|couldn't connect",
            "connection refused or not possible; is the server up?",
        ),
        (r"timed out|timeout", "the server did not answer in time"),
        (
            r"certificate|ssl",
            "its TLS certificate is not trusted; add the CA's to argocd-tls-certs-cm under the key of its host name",
        ),
        (r"dubious ownership", "its folder belongs to another user of this machine, and git refuses to read it"),
        (
            r"does not appear to be a git repository|not a git repository|no such file or directory",
            "there is no Git repository there; check repoURL",
        ),
        (r"transport '\w+' not allowed", "its server redirects to a protocol that is not allowed"),
        (r"no space left on device", "the disk of the engine is full"),
        (
            r"returned error: 30[12378]",
            "its server redirects, and a bearer token is not sent anywhere else; use its final address",
        ),
    )
)


def fetch_failed(
    url: RepositoryUrl, stderr: str, credentials: GitCredentials | None, *, hidden: Iterable[str] = ()
) -> StageError:
    """The error of a fetch, from what git said. `hidden` are folders of ours that say nothing to a reader."""
    secrets = [text for given in (credentials, url.credentials) if given is not None for text in given.secrets()]
    text = redact_text(stderr, secrets)
    for folder in hidden:
        text = text.replace(folder, "<mirror>")
    said = " ".join(text.split())[:500]
    for pattern, meaning in _CAUSES:
        if pattern.search(said):
            return _error(f"failed to fetch {url.display}: {_told(meaning, url, credentials)} (git: {said})")
    return _error(f"failed to fetch {url.display}: git said: {said}")


def _told(meaning: str, url: RepositoryUrl, credentials: GitCredentials | None) -> str:
    if meaning == _NO_ACCESS:
        return explain_no_access(credentials or url.credentials)
    if meaning == _UNKNOWN_HOST:
        return (
            f"ssh: handshake failed: knownhosts: key is unknown; add the keys of {url.host} to argocd-ssh-known-hosts-cm, "
            f"for example with `ssh-keyscan {url.host} | argocd cert add-ssh --batch`, after comparing them with those "
            "its owner publishes"
        )
    return meaning


def _error(message: str) -> StageError:
    return StageError("source", "ComparisonError", message)
