"""`tiphys app list`."""

from __future__ import annotations

from collections import Counter

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import qualified_name
from tiphys.cli.arguments import Verb
from tiphys.cli.output import UnknownFormError, print_value, table
from tiphys.cli.session import open_api

COLUMNS = ("NAME", "CLUSTER", "NAMESPACE", "PROJECT", "STATUS", "HEALTH", "SYNCPOLICY", "CONDITIONS")
WIDE_COLUMNS = ("REPO", "PATH", "TARGET")


@click.command("list", cls=Verb)
@click.option("-o", "--output", default="wide", help="Output format. One of: wide|name|json|yaml")
@click.option("-l", "--selector", default="", help="Labels to select by: =, ==, !=, in, notin, exists, not exists.")
@click.option("-p", "--project", "projects", multiple=True, help="Only of this project; repeatable.")
@click.option("-r", "--repo", default="", help="Only with a source in this repository.")
@click.option("-N", "--app-namespace", default="", help="Only in this namespace.")
@click.option("-c", "--cluster", default="", help="Only with this destination, by name or URL.")
@click.option("-P", "--path", default="", help="Only with a source at this path.")
@click.pass_context
def list_applications(
    ctx: click.Context,
    output: str,
    selector: str,
    projects: tuple[str, ...],
    repo: str,
    app_namespace: str,
    cluster: str,
    path: str,
) -> None:
    """List applications.

    \b
    Examples:
      tiphys app list
      tiphys app list -l team=shop -p default
      tiphys app list -o name
    """
    if output not in ("wide", "", "name", "json", "yaml"):
        raise UnknownFormError(output)
    apps = open_api(ctx).list_applications(selector=selector, projects=projects, repo=repo, namespace=app_namespace)
    if cluster:
        apps = [app for app in apps if cluster in _clusters(app)]
    if path:
        apps = [app for app in apps if any(source.get("path") == path for source in show.sources(app))]
    if output in ("json", "yaml"):
        print_value(apps, output)
    elif output == "name":
        for app in apps:
            click.echo(qualified_name(app))
    else:
        click.echo(table([_columns(output), *(row(app, wide=output == "wide") for app in apps)]), nl=False)


def row(app: show.Object, *, wide: bool) -> tuple[str, ...]:
    """The cells of one application."""
    cells = (
        qualified_name(app),
        show.destination(app),
        show.text(app, "spec", "destination", "namespace"),
        show.text(app, "spec", "project") or "default",
        show.text(app, "status", "sync", "status"),
        show.text(app, "status", "health", "status"),
        _policy(app),
        _conditions(app),
    )
    if not wide:
        return cells
    source = show.first_source(app)
    return (*cells, show.text(source, "repoURL"), show.text(source, "path"), show.text(source, "targetRevision"))


def _columns(output: str) -> tuple[str, ...]:
    return (*COLUMNS, *WIDE_COLUMNS) if output == "wide" else COLUMNS


def _clusters(app: show.Object) -> tuple[str, str]:
    return show.text(app, "spec", "destination", "server"), show.text(app, "spec", "destination", "name")


def _policy(app: show.Object) -> str:
    if not show.is_automated(app):
        return "Manual"
    return "Auto-Prune" if show.field(app, "spec", "syncPolicy", "automated", "prune") else "Auto"


def _conditions(app: show.Object) -> str:
    counted = Counter(str(item.get("type")) for item in show.field(app, "status", "conditions") or ())
    return ",".join(f"{kind}({n})" if n > 1 else kind for kind, n in sorted(counted.items())) or "<none>"
