"""`tiphys app get`."""

from __future__ import annotations

from typing import Any

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import split_name
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.failure import not_as_asked
from tiphys.cli.output import UnknownFormError, print_value
from tiphys.cli.session import open_api
from tiphys.client.api import Api

FORMS = ("wide", "", "tree", "tree=detailed", "json", "yaml")


@click.command("get", cls=Verb)
@click.argument("name", metavar="APPNAME")
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|tree|tree=detailed")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@flag("--refresh", help="Look at Git and the cluster first.")
@flag("--hard-refresh", help="The same, and render the manifests anew.")
@flag("--show-operation", help="Show the last operation.")
@flag("--show-params", help="Show parameters of the source.")
@click.option("--source-position", type=int, help="Position of the source whose parameters are shown, from 1.")
@click.option("--source-name", help="Name of the source whose parameters are shown.")
@click.option("--timeout", type=int, default=0, hidden=True)
@click.pass_context
def get(
    ctx: click.Context,
    name: str,
    output: str,
    app_namespace: str | None,
    refresh: bool,
    hard_refresh: bool,
    show_operation: bool,
    show_params: bool,
    source_position: int | None,
    source_name: str | None,
    timeout: int,
) -> None:
    """Show an application, and in one line what it is waiting for.

    \b
    Examples:
      tiphys app get my-app
      tiphys app get my-app --refresh --show-operation
      tiphys app get my-app -o tree
      tiphys app get my-app -o json
    """
    if output not in FORMS:
        raise UnknownFormError(output)
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    app = api.get_application(app_name, namespace, refresh="hard" if hard_refresh else "normal" if refresh else "")
    if output in ("json", "yaml"):
        print_value(app, output)
        return
    click.echo(show.summary(app, application_url(api, app_name)), nl=False)
    if show.field(app, "status", "conditions"):
        click.echo(f"\n{show.conditions(app)}")
    if show_operation and show.field(app, "status", "operationState"):
        click.echo(f"\n{show.operation(app['status']['operationState'])}", nl=False)
    if show_params:
        _print_parameters(_chosen_source(app, source_position, source_name))
    if output.startswith("tree"):
        from tiphys.cli.app.tree import print_tree

        print_tree(api, app, app_name, namespace, detailed=output == "tree=detailed")
    elif show.field(app, "status", "resources"):
        click.echo(f"\n{show.resources(app)}", nl=False)


def application_url(api: Api, name: str) -> str:
    """Where the dashboard shows the application."""
    return f"{api.transport.endpoint.url}/applications/{name}"


def _chosen_source(app: show.Object, position: int | None, name: str | None) -> Any:
    found = show.sources(app)
    if name is not None:
        named = [source for source in found if source.get("name") == name]
        if not named:
            raise not_as_asked(f"Unknown source name '{name}' for application {show.text(app, 'metadata', 'name')}")
        return named[0]
    if position is None:
        return show.first_source(app)
    if not 0 < position <= len(found):
        raise not_as_asked(f"Source position should be between 1 and {len(found)}")
    return found[position - 1]


def _print_parameters(source: show.Object) -> None:
    parameters = show.field(source, "helm", "parameters") or ()
    if parameters:
        from tiphys.cli.output import table

        rows = [("NAME", "VALUE"), *((item.get("name", ""), item.get("value", "")) for item in parameters)]
        click.echo(f"\n{table(rows)}", nl=False)
