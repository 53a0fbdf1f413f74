"""OpenAPI v3 documents of the built-in kinds, as Kubernetes 1.36 publishes them, cut to what clients look for.

Kept are all schemas with descriptions, merge keys, list types and defaults, and one PATCH operation per resource.
"""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import Any, Final

import orjson

INFO: Final = {"title": "Kubernetes", "version": "1.36"}

PATCH_TYPES: Final = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)

_PATCH_SCHEMA: Final = {"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Patch"}


def documents() -> dict[str, bytes]:
    """The documents by what follows `/openapi/v3/`: `api/v1`, `apis/apps/v1`, ...; JSON.

    Reading and unfolding takes some 50 ms and nothing is kept: call it when first asked for a document, keep the result.

    Source: dev-cluster 2 (OpenAPI).
    """
    data = files("tiphys.devcluster").joinpath("data/openapi.json.gz").read_bytes()
    folded = orjson.loads(gzip.decompress(data))
    # Every schema is written once, however many documents it is in.
    schemas = {name: orjson.Fragment(orjson.dumps(schema)) for name, schema in folded["schemas"].items()}
    return {path: _document(parts, schemas) for path, parts in folded["documents"].items()}


def patch_operation(group: str, version: str, kind: str) -> dict[str, Any]:
    """The PATCH operation of a resource: it names the kind, and promises that the server validates fields.

    kubectl finds a kind's schema by it and, because of the `fieldValidation` parameter, leaves validation to the server.
    """
    return {
        "parameters": [
            _query("dryRun", "string"),
            _query("fieldManager", "string"),
            _query("fieldValidation", "string"),
            _query("force", "boolean"),
        ],
        "requestBody": {"content": {kind_: {"schema": _PATCH_SCHEMA} for kind_ in PATCH_TYPES}, "required": True},
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": kind},
    }


def _query(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}


def _document(parts: dict[str, Any], schemas: dict[str, orjson.Fragment]) -> bytes:
    return orjson.dumps(
        {
            "openapi": "3.0.0",
            "info": INFO,
            "paths": {url: {"patch": patch_operation(*kind)} for url, kind in parts["patches"].items()},
            "components": {"schemas": {name: schemas[name] for name in parts["schemas"]}},
        }
    )
