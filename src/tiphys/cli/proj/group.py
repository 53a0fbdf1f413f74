"""`tiphys proj`: the group of verbs, each imported when it is used."""

from __future__ import annotations

import click

from tiphys.cli.main import LazyNoun

_CHANGES = "tiphys.cli.proj.changes"
VERBS = {
    "add-destination": (_CHANGES, "add_destination"),
    "add-source": (_CHANGES, "add_source"),
    "add-source-namespace": (_CHANGES, "add_source_namespace"),
    "allow-cluster-resource": (_CHANGES, "allow_cluster_resource"),
    "allow-namespace-resource": (_CHANGES, "allow_namespace_resource"),
    "create": ("tiphys.cli.proj.projects", "create"),
    "delete": ("tiphys.cli.proj.projects", "delete"),
    "deny-cluster-resource": (_CHANGES, "deny_cluster_resource"),
    "deny-namespace-resource": (_CHANGES, "deny_namespace_resource"),
    "edit": ("tiphys.cli.proj.projects", "edit"),
    "get": ("tiphys.cli.proj.projects", "get"),
    "list": ("tiphys.cli.proj.projects", "list_projects"),
    "remove-destination": (_CHANGES, "remove_destination"),
    "remove-source": (_CHANGES, "remove_source"),
    "remove-source-namespace": (_CHANGES, "remove_source_namespace"),
    "role": ("tiphys.cli.proj.role", "role"),
    "set": ("tiphys.cli.proj.projects", "set_"),
    "windows": ("tiphys.cli.proj.windows", "windows"),
}
SUMMARIES = {
    "add-destination": "Allow a cluster and namespace.",
    "add-source": "Allow a repository.",
    "add-source-namespace": "Allow Applications in a namespace.",
    "allow-cluster-resource": "Allow a kind of cluster resources.",
    "allow-namespace-resource": "Allow a kind of namespaced resources.",
    "create": "Create a project.",
    "delete": "Delete projects.",
    "deny-cluster-resource": "Deny a kind of cluster resources.",
    "deny-namespace-resource": "Deny a kind of namespaced resources.",
    "edit": "Change a project in an editor.",
    "get": "Show a project.",
    "list": "List projects.",
    "remove-destination": "No longer allow a cluster and namespace.",
    "remove-source": "No longer allow a repository.",
    "remove-source-namespace": "No longer allow Applications in a namespace.",
    "role": "Roles of a project and their tokens.",
    "set": "Change parameters of a project.",
    "windows": "Sync windows of a project.",
}


@click.group("proj", cls=LazyNoun, commands_by_name=VERBS, summaries=SUMMARIES)
def proj() -> None:
    """Manage projects: what their Applications may deploy, from where and to where.

    \b
    Examples:
      tiphys proj list
      tiphys proj get default
    """
