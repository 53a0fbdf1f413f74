"""What was just applied is not drift: the API server's defaults and spellings are not held against Git."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.environment import Environment, application
from tests.support.expect import Failed, Pending
from tests.support.gitrepo import GitRepository

OBJECTS = Path(__file__).parent / "objects"


def _texts(namespace: str) -> dict[str, str | None]:
    return {
        f"apps/my-app/{path.name}": path.read_text().replace("NAMESPACE", namespace)
        for path in sorted(OBJECTS.glob("*.yaml"))
    }


def _drifted(app: Any) -> list[str]:
    return [f"{r['kind']}/{r['name']}" for r in app["status"]["resources"] if r.get("status") != "Synced"]


def _synced_once(environment: Environment, name: str) -> Any:
    """The Application after its first operation, which must have left nothing OutOfSync."""
    found: dict[str, Any] = {}

    def look() -> bool | Pending | Failed:
        app = environment.application(name) or {}
        status = app.get("status") or {}
        state = status.get("operationState") or {}
        if state.get("phase") in ("Failed", "Error") or state.get("retryCount"):
            return Failed(state)
        if state.get("phase") != "Succeeded":
            return Pending({k: status.get(k) for k in ("conditions", "operationState", "sync")})
        found["app"] = app
        return True

    environment.until(look, within_s=90, what=f"the first operation of {name}")
    return found["app"]


def _refresh(environment: Environment, name: str, how: str) -> Any:
    """The Application after a refresh that was asked for."""
    environment.kubectl("annotate", "app", name, "-n", "argocd", f"argocd.argoproj.io/refresh={how}", "--overwrite")

    def done() -> bool | Pending:
        annotations = environment.application(name)["metadata"].get("annotations") or {}
        return "argocd.argoproj.io/refresh" not in annotations or Pending(annotations)

    environment.until(done, within_s=30, what="the refresh to be done")
    return environment.application(name)


def test_objects_of_many_kinds_are_synced_after_one_operation(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Automated with self-heal: any false drift would show as OutOfSync or as a second operation."""
    files = _texts(namespace)
    repo.commit(files)
    kinds = sum(len(re.findall(r"^kind: ", text or "", re.MULTILINE)) for text in files.values())
    environment.apply(application("kinds", repo.url, namespace=namespace))

    first = _synced_once(environment, "kinds")
    assert _drifted(first) == []
    assert len(first["status"]["resources"]) == kinds

    for how in ("normal", "hard", "normal"):
        after = _refresh(environment, "kinds", how)
        assert _drifted(after) == []
        assert after["status"]["sync"]["status"] == "Synced"
        assert after["status"]["operationState"]["startedAt"] == first["status"]["operationState"]["startedAt"]


def test_a_second_sync_of_the_same_commit_changes_nothing(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Every resource of a requested sync is reported unchanged; no generation moves.

    Workloads are judged by their generation alone: their status moves while they are applied.
    """
    repo.commit(_texts(namespace))
    environment.apply(application("again", repo.url, namespace=namespace))
    first = _synced_once(environment, "again")
    before = _generations(environment, namespace)

    environment.kubectl(
        "patch", "app", "again", "-n", "argocd", "--type=merge", "-p", '{"operation": {"sync": {"prune": true}}}'
    )

    def ended() -> bool | Pending:
        state = environment.application("again")["status"]["operationState"]
        second = state["startedAt"] != first["status"]["operationState"]["startedAt"]
        return (second and state["phase"] == "Succeeded") or Pending(state["phase"])

    environment.until(ended, within_s=60, what="the second operation")
    results = environment.application("again")["status"]["operationState"]["syncResult"]["resources"]
    changed = {
        r["message"] for r in results if r["group"] not in ("apps", "batch") and not r["message"].endswith(" unchanged")
    }
    assert changed == set()
    assert _generations(environment, namespace) == before


def _generations(environment: Environment, namespace: str) -> dict[str, int]:
    found = environment.kubectl.json("get", "deploy,sts,ds,cronjob,job,ingress,networkpolicy", "-n", namespace)
    return {f"{o['kind']}/{o['metadata']['name']}": o["metadata"].get("generation", 0) for o in found["items"]}
