"""Tokens, basic auth, token files, exec plugins: what goes into a request so that the API server knows us."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

import orjson

from tiphys.kube.config import ClusterConfig, ExecPlugin
from tiphys.runtime.clock import Clock, parse_time
from tiphys.runtime.process import Completed, ProcessError, ProgramNotFoundError, describe_exit, run_program
from tiphys.runtime.redact import redact_text
from tiphys.runtime.secret import Secret

TOKEN_FILE_PERIOD_S = 60.0  # the kubelet writes a new token long before the old one ends; client-go looks as often
EXEC_TIMEOUT_S = 60.0
EXPIRY_MARGIN = timedelta(seconds=30)  # so that a token does not end on its way


class CredentialsError(Exception):
    """No credentials could be had; the message says from where, and what to do."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What identifies us in one request: the Authorization header's value, or a client certificate, or nothing."""

    authorization: Secret | None = None
    client_cert: bytes | None = None
    client_key: Secret | None = None


NOBODY = Credentials()


class Auth(Protocol):
    """Gives credentials, anew where they end."""

    async def credentials(self) -> Credentials:
        """Credentials for a request that is sent now. Raises CredentialsError."""

    def refused(self, credentials: Credentials) -> bool:
        """The server answered 401 to these. True when asking again may give others."""


RunProgram = Callable[..., Awaitable[Completed]]


def build_auth(
    config: ClusterConfig, *, clock: Clock, env: Mapping[str, str] | None = None, run: RunProgram = run_program
) -> Auth:
    """The way this cluster's configuration asks for. `env` is the environment exec plugins start from."""
    if config.token_file:
        return TokenFile(config.token_file, fallback=config.bearer_token, clock=clock)
    if config.bearer_token:
        return Static(_bearer(config.bearer_token.reveal()))
    if config.username:
        password = config.password.reveal() if config.password else ""
        both = base64.b64encode(f"{config.username}:{password}".encode()).decode()
        return Static(Credentials(authorization=Secret(f"Basic {both}")))
    if config.exec_plugin:
        return Exec(config.exec_plugin, config, clock=clock, env=env or {}, run=run)
    return Static(NOBODY)


def _bearer(token: str) -> Credentials:
    return Credentials(authorization=Secret(f"Bearer {token}"))


class Static:
    """Credentials that never change."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def credentials(self) -> Credentials:
        """The credentials."""
        return self._credentials

    def refused(self, credentials: Credentials) -> bool:
        """False: there are no others."""
        return False


class TokenFile:
    """A token in a file that someone else keeps fresh. While it cannot be read, the last token is used."""

    def __init__(self, path: str, *, fallback: Secret | None, clock: Clock) -> None:
        self._path = Path(path)
        self._clock = clock
        self._credentials = _bearer(fallback.reveal()) if fallback else None
        self._read_at: float | None = None

    async def credentials(self) -> Credentials:
        """The token, read again after a minute."""
        now = self._clock.monotonic()
        if self._credentials is None or self._read_at is None or now - self._read_at >= TOKEN_FILE_PERIOD_S:
            self._read(now)
        assert self._credentials is not None
        return self._credentials

    def refused(self, credentials: Credentials) -> bool:
        """Read the file before the next request."""
        self._read_at = None
        return True

    def _read(self, now: float) -> None:
        try:
            token = self._path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._credentials is None:
                why = error.strerror if isinstance(error, OSError) else "no text"
                raise CredentialsError(f"token file {self._path} cannot be read: {why}") from None
            return
        if not token:
            if self._credentials is None:
                raise CredentialsError(f"token file {self._path} is empty")
            return
        self._read_at = now
        self._credentials = _bearer(token)


class Exec:
    """Credentials from a program; kept until they end, fetched once however many requests wait for them."""

    def __init__(
        self,
        plugin: ExecPlugin,
        config: ClusterConfig,
        *,
        clock: Clock,
        env: Mapping[str, str],
        run: RunProgram = run_program,
        timeout_s: float = EXEC_TIMEOUT_S,
    ) -> None:
        self._plugin = plugin
        self._config = config
        self._clock = clock
        self._env = env
        self._run = run
        self._timeout_s = timeout_s
        self._credentials: Credentials | None = None
        self._ends: datetime | None = None
        self._lock = asyncio.Lock()

    async def credentials(self) -> Credentials:
        """The program's last answer, or a new one. Raises CredentialsError."""
        if (found := self._current()) is not None:
            return found
        async with self._lock:
            if (found := self._current()) is not None:
                return found
            self._credentials, self._ends = await self._ask()
            return self._credentials

    def refused(self, credentials: Credentials) -> bool:
        """Forget them, unless someone else has fetched others since."""
        if self._credentials is credentials:
            self._credentials = None
        return True

    def _current(self) -> Credentials | None:
        if self._ends is not None and self._clock.now() >= self._ends - EXPIRY_MARGIN:
            return None
        return self._credentials

    async def _ask(self) -> tuple[Credentials, datetime | None]:
        plugin = self._plugin
        env = {**self._env, **{name: value.reveal() for name, value in plugin.env.items()}}
        env["KUBERNETES_EXEC_INFO"] = orjson.dumps(self._exec_info()).decode()
        try:
            done = await self._run([plugin.command, *plugin.args], env=env, timeout_s=self._timeout_s)
        except ProgramNotFoundError:
            hint = f" ({plugin.install_hint})" if plugin.install_hint else ""
            raise CredentialsError(f"exec: executable {plugin.command} not found{hint}") from None
        except ProcessError as error:
            raise CredentialsError(f"getting credentials: exec: {error}") from None
        if done.exit_code != 0:
            said = redact_text(done.stderr.decode("utf-8", "replace").strip()[-500:], self._secrets())
            raise CredentialsError(
                f"getting credentials: exec: executable {plugin.command} failed with {describe_exit(done.exit_code)}"
                + (f": {said}" if said else "")
            )
        return _parse_answer(done.stdout, plugin)

    def _secrets(self) -> list[str]:
        return [value.reveal() for value in self._plugin.env.values()]

    def _exec_info(self) -> dict[str, object]:
        spec: dict[str, object] = {"interactive": False}
        if self._plugin.provide_cluster_info:
            config = self._config
            cluster: dict[str, object] = {"server": config.server}
            if config.tls.server_name:
                cluster["tls-server-name"] = config.tls.server_name
            if config.tls.insecure:
                cluster["insecure-skip-tls-verify"] = True
            if config.tls.ca:
                cluster["certificate-authority-data"] = base64.b64encode(config.tls.ca).decode()
            if config.proxy:
                cluster["proxy-url"] = config.proxy
            if not config.compress:
                cluster["disable-compression"] = True
            cluster["config"] = self._plugin.cluster_config
            spec["cluster"] = cluster
        return {"apiVersion": self._plugin.api_version, "kind": "ExecCredential", "spec": spec}


def _parse_answer(stdout: bytes, plugin: ExecPlugin) -> tuple[Credentials, datetime | None]:
    """Credentials and their end. The answer is never quoted in an error: it holds the credential."""
    what = f"exec plugin {plugin.command}"
    try:
        answer = orjson.loads(stdout)
    except orjson.JSONDecodeError:
        raise CredentialsError(f"{what} did not print JSON") from None
    if not isinstance(answer, dict) or answer.get("kind") != "ExecCredential":
        raise CredentialsError(f"{what} did not print an ExecCredential")
    if answer.get("apiVersion") != plugin.api_version:
        raise CredentialsError(f"{what} is configured to use API version {plugin.api_version}, plugin returned another")
    status = answer.get("status")
    if not isinstance(status, dict):
        raise CredentialsError(f"{what} didn't return a status field")
    token, cert, key = (status.get(name) for name in ("token", "clientCertificateData", "clientKeyData"))
    if not token and not (cert and key):
        raise CredentialsError(f"{what} didn't return a token or cert/key pair")
    ends = None
    if stamp := status.get("expirationTimestamp"):
        try:
            ends = parse_time(str(stamp))
        except ValueError:
            raise CredentialsError(f"{what} returned an expirationTimestamp that is no time") from None
    credentials = Credentials(
        authorization=Secret(f"Bearer {token}") if token else None,
        client_cert=str(cert).encode() if cert and key else None,
        client_key=Secret(str(key)) if cert and key else None,
    )
    return credentials, ends
