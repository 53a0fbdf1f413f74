"""A logged-in CLI context for what `up` started, kept in the home folder. The user's own file is never touched."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import urlsplit

from tiphys.apimachinery.apierrors import ApiError
from tiphys.client.api import Api
from tiphys.client.contexts import ContextFile, Login, read_contexts, write_contexts
from tiphys.client.errors import ApiFailure, ContextError, Unreachable
from tiphys.client.transport import Endpoint, Transport
from tiphys.devenv.home import Home
from tiphys.kube.client import ApiResource, KubeClient
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.secret import Secret

CONTEXT = "tiphys"
OWN_CHOSEN = "own-chosen"  # cli.session leaves it when the user chose a context of the own file; `up` takes it back
_SECRET = "argocd-initial-admin-secret"  # noqa: S105 - a name
_SECRETS = ApiResource("", "v1", "Secret", "secrets", True)


async def log_in(home: Home, client: KubeClient, say: Callable[[str], None]) -> bool:
    """Write the context: logged in with the initial password while that is there, else with the token it had.

    True while the initial password can still be read.
    """
    (home.cli_config.parent / OWN_CHOSEN).unlink(missing_ok=True)
    url = home.address.read_text().strip()
    password = await _initial_password(client)
    if not url.startswith("http"):
        return bool(password)
    try:
        problem = await asyncio.to_thread(_write, home, url, password)
    except ContextError as error:
        problem = str(error)
    if problem:
        say(f"the CLI is not logged in: {problem}. Log in with `tiphys login {urlsplit(url).netloc}`")
    return bool(password)


def _write(home: Home, url: str, password: Secret) -> str:
    """Write the context; what kept it from being logged in, empty when nothing did."""
    contexts = read_contexts(home.cli_config) or ContextFile()
    old = contexts.login(CONTEXT) if CONTEXT in contexts.names else None
    parts = urlsplit(url)
    authority = home.root / "engine" / "pki" / "ca.crt"
    login = Login(
        name=CONTEXT,
        server=parts.netloc,
        token=old.token if old is not None else Secret(""),
        plain_text=parts.scheme == "http",
        ca=authority.read_text() if parts.scheme == "https" and authority.exists() else "",
    )
    if not login.plain_text and not _verifies(login):
        login = replace(login, ca="", insecure=True)  # a certificate of the user's own, on this machine
    problem = ""
    if not _is_logged_in(login):
        try:
            login = replace(login, token=_new_token(login, password))
        except ApiFailure as error:
            problem = error.message
    contexts.put(login)
    if not contexts.current or contexts.current not in contexts.names:
        contexts.current = CONTEXT
    write_contexts(home.cli_config, contexts)
    return problem


async def _initial_password(client: KubeClient) -> Secret:
    try:
        found = await client.get(_SECRETS, _SECRET, "argocd")
        return Secret(base64.b64decode((found.get("data") or {}).get("password") or "").decode())
    except (ApiError, ClusterUnreachable, binascii.Error, UnicodeDecodeError):
        return Secret("")  # removed, as the guide says one should


def _new_token(login: Login, password: Secret) -> Secret:
    if not password:
        raise ApiFailure(16, f"the Secret {_SECRET} is gone and its last session has ended")
    with _Connected(login, with_token=False) as api:
        return api.create_session("admin", password)


def _is_logged_in(login: Login) -> bool:
    if not login.token:
        return False
    try:
        with _Connected(login, with_token=True) as api:
            return bool(api.user_info().get("loggedIn"))
    except ApiFailure:
        return False


def _verifies(login: Login) -> bool:
    try:
        with _Connected(login, with_token=False) as api:
            api.version()
    except Unreachable as error:
        return not error.tls
    except ApiFailure:
        return True
    return True


class _Connected:
    """An Api that is closed afterwards."""

    def __init__(self, login: Login, *, with_token: bool) -> None:
        self._transport = Transport(
            Endpoint(
                server=login.server,
                plain_text=login.plain_text,
                insecure=login.insecure,
                ca=login.ca,
                token=login.token if with_token else Secret(""),
            )
        )

    def __enter__(self) -> Api:
        return Api(self._transport)

    def __exit__(self, *_: object) -> None:
        self._transport.close()
