"""POST /api/webhook: who is believed, and what is looked at."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from tests.unit.server.asgi import Answer, World, call, world

from tiphys.engine.source.pushes import Push, make_push, push_address
from tiphys.runtime.secret import Secret
from tiphys.server.app import App

SECRET = "s3cret-word"
GITHUB = {
    "ref": "refs/heads/main",
    "repository": {
        "html_url": "https://github.com/Team/Repo",
        "clone_url": "https://github.com/Team/Repo.git",
        "ssh_url": "git@github.com:Team/Repo.git",
        "default_branch": "main",
    },
}
GITLAB = {
    "event_name": "push",
    "ref": "refs/heads/main",
    "project": {"web_url": "https://gitlab.com/team/repo", "default_branch": "main"},
}


class Hooked:
    """A server with some secrets for webhooks; `pushes` are those it believed."""

    def __init__(self, **secrets: str) -> None:
        self.pushes: list[Push] = []
        secrets_of = {name.replace("_", "."): Secret(value) for name, value in secrets.items()}
        self.world: World = world(webhook_secrets=secrets_of, webhook_max_payload_mb=1)
        services = self.world.app._services
        self.world.app = App(_with(services, self._take))

    def _take(self, push: Push) -> int:
        self.pushes.append(push)
        return 1

    async def post(self, payload: Any, headers: Mapping[str, str]) -> Answer:
        """Send as servers do: no session, any content type."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        return await call(self.world, "POST", "/api/webhook", body, user=None, headers={"content-type": "", **headers})


def _with(services: Any, pushed: Any) -> Any:
    from dataclasses import replace

    return replace(services, pushed=pushed)


def signed(payload: Any, secret: str = SECRET, algorithm: str = "sha256") -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return f"{algorithm}={hmac.new(secret.encode(), body, algorithm).hexdigest()}"


def github(event: str = "push", **headers: str) -> dict[str, str]:
    return {"X-GitHub-Event": event, **{name.replace("_", "-"): value for name, value in headers.items()}}


async def test_a_signed_push_of_github_is_believed() -> None:
    hooked = Hooked(github=SECRET)
    for header in (
        github(X_Hub_Signature_256=signed(GITHUB)),
        github(X_Hub_Signature=signed(GITHUB, algorithm="sha1")),
    ):
        answer = await hooked.post(GITHUB, header)
        assert (answer.status, answer.body) == (200, b"")
    (first, second) = hooked.pushes
    assert first == second == make_push(["https://github.com/team/repo"], ["refs/heads/main"], "main")


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        (github(), "missing X-Hub-Signature-256 Header"),
        (github(X_Hub_Signature_256=signed(GITHUB, "wrong")), "HMAC verification failed"),
        (github(X_Hub_Signature_256="sha256="), "HMAC verification failed"),
        (github(X_Hub_Signature_256="é"), "HMAC verification failed"),
        (github(X_Hub_Signature_256=signed({"other": "payload"})), "HMAC verification failed"),
        (
            github(X_Hub_Signature_256="sha256=0", X_Hub_Signature=signed(GITHUB, algorithm="sha1")),
            "HMAC verification failed",
        ),
        (github("issues", X_Hub_Signature_256=signed(GITHUB)), "event not defined to be parsed"),
    ],
)
async def test_what_is_not_proven_is_refused(headers: dict[str, str], says: str) -> None:
    hooked = Hooked(github=SECRET)
    answer = await hooked.post(GITHUB, headers)
    assert (answer.status, answer.body.decode()) == (400, f"Webhook processing failed: {says}\n")
    assert hooked.pushes == []


async def test_a_ping_is_answered_and_looks_at_nothing() -> None:
    hooked = Hooked(github=SECRET)
    assert (await hooked.post({"zen": "x"}, github("ping", X_Hub_Signature_256=signed({"zen": "x"})))).status == 200
    assert (await hooked.post({}, {"X-Event-Key": "diagnostics:ping"})).status == 200
    assert hooked.pushes == []


async def test_without_a_secret_every_push_is_believed() -> None:
    hooked = Hooked()
    assert (await hooked.post(GITHUB, github())).status == 200
    assert len(hooked.pushes) == 1


async def test_gitlab_shows_its_token() -> None:
    hooked = Hooked(gitlab=SECRET)
    event = {"X-Gitlab-Event": "Push Hook"}
    assert (await hooked.post(GITLAB, {**event, "X-Gitlab-Token": SECRET})).status == 200
    tag = {**GITLAB, "event_name": "tag_push", "ref": "refs/tags/v1"}
    assert (await hooked.post(tag, {"X-Gitlab-Event": "Tag Push Hook", "X-Gitlab-Token": SECRET})).status == 200
    system = {"event_name": "project_create"}
    assert (await hooked.post(system, {"X-Gitlab-Event": "System Hook", "X-Gitlab-Token": SECRET})).status == 200
    assert [push.refs for push in hooked.pushes] == [{"refs/heads/main"}, {"refs/tags/v1"}]
    for headers, says in (
        (event, "X-Gitlab-Token validation failed"),
        ({**event, "X-Gitlab-Token": "wrong"}, "X-Gitlab-Token validation failed"),
        ({"X-Gitlab-Event": "Issue Hook", "X-Gitlab-Token": SECRET}, "event not defined to be parsed"),
    ):
        answer = await hooked.post(GITLAB, headers)
        assert (answer.status, answer.body.decode()) == (400, f"Webhook processing failed: {says}\n")
    assert len(hooked.pushes) == 2


async def test_gitea_is_read_as_gogs_though_it_sends_githubs_header_too() -> None:
    hooked = Hooked(gogs=SECRET, github="another")
    digest = hmac.new(SECRET.encode(), json.dumps(GITHUB).encode(), hashlib.sha256).hexdigest()
    both = {"X-Gogs-Event": "push", "X-GitHub-Event": "push"}
    assert (await hooked.post(GITHUB, {**both, "X-Gogs-Signature": digest})).status == 200
    assert (await hooked.post(GITHUB, {**both, "X-Gogs-Signature": digest[1:]})).status == 400
    assert (await hooked.post(GITHUB, both)).body == b"Webhook processing failed: missing X-Gogs-Signature Header\n"
    assert len(hooked.pushes) == 1


async def test_both_bitbuckets_and_azure_devops_are_read() -> None:
    hooked = Hooked(bitbucket="{uuid}", bitbucketserver=SECRET, azuredevops_username="jo", azuredevops_password="pw")
    cloud = {
        "push": {
            "changes": [
                {"new": {"type": "branch", "name": "main"}, "old": None},
                {"new": {"type": "tag", "name": "v1"}},
            ]
        },
        "repository": {"links": {"html": {"href": "https://bitbucket.org/team/repo"}}},
    }
    key = {"X-Event-Key": "repo:push"}
    assert (await hooked.post(cloud, {**key, "X-Hook-UUID": "{uuid}"})).status == 200
    assert (await hooked.post(cloud, {**key, "X-Hook-UUID": "{other}"})).status == 400
    server = {
        "changes": [{"ref": {"id": "refs/heads/main"}}],
        "repository": {"links": {"clone": [{"href": "ssh://git@bb.example:7999/team/repo.git"}]}},
    }
    key = {"X-Event-Key": "repo:refs_changed"}
    assert (await hooked.post(server, {**key, "X-Hub-Signature": signed(server)})).status == 200
    assert (await hooked.post(server, {**key, "X-Hub-Signature": signed(server, "x")})).status == 400
    azure = {
        "eventType": "git.push",
        "resource": {
            "refUpdates": [{"name": "refs/heads/main"}],
            "repository": {"remoteUrl": "https://jo@dev.azure.com/o/p/_git/r", "defaultBranch": "refs/heads/main"},
        },
    }
    key = {"X-Vss-Activityid": "1"}
    right = "Basic " + base64.b64encode(b"jo:pw").decode()
    assert (await hooked.post(azure, {**key, "Authorization": right})).status == 200
    for wrong in ("", "Basic !", "Bearer x", "Basic " + base64.b64encode(b"jo:no").decode()):
        assert (await hooked.post(azure, {**key, "Authorization": wrong})).status == 400
    assert hooked.pushes == [
        make_push(["bitbucket.org/team/repo"], ["refs/heads/main", "refs/tags/v1"]),
        make_push(["bb.example/team/repo"], ["refs/heads/main"]),
        make_push(["dev.azure.com/o/p/_git/r"], ["refs/heads/main"], "main"),
    ]


async def test_a_sender_that_is_not_known_is_told() -> None:
    hooked = Hooked()
    answer = await hooked.post(GITHUB, {})
    assert (answer.status, answer.body) == (400, b"Unknown webhook event\n")
    assert (await call(hooked.world, "GET", "/api/webhook", user=None)).status == 405


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000, b"x" * 1024 * 1024, b" " * (1024 * 1024 + 1)]
)
async def test_a_payload_that_is_too_large_or_no_json_is_told_so(body: bytes) -> None:
    hooked = Hooked()
    answer = await hooked.post(body, github())
    assert answer.status == 400
    assert answer.body.decode() == (
        "Webhook processing failed: The payload is either too large or corrupted. Please check the payload size "
        "(must be under 1 MB) and ensure it is valid JSON\n"
    )


WRONG: tuple[Any, ...] = (None, [], {}, "", 7, True, [None], [[]], {"a": {}}, [{"ref": []}, 5])
NAMES = ("ref", "repository", "project", "push", "changes", "resource", "eventType", "event_name")
HEADERS = (
    {"X-Vss-Activityid": "1"},
    {"X-Gogs-Event": "push"},
    {"X-GitHub-Event": "push"},
    {"X-Gitlab-Event": "System Hook"},
    {"X-Hook-UUID": "1", "X-Event-Key": "repo:push"},
    {"X-Event-Key": "repo:refs_changed"},
)


@pytest.mark.parametrize("headers", HEADERS, ids=lambda headers: str(next(iter(headers))))
async def test_no_shape_of_a_payload_does_harm(headers: dict[str, str]) -> None:
    hooked = Hooked()
    for name in NAMES:
        for value in WRONG:
            for payload in ({name: value}, {**GITHUB, **GITLAB, name: value}, {"resource": {name: value}}):
                answer = await hooked.post({"eventType": "git.push", **payload}, headers)
                assert answer.status in (200, 400)


async def test_secrets_are_said_nowhere() -> None:
    hooked = Hooked(github=SECRET)
    answer = await hooked.post(GITHUB, github(X_Hub_Signature_256="sha256=" + "0" * 64))
    assert SECRET not in answer.body.decode() + repr(hooked.world.settings)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/team/repo",
        "https://GitHub.com/Team/Repo.git",
        "http://jo:pw@github.com:8080/team/repo/",
        "git@github.com:team/repo.git",
        "ssh://git@ssh.github.com:443/team/repo.git",
        "ssh://git@altssh.github.com/team/repo",
        "github.com/team/repo",
    ],
)
def test_all_urls_of_a_repository_have_one_address(url: str) -> None:
    assert push_address(url) == "github.com/team/repo"


@pytest.mark.parametrize(
    "url",
    ["https://github.com/team/repo2", "https://github.com.evil/team/repo", "https://x/(a+)+$", "", "https://", "x"],
)
def test_other_urls_have_others(url: str) -> None:
    assert push_address(url) != "github.com/team/repo"


@pytest.mark.parametrize(
    ("revision", "prefix", "refs", "may"),
    [
        ("HEAD", "", ["refs/heads/main"], True),
        ("", "", ["refs/heads/main"], True),
        ("HEAD", "", ["refs/heads/other"], False),
        ("main", "", ["refs/heads/main"], True),
        ("refs/heads/main", "", ["refs/heads/main"], True),
        ("main", "", ["refs/heads/maintenance"], False),
        ("feature/x", "", ["refs/heads/feature/x"], True),
        ("v1.0.0", "", ["refs/tags/v1.0.0"], True),
        ("^1", "", ["refs/tags/v1.2.0"], True),
        ("^1", "", ["refs/tags/v2.0.0"], False),
        ("^1", "", ["refs/heads/v1.2.0"], False),
        ("^1", "web/", ["refs/tags/web/1.2.0"], True),
        ("^1", "web/", ["refs/tags/1.2.0"], False),
        ("main", "", [], True),
    ],
)
def test_a_push_concerns_who_reads_what_was_pushed(revision: str, prefix: str, refs: list[str], may: bool) -> None:
    push = make_push(["https://github.com/team/repo"], refs, "main")
    assert push is not None
    assert push.may_move(prefix, revision) is may


def test_a_sender_that_names_no_default_branch_may_have_moved_it() -> None:
    push = make_push(["https://github.com/team/repo"], ["refs/heads/x"])
    assert push is not None
    assert push.may_move("", "HEAD")
