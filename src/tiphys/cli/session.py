"""From options, environment and configuration files to a client: which server, and as whom.

Options win over the environment, which wins over the context. Where nothing is named, the context of `tiphys up` is used
if there is one and no later `login` or `context` chose the user's own file; else the user's own, which is Argo CD's.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from tiphys import __version__
from tiphys.cli.arguments import given_globals, global_options, ordered
from tiphys.cli.failure import CommandFailed
from tiphys.client.api import Api
from tiphys.client.contexts import ContextFile, Login, own_config_path, read_contexts, write_contexts
from tiphys.client.errors import ContextError
from tiphys.client.transport import ANSWER_WITHIN_S, Endpoint, Transport, header_items
from tiphys.devenv.homefolder import home_folder
from tiphys.runtime.secret import Secret

OWN_CHOSEN = "own-chosen"  # beside the context of `up`: the user's own file was chosen after it was written
USER_AGENT = f"tiphys-cli/{__version__}"


@dataclass(frozen=True, slots=True)
class Places:
    """Where configuration is: the file in force, the one `login` writes, and whether a choice of context was named."""

    in_force: Path
    own: Path
    local: Path


def options_of(ctx: click.Context) -> dict[str, Any]:
    """Global options: those given, over those of $ARGOCD_OPTS. Refuses what cannot be done. Raises CommandFailed."""
    options = {**_environment_options(ctx), **given_globals(ctx)}
    if options.get("core"):
        raise CommandFailed(
            "--core is not supported: Tiphys always answers through its server",
            hint="Use --server, or run `tiphys up` on this machine.",
        )
    if options.get("port_forward") or options.get("port_forward_namespace"):
        raise CommandFailed(
            "--port-forward is not supported",
            hint="Run `kubectl -n argocd port-forward svc/argocd-server 8080:443` and use --server localhost:8080.",
        )
    return options


def places(options: Mapping[str, Any], env: Mapping[str, str]) -> Places:
    """Where configuration is read and written."""
    home = Path(env.get("HOME") or Path.home())
    local = _local_config(env)
    if options.get("config"):
        named = Path(options["config"])
        return Places(named, named, local)
    own = own_config_path(env, home)
    elsewhere = env.get("ARGOCD_CONFIG_DIR") or options.get("argocd_context") or _server(options, env)
    use_local = not elsewhere and local.exists() and not (local.parent / OWN_CHOSEN).exists()
    return Places(local if use_local else own, own, local)


def choose_own(where: Places) -> None:
    """Remember that the user's own file was chosen, until `up` writes its context again."""
    if where.local.exists() and where.own != where.local:
        (where.local.parent / OWN_CHOSEN).touch(mode=0o600)


def open_api(ctx: click.Context, *, within_s: float = ANSWER_WITHIN_S) -> Api:
    """A client of the server in force; closed when the command ends. Raises CommandFailed, ContextError.

    A request without a deadline of its own has to be answered `within_s`.
    """
    api = Api(Transport(endpoint(options_of(ctx), os.environ), answer_within_s=within_s))
    ctx.call_on_close(api.close)
    return api


def opened_again(api: Api) -> Api:
    """Another client of the same server, for another thread. Whoever asks closes it."""
    return Api(Transport(api.transport.endpoint))


def endpoint(options: Mapping[str, Any], env: Mapping[str, str]) -> Endpoint:
    """The server in force and how to reach it. Raises CommandFailed, ContextError."""
    where = places(options, env)
    login = login_in_force(options, env, read_contexts(where.in_force))
    if not login.server:
        raise CommandFailed(
            "Argo CD server address unspecified",
            hint="Run `tiphys up` for a server on this machine, or `tiphys login HOST`, or give --server.",
        )
    if login.core:
        raise CommandFailed(f"context '{login.name}' is for --core, which is not supported; choose another context")
    return endpoint_of(login, options, env)


def login_in_force(options: Mapping[str, Any], env: Mapping[str, str], contexts: ContextFile | None) -> Login:
    """The context in force; a server that is named without a context brings no token of another server."""
    server = _server(options, env)
    name = options.get("argocd_context") or ""
    found: Login | None = None
    if contexts is not None and server and not name:
        found = contexts.of_server(server)
    elif contexts is not None and (name or contexts.current):
        found = contexts.login(name)
    elif name:
        raise ContextError(f"Context '{name}' undefined")
    login = found or Login(name="", server="")
    token = options.get("auth_token") or env.get("ARGOCD_AUTH_TOKEN")
    return replace(
        login,
        server=server or login.server,
        token=Secret(token.strip()) if token else login.token,
        insecure=_first(options.get("insecure"), login.insecure),
        plain_text=_first(options.get("plaintext"), login.plain_text),
        root_path=options.get("grpc_web_root_path") or login.root_path,
    )


def endpoint_of(login: Login, options: Mapping[str, Any], env: Mapping[str, str]) -> Endpoint:
    """How to reach the server of a context. Raises CommandFailed."""
    try:
        headers = tuple(header_items(tuple(options.get("header") or ())))
    except ValueError as error:
        raise CommandFailed(str(error)) from None
    server, plain_text = login.server, login.plain_text
    if "://" in server:  # people paste URLs
        scheme, _, server = server.partition("://")
        server, _, path = server.partition("/")
        plain_text = plain_text or scheme == "http"
        login = replace(login, root_path=login.root_path or path)
    return Endpoint(
        server=server,
        plain_text=plain_text,
        insecure=login.insecure,
        root_path=login.root_path,
        token=login.token,
        headers=headers,
        ca=_read(options.get("server_crt")) or login.ca,
        client_cert=_read(options.get("client_crt")) or login.client_cert,
        client_key=Secret(_read(options.get("client_crt_key"))) or login.client_key,
        retries=int(options.get("http_retry_max") or 0),
        proxy=_proxy(server, plain_text, env),
        user_agent=USER_AGENT,
    )


def save_token(where: Path, user: str, token: Secret) -> None:
    """Put a new token of a user into a configuration file. Raises ContextError."""
    contexts = read_contexts(where) or ContextFile()
    contexts.set_token(user, token)
    write_contexts(where, contexts)


def _server(options: Mapping[str, Any], env: Mapping[str, str]) -> str:
    return str(options.get("server") or env.get("ARGOCD_SERVER") or "")


def _first(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given


def _local_config(env: Mapping[str, str]) -> Path:
    """Where `tiphys up` writes its context."""
    return home_folder(env) / "cli" / "config"


def _read(path: str | None) -> str:
    if not path:
        return ""
    try:
        return Path(path).read_text()
    except OSError as error:
        raise CommandFailed(f"open {path}: {(error.strerror or '').lower()}") from error


def _proxy(server: str, plain_text: bool, env: Mapping[str, str]) -> str:
    """The proxy of the environment for this server; never for this machine."""
    name = "http_proxy" if plain_text else "https_proxy"
    proxy = env.get(name) or env.get(name.upper()) or ""
    host = server.rsplit(":", 1)[0].strip("[]")
    if not proxy or host in ("localhost", "127.0.0.1", "::1"):
        return ""
    excepted = [name.strip().lstrip("*.") for name in (env.get("no_proxy") or env.get("NO_PROXY") or "").split(",")]
    direct = any(name and (host == name or host.endswith(f".{name}")) for name in excepted)
    return "" if direct else proxy


def _environment_options(ctx: click.Context) -> dict[str, Any]:
    """$ARGOCD_OPTS: global options that count where the command line says nothing. Raises CommandFailed."""
    text = os.environ.get("ARGOCD_OPTS", "")
    if not text:
        return {}
    options = global_options()
    for option in options:
        option.callback = None
        option.expose_value = True
    parser = click.Command("ARGOCD_OPTS", params=[*options], add_help_option=False)
    parser.ignore_unknown_options = True
    parser.allow_extra_args = True
    try:
        words = list(ordered(options, shlex.split(text), interspersed=True))
        with parser.make_context("ARGOCD_OPTS", words) as found:
            given = {name: value for name, value in found.params.items() if value is not None and value != ()}
    except (ValueError, click.ClickException) as error:
        reason = error.format_message() if isinstance(error, click.ClickException) else str(error)
        raise CommandFailed(f"$ARGOCD_OPTS cannot be read: {reason}") from None
    return given
