"""`tiphys app logs`: what the Pods of an Application wrote."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

import click

from tiphys.cli.app.naming import split_name
from tiphys.cli.app.picking import matching
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.colour import is_coloured, of_name
from tiphys.cli.complete import complete_apps
from tiphys.cli.failure import CommandFailed, not_as_asked
from tiphys.cli.output import parse_duration
from tiphys.cli.session import open_api
from tiphys.client.api import Api
from tiphys.client.errors import ApiFailure, Unreachable

RECONNECT_S = 1.0
_LOST_SINCE_S = 1  # what was said while there was no connection


@click.command("logs", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("--group", default="", help="API group of the resource whose Pods are meant.")
@click.option("--kind", default="", help="Kind of that resource.")
@click.option("--namespace", default="", help="Namespace of that resource.")
@click.option("--name", "resource_name", default="", help="Name of that resource.")
@click.option("-c", "--container", default="", help="Container. [default: the first]")
@flag("--all-containers", help="Every container of each Pod.")
@flag("-f", "--follow", help="Go on printing what is added.")
@click.option("--tail", type=int, default=0, help="Lines from the end; 0 prints all.")
@click.option("--since-seconds", type=int, default=0, help="Only what is newer than this many seconds.")
@click.option("--since", default="", help="The same as a duration, as in 10m.")
@click.option("--until-time", default="", help="Only what is older than this time (RFC 3339).")
@click.option("--filter", "filters", multiple=True, help="Only lines with this text; !TEXT for lines without it.")
@flag("-m", "--match-case", help="Upper and lower case are different for --filter.")
@flag("-p", "--previous", help="Of the container that ran before.")
@flag("--prefix", help="Begin each line with the name of its Pod.")
@flag("--timestamps", help="Begin each line with its time.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def logs(
    ctx: click.Context,
    /,
    name: str,
    app_namespace: str | None,
    all_containers: bool,
    prefix: bool,
    timestamps: bool,
    **given: Any,
) -> None:
    """Print the logs of an application's Pods.

    \b
    Examples:
      tiphys app logs my-app
      tiphys app logs my-app -f --tail 100 --prefix
      tiphys app logs my-app --kind Deployment --name my-app -c my-app --since 10m
    """
    query = log_query(given)
    api = open_api(ctx)
    app = split_name(name, app_namespace)
    colour = is_coloured(ctx)

    containers = _containers(api, app, given) if all_containers else [given["container"]]
    if given["follow"] and len(containers) > 1:
        raise CommandFailed("--all-containers cannot be followed: name one with --container")
    told = 0

    def tell(entry: Mapping[str, Any]) -> None:
        nonlocal told
        told += 1
        click.echo(line(entry, prefix=prefix, timestamps=timestamps, colour=colour), color=colour)

    for container in containers:
        _print(api, app, {**query, **({"container": container} if container else {})}, tell, follow=given["follow"])
    if not told and sys.stderr.isatty():
        click.echo("no container that was asked for has written a line that was asked for", err=True)


def log_query(given: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """The options as the API's query. Raises CommandFailed."""
    since = given["since_seconds"]
    if given["since"]:
        found = parse_duration(given["since"])
        if found is None:
            raise CommandFailed(f"--since: expected a duration such as 10m, but instead got: {given['since']}")
        since = max(1, round(found))
    texts = {
        "group": given["group"],
        "kind": given["kind"],
        "namespace": given["namespace"],
        "resourceName": given["resource_name"],
        "tailLines": str(given["tail"] or ""),
        "sinceSeconds": str(since or ""),
        "untilTime": given["until_time"],
        "follow": "true" if given["follow"] else "",
        "matchCase": "true" if given["match_case"] else "",
        "previous": "true" if given["previous"] else "",
    }
    query: dict[str, str | list[str]] = {key: value for key, value in texts.items() if value}
    if given["filters"]:
        query["filter"] = list(given["filters"]) if len(given["filters"]) > 1 else given["filters"][0]
    return query


def line(entry: Mapping[str, Any], *, prefix: bool, timestamps: bool, colour: bool) -> str:
    """One entry as it is printed."""
    pod = str(entry.get("podName") or "")
    before = ""
    if prefix and pod:
        before = f"{of_name(pod) if colour else pod} "
    if timestamps:
        before += f"{entry.get('timeStampStr') or entry.get('timeStamp') or ''} "
    return f"{before}{entry.get('content') or ''}"


def _print(api: Api, app: tuple[str, str], query: Mapping[str, Any], tell: Any, *, follow: bool) -> None:
    asked = dict(query)
    while True:
        try:
            with api.logs(*app, asked) as stream:
                while (entry := stream.next(None)) is not None:
                    if entry.get("last"):
                        return
                    tell(entry)
            if not follow:
                return
        except Unreachable as error:
            if not follow:
                raise
            click.echo(f"the connection was lost, trying again: {error.message}", err=True)
        except ApiFailure as error:
            if error.path:  # refused before it began
                raise
            raise not_as_asked(f"stream read failed: {error}") from error
        asked.pop("tailLines", None)
        asked["sinceSeconds"] = str(_LOST_SINCE_S)
        time.sleep(RECONNECT_S)


def _containers(api: Api, app: tuple[str, str], given: Mapping[str, Any]) -> list[str]:
    """Names of the containers of the Pods that are meant, each once, in the order of the first Pod that has them."""
    import json

    pods = matching(
        api.resource_tree(*app).get("nodes") or [],
        group="",
        kind="Pod",
        namespace=given["namespace"] or None,
        resource_name=given["resource_name"] if given["kind"] == "Pod" else None,
    )
    names: dict[str, None] = {}
    for pod in pods:
        spec = (json.loads(api.get_resource(*app, pod)) or {}).get("spec") or {}
        for group in ("initContainers", "containers"):
            names.update(dict.fromkeys(str(item.get("name")) for item in spec.get(group) or ()))
    return list(names) or [""]
