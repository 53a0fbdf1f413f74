"""What stands in the embedded cluster for the engine beside it: the Service people forward a port to, and its Pod.

Nothing serves there. A port-forward to it is refused, and the refusal says where the engine is (see `REACH`). kubectl goes
from a Service to one of its Pods before it asks for anything, so there has to be one; the Deployment brings it back after a
`kubectl drain` or `delete pod`, and is what people wait for who follow a guide to Argo CD.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tiphys.apimachinery.apierrors import Conflict
from tiphys.kube.client import APPLY, ApiResource, KubeClient

NAME = "argocd-server"
NAMESPACE = "argocd"
REACH = "embedded.tiphys.dev/reach"
LOG = "embedded.tiphys.dev/log"
_MANAGER = "tiphys-up"
_SERVICES = ApiResource("", "v1", "Service", "services", True)
_DEPLOYMENTS = ApiResource("apps", "v1", "Deployment", "deployments", True)


async def stand_in(client: KubeClient, url: str, log: Path) -> None:
    """Apply the Service and the Deployment that say where the engine is. Raises ApiError, ClusterUnreachable.

    Objects of these names that somebody else has made or changed are left as they are.
    """
    for resource, body in ((_SERVICES, _service(url)), (_DEPLOYMENTS, _deployment(url, log))):
        try:
            await client.patch(resource, NAME, body, NAMESPACE, content_type=APPLY, field_manager=_MANAGER)
        except Conflict:
            return


def directions(url: str) -> str:
    """The sentence that a refused port-forward ends with."""
    parts = urlsplit(url)
    flag = "--plaintext" if parts.scheme == "http" else "--insecure"
    login = f"tiphys login {parts.netloc} {flag} --username admin"
    return f"Tiphys runs beside the cluster: open {url} or type `{login}`"


def _labels() -> dict[str, str]:
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "argocd"}


def _metadata() -> dict[str, Any]:
    return {"name": NAME, "namespace": NAMESPACE, "labels": _labels()}


def _service(url: str) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "https", "port": 443, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_metadata(), "annotations": {REACH: directions(url)}},
        "spec": {"selector": {"app.kubernetes.io/name": NAME}, "ports": ports},
    }


def _deployment(url: str, log: Path) -> dict[str, Any]:
    container = {"name": NAME, "image": "tiphys-runs-beside-the-cluster", "ports": [{"containerPort": 8080}]}
    told = {REACH: directions(url), LOG: f"Tiphys runs beside the cluster: its log is in the file {log}"}
    template = {"metadata": {"labels": _labels(), "annotations": told}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app.kubernetes.io/name": NAME}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(),
        "spec": {"replicas": 1, "selector": selector, "template": template},
    }
