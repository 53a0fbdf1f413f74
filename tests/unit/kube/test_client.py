"""Rules of requests, errors, retries, lists and watches, against a server on loopback."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any

import orjson
import pytest
from aiohttp import web
from tests.support.clock import VirtualClock
from tests.unit.kube.scripted import (
    CONFIGMAPS,
    DEPLOYMENTS,
    bookmark,
    cluster,
    config_map,
    event,
    failure,
    scripted,
    send_stream,
    status,
)

from tiphys.apimachinery.apierrors import Expired, Forbidden, Gone, NotFound, ServiceUnavailable, TooManyRequests
from tiphys.kube.client import APPLY, JSON, MERGE, ApiResource, KubeClient, WatchEvent
from tiphys.kube.config import ClusterConfig
from tiphys.kube.lines import LineSplitter, LineTooLongError
from tiphys.kube.transport import ClusterUnreachable
from tiphys.runtime.httpclient import Tls, TlsError, build_ssl_context
from tiphys.runtime.secret import Secret


async def ok(request: web.Request) -> web.Response:
    return web.json_response({"kind": "ConfigMap", "metadata": {"name": "a"}})


# ---- paths and verbs ----


def test_paths_are_those_of_the_api() -> None:
    roles = ApiResource("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", False)
    assert CONFIGMAPS.path() == "/api/v1/configmaps"
    assert CONFIGMAPS.path("ns", "a") == "/api/v1/namespaces/ns/configmaps/a"
    assert DEPLOYMENTS.path("ns", "a", "scale") == "/apis/apps/v1/namespaces/ns/deployments/a/scale"
    assert roles.path("ignored", "system:node/x") == "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node%2Fx"


async def test_writes_carry_manager_dry_run_and_validation() -> None:
    async with cluster(ok) as (client, server):
        obj = {"metadata": {"name": "a", "namespace": "ns"}}
        await client.create(CONFIGMAPS, obj, field_manager="m", dry_run=True, field_validation="Strict")
        await client.replace(CONFIGMAPS, obj, field_manager="m")
        await client.patch(CONFIGMAPS, "a", {"data": {}}, "ns", content_type=APPLY, field_manager="m", force=True)
        await client.patch(CONFIGMAPS, "a", b"[]", "ns", content_type=JSON, field_manager="m", subresource="status")
    create, replace, apply, patch = server.seen
    assert (create.method, create.path) == ("POST", "/api/v1/namespaces/ns/configmaps")
    assert create.query == {"fieldManager": "m", "dryRun": "All", "fieldValidation": "Strict"}
    assert (create.json, create.headers["Content-Type"]) == (obj, "application/json")
    assert (replace.method, replace.path) == ("PUT", "/api/v1/namespaces/ns/configmaps/a")
    assert (apply.method, apply.query) == ("PATCH", {"fieldManager": "m", "force": "true"})
    assert apply.headers["Content-Type"] == "application/apply-patch+yaml"
    assert (patch.path, patch.body) == ("/api/v1/namespaces/ns/configmaps/a/status", b"[]")
    assert all(seen.headers["User-Agent"] == "tiphys-test" for seen in server.seen)


async def test_delete_sends_its_options_in_the_body() -> None:
    async with cluster(ok) as (client, server):
        await client.delete(
            CONFIGMAPS,
            "a",
            "ns",
            propagation="Foreground",
            grace_period_s=0,
            uid="u",
            resource_version="7",
            dry_run=True,
        )
    assert server.seen[0].json == {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": "Foreground",
        "gracePeriodSeconds": 0,
        "preconditions": {"uid": "u", "resourceVersion": "7"},
        "dryRun": ["All"],
    }


async def test_a_server_behind_a_path_keeps_it() -> None:
    async with scripted(ok) as server:
        client = KubeClient(ClusterConfig(server=server.url + "/k8s/clusters/c1"), user_agent="t")
        await client.get(CONFIGMAPS, "a", "ns")
        await client.close()
    assert server.seen[0].path == "/k8s/clusters/c1/api/v1/namespaces/ns/configmaps/a"


async def test_impersonation_is_on_every_request() -> None:
    async with cluster(ok, impersonate_user="system:serviceaccount:a:b", impersonate_groups=("g", "h")) as (
        client,
        server,
    ):
        await client.get(CONFIGMAPS, "a", "ns")
    headers: Any = server.seen[0].headers
    assert headers["Impersonate-User"] == "system:serviceaccount:a:b"
    assert headers.getall("Impersonate-Group") == ["g", "h"]


# ---- errors ----


async def test_a_status_becomes_its_error() -> None:
    async def answer(request: web.Request) -> web.Response:
        return failure(404, "NotFound", 'configmaps "a" not found')

    async with cluster(answer) as (client, _):
        with pytest.raises(NotFound, match='configmaps "a" not found'):
            await client.get(CONFIGMAPS, "a", "ns")


async def test_a_plain_text_error_keeps_its_text() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=403, text="forbidden by proxy")

    async with cluster(answer) as (client, _):
        with pytest.raises(Forbidden, match="forbidden by proxy"):
            await client.get(CONFIGMAPS, "a", "ns")


async def test_a_refused_connection_is_unreachable_and_nothing_was_done() -> None:
    async with scripted(ok) as server:
        url = server.url
    async with KubeClient(ClusterConfig(server=url), user_agent="t") as client:
        with pytest.raises(ClusterUnreachable) as caught:
            await client.create(CONFIGMAPS, config_map("a", ""), field_manager="m")
    assert not caught.value.maybe_done
    port = url.rpartition(":")[2]
    assert str(caught.value) == (
        f"cluster {url} is not reachable: cannot connect to 127.0.0.1:{port}: Connect call failed"
    )


async def test_a_slow_answer_is_unreachable_in_time() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with cluster(answer) as (client, _):
        with pytest.raises(ClusterUnreachable, match="timed out"):
            await client.request("GET", "/slow", timeout_s=0.05)


async def test_an_answer_that_is_no_json_is_unreachable_not_empty() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="<html>login</html>")

    async with cluster(answer) as (client, _):
        with pytest.raises(ClusterUnreachable, match="no JSON"):
            await client.get(CONFIGMAPS, "a", "ns")


async def test_a_redirect_is_an_error_and_is_not_followed() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with cluster(answer, bearer_token=Secret("t")) as (client, server):
        with pytest.raises(Exception, match="302"):
            await client.get(CONFIGMAPS, "a", "ns")
    assert [seen.path for seen in server.seen] == ["/api/v1/namespaces/ns/configmaps/a"]


# ---- retries ----


def breaking(times: int) -> Any:
    """Break the connection without an answer so many times, then answer."""
    left = times

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal left
        if left > 0:
            left -= 1
            assert request.transport is not None
            request.transport.abort()
        return await ok(request)

    return answer


async def test_a_get_is_sent_again_when_its_connection_broke() -> None:
    async with cluster(breaking(2)) as (client, server):
        assert (await client.get(CONFIGMAPS, "a", "ns"))["kind"] == "ConfigMap"
    assert len(server.seen) == 3


async def test_a_write_is_not_sent_again_when_its_connection_broke() -> None:
    async with cluster(breaking(1)) as (client, server):
        with pytest.raises(ClusterUnreachable) as caught:
            await client.patch(CONFIGMAPS, "a", {}, "ns", content_type=MERGE, field_manager="m")
    assert (len(server.seen), caught.value.maybe_done) == (1, True)


async def drive(clock: VirtualClock, task: asyncio.Task[Any]) -> None:
    """Let virtual time pass as the task asks for it."""
    while not task.done():
        if clock.sleepers:
            await clock.advance_to_next()
        await asyncio.sleep(0.001)


async def test_429_with_a_time_is_waited_out_for_writes_too() -> None:
    calls = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if calls < 3:
            return failure(429, "TooManyRequests", "slow down", {"Retry-After": "2"})
        return await ok(request)

    clock = VirtualClock()
    async with cluster(answer, clock=clock) as (client, server):
        task = asyncio.get_running_loop().create_task(client.create(CONFIGMAPS, config_map("a", ""), field_manager="m"))
        await drive(clock, task)
        assert (await task)["kind"] == "ConfigMap"
    assert (len(server.seen), clock.monotonic()) == (3, 4)


async def test_429_is_given_up_when_the_time_is_over() -> None:
    async def answer(request: web.Request) -> web.Response:
        return failure(429, "TooManyRequests", "slow down", {"Retry-After": "100"})

    async with cluster(answer, clock=VirtualClock()) as (client, server):
        with pytest.raises(TooManyRequests):
            await client.get(CONFIGMAPS, "a", "ns")
    assert len(server.seen) == 1


async def test_503_without_a_time_is_an_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        return failure(503, "ServiceUnavailable", "away")

    async with cluster(answer) as (client, server):
        with pytest.raises(ServiceUnavailable):
            await client.get(CONFIGMAPS, "a", "ns")
    assert len(server.seen) == 1


async def test_403_is_never_retried() -> None:
    async def answer(request: web.Request) -> web.Response:
        return failure(403, "Forbidden", "no")

    async with cluster(answer, bearer_token=Secret("t")) as (client, server):
        with pytest.raises(Forbidden):
            await client.get(CONFIGMAPS, "a", "ns")
    assert len(server.seen) == 1


async def test_401_with_a_static_token_is_not_retried() -> None:
    async def answer(request: web.Request) -> web.Response:
        return failure(401, "Unauthorized", "Unauthorized")

    async with cluster(answer, bearer_token=Secret("t")) as (client, server):
        with pytest.raises(Exception, match="Unauthorized"):
            await client.get(CONFIGMAPS, "a", "ns")
    assert [seen.headers["Authorization"] for seen in server.seen] == ["Bearer t"]


async def test_no_token_travels_in_the_clear_to_another_machine() -> None:
    # TEST-NET-1 is never reachable: what matters is what would have been sent
    from tiphys.kube import transport
    from tiphys.kube.auth import Credentials

    far = transport.Transport(ClusterConfig(server="http://192.0.2.1", bearer_token=Secret("t")), user_agent="t")
    near = transport.Transport(ClusterConfig(server="http://localhost:1", bearer_token=Secret("t")), user_agent="t")
    safe = transport.Transport(ClusterConfig(server="https://192.0.2.1", bearer_token=Secret("t")), user_agent="t")
    assert [one._may_identify for one in (far, near, safe)] == [False, True, True]
    sessions, credentials = await far._identify()
    assert isinstance(credentials, Credentials)
    assert "Authorization" not in dict(transport._headers(sessions, credentials, far._may_identify, "x", None))
    await far.close()


async def test_a_proxy_gets_the_whole_address_and_only_if_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with scripted(ok) as proxy:
        client = KubeClient(ClusterConfig(server="http://cluster.test:8080", proxy=proxy.url), user_agent="t")
        await client.get(CONFIGMAPS, "a", "ns")
        await client.close()
    assert proxy.seen[0].headers["Host"] == "cluster.test:8080"
    async with cluster(ok) as (client, server):
        await client.get(CONFIGMAPS, "a", "ns")
        assert len(server.seen) == 1


async def test_every_answer_is_told_for_metrics() -> None:
    told: list[tuple[str, int]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        return await send_stream(request) if "watch" in request.query else failure(404, "NotFound", "no")

    async with scripted(answer) as server:
        client = KubeClient(
            ClusterConfig(server=server.url),
            user_agent="t",
            observe=lambda method, code, _: told.append((method, code)),
        )
        with pytest.raises(NotFound):
            await client.get(CONFIGMAPS, "a", "ns")
        async for _ in client.watch(CONFIGMAPS, resource_version="1"):
            pass
        await client.close()
    assert told == [("GET", 404), ("WATCH", 200)]


async def test_a_closed_client_says_so() -> None:
    async with cluster(ok) as (client, _):
        await client.get(CONFIGMAPS, "a", "ns")
        await client.close()
        with pytest.raises(ClusterUnreachable, match="closed"):
            await client.get(CONFIGMAPS, "a", "ns")


@pytest.mark.parametrize(
    ("tls", "message"),
    [
        (Tls(ca=b"CA"), "no PEM certificate"),
        (Tls(client_cert=b"x"), "needs its key"),
        (Tls(client_cert=b"x", client_key=Secret("hunter2")), "do not fit together"),
        (Tls(ca=b"CA", insecure=True), "insecure flag is not allowed"),
    ],
)
def test_unusable_tls_options_are_told_without_the_key(tls: Tls, message: str) -> None:
    with pytest.raises(TlsError, match=message) as caught:
        build_ssl_context(tls)
    assert "hunter2" not in str(caught.value)


# ---- lists ----


async def test_a_list_is_read_in_pages_and_its_items_say_their_kind() -> None:
    async def answer(request: web.Request) -> web.Response:
        first = "continue" not in request.query
        names = ["a", "b"] if first else ["c"]
        items = [{"metadata": {"name": name}} for name in names]
        metadata = {"resourceVersion": "7", **({"continue": "next token"} if first else {})}
        return web.json_response({"kind": "ConfigMapList", "metadata": metadata, "items": items})

    async with cluster(answer) as (client, server):
        pages = [page async for page in client.list_pages(CONFIGMAPS, "ns", label_selector="a in (b,c)", limit=2)]
    assert [[item["metadata"]["name"] for item in page.items] for page in pages] == [["a", "b"], ["c"]]
    assert {page.resource_version for page in pages} == {"7"}
    assert all((item["apiVersion"], item["kind"]) == ("v1", "ConfigMap") for page in pages for item in page.items)
    assert [seen.query for seen in server.seen] == [
        {"labelSelector": "a in (b,c)", "limit": "2"},
        {"labelSelector": "a in (b,c)", "limit": "2", "continue": "next token"},
    ]


async def test_a_list_that_expires_in_the_middle_says_so() -> None:
    async def answer(request: web.Request) -> web.Response:
        if "continue" in request.query:
            return failure(410, "Expired", "The provided continue parameter is too old")
        return web.json_response({"metadata": {"resourceVersion": "7", "continue": "x"}, "items": []})

    async with cluster(answer) as (client, _):
        with pytest.raises(Expired):
            [page async for page in client.list_pages(CONFIGMAPS)]


# ---- watches ----


async def watched(*chunks: bytes, **options: Any) -> tuple[list[WatchEvent], dict[str, str]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await send_stream(request, *chunks)

    async with cluster(answer) as (client, server):
        events = [event async for event in client.watch(CONFIGMAPS, "ns", resource_version="5", **options)]
        return events, server.seen[0].query


async def test_a_watch_asks_for_bookmarks_from_its_version() -> None:
    _, query = await watched(timeout_s=100, field_selector="metadata.name=a")
    assert query == {
        "watch": "1",
        "resourceVersion": "5",
        "timeoutSeconds": "100",
        "allowWatchBookmarks": "true",
        "fieldSelector": "metadata.name=a",
    }


async def test_events_split_anywhere_are_put_together() -> None:
    data = event("ADDED", config_map("a", "6", text="ä\\n")) + bookmark("7") + event("DELETED", config_map("a", "8"))
    tail = len(data) - 40
    cuts = [range(0, len(data), size) for size in (9, 100, len(data))] + [[0, *range(tail, len(data))]]
    for starts in cuts:
        chunks = [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]
        events, _ = await watched(*chunks)
        assert [(event.type, event.object["metadata"]["resourceVersion"]) for event in events] == [
            ("ADDED", "6"),
            ("BOOKMARK", "7"),
            ("DELETED", "8"),
        ]
        assert events[0].object["data"]["text"] == "ä\\n"


async def test_an_error_event_is_raised_as_its_error() -> None:
    line = event("ERROR", status(410, "Expired", "too old resource version: 5 (9)"))
    with pytest.raises(Gone, match="too old"):
        await watched(line)


async def test_410_instead_of_a_stream_is_gone() -> None:
    async def answer(request: web.Request) -> web.Response:
        return failure(410, "Expired", "too old")

    async with cluster(answer) as (client, _):
        with pytest.raises(Gone):
            [event async for event in client.watch(CONFIGMAPS, resource_version="5")]


async def test_a_line_over_the_limit_ends_the_watch_and_not_the_memory() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await send_stream(request, *[b"x" * 1000] * 20)

    async with cluster(answer) as (client, _):
        with pytest.raises(ClusterUnreachable, match="longer than 5000 bytes"):
            async for _ in client.watch_batches(CONFIGMAPS, resource_version="5", max_event_bytes=5000):
                pass


async def test_a_cut_off_last_line_is_not_an_event() -> None:
    whole = event("ADDED", config_map("a", "6"))
    events, _ = await watched(whole + whole[:40])
    assert len(events) == 1
    events, _ = await watched(whole + whole.rstrip(b"\n"))
    assert len(events) == 2


async def test_leaving_a_watch_closes_its_connection() -> None:
    hold = asyncio.Event()
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await send_stream(request, event("ADDED", config_map("a", "6")), hold=hold)
        finally:
            gone.set()

    async with cluster(answer) as (client, _):
        stream = client.watch(CONFIGMAPS, resource_version="5")
        async for _ in stream:
            break
        await stream.aclose()
        hold.set()
        await asyncio.wait_for(gone.wait(), 2)


async def test_watches_do_not_use_up_the_connections_of_requests() -> None:
    hold = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            return await send_stream(request, event("ADDED", config_map("a", "6")), hold=hold)
        return await ok(request)

    async with scripted(answer) as server:
        client = KubeClient(ClusterConfig(server=server.url), user_agent="t", connection_limit=1)
        streams = [client.watch(CONFIGMAPS, resource_version="5") for _ in range(5)]
        assert [(await anext(stream)).type for stream in streams] == ["ADDED"] * 5
        await asyncio.wait_for(client.get(CONFIGMAPS, "a", "ns"), 2)
        hold.set()
        for stream in streams:
            await stream.aclose()
        await client.close()


# ---- lines ----


def test_lines_are_cut_and_joined() -> None:
    splitter = LineSplitter(10)
    assert splitter.feed(b"ab") == []
    assert splitter.feed(b"cd\nef\n\ng") == [b"abcd", b"ef", b""]
    assert splitter.feed(b"\n") == [b"g"]
    with pytest.raises(LineTooLongError):
        splitter.feed(b"01234567890")
    assert LineSplitter(10).feed(b"0123456789\n") == [b"0123456789"]
    with pytest.raises(LineTooLongError):
        LineSplitter(10).feed(b"01234567890\n")


# ---- TLS ----


async def test_the_server_is_known_by_its_ca_and_name(tmp_path: Any) -> None:
    from tests.unit.kube.certificates import make_pki

    pki = make_pki(names=["api.test"])
    (tmp_path / "cert").write_bytes(pki.server_cert + pki.server_key)
    (tmp_path / "ca").write_bytes(pki.ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(tmp_path / "ca")

    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        peer = request.transport.get_extra_info("peercert")
        return web.Response(body=orjson.dumps({"subject": json.dumps(peer and peer["subject"])}))

    async def ask(tls: Tls) -> str:
        async with KubeClient(ClusterConfig(server=server.url, tls=tls), user_agent="t") as client:
            return str((await client.request_json("GET", "/"))["subject"])

    key = Secret(pki.client_key.decode())
    async with scripted(answer, ssl_context=context) as server:
        assert "engine" in await ask(
            Tls(ca=pki.ca, server_name="api.test", client_cert=pki.client_cert, client_key=key)
        )
        assert await ask(Tls(ca=pki.ca, server_name="api.test")) in ("null", "{}")
        assert await ask(Tls(insecure=True)) in ("null", "{}")
        for wrong, why in ((Tls(ca=pki.ca), "certificate"), (Tls(), "certificate")):
            with pytest.raises(ClusterUnreachable, match=why):
                await ask(wrong)
