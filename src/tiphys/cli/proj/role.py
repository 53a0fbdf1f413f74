"""`tiphys proj role`: roles of a project, their policies, groups and tokens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from tiphys.cli.arguments import Noun, flag
from tiphys.cli.complete import complete_projects
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import go_time, parse_duration, print_value, table
from tiphys.cli.proj.changes import change_spec
from tiphys.cli.session import open_api

Object = dict[str, Any]

_project = click.argument("project", metavar="PROJECT", shell_complete=complete_projects)
_name = click.argument("name", metavar="ROLE-NAME")


@click.group("role", cls=Noun)
def role() -> None:
    """Roles of a project, and tokens for them.

    \b
    Example:
      tiphys proj role list shop
    """


@role.command("list")
@_project
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|name")
@click.pass_context
def list_roles(ctx: click.Context, project: str, output: str) -> None:
    """List roles.

    \b
    Example:
      tiphys proj role list shop
    """
    roles = (open_api(ctx).get_project(project).get("spec") or {}).get("roles") or []
    if output == "name":
        for item in roles:
            click.echo(item.get("name", ""))
    elif output in ("wide", ""):
        rows = [(str(item.get("name") or ""), str(item.get("description") or "")) for item in roles]
        click.echo(table([("ROLE-NAME", "DESCRIPTION"), *rows]), nl=False)
    else:
        print_value(roles, output)


@role.command("get")
@_project
@_name
@click.pass_context
def get(ctx: click.Context, project: str, name: str) -> None:
    """Show a role with its policies and tokens.

    \b
    Example:
      tiphys proj role get shop ci
    """
    found = _role(open_api(ctx).get_project(project).get("spec") or {}, project, name)
    click.echo(f"{'Role Name:':<15}{name}\n{'Description:':<15}{found.get('description') or ''}\nPolicies:")
    for policy in found.get("policies") or ():
        click.echo(policy)
    click.echo("Groups:")
    for group in found.get("groups") or ():
        click.echo(group)
    click.echo(f"JWT Tokens:\n{_tokens(found)}", nl=False)


@role.command("create")
@_project
@_name
@click.option("--description", default="", help="What it is for.")
@click.pass_context
def create(ctx: click.Context, project: str, name: str, description: str) -> None:
    """Create a role.

    \b
    Example:
      tiphys proj role create shop ci --description 'For the pipeline'
    """

    def change(spec: Object) -> None:
        roles = list(spec.get("roles") or [])
        if any(item.get("name") == name for item in roles):
            raise CommandFailed(f"Role '{name}' already exists")
        spec["roles"] = [*roles, {"name": name, **({"description": description} if description else {})}]

    change_spec(ctx, project, change)
    click.echo(f"Role '{name}' created")


@role.command("delete")
@_project
@_name
@click.pass_context
def delete(ctx: click.Context, project: str, name: str) -> None:
    """Delete a role.

    \b
    Example:
      tiphys proj role delete shop ci
    """

    def change(spec: Object) -> None:
        found = _role(spec, project, name)
        spec["roles"] = [item for item in spec["roles"] if item is not found]

    change_spec(ctx, project, change)
    click.echo(f"Role '{name}' deleted")


def _policy_options(function: Any) -> Any:
    for option in (
        click.option("-r", "--resource", default="applications", show_default=True, help="Resource it is about."),
        click.option(
            "-p",
            "--permission",
            type=click.Choice(["allow", "deny"]),
            default="allow",
            show_default=True,
            help="Whether it is allowed or denied.",
        ),
        click.option("-o", "--object", "obj", required=True, help="Name of the object within the project, a glob."),
        click.option("-a", "--action", required=True, help="get, create, update, delete, sync, override, or *."),
    ):
        function = option(function)
    return function


@role.command("add-policy")
@_project
@_name
@_policy_options
@click.pass_context
def add_policy(
    ctx: click.Context, project: str, name: str, action: str, obj: str, permission: str, resource: str
) -> None:
    """Allow or deny a role something.

    \b
    Example:
      tiphys proj role add-policy shop ci --action sync --object '*'
    """
    policy = f"p, proj:{project}:{name}, {resource}, {action}, {project}/{obj}, {permission}"
    _change_list(ctx, project, name, "policies", lambda items: [*items, *([] if policy in items else [policy])])


@role.command("remove-policy")
@_project
@_name
@_policy_options
@click.pass_context
def remove_policy(
    ctx: click.Context, project: str, name: str, action: str, obj: str, permission: str, resource: str
) -> None:
    """Take away what add-policy gave.

    \b
    Example:
      tiphys proj role remove-policy shop ci --action sync --object '*'
    """
    policy = f"p, proj:{project}:{name}, {resource}, {action}, {project}/{obj}, {permission}"

    def remove(items: list[str]) -> list[str]:
        if policy not in items:
            raise CommandFailed(f"failed to remove policy: {policy} does not exist")
        return [item for item in items if item != policy]

    _change_list(ctx, project, name, "policies", remove)


@role.command("add-group")
@_project
@_name
@click.argument("group", metavar="GROUP-CLAIM")
@click.pass_context
def add_group(ctx: click.Context, project: str, name: str, group: str) -> None:
    """Give a role to a group.

    \b
    Example:
      tiphys proj role add-group shop ci my-org:shop
    """
    _change_list(ctx, project, name, "groups", lambda items: [*items, *([] if group in items else [group])])
    click.echo(f"Group '{group}' added to role '{name}'")


@role.command("remove-group")
@_project
@_name
@click.argument("group", metavar="GROUP-CLAIM")
@click.pass_context
def remove_group(ctx: click.Context, project: str, name: str, group: str) -> None:
    """Take a role from a group.

    \b
    Example:
      tiphys proj role remove-group shop ci my-org:shop
    """
    _change_list(ctx, project, name, "groups", lambda items: [item for item in items if item != group])
    click.echo(f"Group '{group}' removed from role '{name}'")


@role.command("create-token")
@_project
@_name
@click.option("-e", "--expires-in", default="0s", show_default=True, help="How long it counts, as in 24h; 0s: always.")
@click.option("-i", "--id", "token_id", default="", help="Id of the token. [default: a new one]")
@flag("-t", "--token-only", help="Print the token and nothing else.")
@click.pass_context
def create_token(ctx: click.Context, project: str, name: str, expires_in: str, token_id: str, token_only: bool) -> None:
    """Make a token for a role, and print it.

    \b
    Example:
      tiphys proj role create-token shop ci --expires-in 30d --token-only
    """
    seconds = parse_duration(expires_in)
    if seconds is None:
        raise CommandFailed(f"--expires-in: expected a duration such as 24h, but instead got: {expires_in}")
    token = open_api(ctx).create_role_token(project, name, token_id=token_id, expires_in_s=round(seconds))
    if not token_only:
        click.echo(f"Create token succeeded for proj:{project}:{name}.")
    click.echo(token.reveal() if token_only else f"  Token: {token.reveal()}")


@role.command("delete-token")
@_project
@_name
@click.argument("issued_at", metavar="ISSUED-AT", type=int)
@click.pass_context
def delete_token(ctx: click.Context, project: str, name: str, issued_at: int) -> None:
    """Revoke a token of a role; `list-tokens --unixtime` shows when it was issued.

    \b
    Example:
      tiphys proj role delete-token shop ci 1767225600
    """
    open_api(ctx).delete_role_token(project, name, issued_at)


@role.command("list-tokens")
@_project
@_name
@flag("-u", "--unixtime", help="Times as seconds since 1970.")
@click.pass_context
def list_tokens(ctx: click.Context, project: str, name: str, unixtime: bool) -> None:
    """List the tokens of a role.

    \b
    Example:
      tiphys proj role list-tokens shop ci
    """
    found = _role(open_api(ctx).get_project(project).get("spec") or {}, project, name)
    click.echo(_tokens(found, unixtime=unixtime), nl=False)


def _tokens(found: Object, *, unixtime: bool = False) -> str:
    def shown(seconds: Any) -> str:
        if unixtime or not seconds:
            return str(seconds or "<none>")
        return go_time(datetime.fromtimestamp(int(seconds), UTC).isoformat())

    rows = [
        (str(token.get("id") or ""), shown(token.get("iat")), shown(token.get("exp")))
        for token in found.get("jwtTokens") or ()
    ]
    return table([("ID", "ISSUED-AT", "EXPIRES-AT"), *rows])


def _role(spec: Object, project: str, name: str) -> Object:
    found: Object | None = next((item for item in spec.get("roles") or () if item.get("name") == name), None)
    if found is None:
        raise CommandFailed(f"role '{name}' does not exist in project '{project}'")
    return found


def _change_list(
    ctx: click.Context, project: str, name: str, key: str, change: Callable[[list[str]], list[str]]
) -> None:
    def apply(spec: Object) -> None:
        found = _role(spec, project, name)
        found[key] = change(list(found.get(key) or []))

    change_spec(ctx, project, apply)
