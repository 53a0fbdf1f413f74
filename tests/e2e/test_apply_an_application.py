"""The guide's first application: kubectl apply of an Application, and it becomes Synced and Healthy."""

from __future__ import annotations

from tests.support.environment import Environment, application
from tests.support.gitrepo import GitRepository
from tests.support.manifests import my_app


def test_an_applied_application_becomes_synced_and_healthy(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Deployment and Service of the repository are live, in a namespace that did not exist, two Pods ready."""
    revision = repo.commit(my_app())

    environment.apply(application("first", repo.url, namespace=namespace))
    app = environment.until_app("first")

    assert app["status"]["sync"]["revision"] == revision
    assert app["status"]["operationState"]["phase"] == "Succeeded"
    assert app["status"]["history"][-1]["revision"] == revision
    deployment = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
    assert deployment["status"]["readyReplicas"] == 2
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.27"
    tracking = deployment["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"]
    assert tracking == f"first:apps/Deployment:{namespace}/my-app"
    assert environment.kubectl.json("get", "service", "my-app", "-n", namespace) is not None


def test_kubectl_shows_sync_and_health_columns(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """`kubectl get app` prints what Argo CD's CRD prints."""
    repo.commit(my_app())
    environment.apply(application("columns", repo.url, namespace=namespace))
    environment.until_app("columns")

    table = environment.kubectl("get", "app", "columns", "-n", "argocd").splitlines()

    assert table[0].split() == ["NAME", "SYNC", "STATUS", "HEALTH", "STATUS"]
    assert table[1].split() == ["columns", "Synced", "Healthy"]
