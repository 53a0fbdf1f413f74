"""`tiphys proj windows`: when Applications of a project may be synced. A window's id is its place in the list, from 0."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from tiphys.cli.arguments import Noun, flag
from tiphys.cli.complete import complete_projects
from tiphys.cli.failure import CommandFailed
from tiphys.cli.output import print_value, table
from tiphys.cli.proj.changes import change_spec
from tiphys.cli.session import open_api

Object = dict[str, Any]

_COLUMNS = (
    *("ID", "KIND", "SCHEDULE", "DURATION", "APPLICATIONS", "NAMESPACES", "CLUSTERS", "MANUALSYNC"),
    *("TIMEZONE", "USEANDOPERATOR"),
)
_project = click.argument("name", metavar="PROJECT", shell_complete=complete_projects)
_id = click.argument("window_id", metavar="ID", type=int)


@click.group("windows", cls=Noun)
def windows() -> None:
    """Sync windows of a project: when its Applications may be synced.

    \b
    Example:
      tiphys proj windows list shop
    """


@windows.command("list")
@_project
@click.option("-o", "--output", default="wide", help="Output format. One of: json|yaml|wide")
@click.pass_context
def list_windows(ctx: click.Context, name: str, output: str) -> None:
    """List sync windows.

    \b
    Example:
      tiphys proj windows list shop
    """
    found = (open_api(ctx).get_project(name).get("spec") or {}).get("syncWindows") or []
    if output not in ("wide", ""):
        print_value(found, output)
        return
    click.echo(table([_COLUMNS, *(_row(number, window) for number, window in enumerate(found))]), nl=False)


def _row(number: int, window: Mapping[str, Any]) -> tuple[str, ...]:
    lists = (",".join(window.get(key) or ()) or "-" for key in ("applications", "namespaces", "clusters"))
    return (
        str(number),
        *(str(window.get(key) or "") for key in ("kind", "schedule", "duration")),
        *lists,
        "Enabled" if window.get("manualSync") else "Disabled",
        str(window.get("timeZone") or "UTC"),
        "Enabled" if window.get("andOperator") else "Disabled",
    )


@windows.command("add")
@_project
@click.option("-k", "--kind", type=click.Choice(["allow", "deny"]), required=True, help="What the window does.")
@click.option("--schedule", required=True, help="When it opens, as cron says it.")
@click.option("--duration", required=True, help="How long it is open, as 1h.")
@click.option("--applications", multiple=True, help="Applications it is for, globs; repeatable.")
@click.option("--namespaces", multiple=True, help="Namespaces it is for, globs; repeatable.")
@click.option("--clusters", multiple=True, help="Clusters it is for, globs; repeatable.")
@click.option("--time-zone", default="UTC", show_default=True, help="Time zone of the schedule.")
@click.option("--description", default="", help="What it is for.")
@flag("--manual-sync", help="A sync by hand is always allowed.")
@flag("--use-and-operator", help="All of applications, namespaces and clusters have to match.")
@flag("--sync-overrun", help="A sync that runs when it closes goes on.")
@click.pass_context
def add(
    ctx: click.Context,
    /,
    name: str,
    kind: str,
    schedule: str,
    duration: str,
    time_zone: str,
    description: str,
    manual_sync: bool,
    use_and_operator: bool,
    sync_overrun: bool,
    **lists: tuple[str, ...],
) -> None:
    """Add a sync window.

    \b
    Example:
      tiphys proj windows add shop --kind deny --schedule '0 22 * * *' --duration 8h --applications '*'
    """
    window: Object = {"kind": kind, "schedule": schedule, "duration": duration}
    for key, texts in lists.items():
        items = [item for text in texts for item in text.split(",") if item]
        if items:
            window[key] = items
    flags = {"manualSync": manual_sync, "andOperator": use_and_operator, "syncOverrun": sync_overrun}
    window.update({key: True for key, wanted in flags.items() if wanted})
    window.update({key: text for key, text in (("timeZone", time_zone), ("description", description)) if text})
    if not any(key in window for key in ("applications", "namespaces", "clusters")):
        raise CommandFailed("a window is for something: give --applications, --namespaces or --clusters")

    def change(spec: Object) -> None:
        spec["syncWindows"] = [*(spec.get("syncWindows") or ()), window]

    change_spec(ctx, name, change)


@windows.command("delete")
@_project
@_id
@click.pass_context
def delete(ctx: click.Context, name: str, window_id: int) -> None:
    """Delete a sync window.

    \b
    Example:
      tiphys proj windows delete shop 0
    """

    def change(spec: Object) -> None:
        _window(spec, window_id)
        del spec["syncWindows"][window_id]

    change_spec(ctx, name, change)


@windows.command("enable-manual-sync")
@_project
@_id
@click.pass_context
def enable_manual_sync(ctx: click.Context, name: str, window_id: int) -> None:
    """Allow syncs by hand while a window denies them.

    \b
    Example:
      tiphys proj windows enable-manual-sync shop 0
    """
    change_spec(ctx, name, lambda spec: _window(spec, window_id).update(manualSync=True))


@windows.command("disable-manual-sync")
@_project
@_id
@click.pass_context
def disable_manual_sync(ctx: click.Context, name: str, window_id: int) -> None:
    """No longer allow syncs by hand while a window denies them.

    \b
    Example:
      tiphys proj windows disable-manual-sync shop 0
    """
    change_spec(ctx, name, lambda spec: _window(spec, window_id).update(manualSync=False))


def _window(spec: Object, number: int) -> Object:
    found = spec.get("syncWindows") or []
    if not 0 <= number < len(found):
        raise CommandFailed(f"window with id '{number}' not found")
    window: Object = found[number]
    return window
