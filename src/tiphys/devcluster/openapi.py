"""OpenAPI v3: the index of documents and one document for each group and version."""

from __future__ import annotations

import orjson

from tiphys.devcluster.resources import Registry


class OpenApi:
    """Documents of a registry, rebuilt when it changes."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._documents: dict[str, bytes] = {}

    def index(self) -> bytes:
        """`/openapi/v3`: where each document is, with the hash of its content."""
        return orjson.dumps({"paths": {}})

    def document(self, path: str) -> bytes | None:
        """`/openapi/v3/apis/apps/v1`, named by what follows `/openapi/v3/`; None when there is no such document."""
        return None
