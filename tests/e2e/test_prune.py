"""What Git no longer declares is deleted, and only then."""

from __future__ import annotations

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map, my_app


def test_a_file_deleted_in_git_is_pruned(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """The ConfigMap goes, its neighbours stay."""
    repo.commit({**my_app(), "apps/my-app/config.yaml": config_map("settings", level="debug")})
    environment.apply(application("prune", repo.url, namespace=namespace))
    environment.until_app("prune")
    assert environment.kubectl.json("get", "configmap", "settings", "-n", namespace) is not None

    repo.commit({"apps/my-app/config.yaml": None})

    def gone() -> bool | Pending:
        found = environment.kubectl.json("get", "configmap", "settings", "-n", namespace)
        return found is None or Pending("still there")

    environment.until(gone, within_s=30, what="the ConfigMap to be pruned")
    environment.until_app("prune")
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", namespace) is not None


def test_an_empty_directory_does_not_wipe_out_everything(
    environment: Environment, repo: GitRepository, namespace: str
) -> None:
    """Without allowEmpty the operation is refused and everything stays."""
    repo.commit(my_app())
    environment.apply(application("wipe", repo.url, namespace=namespace))
    environment.until_app("wipe")

    repo.commit(
        {
            "apps/my-app/deployment.yaml": None,
            "apps/my-app/service.yaml": None,
            "apps/my-app/.keep": "",
        }
    )

    def refused() -> bool | Pending:
        conditions = environment.application("wipe")["status"].get("conditions") or []
        texts = [c["message"] for c in conditions if c["type"] == "SyncError"]
        return any("auto-sync will wipe out all resources" in t for t in texts) or Pending(conditions)

    environment.until(refused, within_s=30, what="the refusal to wipe out everything")
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", namespace) is not None
