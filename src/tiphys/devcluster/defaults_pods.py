"""What an API server fills into pod specs: of Pods and of the templates in workloads.

Every function changes the object it is given, which belongs to the caller.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from tiphys.apimachinery.quantity import canonical, parse

Json = dict[str, Any]

FILE_MODE: Final = 0o644
TOKEN_LIFETIME_S: Final = 3600


def default_pod(pod: Json) -> None:
    """Fill in a Pod: its spec, requests from limits, host ports.

    Source: pkg/apis/core/v1/defaults.go SetDefaults_Pod; dev-cluster 2 (recorded pairs).
    """
    spec = pod["spec"]
    default_pod_spec(spec)
    for container in (*(spec.get("containers") or ()), *spec.get("initContainers", ())):
        _requests_from_limits(container)
    if spec.get("hostNetwork"):
        _host_ports(spec)
    spec.setdefault("enableServiceLinks", True)


def default_template(template: Json | None) -> None:
    """Fill in the pod template of a workload."""
    if template is not None:
        spec = template.get("spec")
        if spec is not None:
            default_pod_spec(spec)


def default_pod_spec(spec: Json) -> None:
    """Fill in what Pods and templates share.

    Source: pkg/apis/core/v1/defaults.go SetDefaults_PodSpec and the generated walkers.
    """
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("schedulerName", "default-scheduler")
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in all_containers(spec):
        _default_container(container)
    for volume in spec.get("volumes", ()):
        default_volume(volume)
    if "overhead" in spec:
        round_resources(spec["overhead"])
    if "resources" in spec:
        _round(spec["resources"])


def all_containers(spec: Json) -> Iterator[Json]:
    """Init, ordinary and ephemeral containers of a pod spec."""
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, named or implied; `IfNotPresent` for other tags and digests.

    Source: pkg/util/parsers ParseImageName.
    """
    if "@" in image:
        return "IfNotPresent"
    tag = image.rsplit("/", 1)[-1].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _default_container(container: Json) -> None:
    container.setdefault("imagePullPolicy", pull_policy(container.get("image", "")))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for variable in container.get("env", ()):
        source = variable.get("valueFrom")
        if source:
            _field_ref(source)
            key = source.get("fileKeyRef")
            if key is not None:
                key.setdefault("optional", False)
    _round(container.get("resources"))
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if probe in container:
            _default_probe(container[probe])
    for handler in container.get("lifecycle", {}).values():
        if isinstance(handler, dict):
            _http_get(handler)


def _default_probe(probe: Json) -> None:
    probe.setdefault("timeoutSeconds", 1)
    probe.setdefault("periodSeconds", 10)
    probe.setdefault("successThreshold", 1)
    probe.setdefault("failureThreshold", 3)
    _http_get(probe)
    if "grpc" in probe and probe["grpc"].get("service") is None:
        probe["grpc"]["service"] = ""


def _http_get(handler: Json) -> None:
    request = handler.get("httpGet")
    if request is not None:
        request.setdefault("path", "/")
        request.setdefault("scheme", "HTTP")


def _field_ref(source: Json) -> None:
    reference = source.get("fieldRef")
    if reference is not None:
        reference.setdefault("apiVersion", "v1")


def _round(resources: Json | None) -> None:
    if resources:
        for field in ("limits", "requests"):
            if field in resources:
                round_resources(resources[field])


def _requests_from_limits(container: Json) -> None:
    limits = container.get("resources", {}).get("limits")
    if limits:
        requests = container["resources"].setdefault("requests", {})
        for name, amount in limits.items():
            requests.setdefault(name, amount)


def _host_ports(spec: Json) -> None:
    for field in ("containers", "initContainers"):
        for container in spec.get(field) or ():
            for port in container.get("ports", ()):
                port.setdefault("hostPort", port["containerPort"])


def default_volume(volume: Json) -> None:
    """Fill in one volume; one without a source becomes an empty directory."""
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for source in ("secret", "configMap", "downwardAPI", "projected"):
        if source in volume:
            volume[source].setdefault("defaultMode", FILE_MODE)
    for item in volume.get("downwardAPI", {}).get("items", ()):
        _field_ref(item)
    for source in volume.get("projected", {}).get("sources") or ():
        token = source.get("serviceAccountToken")
        if token is not None:
            token.setdefault("expirationSeconds", TOKEN_LIFETIME_S)
        for item in source.get("downwardAPI", {}).get("items", ()):
            _field_ref(item)
    default_volume_source(volume)
    if "ephemeral" in volume:
        template = volume["ephemeral"].get("volumeClaimTemplate")
        if template is not None:
            default_claim_spec(template["spec"])
    if "image" in volume:
        volume["image"].setdefault("pullPolicy", pull_policy(volume["image"].get("reference", "")))


def default_volume_source(source: Json) -> None:
    """Fill in the sources that volumes of pods and PersistentVolumes have in common."""
    if "hostPath" in source and source["hostPath"].get("type") is None:
        source["hostPath"]["type"] = ""
    if "iscsi" in source:
        source["iscsi"].setdefault("iscsiInterface", "default")
    if "rbd" in source:
        source["rbd"].setdefault("pool", "rbd")
        source["rbd"].setdefault("user", "admin")
        source["rbd"].setdefault("keyring", "/etc/ceph/keyring")
    if "azureDisk" in source:
        disk = source["azureDisk"]
        disk.setdefault("cachingMode", "ReadWrite")
        disk.setdefault("kind", "Shared")
        disk.setdefault("fsType", "ext4")
        disk.setdefault("readOnly", False)
    if "scaleIO" in source:
        source["scaleIO"].setdefault("storageMode", "ThinProvisioned")
        source["scaleIO"].setdefault("fsType", "xfs")


def default_claim_spec(spec: Json) -> None:
    """Fill in the spec of a PersistentVolumeClaim."""
    spec.setdefault("volumeMode", "Filesystem")
    _round(spec.get("resources"))


def round_resources(amounts: Json) -> None:
    """Round amounts finer than a thousandth away from zero: that is the finest a resource is counted in.

    Source: pkg/apis/core/v1/defaults.go SetDefaults_ResourceList.
    """
    for name, text in amounts.items():
        if text[-1:] in ("n", "u"):
            nano = parse(text).nano
            milli = -(-abs(nano) // 1_000_000)
            amounts[name] = canonical(f"{milli if nano >= 0 else -milli}m")
