"""Rules of discovery."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import web
from tests.support.clock import VirtualClock
from tests.unit.kube.scripted import cluster, failure

from tiphys.apimachinery.names import GroupKind
from tiphys.kube.client import ApiResource
from tiphys.kube.discovery import Discovery, DiscoveryError

VERBS = ["get", "list", "watch", "create"]


def row(
    plural: str, kind: str, *, namespaced: bool = True, verbs: list[str] = VERBS, subs: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": "Namespaced" if namespaced else "Cluster",
        "verbs": verbs,
        "subresources": [{"subresource": sub, "verbs": ["get"]} for sub in subs],
    }


def group(name: str, **versions: list[dict[str, Any]]) -> dict[str, Any]:
    entries = [{"version": version, "resources": rows, "freshness": "Current"} for version, rows in versions.items()]
    return {"metadata": {"name": name} if name else {}, "versions": entries}


CORE = [
    group(
        "",
        v1=[
            row("pods", "Pod", subs=("status", "log")),
            row("nodes", "Node", namespaced=False),
            row("bindings", "Binding", verbs=["create"]),
        ],
    )
]
APPS = group(
    "apps", v1=[row("deployments", "Deployment")], v1beta1=[row("deployments", "Deployment"), row("olds", "Old")]
)


class Api:
    """An API server's discovery: aggregated or plain."""

    def __init__(self, *groups: dict[str, Any], aggregated: bool = True) -> None:
        self.groups = list(groups)
        self.aggregated = aggregated
        self.broken: set[str] = set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        if path == "/version":
            return web.json_response({"gitVersion": "v1.36.3"})
        if self.aggregated and path in ("/api", "/apis"):
            assert "v=v2" in request.headers["Accept"]
            items = CORE if path == "/api" else self.groups
            return web.json_response({"kind": "APIGroupDiscoveryList", "items": items})
        if path == "/api":
            return web.json_response({"kind": "APIVersions", "versions": ["v1"]})
        if path == "/apis":
            return web.json_response({"kind": "APIGroupList", "groups": [self.plain_group(one) for one in self.groups]})
        if path in self.broken:
            return failure(503, "ServiceUnavailable", "away")
        for one in [*CORE, *self.groups]:
            name = one["metadata"].get("name", "")
            for entry in one["versions"]:
                if path == (f"/apis/{name}/{entry['version']}" if name else f"/api/{entry['version']}"):
                    return web.json_response(self.plain_version(name, entry))
        return failure(404, "NotFound", "no")

    def plain_group(self, one: dict[str, Any]) -> dict[str, Any]:
        versions = [{"version": entry["version"]} for entry in one["versions"]]
        return {"name": one["metadata"]["name"], "versions": versions[::-1], "preferredVersion": versions[0]}

    def plain_version(self, name: str, entry: dict[str, Any]) -> dict[str, Any]:
        rows = []
        for one in entry["resources"]:
            base = {
                "kind": one["responseKind"]["kind"],
                "namespaced": one["scope"] == "Namespaced",
                "verbs": one["verbs"],
            }
            rows.append({"name": one["resource"], **base})
            rows += [{"name": f"{one['resource']}/{sub['subresource']}", **base} for sub in one["subresources"]]
        gv = f"{name}/{entry['version']}" if name else entry["version"]
        return {"kind": "APIResourceList", "groupVersion": gv, "resources": rows}


@pytest.mark.parametrize("aggregated", [True, False])
async def test_both_forms_give_the_same_catalogue(aggregated: bool) -> None:
    async with cluster(Api(APPS, aggregated=aggregated)) as (client, _):
        discovery = Discovery(client, clock=VirtualClock())
        deployment = await discovery.lookup(GroupKind("apps", "Deployment"))
        assert deployment == ApiResource("apps", "v1", "Deployment", "deployments", True, frozenset(VERBS))
        beta = await discovery.lookup(GroupKind("apps", "Deployment"), "v1beta1")
        assert beta is not None
        assert beta.version == "v1beta1"
        old = await discovery.lookup(GroupKind("apps", "Old"))
        assert old is not None
        assert old.version == "v1beta1"  # the preferred version does not have it
        node = await discovery.lookup(GroupKind("", "Node"))
        assert node is not None
        assert not node.namespaced
        assert await discovery.lookup(GroupKind("apps", "Nothing")) is None
        assert await discovery.lookup(GroupKind("apps", "Old"), "v1") is None
        assert await discovery.preferred_version("apps") == "v1"
        assert (await discovery.catalogue()).subresources["", "v1", "pods"] == {"status", "log"}
        assert await discovery.api_versions() == [
            "apps/v1",
            "apps/v1/Deployment",
            "apps/v1beta1",
            "apps/v1beta1/Deployment",
            "apps/v1beta1/Old",
            "v1",
            "v1/Node",
            "v1/Pod",
        ]
        assert (await discovery.server_version())["gitVersion"] == "v1.36.3"


async def test_aggregated_discovery_costs_two_requests_however_many_ask() -> None:
    async with cluster(Api(APPS)) as (client, server):
        discovery = Discovery(client, clock=VirtualClock())
        await asyncio.gather(*(discovery.lookup(GroupKind("", "Pod")) for _ in range(10)))
        assert sorted(seen.path for seen in server.seen) == ["/api", "/apis"]


async def test_a_new_kind_is_found_and_a_missing_one_does_not_storm() -> None:
    api = Api(APPS)
    clock = VirtualClock()
    async with cluster(api) as (client, server):
        discovery = Discovery(client, clock=clock)
        kind = GroupKind("example.com", "Widget")
        for _ in range(5):
            assert await discovery.lookup(kind) is None
        assert len(server.seen) == 2
        api.groups.append(group("example.com", v1=[row("widgets", "Widget")]))
        await clock.advance(6)
        found = await discovery.lookup(kind)
        assert found is not None
        assert found.plural == "widgets"
        assert len(server.seen) == 4


async def test_a_changed_crd_is_seen_after_invalidate_and_in_any_case_in_time() -> None:
    api = Api(group("example.com", v1=[row("widgets", "Widget")]))
    clock = VirtualClock()
    async with cluster(api) as (client, _):
        discovery = Discovery(client, clock=clock)
        kind = GroupKind("example.com", "Widget")
        assert await discovery.lookup(kind) is not None
        api.groups.clear()
        assert await discovery.lookup(kind) is not None
        discovery.invalidate()
        assert await discovery.lookup(kind) is None
        api.groups.append(group("example.com", v2=[row("widgets", "Widget")]))
        await clock.advance(601)
        found = await discovery.lookup(kind)
        assert found is not None
        assert found.version == "v2"


async def test_a_group_that_does_not_answer_is_not_a_missing_kind() -> None:
    api = Api(APPS, group("metrics.k8s.io", v1=[row("pods", "PodMetrics")]), aggregated=False)
    api.broken.add("/apis/metrics.k8s.io/v1")
    async with cluster(api) as (client, _):
        discovery = Discovery(client, clock=VirtualClock())
        with pytest.raises(DiscoveryError, match=r"PodMetrics\.metrics\.k8s\.io exists: away"):
            await discovery.lookup(GroupKind("metrics.k8s.io", "PodMetrics"))
        assert await discovery.lookup(GroupKind("apps", "Deployment")) is not None
        assert await discovery.lookup(GroupKind("apps", "Nothing")) is None


async def test_a_stale_group_keeps_what_is_known_and_cannot_tell_the_rest() -> None:
    stale = group("metrics.k8s.io", v1=[row("pods", "PodMetrics")])
    stale["versions"][0]["freshness"] = "Stale"
    async with cluster(Api(stale)) as (client, _):
        discovery = Discovery(client, clock=VirtualClock())
        assert await discovery.lookup(GroupKind("metrics.k8s.io", "PodMetrics")) is not None
        with pytest.raises(DiscoveryError, match="stale"):
            await discovery.lookup(GroupKind("metrics.k8s.io", "NodeMetrics"))


async def test_those_who_wait_for_an_answer_share_the_failure_to_get_it() -> None:
    asked = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.01)
        return failure(401, "Unauthorized")

    async with cluster(answer) as (client, _):
        discovery = Discovery(client, clock=VirtualClock())
        found = await asyncio.gather(*(discovery.catalogue() for _ in range(20)), return_exceptions=True)
        assert {type(one).__name__ for one in found} == {"Unauthorized"}
        assert asked == 2  # /api and /apis
