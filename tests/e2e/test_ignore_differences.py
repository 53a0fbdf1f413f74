"""Differences that do not count: jq expressions, fields of other managers, and applies that leave them alone."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.test_lua_health import settings
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment

__all__ = ["settings"]


def app(name: str, repo: GitRepository, namespace: str, rules: list[dict[str, Any]], *, respect: bool = False) -> str:
    """An automated Application with these rules."""
    text = application(name, repo.url, namespace=namespace, extra=f"  ignoreDifferences: {json.dumps(rules)}\n")
    option = "- CreateNamespace=true"
    return text.replace(option, f"{option}\n      - RespectIgnoreDifferences=true") if respect else text


def live(environment: Environment, namespace: str, kind: str, name: str) -> Any:
    """The object as it is."""
    return environment.kubectl.json("get", kind, name, "-n", namespace)


def patch(environment: Environment, namespace: str, kind: str, name: str, body: Any, *more: str) -> None:
    """A change by somebody else."""
    environment.kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", json.dumps(body), *more)


def until_data(environment: Environment, namespace: str, name: str, key: str, value: str | None) -> None:
    """Until a ConfigMap has this value."""

    def look() -> bool | Pending:
        found = ((live(environment, namespace, "configmap", name) or {}).get("data") or {}).get(key)
        return found == value or Pending(found)

    environment.until(look, within_s=30, what=f"{name}.{key} = {value}")


def test_what_a_jq_expression_names_does_not_count(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Self-heal reverts what counts and leaves the rest; the ignored container keeps its image."""
    chosen = '.spec.template.spec.containers[] | select(.image | startswith("nginx")) | .image'
    rules = [{"group": "apps", "kind": "Deploy*", "jqPathExpressions": [chosen, ".spec.nope[]"]}]
    repo.commit({"apps/my-app/web.yaml": deployment("web", replicas=1), "apps/my-app/c.yaml": config_map("c", a="b")})
    environment.apply(app("jq", repo, namespace, rules))
    environment.until_app("jq")

    name = live(environment, namespace, "deployment", "web")["spec"]["template"]["spec"]["containers"][0]["name"]
    container = {"spec": {"template": {"spec": {"containers": [{"name": name, "image": "nginx:9.9"}]}}}}
    environment.kubectl("patch", "deployment", "web", "-n", namespace, "-p", json.dumps(container))
    patch(environment, namespace, "configmap", "c", {"data": {"a": "changed"}})
    until_data(environment, namespace, "c", "a", "b")
    environment.until_app("jq")
    assert image(environment, namespace) == "nginx:9.9"

    environment.kubectl("scale", "deployment", "web", "-n", namespace, "--replicas=2")

    def scaled_back() -> bool | Pending:
        found = live(environment, namespace, "deployment", "web")["spec"]["replicas"]
        return found == 1 or Pending(found)

    environment.until(scaled_back, within_s=30, what="replicas 1")


def image(environment: Environment, namespace: str) -> str:
    """The image of the Deployment."""
    found: str = live(environment, namespace, "deployment", "web")["spec"]["template"]["spec"]["containers"][0]["image"]
    return found


def test_an_expression_that_cannot_be_read_is_a_comparison_error(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    repo.commit({"apps/my-app/c.yaml": config_map("c", a="b")})
    environment.apply(app("jq-bad", repo, namespace, [{"kind": "ConfigMap", "jqPathExpressions": [".data["]}]))
    found = environment.until_app("jq-bad", sync="Unknown", health="Unknown")
    (condition,) = found["status"]["conditions"]
    assert condition["type"] == "ComparisonError"
    assert condition["message"].startswith(
        "Failed to compare desired state to live state: failed to create diff normalizer: syntax error"
    )
    environment.apply(app("jq-bad", repo, namespace, [{"kind": "ConfigMap", "jqPathExpressions": [".data[]?"]}]))
    environment.until_app("jq-bad")


def test_fields_of_a_trusted_manager_do_not_count(
    environment: Environment, repo: GitRepository, namespace: str, settings: Any
) -> None:
    """Of the instance's settings this time; another manager's change is reverted."""
    settings(resource__customizations__ignoreDifferences__ConfigMap="managedFieldsManagers: [trusted]\n")
    repo.commit({"apps/my-app/c.yaml": config_map("c", a="b", other="x"), "apps/my-app/d.yaml": config_map("d", a="b")})
    environment.apply(app("managers", repo, namespace, []))
    environment.until_app("managers")
    patch(environment, namespace, "configmap", "c", {"data": {"a": "theirs"}}, "--field-manager=trusted")
    patch(environment, namespace, "configmap", "d", {"data": {"a": "theirs"}}, "--field-manager=somebody")
    until_data(environment, namespace, "d", "a", "b")
    environment.until_app("managers")
    assert live(environment, namespace, "configmap", "c")["data"] == {"a": "theirs", "other": "x"}


def test_an_apply_leaves_alone_what_does_not_count_when_told_so(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Without the option the same commit puts the value of Git back."""
    rules = [{"kind": "ConfigMap", "name": "c", "jsonPointers": ["/data/a"], "jqPathExpressions": [".data.j"]}]
    repo.commit({"apps/my-app/c.yaml": config_map("c", a="git", j="git", b="1")})
    environment.apply(app("respect", repo, namespace, rules, respect=True))
    environment.until_app("respect")
    patch(environment, namespace, "configmap", "c", {"data": {"a": "theirs", "j": "theirs"}})
    repo.commit({"apps/my-app/c.yaml": config_map("c", a="git", j="git", b="2")})
    until_data(environment, namespace, "c", "b", "2")
    environment.until_app("respect")
    assert live(environment, namespace, "configmap", "c")["data"] == {"a": "theirs", "j": "theirs", "b": "2"}

    environment.apply(app("respect", repo, namespace, rules))
    repo.commit({"apps/my-app/c.yaml": config_map("c", a="git", j="git", b="3")})
    until_data(environment, namespace, "c", "b", "3")
    assert live(environment, namespace, "configmap", "c")["data"] == {"a": "git", "j": "git", "b": "3"}
