"""What real clients ask for in ways of their own: old paths, watches from versions yet to come, full pages, reviews."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.support.incluster import Client, incluster
from tests.unit.devcluster.test_crds import definition

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
END = "k8s.io/initial-events-end"


async def _told(client: Client, path: str, count: int, *, accept: str = "") -> list[dict[str, Any]]:
    async with client.watch(path, accept=accept) as stream:
        return [await asyncio.wait_for(stream.next(), 5) for _ in range(count)]


async def test_a_watch_from_the_start_that_takes_bookmarks_is_told_where_the_start_ends() -> None:
    async with incluster() as client:
        path = f"{MAPS}?watch=1&allowWatchBookmarks=true&labelSelector=none=there"
        for query in ("", "&resourceVersion=0"):
            (event,) = await _told(client, path + query, 1)
            assert event["type"] == "BOOKMARK"
            assert event["object"]["metadata"]["annotations"] == {END: "true"}


async def test_a_path_below_the_old_prefix_is_a_watch_of_the_collection_or_of_the_one_named() -> None:
    async with incluster() as client:
        for name in ("a", "b"):
            await client.create(MAPS, {"metadata": {"name": name}})
        listed = await _told(client, MAPS.replace("/v1/", "/v1/watch/"), 2)
        named = await _told(client, MAPS.replace("/v1/", "/v1/watch/") + "/b", 1)
        assert [one["object"]["metadata"]["name"] for one in listed] == ["a", "b"]
        assert [one["object"]["metadata"]["name"] for one in named] == ["b"]


async def test_of_a_version_yet_to_come_nothing_is_told_until_it_has_come() -> None:
    async with incluster() as client:
        now = int((await client.get(MAPS))["metadata"]["resourceVersion"])
        async with client.watch(f"{MAPS}?watch=1&resourceVersion={now + 2}") as stream:
            for name in ("a", "b", "c"):
                await client.create(MAPS, {"metadata": {"name": name}})
            first = await asyncio.wait_for(stream.next(), 5)
        assert first["object"]["metadata"]["name"] == "c"


async def test_the_end_of_the_initial_events_is_a_row_with_the_cells_of_a_blank_object() -> None:
    async with incluster() as client:
        path = f"{MAPS}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        (event,) = await _told(client, f"{path}&labelSelector=none=there", 1, accept=TABLE)
        assert event["object"]["rows"][0]["cells"] == ["", 0, "<unknown>"]


async def test_a_watch_that_is_refused_says_so_as_the_real_server_does() -> None:
    async with incluster() as client:
        bad = await client.request("GET", f"{MAPS}?watch=1&resourceVersion=abc")
        yaml = await client.request("GET", f"{MAPS}?watch=1", accept="application/yaml")
        assert (bad.code, yaml.code) == (500, 406)
        assert b"only the following media types are accepted: application/json;stream=watch" in yaml.body


async def test_a_pod_is_told_to_end_before_it_ends() -> None:
    async with incluster() as client:
        path = "/api/v1/namespaces/default/pods"
        await client.create(path, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        async with client.watch(f"{path}?watch=1") as stream:
            assert (await asyncio.wait_for(stream.next(), 5))["type"] == "ADDED"
            await client.request("DELETE", f"{path}/p?gracePeriodSeconds=0")
            told, gone = [await asyncio.wait_for(stream.next(), 5) for _ in range(2)]
        assert [told["type"], gone["type"]] == ["MODIFIED", "DELETED"]
        assert told["object"]["metadata"]["deletionGracePeriodSeconds"] == 0
        versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in (told, gone)]
        assert versions[0] < versions[1]


async def test_a_full_page_is_followed_by_another_unless_nothing_is_left_to_look_at() -> None:
    async with incluster() as client:
        for name, label in (("a", "x"), ("z", "y")):
            await client.create(MAPS, {"metadata": {"name": name, "labels": {"l": label}}})
        pages = {one: await client.get(f"{MAPS}?limit=1&labelSelector=l={one}") for one in "xy"}
        assert bool(pages["x"]["metadata"].get("continue"))
        assert not pages["y"]["metadata"].get("continue")
        named = await client.get(f"{MAPS}?limit=1&fieldSelector=metadata.name=a")
        assert "continue" not in named["metadata"]


async def test_a_review_says_who_asked_and_custom_groups_are_listed_by_name() -> None:
    async with incluster() as client:
        review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
        done = await client.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        assert [one["manager"] for one in done["metadata"]["managedFields"]] == ["curl"]
        for group in ("z.io", "a.io"):
            made = definition()
            made["metadata"]["name"] = f"{made['spec']['names']['plural']}.{group}"
            made["spec"]["group"] = group
            await client.create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", made)
        groups = [one["name"] for one in (await client.get("/apis"))["groups"]]
        assert groups[-2:] == ["a.io", "z.io"]
