"""What runs when an Application is deleted, and what it takes before anything is."""

from __future__ import annotations

import time
from typing import Any

from tests.e2e.test_sync_options import approve
from tests.e2e.test_waves_and_hooks import annotated, files, job, live, made_at
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

CASCADE = "resources-finalizer.argocd.argoproj.io"
PRE = "pre-delete-finalizer.argocd.argoproj.io"
POST = "post-delete-finalizer.argocd.argoproj.io"


def finalizers(environment: Environment, name: str) -> set[str]:
    """Those of the Application."""
    return set((environment.application(name) or {"metadata": {}})["metadata"].get("finalizers", []))


def delete(environment: Environment, name: str) -> None:
    """Ask for the Application's deletion and come back at once."""
    environment.kubectl("delete", "application", name, "-n", "argocd", "--wait=false")


def until_gone(environment: Environment, name: str) -> None:
    """Until there is no such Application."""

    def look() -> bool | Pending:
        app = environment.application(name)
        return app is None or Pending({"finalizers": app["metadata"].get("finalizers"), **app.get("status", {})})

    environment.until(look, within_s=60, what=f"{name} to be gone")


def until_live(environment: Environment, namespace: str, kind: str, name: str) -> Any:
    """Until the object is there."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending:
        found["it"] = live(environment, namespace, kind, name)
        return found["it"] is not None or Pending("not there")

    environment.until(look, within_s=30, what=f"{kind}/{name}")
    return found["it"]


def condition(environment: Environment, name: str) -> str:
    """The DeletionError of the Application, empty when it has none."""
    conditions = (environment.application(name) or {}).get("status", {}).get("conditions", [])
    return next((c["message"] for c in conditions if c["type"] == "DeletionError"), "")


def test_hooks_run_before_and_after_the_resources_are_deleted(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """They are no part of a sync; the Application goes when all is through."""
    repo.commit(
        files(
            before=job("before", run_seconds="2", hook="PreDelete"),
            after=job("after", hook="PostDelete"),
            clean=job("clean", hook="PostDelete", hook_delete_policy="HookSucceeded"),
            config=config_map("settings", a="1"),
        )
    )
    environment.apply(application("bye", repo.url, namespace=namespace))
    app = environment.until_app("bye")
    assert finalizers(environment, "bye") == {CASCADE, PRE, f"{PRE}/cleanup", POST, f"{POST}/cleanup"}
    assert [r["name"] for r in app["status"]["resources"]] == ["settings"]
    assert live(environment, namespace, "job", "before") is None

    delete(environment, "bye")
    before = until_live(environment, namespace, "job", "before")
    assert "status" not in before or "completionTime" not in before["status"]
    assert live(environment, namespace, "configmap", "settings") is not None
    assert live(environment, namespace, "job", "after") is None
    after = until_live(environment, namespace, "job", "after")
    assert live(environment, namespace, "configmap", "settings") is None
    assert live(environment, namespace, "job", "before") is None, "it belonged to the Application"
    assert made_at(after) >= made_at(before)
    until_gone(environment, "bye")
    assert live(environment, namespace, "job", "clean") is None
    assert live(environment, namespace, "job", "after")["status"]["succeeded"] == 1

    # The object that is left does not stand for the next deletion.
    environment.apply(application("bye", repo.url, namespace=namespace))
    environment.until_app("bye")
    delete(environment, "bye")
    until_gone(environment, "bye")
    again = live(environment, namespace, "job", "after")
    assert again["metadata"]["uid"] != after["metadata"]["uid"]


def test_finalizers_of_hooks_go_with_the_hooks(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """A commit without hooks takes them off again; helm's hooks count too."""
    helm = job("before", hook="PreDelete").replace('argocd.argoproj.io/hook: "PreDelete"', "helm.sh/hook: pre-delete")
    repo.commit(files(before=helm, config=config_map("settings", a="1")))
    environment.apply(application("changes", repo.url, namespace=namespace))
    environment.until_app("changes")
    assert finalizers(environment, "changes") == {CASCADE, PRE, f"{PRE}/cleanup"}
    repo.commit(files(before=None))

    def off() -> bool | Pending:
        now = finalizers(environment, "changes")
        return now == {CASCADE} or Pending(now)

    environment.until(off, within_s=30, what="the finalizers to go")


def test_a_failed_predelete_hook_holds_the_deletion_up(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The Application says why; when its object is deleted the hook runs again."""
    repo.commit(files(before=job("before", exit_code=3, hook="PreDelete"), config=config_map("settings", a="1")))
    environment.apply(application("held", repo.url, namespace=namespace))
    environment.until_app("held")
    delete(environment, "held")

    def told() -> bool | Pending:
        text = condition(environment, "held")
        return text.startswith(f"PreDelete hook batch/Job/{namespace}/before failed: ") or Pending(text)

    environment.until(told, within_s=30, what="the DeletionError")
    assert live(environment, namespace, "configmap", "settings") is not None
    first = live(environment, namespace, "job", "before")["metadata"]["uid"]
    environment.kubectl("delete", "job", "before", "-n", namespace)

    def again() -> bool | Pending:
        found = live(environment, namespace, "job", "before")
        return (found is not None and found["metadata"]["uid"] != first) or Pending(found)

    environment.until(again, within_s=30, what="the hook to be made again")
    environment.kubectl(
        "patch", "application", "held", "-n", "argocd", "--type=merge", "-p", '{"metadata": {"finalizers": null}}'
    )
    until_gone(environment, "held")


def test_a_deletion_that_asks_for_approval_waits_for_it(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Delete=confirm on one resource holds up the whole cascade."""
    careful = annotated(config_map("careful", a="1"), sync_options="Delete=confirm")
    repo.commit(files(careful=careful, config=config_map("settings", a="1")))
    environment.apply(application("asks", repo.url, namespace=namespace))
    app = environment.until_app("asks")
    asks = {r["name"]: r.get("requiresDeletionConfirmation", False) for r in app["status"]["resources"]}
    assert asks == {"careful": True, "settings": False}
    approve(environment, "asks")
    time.sleep(1.1)  # approvals and deletions are told to the second
    delete(environment, "asks")
    time.sleep(1.1)
    assert environment.application("asks")["metadata"]["deletionTimestamp"]
    assert live(environment, namespace, "configmap", "settings") is not None
    approve(environment, "asks")
    until_gone(environment, "asks")
    assert live(environment, namespace, "configmap", "careful") is None


PROJECT = """\
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata:
  name: {name}
  namespace: argocd
spec:
  sourceRepos: ["*"]
  destinations:
    - server: "*"
      namespace: "*"
  clusterResourceWhitelist:
    - group: "*"
      kind: "*"
  namespaceResourceBlacklist: {denied}
"""


def test_what_the_project_does_not_permit_is_left_alone(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """A kind that was forbidden since is not deleted with the Application."""
    secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\nstringData:\n  a: b\n"
    repo.commit(files(secret=secret, config=config_map("settings", a="1")))
    environment.apply(PROJECT.format(name=namespace, denied="[]"))
    text = application("fenced", repo.url, namespace=namespace)
    environment.apply(text.replace("project: default", f"project: {namespace}"))
    environment.until_app("fenced")
    environment.apply(PROJECT.format(name=namespace, denied='[{group: "", kind: Secret}]'))

    def known() -> bool | Pending:
        rows = environment.application("fenced")["status"]["resources"]
        now = {r["name"]: r.get("status") for r in rows}
        return now.get("token") == "Unknown" or Pending(now)

    environment.until(known, within_s=30, what="the engine to know the project's new rule")
    delete(environment, "fenced")
    until_gone(environment, "fenced")
    assert live(environment, namespace, "configmap", "settings") is None
    assert live(environment, namespace, "secret", "token") is not None


def test_an_app_of_apps_does_not_fight_over_the_hooks_finalizers(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The parent stays Synced and starts no other sync; deleting it runs the child's hook."""
    child = application("hooked-child", repo.url, namespace=namespace, path="apps/child")
    hook = job("before", hook="PreDelete")
    repo.commit({**files(child=child), "apps/child/c.yaml": config_map("settings", a="1"), "apps/child/h.yaml": hook})
    environment.apply(application("parent", repo.url, namespace="argocd"))
    environment.until_app("hooked-child")
    assert PRE in finalizers(environment, "hooked-child")
    app = environment.until_app("parent")
    started = app["status"]["operationState"]["startedAt"]
    time.sleep(3)
    app = environment.until_app("parent")
    assert app["status"]["operationState"]["startedAt"] == started
    assert PRE in finalizers(environment, "hooked-child")
    delete(environment, "parent")
    until_gone(environment, "parent")
    assert environment.application("hooked-child") is None
    assert live(environment, namespace, "configmap", "settings") is None
