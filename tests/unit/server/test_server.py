"""The API answers as Argo CD's does, and nobody sees or does what policy does not allow."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.server.asgi import PASSWORD, application, call, streaming, world

from tiphys.model.appproject import parse_appproject
from tiphys.server.app import routes
from tiphys.server.cache import ApplicationCache, Freshness, TooSlowError
from tiphys.server.fieldmask import FieldMask
from tiphys.server.http import Response
from tiphys.server.routing import Route, Router, UncheckedRouteError

APPS = "/api/v1/applications"


async def _handler(context: Any) -> Response:
    return Response()


def test_a_route_without_a_check_does_not_start() -> None:
    with pytest.raises(UncheckedRouteError, match="GET /api/v1/new"):
        Router((*routes(), Route("GET", "/api/v1/new", _handler)))


async def test_every_route_that_is_not_public_refuses_a_request_without_a_session() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    for route in w.app.router.routes:
        assert route.access is not None
        path = route.path.replace("{name}", "web").replace("{resource}", "applications").replace("{action}", "get")
        answer = await call(w, route.method, path.replace("{subresource=**}", "x/y"), {}, user=None)
        refused = answer.status == 401 and b"no session information" in answer.body
        assert refused is route.access.session, route.path


async def test_a_user_without_rights_gets_nothing_anywhere() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    for route in w.app.router.routes:
        if not route.path.startswith(APPS) or route.path == APPS:
            continue
        for name in ("web", "missing"):
            answer = await call(w, route.method, route.path.replace("{name}", name), application(), user="bob")
            body = answer.json["error"] if route.path.endswith("/logs") else answer.json
            assert (answer.status, body["message"]) == (403, "permission denied"), route.path
    assert (await call(w, "GET", APPS, user="bob")).json["items"] == []
    assert (await call(w, "POST", APPS, application("new"), user="bob")).status == 403
    assert (await call(w, "GET", "/api/v1/projects", user="bob")).json["items"] == []


async def test_login_gives_token_and_cookie_and_wrong_ones_are_one_message() -> None:
    w = world()
    answer = await call(w, "POST", "/api/v1/session", {"username": "admin", "password": PASSWORD}, user=None)
    assert answer.status == 200
    token = answer.json["token"]
    assert answer.header("set-cookie") == f"argocd.token={token}; path=/; SameSite=lax; httpOnly; Secure"
    for headers in ({"authorization": f"Bearer {token}"}, {"cookie": f"a=b; argocd.token={token}"}, {"token": token}):
        info = await call(w, "GET", "/api/v1/session/userinfo", user=None, headers=headers)
        assert info.json == {"loggedIn": True, "username": "admin", "iss": "argocd"}
    for name in ("admin", "nobody"):
        answer = await call(w, "POST", "/api/v1/session", {"username": name, "password": "wrong"}, user=None)
        assert answer.status == 401
        assert answer.json == {
            "error": "Invalid username or password",
            "code": 16,
            "message": "Invalid username or password",
        }


async def test_a_session_ends_with_logout_and_a_bad_one_says_why() -> None:
    w = world()
    headers = {"authorization": f"Bearer {w.token()}"}
    assert (await call(w, "DELETE", "/api/v1/session", user=None, headers=headers)).body == b"{}"
    answer = await call(w, "GET", APPS, user=None, headers=headers)
    assert (answer.status, answer.json["message"]) == (401, "invalid session: token is revoked, please re-login")
    assert (await call(w, "GET", APPS, user=None)).json["message"] == "no session information"
    assert (await call(w, "GET", "/api/v1/session/userinfo", user=None)).json == {}


async def test_what_changes_something_must_say_it_is_json() -> None:
    w = world()
    for method, path in (("POST", APPS), ("DELETE", f"{APPS}/web"), ("POST", "/api/v1/session")):
        answer = await call(w, method, path, {}, headers={"content-type": "text/plain"})
        assert (answer.status, answer.body) == (415, b"Invalid content type\n")


async def test_unknown_paths_and_methods() -> None:
    w = world()
    assert (await call(w, "GET", "/api/v1/nothing")).body == b"Not Found\n"
    assert (await call(w, "PUT", APPS)).status == 405


async def test_version_settings_health_and_metrics() -> None:
    w = world()
    assert (await call(w, "GET", "/api/version", user=None)).json == {"Version": "v3.6.0+tiphys.0.1.0"}
    assert (await call(w, "GET", "/api/version")).json["GoVersion"] == "none"
    settings = (await call(w, "GET", "/api/v1/settings", user=None)).json
    assert settings["appLabelKey"] == "app.kubernetes.io/instance"
    assert "controllerNamespace" not in settings
    assert (await call(w, "GET", "/healthz", user=None)).body == b"ok"
    assert (await call(w, "GET", "/metrics")).body == b"up 1\n"
    assert (await call(w, "GET", "/metrics", user="bob")).status == 403


async def test_create_is_idempotent_and_upsert_updates() -> None:
    w = world()
    created = await call(w, "POST", APPS, application(operation={"sync": {}}, status={"health": {"status": "Healthy"}}))
    assert created.status == 200
    assert created.json["metadata"]["namespace"] == "argocd"
    assert "operation" not in created.json
    assert "health" not in created.json.get("status", {})
    again = await call(w, "POST", APPS, application())
    assert (again.status, again.json) == (200, created.json)
    other = application(spec={"source": {"repoURL": "https://example.com/config.git", "path": "else"}})
    answer = await call(w, "POST", APPS, other)
    assert answer.status == 400
    assert answer.json["code"] == 3
    assert answer.json["message"] == "existing application spec is different, use upsert flag to force update"
    upserted = await call(w, "POST", f"{APPS}?upsert=true", other)
    assert upserted.json["spec"]["source"]["path"] == "else"


async def test_field_names_of_requests_are_matched_as_go_matches_them() -> None:
    w = world()
    body = {
        "metadata": {"name": "web"},
        "SPEC": {
            "Source": {"repourl": "https://example.com/r", "PATH": "p"},
            "destination": {"SERVER": "https://kubernetes.default.svc"},
        },
    }
    created = await call(w, "POST", APPS, body)
    assert created.status == 200, created.body
    assert created.json["spec"]["source"] == {"repoURL": "https://example.com/r", "path": "p"}
    assert created.json["spec"]["project"] == "default"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (
            b'{"metadata":{"name":"x"},"spec":{"source":{"path":1}}}',
            "spec.source.path: expected a string, got a number",
        ),
        (
            application(spec={"project": "gone"}),
            "application references project gone which does not exist",
        ),
        (
            application(spec={"source": {}}),
            "application spec for web is invalid: InvalidSpecError: spec.source.repoURL and either spec.source.path or "
            "spec.source.chart are required",
        ),
    ],
)
async def test_bad_applications_are_refused_with_all_that_is_wrong(body: Any, message: str) -> None:
    answer = await call(world(), "POST", APPS, body)
    assert (answer.status, answer.json["code"]) == (400, 3)
    assert answer.json["message"] == message


async def test_the_project_is_enforced_on_create() -> None:
    w = world()
    w.projects["closed"] = parse_appproject({"metadata": {"name": "closed"}, "spec": {}})
    answer = await call(w, "POST", APPS, application(spec={"project": "closed"}))
    assert (
        "application repo https://example.com/config.git is not permitted in project 'closed'" in answer.json["message"]
    )
    assert "do not match any of the allowed destinations in project 'closed'" in answer.json["message"]


async def test_get_hides_what_is_missing_unless_the_project_was_named() -> None:
    w = world("p, bob, applications, get, default/*, allow")
    w.projects["other"] = parse_appproject({"metadata": {"name": "other"}, "spec": {}})
    w.writer.put(application(metadata={"namespace": "argocd", "managedFields": [{"manager": "x"}]}))
    w.writer.put(application("secret", metadata={"namespace": "argocd"}, spec={"project": "other"}))
    found = await call(w, "GET", f"{APPS}/web", user="bob")
    assert found.status == 200
    assert "managedFields" not in found.json["metadata"]
    for path, status in (
        ("missing", 403),
        ("secret", 403),
        ("missing?project=default", 404),
        ("secret?project=default", 404),
        ("web?project=other", 403),
        ("missing?project=other", 403),
    ):
        answer = await call(w, "GET", f"{APPS}/{path}", user="bob")
        assert answer.status == status, path
        if status == 404:
            name = path.split("?")[0]
            assert answer.json["message"] == f'applications.argoproj.io "{name}" not found'
    assert (await call(w, "GET", f"{APPS}/web?project=other")).status == 404


async def test_namespaces_that_are_not_ours_do_not_exist_for_anybody() -> None:
    w = world(application_namespaces=("team-*",))
    for namespace in ("argocd", "team-a", "kube-system"):
        w.writer.put(application(metadata={"namespace": namespace}))
    listed = (await call(w, "GET", APPS)).json["items"]
    assert [item["metadata"]["namespace"] for item in listed] == ["argocd", "team-a"]
    assert (await call(w, "GET", f"{APPS}/web?appNamespace=team-a")).status == 200
    refused = await call(w, "GET", f"{APPS}/web?appNamespace=kube-system")
    assert (refused.status, refused.json["message"]) == (403, "namespace 'kube-system' is not permitted")
    assert (await call(w, "POST", APPS, application(metadata={"namespace": "kube-system"}))).status == 403
    # The project must allow the namespace too.
    answer = await call(w, "POST", APPS, application("new", metadata={"namespace": "team-a"}))
    assert answer.json["message"] == "application in namespace 'team-a' is not permitted to use project 'default'"


async def test_only_sources_that_are_new_are_tried_before_an_update() -> None:
    w = world()
    source = {**application()["spec"]["source"], "path": "nowhere"}
    refused = await call(w, "POST", APPS, application(spec={"source": source}))
    message = "application spec for web is invalid: InvalidSpecError: Unable to read nowhere"
    assert (refused.status, refused.json["message"]) == (400, message)
    assert (await call(w, "POST", f"{APPS}?validate=false", application(spec={"source": source}))).status == 200
    quiet = application(spec={"source": source, "syncPolicy": {"automated": {}}})
    assert (await call(w, "PUT", f"{APPS}/web", quiet)).status == 200
    assert (await call(w, "PUT", f"{APPS}/web/spec", application()["spec"])).status == 200
    assert (await call(w, "PUT", f"{APPS}/web", quiet)).json["message"] == message


async def test_an_exported_application_can_be_created_again() -> None:
    w = world()
    exported = application(metadata={"uid": "old", "resourceVersion": "7", "managedFields": [], "generation": 3})
    created = (await call(w, "POST", APPS, exported)).json["metadata"]
    assert (created["uid"], "generation" in created) == ("uid-web", False)


async def test_lists_are_sorted_filtered_and_cut_to_fields() -> None:
    w = world("p, bob, applications, get, default/a*, allow")
    for name, labels in (("b", {"tier": "back"}), ("a", {}), ("a2", {"tier": "front"})):
        w.writer.put(application(name, metadata={"namespace": "argocd", "labels": labels}))

    async def names(query: str, user: str = "admin") -> list[str]:
        answer = await call(w, "GET", f"{APPS}?{query}", user=user)
        return [item["metadata"]["name"] for item in answer.json["items"]]

    assert await names("") == ["a", "a2", "b"]
    assert await names("", "bob") == ["a", "a2"]
    assert await names("selector=tier") == ["a2", "b"]
    assert await names("selector=tier%21%3Dback") == ["a", "a2"]
    assert await names("projects=default&name=b") == ["b"]
    assert await names("projects=other") == []
    assert await names("repo=https://example.com/CONFIG") == ["a", "a2", "b"]
    assert await names("appNamespace=elsewhere") == []
    answer = await call(w, "GET", f"{APPS}?fields=items.metadata.name,metadata.resourceVersion")
    assert answer.json == {
        "metadata": {"resourceVersion": w.cache.resource_version},
        "items": [{"metadata": {"name": name}} for name in ("a", "a2", "b")],
    }
    answer = await call(w, "GET", f"{APPS}?fields=-items.spec")
    assert "spec" not in answer.json["items"][0]
    assert (await call(w, "GET", f"{APPS}?selector=%28")).status == 400


async def test_update_replaces_and_moving_needs_the_right_to() -> None:
    w = world("p, bob, applications, *, default/*, allow")
    w.projects["other"] = parse_appproject(
        {
            "metadata": {"name": "other"},
            "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]},
        }
    )
    w.writer.put(
        application(metadata={"namespace": "argocd", "labels": {"a": "1"}}, status={"health": {"status": "Healthy"}})
    )
    answer = await call(w, "PUT", f"{APPS}/web", application(metadata={"labels": {"b": "2"}}), user="bob")
    assert answer.json["metadata"]["labels"] == {"b": "2"}
    assert answer.json["status"] == {"health": {"status": "Healthy"}}
    moved = application(spec={"project": "other"})
    assert (await call(w, "PUT", f"{APPS}/web", moved, user="bob")).status == 403
    assert (await call(w, "PUT", f"{APPS}/web", moved)).json["spec"]["project"] == "other"
    spec = application()["spec"]
    assert (await call(w, "PUT", f"{APPS}/web/spec", spec)).json == spec
    patch = {"patchType": "merge", "patch": '{"spec":{"source":{"path":"p2"}},"status":{"health":{"status":"Lost"}}}'}
    patched = await call(w, "PATCH", f"{APPS}/web", patch)
    assert patched.json["spec"]["source"]["path"] == "p2"
    assert patched.json["status"]["health"]["status"] == "Healthy"


@pytest.mark.parametrize(
    ("query", "before", "after"),
    [
        ("", [], ["resources-finalizer.argocd.argoproj.io"]),
        ("", ["x"], ["x", "resources-finalizer.argocd.argoproj.io"]),
        ("?propagationPolicy=background", [], ["resources-finalizer.argocd.argoproj.io/background"]),
        ("?cascade=false", ["resources-finalizer.argocd.argoproj.io"], None),
        ("?cascade=false", ["x", "resources-finalizer.argocd.argoproj.io"], ["x"]),
    ],
)
async def test_delete_cascades_by_finalizer(query: str, before: list[str], after: list[str] | None) -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd", "finalizers": before}))
    assert (await call(w, "DELETE", f"{APPS}/web{query}")).body == b"{}"
    obj = w.writer.objects.get(("argocd", "web"))
    assert (obj["metadata"]["finalizers"] if obj else None) == after


async def test_delete_refuses_a_policy_without_cascade() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    answer = await call(w, "DELETE", f"{APPS}/web?cascade=false&propagationPolicy=foreground")
    assert (answer.status, answer.json["code"]) == (400, 9)
    assert (await call(w, "DELETE", f"{APPS}/web?cascade=perhaps")).status == 400


async def test_sync_sets_the_operation_and_clears_what_the_last_left() -> None:
    w = world()
    w.writer.put(
        application(
            metadata={"namespace": "argocd"},
            spec={"syncPolicy": {"syncOptions": ["CreateNamespace=true"], "retry": {"limit": 2}}},
            status={"operationState": {"phase": "Failed"}},
        )
    )
    answer = await call(
        w,
        "POST",
        f"{APPS}/web/sync",
        {
            "revision": "v1",
            "prune": True,
            "strategy": {"hook": {"force": True}},
            "resources": [{"kind": "Pod", "name": "p"}],
            "infos": [{"name": "a", "value": "b"}],
        },
    )
    assert answer.status == 200
    stored = w.writer.objects[("argocd", "web")]
    assert stored["operation"] == {
        "sync": {
            "revision": "v1",
            "prune": True,
            "syncStrategy": {"hook": {"force": True}},
            "resources": [{"kind": "Pod", "name": "p"}],
            "syncOptions": ["CreateNamespace=true"],
        },
        "initiatedBy": {"username": "admin"},
        "info": [{"name": "a", "value": "b"}],
        "retry": {"limit": 2},
    }
    assert "operationState" not in stored["status"]
    busy = await call(w, "POST", f"{APPS}/web/sync", {})
    assert (busy.status, busy.json["code"], busy.json["message"]) == (
        400,
        9,
        "another operation is already in progress",
    )


async def test_a_sync_that_meets_another_write_looks_again() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    w.writer.before_patch = [{"status": {"health": {"status": "Healthy"}}}]
    assert (await call(w, "POST", f"{APPS}/web/sync", {})).status == 200
    stored = w.writer.objects[("argocd", "web")]
    assert stored["operation"]["initiatedBy"] == {"username": "admin"}
    assert stored["status"]["health"]["status"] == "Healthy"
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    w.writer.before_patch = [{"operation": {"sync": {}}}]
    assert (await call(w, "POST", f"{APPS}/web/sync", {})).json["message"] == "another operation is already in progress"


async def test_sync_refusals() -> None:
    w = world("p, bob, applications, get, */*, allow", replace_allowed=False, rollback_holds=False)
    entry = {"id": 1, "revision": "abc", "source": {"repoURL": "https://example.com/config.git"}}
    app = application(metadata={"namespace": "argocd"}, spec={"syncPolicy": {"automated": {}}})
    w.writer.put({**app, "status": {"history": [entry]}})
    answer = await call(w, "POST", f"{APPS}/web/sync", {"revision": "v2"})
    assert answer.json["message"] == "Cannot sync to v2: auto-sync currently set to HEAD"
    answer = await call(w, "POST", f"{APPS}/web/sync", {"syncOptions": {"items": ["Replace=true"]}})
    assert answer.json["message"].startswith("sync with replace was disabled")
    answer = await call(w, "POST", f"{APPS}/web/sync", {}, user="bob")
    assert answer.status == 403
    assert answer.json["message"] == "permission denied: applications, sync, default/web, sub: bob"
    answer = await call(w, "POST", f"{APPS}/web/rollback", {"id": 1})
    assert answer.json["message"] == "rollback cannot be initiated when auto-sync is enabled"


async def test_rollback_and_terminate() -> None:
    w = world()
    source = {"repoURL": "https://example.com/config.git", "path": "old"}
    w.writer.put(
        application(
            metadata={"namespace": "argocd"}, status={"history": [{"id": 3, "revision": "abc", "source": source}]}
        )
    )
    assert (await call(w, "POST", f"{APPS}/web/rollback", {"id": 9})).status == 400
    assert (await call(w, "DELETE", f"{APPS}/web/operation")).status == 400
    assert (await call(w, "POST", f"{APPS}/web/rollback", {"id": 3})).status == 200
    sync = w.writer.objects[("argocd", "web")]["operation"]["sync"]
    assert sync == {"revision": "abc", "source": source, "syncStrategy": {"apply": {}}}
    stored = w.writer.objects[("argocd", "web")]
    w.writer.put({**stored, "status": {"operationState": {"phase": "Running"}}})
    assert (await call(w, "DELETE", f"{APPS}/web/operation")).body == b"{}"
    assert w.writer.objects[("argocd", "web")]["status"]["operationState"]["phase"] == "Terminating"


async def test_refresh_waits_for_the_engine_and_trees_come_from_it() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    assert (await call(w, "GET", f"{APPS}/web?refresh=hard")).status == 200
    assert w.refreshed == [("argocd", "web", "hard")]
    assert (await call(w, "GET", f"{APPS}/web/resource-tree")).json["nodes"][0]["kind"] == "Pod"
    assert (await call(w, "GET", f"{APPS}/web/managed-resources?kind=Secret")).json == {
        "items": [{"kind": "Secret", "name": "b"}]
    }


async def test_get_shows_the_health_of_each_resource_from_the_tree() -> None:
    w = world()
    resources = [
        {
            "group": "apps",
            "version": "v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "web",
            "status": "Synced",
        },
        {"version": "v1", "kind": "ConfigMap", "namespace": "shop", "name": "settings", "status": "Synced"},
    ]
    w.writer.put(application(metadata={"namespace": "argocd"}, status={"resources": resources}))

    shown = (await call(w, "GET", f"{APPS}/web")).json["status"]["resources"]

    assert shown == [{**resources[0], "health": {"status": "Degraded", "message": "no image"}}, resources[1]]


async def test_password_change() -> None:
    w = world()
    path = "/api/v1/account/password"
    for body, message in (
        ({"currentPassword": "wrong", "newPassword": "long enough"}, "current password does not match"),
        (
            {"currentPassword": PASSWORD, "newPassword": "short"},
            "New password does not match the following expression: ^.{8,32}$.",
        ),
    ):
        assert (await call(w, "PUT", path, body)).json["message"] == message
    old = w.token()
    w.clock.elapsed = 5
    assert (await call(w, "PUT", path, {"currentPassword": PASSWORD, "newPassword": "long enough"})).body == b"{}"
    answer = await call(w, "GET", APPS, user=None, headers={"authorization": f"Bearer {old}"})
    assert answer.json["message"] == "invalid session: account password has changed since token issued"
    login = await call(w, "POST", "/api/v1/session", {"username": "admin", "password": "long enough"}, user=None)
    assert login.status == 200
    assert (await call(w, "PUT", path, {"name": "admin", "newPassword": "x" * 9}, user="bob")).status == 403


async def test_can_i() -> None:
    w = world("p, bob, applications, sync, default/*, allow")

    async def may(tail: str, user: str = "bob") -> str:
        return str((await call(w, "GET", f"/api/v1/account/can-i/{tail}", user=user)).json.get("value"))

    assert await may("applications/sync/default/web") == "yes"
    assert await may("applications/rollback/default/web") == "yes"
    assert await may("applications/delete/default/web") == "no"
    assert await may("clusters/get/https%3A%2F%2Fx", "admin") == "yes"
    assert (await call(w, "GET", "/api/v1/account/can-i/planets/get/x")).json["code"] == 3


async def test_streams_replay_then_follow_and_say_nothing_twice() -> None:
    w = world("p, bob, applications, get, default/a*, allow")
    for name in ("a", "b"):
        w.writer.put(application(name, metadata={"namespace": "argocd"}))
    async with streaming(w, "/api/v1/stream/applications", user="bob") as stream:
        first = await stream.next()
        assert (first["result"]["type"], first["result"]["application"]["metadata"]["name"]) == ("ADDED", "a")
        w.writer.put(application("b", metadata={"namespace": "argocd", "labels": {"x": "y"}}))
        w.writer.put(application("a", metadata={"namespace": "argocd", "labels": {"x": "y"}}))
        changed = await stream.next()
        assert (changed["result"]["type"], changed["result"]["application"]["metadata"]["labels"]) == (
            "MODIFIED",
            {"x": "y"},
        )
        await w.writer.delete("argocd", "a")
        assert (await stream.next())["result"]["type"] == "DELETED"
    fields = "result.type,result.application.metadata.name"
    async with streaming(w, f"/api/v1/stream/applications?name=b&fields={fields}&resourceVersion=1") as stream:
        assert await stream.next() == {"result": {"type": "ADDED", "application": {"metadata": {"name": "b"}}}}
        w.writer.put(application("b", metadata={"namespace": "argocd", "labels": {"z": "y"}}))
        await w.writer.delete("argocd", "b")
        assert (await stream.next())["result"]["type"] == "DELETED"


async def test_a_stream_as_server_sent_events() -> None:
    w = world()
    w.writer.put(application(metadata={"namespace": "argocd"}))
    async with streaming(w, "/api/v1/stream/applications", headers={"accept": "text/event-stream"}) as stream:
        assert (await stream.next())["result"]["type"] == "ADDED"
        assert (b"content-type", b"text/event-stream") in stream.start["headers"]


async def test_a_stream_ends_with_its_session() -> None:
    w = world()
    async with streaming(w, "/api/v1/stream/applications") as stream:
        w.clock.elapsed = 86401
        w.writer.put(application(metadata={"namespace": "argocd"}))
        assert (await stream.next())["error"]["grpc_code"] == 16
        assert await stream.next() is None


async def test_a_follower_that_is_too_slow_is_cut_off_and_holds_nobody_up() -> None:
    cache = ApplicationCache()
    follower = cache.follow()
    for n in range(10_001):
        cache.event("MODIFIED", application(metadata={"namespace": "argocd", "resourceVersion": str(n + 1)}))
    with pytest.raises(TooSlowError):
        await asyncio.wait_for(follower.next(), 1)


def test_the_cache_keeps_the_newest_and_a_late_answer_does_not_bring_back_the_dead() -> None:
    cache = ApplicationCache()

    def version(n: int) -> dict[str, Any]:
        return application(metadata={"namespace": "argocd", "resourceVersion": str(n)})

    cache.replace([version(5)], "5")
    cache.event("MODIFIED", version(4))
    held = cache.get("argocd", "web")
    assert held is not None
    assert held.resource_version == "5"
    cache.event("DELETED", version(7))
    cache.event("MODIFIED", version(6))
    assert cache.get("argocd", "web") is None
    cache.event("ADDED", version(8))
    assert len(cache) == 1


def test_a_later_commit_that_changes_nothing_is_shown_until_it_is_written() -> None:
    cache = ApplicationCache()

    def version(n: int, revision: str, at: str) -> dict[str, Any]:
        status = {"sync": {"status": "Synced", "revision": revision}, "reconciledAt": at}
        return application(metadata={"namespace": "argocd", "resourceVersion": str(n)}, status=status)

    def shown() -> tuple[str, str]:
        app = cache.get("argocd", "web")
        assert app is not None
        assert app is next(iter(cache))
        return app.obj["status"]["sync"]["revision"], app.obj["status"]["reconciledAt"]

    cache.replace([version(1, "old", "2024-01-01T00:00:00Z")], "1")
    follower = cache.follow()
    cache.freshen("argocd", "web", Freshness("2024-01-01T00:01:00Z", "new"))
    assert shown() == ("new", "2024-01-01T00:01:00Z")
    cache.event("MODIFIED", version(2, "old", "2024-01-01T00:00:30Z"))
    assert shown() == ("new", "2024-01-01T00:01:00Z")
    cache.event("MODIFIED", version(3, "newest", "2024-01-01T00:02:00Z"))
    assert shown() == ("newest", "2024-01-01T00:02:00Z")
    assert follower.waiting == 2


async def test_a_list_asked_for_again_shows_what_has_changed_since() -> None:
    """What is kept of one answer is not what the next one says after a change, a deletion or a new commit."""
    w = world("p, bob, applications, get, default/web, allow")
    names = f"{APPS}?fields=items.metadata.name,items.metadata.labels,items.status.sync.revision"

    async def listed(user: str = "admin") -> list[Any]:
        return [
            (item["metadata"]["name"], item["metadata"].get("labels"), item.get("status", {}).get("sync"))
            for item in (await call(w, "GET", names, user=user)).json["items"]
        ]

    status = {"sync": {"revision": "old"}, "reconciledAt": "2024-01-01T00:00:00Z"}
    for name in ("other", "web"):
        w.writer.put(application(name, metadata={"namespace": "argocd"}, status=status))
    old = {"revision": "old"}
    assert await listed() == await listed() == [("other", None, old), ("web", None, old)]
    assert await listed("bob") == [("web", None, old)]
    w.writer.put(application("web", metadata={"namespace": "argocd", "labels": {"a": "b"}}, status=status))
    assert await listed() == [("other", None, old), ("web", {"a": "b"}, old)]
    moved = [False]
    w.cache.fresh_of = lambda _key: Freshness("2024-01-01T00:01:00Z", "new") if moved[0] else None
    w.cache.fresh_turns = lambda: int(moved[0])
    moved[0] = True
    assert [sync for _name, _labels, sync in await listed()] == [{"revision": "new"}] * 2
    w.cache.event("DELETED", application("other", metadata={"namespace": "argocd", "resourceVersion": "99"}))
    assert [name for name, _labels, _sync in await listed()] == ["web"]


@pytest.mark.parametrize(
    ("mask", "left"),
    [
        ("a.b", {"a": {"b": 1}}),
        ("a", {"a": {"b": 1, "c": 2}}),
        ("a,a.b", {"a": {"b": 1, "c": 2}}),
        ("a.b,a", {"a": {"b": 1, "c": 2}}),
        ("d.e", {"d": [{"e": 3}, {}]}),
        ("-a.b", {"a": {"c": 2}, "d": [{"e": 3}, {"f": 4}]}),
        ("-a,d.e", {"d": [{}, {"f": 4}]}),
        ("x", {}),
    ],
)
def test_field_masks(mask: str, left: dict[str, Any]) -> None:
    assert FieldMask(mask).apply({"a": {"b": 1, "c": 2}, "d": [{"e": 3}, {"f": 4}]}) == left


def test_an_encoded_slash_stays_inside_its_segment() -> None:
    router = Router(routes())
    _, params = router.find("GET", "/api/v1/projects/a%2Fb")
    assert params == {"name": "a/b"}
