"""Unique strings in every secret place, then every route, log, event and file is searched for them.

The routes come from the server's own table, so that a new one is searched too.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

from tiphys.server.app import routes

DATA, STRING_DATA, ANNOTATION, BAD_DATA = (
    "canary-data-7Q",
    "canary/string+data 8R",
    "canary-applied-9S",
    "canary bad!base64 1T",
)
URL_PASSWORD, URL_TOKEN = "canary-url-password-2U", "canaryurltoken3V"
CANARIES = (DATA, STRING_DATA, ANNOTATION, BAD_DATA, URL_PASSWORD, URL_TOKEN)


def forms(secret: str) -> set[bytes]:
    """The ways a text may be written: plain, in JSON, in a URL, in base64 at each of the three offsets."""
    found = {secret, quote(secret, safe=""), quote(secret), json.dumps(secret)[1:-1]}
    for lead in ("", "x", "xy"):
        encoded = base64.b64encode((lead + secret).encode()).decode()
        inner = encoded[4 if lead else 0 : -4]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {text.encode() for text in found}


def leaks(data: bytes, secrets: tuple[str, ...]) -> list[str]:
    """Which of the secrets stand in `data`, in any form."""
    return [secret for secret in secrets if any(form in data for form in forms(secret))]


def without_repo_url(text: bytes) -> bytes:
    """The text without the spec's own repoURL, which a client must get back as it sent it, and its last-applied copy."""
    return re.sub(rb'\\?"repoURL\\?": ?\\?"[^"]*"', b"", text)


def secret(name: str, body: str, annotations: str = "") -> str:
    return f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\n{annotations}type: Opaque\n{body}"


GOOD = {
    "apps/my-app/data.yaml": secret("data", f"data:\n  key: {base64.b64encode(DATA.encode()).decode()}\n"),
    "apps/my-app/string.yaml": secret("string", f'stringData:\n  key: "{STRING_DATA}"\n'),
    "apps/my-app/annotated.yaml": secret(
        "annotated", "data: {}\n", f'  annotations:\n    example.com/token: "{ANNOTATION}"\n'
    ),
}
# What is not a Secret's data is for anybody to see who sees the Application, as in Argo CD; it stands in no log though.
SHOWN_BY_THE_API = (ANNOTATION,)


class Api:
    """The engine's API with a session of the administrator."""

    def __init__(self, environment: Environment) -> None:
        self.url = (environment.root / "engine.address").read_text().strip()
        found = environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
        self.password = base64.b64decode(found["data"]["password"]).decode()
        self.token = ""
        _, body = self.call("POST", "/api/v1/session", {"username": "admin", "password": self.password})
        self.token = json.loads(body)["token"]

    def call(self, method: str, path: str, body: Any = None, *, within_s: float = 10.0) -> tuple[int, bytes]:
        """Status and the body; of a stream what comes in the first moments."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl._create_unverified_context()
        try:
            with urllib.request.urlopen(request, timeout=within_s, context=context) as answer:
                if "/stream/" not in path:
                    return answer.status, answer.read()
                return answer.status, answer.readline()
        except urllib.error.HTTPError as error:
            return error.code, error.read()


def wait_for_condition(environment: Environment, name: str, *texts: str) -> str:
    """Until the Application's conditions or operation say something with one of these texts; the whole status."""
    found: dict[str, str] = {}

    def look() -> bool | Pending:
        status = (environment.application(name) or {}).get("status") or {}
        said = [c["message"] for c in status.get("conditions") or ()]
        operation = status.get("operationState") or {}
        said.append(operation.get("message", "") if operation.get("phase") in ("Failed", "Error", "Running") else "")
        said += [r.get("message", "") for r in (operation.get("syncResult") or {}).get("resources") or ()]
        found["status"] = json.dumps(status)
        return any(text in message for text in texts for message in said) or Pending(status)

    environment.until(look, within_s=40, what=f"{texts} said by {name}")
    return found["status"]


def test_no_secret_is_in_any_answer_log_event_or_file(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    api = Api(environment)
    secrets = (*CANARIES, api.password)
    repo.commit(GOOD)
    environment.apply(application("leaks", repo.url, namespace=namespace))
    environment.until_app("leaks")
    assert environment.kubectl.json("get", "secret", "data", "-n", namespace)["data"]["key"]

    # Drift, so that a difference is computed and shown.
    drifted = base64.b64encode(b"canary-live-4W").decode()
    environment.apply(application("leaks", repo.url, namespace=namespace, automated=False))
    patch = json.dumps({"data": {"key": drifted}})
    environment.kubectl("patch", "secret", "data", "-n", namespace, "--type=merge", "-p", patch)
    environment.until_app("leaks", sync="OutOfSync")

    # A Secret the API server refuses.
    bad = secret("bad", f'data:\n  key: "{BAD_DATA}"\n')
    broken = GitRepository(_folder(environment.root / "leaks-broken"))
    broken.commit({"apps/my-app/bad.yaml": bad})
    environment.apply(application("leaks-bad", broken.url, namespace=namespace))
    wait_for_condition(environment, "leaks-bad", "bad", "base64", "illegal")

    # Credentials in URLs.
    for name, url in (
        ("leaks-url", f"http://user:{URL_PASSWORD}@127.0.0.1:9/repo.git"),
        ("leaks-token", f"http://{URL_TOKEN}@127.0.0.1:9/repo.git"),
    ):
        environment.apply(application(name, url, namespace=namespace))
        wait_for_condition(environment, name, "127.0.0.1:9", "redential")

    problems: list[str] = []
    specs = {"leaks-url": (URL_PASSWORD,), "leaks-token": (URL_TOKEN,)}
    for name in ("leaks", "leaks-bad", *specs):
        status = json.dumps(environment.application(name)["status"]).encode()
        status = without_repo_url(status)
        problems += [f"status of {name}: {found}" for found in leaks(status, secrets)]

    seen = 0
    for route in sorted(routes(metrics=True), key=lambda route: route.method != "GET"):
        if route.path.endswith("/session") or route.path == "/auth/logout" or route.method == "DELETE":
            continue
        for name in ("leaks", "leaks-bad", "leaks-url", "leaks-token"):
            path = route.path.replace("{name}", name).replace("{resource}", "applications").replace("{action}", "get")
            path = re.sub(r"\{\w+=\*\*\}", "default/leaks", path)
            body = None if route.method == "GET" else {"currentPassword": "wrong", "patch": "[", "id": -1}
            code, answer = api.call(route.method, path, body)
            seen += code == 200
            answer = without_repo_url(answer)
            wanted = tuple(one for one in secrets if one not in SHOWN_BY_THE_API)
            problems += [f"{route.method} {path}: {found}" for found in leaks(answer, wanted)]
            problems += [f"{route.method} {path}: live value"] if leaks(answer, ("canary-live-4W",)) else []
    assert seen > 20

    events = environment.kubectl("get", "events", "-A", "-o", "json").encode()
    problems += [f"events: {found}" for found in leaks(events, secrets)]
    files = [environment.engine.log, *(p for p in (environment.root / "engine").rglob("*") if p.is_file())]
    for file in files:
        problems += [f"file {file.name}: {found}" for found in _leaks_of_file(file, secrets)]
    tokens = leaks(environment.engine.log.read_bytes(), (api.token,))
    assert tokens == []
    assert not problems, "\n".join(problems)
    for name in ("leaks", "leaks-bad", "leaks-url", "leaks-token"):
        environment.kubectl("delete", "application", name, "-n", "argocd", "--wait=false")


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _leaks_of_file(path: Path, secrets: tuple[str, ...]) -> list[str]:
    try:
        data = path.read_bytes()
    except OSError:
        return []
    if "mirrors" in path.parts:
        # A mirror holds what is committed; what is searched is git's own configuration and notes.
        return leaks(data, (URL_PASSWORD, URL_TOKEN))
    return leaks(data, secrets)


@pytest.mark.parametrize("canary", CANARIES)
def test_the_search_finds_what_it_looks_for(canary: str) -> None:
    for text in (canary, quote(canary, safe=""), base64.b64encode(f"user:{canary}".encode()).decode()):
        assert leaks(f'{{"a": "{text}"}}'.encode(), CANARIES) == [canary]
