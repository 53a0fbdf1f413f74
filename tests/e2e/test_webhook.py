"""A webhook makes a push go live at once, with polling off; a forged one does nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.githttp import serve_git
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

SECRET = "canary-webhook-secret"


@pytest.fixture
def polling_off(environment: Environment) -> Iterator[None]:
    """No repository is asked by itself."""
    patch(environment, "configmap", "argocd-cm", {"data": {"timeout.reconciliation": "0"}})
    patch(environment, "secret", "argocd-secret", {"stringData": {"webhook.github.secret": SECRET}})
    yield
    patch(environment, "configmap", "argocd-cm", {"data": {"timeout.reconciliation": None}})
    patch(environment, "secret", "argocd-secret", {"data": {"webhook.github.secret": None}})


def patch(environment: Environment, kind: str, name: str, change: Any) -> None:
    environment.kubectl("patch", kind, name, "-n", "argocd", "--type=merge", "-p", json.dumps(change))


def send(environment: Environment, payload: Any, secret: str, event: str = "push") -> tuple[int, str]:
    """What GitHub would send; status and text of the answer."""
    body = json.dumps(payload).encode()
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    headers = {"X-GitHub-Event": event, "X-Hub-Signature-256": signature, "Content-Type": "application/json"}
    address = (environment.root / "engine.address").read_text().strip()
    request = urllib.request.Request(f"{address}/api/webhook", data=body, headers=headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.usefixtures("polling_off")
def test_a_push_goes_live_by_its_webhook_and_by_nothing_else(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    name, requests = "hooked", list[str]()
    repo.commit({"apps/my-app/config.yaml": config_map("settings", level="one")})
    with serve_git(tmp_path, requests=requests) as port:
        url = f"http://127.0.0.1:{port}/{repo.bare.name}"
        environment.apply(application(name, url, namespace=namespace))
        environment.until_app(name)
        revision = repo.commit({"apps/my-app/config.yaml": config_map("settings", level="two")})

        def level() -> str:
            return str(environment.kubectl.json("get", "configmap", "settings", "-n", namespace)["data"]["level"])

        payload = {"ref": "refs/heads/main", "repository": {"html_url": url, "default_branch": "main"}}
        before = len(requests)
        assert send(environment, payload, "wrong") == (400, "Webhook processing failed: HMAC verification failed\n")
        elsewhere = {**payload, "ref": "refs/heads/other"}
        assert send(environment, elsewhere, SECRET) == (200, "")
        assert send(environment, {"zen": "x"}, SECRET, "ping") == (200, "")
        assert (level(), len(requests)) == ("one", before)

        assert send(environment, payload, SECRET) == (200, "")
        seconds = environment.until(lambda: level() == "two" or Pending(level()), what="the push to be live")
        print(f"live {seconds:.2f} s after the webhook")
        assert seconds < 3  # a fraction of a second where the machine does nothing else
        assert environment.until_app(name)["status"]["sync"]["revision"] == revision
    assert SECRET not in environment.engine.output()
    environment.kubectl("delete", "application", name, "-n", "argocd", "--wait=false")
