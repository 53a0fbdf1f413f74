"""Live objects, actions, Events, manifests and commits as the API answers them, and who may ask for what."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.server.asgi import MemoryResource, World, application, call, world

from tiphys.apimachinery.names import ResourceKey
from tiphys.engine.states import StageError

WEB = "/api/v1/applications/web"
KEY = ResourceKey("apps", "Deployment", "shop", "front")
ONE = "group=apps&kind=Deployment&version=v1&namespace=shop&resourceName=front"
V2 = {"group": "apps", "kind": "Deployment", "namespace": "shop", "resourceName": "front", "action": "restart"}


def filled(policy: str = "", **settings: Any) -> World:
    w = world(policy, **settings)
    source = {"repoURL": "https://example.com/config.git", "path": "web"}
    history = [{"id": 2, "revision": "abc", "source": {**source, "repoURL": "https://example.com/old.git"}}]
    w.writer.put(application(metadata={"namespace": "argocd", "uid": "uid-web"}, status={"history": history}))
    w.live.found[KEY] = MemoryResource(KEY, {"kind": "Deployment", "spec": {"replicas": 1}})
    return w


async def test_a_live_object_is_answered_as_text() -> None:
    answer = await call(filled(), "GET", f"{WEB}/resource?{ONE}")
    assert json.loads(answer.json["manifest"]) == {"kind": "Deployment", "spec": {"replicas": 1}}


async def test_an_object_of_somebody_else_is_not_found() -> None:
    answer = await call(filled(), "GET", f"{WEB}/resource?kind=Secret&namespace=argocd&resourceName=argocd-secret")
    assert (answer.status, answer.json["code"]) == (400, 3)
    assert answer.json["message"] == "Secret  argocd-secret not found as part of application web"


@pytest.mark.parametrize(
    ("policy", "status"),
    [
        ("p, bob, applications, update, */*, allow", 403),
        ("p, bob, applications, update/*, */*, allow", 200),
        ("p, bob, applications, update/apps/Deployment/shop/*, */*, allow", 200),
        ("p, bob, applications, update/apps/Deployment/other/*, */*, allow", 403),
        ("p, bob, applications, update/*, other/*, allow", 403),
    ],
)
async def test_the_right_to_an_application_does_not_cover_what_is_in_it(policy: str, status: int) -> None:
    w = filled(policy)
    answer = await call(w, "POST", f"{WEB}/resource?{ONE}", '{"spec":{"replicas":3}}', user="bob")
    assert answer.status == status
    assert w.live.found[KEY].obj["spec"]["replicas"] == (3 if status == 200 else 1)


async def test_the_right_to_an_application_covers_what_is_in_it_where_the_settings_say_so() -> None:
    w = filled("p, bob, applications, delete, */*, allow", fine_grained_rbac=False)
    assert (await call(w, "DELETE", f"{WEB}/resource?{ONE}", user="bob")).status == 200
    assert w.live.found[KEY].deleted == [("Foreground", None)]


@pytest.mark.parametrize(
    ("query", "how"),
    [("", ("Foreground", None)), ("&force=true", ("Background", 0)), ("&orphan=true", ("Orphan", None))],
)
async def test_how_an_object_is_deleted(query: str, how: tuple[str, int | None]) -> None:
    w = filled()
    assert (await call(w, "DELETE", f"{WEB}/resource?{ONE}{query}")).body == b"{}"
    assert w.live.found[KEY].deleted == [how]


@pytest.mark.parametrize(
    ("query", "body", "message"),
    [
        ("", {"spec": {}}, "the body is not a patch in a JSON string"),
        ("", "no json", "the patch is not JSON"),
        ("&patchType=application/xml", "{}", "unsupported patch type: application/xml"),
    ],
)
async def test_patches_that_are_none_are_refused(query: str, body: Any, message: str) -> None:
    answer = await call(filled(), "POST", f"{WEB}/resource?{ONE}{query}", body)
    assert (answer.status, answer.json["message"]) == (400, message)


async def test_actions_are_listed_and_run_in_both_forms() -> None:
    w = filled()
    assert (await call(w, "GET", f"{WEB}/resource/actions?{ONE}")).json == {"actions": [{"name": "restart"}]}
    assert (await call(w, "POST", f"{WEB}/resource/actions?{ONE}", "restart")).body == b"{}"
    params = [{"name": "replicas", "value": "3"}]
    assert (
        await call(w, "POST", f"{WEB}/resource/actions/v2", {**V2, "resourceActionParameters": params})
    ).status == 200
    assert w.live.found[KEY].ran == [("restart", {}), ("restart", {"replicas": "3"})]
    answer = await call(w, "POST", f"{WEB}/resource/actions/v2", {**V2, "action": "explode"})
    assert (answer.status, answer.json["message"]) == (400, "there is no action 'explode'")


@pytest.mark.parametrize(
    ("allowed", "status"),
    [
        ("action/apps/Deployment/restart", 200),
        ("action/apps/Deployment/*", 200),
        ("action/*", 200),
        ("action/apps/Deployment/scale", 403),
        ("action/apps/StatefulSet/restart", 403),
        ("update", 403),
        ("get", 403),
    ],
)
async def test_an_action_is_a_right_of_its_own(allowed: str, status: int) -> None:
    w = filled(f"p, bob, applications, {allowed}, */*, allow")
    assert (await call(w, "POST", f"{WEB}/resource/actions/v2", V2, user="bob")).status == status
    assert (await call(w, "POST", f"{WEB}/resource/actions?{ONE}", "restart", user="bob")).status == status
    assert len(w.live.found[KEY].ran) == (2 if status == 200 else 0)


async def test_events_are_of_the_application_or_of_what_belongs_to_it() -> None:
    w = filled()
    answer = await call(w, "GET", f"{WEB}/events")
    assert answer.json["items"] == [{"reason": "Seen", "about": ["argocd", "web"], "uid": "uid-web"}]
    answer = await call(w, "GET", f"{WEB}/events?resourceName=p&resourceNamespace=shop&resourceUID=u")
    assert answer.json["items"][0]["about"] == ["shop", "p"]
    answer = await call(w, "GET", f"{WEB}/events?resourceName=alien&resourceUID=u")
    assert answer.json["message"] == "alien not found as part of application web resources"
    assert (await call(w, "GET", f"{WEB}/events?resourceName=p")).status == 400


@pytest.mark.parametrize(
    ("query", "revision"),
    [("", "head"), ("?revision=v1", "v1"), ("?revisions=v2&sourcePositions=1", "v2")],
)
async def test_manifests_of_a_revision(query: str, revision: str) -> None:
    answer = await call(filled(), "GET", f"{WEB}/manifests{query}")
    assert answer.json == {"manifests": ["{}"], "revision": revision, "app": "argocd/web"}


async def test_what_git_cannot_give_is_said() -> None:
    w = filled()

    async def fail(app: tuple[str, str], revisions: Any) -> Any:
        raise StageError("source", "ComparisonError", "no such commit")

    w.manifests = fail  # type: ignore[method-assign]
    answer = await call(w, "GET", f"{WEB}/manifests")
    assert (answer.status, answer.json["message"]) == (400, "no such commit")
    assert (await call(w, "GET", f"{WEB}/manifests?revisions=a")).status == 400
    assert (await call(w, "GET", f"{WEB}/manifests?revisions=a&sourcePositions=2")).status == 400


async def test_a_commit_is_that_of_the_source_or_of_the_history_entry() -> None:
    w = filled()
    answer = await call(w, "GET", f"{WEB}/revisions/abc/metadata")
    assert answer.json == {
        "author": "a@https://example.com/config.git",
        "date": "2024-05-06T07:08:09Z",
        "tags": ["v1"],
        "message": "made abc",
    }
    answer = await call(w, "GET", f"{WEB}/revisions/abc/metadata?versionId=2")
    assert answer.json["author"] == "a@https://example.com/old.git"
    assert (await call(w, "GET", f"{WEB}/revisions/abc/metadata?versionId=9")).status == 400
    assert (await call(w, "GET", f"{WEB}/revisions/abc/metadata?sourceIndex=4")).status == 400
    answer = await call(w, "GET", f"{WEB}/revisions/abc/chartdetails")
    assert answer.json["message"] == "no chart found for application: web"
