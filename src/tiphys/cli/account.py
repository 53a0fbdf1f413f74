"""`tiphys account`: the account that is logged in."""

from __future__ import annotations

import os
from typing import Any

import click

from tiphys.cli import ask
from tiphys.cli.arguments import Noun
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import parse_duration, print_value, table
from tiphys.cli.session import login_in_force, open_api, options_of, places
from tiphys.client.contexts import read_contexts, write_contexts
from tiphys.runtime.secret import Secret


@click.group("account", cls=Noun)
def account() -> None:
    """Manage the account that is logged in.

    \b
    Example:
      tiphys account get-user-info
    """


@account.command("update-password")
@click.option("--account", "name", default="", help="Whose password. [default: one's own]")
@click.option("--current-password", help="Password of the account that is logged in; asked for when absent.")
@click.option("--new-password", help="The new password; asked for when absent.")
@click.pass_context
def update_password(ctx: click.Context, name: str, current_password: str | None, new_password: str | None) -> None:
    """Change a password, and go on with a new session when it is one's own.

    \b
    Examples:
      tiphys account update-password
      tiphys account update-password --current-password "$OLD" --new-password "$NEW"
    """
    api = open_api(ctx)
    info = api.user_info()
    me = str(info.get("username") or "")
    current = (
        Secret(current_password)
        if current_password
        else ask.password(f"*** Enter password of currently logged in user ({me}): ", "--current-password")
    )
    new = Secret(new_password) if new_password else _new_password(name or me)
    api.update_password(name, current, new)
    click.echo("Password updated")
    if name in ("", me):
        _renew(ctx, me, new)


def _new_password(name: str) -> Secret:
    while True:
        new = ask.password(f"*** Enter new password for user {name}: ", "--new-password")
        if new == ask.password(f"*** Confirm new password for user {name}: ", "--new-password"):
            return new
        click.echo("Passwords do not match", err=True)


def _renew(ctx: click.Context, me: str, password: Secret) -> None:
    """A new token for the context in force: the old one ended with the password."""
    from tiphys.cli.login import log_in_again

    options = options_of(ctx)
    path = places(options, os.environ).in_force
    contexts = read_contexts(path)
    login = login_in_force(options, os.environ, contexts)
    token_was_given = options.get("auth_token") or os.environ.get("ARGOCD_AUTH_TOKEN")
    if contexts is None or not login.name or token_was_given:
        return
    contexts.set_token(login.user, log_in_again(login, options, me, password))
    write_contexts(path, contexts)
    click.echo(f"Context '{login.name}' updated")


@account.command("get-user-info")
@click.option("-o", "--output", default="", help="Output format. One of: yaml|json")
@click.pass_context
def get_user_info(ctx: click.Context, output: str) -> None:
    """Show who is logged in.

    \b
    Example:
      tiphys account get-user-info -o json
    """
    info = open_api(ctx).user_info()
    if output:
        print_value(info, output)
        return
    click.echo(f"Logged In: {'true' if info.get('loggedIn') else 'false'}")
    if info.get("loggedIn"):
        click.echo(f"Username: {info.get('username', '')}")
        click.echo(f"Issuer: {info.get('iss', '')}")
        click.echo(f"Groups: {','.join(info.get('groups') or ())}")


@account.command("can-i")
@click.argument("action")
@click.argument("resource")
@click.argument("subresource")
@click.pass_context
def can_i(ctx: click.Context, action: str, resource: str, subresource: str) -> None:
    """Say yes or no: whether the account may do something.

    \b
    Examples:
      tiphys account can-i sync applications 'default/*'
      tiphys account can-i update projects default
    """
    click.echo("yes" if open_api(ctx).can_i(action, resource, subresource) else "no")


@account.command("list")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|name")
@click.pass_context
def list_accounts(ctx: click.Context, output: str) -> None:
    """List accounts.

    \b
    Example:
      tiphys account list
    """
    accounts = open_api(ctx).list_accounts()
    if output == "name":
        for item in accounts:
            click.echo(item.get("name", ""))
    elif output in ("wide", ""):
        rows = [("NAME", "ENABLED", "CAPABILITIES")]
        rows += [
            (item.get("name", ""), _bool(item.get("enabled")), ", ".join(item.get("capabilities") or ()))
            for item in accounts
        ]
        click.echo(table(rows), nl=False)
    else:
        print_value(accounts, output)


@account.command("get")
@click.option("-a", "--account", "name", default="", help="Name of the account. [default: one's own]")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|name")
@click.pass_context
def get_account(ctx: click.Context, name: str, output: str) -> None:
    """Show an account.

    \b
    Example:
      tiphys account get --account admin
    """
    api = open_api(ctx)
    found = api.get_account(name or str(api.user_info().get("username") or ""))
    if output == "name":
        click.echo(found.get("name", ""))
    elif output in ("wide", ""):
        _print_account(found)
    else:
        print_value(found, output)


@account.command("generate-token")
@click.option("-a", "--account", "name", default="", help="Name of the account. [default: one's own]")
@click.option(
    "-e", "--expires-in", default="0s", show_default=True, help="How long it counts, as in 24h or 7d; 0s: always."
)
@click.option("--id", "token_id", default="", help="Id of the token. [default: a new one]")
@click.pass_context
def generate_token(ctx: click.Context, name: str, expires_in: str, token_id: str) -> None:
    """Make an API key for an account that has the capability apiKey, and print it.

    \b
    Example:
      tiphys account generate-token --account ci --expires-in 30d
    """
    seconds = parse_duration(expires_in)
    if seconds is None:
        raise CommandFailed(f"--expires-in: expected a duration such as 24h, but instead got: {expires_in}")
    api = open_api(ctx)
    owner = name or str(api.user_info().get("username") or "")
    click.echo(api.create_account_token(owner, token_id=token_id, expires_in_s=round(seconds)).reveal())


@account.command("delete-token")
@click.argument("token_id", metavar="ID")
@click.option("-a", "--account", "name", default="", help="Name of the account. [default: one's own]")
@click.pass_context
def delete_token(ctx: click.Context, token_id: str, name: str) -> None:
    """Revoke an API key of an account; `account get` lists the ids.

    \b
    Example:
      tiphys account delete-token --account ci 0c8f6e3d
    """
    api = open_api(ctx)
    api.delete_account_token(name or str(api.user_info().get("username") or ""), token_id)


@account.command("session-token")
@click.option("-o", "--output", default="", help="Output format. One of: json|yaml")
@click.pass_context
def session_token(ctx: click.Context, output: str) -> None:
    """Print the token that this CLI uses now, for programs that want one in a header.

    \b
    Example:
      curl -H "Authorization: Bearer $(tiphys account session-token)" https://argocd.example.com/api/v1/applications
    """
    options = options_of(ctx)
    login = login_in_force(options, os.environ, read_contexts(places(options, os.environ).in_force))
    if not login.token:
        raise CommandFailed("there is no token: nobody is logged in", hint="Log in with `tiphys login HOST`.")
    if output:
        print_value({"server": login.server, "token": login.token.reveal()}, output)
    else:
        click.echo(login.token.reveal())


@account.command("bcrypt")
@click.option("--password", help="The password; asked for when absent.")
def bcrypt_password(password: str | None) -> None:
    """Print the bcrypt hash of a password, as accounts in Secrets have it.

    \b
    Example:
      tiphys account bcrypt --password "$PASSWORD"
    """
    import bcrypt

    secret = Secret(password) if password else ask.password("Password: ", "--password")
    click.echo(bcrypt.hashpw(secret.reveal().encode(), bcrypt.gensalt(rounds=10)).decode())


def _print_account(found: dict[str, Any]) -> None:
    click.echo(f"{'Name:':<20}{found.get('name', '')}")
    click.echo(f"{'Enabled:':<20}{_bool(found.get('enabled'))}")
    click.echo(f"{'Capabilities:':<20}{', '.join(found.get('capabilities') or ())}")
    click.echo("\nTokens:")
    tokens = found.get("tokens") or ()
    if not tokens:
        click.echo("NONE")
        return
    from datetime import UTC, datetime

    from tiphys.cli.output import go_time

    def shown(seconds: object) -> str:
        return go_time(datetime.fromtimestamp(int(str(seconds)), UTC).isoformat()) if seconds else "never"

    rows = [("ID", "ISSUED AT", "EXPIRING AT")]
    rows += [
        (str(token.get("id", "")), shown(token.get("issuedAt")), shown(token.get("expiresAt"))) for token in tokens
    ]
    click.echo(table(rows), nl=False)


def _bool(value: object) -> str:
    return "true" if value else "false"
