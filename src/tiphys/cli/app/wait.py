"""`tiphys app wait`."""

from __future__ import annotations

import click

from tiphys.cli.app.follow import EVERYTHING, Wanted, check_form, wait_for
from tiphys.cli.app.naming import parse_resources, qualified_name, split_name
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.session import open_api


@click.command("wait", cls=Verb)
@click.argument("names", metavar="[APPNAME...]", nargs=-1)
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
    found = list(names)
    if selector:
        found += [qualified_name(app) for app in api.list_applications(selector=selector)]
    for text in found:
        name, namespace = split_name(text, app_namespace)
        wait_for(api, name, namespace, wanted, timeout_s=timeout, form=output, selected=selected)
