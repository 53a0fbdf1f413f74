"""Advice about Pods and templates of Pods: what is taken but will hardly do what was meant.

Source: pkg/api/pod/warnings.go, pkg/api/node/util.go.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tiphys.apimachinery.quantity import parse

Json = Mapping[str, Any]
Lines = Iterator[str]

_OLD_NODE_LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_OLD_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_OLD_VOLUMES: Final = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "gitRepo": "deprecated in v1.11, and disabled by default in v1.33+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}
_NOBODY: Final = "a null labelSelector results in matching no pod"


def pod_advice(field: str, pod: Json) -> Lines:
    """Warnings about a Pod (`field` empty) or a template of Pods at `field`."""
    spec, metadata = pod.get("spec") or {}, pod.get("metadata") or {}
    at = f"{field}." if field else ""
    yield from _placement(f"{at}spec", spec)
    for name, said in _OLD_ANNOTATIONS.items():
        if name in (metadata.get("annotations") or {}):
            yield f"{at}metadata.annotations[{name}]: {said}"
    for index, volume in enumerate(spec.get("volumes") or ()):
        for kind, said in _OLD_VOLUMES.items():
            if volume.get(kind) is not None:
                yield f"{at}spec.volumes[{index}].{kind}: {said}"
    for volume in spec.get("volumes") or ():
        yield from _paths(volume)
    yield from _repeated(f"{at}spec.hostAliases", spec.get("hostAliases") or (), "ip")
    yield from _repeated(f"{at}spec.imagePullSecrets", spec.get("imagePullSecrets") or (), "name")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{at}spec.imagePullSecrets[{index}].name: invalid empty name ""'
    for path, container in _containers(f"{at}spec", spec):
        yield from _amounts(path, container)
        yield from _variables(path, container)
    yield from _ports(f"{at}spec", spec)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        yield (
            f"{at}spec.terminationGracePeriodSeconds: must be >= 0;"
            " negative values are invalid and will be treated as 1"
        )
    yield from _affinities(f"{at}spec.affinity", spec.get("affinity") or {})


def _containers(field: str, spec: Json) -> Iterator[tuple[str, Json]]:
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield f"{field}.{group}[{index}]", container


def _placement(field: str, spec: Json) -> Lines:
    for key in spec.get("nodeSelector") or ():
        if key in _OLD_NODE_LABELS:
            yield f"{field}.nodeSelector[{key}]: {_OLD_NODE_LABELS[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    needed = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    path = f"{field}.affinity.nodeAffinity"
    for index, term in enumerate(needed.get("nodeSelectorTerms") or ()):
        place = f"{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{index}]"
        yield from _term(place, term)
    for index, wish in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        place = f"{path}.preferredDuringSchedulingIgnoredDuringExecution[{index}].preference"
        yield from _term(place, wish.get("preference") or {})
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        place, key = f"{field}.topologySpreadConstraints[{index}]", spread.get("topologyKey") or ""
        if key in _OLD_NODE_LABELS:
            yield f"{place}.topologyKey: {key} is {_OLD_NODE_LABELS[key]}"
        if spread.get("labelSelector") is None:
            yield f"{place}.labelSelector: {_NOBODY}"


def _term(field: str, term: Json) -> Lines:
    for index, one in enumerate(term.get("matchExpressions") or ()):
        key = one.get("key") or ""
        if key in _OLD_NODE_LABELS:
            yield f"{field}.matchExpressions[{index}].key: {key} is {_OLD_NODE_LABELS[key]}"


def _repeated(field: str, items: Any, key: str) -> Lines:
    seen: set[str] = set()
    for index, item in enumerate(items):
        value = item.get(key) or ""
        if value in seen:
            yield f"{field}[{index}].{key}: duplicate {key} {json.dumps(value)}"
        seen.add(value)


def _amounts(field: str, container: Json) -> Lines:
    for name in ("memory", "ephemeral-storage"):
        for part in ("limits", "requests"):
            amount = ((container.get("resources") or {}).get(part) or {}).get(name)
            if amount is not None and parse(amount).value.denominator != 1:
                shown = json.dumps(str(amount))
                yield f"{field}.resources.{part}[{name}]: fractional byte value {shown} is invalid, must be an integer"


def _variables(field: str, container: Json) -> Lines:
    seen: set[str] = set()
    for index, one in enumerate(container.get("env") or ()):
        name, value = one.get("name") or "", one.get("value") or ""
        reference = f"$({name})"
        if name in seen and (one.get("valueFrom") is not None or value == reference or reference not in value):
            yield (
                f"{field}.env[{index}]: hides previous definition of {json.dumps(name)},"
                " which may be dropped when using apply"
            )
        seen.add(name)


def _ports(field: str, spec: Json) -> Lines:
    taken: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    names: dict[str, str] = {}
    named: list[str] = []
    for path, container in _containers(field, spec):
        for index, port in enumerate(container.get("ports") or ()):
            place = f"{path}.ports[{index}]"
            address, host = port.get("hostIP") or "", port.get("hostPort") or 0
            others = taken.setdefault((port.get("containerPort") or 0, port.get("protocol") or ""), [])
            for other, other_address, other_host in others:
                if (address, host) == (other_address, other_host):
                    yield f"{place}: duplicate port definition with {other}"
                elif host == 0 or other_host == 0:
                    yield f"{place}: overlapping port definition with {other}"
                elif host == other_host and bool(address) != bool(other_address):
                    yield f"{place}: dangerously ambiguous port definition with {other}"
            others.append((place, address, host))
            name = port.get("name")
            if name and name in names:
                first = names[name]
                named.append(
                    f"{place}: duplicate port name {json.dumps(name)} with {first},"
                    f" services and probes that select ports by name will use {first}"
                )
            elif name:
                names[name] = place
    yield from named


def _paths(volume: Json) -> Lines:
    """Files of one volume that lie in each other's way."""
    for kind, title, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
        source = volume.get(kind) or {}
        about = f'{title} "{source.get(key) or ""}"'
        yield from _overlaps(volume, about, [(one.get("path") or "", "") for one in source.get("items") or ()])
    downward = (volume.get("downwardAPI") or {}).get("items") or ()
    yield from _overlaps(volume, "DownwardAPI", [(one.get("path") or "", "") for one in downward])
    placed: list[tuple[str, str]] = []
    for source in (volume.get("projected") or {}).get("sources") or ():
        if not any(value is not None for value in source.values()):
            yield f'volume "{volume.get("name") or ""}" (Projected) has no sources provided'
        for kind, title in (("configMap", "ConfigMap"), ("secret", "Secret")):
            of = source.get(kind) or {}
            placed += [(one.get("path") or "", f'{title} "{of.get("name") or ""}"') for one in of.get("items") or ()]
        of = source.get("downwardAPI") or {}
        placed += [(one.get("path") or "", "DownwardAPI") for one in of.get("items") or ()]
        if (source.get("serviceAccountToken") or {}).get("path"):
            placed.append((source["serviceAccountToken"]["path"], "ServiceAccountToken"))
    yield from _overlaps(volume, "Projected", placed)


def _overlaps(volume: Json, about: str, placed: list[tuple[str, str]]) -> Lines:
    seen: list[tuple[str, str]] = []
    for path, source in placed:
        path = path.rstrip("/")
        for other in seen:
            if path and other[0] and (f"{path}/".startswith(f"{other[0]}/") or f"{other[0]}/".startswith(f"{path}/")):
                shown = f"{_shown((path, source))} with {_shown(other)}"
                yield f'volume "{volume.get("name") or ""}" ({about}): overlapping paths: {shown}'
        seen.append((path, source))


def _shown(placed: tuple[str, str]) -> str:
    return f'"{placed[0]}" ({placed[1]})' if placed[1] else f'"{placed[0]}"'


def _affinities(field: str, affinity: Json) -> Lines:
    for kind in ("podAffinity", "podAntiAffinity"):
        of = affinity.get(kind) or {}
        for index, term in enumerate(of.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            if term.get("labelSelector") is None:
                yield f"{field}.{kind}.requiredDuringSchedulingIgnoredDuringExecution[{index}].labelSelector: {_NOBODY}"
        for index, wish in enumerate(of.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            if (wish.get("podAffinityTerm") or {}).get("labelSelector") is None:
                place = f"{field}.{kind}.preferredDuringSchedulingIgnoredDuringExecution[{index}]"
                yield f"{place}.podAffinityTerm.labelSelector: {_NOBODY}"
