"""Chapter "Deploying Your First App": plain manifests, by YAML and by CLI, automated sync, self-heal and prune."""

from __future__ import annotations

from typing import Any

from tests.support.cli import Cli
from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

MY_APP = """\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: my-app
  namespace: argocd
  finalizers:
    - resources-finalizer.argocd.argoproj.io
spec:
  project: default

  source:
    repoURL: REPO_URL
    targetRevision: main
    path: apps/my-app

  destination:
    server: https://kubernetes.default.svc
    namespace: default

  syncPolicy:
    automated:
      prune: true
      selfHeal: true
    syncOptions:
      - CreateNamespace=true
    retry:
      limit: 3
      backoff:
        duration: 5s
        factor: 2
        maxDuration: 3m
"""


def replicas(environment: Environment) -> Any:
    return environment.kubectl.json("get", "deployment", "my-app", "-n", "default")["spec"]["replicas"]


def test_the_application_deploys_what_git_says(environment: Environment, repo: GitRepository) -> None:
    environment.apply(MY_APP.replace("REPO_URL", repo.url))
    app = environment.until_app("my-app")
    healths = {r["kind"]: r["status"] for r in app["status"]["resources"]}
    assert healths == {"Deployment": "Synced", "Service": "Synced", "Ingress": "Synced"}
    printed = environment.kubectl("get", "app", "-n", "argocd").splitlines()
    assert printed[0].split() == ["NAME", "SYNC", "STATUS", "HEALTH", "STATUS"]
    assert printed[1].split() == ["my-app", "Synced", "Healthy"]


def test_a_file_that_leaves_git_leaves_the_cluster(environment: Environment, repo: GitRepository) -> None:
    repo.commit({"apps/my-app/ingress.yaml": None})

    def pruned() -> bool | Pending:
        found = environment.kubectl.json("get", "ingress", "my-app", "-n", "default")
        return found is None or Pending(found["metadata"])

    environment.until(pruned)
    environment.until_app("my-app")


def test_self_heal_reverts_a_change_by_hand(environment: Environment) -> None:
    environment.kubectl("scale", "deployment", "my-app", "--replicas=5", "-n", "default")
    environment.until(lambda: replicas(environment) == 2 or Pending(replicas(environment)), what="2 replicas again")
    environment.until_app("my-app")


def test_the_cli_shows_the_application(cli: Cli) -> None:
    assert "argocd/my-app" in cli.out("app", "list")
    shown = cli.out("app", "get", "my-app")
    assert "Sync Policy:        Automated (Prune)" in shown
    assert "Health Status:      Healthy" in shown


def test_the_same_application_made_by_the_cli(environment: Environment, repo: GitRepository, cli: Cli) -> None:
    environment.kubectl("delete", "application", "my-app", "-n", "argocd", "--timeout=60s")
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", "default") is None
    said = cli.out(
        *("app", "create", "my-app", "--repo", repo.url, "--path", "apps/my-app"),
        *("--dest-server", "https://kubernetes.default.svc", "--dest-namespace", "default"),
        *("--sync-policy", "automated", "--auto-prune", "--self-heal"),
    )
    assert said == "application 'my-app' created\n"
    environment.until_app("my-app")
    assert "Phase:              Succeeded" in cli.out("app", "sync", "my-app")
