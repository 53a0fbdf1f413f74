"""GitHub Apps: an app's private key -> an installation's token, kept until shortly before it ends.

Source: compat 8.1; GitHub's REST API, "Authenticating as a GitHub App installation".
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import aiohttp
import jwt
import orjson

from tiphys.credentials.secrets import CredentialError
from tiphys.model.time import parse_time
from tiphys.runtime.clock import Clock
from tiphys.runtime.httpclient import Tls, build_session, describe_error
from tiphys.runtime.secret import Secret

PUBLIC_API = "https://api.github.com"
TOKEN_USER = "x-access-token"  # noqa: S105 - the name GitHub takes a token under
_JWT_LIFETIME = timedelta(minutes=9)  # GitHub allows ten
_CLOCK_SKEW = timedelta(minutes=1)
_RENEW_BEFORE = timedelta(minutes=5)
_TIMEOUT_S = 15.0
_ANSWER_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GithubApp:
    """An app as a repository Secret names it, and the server it is known to. Without installation it is looked for by owner."""

    app_id: int
    private_key: Secret
    installation_id: int = 0
    owner: str = ""  # of the repository: organisation or user
    api: str = PUBLIC_API
    ca: str = ""
    insecure: bool = False
    proxy: str = ""


class GithubTokens:
    """Tokens of installations. Callers that want the same one at the same time share the request."""

    def __init__(self, *, clock: Clock, user_agent: str) -> None:
        self._clock = clock
        self._user_agent = user_agent
        self._tokens: dict[GithubApp, tuple[Secret, datetime]] = {}
        self._locks: dict[GithubApp, asyncio.Lock] = {}

    async def token(self, app: GithubApp) -> Secret:
        """A token that is good for a few minutes at least. Raises CredentialError."""
        async with self._locks.setdefault(app, asyncio.Lock()):
            known = self._tokens.get(app)
            if known is None or known[1] - _RENEW_BEFORE <= self._clock.now():
                known = self._tokens[app] = await self._fetch(app)
            return known[0]

    async def _fetch(self, app: GithubApp) -> tuple[Secret, datetime]:
        installation = app.installation_id or await self._installation(app)
        status, answer = await self._ask(app, "POST", f"/app/installations/{installation}/access_tokens")
        token = answer.get("token")
        if status != 201 or not isinstance(token, str):
            raise _refused(app, f"no token for installation {installation}", status, answer)
        try:
            return Secret(token), parse_time(str(answer.get("expires_at") or ""))
        except ValueError:
            raise _refused(app, "a token without an end", status, answer) from None

    async def _installation(self, app: GithubApp) -> int:
        status = 0
        answer: Mapping[str, Any] = {}
        for kind in ("orgs", "users"):
            status, answer = await self._ask(app, "GET", f"/{kind}/{quote(app.owner, safe='')}/installation")
            if status == 200 and isinstance(answer.get("id"), int):
                return int(answer["id"])
        raise _refused(app, f"no installation at {app.owner!r}", status, answer)

    async def _ask(self, app: GithubApp, method: str, path: str) -> tuple[int, Mapping[str, Any]]:
        headers = {"Authorization": f"Bearer {self._signed(app)}", "Accept": "application/vnd.github+json"}
        tls = Tls(ca=app.ca.encode() or None, insecure=app.insecure) if app.ca or app.insecure else None
        try:
            async with (
                build_session(
                    tls=tls, proxy=app.proxy or None, user_agent=self._user_agent, timeout_s=_TIMEOUT_S
                ) as session,
                session.request(method, app.api.rstrip("/") + path, headers=headers, allow_redirects=False) as response,
            ):
                answer = orjson.loads(await response.content.read(_ANSWER_LIMIT_BYTES) or b"{}")
                return response.status, answer if isinstance(answer, dict) else {}
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise CredentialError(f"GitHub App {app.app_id}: {app.api}: {describe_error(error)}") from None

    def _signed(self, app: GithubApp) -> str:
        now = self._clock.now()
        claims = {"iss": str(app.app_id), "iat": now - _CLOCK_SKEW, "exp": now + _JWT_LIFETIME}
        try:
            return jwt.encode(claims, app.private_key.reveal(), algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError):
            raise CredentialError(
                f"GitHub App {app.app_id}: githubAppPrivateKey is not an RSA key in PEM form"
            ) from None


@dataclass(frozen=True, slots=True)
class InstallationToken:
    """The token of one app, asked for when it is needed. Equal for equal apps."""

    app: GithubApp
    source: GithubTokens

    @property
    def identity(self) -> str:
        """Equal for those who may share what one of them fetched; tells nothing of the key."""
        app = self.app
        parts = (str(app.app_id), str(app.installation_id), app.owner, app.api, app.private_key.reveal())
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    async def pair(self) -> tuple[str, Secret]:
        """User and password. Raises CredentialError."""
        return TOKEN_USER, await self.source.token(self.app)


def _refused(app: GithubApp, what: str, status: int, answer: Mapping[str, Any]) -> CredentialError:
    said = str(answer.get("message") or "")[:200]
    return CredentialError(f"GitHub App {app.app_id}: {what}: {app.api} answered {status}{f' {said}' if said else ''}")
