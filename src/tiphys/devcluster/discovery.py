"""Discovery: which groups, versions and resources there are; the aggregated documents and the plain ones."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from tiphys.devcluster.negotiation import AggregatedForm
from tiphys.devcluster.resources import Registry, Resource, Subresource

GIT_VERSION = "v1.36.3+embedded"

_GVK = dict[str, str]


def version_info() -> dict[str, str]:
    """The `/version` document. Build metadata, not a pre-release: charts with `kubeVersion: ">=1.25.0"` accept it."""
    return {
        "major": "1",
        "minor": "36",
        "emulationMajor": "1",
        "emulationMinor": "36",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "35",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "tiphys",
        "platform": "embedded",
    }


class Discovery:
    """Discovery documents of a registry, rebuilt when it changes."""

    def __init__(self, registry: Registry, server_address: str) -> None:
        self._registry = registry
        self._address = server_address
        self._generation = -1
        self._documents: dict[tuple[str, ...], tuple[bytes, str]] = {}

    def _cached(self, key: tuple[str, ...], build: Any) -> tuple[bytes, str]:
        if self._generation != self._registry.generation:
            self._documents.clear()
            self._generation = self._registry.generation
        found = self._documents.get(key)
        if found is None:
            body = orjson.dumps(build())
            found = (body, '"' + hashlib.sha256(body).hexdigest().upper() + '"')
            self._documents[key] = found
        return found

    def aggregated(self, root: str, form: AggregatedForm) -> tuple[bytes, str]:
        """(document, ETag) of everything below `/api` or `/apis`."""
        return self._cached(("aggregated", root, form.value), lambda: self._build_aggregated(root, form))

    def _build_aggregated(self, root: str, form: AggregatedForm) -> dict[str, Any]:
        items = []
        for group, versions in self._registry.groups().items():
            if (group == "") != (root == "/api"):
                continue
            shown = [
                {
                    "version": version,
                    "resources": [_aggregated_resource(one) for one in _by_name(resources)],
                    "freshness": "Current",
                }
                for version, resources in versions.items()
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": shown})
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{form.value}",
            "metadata": {},
            "items": items,
        }

    def paths(self) -> bytes:
        """The `/` document: what else can be asked for."""
        return self._cached(("paths",), lambda: {"paths": sorted(self._known_paths())})[0]

    def _known_paths(self) -> list[str]:
        found = ["/api", "/api/v1", "/apis", "/apis/", "/openapi/v3", "/openapi/v3/", "/version"]
        for check in ("/healthz", "/livez", "/readyz"):
            found += [check, f"{check}/etcd", f"{check}/log", f"{check}/ping"]
        for group, versions in self._registry.groups().items():
            if group:
                found += [f"/apis/{group}", *(f"/apis/{group}/{version}" for version in versions)]
        return found

    def core_versions(self) -> bytes:
        """The plain `/api` document."""
        return orjson.dumps(
            {
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": self._address}],
            }
        )

    def group_list(self) -> bytes:
        """The plain `/apis` document."""
        return self._cached(("groups",), self._build_group_list)[0]

    def _build_group_list(self) -> dict[str, Any]:
        groups = [self._group(name) for name in self._registry.groups() if name]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def group(self, name: str) -> bytes | None:
        """The `/apis/GROUP` document, None when there is no such group."""
        if not name or name not in self._registry.groups():
            return None
        return orjson.dumps({"kind": "APIGroup", "apiVersion": "v1", **self._group(name)})

    def _group(self, name: str) -> dict[str, Any]:
        versions = [{"groupVersion": f"{name}/{one}", "version": one} for one in self._registry.groups()[name]]
        return {"name": name, "versions": versions, "preferredVersion": versions[0]}

    def resource_list(self, group: str, version: str) -> bytes | None:
        """The `/apis/GROUP/VERSION` document, None when it is not served."""
        resources = self._registry.groups().get(group, {}).get(version)
        if resources is None:
            return None
        group_version = f"{group}/{version}" if group else version
        return self._cached(
            ("resources", group, version),
            lambda: {
                "kind": "APIResourceList",
                **({"apiVersion": "v1"} if group else {}),
                "groupVersion": group_version,
                "resources": [row for one in _by_name(resources) for row in _plain_rows(one)],
            },
        )[0]


def _by_name(resources: Any) -> list[Resource]:
    return sorted(resources.values(), key=lambda one: one.plural)


def _aggregated_resource(resource: Resource) -> dict[str, Any]:
    named = resource.custom is not None
    kind: _GVK = {
        "group": resource.group if named else "",
        "version": resource.version if named else "",
        "kind": resource.kind,
    }
    row: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": kind,
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if resource.subresources:
        row["subresources"] = [_aggregated_subresource(one) for one in resource.subresources.values()]
    return row


def _aggregated_subresource(sub: Subresource) -> dict[str, Any]:
    return {
        "subresource": sub.name,
        "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
        "verbs": list(sub.verbs),
    }


def _plain_rows(resource: Resource) -> list[dict[str, Any]]:
    row: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        row["shortNames"] = list(resource.short_names)
    if resource.categories:
        row["categories"] = list(resource.categories)
    if resource.is_stored and resource.plural != "componentstatuses":
        row["storageVersionHash"] = _storage_hash(resource)
    rows = [row]
    for sub in resource.subresources.values():
        one: dict[str, Any] = {
            "name": f"{resource.plural}/{sub.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
        }
        if sub.version and not (resource.custom is not None and sub.name == "status"):
            one.update({"group": sub.group, "version": sub.version})
        rows.append({**one, "kind": sub.kind, "verbs": list(sub.verbs)})
    return rows


def _storage_hash(resource: Resource) -> str:
    text = f"{resource.storage_version}/{resource.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()
