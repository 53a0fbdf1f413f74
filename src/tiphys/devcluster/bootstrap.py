"""Bootstrap: the objects every cluster has from its first moment on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tiphys.devcluster.rbac_bootstrap import create_roles
from tiphys.devcluster.resources import Registry
from tiphys.devcluster.strategy import find_resource
from tiphys.devcluster.writes import WriteOptions, Writer

Object = dict[str, Any]

MANAGER = "kube-apiserver"
NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
DEFAULT_STORAGE_CLASS = "standard"
KUBERNETES_IP = "10.96.0.1"


def create_missing(writer: Writer, registry: Registry, *, address: str, port: int) -> None:
    """Create what is not there. What a person changed stays as it is."""
    options = WriteOptions(manager=MANAGER)
    for name, namespace, obj in _objects(address, port):
        resource = find_resource(registry, name)
        assert resource is not None, name
        key = f"{namespace}/{obj['metadata']['name']}"
        if writer.store.get(resource.bucket, key) is None:
            writer.create(resource, namespace, writer.rules.decode(resource, obj).obj, options)
    create_roles(writer, registry, options)


def _objects(address: str, port: int) -> Iterator[tuple[str, str, Object]]:
    """(resource, namespace, object) in the order in which they can be created."""
    for name in NAMESPACES:
        yield "v1/namespaces", "", {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}}
    yield from _kubernetes_service(address, port)
    yield (
        "storage.k8s.io/v1/storageclasses",
        "",
        {
            "metadata": {
                "name": DEFAULT_STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "embedded.tiphys.dev/simulated",
            "reclaimPolicy": "Delete",
            "volumeBindingMode": "Immediate",
        },
    )
    for name, value, use in (
        ("system-cluster-critical", 2_000_000_000, "cluster"),
        ("system-node-critical", 2_000_001_000, "node"),
    ):
        description = f"Used for system critical pods that must {_CRITICAL[use]}"
        yield (
            "scheduling.k8s.io/v1/priorityclasses",
            "",
            {"metadata": {"name": name}, "value": value, "description": description},
        )


_CRITICAL = {
    "cluster": "run in the cluster, but can be moved to another node if necessary.",
    "node": "not be moved from their current node.",
}


def _kubernetes_service(address: str, port: int) -> Iterator[tuple[str, str, Object]]:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    yield (
        "v1/services",
        "default",
        {
            "metadata": {"name": "kubernetes", "labels": labels},
            "spec": {
                "clusterIP": KUBERNETES_IP,
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}],
            },
        },
    )
    yield (
        "v1/endpoints",
        "default",
        {
            "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
            "subsets": [
                {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
            ],
        },
    )
    yield (
        "discovery.k8s.io/v1/endpointslices",
        "default",
        {
            "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        },
    )
