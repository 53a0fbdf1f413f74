"""Repositories, templates and known servers as the API shows them: never with what opens them."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from tests.unit.server.asgi import NOW, World, call, world

from tiphys.credentials.book import make_book
from tiphys.server.app import App

SECRET = "s3cret-token"


def secret(name: str, **values: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
    return {"metadata": {"name": name}, "data": data}


def filled(policy: str = "") -> World:
    w = world(policy)
    repositories = [
        secret("a", type="git", url="https://example.com/a.git", username="jo", password=SECRET),
        secret("b", type="git", url="https://example.com/b.git", project="team", password=SECRET, username="x"),
        secret("c", type="git", url="https://example.com/c.git", insecure="maybe"),
    ]
    templates = [secret("t", type="git", url="https://example.com", username="bot", password=SECRET)]
    key = base64.b64encode(b"a public key").decode()
    book = make_book(repositories, templates, known_hosts=f"# hosts\nexample.com,alias ssh-ed25519 {key}\nbroken\n")
    states = {"https://example.com/a.git": ("Successful", "", NOW), "https://example.com/b.git": ("Failed", "no", None)}
    services = replace(
        w.app._services,
        repository_book=lambda: book,
        repository_state=lambda url, project: states.get(url, ("Unknown", "", None)),
    )
    w.app = App(services)
    return w


async def test_repositories_are_listed_without_what_opens_them() -> None:
    answer = await call(filled(), "GET", "/api/v1/repositories")
    assert SECRET.encode() not in answer.body
    first, second, third = answer.json["items"]
    assert first == {
        "repo": "https://example.com/a.git",
        "type": "git",
        "username": "jo",
        "connectionState": {"status": "Successful", "message": "", "attemptedAt": "2024-05-06T07:08:09Z"},
    }
    assert (second["project"], second["connectionState"]["status"]) == ("team", "Failed")
    assert third["connectionState"]["status"] == "Failed"
    assert "insecure" in third["connectionState"]["message"]


async def test_a_repository_is_found_by_its_encoded_url() -> None:
    w = filled("p, bob, repositories, get, https://example.com/a.git, allow")
    for encoded in (
        quote("https://example.com/a.git", safe=""),
        quote(quote("https://example.com/a", safe=""), safe=""),
    ):
        answer = await call(w, "GET", f"/api/v1/repositories/{encoded}", user="bob")
        assert answer.json["repo"] == "https://example.com/a.git"
    other = quote("https://example.com/b.git", safe="")
    assert (await call(w, "GET", f"/api/v1/repositories/{other}", user="bob")).status == 403
    assert (await call(w, "GET", "/api/v1/repositories/nowhere", user="bob")).status == 403
    answer = await call(w, "GET", "/api/v1/repositories/nowhere")
    assert (answer.status, answer.json["message"]) == (404, "repo 'nowhere' not found")


async def test_only_what_may_be_seen_is_listed() -> None:
    w = filled("p, bob, repositories, get, team/*, allow")
    listed = (await call(w, "GET", "/api/v1/repositories", user="bob")).json["items"]
    assert [item["repo"] for item in listed] == ["https://example.com/b.git"]
    assert (await call(w, "GET", "/api/v1/repocreds", user="bob")).json["items"] == []
    assert (await call(w, "GET", "/api/v1/certificates", user="bob")).json["items"] == []


async def test_templates_and_known_hosts() -> None:
    w = filled()
    answer = await call(w, "GET", "/api/v1/repocreds")
    assert answer.json["items"] == [{"url": "https://example.com", "type": "git", "username": "bot"}]
    answer = await call(w, "GET", "/api/v1/certificates?hostNamePattern=exa*&certType=ssh")
    (item,) = answer.json["items"]
    assert (item["serverName"], item["certSubType"]) == ("example.com", "ssh-ed25519")
    assert item["certInfo"].startswith("SHA256:")
