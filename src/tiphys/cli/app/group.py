"""`tiphys app`: the group of verbs, each imported when it is used."""

from __future__ import annotations

import click

from tiphys.cli.main import LazyNoun

VERBS = {
    "create": ("tiphys.cli.app.create", "create"),
    "delete": ("tiphys.cli.app.delete", "delete"),
    "get": ("tiphys.cli.app.get", "get"),
    "history": ("tiphys.cli.app.history", "history"),
    "list": ("tiphys.cli.app.listing", "list_applications"),
    "resources": ("tiphys.cli.app.tree", "resources"),
    "rollback": ("tiphys.cli.app.history", "rollback"),
    "sync": ("tiphys.cli.app.sync", "sync"),
    "terminate-op": ("tiphys.cli.app.sync", "terminate_op"),
    "wait": ("tiphys.cli.app.wait", "wait"),
}
SUMMARIES = {
    "create": "Create an application.",
    "delete": "Delete applications.",
    "get": "Show an application.",
    "history": "Show what was deployed when.",
    "list": "List applications.",
    "resources": "List the resources of an application.",
    "rollback": "Deploy again what a history entry deployed.",
    "sync": "Make the cluster equal to what Git declares.",
    "terminate-op": "End the running operation.",
    "wait": "Wait until applications are synced and healthy.",
}


@click.group("app", cls=LazyNoun, commands_by_name=VERBS, summaries=SUMMARIES)
def app() -> None:
    """Manage applications.

    \b
    Examples:
      tiphys app list
      tiphys app get my-app
      tiphys app sync my-app
    """
