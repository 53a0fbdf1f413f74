"""Rules of leader election and of Events, against a small store of objects with compare and swap."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.support.clock import VirtualClock, settle
from tests.unit.kube.scripted import Scripted, cluster, failure, until

from tiphys.kube.client import KubeClient
from tiphys.kube.events import EventWriter, Subject
from tiphys.kube.lease import LeaseLock, LeaseLostError, LeaseTimes


class Store:
    """Objects by path, with resourceVersions; `down` refuses everything, `hang` never answers."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.down = False

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if self.down:
            return failure(503, "ServiceUnavailable", "away")
        path = request.path
        if request.method == "GET":
            found = self.objects.get(path)
            return web.json_response(found) if found else failure(404, "NotFound", "no")
        body = await request.json()
        if request.method == "POST":
            path = f"{path}/{body['metadata']['name']}"
            if path in self.objects:
                return failure(409, "AlreadyExists", "there")
        elif path not in self.objects:
            return failure(404, "NotFound", "no")
        elif request.method == "PATCH":
            body = {**self.objects[path], **body}
        elif body["metadata"]["resourceVersion"] != self.objects[path]["metadata"]["resourceVersion"]:
            return failure(409, "Conflict", "changed")
        self.version += 1
        body["metadata"] = {**body["metadata"], "resourceVersion": str(self.version)}
        self.objects[path] = body
        return web.json_response(body)


PATH = "/apis/coordination.k8s.io/v1/namespaces/argocd/leases/shard-0"


def lock(client: KubeClient, identity: str, clock: VirtualClock, **options: Any) -> LeaseLock:
    return LeaseLock(client, namespace="argocd", name="shard-0", identity=identity, clock=clock, **options)


def writes(server: Scripted) -> list[str]:
    return [seen.method for seen in server.seen if seen.method != "GET"]


async def test_only_one_holds_and_a_follower_writes_nothing() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, server):
        a, b = lock(client, "a", clock), lock(client, "b", clock)
        assert await a.try_acquire()
        assert not await b.try_acquire()
        assert (a.held, b.held, b.holder) == (True, False, "a")
        assert writes(server) == ["POST"]
        spec = store.objects[PATH]["spec"]
        assert spec == {
            "holderIdentity": "a",
            "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z",
            "renewTime": "2026-01-01T00:00:00.000000Z",
            "leaseTransitions": 0,
        }


async def test_an_expired_lease_is_taken_after_its_duration_and_not_before() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, _):
        a, b = lock(client, "a", clock), lock(client, "b", clock)
        assert await a.try_acquire()
        assert not await b.try_acquire()
        await clock.advance(14)
        assert not await b.try_acquire()
        assert not a.held  # it gave itself up five seconds ago
        await clock.advance(2)
        assert await b.try_acquire()
        assert store.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_renewed_lease_is_not_taken() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, _):
        a, b = lock(client, "a", clock), lock(client, "b", clock)
        for _ in range(5):
            assert await a.try_acquire()
            assert not await b.try_acquire()
            await clock.advance(8)


async def test_a_released_lease_is_free_at_once() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, _):
        a, b = lock(client, "a", clock), lock(client, "b", clock)
        assert await a.try_acquire()
        await a.release()
        assert (a.held, store.objects[PATH]["spec"]["holderIdentity"]) == (False, "")
        assert await b.try_acquire()
        await a.release()
        assert store.objects[PATH]["spec"]["holderIdentity"] == "b"


async def test_a_foreign_touch_of_the_metadata_does_not_lose_the_lease() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, _):
        a = lock(client, "a", clock)
        assert await a.try_acquire()
        store.objects[PATH]["metadata"] |= {"labels": {"x": "y"}, "resourceVersion": "999"}
        assert await a.try_acquire()
        assert store.objects[PATH]["metadata"]["labels"] == {"x": "y"}


async def test_the_holder_renews_and_work_is_cancelled_when_it_cannot() -> None:
    store, clock = Store(), VirtualClock()
    lost: list[str] = []
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("work")

    async with cluster(store) as (client, _):
        a = lock(client, "a", clock, on_lost=lost.append)
        task = asyncio.get_running_loop().create_task(a.lead(work))
        await until(lambda: clock.sleepers == 1, "it holds")
        for _ in range(10):
            await clock.advance(2)
            await until(lambda: clock.sleepers == 1, "it renewed")
        assert a.held
        assert store.objects[PATH]["spec"]["renewTime"] == "2026-01-01T00:00:20.000000Z"
        store.down = True
        for _ in range(4):
            await clock.advance(2)
            await until(lambda: clock.sleepers == 1, "it tried")
        assert (a.held, lost, ended) == (True, [], [])
        await clock.advance(2)
        with pytest.raises(LeaseLostError, match=r"not renewed for 10 s: .*away|away"):
            await asyncio.wait_for(task, 2)
        assert (a.held, len(lost), ended) == (False, 1, ["work"])


async def test_work_that_ends_releases_the_lease() -> None:
    store, clock = Store(), VirtualClock()

    async def work() -> None:
        await settle()

    async with cluster(store) as (client, _):
        await lock(client, "a", clock).lead(work)
    assert store.objects[PATH]["spec"]["holderIdentity"] == ""


async def test_a_stolen_lease_is_noticed() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, _):
        a = lock(client, "a", clock)
        assert await a.try_acquire()
        store.objects[PATH]["spec"]["holderIdentity"] = "thief"
        store.objects[PATH]["metadata"]["resourceVersion"] = "999"
        task = asyncio.get_running_loop().create_task(a.keep())
        await clock.advance(2)
        with pytest.raises(LeaseLostError, match="taken by thief"):
            await asyncio.wait_for(task, 2)


def test_times_that_would_let_two_hold_are_refused() -> None:
    with pytest.raises(ValueError, match="must grow"):
        LeaseTimes(duration_s=10, renew_deadline_s=10, retry_s=2)


# ---- events ----

APP = Subject("argoproj.io/v1alpha1", "Application", "argocd", "web", "uid-1", "77")


async def written(writer: EventWriter, store: Store) -> list[dict[str, Any]]:
    writer.stop()
    await asyncio.wait_for(writer.run(), 5)
    return [obj for path, obj in store.objects.items() if "/events/" in path]


async def test_an_event_names_its_subject_and_source() -> None:
    store = Store()
    async with cluster(store) as (client, _):
        writer = EventWriter(client, component="argocd-application-controller", clock=VirtualClock())
        writer.tell(APP, "OperationStarted", "x" * 2000, annotations={"user": "admin"})
        (event,) = await written(writer, store)
    assert event["involvedObject"] == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "namespace": "argocd",
        "name": "web",
        "uid": "uid-1",
        "resourceVersion": "77",
    }
    assert (event["type"], event["reason"], event["count"], len(event["message"])) == (
        "Normal",
        "OperationStarted",
        1,
        1024,
    )
    assert (event["firstTimestamp"], event["source"]) == (
        "2026-01-01T00:00:00Z",
        {"component": "argocd-application-controller"},
    )
    assert event["metadata"]["name"].startswith("web.")
    assert event["metadata"]["annotations"] == {"user": "admin"}


async def test_equal_events_are_counted_before_and_after_writing() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, server):
        writer = EventWriter(client, component="c", clock=clock)
        task = asyncio.get_running_loop().create_task(writer.run())
        for _ in range(3):
            writer.tell(APP, "Failed", "no", kind="Warning")
        await until(lambda: len(server.seen) == 1, "written")
        await clock.advance(5)
        writer.tell(APP, "Failed", "no", kind="Warning")
        await until(lambda: len(server.seen) == 2, "counted")
        (event,) = await written(writer, store)
        await task
    assert (event["count"], event["firstTimestamp"], event["lastTimestamp"]) == (
        4,
        "2026-01-01T00:00:00Z",
        "2026-01-01T00:00:05Z",
    )


async def test_a_noisy_subject_is_slowed_down_and_others_are_not() -> None:
    store, clock = Store(), VirtualClock()
    async with cluster(store) as (client, _):
        writer = EventWriter(client, component="c", clock=clock)
        for number in range(100):
            writer.tell(APP, "Noise", f"number {number}")
        writer.tell(Subject("v1", "Node", "", "n1"), "Quiet", "once")
        await clock.advance(301)
        writer.tell(APP, "Noise", "later")
        events = await written(writer, store)
    assert (len(events), writer.dropped) == (27, 75)
    assert "/api/v1/namespaces/default/events/n1." in "".join(store.objects)


async def test_an_unreachable_server_drops_events_and_fails_nothing() -> None:
    store = Store()
    store.down = True
    async with cluster(store) as (client, _):
        writer = EventWriter(client, component="c", clock=VirtualClock())
        writer.tell(APP, "A", "a")
        assert await written(writer, store) == []
    assert writer.dropped == 1
