"""Resources of an Application as a tree or as a list: `-o tree`, `-o tree=detailed`, `tiphys app resources`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from tiphys.cli.app import show
from tiphys.cli.app.naming import split_name
from tiphys.cli.app.show import ResourceState, resource_states
from tiphys.cli.arguments import Verb, flag
from tiphys.cli.complete import complete_apps
from tiphys.cli.output import seconds_between, table
from tiphys.cli.session import open_api
from tiphys.client.api import Api

_BRANCH, _LAST, _PIPE, _BLANK = "├─", "└─", "│ ", "  "

Node = dict[str, Any]


def print_tree(api: Api, app: show.Object, name: str, namespace: str, *, detailed: bool) -> None:
    """Print the resource tree below an empty line."""
    click.echo(tree_text(api, app, name, namespace, detailed=detailed), nl=False)


def tree_text(api: Api, app: show.Object, name: str, namespace: str, *, detailed: bool) -> str:
    """The resource tree below an empty line; empty without resources."""
    nodes = api.resource_tree(name, namespace).get("nodes") or []
    return f"\n{tree_table(nodes, resource_states(app), detailed=detailed)}" if nodes else ""


def tree_table(nodes: list[Node], states: list[ResourceState], *, detailed: bool, now: datetime | None = None) -> str:
    """The tree as a table; roots and children by kind and name."""
    known = {(state.kind, state.name): state for state in states}
    children: dict[str, list[Node]] = {}
    uids = {node.get("uid") for node in nodes}
    roots = []
    for node in sorted(nodes, key=lambda node: (node.get("kind", ""), node.get("name", ""))):
        parents = [ref.get("uid") for ref in node.get("parentRefs") or () if ref.get("uid") in uids]
        for parent in parents:
            children.setdefault(str(parent), []).append(node)
        if not parents:
            roots.append(node)
    moment = now or datetime.now(UTC)
    columns = ("KIND/NAME", "STATUS", "HEALTH", "AGE", "MESSAGE", "REASON") if detailed else _COLUMNS
    rows = [columns]
    for root in roots:
        for prefix, node in _walk(root, children, "", ""):
            rows.append(_row(prefix, node, known.get((node.get("kind", ""), node.get("name", ""))), detailed, moment))
    return table(rows)


_COLUMNS: tuple[str, ...] = ("KIND/NAME", "STATUS", "HEALTH", "MESSAGE")


def _walk(node: Node, children: dict[str, list[Node]], here: str, below: str) -> Iterator[tuple[str, Node]]:
    yield here, node
    found = children.get(str(node.get("uid")), []) if node.get("uid") else []
    for index, child in enumerate(found):
        last = index == len(found) - 1
        yield from _walk(child, children, below + (_LAST if last else _BRANCH), below + (_BLANK if last else _PIPE))


def _row(prefix: str, node: Node, state: ResourceState | None, detailed: bool, now: datetime) -> tuple[str, ...]:
    name = f"{prefix}{node.get('kind')}/{node.get('name')}"
    health = state.health if state is not None else show.text(node, "health", "status")
    status = state.status if state is not None else ""
    message = state.message if state is not None else ""
    if not detailed:
        return (name, status, health, message)
    age = _age(seconds_between(node["createdAt"], None, now)) if node.get("createdAt") else ""
    return (name, status, health, age, message, show.text(node, "health", "message"))


def _age(seconds: int) -> str:
    """As kubectl shows ages."""
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    minutes = seconds // 60
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return f"{hours}h{minutes % 60}m" if minutes % 60 else f"{hours}h"
    return f"{hours}h" if hours < 48 else f"{hours // 24}d"


@click.command("resources", cls=Verb)
@click.argument("name", metavar="APPNAME", shell_complete=complete_apps)
@flag("--orphaned", help="Only resources that belong to no application.")
@click.option("--output", default="", help="Output format. One of: tree|tree=detailed")
@click.option("--project", default="", help="Project of the application.")
@click.option("-N", "--app-namespace", help="Namespace of the application.")
@click.pass_context
def resources(
    ctx: click.Context, name: str, orphaned: bool, output: str, project: str, app_namespace: str | None
) -> None:
    """List the resources of an application and what they own.

    \b
    Examples:
      tiphys app resources my-app
      tiphys app resources my-app --output tree=detailed
    """
    api = open_api(ctx)
    app_name, namespace = split_name(name, app_namespace)
    tree = api.resource_tree(app_name, namespace)
    if output.startswith("tree"):
        nodes = tree.get("orphanedNodes" if orphaned else "nodes") or []
        app = api.get_application(app_name, namespace, project=project)
        click.echo(tree_table(nodes, resource_states(app), detailed=output == "tree=detailed"), nl=False)
        return
    rows: list[tuple[str, ...]] = [("GROUP", "KIND", "NAMESPACE", "NAME", "ORPHANED")]
    shown = [] if orphaned else [(node, "No") for node in tree.get("nodes") or []]
    shown += [(node, "Yes") for node in tree.get("orphanedNodes") or []]
    for node, is_orphan in shown:
        rows.append((*(str(node.get(key) or "") for key in ("group", "kind", "namespace", "name")), is_orphan))
    click.echo(table(rows), nl=False)
