"""The HTTP API as its clients use it: every operation of an Application's life against a running engine."""

from __future__ import annotations

import base64
import http.client
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import pytest
from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, my_app

V1 = "/api/v1"
SECRET = """\
apiVersion: v1
kind: Secret
metadata:
  name: my-secret
stringData:
  password: hunter2-{word}
"""
CRON_JOB = """\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: yearly
spec:
  schedule: "0 0 1 1 *"
  jobTemplate:
    spec:
      template:
        spec:
          restartPolicy: Never
          containers: [{name: c, image: busybox}]
"""


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Api:
    """Talks to the engine's API as one user; without a token as nobody."""

    address: str
    token: str = ""

    def _connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=60)

    def _headers(self) -> dict[str, str]:
        sent = {"Content-Type": "application/json"}
        return {**sent, "Authorization": f"Bearer {self.token}"} if self.token else sent

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Answer:
        """One request, whatever comes of it."""
        target = path + (f"?{urlencode(query, doseq=True)}" if query else "")
        connection = self._connect()
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, target, data, self._headers())
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **query: Any) -> Any:
        """JSON of a GET that must succeed."""
        return self.ok("GET", path, **query)

    def ok(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """JSON of a request that must succeed."""
        answer = self.ask(method, path, body, **query)
        assert answer.status == 200, f"{method} {path}: {answer.status} {answer.body[:2000]!r}"
        return answer.json

    def refused(self, status: int, method: str, path: str, body: Any = None, **query: Any) -> str:
        """Message of a request that must fail with this status."""
        answer = self.ask(method, path, body, **query)
        assert answer.status == status, f"{method} {path}: {answer.status} {answer.body[:2000]!r}"
        found = answer.json
        return str(found["message"] if "message" in found else found["error"]["message"])

    @contextmanager
    def stream(self, path: str, *, events: bool = False, **query: Any) -> Iterator[Iterator[Any]]:
        """Items of a stream as they come."""
        connection = self._connect()
        try:
            target = path + (f"?{urlencode(query)}" if query else "")
            headers = {**self._headers(), **({"Accept": "text/event-stream"} if events else {})}
            connection.request("GET", target, headers=headers)
            response = connection.getresponse()
            assert response.status == 200, response.read()
            yield (
                json.loads(line.removeprefix(b"data: "))
                for line in iter(response.readline, b"")
                if line.strip() and not line.startswith(b":")
            )
        finally:
            connection.close()


def login(address: str, name: str, password: str) -> Api:
    token = Api(address).ok("POST", f"{V1}/session", {"username": name, "password": password})["token"]
    return Api(address, token)


def initial_password(environment: Environment) -> str:
    secret = environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
    return base64.b64decode(secret["data"]["password"]).decode()


@pytest.fixture
def api(environment: Environment) -> Api:
    """Logged in as admin."""
    address = (environment.root / "engine.address").read_text().strip()
    return login(address, "admin", initial_password(environment))


def body(name: str, repo: GitRepository, namespace: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {
            "project": "default",
            "source": {"repoURL": repo.url, "targetRevision": "main", "path": "apps/my-app"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {"syncOptions": ["CreateNamespace=true"]},
            **spec,
        },
    }


def until_synced(environment: Environment, api: Api, name: str, revision: str) -> Any:
    """Until the Application's operation has deployed a revision and everything is healthy."""

    def look() -> bool | Pending:
        app = api.get(f"{V1}/applications/{name}")
        status = app.get("status") or {}
        state = status.get("operationState") or {}
        words = (state.get("phase"), (status.get("health") or {}).get("status"))
        deployed = (state.get("syncResult") or {}).get("revision")
        done = words == ("Succeeded", "Healthy") and deployed == revision and "operation" not in app
        return done or Pending(json.dumps({**state, "health": status.get("health"), "c": status.get("conditions")}))

    environment.until(look, within_s=60, what=f"{name} at {revision}")
    return api.get(f"{V1}/applications/{name}")


@pytest.fixture
def deployed(environment: Environment, api: Api, repo: GitRepository, namespace: str) -> Iterator[str]:
    """An Application without automation, made and synced through the API; its name."""
    revision = repo.commit({**my_app(), "apps/my-app/secret.yaml": SECRET.format(word="one")}, "first")
    name = f"api-{namespace}"
    api.ok("POST", f"{V1}/applications", body(name, repo, namespace))
    api.get(f"{V1}/applications/{name}", refresh="normal")
    api.ok("POST", f"{V1}/applications/{name}/sync", {})
    until_synced(environment, api, name, revision)
    yield name
    if api.ask("DELETE", f"{V1}/applications/{name}").status == 200:
        environment.until(
            lambda: environment.application(name) is None or Pending("still there"), what=f"{name} to be gone"
        )


def test_create_update_patch_and_delete(
    environment: Environment, api: Api, repo: GitRepository, namespace: str
) -> None:
    repo.commit(my_app())
    name = f"crud-{namespace}"
    path = f"{V1}/applications/{name}"
    wanted = body(name, repo, namespace)
    created = api.ok("POST", f"{V1}/applications", wanted)
    assert created["metadata"]["namespace"] == "argocd"
    assert api.ok("POST", f"{V1}/applications", wanted)["metadata"]["uid"] == created["metadata"]["uid"]
    other = body(name, repo, namespace, revisionHistoryLimit=3)
    message = api.refused(400, "POST", f"{V1}/applications", other)
    assert message == "existing application spec is different, use upsert flag to force update"
    assert api.ok("POST", f"{V1}/applications", other, upsert="true")["spec"]["revisionHistoryLimit"] == 3
    unknown = body(f"{name}-x", repo, namespace, project="nowhere")
    assert "project nowhere which does not exist" in api.refused(400, "POST", f"{V1}/applications", unknown)

    labelled = {**wanted, "metadata": {**wanted["metadata"], "labels": {"team": "a"}}}
    assert api.ok("PUT", path, labelled)["metadata"]["labels"] == {"team": "a"}
    spec = {**wanted["spec"], "info": [{"name": "who", "value": "me"}]}
    assert api.ok("PUT", f"{path}/spec", spec)["info"] == [{"name": "who", "value": "me"}]
    merge = {"name": name, "patch": '{"spec":{"revisionHistoryLimit":7}}', "patchType": "merge"}
    assert api.ok("PATCH", path, merge)["spec"]["revisionHistoryLimit"] == 7
    patch = '[{"op":"add","path":"/metadata/labels/tier","value":"b"}]'
    patched = api.ok("PATCH", path, {"name": name, "patch": patch, "patchType": "json"})
    assert patched["metadata"]["labels"] == {"team": "a", "tier": "b"}

    names = [app["metadata"]["name"] for app in api.get(f"{V1}/applications", selector="tier=b")["items"]]
    assert names == [name]
    page = api.get(f"{V1}/applications", search=name, limit=1, fields="items.metadata.name,metadata.resourceVersion")
    assert page["items"] == [{"metadata": {"name": name}}]
    assert int(page["metadata"]["resourceVersion"]) > 0

    assert api.ok("DELETE", path, cascade="false") == {}
    environment.until(lambda: environment.application(name) is None or Pending("there"), what="it to be gone")
    assert api.refused(403, "GET", path) == "permission denied"
    assert api.refused(404, "GET", path, project="default") == f'applications.argoproj.io "{name}" not found'


def test_sources_of_which_nothing_can_be_made_are_refused(
    environment: Environment, api: Api, repo: GitRepository, namespace: str
) -> None:
    repo.commit(my_app())
    name, away = f"typo-{namespace}", f"{repo.url}-gone"
    path = f"{V1}/applications/{name}"

    def asked(**source: Any) -> dict[str, Any]:
        found = body(name, repo, namespace)
        found["spec"]["source"].update(source)
        return found

    spoken = f"application spec for {name} is invalid: InvalidSpecError: "
    said = api.refused(400, "POST", f"{V1}/applications", asked(path="apps/my-ap"))
    assert said.startswith(f"{spoken}Unable to generate manifests in apps/my-ap: rpc error: code = Unknown desc = ")
    assert said.endswith("app path does not exist")
    assert api.refused(400, "POST", f"{V1}/applications", asked(repoURL=away)).startswith(
        f"{spoken}repository not accessible: "
    )
    assert environment.application(name) is None

    api.ok("POST", f"{V1}/applications?validate=false", asked(path="apps/my-ap"))
    api.ok("PUT", f"{path}/spec", {**asked(path="apps/my-ap")["spec"], "syncPolicy": {"automated": {}}})
    assert "Unable to generate" in api.refused(400, "PUT", f"{path}/spec", asked(path="apps/your-app")["spec"])
    api.ok("PUT", f"{path}/spec", asked()["spec"])
    api.ok("DELETE", path)


def test_what_is_deployed_can_be_seen(api: Api, deployed: str, namespace: str, repo: GitRepository) -> None:
    path = f"{V1}/applications/{deployed}"
    app = api.get(path)
    uid, revision = app["metadata"]["uid"], app["status"]["sync"]["revision"]

    tree = api.get(f"{path}/resource-tree")
    nodes = {(node["kind"], node.get("namespace", "")) for node in tree["nodes"]}
    assert {("Deployment", namespace), ("ReplicaSet", namespace), ("Pod", namespace)} <= nodes
    managed = {item["name"]: item for item in api.get(f"{path}/managed-resources", kind="Secret")["items"]}
    assert list(managed) == ["my-secret"]
    assert "hunter2" not in json.dumps(managed)
    assert base64.b64encode(b"hunter2-one").decode() not in json.dumps(managed)

    found = api.get(f"{path}/manifests")
    kinds = sorted(json.loads(text)["kind"] for text in found["manifests"])
    assert kinds == ["Deployment", "Secret", "Service"]
    assert (found["revision"], found["namespace"], found["sourceType"]) == (revision, namespace, "Directory")
    assert base64.b64encode(b"hunter2-one").decode() not in json.dumps(found)

    metadata = api.get(f"{path}/revisions/{revision}/metadata")
    assert metadata["author"] == "Jo Developer <jo@example.com>"
    assert metadata["message"] == "first"
    assert "no chart found" in api.refused(500, "GET", f"{path}/revisions/{revision}/chartdetails")
    assert api.ask("GET", f"{path}/server-side-diff").status == 501

    assert api.get(f"{path}/syncwindows") == {"canSync": True}
    assert api.get(f"{path}/links") == {"items": []}
    assert isinstance(api.get(f"{path}/events")["items"], list)
    pod = next(node for node in tree["nodes"] if node["kind"] == "Pod")
    seen = api.get(f"{path}/events", resourceName=pod["name"], resourceNamespace=namespace, resourceUID=pod["uid"])
    assert all(item["involvedObject"]["uid"] == pod["uid"] for item in seen["items"])
    alien = {"resourceName": "other", "resourceNamespace": "argocd", "resourceUID": uid}
    assert "not found as part of application" in api.refused(400, "GET", f"{path}/events", **alien)


def test_live_objects_are_read_changed_and_deleted(
    environment: Environment, api: Api, deployed: str, namespace: str
) -> None:
    path = f"{V1}/applications/{deployed}/resource"
    one = {"group": "apps", "kind": "Deployment", "version": "v1", "namespace": namespace, "resourceName": "my-app"}
    live = json.loads(api.get(path, **one)["manifest"])
    assert live["spec"]["replicas"] == 2
    secret = {"kind": "Secret", "version": "v1", "namespace": namespace, "resourceName": "my-secret"}
    shown = json.loads(api.get(path, **secret)["manifest"])
    assert set(shown["data"].values()) == {"++++++++"}

    changed = api.ok(
        "POST", path, json.dumps({"spec": {"replicas": 1}}), **one, patchType="application/merge-patch+json"
    )
    assert json.loads(changed["manifest"])["spec"]["replicas"] == 1
    other = {**one, "resourceName": "other"}
    message = api.refused(400, "GET", path, **other)
    assert message == f"Deployment apps other not found as part of application {deployed}"

    assert api.ok("DELETE", path, **secret, force="true") == {}
    gone = environment.kubectl.json("get", "secret", "my-secret", "-n", namespace)
    assert gone is None


def test_actions_change_the_live_object(environment: Environment, api: Api, deployed: str, namespace: str) -> None:
    path = f"{V1}/applications/{deployed}/resource/actions"
    one = {"group": "apps", "kind": "Deployment", "version": "v1", "namespace": namespace, "resourceName": "my-app"}
    actions = {action["name"]: action for action in api.get(path, **one)["actions"]}
    assert sorted(actions) == ["pause", "restart", "resume", "scale"]
    assert actions["resume"]["disabled"] is True

    assert api.ok("POST", path, "restart", **one) == {}
    live = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert "kubectl.kubernetes.io/restartedAt" in live["spec"]["template"]["metadata"]["annotations"]
    scale = {**one, "action": "scale", "resourceActionParameters": [{"name": "replicas", "value": "3"}]}
    assert api.ok("POST", f"{path}/v2", scale) == {}
    live = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert live["spec"]["replicas"] == 3
    assert "no action 'explode'" in api.refused(400, "POST", f"{path}/v2", {**one, "action": "explode"})


def test_a_job_is_made_from_a_cron_job_and_belongs_to_the_application(
    environment: Environment, api: Api, deployed: str, namespace: str, repo: GitRepository
) -> None:
    revision = repo.commit({"apps/my-app/cron.yaml": CRON_JOB})
    path = f"{V1}/applications/{deployed}"
    api.get(path, refresh="normal")
    api.ok("POST", f"{path}/sync", {})
    until_synced(environment, api, deployed, revision)
    one = {"group": "batch", "kind": "CronJob", "version": "v1", "namespace": namespace, "resourceName": "yearly"}
    assert api.ok("POST", f"{path}/resource/actions", "create-job", **one) == {}
    (job,) = environment.kubectl.json("get", "jobs", "-n", namespace)["items"]
    assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"

    def belongs() -> bool | Pending:
        nodes = api.get(f"{path}/resource-tree")["nodes"]
        found = next((node for node in nodes if node["name"] == job["metadata"]["name"]), None)
        return found["parentRefs"][0]["name"] == "yearly" if found is not None else Pending(nodes)

    environment.until(belongs, what="the Job in the tree")
    name = job["metadata"]["name"]
    live = api.get(f"{path}/resource", **{**one, "kind": "Job", "resourceName": name})
    assert json.loads(live["manifest"])["metadata"]["uid"] == job["metadata"]["uid"]


def test_repositories_are_read_without_their_credentials(
    api: Api, environment: Environment, deployed: str, repo: GitRepository
) -> None:
    found = {"type": "git", "url": repo.url, "username": "jo", "password": "hunter2"}
    label = {"argocd.argoproj.io/secret-type": "repository"}
    metadata = {"name": f"repo-{deployed}", "namespace": "argocd", "labels": label}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": found}
    environment.apply(json.dumps(secret))

    def listed() -> bool | Pending:
        items = api.get(f"{V1}/repositories", repo=repo.url)["items"]
        return bool(items) or Pending(items)

    environment.until(listed, what="the repository")
    answer = api.ask("GET", f"{V1}/repositories/{quote(quote(repo.url, safe=''), safe='')}")
    assert (answer.json["repo"], answer.json["username"]) == (repo.url, "jo")
    assert b"hunter2" not in answer.body
    environment.kubectl("delete", "secret", f"repo-{deployed}", "-n", "argocd")


def test_logs_come_as_lines_events_and_a_file(api: Api, deployed: str, namespace: str) -> None:
    path = f"{V1}/applications/{deployed}"
    tree = api.get(f"{path}/resource-tree")
    pod = next(node["name"] for node in tree["nodes"] if node["kind"] == "Pod")
    for events in (False, True):
        with api.stream(f"{path}/logs", events=events, kind="Deployment", group="apps", resourceName="my-app") as items:
            lines = [item["result"] for item in items]
        assert lines[-1] | {"timeStamp": "", "timeStampStr": ""} == {
            "content": "",
            "last": True,
            "podName": "",
            "timeStamp": "",
            "timeStampStr": "",
        }
        assert {line["podName"] for line in lines[:-1]} >= {pod}
    with api.stream(f"{path}/pods/{pod}/logs", namespace=namespace, container="my-app", tailLines=5) as items:
        assert {item["result"]["podName"] for item in items} == {pod, ""}
    query = {"namespace": namespace, "podName": pod, "container": "my-app", "download": "true"}
    answer = api.ask("GET", f"{path}/logs", **query)
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{namespace}-{pod}-my-app.log"'
    assert answer.body.endswith(b"\n")


def test_the_tree_is_streamed_as_it_changes(environment: Environment, api: Api, deployed: str, namespace: str) -> None:
    with api.stream(f"{V1}/stream/applications/{deployed}/resource-tree") as trees:
        first = next(trees)["result"]
        assert {node["kind"] for node in first["nodes"]} >= {"Deployment", "Pod"}
        environment.kubectl("delete", "service", "my-app", "-n", namespace)
        for tree in trees:
            service = next(node for node in tree["result"]["nodes"] if node["kind"] == "Service")
            if (service.get("health") or {}).get("status") == "Missing":
                break
    with api.stream(
        f"{V1}/stream/applications", name=deployed, fields="result.type,result.application.metadata.name"
    ) as found:
        assert next(found) == {"result": {"type": "ADDED", "application": {"metadata": {"name": deployed}}}}


def test_rollback_and_the_manifests_of_a_revision_that_git_has_lost(
    environment: Environment, api: Api, deployed: str, repo: GitRepository
) -> None:
    path = f"{V1}/applications/{deployed}"
    first = api.get(path)["status"]["sync"]["revision"]
    second = repo.commit({"apps/my-app/config.yaml": config_map("settings", colour="blue")}, "second")
    api.get(path, refresh="normal")
    api.ok("POST", f"{path}/sync", {"revision": second, "infos": [{"name": "why", "value": "test"}]})
    app = until_synced(environment, api, deployed, second)
    history = app["status"]["history"]
    assert [entry["revision"] for entry in history] == [first, second]

    assert "does not have deployment with id 99" in api.refused(400, "POST", f"{path}/rollback", {"id": 99})
    api.ok("POST", f"{path}/rollback", {"id": history[0]["id"], "prune": True})
    until_synced(environment, api, deployed, first)
    kinds = sorted(json.loads(m)["kind"] for m in api.get(f"{path}/manifests", revision=second)["manifests"])
    assert kinds == ["ConfigMap", "Deployment", "Secret", "Service"]

    shutil.rmtree(repo.bare)  # another history takes its place, and our mirror forgets the old one
    GitRepository._git(repo.bare.parent, "init", "-q", "--bare", "-b", "main", str(repo.bare))
    shutil.rmtree(repo.tree / ".git")
    GitRepository._git(repo.tree, "init", "-q", "-b", "main")
    GitRepository._git(repo.tree, "remote", "add", "origin", str(repo.bare))
    repo.commit({}, "a new beginning")
    mirrors = environment.root / "engine" / "mirrors"

    def removed() -> bool | Pending:
        shutil.rmtree(mirrors, ignore_errors=True)  # a fetch may be writing there
        return not mirrors.exists() or Pending(list(mirrors.rglob("*"))[:5])

    environment.until(removed, what="the mirrors are gone")
    found = api.get(f"{path}/manifests", revision=second)
    assert sorted(json.loads(m)["kind"] for m in found["manifests"]) == kinds
    assert found["revision"] == second
    assert "9" * 40 in api.refused(400, "GET", f"{path}/manifests", revision="9" * 40)


def test_an_operation_can_be_terminated(
    environment: Environment, api: Api, repo: GitRepository, namespace: str
) -> None:
    hook = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: wait
  annotations:
    argocd.argoproj.io/hook: PreSync
spec:
  suspend: true
  template:
    spec:
      restartPolicy: Never
      containers: [{name: c, image: busybox}]
"""
    repo.commit({**my_app(), "apps/my-app/hook.yaml": hook})
    name = f"stop-{namespace}"
    path = f"{V1}/applications/{name}"
    api.ok("POST", f"{V1}/applications", body(name, repo, namespace))
    assert "No operation is in progress" in api.refused(400, "DELETE", f"{path}/operation")
    api.ok("POST", f"{path}/sync", {"strategy": {"hook": {}}})
    assert api.refused(400, "POST", f"{path}/sync", {}) == "another operation is already in progress"

    def running() -> bool | Pending:
        state = (api.get(path).get("status") or {}).get("operationState") or {}
        return state.get("phase") == "Running" or Pending(state)

    environment.until(running, what="the operation to run")
    assert api.ok("DELETE", f"{path}/operation") == {}

    def ended() -> bool | Pending:
        state = api.get(path)["status"]["operationState"]
        return state["phase"] == "Failed" or Pending(state)

    environment.until(ended, what="the operation to end")
    api.ok("DELETE", path)


def test_projects_and_their_tokens(environment: Environment, api: Api, repo: GitRepository, namespace: str) -> None:
    name = f"team-{namespace}"
    path = f"{V1}/projects/{name}"
    policies = [f"p, proj:{name}:ci, applications, get, {name}/*, allow"]
    spec = {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": "*"}],
        "roles": [{"name": "ci", "policies": policies}],
    }
    wanted = {"project": {"metadata": {"name": name}, "spec": spec}}
    api.ok("POST", f"{V1}/projects", wanted)
    assert api.ok("POST", f"{V1}/projects", wanted)["metadata"]["name"] == name
    other = {"project": {"metadata": {"name": name}, "spec": {**spec, "description": "ours"}}}
    message = api.refused(400, "POST", f"{V1}/projects", other)
    assert message.startswith("existing project spec is different; use upsert flag to force update; difference in keys")
    current = api.get(path)
    updated = api.ok("PUT", path, {"project": {**current, "spec": {**spec, "description": "ours"}}})
    assert updated["spec"]["description"] == "ours"
    stale = api.ask("PUT", path, {"project": {**current, "spec": spec}})
    assert stale.status == 409
    assert api.get(f"{path}/detailed")["project"]["metadata"]["name"] == name
    for below in ("globalprojects", "links", "events"):
        assert api.get(f"{path}/{below}")["items"] == []
    assert api.get(f"{path}/syncwindows") == {"windows": []}

    token = api.ok("POST", f"{path}/roles/ci/token", {"expiresIn": 600, "id": "pipeline"})["token"]
    assert "has been used" in api.refused(400, "POST", f"{path}/roles/ci/token", {"id": "pipeline"})
    assert "does not have role 'x'" in api.refused(404, "POST", f"{path}/roles/x/token", {})
    repo.commit(my_app())
    app = f"in-{namespace}"
    api.ok("POST", f"{V1}/applications", body(app, repo, namespace, project=name))
    ci = Api(api.address, token)
    assert [found["metadata"]["name"] for found in ci.get(f"{V1}/applications")["items"]] == [app]
    assert ci.ask("POST", f"{V1}/applications/{app}/sync", {}).status == 403
    assert api.refused(400, "DELETE", path) == "project is referenced by 1 applications"
    listed = api.get(path)["spec"]["roles"][0]["jwtTokens"]
    assert [item["id"] for item in listed] == ["pipeline"]
    api.ok("DELETE", f"{path}/roles/ci/token/{listed[0]['iat']}", id="pipeline")
    assert ci.ask("GET", f"{V1}/applications").status == 401
    api.ok("DELETE", f"{V1}/applications/{app}", cascade="false")
    environment.until(lambda: environment.application(app) is None or Pending("there"), what="it to be gone")
    assert api.ok("DELETE", path) == {}
    assert api.ask("GET", path).status == 404
    assert "reserved" in api.refused(400, "DELETE", f"{V1}/projects/default")


def test_declaring_what_the_project_forbids_shows_nothing_of_it(
    environment: Environment, api: Api, repo: GitRepository, namespace: str
) -> None:
    """Who may write to the repository must not read or change live objects that the project keeps from it."""
    project, name = f"strict-{namespace}", f"curious-{namespace}"
    spec = {
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": namespace}],
        "namespaceResourceBlacklist": [{"group": "", "kind": "ConfigMap"}],
    }
    api.ok("POST", f"{V1}/projects", {"project": {"metadata": {"name": project}, "spec": spec}})
    environment.kubectl("create", "namespace", namespace)
    environment.kubectl("create", "configmap", "theirs", "-n", namespace, "--from-literal=key=confidential")
    repo.commit({**my_app(), "apps/my-app/theirs.yaml": config_map("theirs", key="mine")})
    path = f"{V1}/applications/{name}"
    api.ok("POST", f"{V1}/applications", body(name, repo, namespace, project=project))
    api.get(path, refresh="normal")
    items = {item["name"]: item for item in api.get(f"{path}/managed-resources")["items"]}
    assert items["theirs"]["liveState"] == "null"
    assert "confidential" not in json.dumps([items, api.get(f"{path}/resource-tree")])
    one = {"kind": "ConfigMap", "version": "v1", "namespace": namespace, "resourceName": "theirs"}
    assert "not found as part of application" in api.refused(400, "GET", f"{path}/resource", **one)
    assert "not found as part of application" in api.refused(400, "DELETE", f"{path}/resource", **one)
    assert environment.kubectl.json("get", "configmap", "theirs", "-n", namespace)["data"] == {"key": "confidential"}
    api.ok("DELETE", path, cascade="false")
    environment.until(lambda: environment.application(name) is None or Pending("there"), what="it to be gone")
    api.ok("DELETE", f"{V1}/projects/{project}")


def test_sessions_settings_and_questions(api: Api, environment: Environment) -> None:
    nobody = Api(api.address)
    assert nobody.get(f"{V1}/session/userinfo") == {}
    assert set(nobody.get("/api/version")) == {"Version"}
    assert "controllerNamespace" not in nobody.get(f"{V1}/settings")
    assert api.get(f"{V1}/settings")["controllerNamespace"] == "argocd"
    assert api.get(f"{V1}/session/userinfo")["username"] == "admin"
    assert nobody.refused(401, "GET", f"{V1}/applications") == "no session information"
    for question, answer in {
        "applications/sync/*": "yes",
        f"applications/sync/{quote('default/web')}": "yes",
        "clusters/create/*": "yes",
        "applications/rollback/default/web": "yes",
    }.items():
        assert api.get(f"{V1}/account/can-i/{question}") == {"value": answer}
    assert api.refused(400, "GET", f"{V1}/account/can-i/cakes/get/x").endswith("does not contain cakes")
    assert api.ok("DELETE", f"{V1}/session") == {}
    assert api.ask("GET", f"{V1}/applications").status == 401


def test_the_password_of_admin_is_changed_and_the_initial_secret_is_not_needed(
    api: Api, environment: Environment
) -> None:
    """As the guide does it: log in with the initial password, change it, delete the Secret."""
    old = initial_password(environment)
    time.sleep(1.1)  # times of tokens and passwords are whole seconds; a session from before is of an earlier one
    wrong = {"name": "admin", "currentPassword": "nope-nope", "newPassword": "another one"}
    assert api.refused(400, "PUT", f"{V1}/account/password", wrong) == "current password does not match"
    api.ok("PUT", f"{V1}/account/password", {"name": "admin", "currentPassword": old, "newPassword": "another one"})
    try:
        assert api.ask("GET", f"{V1}/applications").status == 401  # sessions from before have ended
        assert Api(api.address).ask("POST", f"{V1}/session", {"username": "admin", "password": old}).status == 401
        secret = environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
        environment.kubectl("delete", "secret", "argocd-initial-admin-secret", "-n", "argocd")
        changed = login(api.address, "admin", "another one")
        assert changed.get(f"{V1}/account/admin")["capabilities"] == ["login"]
        environment.apply(
            json.dumps({**secret, "metadata": {"name": secret["metadata"]["name"], "namespace": "argocd"}})
        )
    finally:
        changed = login(api.address, "admin", "another one")
        back = {"name": "admin", "currentPassword": "another one", "newPassword": old}
        changed.ok("PUT", f"{V1}/account/password", back)


def test_api_keys_of_accounts(api: Api, environment: Environment) -> None:
    environment.kubectl(
        "patch", "cm", "argocd-cm", "-n", "argocd", "--type=merge", "-p", '{"data":{"accounts.robot":"apiKey"}}'
    )

    def known() -> bool | Pending:
        return api.ask("GET", f"{V1}/account/robot").status == 200 or Pending("not yet")

    environment.until(known, what="the account")
    token = api.ok("POST", f"{V1}/account/robot/token", {"id": "ci"})["token"]
    robot = Api(api.address, token)
    assert robot.get(f"{V1}/session/userinfo")["username"] == "robot"
    assert [item["id"] for item in api.get(f"{V1}/account/robot")["tokens"]] == ["ci"]
    assert "already has token with id 'ci'" in api.refused(400, "POST", f"{V1}/account/robot/token", {"id": "ci"})
    assert api.ok("DELETE", f"{V1}/account/robot/token/ci") == {}
    assert robot.ask("GET", f"{V1}/applications").status == 401
    assert "does not have apiKey capability" in api.refused(400, "POST", f"{V1}/account/admin/token", {})
