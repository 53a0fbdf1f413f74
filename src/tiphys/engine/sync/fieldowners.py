"""Field ownership handed from client-side to server-side apply. Pure.

Somebody who applied an object client-side owns its fields as an updater; a server-side apply would leave what Git drops
from then on to that owner. So its entries become part of our own, and the next apply removes what is not in it.

Source: compat 2.4 "CSA->SSA migration".
Differs: what Tiphys itself applied client-side moves too, not only what kubectl did, because the switch to
`ServerSideApply=true` is most often made for objects that we keep.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from tiphys.apimachinery import fieldset
from tiphys.engine.states import FIELD_MANAGER

KUBECTL = "kubectl-client-side-apply"  # the manager whose fields move unless the Application names another


def migration(live: Mapping[str, Any], managers: Collection[str]) -> list[dict[str, Any]] | None:
    """The JSON patch that moves the fields of client-side managers to our apply; None when there are none to move.

    It holds the resourceVersion, so that it fails with Conflict when the object has changed since.
    """
    metadata = live.get("metadata") or {}
    entries = metadata.get("managedFields") or []
    moved = [e for e in entries if _is_plain(e, "Update") and e.get("manager") in managers]
    if not moved:
        return None
    ours = next((e for e in entries if _is_plain(e, "Apply") and e.get("manager") == FIELD_MANAGER), None)
    newest = max((*moved, *([ours] if ours is not None else [])), key=lambda e: str(e.get("time") or ""))
    fields: Mapping[str, Any] = {}
    for entry in (*moved, *([ours] if ours is not None else [])):
        fields = fieldset.union(fields, fieldset.decode(entry.get("fieldsV1") or {}))
    entry = {**newest, "manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fieldset.encode(fields)}
    gone = [id(e) for e in (*moved, ours)]
    kept = [e for e in entries if id(e) not in gone]
    return [
        {"op": "replace", "path": "/metadata/managedFields", "value": [entry, *kept]},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": metadata.get("resourceVersion")},
    ]


def _is_plain(entry: Mapping[str, Any], operation: str) -> bool:
    return entry.get("operation") == operation and not entry.get("subresource")
