"""Health check scripts of argocd-cm: in force at once, for resources, hooks and child Applications."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from tests.e2e.test_waves_and_hooks import files, job, results, until_ended
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

JOB = """\
hs = {}
if obj.status ~= nil then
  if obj.status.succeeded ~= nil and obj.status.succeeded > 0 then
    hs.status = "Healthy"
    hs.message = "Job completed successfully"
  elseif obj.status.failed ~= nil and obj.status.failed > 0 then
    hs.status = "Degraded"
    hs.message = "Job failed"
  else
    hs.status = "Progressing"
    hs.message = "Job is running"
  end
end
return hs
"""
# A parent's waves wait for its children when Applications have health; they have none of their own.
CHILDREN = """\
local answer = {status = "Progressing", message = ""}
local told = obj.status and obj.status.health
if told ~= nil then
  answer.status = told.status
  answer.message = told.message or ""
end
return answer
"""


@pytest.fixture
def settings(environment: Environment) -> Iterator[Any]:
    """Sets keys of argocd-cm; they are taken away afterwards."""
    keys: set[str] = set()

    def put(**values: str) -> None:
        data = {key.replace("__", "."): value for key, value in values.items()}
        keys.update(data)
        environment.kubectl.run(
            "patch", "cm", "argocd-cm", "-n", "argocd", "--type=merge", "-p", json.dumps({"data": data})
        )

    yield put
    gone = json.dumps({"data": dict.fromkeys(keys)})
    environment.kubectl.run("patch", "cm", "argocd-cm", "-n", "argocd", "--type=merge", "-p", gone)


class Api:
    """The REST API as admin."""

    def __init__(self, environment: Environment) -> None:
        self._address = (environment.root / "engine.address").read_text().strip()
        secret = environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
        password = base64.b64decode(secret["data"]["password"]).decode()
        self._token = ""
        self._token = self("POST", "session", {"username": "admin", "password": password})[1]["token"]

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status code and parsed body."""
        request = urllib.request.Request(
            f"{self._address}/api/v1/{path}",
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@pytest.fixture(scope="module")
def api(environment: Environment) -> Api:
    """The engine's API."""
    return Api(environment)


def test_the_guides_script_says_how_a_job_went(
    environment: Environment, repo: GitRepository, namespace: str, settings: Any, api: Api
) -> None:
    """Without a restart: the Job is there before the script is; a commit is not needed."""
    repo.commit(files(fine=job("fine"), config=config_map("settings", a="b")))
    environment.apply(application("lua-job", repo.url, namespace=namespace))
    environment.until_app("lua-job")

    settings(resource__customizations__health__batch_Job=JOB)
    assert until_health(environment, api, "lua-job", "fine", "Healthy") == "Job completed successfully"

    repo.commit(files(bad=job("bad", exit_code=1)))
    assert until_health(environment, api, "lua-job", "bad", "Degraded") == "Job failed"
    environment.until_app("lua-job", health="Degraded")

    settings(resource__customizations__health__batch_Job='return {status="Suspended", message="by the second script"}')
    assert until_health(environment, api, "lua-job", "bad", "Suspended") == "by the second script"
    environment.until_app("lua-job", health="Suspended")


def test_a_hook_is_waited_for_with_the_guides_script(
    environment: Environment, repo: GitRepository, namespace: str, settings: Any
) -> None:
    """A Job that has no status yet has not ended."""
    settings(resource__customizations__health__batch_Job=JOB)
    repo.commit(files(before=job("before", hook="PreSync", run_seconds="1"), config=config_map("settings", a="b")))
    environment.apply(application("lua-wait", repo.url, namespace=namespace))
    row = results(environment.until_app("lua-wait"))["before"]
    assert (row["hookPhase"], row["message"]) == ("Succeeded", "Job completed successfully")
    ended = environment.kubectl.json("get", "job", "before", "-n", namespace)["status"]["completionTime"]
    made = environment.kubectl.json("get", "configmap", "settings", "-n", namespace)["metadata"]["creationTimestamp"]
    assert made >= ended


def test_hooks_end_as_the_script_says(
    environment: Environment, repo: GitRepository, namespace: str, settings: Any
) -> None:
    """The script decides, not the Job: this one succeeds and is called Degraded."""
    settings(
        resource__customizations__health__batch_Job="""\
local done = obj.status and obj.status.succeeded
if not done then return {status="Progressing", message="not yet"} end
return {status="Degraded", message="too quick"}
"""
    )
    repo.commit(files(before=job("before", hook="PreSync"), config=config_map("settings", a="b")))
    environment.apply(application("lua-hook", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))
    app = until_ended(environment, "lua-hook", "Failed")
    row = results(app)["before"]
    assert (row["hookPhase"], row["message"]) == ("Failed", "too quick")
    assert environment.kubectl.json("get", "configmap", "settings", "-n", namespace) is None


def test_a_script_that_fails_is_told_and_stops_nobody(
    environment: Environment, repo: GitRepository, namespace: str, settings: Any, api: Api
) -> None:
    """An error and an endless loop: their kinds are Unknown with the reason, the rest is synced and compared."""
    settings(
        resource__customizations__health__ConfigMap="return obj.status.phase",
        resource__customizations__health__batch_Job="while true do end",
    )
    repo.commit(files(one=config_map("one", a="b"), job=job("endless"), secret=SECRET))
    environment.apply(application("lua-bad", repo.url, namespace=namespace))
    app = environment.until_app("lua-bad", health="Unknown")
    assert "attempt to index field 'status'" in until_health(environment, api, "lua-bad", "one", "Unknown")
    assert until_health(environment, api, "lua-bad", "endless", "Unknown") == "context deadline exceeded"
    (condition,) = app["status"]["conditions"]
    assert condition["type"] == "ComparisonError"
    assert condition["message"].startswith("error setting app health: ")
    assert environment.kubectl.json("get", "secret", "kept", "-n", namespace) is not None


def test_a_parent_has_the_health_of_its_children_with_the_script_for_it(
    environment: Environment, repo: GitRepository, namespace: str, settings: Any, api: Api
) -> None:
    """Applications have no health without one; a child's Degraded then is the parent's."""
    child = application("lua-child", repo.url, path="child", namespace=namespace)
    repo.commit({"apps/my-app/child.yaml": child, "child/job.yaml": job("bad", exit_code=1)})
    environment.apply(application("lua-parent", repo.url, namespace="argocd"))
    environment.until_app("lua-child", health="Degraded")
    environment.until_app("lua-parent", health="Healthy")

    settings(resource__customizations__health__argoproj__io_Application=CHILDREN)
    environment.until_app("lua-parent", health="Degraded")
    until_health(environment, api, "lua-parent", "lua-child", "Degraded")


SECRET = """\
apiVersion: v1
kind: Secret
metadata:
  name: kept
stringData:
  a: b
"""


def until_health(environment: Environment, api: Api, app: str, name: str, status: str) -> str:
    """Until a resource has this health in the Application's resource tree; its message."""
    found: dict[str, str] = {}

    def look() -> bool | Pending:
        _code, tree = api("GET", f"applications/{app}/resource-tree")
        found.clear()
        for node in tree.get("nodes") or ():
            if node["name"] == name:
                found.update(node.get("health") or {})
        return found.get("status") == status or Pending(dict(found))

    environment.until(look, within_s=30, what=f"{name} of {app} {status}")
    return found.get("message", "")
