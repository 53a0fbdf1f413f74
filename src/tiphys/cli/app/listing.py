"""`tiphys app list`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import qualified_name
from tiphys.cli.app.watching import watch_list
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_projects
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import UnknownFormError, table, value_text
from tiphys.cli.session import open_api

COLUMNS = ("NAME", "CLUSTER", "NAMESPACE", "PROJECT", "STATUS", "HEALTH", "SYNCPOLICY", "CONDITIONS")
WIDE_COLUMNS = ("REPO", "PATH", "TARGET")


@click.command("list", cls=Verb)
@click.option("-o", "--output", default="wide", help="Output format. One of: wide|name|json|yaml")
@click.option("-l", "--selector", default="", help="Labels to select by: =, ==, !=, in, notin, exists, not exists.")
@click.option(
    "-p",
    "--project",
    "projects",
    multiple=True,
    shell_complete=complete_projects,
    help="Only of this project; repeatable.",
)
@click.option("-r", "--repo", default="", help="Only with a source in this repository.")
@click.option("-N", "--app-namespace", default="", help="Only in this namespace.")
@click.option("-c", "--cluster", default="", help="Only with this destination, by name or URL.")
@click.option("-P", "--path", default="", help="Only with a source at this path.")
@flag("-w", "--watch", help="Go on: on a terminal the table as it changes, else a line for each change.")
@click.option("--filter", "filters", multiple=True, metavar="EXPR", help="Only sync=WORD, health!=WORD and the like.")
@click.option("--sort-by", default="name", show_default=True, help="name, project, sync or health.")
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
    watch: bool,
    filters: tuple[str, ...],
    sort_by: str,
) -> None:
    """List applications.

    \b
    Examples:
      tiphys app list
      tiphys app list -l team=shop -p default
      tiphys app list -o name
      tiphys app list --filter 'health!=Healthy' --watch
    """
    if output not in ("wide", "", "name", "json", "yaml"):
        raise UnknownFormError(output)
    if sort_by not in _SORTS:
        raise CommandFailed(f"--sort-by: expected one of {', '.join(_SORTS)}, but instead got: {sort_by}")
    conditions = [parse_filter(text) for text in filters]

    def shows(app: show.Object) -> bool:
        if cluster and cluster not in _clusters(app):
            return False
        if path and not any(source.get("path") == path for source in show.sources(app)):
            return False
        return all(condition(app) for condition in conditions)

    api = open_api(ctx)
    if watch:
        stream = api.watch_applications(selector=selector, projects=projects, repo=repo, namespace=app_namespace)
        watch_list(
            stream,
            shows,
            lambda apps: list_text(_sorted(apps, sort_by), output, with_header=True),
            lambda app: list_text([app], output, with_header=False),
            output,
        )
        return
    apps = api.list_applications(selector=selector, projects=projects, repo=repo, namespace=app_namespace)
    click.echo(list_text(_sorted([app for app in apps if shows(app)], sort_by), output, with_header=True), nl=False)


_SORTS: dict[str, tuple[str, ...]] = {
    "name": (),
    "project": ("spec", "project"),
    "sync": ("status", "sync", "status"),
    "health": ("status", "health", "status"),
}
_FILTERED = {**_SORTS, "name": ("metadata", "name"), "namespace": ("spec", "destination", "namespace")}


def list_text(apps: list[dict[str, Any]], form: str, *, with_header: bool) -> str:
    """Applications in the form `-o` asked for."""
    if form in ("json", "yaml"):
        return value_text(apps, form)
    if form == "name":
        return "".join(f"{qualified_name(app)}\n" for app in apps)
    rows = [row(app, wide=form == "wide") for app in apps]
    return table([_columns(form), *rows] if with_header else rows)


def parse_filter(text: str) -> Callable[[show.Object], bool]:
    """A condition such as `health!=Healthy`. Raises CommandFailed."""
    found = re.fullmatch(r"(\w+)(!?=)(.*)", text)
    if found is None or found[1] not in _FILTERED:
        known = ", ".join(sorted(_FILTERED))
        raise CommandFailed(f"--filter: expected NAME=WORD or NAME!=WORD with one of {known}, but instead got: {text}")
    names, negated, wanted = _FILTERED[found[1]], found[2] == "!=", found[3]
    return lambda app: (show.text(app, *names) == wanted) != negated


def _sorted(apps: list[dict[str, Any]], by: str) -> list[dict[str, Any]]:
    names = _SORTS[by]
    return sorted(apps, key=lambda app: show.text(app, *names)) if names else apps


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
