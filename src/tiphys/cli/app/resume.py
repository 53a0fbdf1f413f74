"""`tiphys app resume` and `confirm-deletion`: what is done by an annotation of the Application."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import split_name
from tiphys.cli.arguments import Verb
from tiphys.cli.complete import complete_apps
from tiphys.cli.session import open_api


@click.command("resume", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def resume(ctx: click.Context, name: str, app_namespace: str | None) -> None:
    """Release the hold of a rollback: automated sync goes on to what Git declares.

    \b
    Example:
      tiphys app resume my-app
    """
    from tiphys.model.hold import HOLD

    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    app = api.get_application(app_name, namespace)
    if HOLD not in (show.field(app, "metadata", "annotations") or {}):
        click.echo(f"Application '{app_name}' is not held")
        return
    api.release_hold(app_name, namespace)
    click.echo(f"Application '{app_name}' resumed")


@click.command("confirm-deletion", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def confirm_deletion(ctx: click.Context, name: str, app_namespace: str | None) -> None:
    """Confirm the deletion or pruning of resources that ask for it.

    \b
    Example:
      tiphys app confirm-deletion my-app
    """
    from tiphys.model.annotations import DELETION_APPROVED

    app_name, namespace = split_name(name, app_namespace)
    approved = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = {"metadata": {"annotations": {DELETION_APPROVED: approved}}}
    open_api(ctx).patch_application(app_name, namespace, json.dumps(patch), "merge")
    click.echo(f"Application '{app_name}' updated successfully")
