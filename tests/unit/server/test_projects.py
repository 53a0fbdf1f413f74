"""Projects and their tokens, API keys of accounts, sync windows, and lists in pages."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.server.asgi import World, application, call, world

from tiphys.settings.values import Account

PROJECTS = "/api/v1/projects"
SPEC = {
    "sourceRepos": ["*"],
    "destinations": [{"server": "https://kubernetes.default.svc", "namespace": "*"}],
    "roles": [{"name": "ci", "policies": ["p, proj:team:ci, applications, get, team/*, allow"]}],
}


def body(spec: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {"project": {"metadata": {"name": "team"}, "spec": {**SPEC, **(spec or {})}}, **changes}


async def team(policy: str = "", **settings: Any) -> World:
    w = world(policy, **settings)
    answer = await call(w, "POST", PROJECTS, body())
    assert answer.status == 200, answer.body
    return w


async def test_creating_is_idempotent_and_upsert_updates() -> None:
    w = await team()
    assert (await call(w, "POST", PROJECTS, body())).status == 200
    answer = await call(w, "POST", PROJECTS, body({"description": "ours"}))
    assert (answer.status, answer.json["message"]) == (
        400,
        'existing project spec is different; use upsert flag to force update; difference in keys "Description"',
    )
    answer = await call(w, "POST", PROJECTS, body({"description": "ours"}, upsert=True))
    assert answer.json["spec"]["description"] == "ours"
    assert (await call(w, "POST", PROJECTS, {})).json["message"] == "missing payload 'project' in request"


async def test_an_update_with_a_stale_version_is_a_conflict_and_one_without_a_version_is_not() -> None:
    w = await team()
    old = (await call(w, "GET", f"{PROJECTS}/team")).json
    fresh = {"project": {**old, "spec": {**SPEC, "description": "a"}}}
    assert (await call(w, "PUT", f"{PROJECTS}/team", fresh)).status == 200
    assert (await call(w, "PUT", f"{PROJECTS}/team", fresh)).status == 409
    assert (await call(w, "PUT", f"{PROJECTS}/team", body({"description": "b"}))).json["spec"]["description"] == "b"
    assert (await call(w, "PUT", f"{PROJECTS}/other", body())).status == 400


async def test_widening_a_project_needs_rights_on_what_it_reaches() -> None:
    policy = "p, bob, projects, update, team, allow\np, bob, repositories, update, https://mine/*, allow"
    w = await team(policy)
    wider = body({"sourceRepos": ["*", "https://mine/a.git"]})
    assert (await call(w, "PUT", f"{PROJECTS}/team", wider, user="bob")).status == 200
    other = body({"sourceRepos": ["*", "https://mine/a.git", "https://theirs/a.git"]})
    answer = await call(w, "PUT", f"{PROJECTS}/team", other, user="bob")
    assert answer.json["message"] == "permission denied: repositories, update, https://theirs/a.git, sub: bob"
    kinds = body(
        {"sourceRepos": ["*", "https://mine/a.git"], "clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}
    )
    answer = await call(w, "PUT", f"{PROJECTS}/team", kinds, user="bob")
    assert "clusters, update, https://kubernetes.default.svc" in answer.json["message"]


async def test_an_update_must_not_strand_applications() -> None:
    w = await team()
    w.writer.put(application(metadata={"namespace": "argocd"}, spec={"project": "team"}))
    narrow = {"sourceRepos": ["https://elsewhere/*"], "destinations": [{"server": "*", "namespace": "other"}]}
    answer = await call(w, "PUT", f"{PROJECTS}/team", body(narrow))
    assert answer.json["message"] == (
        "as a result of project update 1 applications source became invalid and "
        "1 applications destination became invalid"
    )


async def test_deleting_is_refused_while_applications_are_in_it() -> None:
    w = await team()
    w.writer.put(application(metadata={"namespace": "argocd"}, spec={"project": "team"}))
    answer = await call(w, "DELETE", f"{PROJECTS}/team")
    assert (answer.status, answer.json["message"]) == (400, "project is referenced by 1 applications")
    await w.writer.delete("argocd", "web")
    assert (await call(w, "DELETE", f"{PROJECTS}/team")).body == b"{}"
    assert (await call(w, "GET", f"{PROJECTS}/team")).status == 404
    answer = await call(w, "DELETE", f"{PROJECTS}/default")
    assert answer.json["message"] == "name 'default' is reserved and cannot be deleted"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"sourceRepos": ["!*"]}, "source repository has an invalid format, '!*'"),
        ({"sourceRepos": ["a", "a"]}, "source repository 'a' already added"),
        ({"destinations": [{"server": "!*", "namespace": "a"}]}, "server has an invalid format, '!*'"),
        ({"roles": [{"name": "a b"}]}, "invalid role name 'a b'"),
        ({"roles": [{"name": "a"}, {"name": "a"}]}, "role 'a' already exists"),
        ({"roles": [{"name": "a", "groups": ["g", "g"]}]}, "group 'g' already exists for role 'a'"),
        ({"roles": [{"name": "a", "groups": ['g"']}]}, "group 'g\"'"),
        ({"roles": [{"name": "a", "policies": ["p, x"]}]}, "must be of the form: 'p, sub, res, act, obj, eft'"),
        (
            {"roles": [{"name": "a", "policies": ["p, proj:other:a, applications, get, team/*, allow"]}]},
            "policy subject must be: 'proj:team:a', not 'proj:other:a'",
        ),
        (
            {"roles": [{"name": "a", "policies": ["p, proj:team:a, accounts, get, team/*, allow"]}]},
            "not 'accounts'",
        ),
        (
            {"roles": [{"name": "a", "policies": ["p, proj:team:a, applications, own, team/*, allow"]}]},
            "invalid action 'own'",
        ),
        (
            {"roles": [{"name": "a", "policies": ["p, proj:team:a, applications, get, default/*, allow"]}]},
            "object must be of form 'team/*'",
        ),
        (
            {"roles": [{"name": "a", "policies": ["p, proj:team:a, applications, get, team/*, maybe"]}]},
            "effect must be: 'allow' or 'deny'",
        ),
        ({"syncWindows": [{"kind": "allow", "schedule": "often", "duration": "1h"}]}, "invalid sync window"),
    ],
)
async def test_projects_that_make_no_sense_are_refused(spec: dict[str, Any], message: str) -> None:
    w = world()
    answer = await call(w, "POST", PROJECTS, body(spec))
    assert answer.status in (400, 409)
    assert message in answer.json["message"]
    assert "team" not in w.projects


async def test_the_token_of_a_role_speaks_for_it_until_it_is_taken_back() -> None:
    w = await team()
    answer = await call(w, "POST", f"{PROJECTS}/team/roles/ci/token", {"expiresIn": 60, "id": "one"})
    headers = {"authorization": f"Bearer {answer.json['token']}"}
    w.writer.put(application("ours", metadata={"namespace": "argocd"}, spec={"project": "team"}))
    w.writer.put(application("theirs", metadata={"namespace": "argocd"}))
    listed = await call(w, "GET", "/api/v1/applications", user=None, headers=headers)
    assert [app["metadata"]["name"] for app in listed.json["items"]] == ["ours"]
    again = await call(w, "POST", f"{PROJECTS}/team/roles/ci/token", {"id": "one"})
    assert again.json["message"] == "Token id 'one' has been used. "
    missing = await call(w, "POST", f"{PROJECTS}/team/roles/x/token", {})
    assert (missing.status, missing.json["message"]) == (404, "project 'team' does not have role 'x'")
    shown = (await call(w, "GET", f"{PROJECTS}/team")).json
    token = shown["spec"]["roles"][0]["jwtTokens"][0]
    assert (token["id"], token["exp"] - token["iat"]) == ("one", 60)
    assert shown["status"]["jwtTokensByRole"]["ci"]["items"] == [token]
    assert (await call(w, "DELETE", f"{PROJECTS}/team/roles/ci/token/{token['iat']}?id=one")).body == b"{}"
    assert (await call(w, "GET", "/api/v1/applications", user=None, headers=headers)).status == 401


async def test_an_api_key_speaks_for_its_account() -> None:
    w = world("g, robot, role:readonly")
    robot = Account(name="robot", capabilities=frozenset(("apiKey",)))
    w.settings = replace(w.settings, accounts={**w.settings.accounts, "robot": robot})
    keys = "/api/v1/account/robot/token"
    token = (await call(w, "POST", keys, {"id": "ci"})).json["token"]
    headers = {"authorization": f"Bearer {token}"}
    assert (await call(w, "GET", "/api/v1/session/userinfo", user=None, headers=headers)).json["username"] == "robot"
    assert (await call(w, "POST", keys, {}, user=None, headers=headers)).status == 200  # its own keys
    answer = await call(w, "POST", keys, {"id": "ci"})
    assert (answer.status, answer.json["message"]) == (400, "account already has token with id 'ci'")
    assert (await call(w, "POST", keys, {}, user="bob")).status == 403
    answer = await call(w, "POST", "/api/v1/account/bob/token", {})
    assert answer.json["message"] == "account 'bob' does not have apiKey capability"
    assert (await call(w, "DELETE", f"{keys}/ci")).body == b"{}"
    assert (await call(w, "GET", "/api/v1/applications", user=None, headers=headers)).status == 401
    answer = await call(w, "DELETE", f"{keys}/ci")
    assert (answer.status, answer.json["message"]) == (404, "token with id 'ci' does not exist")


async def test_windows_are_shown_and_stop_what_is_asked_for_by_hand() -> None:
    w = await team()
    window = {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"]}
    assert (await call(w, "PUT", f"{PROJECTS}/team", body({"syncWindows": [window]}))).status == 200
    w.writer.put(application(metadata={"namespace": "argocd"}, spec={"project": "team"}))
    answer = await call(w, "GET", "/api/v1/applications/web/syncwindows")
    shown = [{"kind": "deny", "schedule": "* * * * *", "duration": "1h"}]
    assert answer.json == {"activeWindows": shown, "assignedWindows": shown, "canSync": False}
    assert (await call(w, "GET", f"{PROJECTS}/team/syncwindows")).json["windows"] == [window]
    for path in ("sync", "rollback"):
        answer = await call(w, "POST", f"/api/v1/applications/web/{path}", {})
        assert (answer.status, answer.json["message"]) == (403, "cannot sync: blocked by sync window")


async def test_lists_come_in_pages_searched_and_sorted() -> None:
    w = world()
    for name, sync in (("web-a", "Synced"), ("web-b", "OutOfSync"), ("db", "Synced")):
        w.writer.put(application(name, metadata={"namespace": "argocd"}, status={"sync": {"status": sync}}))

    async def names(query: str) -> tuple[list[str], int]:
        found = (await call(w, "GET", f"/api/v1/applications?{query}")).json
        return [app["metadata"]["name"] for app in found["items"]], found["metadata"].get("remainingItemCount", 0)

    assert await names("") == (["db", "web-a", "web-b"], 0)
    assert await names("limit=1") == (["db"], 2)
    assert await names("limit=2&offset=1") == (["web-a", "web-b"], 0)
    assert await names("search=WEB") == (["web-a", "web-b"], 0)
    assert await names("sort=-name&limit=1") == (["web-b"], 2)
    assert await names("sort=sync") == (["web-b", "db", "web-a"], 0)
    assert (await call(w, "GET", "/api/v1/applications?sort=colour")).status == 400
    assert (await call(w, "GET", "/api/v1/applications?limit=many")).status == 400


async def test_a_question_about_any_application() -> None:
    w = world("p, bob, applications, sync, */*, allow")
    assert (await call(w, "GET", "/api/v1/account/can-i/applications/sync/*", user="bob")).json == {"value": "yes"}
    assert (await call(w, "GET", "/api/v1/account/can-i/applications/delete/*", user="bob")).json == {"value": "no"}
