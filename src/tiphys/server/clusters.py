"""/api/v1/clusters: clusters that Applications may be deployed to. Credentials go in and never come out.

Source: compat 9, 13.1; argo-cd server/cluster.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import orjson

from tiphys.kube.config import ClusterConfigError
from tiphys.model.annotations import REFRESH
from tiphys.model.cluster import Cluster
from tiphys.runtime.redact import redact_url
from tiphys.runtime.secret import Secret
from tiphys.server.authz import SIGNED_IN
from tiphys.server.context import Context
from tiphys.server.errors import Code, RequestError, invalid_argument, permission_denied
from tiphys.server.http import Response, json_response
from tiphys.server.ports import ClusterBook
from tiphys.server.routing import Route

_CONFIG_FIELDS = (
    "username",
    "password",
    "bearerToken",
    "tlsClientConfig",
    "awsAuthConfig",
    "execProviderConfig",
    "disableCompression",
    "proxyUrl",
)
_UPDATABLE = frozenset(
    ("name", "namespaces", "config", "clusterResources", "labels", "annotations", "shard", "project")
)


def routes(prefix: str) -> tuple[Route, ...]:
    """The routes about clusters; each handler asks about the cluster it finds, which may be named or addressed."""
    one = f"{prefix}/clusters/{{id}}"
    return (
        Route("GET", f"{prefix}/clusters", list_clusters, SIGNED_IN),
        Route("POST", f"{prefix}/clusters", create_cluster, SIGNED_IN),
        Route("GET", one, get_cluster, SIGNED_IN),
        Route("PUT", one, update_cluster, SIGNED_IN),
        Route("DELETE", one, delete_cluster, SIGNED_IN),
        Route("POST", f"{one}/invalidate-cache", invalidate_cache, SIGNED_IN),
    )


async def list_clusters(context: Context) -> Response:
    """GET /clusters: those the caller may see; `server` and `name` choose."""
    book = context.services.cluster_book
    items: list[dict[str, Any]] = []
    if book is not None:
        server, name = context.request.query("server").rstrip("/"), context.request.query("name")
        counts = book.application_counts()
        for cluster in book.clusters():
            if server not in ("", cluster.server) or name not in ("", cluster.name):
                continue
            if context.ask("clusters", "get", _rbac_object(cluster), cluster.project):
                items.append(_shown(cluster, book.information(cluster.server, counts.get(cluster.server, 0))))
    return json_response({"metadata": {}, "items": items})


async def get_cluster(context: Context) -> Response:
    """GET /clusters/{id}."""
    book, cluster = _find(context, "get")
    return json_response(_shown(cluster, book.information(cluster.server)))


async def create_cluster(context: Context) -> Response:
    """POST /clusters: must be reachable; one that is there already must be equal unless `upsert`."""
    book = _book(context)
    cluster = _cluster(await context.request.json_object())
    context.enforce("clusters", "create", _rbac_object(cluster), cluster.project)
    version = await _check(book, cluster)
    there = next((c for c in book.clusters() if c.server == cluster.server and (c.secret or not c.is_home)), None)
    if there is None:
        await book.create(cluster)
    elif not _same(there, cluster):
        if not context.request.query_bool("upsert"):
            raise invalid_argument("existing cluster spec is different; use upsert flag to force update")
        context.enforce("clusters", "update", _rbac_object(there), there.project)
        await book.update(replace(cluster, secret=there.secret))
    info = {**book.information(cluster.server), "serverVersion": version}
    return json_response(_shown(cluster, info))


async def update_cluster(context: Context) -> Response:
    """PUT /clusters/{id}: only the `updatedFields`, or everything."""
    book, before = _find(context, "update")
    body = await context.request.json_object()
    fields = [part for text in context.request.query_list("updatedFields") for part in text.split(",") if part]
    if unknown := sorted(set(fields) - _UPDATABLE):
        raise invalid_argument(f"unknown field {unknown[0]!r} in updatedFields")
    given = _cluster({**body, "server": before.server})
    after = _merged(before, given, fields) if fields else replace(given, secret=before.secret)
    context.enforce("clusters", "update", _rbac_object(after), after.project)
    await _check(book, after)
    await book.update(after)
    return json_response(_shown(after, book.information(after.server)))


async def delete_cluster(context: Context) -> Response:
    """DELETE /clusters/{id}: nothing is deleted in the cluster."""
    book, cluster = _find(context, "delete")
    if not cluster.secret:
        raise RequestError(Code.NOT_FOUND, f'cluster "{cluster.server}" not found')
    await book.delete(cluster)
    return json_response({})


async def invalidate_cache(context: Context) -> Response:
    """POST /clusters/{id}/invalidate-cache."""
    book, cluster = _find(context, "update")
    await book.invalidate(cluster)
    return json_response(_shown(cluster, book.information(cluster.server)))


def _book(context: Context) -> ClusterBook:
    book = context.services.cluster_book
    if book is None:
        raise permission_denied()
    return book


def _find(context: Context, action: str) -> tuple[ClusterBook, Cluster]:
    """The cluster a request is about; one that is not there and one that may not be seen are the same 403."""
    book = _book(context)
    value, kind = context.request.params["id"], context.request.query("id.type")
    if kind.endswith("_escaped"):
        value, kind = unquote(value), kind.removesuffix("_escaped")
    if kind == "name":
        found = [cluster for cluster in book.clusters() if cluster.name == value]
    elif kind in ("", "server", "url"):
        found = [cluster for cluster in book.clusters() if cluster.server == value.rstrip("/")]
    else:
        raise invalid_argument(f"unknown id.type {kind!r}")
    allowed = [c for c in found if context.ask("clusters", action, _rbac_object(c), c.project)]
    if not allowed:
        raise permission_denied()
    return book, allowed[0]


async def _check(book: ClusterBook, cluster: Cluster) -> str:
    try:
        return await book.check(cluster)
    except ClusterConfigError as error:
        raise invalid_argument(str(error)) from None


def _rbac_object(cluster: Cluster) -> str:
    return f"{cluster.project}/{cluster.server}" if cluster.project else cluster.server


def _same(one: Cluster, other: Cluster) -> bool:
    def words(cluster: Cluster) -> tuple[object, ...]:
        config = orjson.loads(cluster.config.reveal() or "{}")
        labels, annotations = dict(cluster.labels), dict(cluster.annotations)
        for name in ("managed-by", REFRESH):
            annotations.pop(name, None)
        named = cluster.name or cluster.server
        return (named, config, cluster.namespaces, cluster.cluster_resources, cluster.project, labels, annotations)

    return words(one) == words(other)


def _merged(before: Cluster, given: Cluster, fields: Sequence[str]) -> Cluster:
    after = before
    for field in fields:
        match field:
            case "name":
                after = replace(after, name=given.name)
            case "namespaces":
                after = replace(after, namespaces=given.namespaces)
            case "config":
                after = replace(after, config=given.config)
            case "clusterResources":
                after = replace(after, cluster_resources=given.cluster_resources)
            case "labels":
                after = replace(after, labels=given.labels)
            case "annotations":
                after = replace(after, annotations=given.annotations)
            case "shard":
                after = replace(after, shard=given.shard)
            case "project":
                after = replace(after, project=given.project)
    return after


def _cluster(body: Mapping[str, Any]) -> Cluster:
    """A cluster as clients send it. Raises RequestError, which quotes nothing of its config."""
    config = body.get("config") or {}
    shard = body.get("shard")
    if isinstance(shard, str) and shard.isdecimal():
        shard = int(shard)  # protobuf's JSON writes 64-bit numbers as strings
    fits = (
        isinstance(config, Mapping)
        and all(isinstance(body.get(field) or "", str) for field in ("server", "name", "project"))
        and all(isinstance(one, str) for one in _list(body.get("namespaces")))
        and all(_is_text_map(body.get(field) or {}) for field in ("labels", "annotations"))
        and (shard is None or isinstance(shard, int))
    )
    if not fits:
        raise invalid_argument("the cluster cannot be decoded")
    server = str(body.get("server") or "").strip().rstrip("/")
    if not server:
        raise invalid_argument("cluster server is missing")
    kept = {field: config[field] for field in _CONFIG_FIELDS if config.get(field)}
    kept.setdefault("tlsClientConfig", {"insecure": False})
    return Cluster(
        server=server,
        name=str(body.get("name") or server),
        config=Secret(orjson.dumps(kept).decode()),
        namespaces=tuple(_list(body.get("namespaces"))),
        cluster_resources=body.get("clusterResources") is True,
        shard=shard,
        project=str(body.get("project") or ""),
        labels=dict(body.get("labels") or {}),
        annotations=dict(body.get("annotations") or {}),
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_text_map(value: object) -> bool:
    return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())


def _shown(cluster: Cluster, info: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "server": cluster.server,
        "name": cluster.name,
        "config": _shown_config(cluster),
        "connectionState": info["connectionState"],
        "info": info,
    }
    optional = {
        "serverVersion": info.get("serverVersion"),
        "namespaces": list(cluster.namespaces),
        "clusterResources": cluster.cluster_resources,
        "shard": cluster.shard,
        "project": cluster.project,
        "labels": dict(cluster.labels),
        "annotations": dict(cluster.annotations),
        "refreshRequestedAt": cluster.annotations.get(REFRESH),
    }
    return shown | {name: value for name, value in optional.items() if value or (value == 0 and value is not False)}


def _shown_config(cluster: Cluster) -> dict[str, Any]:
    """What of the config is no credential; of an exec plugin's environment the names."""
    try:
        config = orjson.loads(cluster.config.reveal() or "{}")
    except orjson.JSONDecodeError:
        config = {}
    if not isinstance(config, dict):
        config = {}
    tls = config.get("tlsClientConfig")
    shown: dict[str, Any] = {"tlsClientConfig": {"insecure": isinstance(tls, Mapping) and tls.get("insecure") is True}}
    if isinstance(aws := config.get("awsAuthConfig"), Mapping):
        shown["awsAuthConfig"] = {k: aws[k] for k in ("clusterName", "roleARN", "profile") if aws.get(k)}
    if isinstance(plugin := config.get("execProviderConfig"), Mapping):
        names = ("command", "args", "apiVersion", "installHint", "provideClusterInfo")
        shown["execProviderConfig"] = {name: plugin[name] for name in names if plugin.get(name)}
        if isinstance(env := plugin.get("env"), Mapping):
            shown["execProviderConfig"]["env"] = dict.fromkeys(env, "")
    if config.get("disableCompression") is True:
        shown["disableCompression"] = True
    if isinstance(proxy := config.get("proxyUrl"), str) and proxy:
        shown["proxyUrl"] = redact_url(proxy)
    return shown
