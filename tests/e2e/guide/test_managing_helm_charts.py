"""Chapter "Managing Helm Charts": a chart in the repository, values files for each environment, parameters above them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.cli import Cli
from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

IMAGE = "123456789012.dkr.ecr.ap-northeast-2.amazonaws.com/my-app"


def chart_app(repo: GitRepository, name: str, namespace: str, helm: str) -> str:
    return f"""\
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: {name}
  namespace: argocd
  finalizers:
    - resources-finalizer.argocd.argoproj.io
spec:
  project: default
  source:
    repoURL: {repo.url}
    targetRevision: main
    path: charts/my-app
    helm:
{helm}
  destination:
    server: https://kubernetes.default.svc
    namespace: {namespace}
  syncPolicy:
    automated:
      prune: true
      selfHeal: true
    syncOptions:
      - CreateNamespace=true
"""


def value_files(*names: str) -> str:
    return "\n".join(["      valueFiles:", *(f"        - {name}" for name in names)])


def deployed(environment: Environment, name: str, namespace: str) -> Any:
    found = environment.kubectl.json("get", "deployment", name, "-n", namespace)
    if found is None:
        return None
    container = found["spec"]["template"]["spec"]["containers"][0]
    return found["spec"]["replicas"], container["image"], container["resources"]["requests"]["cpu"]


@pytest.mark.parametrize(
    ("environment_name", "namespace", "expected", "with_ingress"),
    [
        ("dev", "dev", (1, f"{IMAGE}:dev-latest", "50m"), False),
        ("staging", "staging", (2, f"{IMAGE}:staging-latest", "100m"), True),
        ("prod", "production", (3, f"{IMAGE}:v1.2.3", "500m"), True),
    ],
)
def test_one_chart_serves_three_environments(
    environment: Environment,
    repo: GitRepository,
    environment_name: str,
    namespace: str,
    expected: tuple[int, str, str],
    with_ingress: bool,
) -> None:
    name = f"my-app-{environment_name}"
    environment.apply(chart_app(repo, name, namespace, value_files(f"values-{environment_name}.yaml")))
    app = environment.until_app(name)
    assert app["status"]["sourceType"] == "Helm"
    assert deployed(environment, name, namespace) == expected
    ingress = environment.kubectl.json("get", "ingress", name, "-n", namespace)
    assert (ingress is not None) == with_ingress


def test_parameters_win_over_values_files(environment: Environment, repo: GitRepository) -> None:
    parameters = "\n      parameters:\n        - name: image.tag\n          value: v1.2.4"
    helm = value_files("values.yaml", "values-prod.yaml") + parameters
    environment.apply(chart_app(repo, "my-app-prod", "production", helm))
    expected = (3, f"{IMAGE}:v1.2.4", "500m")
    environment.until(
        lambda: (
            deployed(environment, "my-app-prod", "production") == expected
            or Pending(deployed(environment, "my-app-prod", "production"))
        )
    )
    environment.until_app("my-app-prod")


def test_a_commit_to_one_values_file_reaches_its_environment_alone(
    environment: Environment, repo: GitRepository
) -> None:
    before = environment.application("my-app-staging")["status"]["history"]
    text = (repo.tree / "charts/my-app/values-dev.yaml").read_text().replace("dev-latest", "dev-2")
    repo.commit({"charts/my-app/values-dev.yaml": text})
    expected = (1, f"{IMAGE}:dev-2", "50m")
    environment.until(
        lambda: (
            deployed(environment, "my-app-dev", "dev") == expected
            or Pending(deployed(environment, "my-app-dev", "dev"))
        )
    )
    environment.until_app("my-app-dev")
    assert environment.application("my-app-staging")["status"]["history"] == before


def test_a_required_value_that_is_missing_is_named(environment: Environment, repo: GitRepository) -> None:
    helm = (
        value_files("values-dev.yaml") + "\n      parameters:\n        - name: ingress.enabled\n          value: 'true'"
    )
    environment.apply(chart_app(repo, "my-app-dev", "dev", helm))
    app = environment.until_app("my-app-dev", sync="Unknown", health="Unknown")
    assert "ingress.host is needed when the Ingress is on" in app["status"]["conditions"][0]["message"]
    assert deployed(environment, "my-app-dev", "dev") == (1, f"{IMAGE}:dev-2", "50m"), "what was deployed stays"
    environment.apply(chart_app(repo, "my-app-dev", "dev", value_files("values-dev.yaml")))
    environment.until_app("my-app-dev")


def test_the_cli_sets_a_parameter(environment: Environment, cli: Cli) -> None:
    cli("app", "set", "my-app-dev", "-p", "image.tag=by-hand")
    expected = (1, f"{IMAGE}:by-hand", "50m")
    environment.until(
        lambda: (
            deployed(environment, "my-app-dev", "dev") == expected
            or Pending(deployed(environment, "my-app-dev", "dev"))
        )
    )
    cli("app", "unset", "my-app-dev", "-p", "image.tag")
    environment.until_app("my-app-dev")
    assert deployed(environment, "my-app-dev", "dev") == (1, f"{IMAGE}:dev-2", "50m")
