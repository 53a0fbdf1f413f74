"""Deleting an Application deletes what it deployed, when its finalizer says so."""

from __future__ import annotations

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import my_app


def test_the_finalizer_deletes_the_resources(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """kubectl delete application returns when everything is gone."""
    repo.commit(my_app())
    environment.apply(application("cascade", repo.url, namespace=namespace))
    environment.until_app("cascade")

    environment.kubectl("delete", "application", "cascade", "-n", "argocd", "--timeout=60s")

    def gone() -> bool | Pending:
        left = [
            kind
            for kind in ("deployment", "service")
            if environment.kubectl.json("get", kind, "my-app", "-n", namespace) is not None
        ]
        return not left or Pending(left)

    environment.until(gone, within_s=30, what="the resources to be gone")
    assert environment.application("cascade") is None


def test_without_the_finalizer_the_resources_stay(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Only the Application goes."""
    repo.commit(my_app())
    environment.apply(application("orphan", repo.url, namespace=namespace, finalizer=False))
    environment.until_app("orphan")

    environment.kubectl("delete", "application", "orphan", "-n", "argocd", "--timeout=60s")

    assert environment.application("orphan") is None
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", namespace) is not None
