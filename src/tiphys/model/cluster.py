"""Cluster and its connection settings, as kept in cluster Secrets.

Source: compat 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiphys.model.codec import EMPTY
from tiphys.model.destination import IN_CLUSTER_NAME, IN_CLUSTER_SERVER
from tiphys.runtime.secret import Secret

NO_SECRET = Secret("")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecConfig:
    """A program that prints credentials (client-go exec plugin). Values of `env` may be secret."""

    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, Secret] = EMPTY
    api_version: str = "client.authentication.k8s.io/v1beta1"
    install_hint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """How to reach and prove oneself to an API server; certificates are PEM."""

    username: str = ""
    password: Secret = NO_SECRET
    bearer_token: Secret = NO_SECRET
    insecure: bool = False
    server_name: str = ""
    ca_data: str = ""
    cert_data: str = ""
    key_data: Secret = NO_SECRET
    exec_config: ExecConfig | None = None
    disable_compression: bool = False
    proxy_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A cluster Applications may be deployed to. `server` has no trailing slash; no namespaces means all."""

    server: str
    name: str = ""
    config: ClusterConfig = field(default_factory=ClusterConfig)
    namespaces: tuple[str, ...] = ()
    cluster_resources: bool = False
    shard: int | None = None
    project: str = ""
    labels: Mapping[str, str] = EMPTY
    annotations: Mapping[str, str] = EMPTY


def in_cluster() -> Cluster:
    """The cluster Tiphys itself runs in, as it is known without a Secret."""
    return Cluster(server=IN_CLUSTER_SERVER, name=IN_CLUSTER_NAME)
