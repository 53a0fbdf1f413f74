"""Sync options: how objects are written, pruned and waited for."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.test_waves_and_hooks import annotated, files, live, results, until_ended
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment

SERVER_SIDE = "CreateNamespace=true\n      - ServerSideApply=true"


def managers(obj: Any) -> set[tuple[str, str]]:
    """Who manages fields of the object, and how."""
    return {(e["manager"], e["operation"]) for e in obj["metadata"]["managedFields"] if not e.get("subresource")}


def read(environment: Environment, namespace: str, kind: str, name: str) -> Any:
    """The object with its managedFields, None when there is none."""
    return environment.kubectl.json("get", kind, name, "-n", namespace, "--show-managed-fields")


def sync(environment: Environment, name: str, **operation: Any) -> None:
    """Ask for a sync."""
    body = {"operation": {"sync": operation, "initiatedBy": {"username": "jo"}}}
    environment.kubectl("patch", "application", name, "-n", "argocd", "--type=merge", "-p", json.dumps(body))


def last_start(app: Any) -> str:
    """When the last operation of the Application began."""
    found: str = app["status"]["operationState"]["startedAt"]
    return found


def until_data(environment: Environment, namespace: str, name: str, data: dict[str, str] | None) -> None:
    """Until the ConfigMap holds just this; None: until it is gone."""

    def look() -> bool | Pending:
        found = live(environment, namespace, "configmap", name)
        now = found.get("data") if found is not None else None
        return now == data or Pending(now)

    environment.until(look, within_s=30, what=f"the ConfigMap {name} to be {data}")


def test_server_side_apply_owns_what_git_declares_and_nothing_else(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Fields of others stay and are no drift; what Git drops goes; what somebody changes comes back."""
    repo.commit(files(web=deployment("web", replicas=1), config=config_map("settings", a="1", b="2")))
    environment.apply(application("ssa", repo.url, namespace=namespace, options=SERVER_SIDE))
    app = environment.until_app("ssa")
    assert results(app)["web"]["message"] == "deployment.apps/web serverside-applied"
    settings = read(environment, namespace, "configmap", "settings")
    assert managers(settings) == {("argocd-controller", "Apply")}
    assert "kubectl.kubernetes.io/last-applied-configuration" not in settings["metadata"]["annotations"]

    # Somebody adds an entry of their own: no drift.
    patch = '{"data": {"theirs": "x"}}'
    environment.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)
    repo.commit(files(config=config_map("settings", a="7")))
    until_data(environment, namespace, "settings", {"a": "7", "theirs": "x"})
    environment.until_app("ssa")

    patch = '{"data": {"a": "wrong"}}'
    environment.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)
    until_data(environment, namespace, "settings", {"a": "7", "theirs": "x"})
    environment.until_app("ssa")


def test_a_resource_may_choose_its_own_way(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The annotation wins over the Application's option, in both directions."""
    repo.commit(
        files(
            one=annotated(config_map("one", a="1"), sync_options="ServerSideApply=false"),
            two=config_map("two", a="1"),
        )
    )
    environment.apply(application("choice", repo.url, namespace=namespace, options=SERVER_SIDE))
    environment.until_app("choice")
    assert managers(read(environment, namespace, "configmap", "one")) == {("argocd-controller", "Update")}
    assert managers(read(environment, namespace, "configmap", "two")) == {("argocd-controller", "Apply")}


def test_what_was_applied_client_side_moves_to_the_server_side(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """After the switch what Git drops is removed, whether kubectl or we applied it before."""
    repo.commit(files(ours=config_map("ours", a="1", b="2"), theirs=config_map("theirs", a="1", b="2")))
    environment.kubectl("create", "namespace", namespace)
    environment.kubectl("apply", "-n", namespace, "-f", "-", stdin=config_map("theirs", a="1", b="2", c="3"))
    environment.apply(application("migrate", repo.url, namespace=namespace).replace("- CreateNamespace=true", "- A=b"))
    app = environment.until_app("migrate")
    assert ("argocd-controller", "Update") in managers(read(environment, namespace, "configmap", "ours"))

    change = {"spec": {"syncPolicy": {"syncOptions": ["ServerSideApply=true"]}}}
    environment.kubectl("patch", "application", "migrate", "-n", "argocd", "--type=merge", "-p", json.dumps(change))
    repo.commit(files(ours=config_map("ours", a="9"), theirs=config_map("theirs", a="9")))
    until_ended(environment, "migrate", after=last_start(app))
    for name in ("ours", "theirs"):
        found = read(environment, namespace, "configmap", name)
        assert found["data"] == {"a": "9"}
        assert managers(found) == {("argocd-controller", "Apply")}
        assert "kubectl.kubernetes.io/last-applied-configuration" not in found["metadata"]["annotations"]
    environment.until_app("migrate")


def test_replace_puts_the_manifest_in_the_objects_place(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """What Git does not say goes; the object stays the same one, even against ServerSideApply."""
    repo.commit(files(config=config_map("settings", a="1")))
    options = SERVER_SIDE + "\n      - Replace=true"
    environment.apply(application("replace", repo.url, namespace=namespace, options=options))
    app = environment.until_app("replace")
    assert results(app)["settings"]["message"] == "configmap/settings created"
    before = read(environment, namespace, "configmap", "settings")
    assert managers(before) == {("argocd-controller", "Update")}
    patch = '{"data": {"theirs": "x"}}'
    environment.kubectl("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p", patch)

    repo.commit(files(config=config_map("settings", a="2")))
    until_data(environment, namespace, "settings", {"a": "2"})
    app = until_ended(environment, "replace", after=last_start(app))
    assert results(app)["settings"]["message"] == "configmap/settings replaced"
    after = read(environment, namespace, "configmap", "settings")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


def test_force_makes_an_object_anew_that_cannot_be_changed(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Without it the operation fails in the server's words and names the field."""
    manifest = "immutable: true\n" + config_map("settings", a="1")
    repo.commit(files(config=manifest))
    environment.apply(application("force", repo.url, namespace=namespace).replace("limit: 3", "limit: 0"))
    app = environment.until_app("force")
    uid = live(environment, namespace, "configmap", "settings")["metadata"]["uid"]

    repo.commit(files(config=manifest.replace('"1"', '"2"')))
    app = until_ended(environment, "force", "Failed", after=last_start(app))
    message = app["status"]["operationState"]["message"]
    assert message.startswith("one or more objects failed to apply, reason: ")
    assert "field is immutable when `immutable` is set" in message

    sync(environment, "force", syncStrategy={"hook": {"force": True}})
    until_data(environment, namespace, "settings", {"a": "2"})
    found = live(environment, namespace, "configmap", "settings")
    assert found["metadata"]["uid"] != uid
    environment.until_app("force")

    repo.commit(files(config=annotated(manifest.replace('"1"', '"3"'), sync_options="Force=true")))
    until_data(environment, namespace, "settings", {"a": "3"})


def test_the_role_of_a_binding_may_change(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The binding is made anew, because its roleRef cannot be changed."""

    def binding(role: str) -> str:
        return (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: readers\n"
            f"roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {role}\n"
            "subjects:\n  - kind: ServiceAccount\n    name: default\n    namespace: default\n"
        )

    repo.commit(files(binding=binding("view")))
    environment.apply(application("binding", repo.url, namespace=namespace))
    app = environment.until_app("binding")
    repo.commit(files(binding=binding("edit")))
    until_ended(environment, "binding", after=last_start(app))
    assert live(environment, namespace, "rolebinding", "readers")["roleRef"]["name"] == "edit"
    environment.until_app("binding")
