"""Operations and refreshes that somebody asks for with kubectl, as scripts and other tools do."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.environment import Environment, application
from tests.support.expect import Failed, Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment, my_app

REFRESH = "argocd.argoproj.io/refresh"


def request(environment: Environment, name: str, **sync: Any) -> str:
    """Ask for a sync; when the operation before it started, for `until_ended`."""
    app = environment.application(name)
    before = ((app.get("status") or {}).get("operationState") or {}).get("startedAt", "")
    body = json.dumps({"operation": {"initiatedBy": {"username": "jo"}, "sync": sync}})
    environment.kubectl("patch", "app", name, "-n", "argocd", "--type=merge", "-p", body)
    return str(before)


def until_ended(environment: Environment, name: str, phase: str = "Succeeded", *, after: str = "") -> Any:
    """Until an operation that started after `after` has ended like this and is taken off; the Application."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending | Failed:
        found["app"] = environment.application(name) or {}
        state = (found["app"].get("status") or {}).get("operationState") or {}
        if state.get("startedAt", "") <= after or "operation" in found["app"]:
            return Pending(state)
        if state.get("phase") in ("Succeeded", "Failed", "Error") and state["phase"] != phase:
            return Failed(state)
        return state.get("phase") == phase or Pending(state)

    environment.until(look, within_s=60, what=f"the operation of {name} {phase}")
    return found["app"]


def compared(environment: Environment, name: str, sync: str) -> Any:
    """Until the Application was compared with this outcome."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending:
        found["app"] = environment.application(name) or {}
        status = found["app"].get("status") or {}
        return (status.get("sync") or {}).get("status") == sync or Pending(status)

    environment.until(look, within_s=30, what=f"{name} to be {sync}")
    return found["app"]


def results(app: Any) -> dict[str, Any]:
    """Results of the last operation by kind and name."""
    rows = app["status"]["operationState"]["syncResult"]["resources"]
    return {f"{row['kind']}/{row['name']}": row for row in rows}


def test_without_automation_nothing_happens_until_it_is_asked_for(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """OutOfSync and Missing; a patch of `.operation` deploys, is taken off, and stands in the history with its author."""
    revision = repo.commit(my_app())
    environment.apply(application("manual", repo.url, namespace=namespace, automated=False))
    app = compared(environment, "manual", "OutOfSync")
    assert app["status"]["health"]["status"] == "Missing"
    assert environment.kubectl.json("get", "namespace", namespace) is None

    request(environment, "manual", syncOptions=["CreateNamespace=true"])

    app = until_ended(environment, "manual")
    assert app["status"]["operationState"]["operation"]["sync"]["revision"] == revision
    assert app["status"]["history"][-1]["initiatedBy"] == {"username": "jo"}
    assert app["status"]["history"][-1]["revision"] == revision
    environment.until_app("manual")

    repo.commit({"apps/my-app/config.yaml": config_map("later", a="b")})
    compared(environment, "manual", "OutOfSync")
    assert environment.kubectl.json("get", "configmap", "later", "-n", namespace) is None


def test_pruning_must_be_asked_for(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """Without `prune` the object stays and the result says why; the operation succeeds."""
    repo.commit({**my_app(), "apps/my-app/config.yaml": config_map("old", a="b")})
    environment.apply(application("ask-prune", repo.url, namespace=namespace, automated=False))
    compared(environment, "ask-prune", "OutOfSync")
    request(environment, "ask-prune")
    until_ended(environment, "ask-prune")
    repo.commit({"apps/my-app/config.yaml": None})
    compared(environment, "ask-prune", "OutOfSync")

    before = request(environment, "ask-prune")
    app = until_ended(environment, "ask-prune", after=before)
    row = results(app)["ConfigMap/old"]
    assert (row["status"], row["message"]) == ("PruneSkipped", "ignored (requires pruning)")
    assert app["status"]["sync"]["status"] == "OutOfSync"
    assert environment.kubectl.json("get", "configmap", "old", "-n", namespace) is not None

    before = request(environment, "ask-prune", prune=True)
    app = until_ended(environment, "ask-prune", after=before)
    assert results(app)["ConfigMap/old"]["status"] == "Pruned"
    assert environment.kubectl.json("get", "configmap", "old", "-n", namespace) is None
    compared(environment, "ask-prune", "Synced")


def test_a_partial_sync_applies_what_was_named_without_hooks_or_history(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """One ConfigMap of two; the PreSync hook is not run."""
    hook = config_map("hook", a="b").replace(
        "metadata:\n", "metadata:\n  annotations: {argocd.argoproj.io/hook: PreSync}\n"
    )
    repo.commit(
        {
            "apps/my-app/one.yaml": config_map("one", a="b"),
            "apps/my-app/two.yaml": config_map("two", a="b"),
            "apps/my-app/hook.yaml": hook,
        }
    )
    environment.apply(application("partial", repo.url, namespace=namespace, automated=False))
    compared(environment, "partial", "OutOfSync")
    environment.kubectl("create", "namespace", namespace)

    request(environment, "partial", resources=[{"kind": "ConfigMap", "name": "one"}])

    app = until_ended(environment, "partial")
    assert set(results(app)) == {"ConfigMap/one"}
    assert {r["name"]: r["status"] for r in app["status"]["resources"]} == {"one": "Synced", "two": "OutOfSync"}
    assert app["status"].get("history", []) == []
    names = {o["metadata"]["name"] for o in environment.kubectl.json("get", "configmaps", "-n", namespace)["items"]}
    assert names & {"one", "two", "hook"} == {"one"}


def test_a_dry_run_changes_nothing(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """It says what it would do: create, change, prune; no history."""
    repo.commit({**my_app(), "apps/my-app/config.yaml": config_map("old", a="b")})
    environment.apply(application("dry", repo.url, namespace=namespace, automated=False))
    compared(environment, "dry", "OutOfSync")
    request(environment, "dry")
    first = until_ended(environment, "dry")
    environment.until_app("dry")
    repo.commit(
        {
            "apps/my-app/config.yaml": None,
            "apps/my-app/new.yaml": config_map("new", a="b"),
            "apps/my-app/deployment.yaml": deployment(image="nginx:1.28"),
        }
    )
    compared(environment, "dry", "OutOfSync")
    generation = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)["metadata"]["generation"]

    before = request(environment, "dry", dryRun=True, prune=True)

    app = until_ended(environment, "dry", after=before)
    rows = results(app)
    assert rows["ConfigMap/new"]["message"] == "configmap/new created (dry run)"
    assert rows["ConfigMap/old"]["message"] == "pruned (dry run)"
    assert rows["Deployment/my-app"]["message"] == "deployment.apps/my-app configured (dry run)"
    assert environment.kubectl.json("get", "configmap", "new", "-n", namespace) is None
    assert environment.kubectl.json("get", "configmap", "old", "-n", namespace) is not None
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert found["metadata"]["generation"] == generation
    assert app["status"]["history"] == first["status"]["history"]
    assert app["status"]["sync"]["status"] == "OutOfSync"


def test_an_earlier_revision_can_be_asked_for(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """It is what is deployed, in the history, and the Application is OutOfSync with its branch."""
    first = repo.commit(my_app())
    repo.commit({"apps/my-app/deployment.yaml": deployment(image="nginx:1.28")})
    environment.apply(application("earlier", repo.url, namespace=namespace, automated=False))
    compared(environment, "earlier", "OutOfSync")

    request(environment, "earlier", revision=first)

    app = until_ended(environment, "earlier")
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.27"
    assert app["status"]["history"][-1]["revision"] == first
    assert app["status"]["operationState"]["syncResult"]["revision"] == first
    assert app["status"]["sync"]["status"] == "OutOfSync"


def test_a_running_operation_can_be_terminated(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """Phase Terminating in operationState ends it: the running hook is deleted and nothing after it is applied."""
    endless = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: endless
  annotations: {argocd.argoproj.io/hook: PreSync}
spec:
  template:
    metadata:
      annotations: {embedded.tiphys.dev/run-seconds: "600"}
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "busybox:1.36"}]
"""
    repo.commit({"apps/my-app/hook.yaml": endless, "apps/my-app/config.yaml": config_map("late", a="b")})
    environment.apply(application("terminated", repo.url, namespace=namespace))

    def running() -> bool | Pending:
        state = ((environment.application("terminated") or {}).get("status") or {}).get("operationState") or {}
        return state.get("message") == "waiting for completion of hook batch/Job/endless" or Pending(state)

    environment.until(running, within_s=30, what="the hook to run")

    environment.kubectl(
        "patch",
        "app",
        "terminated",
        "-n",
        "argocd",
        "--type=merge",
        "-p",
        '{"status": {"operationState": {"phase": "Terminating"}}}',
    )

    app = until_ended(environment, "terminated", "Failed")
    assert app["status"]["operationState"]["message"] == "Operation terminated"
    assert results(app)["Job/endless"]["hookPhase"] == "Failed"
    assert environment.kubectl.json("get", "configmap", "late", "-n", namespace) is None

    def gone() -> bool | Pending:
        return environment.kubectl.json("get", "job", "endless", "-n", namespace) is None or Pending("still there")

    environment.until(gone, within_s=30, what="the hook to be deleted")
    started = app["status"]["operationState"]["startedAt"]
    environment.kubectl("annotate", "app", "terminated", "-n", "argocd", f"{REFRESH}=normal")
    _until_refreshed(environment, "terminated")
    again = environment.application("terminated")
    assert again["status"]["operationState"]["startedAt"] == started  # not started again by itself
    assert again["status"]["operationState"].get("retryCount", 0) == 0


def _until_refreshed(environment: Environment, name: str) -> None:
    def done() -> bool | Pending:
        annotations = environment.application(name)["metadata"].get("annotations") or {}
        return REFRESH not in annotations or Pending(annotations)

    environment.until(done, within_s=30, what="the refresh annotation to be taken off")


def test_the_refresh_annotation_is_taken_off_when_it_is_done(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Normal and hard; also by an Application that is in trouble."""
    repo.commit(my_app())
    environment.apply(application("refresh", repo.url, namespace=namespace))
    environment.until_app("refresh")
    reconciled = environment.application("refresh")["status"]["reconciledAt"]

    for how in ("normal", "hard"):
        environment.kubectl("annotate", "app", "refresh", "-n", "argocd", f"{REFRESH}={how}")
        _until_refreshed(environment, "refresh")
    assert environment.application("refresh")["status"]["reconciledAt"] >= reconciled

    repo.commit({"apps/my-app/service.yaml": "apiVersion: v1\nkind: Service\nmetadata: {\n"})
    compared(environment, "refresh", "Unknown")
    environment.kubectl("annotate", "app", "refresh", "-n", "argocd", f"{REFRESH}=hard")
    _until_refreshed(environment, "refresh")
    assert environment.application("refresh")["status"]["sync"]["status"] == "Unknown"


def test_a_failed_operation_is_tried_again_with_growing_pauses(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """The message says the attempt and the time; after the last one it is Failed with the number of retries."""
    repo.commit({"apps/my-app/config.yaml": config_map("settings", a="b")})
    text = application("retried", repo.url, namespace=namespace, automated=False, options="Validate=true")
    environment.apply(text)
    compared(environment, "retried", "OutOfSync")
    body = {
        "operation": {
            "sync": {},
            "retry": {"limit": 2, "backoff": {"duration": "1s", "factor": 2, "maxDuration": "1m"}},
        }
    }
    environment.kubectl("patch", "app", "retried", "-n", "argocd", "--type=merge", "-p", json.dumps(body))

    messages: set[str] = set()

    def ended() -> bool | Pending:
        state = (environment.application("retried").get("status") or {}).get("operationState") or {}
        messages.add(state.get("message", ""))
        return state.get("phase") == "Failed" or Pending(state)

    environment.until(ended, within_s=30, what="the last attempt to fail")
    words = f'one or more objects failed to apply, reason: namespaces "{namespace}" not found'
    for attempt in (1, 2):
        pattern = re.escape(f"{words}. Retrying attempt #{attempt} at ") + r"\d{1,2}:\d\d(AM|PM)\."
        assert any(re.fullmatch(pattern, message) for message in messages), messages
    state = environment.application("retried")["status"]["operationState"]
    assert (state["message"], state["retryCount"]) == (words, 2)


def test_a_second_request_waits_for_the_operation_that_runs(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Both end; the Application is Synced and no request is left over."""
    repo.commit(my_app())
    environment.apply(application("twice", repo.url, namespace=namespace, automated=False))
    compared(environment, "twice", "OutOfSync")

    request(environment, "twice")
    request(environment, "twice", prune=True)

    until_ended(environment, "twice")
    environment.until_app("twice")
    assert "operation" not in environment.application("twice")


def test_a_skipped_application_is_left_alone(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """skip-reconcile: no status, no operation, until it is taken off."""
    repo.commit(my_app())
    text = application("skipped", repo.url, namespace=namespace).replace(
        "metadata:\n", 'metadata:\n  annotations: {argocd.argoproj.io/skip-reconcile: "true"}\n', 1
    )
    environment.apply(text)
    environment.apply(application("beside-skipped", repo.url, namespace=f"{namespace}-b"))
    environment.until_app("beside-skipped")
    assert "status" not in environment.application("skipped")

    environment.kubectl("annotate", "app", "skipped", "-n", "argocd", "argocd.argoproj.io/skip-reconcile-")
    environment.until_app("skipped")
