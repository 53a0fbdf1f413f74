"""How one engine is run, and where its own cluster is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tiphys.kube.config import ClusterConfig, in_cluster_config, read_kubeconfig


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How one engine is run. `address_out` gets the URL once the engine is ready."""

    home: Path
    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str = "argocd"
    host: str = "127.0.0.1"
    port: int = 8080
    insecure: bool = False
    allow_file_repositories: bool = False
    address_out: Path | None = None
    store_url: str = ""
    take_over: bool = False  # act in the place of an Argo CD application controller that is scaled to zero


def cluster_config(options: EngineOptions, env: Mapping[str, str]) -> ClusterConfig:
    """Where the engine's own cluster is: a kubeconfig that is named, else the Pod it runs in, else the user's kubeconfig."""
    if options.kubeconfig is not None:
        return read_kubeconfig(options.kubeconfig, context=options.context)
    if env.get("KUBERNETES_SERVICE_HOST"):
        return in_cluster_config(env)
    named = [Path(p) for p in env.get("KUBECONFIG", "").split(os.pathsep) if p]
    return read_kubeconfig(named or [Path.home() / ".kube" / "config"], context=options.context)
