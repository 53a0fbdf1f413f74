"""What every `ClusterAccess` has to do, as checks that run against any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from tiphys.apimachinery.apierrors import AlreadyExists, Conflict, Invalid, NotFound
from tiphys.devcluster.access import ClusterAccess

MAPS = "v1/configmaps"
PODS = "v1/pods"
NAMESPACE = "default"

Check = Callable[[ClusterAccess, str], Coroutine[Any, Any, None]]


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": NAMESPACE}, "data": data}


def pod(name: str) -> dict[str, Any]:
    # No scheduler of this name: nobody but the test has a hand in it.
    spec = {"containers": [{"name": "c", "image": "ok:1"}], "schedulerName": "nobody"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


async def check_created_objects_are_listed_with_a_version_to_watch_from(access: ClusterAccess, name: str) -> None:
    created: Any = await access.create(MAPS, NAMESPACE, config_map(name, a="1"))
    assert created["metadata"]["uid"]
    items, version = await access.list(MAPS, namespace=NAMESPACE)
    found: Any = next(one for one in items if one["metadata"]["name"] == name)  # type: ignore[index]
    assert found["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
    assert (found["kind"], found["apiVersion"]) == ("ConfigMap", "v1")
    assert int(version) >= int(found["metadata"]["resourceVersion"])
    with pytest.raises(AlreadyExists):
        await access.create(MAPS, NAMESPACE, config_map(name))


async def check_a_watch_tells_every_change_after_its_version(access: ClusterAccess, name: str) -> None:
    _, version = await access.list(MAPS)
    await access.create(MAPS, NAMESPACE, config_map(name, a="1"))
    await access.patch(MAPS, NAMESPACE, name, {"data": {"a": "2"}})
    await access.delete(MAPS, NAMESPACE, name)
    seen: list[tuple[str, Any]] = []
    async with asyncio.timeout(10), aclosing(access.watch(MAPS, version)) as events:  # type: ignore[type-var]
        async for kind, obj in events:
            found: Any = obj
            if kind != "BOOKMARK" and found["metadata"]["name"] == name:
                seen.append((kind, found["data"]["a"]))
            if seen and seen[-1][0] == "DELETED":
                break
    assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


async def check_names_are_generated(access: ClusterAccess, name: str) -> None:
    body = config_map(name)
    body["metadata"] = {"generateName": f"{name}-", "namespace": NAMESPACE}
    one: Any = await access.create(MAPS, NAMESPACE, body)
    other: Any = await access.create(MAPS, NAMESPACE, body)
    assert one["metadata"]["name"].startswith(f"{name}-")
    assert one["metadata"]["name"] != other["metadata"]["name"]


async def check_a_merge_patch_changes_what_it_names(access: ClusterAccess, name: str) -> None:
    await access.create(MAPS, NAMESPACE, config_map(name, a="1", b="2"))
    changed: Any = await access.patch(MAPS, NAMESPACE, name, {"data": {"a": None, "c": "3"}})
    assert changed["data"] == {"b": "2", "c": "3"}
    again: Any = await access.patch(MAPS, NAMESPACE, name, {"data": {"c": "3"}})
    assert again["metadata"]["resourceVersion"] == changed["metadata"]["resourceVersion"]


async def check_uid_and_version_are_preconditions_of_a_patch(access: ClusterAccess, name: str) -> None:
    created: Any = await access.create(MAPS, NAMESPACE, config_map(name, a="1"))
    stale = {"metadata": {"resourceVersion": created["metadata"]["resourceVersion"]}, "data": {"a": "3"}}
    await access.patch(MAPS, NAMESPACE, name, {"data": {"a": "2"}})
    with pytest.raises(Conflict):
        await access.patch(MAPS, NAMESPACE, name, stale)
    with pytest.raises((Conflict, Invalid)):
        await access.patch(MAPS, NAMESPACE, name, {"metadata": {"uid": "another"}, "data": {"a": "3"}})


async def check_what_is_not_there_is_not_found(access: ClusterAccess, name: str) -> None:
    for attempt in (
        access.get(MAPS, NAMESPACE, name),
        access.patch(MAPS, NAMESPACE, name, {"data": {}}),
        access.delete(MAPS, NAMESPACE, name),
    ):
        with pytest.raises(NotFound):
            await attempt


async def check_a_delete_minds_the_uid_and_finalizers(access: ClusterAccess, name: str) -> None:
    body = config_map(name)
    body["metadata"]["finalizers"] = ["example.com/hold"]
    created: Any = await access.create(MAPS, NAMESPACE, body)
    with pytest.raises(Conflict):
        await access.delete(MAPS, NAMESPACE, name, uid="another")
    await access.delete(MAPS, NAMESPACE, name, uid=created["metadata"]["uid"])
    held: Any = await access.get(MAPS, NAMESPACE, name)
    assert held["metadata"]["deletionTimestamp"]
    await access.patch(MAPS, NAMESPACE, name, {"metadata": {"finalizers": []}})
    with pytest.raises(NotFound):
        await access.get(MAPS, NAMESPACE, name)


async def check_status_is_written_through_its_subresource_only(access: ClusterAccess, name: str) -> None:
    created: Any = await access.create(PODS, NAMESPACE, pod(name))
    assert created["status"]["phase"] == "Pending"
    body = {"metadata": {"uid": created["metadata"]["uid"]}, "status": {"message": "hello"}, "spec": {"hostname": "x"}}
    changed: Any = await access.patch(PODS, NAMESPACE, name, body, subresource="status", field_manager="kubelet")
    assert changed["status"]["message"] == "hello"
    assert "hostname" not in changed["spec"]
    ignored: Any = await access.patch(PODS, NAMESPACE, name, {"status": {"message": "no"}})
    assert ignored["status"]["message"] == "hello"
    await access.delete(PODS, NAMESPACE, name, grace_period_s=0)


async def check_a_bound_pod_is_deleted_in_two_steps(access: ClusterAccess, name: str) -> None:
    created: Any = await access.create(PODS, NAMESPACE, pod(name))
    body = {
        "metadata": {"uid": created["metadata"]["uid"]},
        "spec": {"nodeName": "elsewhere"},
        "status": {"conditions": [{"type": "PodScheduled", "status": "True"}]},
    }
    await access.patch(PODS, NAMESPACE, name, body, subresource="binding")
    bound: Any = await access.get(PODS, NAMESPACE, name)
    assert bound["spec"]["nodeName"] == "elsewhere"
    assert [row["type"] for row in bound["status"]["conditions"] if row["status"] == "True"] == ["PodScheduled"]
    await access.delete(PODS, NAMESPACE, name)
    held: Any = await access.get(PODS, NAMESPACE, name)
    assert held["metadata"]["deletionGracePeriodSeconds"] == 30
    await access.delete(PODS, NAMESPACE, name, uid=created["metadata"]["uid"], grace_period_s=0)
    with pytest.raises(NotFound):
        await access.get(PODS, NAMESPACE, name)


CHECKS: list[Check] = [
    check_created_objects_are_listed_with_a_version_to_watch_from,
    check_a_watch_tells_every_change_after_its_version,
    check_names_are_generated,
    check_a_merge_patch_changes_what_it_names,
    check_uid_and_version_are_preconditions_of_a_patch,
    check_what_is_not_there_is_not_found,
    check_a_delete_minds_the_uid_and_finalizers,
    check_status_is_written_through_its_subresource_only,
    check_a_bound_pod_is_deleted_in_two_steps,
]


def short_name(check: Check) -> str:
    """A name for objects, from the check's own."""
    return check.__name__.removeprefix("check_").replace("_", "-")[:40].strip("-")
