"""`tiphys app get`."""

from __future__ import annotations

from typing import Any

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import qualified_name, split_name
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import not_as_asked
from tiphys.cli.output import UnknownFormError, value_text
from tiphys.cli.session import open_api
from tiphys.client.api import Api
from tiphys.client.errors import ApiFailure, Unreachable

FORMS = ("wide", "", "tree", "tree=detailed", "json", "yaml")
GET_FORMS = (*FORMS, "name")


@click.command("get", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide|name|tree|tree=detailed")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@flag("--refresh", help="Look at Git and the cluster first.")
@flag("--hard-refresh", help="The same, and render the manifests anew.")
@flag("--show-operation", help="Show the last operation.")
@flag("--show-params", help="Show parameters of the source.")
@click.option("--source-position", type=int, help="Position of the source whose parameters are shown, from 1.")
@click.option("--source-name", help="Name of the source whose parameters are shown.")
@click.option("--timeout", type=int, default=0, help="Give up after this many seconds; 0: after those of the server.")
@flag("-w", "--watch", help="Go on showing it as it changes.")
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
    watch: bool,
) -> None:
    """Show an application, and in one line what it is waiting for.

    \b
    Examples:
      tiphys app get my-app
      tiphys app get my-app --refresh --show-operation
      tiphys app get my-app -o tree --watch
      tiphys app get my-app -o json
    """
    if output not in GET_FORMS:
        raise UnknownFormError(output)
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    kind = "hard" if hard_refresh else "normal" if refresh else ""

    def text(app: dict[str, Any]) -> str:
        if output == "name":
            return f"{qualified_name(app)}\n"
        if output in ("json", "yaml"):
            return value_text(app, output)
        source = _chosen_source(app, source_position, source_name) if show_params else None
        return get_text(api, app, app_name, namespace, output, show_operation=show_operation, source=source)

    app = api.get_application(app_name, namespace, refresh=kind, timeout_s=timeout or None)
    if watch:
        from tiphys.cli.app.watching import watch_one

        watch_one(api, app, app_name, namespace, text)
        return
    click.echo(text(app), nl=False)


def get_text(
    api: Api,
    app: dict[str, Any],
    name: str,
    namespace: str,
    form: str,
    *,
    show_operation: bool = False,
    source: show.Object | None = None,
) -> str:
    """The Application for people; with the parameters of a source where one is given."""
    parts = [show.summary(app, application_url(api, name), windows_of(api, name, namespace))]
    if show.field(app, "status", "conditions"):
        parts.append(f"\n{show.conditions(app)}\n")
    if show_operation and show.field(app, "status", "operationState"):
        parts.append(f"\n{show.operation(app['status']['operationState'])}")
    if source is not None:
        parts.append(_parameters(source))
    if form.startswith("tree"):
        from tiphys.cli.app.tree import tree_text

        parts.append(tree_text(api, app, name, namespace, detailed=form == "tree=detailed"))
    elif show.field(app, "status", "resources"):
        parts.append(f"\n{show.resources(app)}")
    return "".join(parts)


def windows_of(api: Api, name: str, namespace: str) -> show.Object:
    """The Application's sync windows; nothing where the server does not say."""
    try:
        return api.sync_windows(name, namespace)
    except Unreachable:
        raise
    except ApiFailure:  # an older server; what was asked for is there all the same
        return {}


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


def _parameters(source: show.Object) -> str:
    """Helm parameters as a table; of another source its images and replicas, or nothing."""
    from tiphys.cli.output import table

    rows = [(str(item.get("name", "")), str(item.get("value", ""))) for item in _items(source, "helm", "parameters")]
    rows += [(str(item.get("name", "")), str(item.get("value", ""))) for item in _items(source, "plugin", "env")]
    rows += [("image", str(image)) for image in show.field(source, "kustomize", "images") or ()]
    return f"\n{table([('NAME', 'VALUE'), *rows])}" if rows else ""


def _items(source: show.Object, *names: str) -> list[dict[str, Any]]:
    return [item for item in show.field(source, *names) or () if isinstance(item, dict)]
