"""Logs of Pods: who may read them, which lines come, in what order and form."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.unit.server.asgi import World, application, call, streaming, world

from tiphys.apimachinery.apierrors import BadRequest
from tiphys.policy.rbac import build_rbac

LOGS = "/api/v1/applications/web/logs"


def filled(policy: str = "", **logs: list[bytes] | Exception) -> World:
    w = world(policy)
    w.writer.put(application(metadata={"namespace": "argocd"}))
    w.live.logs = dict(logs)
    return w


def line(second: int, text: str) -> bytes:
    return f"2024-05-06T07:08:{second:02}.123456789Z {text}".encode()


async def results(w: World, query: str = "", path: str = LOGS) -> list[dict[str, Any]]:
    answer = await call(w, "GET", path + query)
    assert answer.status == 200, answer.body
    return [orjson.loads(item)["result"] for item in answer.body.splitlines()]


async def contents(w: World, query: str = "") -> list[str]:
    return [item["content"] for item in await results(w, query)]


async def test_lines_have_pod_and_time_and_the_last_says_so() -> None:
    first, last = await results(filled(a=[line(1, "hello world")]))
    assert first == {
        "content": "hello world",
        "timeStamp": "2024-05-06T07:08:01Z",
        "last": False,
        "timeStampStr": "2024-05-06T07:08:01.123456789Z",
        "podName": "a",
    }
    assert (last["content"], last["podName"], last["last"]) == ("", "", True)


async def test_lines_of_several_pods_come_in_the_order_of_their_times() -> None:
    w = filled(a=[line(1, "one"), line(4, "four")], b=[line(2, "two"), line(3, "three")])
    assert await contents(w) == ["one", "two", "three", "four", ""]


async def test_a_log_that_cannot_be_read_is_a_line_that_says_why() -> None:
    w = filled(a=BadRequest("container c is waiting to start"), b=[line(1, "fine")])
    assert sorted(await contents(w)) == ["", "container c is waiting to start", "fine"]


async def test_a_line_without_a_time_is_kept_whole() -> None:
    assert await contents(filled(a=[b"no time here"])) == ["no time here", ""]


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?filter=ERR", ["an Err", "ERROR", ""]),
        ("?filter=ERR&matchCase=true", ["ERROR", ""]),
        ("?filter=!err", ["fine", ""]),
        ("?untilTime=2024-05-06T07:08:01.5Z", ["an Err", "ERROR"]),
    ],
)
async def test_which_lines_are_shown(query: str, shown: list[str]) -> None:
    w = filled(a=[line(1, "an Err"), line(2, "ERROR"), line(3, "fine")])
    found = await contents(w, query)
    assert found == shown


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", {}),
        ("?tailLines=5&container=c&previous=true", {"tailLines": "5", "container": "c", "previous": "true"}),
        ("?sinceSeconds=30", {"sinceSeconds": "30"}),
        ("?sinceTime=2024-05-06T07:08:09.5Z", {"sinceTime": "2024-05-06T07:08:09Z"}),
        ("?sinceTime.seconds=1714979289", {"sinceTime": "2024-05-06T07:08:09Z"}),
        ("?tailLines=0", {}),
    ],
)
async def test_what_the_cluster_is_asked_for(query: str, asked: dict[str, str]) -> None:
    w = filled(a=[])
    await results(w, query)
    assert w.live.asked == [{"timestamps": "true", **asked}]


@pytest.mark.parametrize("query", ["?tailLines=x", "?untilTime=yesterday", "?sinceTime=1", "?follow=maybe"])
async def test_questions_that_cannot_be_read_are_refused(query: str) -> None:
    answer = await call(filled(a=[]), "GET", LOGS + query)
    assert answer.status == 400
    assert answer.json["error"]["grpc_code"] == 3


async def test_no_more_than_ten_pods_at_once() -> None:
    w = filled()
    w.live.logs = {f"p{n}": [] for n in range(11)}
    answer = await call(w, "GET", LOGS)
    assert answer.json["error"]["message"] == ("max pods to view logs are reached. Please provide more granular query")
    assert len(await results(w, path="/api/v1/applications/web/pods/p1/logs")) == 1


async def test_without_pods_there_is_nothing() -> None:
    assert (await call(filled(), "GET", LOGS)).body == b""


async def test_a_download_is_a_file() -> None:
    w = filled(a=[line(1, "one"), line(2, "two")])
    answer = await call(w, "GET", f"{LOGS}?download=true&podName=a&namespace=shop&container=c/../c")
    assert answer.body == b"one\ntwo\n"
    assert answer.header("content-type") == "application/octet-stream"
    assert answer.header("content-disposition") == 'attachment; filename="shop-a-c..c.log"'


async def test_logs_need_a_right_of_their_own() -> None:
    w = filled("p, bob, applications, get, */*, allow", a=[line(1, "secret")])
    answer = await call(w, "GET", LOGS, user="bob")
    assert answer.status == 403
    assert answer.json["error"]["message"] == "permission denied: logs, get, default/web, sub: bob"
    w = filled("p, bob, logs, get, */*, allow", a=[line(1, "secret")])
    assert (await call(w, "GET", LOGS, user="bob")).json["error"]["message"] == "permission denied"


async def test_a_followed_log_stays_open_until_the_client_goes() -> None:
    w = filled(a=[line(1, "one")], b=[line(2, "two")])
    async with streaming(w, f"{LOGS}?follow=true", headers={"accept": "text/event-stream"}) as stream:
        assert [(await stream.next())["result"]["content"] for _ in range(2)] == ["one", "two"]
        assert (b"content-type", b"text/event-stream") in stream.start["headers"]
        assert stream.lines.empty()


async def test_a_followed_log_ends_with_the_server() -> None:
    w = filled(a=[line(1, "one")])
    async with streaming(w, f"{LOGS}?follow=true") as stream:
        assert (await stream.next())["result"]["content"] == "one"
        w.app.end_streams()
        assert (await stream.next())["result"]["last"] is True
        assert await stream.next() is None


async def test_the_tree_is_told_again_when_it_has_changed_and_only_then() -> None:
    w = filled()
    async with streaming(w, "/api/v1/stream/applications/web/resource-tree") as stream:
        assert await stream.next() == {"result": {"nodes": [{"kind": "Pod", "name": "p"}]}}
        w.tree_moved.set()
        await asyncio.sleep(0)
        w.tree = {"nodes": []}
        w.tree_moved.set()
        assert await stream.next() == {"result": {"nodes": []}}
        w.app.end_streams()
        assert await stream.next() is None


async def test_the_tree_is_told_no_more_to_who_may_not_see_it_any_more() -> None:
    w = filled("p, bob, applications, get, */*, allow")
    async with streaming(w, "/api/v1/stream/applications/web/resource-tree", user="bob") as stream:
        assert "result" in await stream.next()
        w.rbac, _ = build_rbac("")
        w.tree = {"nodes": []}
        w.tree_moved.set()
        assert (await stream.next())["error"]["grpc_code"] == 16
        assert await stream.next() is None
