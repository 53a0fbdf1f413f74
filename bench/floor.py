"""The floor: the least requests that the work needs, sent by this process over 32 connections, with no engine at all.

What an engine costs above it is the engine's. CPU of this client is not in the cluster's figure and is given beside it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from bench.api import APPLY, MERGE, Api, Object
from bench.machine import self_cpu_s
from bench.meter import Meter
from bench.site import Site

PLURALS = {"ConfigMap": "configmaps", "Service": "services", "ServiceAccount": "serviceaccounts", "Secret": "secrets"}
PASSES = ("ssa", "noop", "get", "delete", "post", "delete")
"""Server-side apply that creates, server-side apply that changes nothing, GET, DELETE, POST, and DELETE to leave nothing."""


def collection(obj: Object) -> str:
    """Path of the collection of one of the workload's objects."""
    return f"/api/v1/namespaces/{obj['metadata']['namespace']}/{PLURALS[obj['kind']]}"


def item(obj: Object) -> str:
    """Path of the object."""
    return f"{collection(obj)}/{obj['metadata']['name']}"


async def drive(api: Api, objects: Sequence[Object], how: str) -> None:
    """One request for each object: `post`, `ssa`, `get` or `delete`."""
    await api.pool([lambda obj=obj: send(api, obj, how) for obj in objects])  # type: ignore[misc]


async def send(api: Api, obj: Object, how: str) -> bytes:
    """The request of one object."""
    if how in ("ssa", "noop"):
        return await api.call("PATCH", f"{item(obj)}?fieldManager=floor&force=true", obj, APPLY)
    if how == "post":
        return await api.call("POST", collection(obj), obj)
    if how == "merge":
        return await api.call("PATCH", item(obj), {"data": obj["data"]}, MERGE)
    return await api.call({"get": "GET", "delete": "DELETE"}[how], item(obj))


async def floor(site: Site, api: Api, objects: Sequence[Object], passes: Sequence[str] = PASSES) -> dict[str, Any]:
    """Each pass over all objects: wall seconds, the cluster's CPU for each object, this client's."""
    found: dict[str, Any] = {"objects": len(objects)}
    for how in passes:
        meter, own, started = Meter(site, None), self_cpu_s(), time.monotonic()
        await drive(api, objects, how)
        wall, client = time.monotonic() - started, self_cpu_s() - own
        spent = meter.read()
        if how in found:
            continue  # the second removal is there to leave nothing
        found[how] = {
            "wall_s": round(wall, 3),
            "cluster_cpu_ms_per_object": round(spent.cluster_cpu_s / len(objects) * 1000, 3),
            "client_cpu_ms_per_object": round(client / len(objects) * 1000, 3),
            "etcd_wal_kib_per_object": round(spent.wal_bytes / len(objects) / 1024, 2),
            "others_cores": round(spent.others_cpu_s / max(spent.seconds, 0.001), 2),
        }
    return found
