"""The gate before a time counts: what is live is what was declared, every object of it and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from bench.api import Api, Object, key_of

COLLECTIONS = {"ConfigMap": "configmaps", "Service": "services", "ServiceAccount": "serviceaccounts"}
CLUSTERS_OWN = {("ConfigMap", "kube-root-ca.crt"), ("ServiceAccount", "default")}
PREFIX = "bench-"


class NotEquivalentError(Exception):
    """An engine has not made the objects that were declared, so its times mean nothing."""


async def live_objects(api: Api, namespace: str = "") -> list[Object]:
    """Every live object of the workload's kinds in its namespaces, or in this one."""
    found = []
    for kind, plural in COLLECTIONS.items():
        space = f"namespaces/{namespace}/" if namespace else ""
        for obj in await api.items(f"/api/v1/{space}{plural}"):
            obj |= {"apiVersion": "v1", "kind": kind}  # a list leaves them out
            if obj["metadata"]["namespace"].startswith(PREFIX) and (kind, obj["metadata"]["name"]) not in CLUSTERS_OWN:
                found.append(obj)
    return found


def compare(declared: Iterable[Object], live: Iterable[Object]) -> dict[str, Any]:
    """Count and digest of the declared fields of what is live, for the result. Raises NotEquivalentError."""
    wanted = {(obj["kind"], *key_of(obj)): obj for obj in declared}
    there = {(obj["kind"], *key_of(obj)): obj for obj in live}
    problems = [f"{'/'.join(key)} is missing" for key in sorted(wanted.keys() - there.keys())]
    problems += [f"{'/'.join(key)} was not declared" for key in sorted(there.keys() - wanted.keys())]
    digest = hashlib.sha256()
    for key in sorted(wanted.keys() & there.keys()):
        shown = project(wanted[key], there[key])
        if shown != wanted[key]:
            problems.append(f"{'/'.join(key)} differs in {difference(wanted[key], shown)}")
        digest.update(json.dumps(shown, sort_keys=True).encode())
    if problems:
        raise NotEquivalentError(f"{len(problems)} differences: " + "; ".join(problems[:5]))
    return {"objects": len(wanted), "digest": digest.hexdigest()[:16]}


def project(declared: Any, live: Any) -> Any:
    """What is live of the fields that were declared: tracking, defaults and bookkeeping are no difference.

    All of `data` counts, declared or not. Lists are compared in their order, as the workload's are.
    """
    if isinstance(declared, Mapping) and isinstance(live, Mapping):
        shown = {name: project(value, live.get(name)) for name, value in declared.items()}
        if isinstance(declared.get("data"), Mapping):
            shown["data"] = live.get("data")
        return shown
    if isinstance(declared, list) and isinstance(live, list) and len(declared) == len(live):
        return [project(a, b) for a, b in zip(declared, live, strict=True)]
    return live


def difference(declared: Any, shown: Any, path: str = "") -> str:
    """Path of the first field that differs."""
    if isinstance(declared, Mapping) and isinstance(shown, Mapping):
        for name in sorted({*declared, *shown}):
            if declared.get(name) != shown.get(name):
                return difference(declared.get(name), shown.get(name), f"{path}.{name}")
    return path or "."


async def gate(api: Api, declared: Iterable[Object], namespace: str = "") -> dict[str, Any]:
    """Compare what is in the cluster, or in one namespace of it."""
    return compare(declared, await live_objects(api, namespace))
