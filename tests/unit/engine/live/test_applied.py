"""What a row keeps of managedFields."""

from __future__ import annotations

from typing import Any

import orjson

from tiphys.engine.live.index import instance_by_annotation, row_of


def row(*entries: dict[str, Any]) -> bytes:
    metadata = {"name": "a", "namespace": "ns", "uid": "u", "resourceVersion": "1", "managedFields": list(entries)}
    made = row_of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}, instance_by_annotation)
    assert b"managedFields" not in made.json
    return made.applied


def test_only_the_fields_of_our_own_server_side_apply_are_kept() -> None:
    fields: dict[str, Any] = {"f:data": {"f:a": {}}}
    ours = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields}
    assert orjson.loads(row({"manager": "kubectl", "operation": "Apply", "fieldsV1": {}}, ours)) == fields
    assert row({**ours, "operation": "Update"}) == b""
    assert row({**ours, "subresource": "status"}) == b""
    assert row() == b""
