"""Sync windows of a project: they block automation and people, and open on time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.e2e.test_lua_health import Api, api
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

__all__ = ["api"]

PROJECT = """\
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata:
  name: windowed
  namespace: argocd
spec:
  sourceRepos: ["*"]
  destinations:
    - server: "*"
      namespace: "*"
  clusterResourceWhitelist:
    - group: "*"
      kind: "*"
"""


@pytest.fixture
def windows(environment: Environment) -> Iterator[Any]:
    """Sets the windows of the project."""
    environment.apply(PROJECT)

    def put(*windows: dict[str, Any]) -> None:
        patch = json.dumps({"spec": {"syncWindows": list(windows)}})
        environment.kubectl("patch", "appproject", "windowed", "-n", "argocd", "--type=merge", "-p", patch)

    yield put
    put()


def deny(**more: Any) -> dict[str, Any]:
    """A window that is always open and forbids everything."""
    return {"kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"], **more}


def in_project(name: str, repo: GitRepository, namespace: str, **options: Any) -> str:
    """An Application of the project."""
    return application(name, repo.url, namespace=namespace, **options).replace("project: default", "project: windowed")


def until_blocked(environment: Environment, name: str) -> Any:
    """Until an operation stands there and waits for the window."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending:
        found["app"] = environment.application(name) or {}
        state = (found["app"].get("status") or {}).get("operationState") or {}
        words = (state.get("phase"), state.get("message"))
        return words == ("Running", "Sync operation blocked by sync window") or Pending(state)

    environment.until(look, within_s=30, what=f"{name} blocked")
    return found["app"]


def test_a_deny_window_holds_automation_back_until_it_goes(
    environment: Environment, repo: GitRepository, namespace: str, windows: Any
) -> None:
    windows(deny())
    repo.commit({"apps/my-app/config.yaml": config_map("settings", a="b")})
    environment.apply(in_project("win-auto", repo, namespace))
    app = environment.until_app("win-auto", sync="OutOfSync", health="Missing")
    assert "operation" not in app
    assert "operationState" not in app["status"]

    windows()
    environment.until_app("win-auto")


def test_a_manual_sync_is_refused_and_one_that_stands_there_waits(
    environment: Environment, repo: GitRepository, namespace: str, windows: Any, api: Api
) -> None:
    windows(deny())
    repo.commit({"apps/my-app/config.yaml": config_map("settings", a="b")})
    environment.apply(in_project("win-hand", repo, namespace, automated=False))
    environment.until_app("win-hand", sync="OutOfSync", health="Missing")

    code, answer = api("POST", "applications/win-hand/sync", {})
    assert (code, answer["message"]) == (403, "cannot sync: blocked by sync window")
    code, answer = api("GET", "applications/win-hand/syncwindows")
    assert answer["canSync"] is False
    assert [w["kind"] for w in answer["activeWindows"]] == ["deny"]

    asked = json.dumps({"operation": {"sync": {}}})
    environment.kubectl("patch", "application", "win-hand", "-n", "argocd", "--type=merge", "-p", asked)
    until_blocked(environment, "win-hand")
    windows(deny(manualSync=True))
    environment.until_app("win-hand")


def test_the_edge_of_a_window_wakes_the_application(
    environment: Environment, repo: GitRepository, namespace: str, windows: Any
) -> None:
    """A window that is open since some minutes and closes in a few seconds; nothing else happens then."""
    now = datetime.now(UTC)
    start = (now - timedelta(minutes=3)).replace(second=0, microsecond=0)
    ends = now.replace(microsecond=0) + timedelta(seconds=8)
    windows(deny(schedule=f"{start.minute} {start.hour} * * *", duration=f"{int((ends - start).total_seconds())}s"))
    repo.commit({"apps/my-app/config.yaml": config_map("settings", a="b")})
    environment.apply(in_project("win-edge", repo, namespace))
    environment.until_app("win-edge", sync="OutOfSync", health="Missing", within_s=7)
    app = environment.until_app("win-edge", within_s=15)
    began = datetime.fromisoformat(app["status"]["operationState"]["startedAt"])
    assert timedelta(0) <= began - ends <= timedelta(seconds=3)
