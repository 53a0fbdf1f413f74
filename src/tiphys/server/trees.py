"""/api/v1/applications/{name}/resource-tree and /managed-resources: what there is, and how it differs.

Source: compat 13.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiphys.server.context import Context
from tiphys.server.http import Response, json_response


async def resource_tree(context: Context) -> Response:
    """GET /applications/{name}/resource-tree."""
    trees, app = context.services.trees, context.application
    tree = await trees.resource_tree(app.namespace, app.name) if trees is not None else None
    return json_response(tree if tree is not None else {})


async def managed_resources(context: Context) -> Response:
    """GET /applications/{name}/managed-resources, filtered by namespace, name, group and kind."""
    trees, app = context.services.trees, context.application
    items = await trees.managed_resources(app.namespace, app.name) if trees is not None else None
    return json_response({"items": _matching(context, items or ())})


async def application_links(context: Context) -> Response:
    """GET /applications/{name}/links: none are configured."""
    return json_response({"items": []})


def _matching(context: Context, items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    request = context.request
    asked = {name: request.query(name) for name in ("namespace", "name", "group", "kind") if request.query(name)}
    return [item for item in items if all(item.get(name) == value for name, value in asked.items())]
