"""Chapter "Operational Tips": three ways to roll back, and health checks of one's own."""

from __future__ import annotations

import json
from typing import Any

from tests.e2e.guide.test_deploying_your_first_app import MY_APP
from tests.support.cli import Cli
from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

JOB_HEALTH = """\
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
JOB = """\
apiVersion: batch/v1
kind: Job
metadata:
  name: migrate
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: migrate
          image: busybox:1.36
          command: ["true"]
"""


def image(environment: Environment) -> Any:
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", "default")
    return found and found["spec"]["template"]["spec"]["containers"][0]["image"]


def until_image(environment: Environment, expected: str) -> None:
    environment.until(lambda: image(environment) == expected or Pending(image(environment)), what=expected)


def push_image(repo: GitRepository, old: str, new: str) -> str:
    text = (repo.tree / "apps/my-app/deployment.yaml").read_text()
    assert old in text
    return repo.commit({"apps/my-app/deployment.yaml": text.replace(old, new)}, f"my-app {new}")


def test_git_revert_deploys_the_previous_state(environment: Environment, repo: GitRepository) -> None:
    repo.commit({"apps/my-app/ingress.yaml": None})
    environment.apply(MY_APP.replace("REPO_URL", repo.url))
    environment.until_app("my-app")
    push_image(repo, "nginx:1.27", "nginx:1.28")
    until_image(environment, "nginx:1.28")
    repo.revert()
    until_image(environment, "nginx:1.27")
    environment.until_app("my-app")


def test_a_rollback_by_the_cli_lasts_with_automation_left_on(
    environment: Environment, repo: GitRepository, cli: Cli
) -> None:
    bad = push_image(repo, "nginx:1.27", "nginx:1.29")
    until_image(environment, "nginx:1.29")
    environment.until_app("my-app")
    history = json.loads(cli.out("app", "history", "my-app", "-o", "json"))
    before = history[-2]["id"]

    cli("app", "rollback", "my-app", str(before), "--reason", "1.29 loses sessions")
    until_image(environment, "nginx:1.27")
    environment.until_app("my-app", sync="OutOfSync")
    spec = environment.application("my-app")["spec"]
    assert spec["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}, "automation is left on"

    repo.commit({"README.md": "# another commit\n"})
    cli("app", "get", "my-app", "--refresh")
    assert image(environment) == "nginx:1.27"
    shown = cli.out("app", "get", "my-app")
    assert "1.29 loses sessions" in shown
    assert bad[:7] in shown

    environment.kubectl("set", "image", "deployment/my-app", "my-app=nginx:by-hand", "-n", "default")
    until_image(environment, "nginx:1.27")


def test_the_fix_ends_the_rollback(environment: Environment, repo: GitRepository, cli: Cli) -> None:
    push_image(repo, "nginx:1.29", "nginx:1.30")
    until_image(environment, "nginx:1.30")
    app = environment.until_app("my-app")
    assert not [c for c in app["status"].get("conditions") or [] if c["type"] == "HeldWarning"]
    assert "1.29 loses sessions" not in cli.out("app", "get", "my-app")


def test_resume_ends_the_rollback(environment: Environment, repo: GitRepository, cli: Cli) -> None:
    history = json.loads(cli.out("app", "history", "my-app", "-o", "json"))
    wanted = next(entry["id"] for entry in reversed(history) if entry["revision"] != history[-1]["revision"])
    cli("app", "rollback", "my-app", str(wanted))
    environment.until_app("my-app", sync="OutOfSync")
    cli("app", "resume", "my-app")
    until_image(environment, "nginx:1.30")
    environment.until_app("my-app")


def test_where_holds_are_switched_off_a_rollback_under_automation_is_refused(
    environment: Environment, cli: Cli
) -> None:
    environment.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cmd-params-cm\n  namespace: argocd\n"
        "  labels: {app.kubernetes.io/part-of: argocd}\ndata:\n  server.rollback.hold: 'false'\n"
    )

    def refused() -> bool | Pending:
        done = cli("app", "rollback", "my-app", rc=20)
        return "rollback cannot be initiated when auto-sync is enabled" in done.stderr or Pending(done.stderr)

    environment.until(refused)
    environment.kubectl("delete", "configmap", "argocd-cmd-params-cm", "-n", "argocd")


def test_a_health_check_in_lua_counts_at_once(environment: Environment, repo: GitRepository) -> None:
    repo.commit({"apps/my-app/job.yaml": JOB})
    environment.until_app("my-app")
    script = "".join(f"    {line}\n" for line in JOB_HEALTH.splitlines())
    environment.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n"
        "  labels: {app.kubernetes.io/part-of: argocd}\ndata:\n"
        f"  resource.customizations.health.batch_Job: |\n{script}"
    )
    environment.until_app("my-app")
    failing = JOB.replace("name: migrate", "name: migrate-2", 1).replace('["true"]', '["false"]')
    repo.commit({"apps/my-app/job.yaml": failing.replace("busybox:1.36", "busybox:1.37")})
    app = environment.until_app("my-app", health="Degraded")
    assert app["status"]["operationState"]["phase"] in ("Succeeded", "Failed")
