"""Kustomize, as the guide's "Managing image tags with kustomize" has it, and overlays of a shared base."""

from __future__ import annotations

from typing import Any

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import deployment, service

IMAGE = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/my-app"


def kustomization(tag: str) -> str:
    """apps/my-app/kustomization.yaml."""
    return f"""\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - deployment.yaml
  - service.yaml
images:
  - name: {IMAGE}
    newTag: {tag}  # CI updates only this part
"""


def my_app(tag: str) -> dict[str, str | None]:
    """The folder of the guide."""
    return {
        "apps/my-app/kustomization.yaml": kustomization(tag),
        "apps/my-app/deployment.yaml": deployment(image=f"{IMAGE}:placeholder"),
        "apps/my-app/service.yaml": service(),
        "apps/my-app/notes.yaml": "neither: read\n",
    }


def image_of(environment: Environment, namespace: str, name: str = "my-app") -> str:
    """The image that the Deployment runs, empty when there is none."""
    found = environment.kubectl.json("get", "deployment", name, "-n", namespace)
    return "" if found is None else str(found["spec"]["template"]["spec"]["containers"][0]["image"])


def until_image(environment: Environment, namespace: str, image: str, name: str = "my-app") -> None:
    """Wait for the image to be live."""
    environment.until(
        lambda: image_of(environment, namespace, name) == image or Pending(image_of(environment, namespace, name)),
        within_s=30,
        what=f"{image} to be live",
    )


def with_kustomize(text: str, block: str) -> str:
    """An Application with a `kustomize:` block."""
    lines = "".join(f"      {line}\n" for line in block.splitlines())
    return text.replace("    path: apps/my-app\n", f"    path: apps/my-app\n    kustomize:\n{lines}")


def test_a_kustomization_goes_live_and_so_does_the_next_tag(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """It is recognised by its file; a commit that changes newTag is deployed."""
    repo.commit(my_app("abc12345"))
    environment.apply(application("kustomized", repo.url, namespace=namespace))
    app = environment.until_app("kustomized")
    assert app["status"]["sourceType"] == "Kustomize"
    assert app["status"]["summary"]["images"] == [f"{IMAGE}:abc12345"]
    assert image_of(environment, namespace) == f"{IMAGE}:abc12345"
    assert environment.kubectl.json("get", "service", "my-app", "-n", namespace) is not None

    revision = repo.commit({"apps/my-app/kustomization.yaml": kustomization("def67890")})

    until_image(environment, namespace, f"{IMAGE}:def67890")
    assert environment.until_app("kustomized")["status"]["sync"]["revision"] == revision


def test_a_commit_to_a_shared_base_reaches_its_overlays_and_no_one_else(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Overlays follow their base, which lies outside their paths; an application of its own is left alone."""
    repo.commit(
        {
            **my_app("abc12345"),
            "base/kustomization.yaml": "resources: [deployment.yaml]\n",
            "base/deployment.yaml": deployment("web", image="nginx:1.27", replicas=1),
            "overlays/a/kustomization.yaml": "resources: [../../base]\nnamePrefix: a-\n",
            "overlays/b/kustomization.yaml": "resources: [../../base]\nnamePrefix: b-\n",
        }
    )
    for name in "ab":
        environment.apply(application(f"over-{name}", repo.url, path=f"overlays/{name}", namespace=namespace))
    environment.apply(application("over-none", repo.url, namespace=namespace))
    for name in ("over-a", "over-b"):
        environment.until_app(name)
    before = environment.until_app("over-none")

    revision = repo.commit({"base/deployment.yaml": deployment("web", image="nginx:1.28", replicas=1)})

    for name in "ab":
        until_image(environment, namespace, "nginx:1.28", f"{name}-web")
        assert environment.until_app(f"over-{name}")["status"]["sync"]["revision"] == revision
    after = environment.application("over-none")
    assert after["status"]["operationState"] == before["status"]["operationState"]
    assert after["status"]["history"] == before["status"]["history"]


def test_overrides_of_the_application_win(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """images, replicas, prefix, labels, annotations and patches of the Application, over the kustomization in Git."""
    repo.commit(my_app("abc12345"))
    block = f"""\
images: ["{IMAGE}:override"]
namePrefix: prod-
replicas: [{{name: my-app, count: 1}}]
commonLabels: {{app-name: $ARGOCD_APP_NAME}}
commonAnnotations: {{note: "yes"}}
patches:
- target: {{kind: Service}}
  patch: '[{{"op": "replace", "path": "/spec/ports/0/port", "value": 8080}}]'"""
    environment.apply(with_kustomize(application("overridden", repo.url, namespace=namespace), block))
    environment.until_app("overridden")

    found: Any = environment.kubectl.json("get", "deployment", "prod-my-app", "-n", namespace)
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == f"{IMAGE}:override"
    assert found["spec"]["replicas"] == 1
    assert found["metadata"]["labels"]["app-name"] == "overridden"
    assert found["spec"]["selector"]["matchLabels"]["app-name"] == "overridden"
    assert found["metadata"]["annotations"]["note"] == "yes"
    ports = environment.kubectl.json("get", "service", "prod-my-app", "-n", namespace)["spec"]["ports"]
    assert ports[0]["port"] == 8080


def test_a_broken_kustomization_is_said_and_changes_nothing(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """What runs stays; the condition names file and entry; the next good commit is deployed."""
    repo.commit(my_app("abc12345"))
    environment.apply(application("broken-k", repo.url, namespace=namespace))
    environment.until_app("broken-k")

    def condition() -> str:
        app = environment.application("broken-k")
        return " ".join(one["message"] for one in app["status"].get("conditions", ()))

    repo.commit({"apps/my-app/kustomization.yaml": "resources: [deployment.yaml, ../base]\n"})
    missing = "apps/my-app/kustomization.yaml: resources: '../base': no such file or directory: apps/base"
    environment.until(lambda: missing in condition() or Pending(condition()), within_s=30, what="the condition")
    repo.commit({"apps/my-app/kustomization.yaml": "resorces: [deployment.yaml]\n"})
    unknown = '`kustomize build apps/my-app` failed exit status 1: Error: invalid Kustomization: json: unknown field "resorces"'
    environment.until(lambda: unknown in condition() or Pending(condition()), within_s=30, what="the condition")
    assert image_of(environment, namespace) == f"{IMAGE}:abc12345"

    repo.commit({"apps/my-app/kustomization.yaml": kustomization("mended")})
    until_image(environment, namespace, f"{IMAGE}:mended")
    assert environment.until_app("broken-k")["status"].get("conditions", []) == []
