"""A commit that changes nothing for an application costs it nothing, and is still known."""

from __future__ import annotations

from tests.support.environment import Environment, application
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, my_app


def test_a_commit_elsewhere_leaves_the_application_alone(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Its neighbour is deployed; its own object is not written, and no operation runs."""
    repo.commit({**my_app(), "apps/other/config.yaml": config_map("other", level="one")})
    environment.apply(application("untouched", repo.url, namespace=namespace))
    environment.apply(application("touched", repo.url, path="apps/other", namespace=namespace))
    before = environment.until_app("untouched")
    environment.until_app("touched")

    revision = repo.commit({"apps/other/config.yaml": config_map("other", level="two")})

    environment.until(
        lambda: environment.application("touched")["status"]["sync"]["revision"] == revision,
        within_s=30,
        what="the neighbour to be at the new commit",
    )
    after = environment.application("untouched")
    assert after["status"]["operationState"] == before["status"]["operationState"]
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
