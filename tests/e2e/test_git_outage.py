"""A Git host that goes away: nothing is undone, live state is still defended, and its return needs nobody."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.githttp import serve_git
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

REFRESH = "argocd.argoproj.io/refresh=normal"


def test_an_outage_is_said_with_the_state_that_is_shown_and_ends_by_itself(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    name = "outage"
    good = repo.commit({"apps/my-app/config.yaml": config_map("settings", level="one")})
    (tmp_path / "other").mkdir()
    other = GitRepository(tmp_path / "other")
    other.commit({"apps/my-app/config.yaml": config_map("other", level="one")})
    environment.apply(application("beside-outage", other.url, namespace=namespace))

    def found(which: str = "settings") -> Any:
        return environment.kubectl.json("get", "configmap", which, "-n", namespace)

    def conditions() -> list[Any]:
        return (environment.application(name)["status"]).get("conditions") or []

    with serve_git(tmp_path) as port:
        environment.apply(application(name, f"http://127.0.0.1:{port}/{repo.bare.name}", namespace=namespace))
        environment.until_app(name)
    environment.until_app("beside-outage")

    environment.kubectl("delete", "configmap", "settings", "-n", namespace)
    environment.until(lambda: found() is not None or Pending("it is gone"), what="self-heal while the host is away")
    environment.until_app(name)

    environment.kubectl("annotate", "application", name, "-n", "argocd", REFRESH, "--overwrite")
    environment.until(lambda: bool(conditions()) or Pending("no condition"), what="the outage to be said")
    said = conditions()[0]
    assert said["type"] == "ComparisonError"
    assert f"failed to fetch http://127.0.0.1:{port}/{repo.bare.name}: connection refused" in said["message"]
    assert re.search(rf"was last fetched \S+Z at {good[:7]}, which is the state shown", said["message"])
    app = environment.application(name)
    assert (app["status"]["sync"]["status"], app["status"]["sync"]["revision"]) == ("Unknown", good)
    assert found()["data"]["level"] == "one"
    assert environment.until_app("beside-outage")["status"].get("conditions") is None

    repo.commit({"apps/my-app/config.yaml": config_map("settings", level="two")})
    with serve_git(tmp_path, port=port):
        environment.until(
            lambda: found()["data"]["level"] == "two" or Pending(found()["data"]),
            what="the commit made during the outage",
        )
        assert environment.until_app(name)["status"].get("conditions") is None
    for one in (name, "beside-outage"):
        environment.kubectl("delete", "application", one, "-n", "argocd", "--wait=false")
