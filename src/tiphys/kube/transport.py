"""Requests to one API server: credentials, sessions, and retries of what is safe to retry.

Requests go over connections of our own (`kube.wire`); streams, and whatever goes through a proxy, through the general
client.

Retried: a GET whose connection broke, anything whose connection was never made over a pooled socket, 429 and 503 that
say when to come back (the server has done nothing yet), and 401 once with fresh credentials. A 403 is an answer. A write
whose connection broke is not sent again, as nobody knows whether it took effect, unless it may be sent twice (PUT, DELETE)
and its connection had been idle.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import urlencode

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from tiphys.kube.auth import Auth, Credentials, CredentialsError, build_auth
from tiphys.kube.config import ClusterConfig
from tiphys.kube.wire import Wire
from tiphys.runtime.clock import Clock, SystemClock
from tiphys.runtime.httpclient import (
    CONNECT_TIMEOUT_S,
    CONNECTION_LIMIT,
    Tls,
    TlsError,
    build_session,
    build_ssl_context,
    build_stream_session,
    describe_error,
    is_loopback,
)
from tiphys.runtime.redact import redact_url

REQUEST_TIMEOUT_S = 60.0  # what kube-apiserver itself allows a request that is no watch
MAX_ATTEMPTS = 5
BROKEN_RETRY_S = 0.05
# Told about each answer: method (WATCH for streams), status (0: none came), seconds until the answer was there.
Observe = Callable[[str, int, float], None]
# Statuses that may carry Retry-After, which says that nothing was done.
_COME_BACK = (429, 503)
# Errors after which the server may still have seen the request.
_BROKEN = (aiohttp.ClientError, ConnectionError, TimeoutError, OSError)


class ClusterUnreachable(Exception):
    """No answer from the API server: no connection, a broken one, no time left, no credentials.

    `maybe_done` is true when the request may have taken effect.
    """

    def __init__(self, server: str, why: str, *, maybe_done: bool = False) -> None:
        super().__init__(f"cluster {redact_url(server)} is not reachable: {why}")
        self.server = redact_url(server)
        self.why = why
        self.maybe_done = maybe_done


class Response(NamedTuple):
    """An answer as it came. Header names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True)
class _Sessions:
    """What carries requests with one client certificate. `wire` carries those that are no streams; None where only the
    general client can, which is through a proxy."""

    wire: Wire | None
    requests: aiohttp.ClientSession
    streams: aiohttp.ClientSession
    cert: bytes | None
    impersonate: list[tuple[str, str]]

    async def close(self) -> None:
        if self.wire is not None:
            await self.wire.close()
        await self.requests.close()
        await self.streams.close()


class Transport:
    """Sends requests to one API server. An async context manager; nothing is opened before the first request."""

    def __init__(
        self,
        config: ClusterConfig,
        *,
        user_agent: str,
        auth: Auth | None = None,
        clock: Clock | None = None,
        env: Mapping[str, str] | None = None,
        connection_limit: int = CONNECTION_LIMIT,
        timeout_s: float = REQUEST_TIMEOUT_S,
        observe: Observe | None = None,
    ) -> None:
        """`env` is the environment exec plugins start from; `auth` replaces what the configuration asks for."""
        self._observe = observe
        self.config = config
        self.server = config.server
        self._clock: Clock = clock or SystemClock()
        self._auth = auth or build_auth(config, clock=self._clock, env=env)
        self._user_agent = user_agent
        self._connection_limit = connection_limit
        self._timeout_s = timeout_s
        self._sessions: _Sessions | None = None
        self._retired: list[_Sessions] = []
        self._closed = False
        # As client-go: a token does not travel in the clear; on this machine nobody else hears it.
        self._may_identify = config.server.startswith("https://") or is_loopback(config.server)
        self._compress = config.compress and not is_loopback(config.server)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; what is under way fails."""
        self._closed = True
        sessions = [*self._retired, *([self._sessions] if self._sessions else [])]
        self._retired, self._sessions = [], None
        for one in sessions:
            await one.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str | None = None,
        accept: str = "application/json",
        timeout_s: float | None = None,
    ) -> Response:
        """Send a request and read the whole answer, whatever its status. `path` starts with a slash.

        `timeout_s` holds for all attempts together. Raises ClusterUnreachable.
        """
        allowed_s = self._timeout_s if timeout_s is None else timeout_s
        target = _target(path, query)
        deadline = self._clock.monotonic() + allowed_s
        renewed = False
        attempt = 0
        while True:
            attempt += 1
            sessions, credentials = await self._identify()
            headers = _headers(sessions, credentials, self._may_identify, accept, content_type)
            sent_at = self._clock.monotonic()
            try:
                if sessions.wire is not None:
                    answer = Response(*await sessions.wire.request(method, target, headers, body, allowed_s))
                else:
                    answer = await self._request(sessions, method, target, headers, body, allowed_s)
            except _BROKEN as error:
                self._tell(method, 0, sent_at)
                if not await self._try_again(method, error, attempt, deadline):
                    raise self._unreachable(error, method) from None
                continue
            self._tell(method, answer.status, sent_at)
            if answer.status == 401 and not renewed and self._auth.refused(credentials):
                renewed = True
                continue
            if answer.status in _COME_BACK and attempt < MAX_ATTEMPTS:
                wait_s = _retry_after_s(answer.headers)
                if wait_s is not None and self._clock.monotonic() + wait_s < deadline:
                    await self._clock.sleep(wait_s)
                    continue
            return answer

    async def _request(
        self,
        sessions: _Sessions,
        method: str,
        target: str,
        headers: list[tuple[str, str]],
        body: bytes | None,
        allowed_s: float,
    ) -> Response:
        """Through the general client."""
        async with sessions.requests.request(
            method,
            URL(self.server + target, encoded=True),
            data=body,
            headers=CIMultiDict(headers),
            timeout=aiohttp.ClientTimeout(total=allowed_s, sock_connect=CONNECT_TIMEOUT_S),
            allow_redirects=False,
        ) as response:
            return Response(response.status, response.headers, await response.read())

    @asynccontextmanager
    async def stream(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        accept: str = "application/json",
        timeout_s: float | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send a GET and give the answer, its body still to be read. `timeout_s` ends it all; None never does.

        Connection trouble while reading is raised as it comes; `unreachable` puts it into words.
        """
        url = URL(self.server + _target(path, query), encoded=True)
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        for final in (False, True):
            sessions, credentials = await self._identify()
            headers = CIMultiDict(_headers(sessions, credentials, self._may_identify, accept, None))
            sent_at = self._clock.monotonic()
            try:
                response = await sessions.streams.get(url, headers=headers, timeout=timeout, allow_redirects=False)
            except _BROKEN as error:
                self._tell("WATCH", 0, sent_at)
                raise self._unreachable(error, "GET") from None
            self._tell("WATCH", response.status, sent_at)
            if response.status == 401 and not final and self._auth.refused(credentials):
                response.close()
                continue
            try:
                yield response
            finally:
                response.close()  # one that is not at its end must not go back into the pool
            return

    def unreachable(self, error: BaseException) -> ClusterUnreachable:
        """A connection error in words."""
        return self._unreachable(error, "GET")

    # ---- inside ----

    def _tell(self, method: str, status: int, sent_at: float) -> None:
        if self._observe is not None:
            self._observe(method, status, self._clock.monotonic() - sent_at)

    async def _identify(self) -> tuple[_Sessions, Credentials]:
        """Credentials for the next request, and the sessions that carry them."""
        try:
            credentials = await self._auth.credentials()
            sessions = self._sessions
            if sessions is None or sessions.cert is not credentials.client_cert:
                sessions = self._open(credentials)
        except (CredentialsError, TlsError) as error:
            raise ClusterUnreachable(self.server, str(error)) from None
        return sessions, credentials

    def _open(self, credentials: Credentials) -> _Sessions:
        if self._closed:
            raise ClusterUnreachable(self.server, "the client is closed")
        config = self.config
        context = None
        if self.server.startswith("https://"):
            tls = config.tls
            if credentials.client_cert is not None:
                tls = Tls(
                    ca=tls.ca,
                    client_cert=credentials.client_cert,
                    client_key=credentials.client_key,
                    insecure=tls.insecure,
                    server_name=tls.server_name,
                )
            context = build_ssl_context(tls)
        impersonate: list[tuple[str, str]] = []
        if config.impersonate_user:
            impersonate.append(("Impersonate-User", config.impersonate_user))
            impersonate += [("Impersonate-Group", group) for group in config.impersonate_groups]
        wire = None
        if config.proxy is None:
            wire = Wire(
                self.server,
                tls=context,
                user_agent=self._user_agent,
                limit=self._connection_limit,
                compress=self._compress,
            )
        opened = _Sessions(
            wire=wire,
            requests=build_session(
                tls=context,
                proxy=config.proxy,
                user_agent=self._user_agent,
                connection_limit=self._connection_limit,
                timeout_s=self._timeout_s,
                compress=self._compress,
            ),
            streams=build_stream_session(tls=context, proxy=config.proxy, user_agent=self._user_agent),
            cert=credentials.client_cert,
            impersonate=impersonate,
        )
        if self._sessions is not None:
            # Requests may still be under way there; they are few (a certificate's life is hours) and closed at the end.
            self._retired.append(self._sessions)
        self._sessions = opened
        return opened

    async def _try_again(self, method: str, error: BaseException, attempt: int, deadline: float) -> bool:
        """After a broken connection: True when the request may be sent again, after a short wait."""
        if method not in ("GET", "HEAD") or attempt >= 3:
            return False
        if isinstance(error, TimeoutError | aiohttp.ClientConnectorError):
            return False  # it took its time, or nobody listens: the caller's own back-off is the right one
        if self._closed or self._clock.monotonic() + BROKEN_RETRY_S >= deadline:
            return False
        await asyncio.sleep(0) if attempt == 1 else await self._clock.sleep(BROKEN_RETRY_S)
        return True

    def _unreachable(self, error: BaseException, method: str) -> ClusterUnreachable:
        sent = not isinstance(error, aiohttp.ClientConnectorError)
        return ClusterUnreachable(self.server, describe_error(error), maybe_done=sent and method not in ("GET", "HEAD"))


def _target(path: str, query: Mapping[str, str] | None) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _headers(
    sessions: _Sessions, credentials: Credentials, may_identify: bool, accept: str, content_type: str | None
) -> list[tuple[str, str]]:
    headers = [("Accept", accept)]
    if content_type is not None:
        headers.append(("Content-Type", content_type))
    if credentials.authorization is not None and may_identify:
        headers.append(("Authorization", credentials.authorization.reveal()))
    headers += sessions.impersonate
    return headers


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header; None without one, and for a date, which API servers do not send."""
    value = headers.get("Retry-After", "").strip()
    return float(value) if value.isascii() and value.isdigit() else None
