"""A push to the repository reaches the cluster by itself."""

from __future__ import annotations

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import deployment, my_app


def test_a_pushed_image_tag_goes_live(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The new image is what the Deployment runs, and the Application is Synced to the new commit."""
    repo.commit(my_app())
    environment.apply(application("change", repo.url, namespace=namespace))
    environment.until_app("change")

    revision = repo.commit({"apps/my-app/deployment.yaml": deployment(image="nginx:1.28")})

    def live() -> bool | Pending:
        found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
        image = found["spec"]["template"]["spec"]["containers"][0]["image"]
        return image == "nginx:1.28" or Pending(image)

    environment.until(live, within_s=30, what="the pushed image to be live")
    app = environment.until_app("change")
    assert app["status"]["sync"]["revision"] == revision
    assert [h["revision"] for h in app["status"]["history"]][-1] == revision


def test_git_revert_deploys_the_previous_state(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """`git revert HEAD; git push` is a rollback."""
    repo.commit(my_app())
    environment.apply(application("revert", repo.url, namespace=namespace))
    environment.until_app("revert")
    repo.commit({"apps/my-app/deployment.yaml": deployment(image="nginx:broken")})

    def image() -> str:
        found = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    environment.until(lambda: image() == "nginx:broken" or Pending(image()), within_s=30, what="the broken image")

    repo.revert()

    environment.until(lambda: image() == "nginx:1.27" or Pending(image()), within_s=30, what="the reverted image")
    environment.until_app("revert")
