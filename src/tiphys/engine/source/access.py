"""GitCredentials: with what a repository is reached, and what of it decides who may share a mirror."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tiphys.runtime.secret import Secret

NOTHING = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """How the server is found and checked. PEM texts; an empty one means what the machine trusts.

    `known_hosts` is in OpenSSH's form; over ssh, only hosts in it are trusted, unless `insecure`.
    """

    ca: str = ""
    known_hosts: str = ""
    insecure: bool = False
    proxy: str = ""
    no_proxy: str = ""


DIRECT = Connection()


class Minted(Protocol):
    """A user and password that are asked for when they are needed, because they last for a while only."""

    @property
    def identity(self) -> str:
        """Equal for those who may share what one of them fetched; tells nothing of a secret."""

    async def pair(self) -> tuple[str, Secret]:
        """User and password. What it raises is said as the reason why the repository cannot be fetched."""


@dataclass(frozen=True, slots=True)
class GitCredentials:
    """What a repository asks for.

    Over http(s) basic authentication, or a bearer token when there is no password, and a client certificate; over ssh a
    private key (OpenSSH or PEM text).
    """

    username: str = ""
    password: Secret = NOTHING
    bearer_token: Secret = NOTHING
    ssh_private_key: Secret = NOTHING
    client_cert: str = ""
    client_key: Secret = NOTHING
    connection: Connection = DIRECT
    minted: Minted | None = None  # in the place of user and password

    @property
    def given(self) -> bool:
        """True when there is anything to prove oneself with."""
        return bool(
            self.username
            or self.password
            or self.bearer_token
            or self.ssh_private_key
            or self.client_key
            or self.minted is not None
        )

    def fingerprint(self) -> bytes:
        """Equal for those who may share what one of them fetched; empty for everybody. Tells nothing of the secrets.

        Whoever does not check the server may have been served by another one, and gets a mirror of his own, too.
        """
        connection = self.connection
        if not (self.given or connection.insecure or connection.proxy):
            return b""
        parts = [self.username, self.password.reveal(), self.bearer_token.reveal()]
        more = [self.ssh_private_key.reveal(), self.client_cert, self.client_key.reveal(), connection.proxy]
        if self.minted is not None:
            parts.append(self.minted.identity)
        if any(more) or connection.insecure:
            parts += [*more, str(connection.insecure)]
        return hashlib.sha256("\0".join(parts).encode()).digest()

    def secrets(self) -> Iterator[str]:
        """Texts that no message may show."""
        for secret in (self.password, self.bearer_token, self.ssh_private_key, self.client_key):
            if secret:
                yield secret.reveal()
        if "@" in self.connection.proxy:
            yield self.connection.proxy.partition("//")[2].rpartition("@")[0].partition(":")[2]


def explain_no_access(credentials: GitCredentials | None) -> str:
    """What to do when a repository asks for credentials."""
    if credentials is not None and credentials.given:
        return "authentication required; the credentials in its Secret were refused"
    return "authentication required; add credentials for it to a repository Secret, or check the URL if it is public"
