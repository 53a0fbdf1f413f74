"""Input that is wrong is said on the Application, touches nothing that is deployed, and is over once it is mended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment, my_app, service

NOT_READY = deployment(image="nginx:does-not-exist").replace(
    "  replicas: 2\n", "  replicas: 2\n  progressDeadlineSeconds: 2\n"
)
WIDGET = "apiVersion: nowhere.example.com/v1\nkind: Widget\nmetadata:\n  name: w\nspec: {}\n"


def deployed(environment: Environment, namespace: str) -> dict[str, tuple[str, int, str]]:
    """What identifies the deployed objects and what they ask for."""
    found = environment.kubectl.json("get", "deployment,service", "-n", namespace)
    return {
        f"{item['kind']}/{item['metadata']['name']}": (
            item["metadata"]["uid"],
            item["metadata"].get("generation", 0),
            item["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"],
        )
        for item in found["items"]
    }


def until_condition(environment: Environment, name: str, kind: str, *texts: str) -> Any:
    """Until the Application has a condition of this type with all of these texts; the Application."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending:
        app = environment.application(name) or {}
        found["app"] = app
        conditions = (app.get("status") or {}).get("conditions") or []
        messages = [c["message"] for c in conditions if c["type"] == kind]
        return any(all(text in message for text in texts) for message in messages) or Pending(conditions)

    environment.until(look, within_s=30, what=f"{kind} on {name} with {texts}")
    return found["app"]


def until_operation(environment: Environment, name: str, *texts: str) -> Any:
    """Until the message of the operation holds all of these texts; the Application."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending:
        found["app"] = environment.application(name) or {}
        state = (found["app"].get("status") or {}).get("operationState") or {}
        return all(text in state.get("message", "") for text in texts) or Pending(state)

    environment.until(look, within_s=30, what=f"the operation of {name} with {texts}")
    return found["app"]


BROKEN_FILES: dict[str, dict[str, str | None]] = {
    "broken-yaml": {"apps/my-app/service.yaml": "apiVersion: v1\nkind: Service\n  metadata: {\n"},
    "tab-in-yaml": {"apps/my-app/service.yaml": "apiVersion: v1\nkind: Service\nmetadata:\n\tname: x\n"},
    "broken-json": {"apps/my-app/more.json": '{"apiVersion": "v1", '},
    "missing-path": {
        "apps/my-app/deployment.yaml": None,
        "apps/my-app/service.yaml": None,
        "elsewhere/service.yaml": service(),
    },
}
SAYS = {
    "broken-yaml": ("service.yaml",),
    "tab-in-yaml": ("service.yaml",),
    "broken-json": ("more.json",),
    "missing-path": ("apps/my-app", "app path does not exist"),
}


@pytest.mark.parametrize("what", sorted(BROKEN_FILES))
def test_what_cannot_be_read_leaves_what_is_deployed(
    environment: Environment, repo: GitRepository, namespace: str, what: str
) -> None:
    """ComparisonError, sync and health Unknown, the deployed objects as they were; a push mends it."""
    name = f"unreadable-{what}"
    repo.commit(my_app())
    environment.apply(application(name, repo.url, namespace=namespace))
    environment.until_app(name)
    before = deployed(environment, namespace)
    operation = environment.application(name)["status"]["operationState"]

    repo.commit(BROKEN_FILES[what])

    app = until_condition(environment, name, "ComparisonError", *SAYS[what])
    assert app["status"]["sync"]["status"] == "Unknown"
    assert app["status"]["health"]["status"] == "Unknown"
    assert app["status"]["operationState"] == operation
    assert deployed(environment, namespace) == before

    files = {file: None for file in BROKEN_FILES[what] if (repo.tree / file).exists()}
    mended = {**files, **my_app(), "apps/my-app/config.yaml": config_map("mended", level="info")}
    revision = repo.commit(mended)
    app = _until_revision(environment, name, revision)
    assert app["status"].get("conditions", []) == []
    assert environment.kubectl.json("get", "configmap", "mended", "-n", namespace) is not None
    after = deployed(environment, namespace)
    assert {k: v[0] for k, v in after.items()} == {k: v[0] for k, v in before.items()}


def _until_revision(environment: Environment, name: str, revision: str) -> Any:
    def look() -> bool | Pending:
        status = environment.application(name)["status"]
        return status["sync"].get("revision") == revision or Pending(status["sync"])

    environment.until(look, within_s=30, what=f"{name} at {revision}")
    return environment.until_app(name)


@pytest.mark.parametrize(
    ("what", "url", "says"),
    [
        ("no-such-folder", "file:///nonexistent/k8s-manifests.git", "/nonexistent/k8s-manifests.git"),
        ("refused", "http://127.0.0.1:1/k8s-manifests.git", "127.0.0.1"),
    ],
)
def test_an_unreachable_repository_is_a_comparison_error(
    environment: Environment, namespace: str, what: str, url: str, says: str
) -> None:
    """Nothing is known, so nothing is deployed, and the condition says which repository."""
    environment.apply(application(f"unreachable-{what}", url, namespace=namespace))

    app = until_condition(environment, f"unreachable-{what}", "ComparisonError", says)

    assert app["status"]["sync"]["status"] == "Unknown"
    assert "operationState" not in app["status"]
    assert environment.kubectl.json("get", "namespace", namespace) is None


def test_a_repository_that_goes_away_and_comes_back(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    """What is deployed stays; when the repository is back a push to it is deployed."""
    repo.commit(my_app())
    environment.apply(application("away", repo.url, namespace=namespace))
    environment.until_app("away")
    before = deployed(environment, namespace)

    repo.bare.rename(tmp_path / "moved.git")
    environment.kubectl("annotate", "app", "away", "-n", "argocd", "argocd.argoproj.io/refresh=hard")

    until_condition(environment, "away", "ComparisonError", str(repo.bare))
    assert deployed(environment, namespace) == before

    (tmp_path / "moved.git").rename(repo.bare)
    revision = repo.commit({"apps/my-app/config.yaml": config_map("back", level="info")})
    app = _until_revision(environment, "away", revision)
    assert app["status"].get("conditions", []) == []
    assert environment.kubectl.json("get", "configmap", "back", "-n", namespace) is not None


def test_an_unknown_kind_fails_the_operation_before_anything_is_applied(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The message names the kind; the changed Deployment beside it is not applied until the kind is gone from Git."""
    repo.commit(my_app())
    environment.apply(application("unknown-kind", repo.url, namespace=namespace))
    environment.until_app("unknown-kind")
    before = deployed(environment, namespace)

    repo.commit(
        {"apps/my-app/widget.yaml": WIDGET, "apps/my-app/deployment.yaml": deployment(image="nginx:1.28", replicas=1)}
    )

    app = until_operation(
        environment,
        "unknown-kind",
        "one or more synchronization tasks are not valid",
        'Make sure the "Widget" CRD is installed on the destination cluster.',
    )
    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert deployed(environment, namespace) == before

    revision = repo.commit({"apps/my-app/widget.yaml": None})
    _until_revision(environment, "unknown-kind", revision)
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.28"


def test_a_field_the_api_server_refuses_fails_the_operation_in_its_words(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The other objects stay as they were, because everything is tried without effect first."""
    repo.commit(my_app())
    environment.apply(application("refused", repo.url, namespace=namespace))
    environment.until_app("refused")
    before = deployed(environment, namespace)

    bad = service().replace("port: 80\n", "port: 99999\n")
    repo.commit({"apps/my-app/service.yaml": bad})

    until_operation(environment, "refused", "spec.ports[0].port")
    assert deployed(environment, namespace) == before

    revision = repo.commit({"apps/my-app/service.yaml": service()})
    _until_revision(environment, "refused", revision)


def test_a_missing_namespace_fails_the_operation_until_it_is_there(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Without CreateNamespace the API server's words are in the message; the retry succeeds once somebody made it."""
    repo.commit(my_app())
    environment.apply(application("no-namespace", repo.url, namespace=namespace, options="Validate=true"))

    app = until_operation(environment, "no-namespace", f'namespaces "{namespace}" not found', "Retrying attempt #1 at ")
    assert app["status"]["operationState"]["phase"] == "Running"
    assert "finishedAt" in app["status"]["operationState"]
    assert app["status"]["health"]["status"] == "Missing"

    environment.kubectl("create", "namespace", namespace)
    app = environment.until_app("no-namespace")
    assert app["status"]["operationState"]["retryCount"] >= 1


PROJECT = """\
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata:
  name: {name}
  namespace: argocd
spec:
  sourceRepos: ["{sources}"]
  destinations: [{{server: "*", namespace: "{namespaces}"}}]
  namespaceResourceBlacklist: {denied}
  clusterResourceWhitelist: [{{group: "", kind: Namespace}}]
"""


def project(name: str, *, sources: str = "*", namespaces: str = "*", denied: str = "[]") -> str:
    """An AppProject with these rules."""
    return PROJECT.format(name=name, sources=sources, namespaces=namespaces, denied=denied)


@pytest.mark.parametrize(
    ("what", "rules", "says"),
    [
        ("source", {"sources": "https://example.com/*"}, "is not permitted in project 'forbids-source'"),
        ("destination", {"namespaces": "team-*"}, "do not match any of the allowed destinations"),
    ],
)
def test_what_the_project_forbids_is_an_invalid_spec(
    environment: Environment, repo: GitRepository, namespace: str, what: str, rules: dict[str, str], says: str
) -> None:
    """Nothing is deployed; when the project allows it, it is, without anybody asking."""
    repo.commit(my_app())
    name = f"forbids-{what}"
    environment.apply(project(name, **rules))
    environment.apply(application(name, repo.url, namespace=namespace).replace("project: default", f"project: {name}"))

    app = until_condition(environment, name, "InvalidSpecError", says)
    assert app["status"]["sync"]["status"] == "Unknown"
    assert environment.kubectl.json("get", "namespace", namespace) is None

    environment.apply(project(name))
    app = environment.until_app(name)
    assert app["status"].get("conditions", []) == []


def test_a_project_that_does_not_exist_is_an_invalid_spec(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The condition names it."""
    repo.commit(my_app())
    environment.apply(
        application("no-project", repo.url, namespace=namespace).replace("project: default", "project: nobody")
    )

    until_condition(environment, "no-project", "InvalidSpecError", "nobody")

    assert environment.kubectl.json("get", "namespace", namespace) is None


def test_a_kind_the_project_forbids_is_neither_applied_nor_pruned(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The operation fails by its name and the rest of the commit is not applied; a deployed one stays when forbidden later."""
    repo.commit(my_app())
    environment.apply(project("forbids-kind", denied='[{group: "", kind: ConfigMap}]'))
    environment.apply(
        application("forbids-kind", repo.url, namespace=namespace).replace("project: default", "project: forbids-kind")
    )
    environment.until_app("forbids-kind")
    before = deployed(environment, namespace)

    repo.commit(
        {
            "apps/my-app/config.yaml": config_map("secretive", a="b"),
            "apps/my-app/deployment.yaml": deployment(replicas=1),
        }
    )

    def unknown() -> bool | Pending:
        rows = environment.application("forbids-kind")["status"]["resources"]
        words = {row["kind"]: row["status"] for row in rows}
        return words.get("ConfigMap") == "Unknown" or Pending(words)

    environment.until(unknown, within_s=30, what="the ConfigMap to be Unknown")
    assert environment.kubectl.json("get", "configmap", "secretive", "-n", namespace) is None
    assert deployed(environment, namespace) == before

    environment.kubectl(
        "patch", "app", "forbids-kind", "-n", "argocd", "--type=merge", "-p", '{"operation": {"sync": {"prune": true}}}'
    )
    until_operation(environment, "forbids-kind", "resource :ConfigMap is not permitted in project forbids-kind")
    assert deployed(environment, namespace) == before

    environment.apply(project("forbids-kind"))
    revision = repo.commit({"apps/my-app/deployment.yaml": deployment(image="nginx:1.28")})
    _until_revision(environment, "forbids-kind", revision)
    live = environment.kubectl.json("get", "configmap", "secretive", "-n", namespace)

    environment.apply(project("forbids-kind", denied='[{group: "", kind: ConfigMap}]'))
    revision = repo.commit({"apps/my-app/config.yaml": None})
    _until_revision(environment, "forbids-kind", revision)
    kept = environment.kubectl.json("get", "configmap", "secretive", "-n", namespace)
    assert kept["metadata"]["uid"] == live["metadata"]["uid"]


def test_an_image_that_cannot_be_pulled_makes_the_application_degraded(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Progressing, then Degraded when the Deployment's deadline has passed; the old Pods go on; a push mends it."""
    repo.commit(my_app())
    environment.apply(application("not-ready", repo.url, namespace=namespace))
    environment.until_app("not-ready")

    repo.commit({"apps/my-app/deployment.yaml": NOT_READY})

    app = environment.until_app("not-ready", health="Degraded")
    assert app["status"]["health"]["message"] == f"apps/Deployment:{namespace}/my-app"
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert found["status"]["availableReplicas"] >= 1
    uid = found["metadata"]["uid"]

    repo.revert()
    app = environment.until_app("not-ready")
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert (found["metadata"]["uid"], found["status"]["readyReplicas"]) == (uid, 2)


def test_an_unknown_cluster_is_an_invalid_spec_until_it_is_mended(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The condition names it; editing the Application is enough."""
    repo.commit(my_app())
    wrong = application("invalid", repo.url, namespace=namespace).replace(
        "server: https://kubernetes.default.svc", "name: nowhere"
    )
    environment.apply(wrong)

    until_condition(environment, "invalid", "InvalidSpecError", "nowhere")
    assert environment.kubectl.json("get", "namespace", namespace) is None

    environment.apply(
        application("invalid", repo.url, namespace=namespace).replace(
            "  destination:\n", "  destination:\n    name: null\n"
        )
    )
    environment.until_app("invalid")


def test_an_application_goes_on_when_somebody_defines_the_kind_it_lacks(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """No commit and no refresh is needed: the CRD's arrival is what it waits for."""
    gadget = "apiVersion: example.org/v1\nkind: Gadget\nmetadata:\n  name: one\nspec:\n  size: 1\n"
    repo.commit({"apps/my-app/gadget.yaml": gadget})
    environment.apply(application("lacking", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))

    def failed() -> bool | Pending:
        status = (environment.application("lacking") or {}).get("status") or {}
        phase = (status.get("operationState") or {}).get("phase")
        return phase == "Failed" or Pending(status)

    environment.until(failed, within_s=30, what="the operation to fail for the lack of its kind")

    environment.apply(
        """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gadgets.example.org
spec:
  group: example.org
  names: {kind: Gadget, plural: gadgets, singular: gadget, listKind: GadgetList}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          x-kubernetes-preserve-unknown-fields: true
"""
    )

    environment.until_app("lacking")
    assert environment.kubectl.json("get", "gadget", "one", "-n", namespace)["spec"]["size"] == 1
