"""Rules of /api/v1/clusters: who sees what, and that credentials go in and never come out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

import pytest
from tests.unit.server.asgi import World, call, world

from tiphys.model.cluster import Cluster, in_cluster
from tiphys.runtime.secret import Secret
from tiphys.server.app import App

CREDENTIALS = {
    "bearerToken": "token-word",
    "username": "user-word",
    "password": "pass-word",
    "tlsClientConfig": {"insecure": True, "certData": "cert-word", "keyData": "key-word"},
    "execProviderConfig": {"command": "aws", "args": ["eks"], "env": {"KEY": "env-word"}},
    "awsAuthConfig": {"clusterName": "prod", "roleARN": "arn"},
    "proxyUrl": "http://me:proxy-word@proxy:3128",
}
WORDS = ("token-word", "user-word", "pass-word", "cert-word", "key-word", "env-word", "proxy-word")


@dataclass
class Book:
    """Clusters in memory."""

    known: list[Cluster] = field(default_factory=list)
    invalidated: list[str] = field(default_factory=list)

    def clusters(self) -> Sequence[Cluster]:
        return [*self.known, in_cluster()]

    def information(self, server: str, applications: int | None = None) -> dict[str, Any]:
        state = {"status": "Successful", "message": "", "attemptedAt": "2024-05-06T07:08:09Z"}
        return {"connectionState": state, "serverVersion": "1.33", "applicationsCount": applications or 0}

    def application_counts(self) -> Mapping[str, int]:
        return {"https://a": 3}

    async def check(self, cluster: Cluster) -> str:
        return "1.33"

    async def create(self, cluster: Cluster) -> None:
        self.known.append(replace(cluster, secret="made"))

    async def update(self, cluster: Cluster) -> None:
        self.known = [cluster if one.server == cluster.server else one for one in self.known]

    async def delete(self, cluster: Cluster) -> None:
        self.known.remove(cluster)

    async def invalidate(self, cluster: Cluster) -> None:
        self.invalidated.append(cluster.server)


def made(server: str = "https://a", name: str = "a", **changes: Any) -> Cluster:
    return Cluster(
        server=server, name=name, config=Secret(json.dumps(CREDENTIALS)), secret=f"cluster-{name}", **changes
    )


def with_book(*clusters: Cluster, policy: str = "") -> tuple[World, Book]:
    w, book = world(policy), Book(list(clusters))
    w.app = App(replace(w.app._services, cluster_book=book))
    return w, book


async def ask(w: World, method: str, path: str, body: Any = None, *, account: str = "admin") -> Any:
    return await call(w, method, f"/api/v1/clusters{path}", body, user=account)


async def test_a_list_shows_every_cluster_and_no_credential() -> None:
    w, _ = with_book(made(labels={"env": "test"}, namespaces=("x",), shard=0))
    answer = await ask(w, "GET", "")
    assert answer.status == 200
    first, home = answer.json["items"]
    assert (first["server"], first["name"], first["serverVersion"]) == ("https://a", "a", "1.33")
    assert first["connectionState"]["status"] == "Successful"
    assert first["info"]["applicationsCount"] == 3
    assert (first["labels"], first["namespaces"], first["shard"]) == ({"env": "test"}, ["x"], 0)
    assert first["config"]["tlsClientConfig"] == {"insecure": True}
    assert first["config"]["execProviderConfig"] == {"command": "aws", "args": ["eks"], "env": {"KEY": ""}}
    assert first["config"]["awsAuthConfig"] == {"clusterName": "prod", "roleARN": "arn"}
    assert home["name"] == "in-cluster"
    assert not [word for word in WORDS if word in answer.body.decode()]


@pytest.mark.parametrize(
    "path",
    [
        f"/{quote('https://a', safe='')}",
        "/a?id.type=name",
        f"/{quote(quote('https://a', safe=''), safe='')}?id.type=url_escaped",
    ],
)
async def test_a_cluster_is_found_by_server_and_by_name(path: str) -> None:
    w, _ = with_book(made())
    answer = await ask(w, "GET", path)
    assert (answer.status, answer.json["server"]) == (200, "https://a")


async def test_what_may_not_be_seen_and_what_is_not_there_are_the_same() -> None:
    w, _ = with_book(made(), made("https://b", "b"), policy="p, bob, clusters, get, https://b, allow\n")
    assert [one["name"] for one in (await ask(w, "GET", "", account="bob")).json["items"]] == ["b"]
    hidden = await ask(w, "GET", "/a?id.type=name", account="bob")
    absent = await ask(w, "GET", "/none?id.type=name", account="bob")
    assert (hidden.status, hidden.body) == (absent.status, absent.body) == (403, absent.body)
    for method, path in (("PUT", ""), ("DELETE", ""), ("POST", "/invalidate-cache")):
        answer = await ask(w, method, f"/{quote('https://b', safe='')}{path}", {}, account="bob")
        assert answer.status == 403


async def test_a_cluster_of_a_project_is_for_those_of_the_project() -> None:
    w, _ = with_book(made(project="team"), policy="p, bob, clusters, get, team/https://a, allow\n")
    assert (await ask(w, "GET", "/a?id.type=name", account="bob")).status == 200


async def test_a_cluster_is_created_and_a_different_one_needs_upsert() -> None:
    w, book = with_book()
    body = {"server": "https://a/", "name": "a", "config": {"bearerToken": "one", "tlsClientConfig": {}}}
    answer = await ask(w, "POST", "", body)
    assert (answer.status, answer.json["server"], book.known[0].name) == (200, "https://a", "a")
    assert (await ask(w, "POST", "", body)).status == 200
    other = {**body, "config": {"bearerToken": "two"}}
    refused = await ask(w, "POST", "", other)
    assert refused.status == 400
    assert refused.json["message"] == "existing cluster spec is different; use upsert flag to force update"
    assert (await ask(w, "POST", "?upsert=true", other)).status == 200
    assert json.loads(book.known[0].config.reveal())["bearerToken"] == "two"
    assert (await ask(w, "POST", "", body, account="bob")).status == 403


async def test_an_update_of_some_fields_leaves_the_rest() -> None:
    w, book = with_book(made())
    answer = await ask(w, "PUT", "/a?id.type=name&updatedFields=name,labels", {"name": "b", "labels": {"x": "y"}})
    assert answer.status == 200
    assert (book.known[0].name, book.known[0].labels) == ("b", {"x": "y"})
    assert json.loads(book.known[0].config.reveal()) == CREDENTIALS
    assert (await ask(w, "PUT", "/b?id.type=name&updatedFields=secret", {})).status == 400


async def test_a_cluster_is_forgotten_and_looked_at_anew() -> None:
    w, book = with_book(made())
    assert (await ask(w, "POST", "/a/invalidate-cache?id.type=name", {})).status == 200
    assert book.invalidated == ["https://a"]
    assert (await ask(w, "DELETE", "/a?id.type=name")).status == 200
    assert book.known == []
    assert (await ask(w, "DELETE", "/in-cluster?id.type=name")).status == 404


@pytest.mark.parametrize(
    "body", [{}, {"server": 1}, {"server": "https://a", "config": [1]}, {"server": "x", "labels": [1]}]
)
async def test_a_body_that_is_no_cluster_is_refused(body: Any) -> None:
    w, _ = with_book()
    assert (await ask(w, "POST", "", body)).status == 400
