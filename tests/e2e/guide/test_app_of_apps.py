"""Chapter "App of Apps Pattern": a root Application that manages the Applications of five services."""

from __future__ import annotations

from typing import Any

from tests.support.environment import Environment
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository

CHILDREN = {"frontend": "shop", "backend-api": "shop", "backend-worker": "shop", "redis": "shop"}
PASS_HEALTH_ON = """\
hs = {status = "Progressing", message = ""}
if obj.status ~= nil and obj.status.health ~= nil then
  hs.status = obj.status.health.status
  if obj.status.health.message ~= nil then
    hs.message = obj.status.health.message
  end
end
return hs
"""


def root_app(repo: GitRepository) -> str:
    return (repo.tree / "root-app.yaml").read_text()


def child(repo: GitRepository, name: str) -> str:
    return (repo.tree / f"argocd-apps/{name}.yaml").read_text()


def image(environment: Environment, namespace: str, name: str) -> Any:
    found = environment.kubectl.json("get", "deployment", name, "-n", namespace)
    return found and found["spec"]["template"]["spec"]["containers"][0]["image"]


def gone(environment: Environment, *what: str) -> bool | Pending:
    found = environment.kubectl.json("get", *what)
    return True if found is None else Pending(found["metadata"])


def test_the_root_creates_its_five_children_and_they_deploy_their_services(
    environment: Environment, repo: GitRepository
) -> None:
    environment.apply(root_app(repo))
    for name, namespace in CHILDREN.items():
        environment.until_app(name)
        assert environment.kubectl.json("get", "deployment", name, "-n", namespace)
    environment.until_app("monitoring")
    assert image(environment, "monitoring", "grafana") == "grafana/grafana:11.3.0"
    root = environment.until_app("apps")
    assert {r["kind"] for r in root["status"]["resources"]} == {"Application"}
    assert len(root["status"]["resources"]) == 5


def test_a_commit_to_one_service_reaches_it_and_no_other(environment: Environment, repo: GitRepository) -> None:
    before = environment.application("frontend")["status"]["history"]
    text = (repo.tree / "apps/redis/deployment.yaml").read_text().replace("redis:7.4", "redis:7.5")
    repo.commit({"apps/redis/deployment.yaml": text})
    environment.until(
        lambda: image(environment, "shop", "redis") == "redis:7.5" or Pending(image(environment, "shop", "redis"))
    )
    environment.until_app("redis")
    assert environment.application("frontend")["status"]["history"] == before


def test_a_new_file_becomes_a_new_application(environment: Environment, repo: GitRepository) -> None:
    added = child(repo, "redis").replace("redis", "cache")
    manifests = {
        f"apps/cache/{name}": (repo.tree / f"apps/redis/{name}").read_text().replace("name: redis", "name: cache")
        for name in ("deployment.yaml", "service.yaml")
    }
    repo.commit({"argocd-apps/cache.yaml": added, **manifests})
    environment.until(lambda: environment.application("cache") is not None or Pending("no such Application"))
    environment.until_app("cache")


def test_a_child_that_is_changed_by_hand_is_put_back(environment: Environment, repo: GitRepository) -> None:
    environment.kubectl(
        *("patch", "application", "cache", "-n", "argocd", "--type=merge"),
        *("-p", '{"spec":{"source":{"path":"apps/redis"}}}'),
    )

    def path() -> bool | Pending:
        found = environment.application("cache")["spec"]["source"]["path"]
        return found == "apps/cache" or Pending(found)

    environment.until(path)
    environment.until_app("apps")


def test_removing_a_file_removes_the_application_and_what_it_deployed(
    environment: Environment, repo: GitRepository
) -> None:
    repo.commit({"argocd-apps/cache.yaml": None})
    environment.until(lambda: gone(environment, "application", "cache", "-n", "argocd"))
    assert environment.kubectl.json("get", "deployment", "cache", "-n", "shop") is None
    assert image(environment, "shop", "frontend")


def test_a_child_that_fails_does_not_disturb_its_siblings(environment: Environment, repo: GitRepository) -> None:
    broken = (repo.tree / "apps/backend-worker/deployment.yaml").read_text() + "  broken: [\n"
    api = (repo.tree / "apps/backend-api/deployment.yaml").read_text().replace("v1.0.0", "v1.1.0")
    repo.commit({"apps/backend-worker/deployment.yaml": broken, "apps/backend-api/deployment.yaml": api})

    environment.until_app("backend-api")
    worker = environment.until_app("backend-worker", sync="Unknown", health="Unknown")
    assert "apps/backend-worker/deployment.yaml" in worker["status"]["conditions"][0]["message"]
    assert str(image(environment, "shop", "backend-api")).endswith("backend-api:v1.1.0")
    assert environment.kubectl.json("get", "deployment", "backend-worker", "-n", "shop"), "what was deployed stays"
    root = environment.until_app("apps")
    assert root["status"]["sync"]["status"] == "Synced"

    repo.revert()
    environment.until_app("backend-worker")


def test_the_health_of_children_counts_when_argocd_cm_says_so(environment: Environment, repo: GitRepository) -> None:
    text = (repo.tree / "apps/redis/deployment.yaml").read_text().replace("redis:7.5", "redis:broken")
    repo.commit({"apps/redis/deployment.yaml": text})
    environment.until_app("redis", health="Progressing")
    assert environment.application("apps")["status"]["health"]["status"] == "Healthy", "not unless it is asked for"

    script = "".join(f"    {line}\n" for line in PASS_HEALTH_ON.splitlines())
    environment.apply(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: argocd\n"
        "  labels: {app.kubernetes.io/part-of: argocd}\ndata:\n"
        f"  resource.customizations.health.argoproj.io_Application: |\n{script}"
    )
    environment.until_app("apps", health="Progressing")

    repo.revert()
    environment.until_app("redis")
    environment.until_app("apps")


def test_deleting_the_root_deletes_everything_it_brought(environment: Environment) -> None:
    environment.kubectl("delete", "application", "apps", "-n", "argocd", "--timeout=60s")
    for name, namespace in CHILDREN.items():
        environment.until(lambda name=name: gone(environment, "application", name, "-n", "argocd"))
        assert environment.kubectl.json("get", "deployment", name, "-n", namespace) is None
    assert environment.kubectl.json("get", "deployment", "grafana", "-n", "monitoring") is None
