"""`tiphys proj add-source` and its like: one item more or less in a list of a project's spec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_projects
from tiphys.cli.failure import CommandFailed
from tiphys.cli.session import open_api

Object = dict[str, Any]

_project = click.argument("name", metavar="PROJECT", shell_complete=complete_projects)


@click.command("add-source", cls=Verb)
@_project
@click.argument("url", metavar="URL")
@click.pass_context
def add_source(ctx: click.Context, name: str, url: str) -> None:
    """Allow a project a repository.

    \b
    Example:
      tiphys proj add-source shop https://github.com/your-org/k8s-manifests.git
    """
    _add(ctx, name, "sourceRepos", url, f"Source repository '{url}' already allowed in project")


@click.command("remove-source", cls=Verb)
@_project
@click.argument("url", metavar="URL")
@click.pass_context
def remove_source(ctx: click.Context, name: str, url: str) -> None:
    """No longer allow a project a repository.

    \b
    Example:
      tiphys proj remove-source shop https://github.com/your-org/k8s-manifests.git
    """
    _remove(ctx, name, "sourceRepos", url, f"Source repository '{url}' does not exist in project")


@click.command("add-source-namespace", cls=Verb)
@_project
@click.argument("namespace", metavar="NAMESPACE")
@click.pass_context
def add_source_namespace(ctx: click.Context, name: str, namespace: str) -> None:
    """Allow Applications of a project in a namespace.

    \b
    Example:
      tiphys proj add-source-namespace shop shop-apps
    """
    _add(ctx, name, "sourceNamespaces", namespace, f"Source namespace '{namespace}' already allowed in project")


@click.command("remove-source-namespace", cls=Verb)
@_project
@click.argument("namespace", metavar="NAMESPACE")
@click.pass_context
def remove_source_namespace(ctx: click.Context, name: str, namespace: str) -> None:
    """No longer allow Applications of a project in a namespace.

    \b
    Example:
      tiphys proj remove-source-namespace shop shop-apps
    """
    _remove(ctx, name, "sourceNamespaces", namespace, f"Source namespace '{namespace}' does not exist in project")


@click.command("add-destination", cls=Verb)
@_project
@click.argument("server", metavar="SERVER/NAME")
@click.argument("namespace", metavar="NAMESPACE")
@flag("--name", "by_name", help="The cluster is given by its name instead of its URL.")
@click.pass_context
def add_destination(ctx: click.Context, name: str, server: str, namespace: str, by_name: bool) -> None:
    """Allow a project a cluster and namespace.

    \b
    Examples:
      tiphys proj add-destination shop https://kubernetes.default.svc shop
      tiphys proj add-destination shop in-cluster shop --name
    """
    item = {"name" if by_name else "server": server, "namespace": namespace}
    _add(ctx, name, "destinations", item, "Specified destination is already defined in project")


@click.command("remove-destination", cls=Verb)
@_project
@click.argument("server", metavar="SERVER")
@click.argument("namespace", metavar="NAMESPACE")
@click.pass_context
def remove_destination(ctx: click.Context, name: str, server: str, namespace: str) -> None:
    """No longer allow a project a cluster and namespace.

    \b
    Example:
      tiphys proj remove-destination shop https://kubernetes.default.svc shop
    """

    def change(spec: Object) -> None:
        items = spec.get("destinations") or []
        kept = [
            item
            for item in items
            if item.get("namespace") != namespace or server not in (item.get("server"), item.get("name"))
        ]
        if len(kept) == len(items):
            raise CommandFailed("Specified destination does not exist in project")
        spec["destinations"] = kept

    change_spec(ctx, name, change)


_group = click.argument("group", metavar="GROUP")
_kind = click.argument("kind", metavar="KIND")


def _list_option(default: str) -> Callable[[Any], Any]:
    return click.option(
        "-l",
        "--list",
        "which",
        type=click.Choice(["allow", "deny"]),
        default=default,
        show_default=True,
        help="Which list the kind is put on, or taken from.",
    )


@click.command("allow-cluster-resource", cls=Verb)
@_project
@_group
@_kind
@click.argument("resource_name", metavar="[NAME]", required=False)
@_list_option("allow")
@click.pass_context
def allow_cluster_resource(
    ctx: click.Context, name: str, group: str, kind: str, resource_name: str | None, which: str
) -> None:
    """Allow a project a kind of cluster resources.

    \b
    Example:
      tiphys proj allow-cluster-resource shop rbac.authorization.k8s.io ClusterRole
    """
    item = {"group": group, "kind": kind, **({"name": resource_name} if resource_name else {})}
    _list(ctx, name, item, which, allow=True, cluster=True)


@click.command("deny-cluster-resource", cls=Verb)
@_project
@_group
@_kind
@_list_option("allow")
@click.pass_context
def deny_cluster_resource(ctx: click.Context, name: str, group: str, kind: str, which: str) -> None:
    """Deny a project a kind of cluster resources.

    \b
    Example:
      tiphys proj deny-cluster-resource shop rbac.authorization.k8s.io ClusterRole
    """
    _list(ctx, name, {"group": group, "kind": kind}, which, allow=False, cluster=True)


@click.command("allow-namespace-resource", cls=Verb)
@_project
@_group
@_kind
@_list_option("deny")
@click.pass_context
def allow_namespace_resource(ctx: click.Context, name: str, group: str, kind: str, which: str) -> None:
    """Allow a project a kind of namespaced resources.

    \b
    Example:
      tiphys proj allow-namespace-resource shop apps Deployment
    """
    _list(ctx, name, {"group": group, "kind": kind}, which, allow=True, cluster=False)


@click.command("deny-namespace-resource", cls=Verb)
@_project
@_group
@_kind
@_list_option("deny")
@click.pass_context
def deny_namespace_resource(ctx: click.Context, name: str, group: str, kind: str, which: str) -> None:
    """Deny a project a kind of namespaced resources.

    \b
    Example:
      tiphys proj deny-namespace-resource shop "" LimitRange
    """
    _list(ctx, name, {"group": group, "kind": kind}, which, allow=False, cluster=False)


def _list(ctx: click.Context, name: str, item: Object, which: str, *, allow: bool, cluster: bool) -> None:
    """Allowing puts a kind on the allow list or takes it from the deny list; denying does the opposite."""
    key = f"{'cluster' if cluster else 'namespace'}Resource{'Whitelist' if which == 'allow' else 'Blacklist'}"
    listed = f"{'cluster' if cluster else 'namespace'} resource {which} list"
    shown = f"Group '{item['group']}' and kind '{item['kind']}'"
    if allow == (which == "allow"):
        _add(ctx, name, key, item, f"{shown} is already present in {listed}")
    else:
        _remove(ctx, name, key, item, f"{shown} not in {listed}")


def _add(ctx: click.Context, name: str, key: str, item: Any, already: str) -> None:
    def change(spec: Object) -> None:
        items = list(spec.get(key) or [])
        if item in items:
            raise CommandFailed(already)
        spec[key] = [*items, item]

    change_spec(ctx, name, change)


def _remove(ctx: click.Context, name: str, key: str, item: Any, missing: str) -> None:
    def change(spec: Object) -> None:
        items = list(spec.get(key) or [])
        if item not in items:
            raise CommandFailed(missing)
        items.remove(item)
        spec[key] = items

    change_spec(ctx, name, change)


def change_spec(ctx: click.Context, name: str, change: Callable[[Object], None]) -> None:
    """Read a project, change its spec, and write it on condition that nobody else did. Raises ApiFailure."""
    api = open_api(ctx)
    project = api.get_project(name)
    change(project.setdefault("spec", {}))
    api.update_project(project)
