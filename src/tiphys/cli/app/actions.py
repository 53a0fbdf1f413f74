"""`tiphys app actions list` and `run`."""

from __future__ import annotations

import click

from tiphys.cli.app.naming import split_name
from tiphys.cli.app.picking import pick, resource_options
from tiphys.cli.arguments import Noun, flag
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import print_value, table
from tiphys.cli.session import open_api


@click.group("actions", cls=Noun)
def actions() -> None:
    """Actions on live objects, such as restarting a Deployment.

    \b
    Example:
      tiphys app actions list my-app
    """


@actions.command("list")
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@resource_options(kind_needed=False)
@click.option("-o", "--out", "output", default="", help="Output format. One of: wide|yaml|json")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def list_actions(
    ctx: click.Context,
    name: str,
    group: str | None,
    kind: str | None,
    namespace: str | None,
    resource_name: str | None,
    output: str,
    app_namespace: str | None,
) -> None:
    """List the actions there are on the objects of an application.

    \b
    Examples:
      tiphys app actions list my-app
      tiphys app actions list my-app --kind Deployment
    """
    api = open_api(ctx)
    app = split_name(name, app_namespace)
    found = pick(
        api, app, group=group, kind=kind, namespace=namespace, resource_name=resource_name, every=True, verb="list"
    )
    rows = []
    for node in found:
        for action in api.list_resource_actions(*app, node):
            rows.append(
                {
                    "group": node.get("group") or "",
                    "kind": node.get("kind") or "",
                    "name": node.get("name") or "",
                    "action": action.get("name") or "",
                    "disabled": bool(action.get("disabled")),
                }
            )
    if output in ("", "wide"):
        cells = [
            tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in row.values())
            for row in rows
        ]
        click.echo(table([("GROUP", "KIND", "NAME", "ACTION", "DISABLED"), *cells]), nl=False)
    else:
        print_value(rows, output)


@actions.command("run")
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.argument("action", metavar="ACTION")
@resource_options()
@flag("--all", "every", help="Run it on all that match.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def run_action(
    ctx: click.Context,
    name: str,
    action: str,
    group: str | None,
    kind: str,
    namespace: str | None,
    resource_name: str | None,
    every: bool,
    app_namespace: str | None,
) -> None:
    """Run an action on an object of an application.

    \b
    Example:
      tiphys app actions run my-app restart --kind Deployment --resource-name my-app
    """
    api = open_api(ctx)
    app = split_name(name, app_namespace)
    # The long form of other tools names the group too: `apps/Deployment/restart`.
    wanted = action.rsplit("/", 1)[-1]
    nodes = pick(
        api, app, group=group, kind=kind, namespace=namespace, resource_name=resource_name, every=True, verb="run on"
    )
    able = []
    known: set[str] = set()
    for node in nodes:
        names = {str(item.get("name")): bool(item.get("disabled")) for item in api.list_resource_actions(*app, node)}
        known.update(names)
        if wanted in names and not names[wanted]:
            able.append(node)
    if not able:
        listed = ", ".join(sorted(known))
        raise CommandFailed(
            f"no matching resource has the action {wanted!r}", hint=f"There are: {listed}." if listed else ""
        )
    if len(able) > 1 and not every:
        raise CommandFailed("multiple resources match inputs, use the --all flag to run on multiple resources")
    for node in able:
        api.run_resource_action(*app, node, wanted)
        click.echo(f"Action '{wanted}' run on {node.get('kind')} '{node.get('name')}'")
