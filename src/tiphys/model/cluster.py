"""Cluster: where Applications may be deployed to, as cluster Secrets say it.

Source: compat 9.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import urlsplit

from tiphys.model.annotations import LAST_APPLIED, MANAGED_BY, MANAGED_BY_ARGOCD, SECRET_TYPE_LABEL, parse_go_bool
from tiphys.model.codec import EMPTY, InvalidObject
from tiphys.model.destination import IN_CLUSTER_NAME, IN_CLUSTER_SERVER
from tiphys.runtime.secret import Secret

NO_CONFIG = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster Applications may be deployed to. `server` has no trailing slash; no namespaces means all.

    `config` is the JSON text of the Secret: how to reach the API server and who we are there. `secret` names the Secret,
    empty for the cluster that is known without one.
    """

    server: str
    name: str = ""
    config: Secret = NO_CONFIG
    namespaces: tuple[str, ...] = ()
    cluster_resources: bool = False
    shard: int | None = None
    project: str = ""
    labels: Mapping[str, str] = EMPTY
    annotations: Mapping[str, str] = EMPTY
    secret: str = ""

    @property
    def is_home(self) -> bool:
        """It is the cluster the engine itself belongs to."""
        return self.server == IN_CLUSTER_SERVER


def in_cluster() -> Cluster:
    """The cluster Tiphys itself runs in, as it is known without a Secret."""
    return Cluster(server=IN_CLUSTER_SERVER, name=IN_CLUSTER_NAME)


def parse_cluster_secret(obj: Mapping[str, Any]) -> Cluster:
    """The cluster of a Secret with the label `argocd.argoproj.io/secret-type: cluster`.

    A name that is absent is the server's. Raises InvalidObject, which never quotes a value of `config`.
    """
    metadata = obj.get("metadata") or {}
    data = obj.get("data") or {}
    problems: list[str] = []

    def text(field: str) -> str:
        try:
            return base64.b64decode(data.get(field) or "", validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, TypeError, ValueError):
            problems.append(f"{field} is no base64 of a text")
            return ""

    server = text("server").strip().rstrip("/")
    if not server and not problems:
        problems.append("server is missing")
    shard: int | None = None
    if written := text("shard").strip():
        try:
            shard = int(written)
        except ValueError:
            problems.append(f"shard {written!r} is no number")
    namespaces = tuple(part.strip() for part in text("namespaces").split(",") if part.strip())
    cluster = Cluster(
        server=server,
        name=text("name") or server,
        config=Secret(text("config")),
        namespaces=namespaces,
        cluster_resources=parse_go_bool(text("clusterResources").strip()) is True,
        shard=shard,
        project=text("project"),
        labels={k: v for k, v in (metadata.get("labels") or {}).items() if k != SECRET_TYPE_LABEL},
        annotations={k: v for k, v in (metadata.get("annotations") or {}).items() if k != LAST_APPLIED},
        secret=str(metadata.get("name") or ""),
    )
    if problems:
        raise InvalidObject(tuple(problems))
    return cluster


def cluster_secret(cluster: Cluster, *, namespace: str) -> dict[str, Any]:
    """The Secret of a cluster as the API writes it; it is named after the server unless it has a name already."""
    data = {"server": cluster.server, "config": cluster.config.reveal() or "{}", "name": cluster.name or cluster.server}
    if cluster.namespaces:
        data["namespaces"] = ",".join(cluster.namespaces)
    if cluster.cluster_resources:
        data["clusterResources"] = "true"
    if cluster.project:
        data["project"] = cluster.project
    if cluster.shard is not None:
        data["shard"] = str(cluster.shard)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": cluster.secret or secret_name(cluster.server),
            "namespace": namespace,
            "labels": {**cluster.labels, SECRET_TYPE_LABEL: "cluster"},
            "annotations": {**cluster.annotations, MANAGED_BY: MANAGED_BY_ARGOCD},
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


def secret_name(server: str) -> str:
    """`cluster-<host>-<FNV-1a of the URL>`. Source: compat 8 "Names created by API"; argo-cd util/db URIToSecretName."""
    host = urlsplit(server).netloc.rpartition("@")[2].lower()
    if host.startswith("["):
        host = IPv6Address(host[1:].partition("]")[0]).exploded.replace(":", "-")
    else:
        host = host.partition(":")[0]
    digest = 0x811C9DC5
    for byte in server.encode():
        digest = ((digest ^ byte) * 0x01000193) & 0xFFFFFFFF
    return f"cluster-{host}-{digest}"
