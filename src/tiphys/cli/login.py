"""`tiphys login`, `logout`, `relogin`, `context`: who talks to which server."""

from __future__ import annotations

import base64
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tiphys.cli import ask
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_contexts, forget
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.session import choose_own, endpoint_of, options_of, places
from tiphys.client.api import Api
from tiphys.client.contexts import ContextFile, Login, read_contexts, write_contexts
from tiphys.client.errors import ApiFailure, ContextError, Unreachable
from tiphys.client.transport import Transport
from tiphys.runtime.secret import Secret


@click.command("login", cls=Verb)
@click.argument("server", required=False)
@click.option("--username", help="Name of the account; asked for when absent.")
@click.option("--password", help="Its password; asked for when absent, or read from standard input.")
@click.option("--name", "context_name", help="Name of the context. [default: the server]")
@flag("--skip-test-tls", help="Do not look first whether the server speaks TLS.")
@flag("--sso", help="Not supported yet: it needs a browser login at the server.")
@click.option("--sso-port", type=int, hidden=True, expose_value=False)
@flag("--sso-launch-browser", default=None, hidden=True, expose_value=False)
@click.option("--callback", hidden=True, expose_value=False)
@click.pass_context
def login(
    ctx: click.Context,
    server: str | None,
    username: str | None,
    password: str | None,
    context_name: str | None,
    skip_test_tls: bool,
    sso: bool,
) -> None:
    """Log in to a server and remember it as the current context.

    \b
    Examples:
      tiphys login argocd.example.com --grpc-web
      tiphys login localhost:8080 --insecure
      tiphys login localhost:8080 --plaintext --username admin --password "$PASSWORD"
    """
    options = options_of(ctx)
    server = server or options.get("server") or os.environ.get("ARGOCD_SERVER")
    if not server:
        raise click.UsageError("login needs the address of a server, as in: login localhost:8080", ctx)
    if sso:
        raise CommandFailed(
            "--sso is not supported yet: the server has no single sign-on",
            hint="Log in with --username and --password, or use an API key: account generate-token.",
        )
    server = server.removeprefix("https://").rstrip("/")
    wanted = Login(
        name=context_name or server,
        server=server,
        insecure=bool(options.get("insecure")),
        plain_text=bool(options.get("plaintext")),
        grpc_web=bool(options.get("grpc_web")),
        root_path=options.get("grpc_web_root_path") or "",
    )
    if context_name is None and wanted.root_path:
        wanted = replace(wanted, name=f"{server}/{wanted.root_path.strip('/')}")
    if not skip_test_tls:
        wanted = _look_at_tls(wanted, options)
    token = _log_in(wanted, options, username, password)
    target = endpoint_of(wanted, options, os.environ)
    wanted = replace(wanted, token=token, ca=target.ca, client_cert=target.client_cert, client_key=target.client_key)
    click.echo(f"'{_display_name(token)}' logged in successfully")
    where = places(options, os.environ)
    contexts = read_contexts(where.own) or ContextFile()
    contexts.put(wanted)
    contexts.current = wanted.name
    write_contexts(where.own, contexts)
    choose_own(where)
    forget()
    click.echo(f"Context '{wanted.name}' updated")


def log_in_again(wanted: Login, options: dict[str, Any], username: str, password: Secret) -> Secret:
    """A new token for an account. Raises ApiFailure."""
    transport = Transport(endpoint_of(replace(wanted, token=Secret("")), options, os.environ))
    try:
        return Api(transport).create_session(username, password)
    finally:
        transport.close()


def _log_in(wanted: Login, options: dict[str, Any], username: str | None, password: str | None) -> Secret:
    name = username or ask.text("Username: ", "--username")
    secret = Secret(password) if password else ask.password("Password: ", "--password")
    return log_in_again(wanted, options, name, secret)


def _look_at_tls(wanted: Login, options: dict[str, Any]) -> Login:
    """The context with what the server turned out to speak, where the user agrees."""
    if wanted.plain_text:
        return wanted
    try:
        _probe(wanted, options)
    except Unreachable as error:
        if not error.tls:
            raise
        plain = replace(wanted, plain_text=True)
        if "verify certificate" in str(error):
            return _accept_insecure(wanted, error)
        try:
            _probe(plain, options)
        except ApiFailure:
            raise error from None
        if not ask.proceed("WARNING: server is not configured with TLS. Proceed (y/n)? "):
            raise not_as_asked("server is not configured with TLS", hint="Give --plaintext to accept that.") from None
        return plain
    return wanted


def _accept_insecure(wanted: Login, error: Unreachable) -> Login:
    reason = error.message.split('desc = "', 1)[-1].rstrip('"')
    if not ask.proceed(f"WARNING: server certificate had error: {reason}. Proceed insecurely (y/n)? "):
        hint = "Give --server-crt FILE to trust its certificate, or --insecure to trust anyone."
        raise not_as_asked(f"server certificate had error: {reason}", hint=hint) from None
    return replace(wanted, insecure=True)


def _probe(wanted: Login, options: dict[str, Any]) -> None:
    transport = Transport(endpoint_of(wanted, options, os.environ))
    try:
        Api(transport).version()
    finally:
        transport.close()


def _display_name(token: Secret) -> str:
    """Who a token is for: its email, name or subject; the token is not verified here, the server does that."""
    try:
        payload = token.reveal().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (IndexError, ValueError):
        return ""
    return str(claims.get("email") or claims.get("name") or claims.get("sub") or "")


@click.command("relogin", cls=Verb)
@click.option("--password", help="The account's password; asked for when absent.")
@click.option("--sso-port", type=int, hidden=True, expose_value=False)
@flag("--sso-launch-browser", default=None, hidden=True, expose_value=False)
@click.option("--callback", hidden=True, expose_value=False)
@click.pass_context
def relogin(ctx: click.Context, password: str | None) -> None:
    """Log in again as the user of the current context.

    \b
    Example:
      tiphys relogin --password "$PASSWORD"
    """
    options = options_of(ctx)
    path = places(options, os.environ).in_force
    contexts = read_contexts(path)
    if contexts is None:
        raise not_as_asked("No context found. Login using `login`")
    current = contexts.login(options.get("argocd_context") or "")
    subject = _display_name(current.token).removesuffix(":login")
    username = subject or ask.text("Username: ", "a token that names its user")
    secret = Secret(password) if password else ask.password("Password: ", "--password")
    token = log_in_again(current, options, username, secret)
    contexts.set_token(current.user, token)
    write_contexts(path, contexts)
    click.echo(f"Context '{current.name}' updated")


@click.command("logout", cls=Verb)
@click.argument("name", metavar="CONTEXT", shell_complete=complete_contexts)
@click.pass_context
def logout(ctx: click.Context, name: str) -> None:
    """Forget the token of a context, and end its session at the server when that can be reached.

    \b
    Example:
      tiphys logout localhost:8080
    """
    options = options_of(ctx)
    files = _files(options)
    if not files:
        raise not_as_asked("Nothing to logout from")
    path, contexts = next((item for item in files.items() if name in item[1].names), next(iter(files.items())))
    found = contexts.login(name)
    if not found.token:
        raise not_as_asked(f"Error in logging out from context '{name}'")
    transport = Transport(endpoint_of(found, options, os.environ))
    try:
        Api(transport).delete_session()
    except ApiFailure as error:
        click.echo(f"the session could not be ended at the server: {error.message}", err=True)
    finally:
        transport.close()
    contexts.set_token(found.user, Secret(""))
    write_contexts(path, contexts)
    forget()
    click.echo(f"Logged out from '{name}'")


@click.command("context", cls=Verb)
@click.argument("name", metavar="[CONTEXT]", required=False, shell_complete=complete_contexts)
@flag("--delete", help="Delete the context instead of switching to it.")
@click.pass_context
def context(ctx: click.Context, name: str | None, delete: bool) -> None:
    """List contexts, switch to one, or delete one.

    \b
    Examples:
      tiphys context
      tiphys context localhost:8080
      tiphys context localhost:8080 --delete
    """
    options = options_of(ctx)
    where = places(options, os.environ)
    files = _files(options)
    if name is None and not delete:
        rows = [("CURRENT", "NAME", "SERVER")]
        for path, contexts in files.items():
            current = contexts.current if path == where.in_force else ""
            rows += [("*" if item == current else "", item, contexts.login(item).server) for item in contexts.names]
        from tiphys.cli.output import table

        if len(rows) == 1:
            raise not_as_asked("No context found. Login using `login`")
        click.echo(table(rows), nl=False)
        return
    if not name:
        raise click.UsageError("--delete needs the name of a context", ctx)
    having = [path for path, contexts in files.items() if name in contexts.names]
    if not having:
        raise ContextError(f"Context {name} does not exist" if delete else f"Context '{name}' undefined")
    path = having[0]
    contexts = files[path]
    if delete:
        contexts.remove(name)
        write_contexts(path, contexts)
        click.echo(f"Context '{name}' deleted")
        return
    if path == where.in_force and contexts.current == name:
        click.echo(f"Already at context '{name}'")
        return
    contexts.current = name
    write_contexts(path, contexts)
    _choose(where.local, is_local=path == where.local)
    forget()
    click.echo(f"Switched to context '{name}'")


@click.command("configure", cls=Verb)
@flag("--prompts-enabled", default=None, help="Ask before deletions on a terminal; =false never asks.")
@click.pass_context
def configure(ctx: click.Context, prompts_enabled: bool | None) -> None:
    """Change what this CLI does by default.

    \b
    Example:
      tiphys configure --prompts-enabled=false
    """
    where = places(options_of(ctx), os.environ)
    contexts = read_contexts(where.in_force)
    if contexts is None:
        raise not_as_asked("No local configuration found. Log in first: `login`")
    if prompts_enabled is None:
        raise click.UsageError("configure needs --prompts-enabled or --prompts-enabled=false", ctx)
    contexts.prompts_enabled = prompts_enabled
    write_contexts(where.in_force, contexts)
    click.echo("Successfully updated the following configuration settings:")
    click.echo(f"prompts-enabled: {'true' if prompts_enabled else 'false'}")


def _files(options: dict[str, Any]) -> dict[Path, ContextFile]:
    """The configuration files there are, that of `tiphys up` first."""
    where = places(options, os.environ)
    return {path: found for path in (where.local, where.own) if (found := read_contexts(path)) is not None}


def _choose(local: Path, *, is_local: bool) -> None:
    from tiphys.cli.session import OWN_CHOSEN

    mark = local.parent / OWN_CHOSEN
    if is_local:
        mark.unlink(missing_ok=True)
    elif local.exists():
        mark.touch(mode=0o600)
