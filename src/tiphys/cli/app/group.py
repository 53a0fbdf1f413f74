"""`tiphys app`: the group of verbs, each imported when it is used."""

from __future__ import annotations

import click

from tiphys.cli.main import LazyNoun

VERBS = {
    "actions": ("tiphys.cli.app.actions", "actions"),
    "add-source": ("tiphys.cli.app.change", "add_source"),
    "confirm-deletion": ("tiphys.cli.app.resume", "confirm_deletion"),
    "create": ("tiphys.cli.app.create", "create"),
    "delete": ("tiphys.cli.app.delete", "delete"),
    "delete-resource": ("tiphys.cli.app.resource", "delete_resource"),
    "diff": ("tiphys.cli.app.diff", "diff"),
    "edit": ("tiphys.cli.app.edit", "edit"),
    "get": ("tiphys.cli.app.get", "get"),
    "get-resource": ("tiphys.cli.app.resource", "get_resource"),
    "history": ("tiphys.cli.app.history", "history"),
    "list": ("tiphys.cli.app.listing", "list_applications"),
    "logs": ("tiphys.cli.app.logs", "logs"),
    "manifests": ("tiphys.cli.app.manifests", "manifests"),
    "patch": ("tiphys.cli.app.edit", "patch"),
    "patch-resource": ("tiphys.cli.app.resource", "patch_resource"),
    "remove-source": ("tiphys.cli.app.change", "remove_source"),
    "resources": ("tiphys.cli.app.tree", "resources"),
    "resume": ("tiphys.cli.app.resume", "resume"),
    "rollback": ("tiphys.cli.app.history", "rollback"),
    "set": ("tiphys.cli.app.change", "set_"),
    "sync": ("tiphys.cli.app.sync", "sync"),
    "terminate-op": ("tiphys.cli.app.sync", "terminate_op"),
    "unset": ("tiphys.cli.app.change", "unset"),
    "wait": ("tiphys.cli.app.wait", "wait"),
}
SUMMARIES = {
    "actions": "Actions on live objects.",
    "add-source": "Add a source to an application that has several.",
    "confirm-deletion": "Confirm the deletion of resources that ask for it.",
    "delete-resource": "Delete live objects.",
    "diff": "Show how the cluster differs from Git.",
    "edit": "Change an application in an editor.",
    "get-resource": "Show live objects.",
    "logs": "Print the logs of an application's Pods.",
    "manifests": "Print the manifests of an application.",
    "patch": "Patch an application.",
    "patch-resource": "Patch live objects.",
    "remove-source": "Remove one of several sources.",
    "resume": "Release the hold of a rollback.",
    "set": "Change parameters of an application.",
    "unset": "Take parameters of an application away again.",
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
