"""What somebody changes on the cluster by hand is put back."""

from __future__ import annotations

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import my_app


def test_a_changed_field_is_put_back(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """kubectl scale is undone: Git says two replicas."""
    repo.commit(my_app())
    environment.apply(application("drift", repo.url, namespace=namespace))
    environment.until_app("drift")

    environment.kubectl("scale", "deployment", "my-app", "-n", namespace, "--replicas=5")

    def replicas() -> bool | Pending:
        found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
        return found["spec"]["replicas"] == 2 or Pending(found["spec"]["replicas"])

    environment.until(replicas, within_s=30, what="two replicas again")
    environment.until_app("drift")


def test_a_deleted_object_comes_back(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """kubectl delete is undone."""
    repo.commit(my_app())
    environment.apply(application("deleted", repo.url, namespace=namespace))
    environment.until_app("deleted")
    before = environment.kubectl.json("get", "service", "my-app", "-n", namespace)["metadata"]["uid"]

    environment.kubectl("delete", "service", "my-app", "-n", namespace)

    def back() -> bool | Pending:
        found = environment.kubectl.json("get", "service", "my-app", "-n", namespace)
        return (found is not None and found["metadata"]["uid"] != before) or Pending(found)

    environment.until(back, within_s=30, what="the Service to come back")


def test_fields_that_git_does_not_declare_are_left_alone(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """An annotation somebody added is no drift."""
    repo.commit(my_app())
    environment.apply(application("foreign", repo.url, namespace=namespace))
    environment.until_app("foreign")

    environment.kubectl("annotate", "service", "my-app", "-n", namespace, "team=blue")
    environment.kubectl("scale", "deployment", "my-app", "-n", namespace, "--replicas=3")

    def healed() -> bool | Pending:
        found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
        return found["spec"]["replicas"] == 2 or Pending(found["spec"]["replicas"])

    environment.until(healed, within_s=30, what="the drift beside it to be reverted")
    service = environment.kubectl.json("get", "service", "my-app", "-n", namespace)
    assert service["metadata"]["annotations"]["team"] == "blue"
