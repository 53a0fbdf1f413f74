"""Every route against every kind of caller, taken from the route table: a new route is covered by being there."""

from __future__ import annotations

import base64
import copy
import json
import re
from typing import Any

import jwt
import pytest
from tests.unit.server.asgi import NOW, World, application, call, world

from tiphys.runtime.secret import Secret
from tiphys.server.app import routes
from tiphys.server.routing import Route

KEY = "k" * 64
TABLE = routes(metrics=True)
GUARDED = [route for route in TABLE if route.access is not None and route.access.session]
CHANGING = [route for route in TABLE if route.method not in ("GET", "HEAD") and "/session" not in route.path]
ONE_APPLICATION = [route for route in TABLE if route.path.startswith("/api/v1/applications/")]


def name_of(route: Route) -> str:
    return f"{route.method} {route.path}"


def path_of(route: Route, name: str = "web") -> str:
    path = route.path.replace("{name}", name).replace("{resource}", "applications").replace("{action}", "get")
    path = re.sub(r"\{\w+=\*\*\}", "default/web", path)
    return re.sub(r"\{\w+\}", "some", path)


def filled(policy: str = "") -> World:
    w = world(policy)
    w.writer.put(application(metadata={"namespace": "argocd"}))
    return w


def state(w: World) -> Any:
    return copy.deepcopy((w.writer.objects, w.secret, w.refreshed))


def unsigned(claims: dict[str, Any], header: dict[str, str]) -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims))
    return ".".join((*parts, ""))


ISSUED = int(NOW.timestamp())
CLAIMS = {"iss": "argocd", "sub": "admin:login", "iat": ISSUED, "nbf": ISSUED, "exp": ISSUED + 3600, "jti": "x"}
FORGED = {
    "no signature": unsigned(CLAIMS, {"alg": "none", "typ": "JWT"}),
    "no signature, spelled otherwise": unsigned(CLAIMS, {"alg": "nOnE"}),
    "HS256 without its signature": unsigned(CLAIMS, {"alg": "HS256"}),
    "another key": jwt.encode(CLAIMS, "o" * 64),
    "another algorithm": jwt.encode(CLAIMS, KEY, algorithm="HS512"),
    "expired": jwt.encode({**CLAIMS, "iat": 1, "nbf": 1, "exp": 2}, KEY),
    "not valid yet": jwt.encode({**CLAIMS, "nbf": ISSUED + 3600}, KEY),
    "issued in the future": jwt.encode({**CLAIMS, "iat": ISSUED + 3600}, KEY),
    "another issuer": jwt.encode({**CLAIMS, "iss": "https://evil.example"}, KEY),
    "no issuer": jwt.encode({k: v for k, v in CLAIMS.items() if k != "iss"}, KEY),
    "no subject": jwt.encode({k: v for k, v in CLAIMS.items() if k != "sub"}, KEY),
    "an account that is not there": jwt.encode({**CLAIMS, "sub": "root:login"}, KEY),
    "an API key that was never issued": jwt.encode({**CLAIMS, "sub": "admin:apiKey"}, KEY),
    "a project role that is not there": jwt.encode({**CLAIMS, "sub": "proj:default:deployer"}, KEY),
    "a key named by the token": jwt.encode(CLAIMS, "o" * 64, headers={"kid": "../../dev/null", "jku": "http://evil"}),
}


@pytest.mark.parametrize("forged", FORGED)
async def test_a_forged_token_opens_no_route(forged: str) -> None:
    w = filled("g, admin, role:admin")
    before = state(w)
    for headers in (
        {"authorization": f"Bearer {FORGED[forged]}"},
        {"token": FORGED[forged]},
        {"cookie": f"argocd.token={FORGED[forged]}"},
    ):
        for route in GUARDED:
            answer = await call(w, route.method, path_of(route), application(), user=None, headers=headers)
            assert answer.status == 401, name_of(route)
            assert FORGED[forged].encode() not in answer.body
    assert state(w) == before


@pytest.mark.parametrize("route", CHANGING, ids=name_of)
async def test_who_may_only_read_changes_nothing(route: Route) -> None:
    w = filled("p, bob, applications, get, */*, allow\np, bob, projects, get, *, allow")
    before = state(w)
    answer = await call(w, route.method, path_of(route), application(), user="bob")
    assert answer.status in (400, 401, 403), answer.body
    assert state(w) == before


@pytest.mark.parametrize("route", ONE_APPLICATION, ids=name_of)
async def test_who_has_no_rights_cannot_tell_what_exists(route: Route) -> None:
    w = filled()
    before = state(w)
    answers = {
        (answer.status, answer.body)
        for name in ("web", "missing")
        for query in ("", "?project=default", "?project=other", "?appNamespace=argocd")
        for answer in [await call(w, route.method, path_of(route, name) + query, application(), user="bob")]
    }
    assert {status for status, _ in answers} == {403}
    assert len(answers) == 1
    assert state(w) == before


@pytest.mark.parametrize("route", ONE_APPLICATION, ids=name_of)
async def test_rights_in_one_project_show_nothing_of_another(route: Route) -> None:
    w = filled("p, bob, applications, *, mine/*, allow")
    assert (await call(w, route.method, path_of(route) + "?project=mine", application(), user="bob")).status == 404
    assert (await call(w, route.method, path_of(route, "missing") + "?project=mine", {}, user="bob")).status == 404
    assert (await call(w, route.method, path_of(route) + "?project=default", {}, user="bob")).status == 403
    assert (await call(w, route.method, path_of(route), application(), user="bob")).status == 403


@pytest.mark.parametrize("route", [r for r in TABLE if r.method != "GET" and r.path != "/api/webhook"], ids=name_of)
@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
async def test_no_form_of_another_site_gets_through(route: Route, kind: str) -> None:
    w = filled("g, admin, role:admin")
    before = state(w)
    cookie = {"cookie": f"argocd.token={w.token()}", "content-type": kind}
    answer = await call(w, route.method, path_of(route), application(), user=None, headers=cookie)
    assert answer.status == 415
    assert state(w) == before


async def test_a_signing_key_that_is_empty_opens_nothing() -> None:
    w = filled("g, admin, role:admin")
    w.settings = type(w.settings)(accounts=w.settings.accounts, signing_key=Secret(""))
    for token in (FORGED["HS256 without its signature"], jwt.encode(CLAIMS, "o" * 64), jwt.encode(CLAIMS, KEY)):
        assert (await call(w, "GET", "/api/v1/applications", user=None, headers={"token": token})).status == 401
