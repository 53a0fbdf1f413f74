"""`tiphys app manifests`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import split_name
from tiphys.cli.arguments import Verb
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.output import print_yaml
from tiphys.cli.session import open_api
from tiphys.client.api import Api

NO_LOCAL = "--local is not supported: manifests are rendered by the server from Git"


@click.command("manifests", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("--source", default="git", show_default=True, help="Where from: live|git")
@click.option("--revision", default="", help="Show what Git declares at this revision.")
@click.option("--revisions", multiple=True, help="Revision of a source; repeatable, with --source-positions or -names.")
@click.option("--source-positions", type=int, multiple=True, help="Position of that source, from 1; repeatable.")
@click.option("--source-names", multiple=True, help="Name of that source; repeatable.")
@click.option("--local", help="Not supported: the server renders from Git.")
@click.option("--local-repo-root", help="Not supported, as --local.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def manifests(
    ctx: click.Context,
    name: str,
    source: str,
    revision: str,
    revisions: tuple[str, ...],
    source_positions: tuple[int, ...],
    source_names: tuple[str, ...],
    local: str | None,
    local_repo_root: str | None,
    app_namespace: str | None,
) -> None:
    """Print the manifests of an application.

    \b
    Examples:
      tiphys app manifests my-app
      tiphys app manifests my-app --source live
      tiphys app manifests my-app --revision v1.2.3
    """
    if local or local_repo_root:
        raise CommandFailed(NO_LOCAL)
    if source not in ("git", "live"):
        raise not_as_asked(f"Unknown source type '{source}'")
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    if source == "live":
        objects = [json.loads(item.get("liveState") or "null") for item in api.managed_resources(app_name, namespace)]
    else:
        objects = declared(api, app_name, namespace, revision, revisions, source_positions, source_names)
    for obj in objects:
        if obj:
            click.echo("---")
            print_yaml(obj)


def declared(
    api: Api,
    name: str,
    namespace: str,
    revision: str = "",
    revisions: Sequence[str] = (),
    source_positions: Sequence[int] = (),
    source_names: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """What Git declares: at a revision, or as it was compared last. Raises CommandFailed."""
    if not revision and not revisions:
        return [json.loads(item.get("targetState") or "null") for item in api.managed_resources(name, namespace)]
    positions = positions_of(api.get_application(name, namespace), revisions, source_positions, source_names)
    texts = api.manifests(name, namespace, revision=revision, revisions=revisions, source_positions=positions)
    return [json.loads(text) for text in texts]


def positions_of(
    app: show.Object, revisions: Sequence[str], source_positions: Sequence[int], source_names: Sequence[str]
) -> list[int]:
    """Positions, from 1, of the sources that `--revisions` are for. Raises CommandFailed."""
    if source_positions and source_names:
        raise not_as_asked("Only one of source-positions and source-names can be specified.")
    positions = list(source_positions)
    if source_names:
        names = [source.get("name") for source in show.sources(app)]
        unknown = [name for name in source_names if name not in names]
        if unknown:
            raise not_as_asked(f"Unknown source name '{unknown[0]}'")
        positions = [names.index(name) + 1 for name in source_names]
    if len(positions) != len(revisions):
        raise CommandFailed(
            "While using --revisions and --source-positions, length of values for both flags should be same."
        )
    if any(position <= 0 for position in positions):
        raise not_as_asked("source-position cannot be less than or equal to 0, Counting starts at 1")
    return positions
