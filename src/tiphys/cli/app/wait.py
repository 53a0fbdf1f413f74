"""`tiphys app wait`."""

from __future__ import annotations

import click

from tiphys.cli.app.follow import EVERYTHING, Wanted, check_form, wait_for
from tiphys.cli.app.naming import parse_resources
from tiphys.cli.app.progress import board_for
from tiphys.cli.app.several import targets, wait_all
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps
from tiphys.cli.session import open_api
from tiphys.client.api import Api


@click.command("wait", cls=Verb)
@click.argument("names", metavar="[APPNAME...]", nargs=-1, shell_complete=complete_apps)
@flag("--sync", help="Wait for sync.")
@flag("--health", help="Wait for health.")
@flag("--operation", help="Wait for pending operations.")
@flag("--suspended", help="Wait for suspended.")
@flag("--degraded", help="Wait for degraded.")
@flag("--delete", help="Wait for delete.")
@flag("--hydrated", help="Accepted; there is nothing to hydrate.")
@click.option("-l", "--selector", default="", help="Wait for applications with these labels.")
@click.option(
    "--resource", "resources", multiple=True, help="Wait only for [!]GROUP:KIND:[NAMESPACE/]NAME; repeatable."
)
@click.option("--timeout", type=int, default=0, help="Give up after this many seconds; 0 never does.")
@click.option("-N", "--app-namespace", help="Namespace of the applications.")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|tree|tree=detailed")
@click.pass_context
def wait(
    ctx: click.Context,
    names: tuple[str, ...],
    sync: bool,
    health: bool,
    operation: bool,
    suspended: bool,
    degraded: bool,
    delete: bool,
    hydrated: bool,
    selector: str,
    resources: tuple[str, ...],
    timeout: int,
    app_namespace: str | None,
    output: str,
) -> None:
    """Wait until applications are synced and healthy and no operation runs, or until what is named.

    Several applications are waited for at the same time.

    \b
    Examples:
      tiphys app wait my-app --timeout 120
      tiphys app wait my-app --health
      tiphys app wait my-app --resource apps:Deployment:my-app
      tiphys app wait -l team=shop
    """
    check_form(output)
    if not names and not selector:
        raise click.UsageError("wait needs the name of an application, or --selector", ctx)
    named = Wanted(sync, health, operation, suspended, degraded, delete)
    wanted = EVERYTHING if named == Wanted() and not hydrated else named
    selected = parse_resources(resources)
    api = open_api(ctx)
    board = board_for(ctx, output)

    def wait_one(own: Api, name: str, namespace: str) -> None:
        wait_for(own, name, namespace, wanted, board, timeout_s=timeout, form=output, selected=selected)

    found = targets(api, names, app_namespace, selector=selector)
    wait_all(api, board, found, wait_one, operations=False)
