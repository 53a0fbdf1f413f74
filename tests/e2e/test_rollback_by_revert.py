"""`git revert HEAD; git push` brings the state before the commit back: changed, added and deleted files alike."""

from __future__ import annotations

from typing import Any

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, deployment, my_app


def test_a_reverted_commit_is_undone_as_a_whole(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The image is the old one, what the commit added is pruned, what it deleted is back; history keeps every step."""
    folder = "apps/my-app"
    good = repo.commit({**my_app(), f"{folder}/settings.yaml": config_map("settings", level="one")})
    environment.apply(application("by-revert", repo.url, namespace=namespace))
    environment.until_app("by-revert")

    def state() -> tuple[Any, ...]:
        found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
        maps = environment.kubectl.json("get", "configmap", "-n", namespace)["items"]
        names = {item["metadata"]["name"] for item in maps} - {"kube-root-ca.crt"}
        return found["spec"]["template"]["spec"]["containers"][0]["image"], names

    bad = repo.commit(
        {
            f"{folder}/deployment.yaml": deployment(image="nginx:broken"),
            f"{folder}/settings.yaml": None,
            f"{folder}/added.yaml": config_map("added", a="b"),
        }
    )
    environment.until(
        lambda: state() == ("nginx:broken", {"added"}) or Pending(state()),
        within_s=30,
        what="the bad commit to be live",
    )
    undone = repo.revert()
    seconds = environment.until(
        lambda: state() == ("nginx:1.27", {"settings"}) or Pending(state()), within_s=30, what="the revert to be live"
    )
    app = environment.until_app("by-revert")
    assert app["status"]["sync"]["revision"] == undone
    assert [entry["revision"] for entry in app["status"]["history"]] == [good, bad, undone]
    assert seconds < 15
