"""OpenAPI v3: the index of documents, and one document for each group and version, custom ones included."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import orjson

from tiphys.devcluster.openapi_data import INFO, documents, patch_operation
from tiphys.devcluster.resources import Registry, Resource

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_REF: Final = "#/components/schemas/"
# A small built-in document that has the metadata types every custom one refers to.
_DONOR: Final = "apis/coordination.k8s.io/v1"
_ROOTS: Final = (_META + "ObjectMeta", _META + "ListMeta", _META + "Patch")

_REVIEWS: Final = ("authentication.k8s.io", "authorization.k8s.io")

_API_VERSION: Final = {
    "type": "string",
    "description": (
        "APIVersion defines the versioned schema of this representation of an object. Servers should convert recognized"
        " schemas to the latest internal value, and may reject unrecognized values. More info:"
        " https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
    ),
}
_KIND: Final = {
    "type": "string",
    "description": (
        "Kind is a string value representing the REST resource this object represents. Servers may infer this from the"
        " endpoint the client submits requests to. Cannot be updated. In CamelCase. More info:"
        " https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"
    ),
}
_METADATA: Final = {
    "allOf": [{"$ref": _REF + _META + "ObjectMeta"}],
    "description": (
        "Standard object's metadata. More info:"
        " https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
    ),
}


class OpenApi:
    """Documents of a registry. Built-in ones are read when first asked for; custom ones follow the registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._generation = -1
        self._builtin: dict[str, bytes] = {}
        self._builtin_hashes: dict[str, str] = {}
        self._shared: dict[str, Any] = {}
        self._documents: dict[str, bytes] = {}
        self._hashes: dict[str, str] = {}

    def _refresh(self) -> None:
        if not self._builtin:
            self._builtin = {path: self._with_reviews(path, body) for path, body in documents().items()}
            self._builtin_hashes = {path: _hash(body) for path, body in self._builtin.items()}
        if self._generation == self._registry.generation:
            return
        self._generation = self._registry.generation
        self._documents = dict(self._builtin)
        self._hashes = dict(self._builtin_hashes)
        for group, versions in self._registry.groups().items():
            for version, resources in versions.items():
                custom = [one for one in resources.values() if one.custom is not None]
                if custom:
                    path = f"apis/{group}/{version}"
                    body = orjson.dumps(self._custom_document(custom))
                    self._documents[path] = body
                    self._hashes[path] = _hash(body)

    def _with_reviews(self, path: str, body: bytes) -> bytes:
        """The document with an operation for kinds that can only be created.

        Differs: the real server has none; its clients then validate with `/openapi/v2`, which is not served here.
        """
        group, _, version = path.removeprefix("apis/").partition("/")
        if group not in _REVIEWS:
            return body
        document = orjson.loads(body)
        for resource in self._registry.groups()[group][version].values():
            if "patch" not in resource.verbs:
                url = f"/apis/{group}/{version}/{resource.plural}/{{name}}"
                document["paths"][url] = {"patch": patch_operation(group, version, resource.kind)}
        return orjson.dumps(document)

    def index(self) -> bytes:
        """`/openapi/v3`: where each document is, with the hash of its content."""
        self._refresh()
        paths = {
            path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
            for path, digest in sorted(self._hashes.items())
        }
        return orjson.dumps({"paths": paths})

    def document(self, path: str) -> tuple[bytes, str] | None:
        """(document, hash) of `apis/apps/v1`, what follows `/openapi/v3/`; None when there is no such document."""
        self._refresh()
        body = self._documents.get(path)
        return None if body is None else (body, self._hashes[path])

    def _custom_document(self, resources: Iterable[Resource]) -> dict[str, Any]:
        if not self._shared:
            donor = orjson.loads(self._builtin[_DONOR])["components"]["schemas"]
            self._shared = _closure(donor, _ROOTS)
        paths: dict[str, Any] = {}
        schemas: dict[str, Any] = dict(self._shared)
        for resource in resources:
            middle = "/namespaces/{namespace}" if resource.namespaced else ""
            url = f"/apis/{resource.group}/{resource.version}{middle}/{resource.plural}/{{name}}"
            operation = patch_operation(resource.group, resource.version, resource.kind)
            # kubectl apply patches strategically where the document says it can; custom resources do not know that.
            operation["requestBody"]["content"].pop("application/strategic-merge-patch+json", None)
            paths[url] = {"patch": operation}
            name = _schema_name(resource)
            schemas[name] = _schema(resource)
            schemas[name + "List"] = _list_schema(resource, name)
        return {"openapi": "3.0.0", "info": INFO, "paths": paths, "components": {"schemas": schemas}}


def _hash(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


def _closure(schemas: Mapping[str, Any], roots: Iterable[str]) -> dict[str, Any]:
    """The schemas with these names and all they refer to."""
    found: dict[str, Any] = {}
    waiting = [name for name in roots if name in schemas]
    while waiting:
        name = waiting.pop()
        if name in found or name not in schemas:
            continue
        found[name] = schemas[name]
        waiting.extend(_references(schemas[name]))
    return found


def _references(value: Any) -> Iterable[str]:
    if isinstance(value, dict):
        reference = value.get("$ref")
        if isinstance(reference, str):
            yield reference.removeprefix(_REF)
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _schema_name(resource: Resource) -> str:
    return f"{'.'.join(reversed(resource.group.split('.')))}.{resource.version}.{resource.kind}"


def _kinds(resource: Resource, suffix: str = "") -> list[dict[str, str]]:
    return [{"group": resource.group, "kind": resource.kind + suffix, "version": resource.version}]


def _schema(resource: Resource) -> dict[str, Any]:
    """The declared schema with what every resource has."""
    custom = resource.custom
    assert custom is not None
    declared = dict(custom.open_api or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    properties = dict(declared.get("properties") or {})
    properties.update({"apiVersion": _API_VERSION, "kind": _KIND, "metadata": _METADATA})
    declared["properties"] = properties
    declared["x-kubernetes-group-version-kind"] = _kinds(resource)
    return declared


def _list_schema(resource: Resource, name: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": f"{resource.kind}List is a list of {resource.kind}",
        "required": ["items"],
        "properties": {
            "apiVersion": _API_VERSION,
            "kind": _KIND,
            "metadata": {"allOf": [{"$ref": _REF + _META + "ListMeta"}]},
            "items": {"type": "array", "items": {"$ref": _REF + name}},
        },
        "x-kubernetes-group-version-kind": _kinds(resource, "List"),
    }
