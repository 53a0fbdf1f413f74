"""Watches: where they begin, what they are told, how they end."""

from __future__ import annotations

import asyncio

from tests.support.incluster import incluster

from tiphys.apimachinery.apierrors import Expired
from tiphys.devcluster.selecting import Selection
from tiphys.devcluster.store import RING_SIZE, Store
from tiphys.devcluster.watch import Watch

MAPS = "/api/v1/namespaces/default/configmaps"
INITIAL = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"


async def test_a_watch_goes_on_where_a_list_ended() -> None:
    async with incluster() as client:
        version = (await client.get(MAPS))["metadata"]["resourceVersion"]
        await client.create(MAPS, {"metadata": {"name": "missed"}})
        async with client.watch(f"{MAPS}?watch=True&resourceVersion={version}") as stream:
            await client.create(MAPS, {"metadata": {"name": "a"}})
            await client.patch(f"{MAPS}/a", {"data": {"x": "y"}})
            deleted = await client.request("DELETE", f"{MAPS}/a")
            found = await stream.types(3)
            last = await stream.next()

    assert deleted.code == 200
    assert found == [("ADDED", "missed"), ("ADDED", "a"), ("MODIFIED", "a")]
    assert (last["type"], last["object"]["data"]) == ("DELETED", {"x": "y"})
    assert int(last["object"]["metadata"]["resourceVersion"]) > int(version) + 2


async def test_initial_events_end_with_a_bookmark() -> None:
    async with (
        incluster() as client,
        client.watch(f"/api/v1/namespaces?{INITIAL}&fieldSelector=metadata.name=default") as stream,
    ):
        first, end = await stream.next(), await stream.next()

    assert (first["type"], first["object"]["metadata"]["name"]) == ("ADDED", "default")
    assert first["object"]["kind"] == "Namespace"
    assert end["type"] == "BOOKMARK"
    assert end["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(end["object"]["metadata"]["resourceVersion"]) > 0


async def test_bookmarks_come_once_a_minute_when_allowed() -> None:
    async with incluster() as client:
        version = (await client.get(MAPS))["metadata"]["resourceVersion"]
        path = f"{MAPS}?watch=1&resourceVersion={version}"
        async with client.watch(path + "&allowWatchBookmarks=true") as asked, client.watch(path) as plain:
            await client.create("/api/v1/namespaces", {"metadata": {"name": "elsewhere"}})
            await client.clock.advance(61)
            bookmark = await asked.next()
            silent = plain.waiting

    assert bookmark["type"] == "BOOKMARK"
    assert int(bookmark["object"]["metadata"]["resourceVersion"]) > int(version)
    assert silent == 0


async def test_a_selector_lets_objects_appear_and_disappear() -> None:
    async with incluster() as client, client.watch(f"{MAPS}?watch=1&labelSelector=on=1&resourceVersion=0") as stream:
        await client.create(MAPS, {"metadata": {"name": "a"}, "data": {"n": "0"}})
        await client.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "1"}}})
        await client.patch(f"{MAPS}/a", {"data": {"n": "1"}})
        left = await client.patch(f"{MAPS}/a", {"metadata": {"labels": {"on": "0"}}, "data": {"n": "2"}})
        await client.request("DELETE", f"{MAPS}/a")
        events = [await stream.next() for _ in range(3)]
        more = stream.waiting

    assert [one["type"] for one in events] == ["ADDED", "MODIFIED", "DELETED"]
    gone = events[2]["object"]
    assert gone["data"] == {"n": "1"}
    assert gone["metadata"]["resourceVersion"] == left.json["metadata"]["resourceVersion"]
    assert more == 0


async def test_a_version_that_is_too_old_is_an_error_event() -> None:
    store = Store(ring_size=5)
    async with incluster(store) as client, client.watch(f"{MAPS}?watch=1&resourceVersion=2") as stream:
        event = await stream.next()
        end = await stream.next()

    assert stream.code == 200
    status = event["object"]
    assert (event["type"], status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert status["message"] == f"too old resource version: 2 ({store.oldest_rv})"
    assert end is None


async def test_a_slow_reader_gets_410_and_costs_a_bounded_queue() -> None:
    async with incluster() as client:
        resource = client.core.registry.lookup("", "v1", "configmaps")
        assert resource is not None
        watch = Watch(client.core.store, "configmaps", Selection(resource, None, "", ""), limit=3)
        watch.start(client.core.store.committed_rv, initial=False)
        for number in range(5):
            await client.create(MAPS, {"metadata": {"name": f"m{number}"}})
        try:
            await watch.take()
        except Expired as exc:
            message = exc.message
        else:
            message = ""
        watch.stop()

    assert "start again from a list" in message


async def test_a_watch_ends_when_its_time_is_over() -> None:
    async with incluster() as client, client.watch(f"{MAPS}?watch=1&resourceVersion=0&timeoutSeconds=1") as stream:
        assert (await stream.next())["type"] == "ADDED"
        assert await stream.next() is None


async def test_stopping_the_server_ends_open_watches() -> None:
    async with incluster() as client, client.watch(f"{MAPS}?watch=1") as stream:
        await stream.next()
        client.app.stop()
        assert await stream.next() is None


async def test_table_events_carry_columns_once() -> None:
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    async with incluster() as client, client.watch(f"{MAPS}?watch=1", accept=accept) as stream:
        await client.create(MAPS, {"metadata": {"name": "z"}, "data": {"a": "b"}})
        first, second = await stream.next(), await stream.next()

    assert [one["name"] for one in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second["object"]["columnDefinitions"] is None
    assert second["object"]["rows"][0]["cells"] == ["z", 1, "0s"]


async def test_many_watchers_all_see_everything_in_order() -> None:
    async with incluster() as client:
        store = client.core.store
        resource = client.core.registry.lookup("", "v1", "configmaps")
        assert resource is not None
        watches = [Watch(store, "configmaps", Selection(resource, "default", "", "")) for _ in range(50)]
        for watch in watches:
            watch.start(store.committed_rv, initial=False)
        for number in range(20):
            await client.create(MAPS, {"metadata": {"name": f"m{number}"}})
        found = [[event.rv for event in await watch.take()] for watch in watches]
        await asyncio.sleep(0)

    assert len(found[0]) == 20
    assert found[0] == sorted(found[0])
    assert all(one == found[0] for one in found)
    assert RING_SIZE > 20
