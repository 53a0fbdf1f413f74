"""Chapter "The Complete CI/CD Pipeline": CI pushes an image tag to the manifest repository, and that is all it does."""

from __future__ import annotations

import subprocess
from typing import Any

from tests.e2e.guide.test_deploying_your_first_app import MY_APP
from tests.support.cli import Cli
from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

ECR = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/my-app"
KUSTOMIZATION = f"""\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - deployment.yaml
  - service.yaml
images:
  - name: {ECR}
    newTag: abc12345  # CI updates only this part
"""


def image(environment: Environment) -> Any:
    found = environment.kubectl.json("get", "deployment", "my-app", "-n", "default")
    return found and found["spec"]["template"]["spec"]["containers"][0]["image"]


def until_image(environment: Environment, expected: str) -> None:
    environment.until(lambda: image(environment) == expected or Pending(image(environment)), what=expected)


def test_kustomize_is_detected_without_any_configuration(environment: Environment, repo: GitRepository) -> None:
    deployment = (repo.tree / "apps/my-app/deployment.yaml").read_text().replace("nginx:1.27", ECR)
    repo.commit({"apps/my-app/kustomization.yaml": KUSTOMIZATION, "apps/my-app/deployment.yaml": deployment})
    environment.apply(MY_APP.replace("REPO_URL", repo.url))
    app = environment.until_app("my-app")
    assert app["status"]["sourceType"] == "Kustomize"
    assert {r["kind"] for r in app["status"]["resources"]} == {"Deployment", "Service"}
    assert image(environment) == f"{ECR}:abc12345"


def test_ci_sets_the_tag_with_one_command_and_it_is_deployed(
    environment: Environment, repo: GitRepository, cli: Cli
) -> None:
    for name, value in (("user.name", "GitHub Actions"), ("user.email", "actions@github.com")):
        subprocess.run(["git", "config", name, value], cwd=repo.tree, check=True)
    cli(
        *("image", "set", f"{ECR}={ECR}:4f2a91c0", "--path", "apps/my-app", "--commit", "--push"),
        *("-m", "chore: update my-app image to 4f2a91c0"),
        cwd=repo.tree,
    )
    until_image(environment, f"{ECR}:4f2a91c0")
    text = (repo.tree / "apps/my-app/kustomization.yaml").read_text()
    assert text == KUSTOMIZATION.replace("abc12345", "4f2a91c0"), "only the tag changed, comments stay"
    environment.until_app("my-app")


def test_ci_that_edits_the_tag_itself_works_as_well(environment: Environment, repo: GitRepository) -> None:
    text = (repo.tree / "apps/my-app/kustomization.yaml").read_text()
    repo.commit({"apps/my-app/kustomization.yaml": text.replace("4f2a91c0", "77c0ffee")})
    until_image(environment, f"{ECR}:77c0ffee")
    environment.until_app("my-app")


def test_ci_that_edits_the_manifest_itself_works_as_well(environment: Environment, repo: GitRepository) -> None:
    deployment = (repo.tree / "apps/my-app/deployment.yaml").read_text().replace(f"image: {ECR}", f"image: {ECR}:1")
    repo.commit({"apps/my-app/kustomization.yaml": None, "apps/my-app/deployment.yaml": deployment})
    until_image(environment, f"{ECR}:1")
    environment.until(
        lambda: environment.application("my-app")["status"].get("sourceType") == "Directory" or Pending("Kustomize")
    )
