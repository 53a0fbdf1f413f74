"""ConfigMaps and Secrets a Pod cannot start without, and what is said of those that are missing.

Source: kubernetes pkg/kubelet/kubelet_pods.go (messages), pkg/volume/{secret,configmap}.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from tiphys.apimachinery import meta
from tiphys.apimachinery.apierrors import NotFound
from tiphys.devcluster.access import ClusterAccess
from tiphys.devcluster.workloads.fields import Obj, spec_of


class Reference(NamedTuple):
    """One object a Pod needs: `secret` or `configmap`, a key in it (or any), and the container or volume that needs it."""

    kind: str
    name: str
    key: str
    container: str
    volume: str


@dataclass(slots=True)
class Missing:
    """Why containers cannot be made, by container; and why volumes cannot be mounted."""

    containers: dict[str, str] = field(default_factory=dict)
    volumes: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.containers or self.volumes)


def references_of(pod: Obj) -> Iterator[Reference]:
    """What a Pod refers to, but for what it marks optional."""
    spec = spec_of(pod)
    for volume in spec.get("volumes") or ():
        for kind, form, name in (("secret", "secret", "secretName"), ("configmap", "configMap", "name")):
            found = volume.get(form)
            if found and not found.get("optional"):
                yield Reference(kind, str(found.get(name)), "", "", str(volume.get("name")))
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        where = str(container.get("name"))
        for source in container.get("envFrom") or ():
            for kind, ref in (("secret", "secretRef"), ("configmap", "configMapRef")):
                found = source.get(ref)
                if found and not found.get("optional"):
                    yield Reference(kind, str(found.get("name")), "", where, "")
        for variable in container.get("env") or ():
            source = variable.get("valueFrom") or {}
            for kind, ref in (("secret", "secretKeyRef"), ("configmap", "configMapKeyRef")):
                found = source.get(ref)
                if found and not found.get("optional"):
                    yield Reference(kind, str(found.get("name")), str(found.get("key") or ""), where, "")


async def missing(access: ClusterAccess, pod: Obj) -> Missing:
    """What of a Pod's references is not there now."""
    answer = Missing()
    namespace = meta.namespace(pod)
    held: dict[tuple[str, str], Obj | None] = {}
    for reference in references_of(pod):
        place = (reference.kind, reference.name)
        if place not in held:
            try:
                held[place] = await access.get(f"v1/{reference.kind}s", namespace, reference.name)
            except NotFound:
                held[place] = None
        found = held[place]
        why = ""
        if found is None:
            why = f'{reference.kind} "{reference.name}" not found'
        elif reference.key and not _has(found, reference.key):
            shown = "Secret" if reference.kind == "secret" else "ConfigMap"
            why = f"couldn't find key {reference.key} in {shown} {namespace}/{reference.name}"
        if why and reference.volume:
            answer.volumes.append(f'MountVolume.SetUp failed for volume "{reference.volume}" : {why}')
        elif why:
            answer.containers.setdefault(reference.container, why)
    return answer


def _has(obj: Obj, key: str) -> bool:
    return any(key in (obj.get(name) or ()) for name in ("data", "binaryData"))
