"""Options that name live resources of an Application, and the resources they mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from tiphys.cli.failure import CommandFailed
from tiphys.client.api import Api

Node = Mapping[str, Any]


def resource_options(*, kind_needed: bool = True) -> Callable[[Any], Any]:
    """`--group --kind --namespace --resource-name`."""
    options = (
        click.option("--group", help="API group of the resource."),
        click.option("--kind", required=kind_needed, help="Kind of the resource."),
        click.option("--namespace", help="Namespace of the resource."),
        click.option("--resource-name", help="Name of the resource."),
    )

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def matching(
    nodes: Sequence[Node], *, group: str | None, kind: str | None, namespace: str | None, resource_name: str | None
) -> list[Node]:
    """Those of the nodes that the options mean; what is not given matches anything. An empty group is the core group."""
    wanted = {"group": group, "kind": kind, "namespace": namespace, "name": resource_name}
    return [
        node
        for node in nodes
        if all(value is None or (node.get(field) or "") == value for field, value in wanted.items())
    ]


def pick(
    api: Api,
    app: tuple[str, str],
    *,
    group: str | None,
    kind: str | None,
    namespace: str | None,
    resource_name: str | None,
    every: bool,
    verb: str,
) -> list[Node]:
    """Live resources of the Application that the options mean; more than one only with `every`. Raises CommandFailed."""
    nodes = [node for node in api.resource_tree(*app).get("nodes") or [] if node.get("uid")]
    found = matching(nodes, group=group, kind=kind, namespace=namespace, resource_name=resource_name)
    if not found:
        kinds = sorted({str(node.get("kind")) for node in nodes})
        raise CommandFailed("no matching resource found", hint=f"There are: {', '.join(kinds)}." if kinds else "")
    if len(found) > 1 and not every:
        names = ", ".join(named(node) for node in found[:5])
        raise CommandFailed(
            f"multiple resources match inputs, use the --all flag to {verb} multiple resources",
            hint=f"They are: {names}{', ...' if len(found) > 5 else ''}. --resource-name and --namespace choose one.",
        )
    return found


def named(node: Node) -> str:
    """The resource for people: `Kind namespace/name`."""
    return f"{node.get('kind')} {'/'.join(filter(None, (node.get('namespace'), node.get('name'))))}"
