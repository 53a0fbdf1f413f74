"""Repositories made to do harm: the Application names the limit that was hit, and every other one goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.githttp import serve_git
from tests.support.gitrepo import GitRepository
from tests.support.manifests import config_map

REFRESH = "argocd.argoproj.io/refresh=normal"


def until_said(environment: Environment, name: str, text: str) -> None:
    """Until a condition of the Application holds the text."""

    def look() -> bool | Pending:
        conditions = ((environment.application(name) or {}).get("status") or {}).get("conditions") or []
        return any(text in condition["message"] for condition in conditions) or Pending(conditions)

    environment.until(look, within_s=60, what=f"{text!r} said by {name}")


def _link(target: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        os.symlink(target, folder / "evil.yaml")

    return make


def _links_in_a_circle(folder: Path) -> None:
    os.symlink("b.yaml", folder / "a.yaml")
    os.symlink("a.yaml", folder / "b.yaml")


def _alias_bomb(folder: Path) -> None:
    lines = ["apiVersion: v1", "kind: ConfigMap", "metadata: {name: x}", "a: &a [x,x,x,x,x,x,x,x,x]"]
    lines += [f"{c}: &{c} [{','.join(['*' + p] * 9)}]" for p, c in zip("abcdefghi", "bcdefghij", strict=True)]
    (folder / "bomb.yaml").write_text("\n".join(lines) + "\n")


def _large(folder: Path) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: |\n"
    (folder / "large.yaml").write_text(text + ("    " + "x" * 95 + "\n") * 200_000)


def _deep(folder: Path) -> None:
    (folder / "deep.yaml").write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\na: " + "[" * 100_000)


def _many(folder: Path) -> None:
    for number in range(20_000):
        (folder / f"f{number}.yaml").write_text(config_map(f"c{number}", a="b"))


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "absolute-link": (_link("/etc/passwd"), "evil.yaml: a link in this path is absolute"),
    "link-outside": (_link("../../../../../etc/passwd"), "evil.yaml: a link in this path leads out of the repository"),
    "circle": (_links_in_a_circle, "more than 40 links to follow"),
    "alias-bomb": (_alias_bomb, "document contains excessive aliasing"),
    "large-file": (_large, "exceeded max combined manifest file size"),
    "deep": (_deep, "nested more than 200 deep"),
    "many-objects": (_many, "the status of this Application is too large"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_repository_hits_a_limit_that_is_named(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path, what: str
) -> None:
    make, says = HOSTILE[what]
    folder = repo.tree / "apps" / "my-app"
    folder.mkdir(parents=True)
    make(folder)
    repo.commit({})
    environment.apply(application(f"hostile-{what}", repo.url, namespace=namespace))
    until_said(environment, f"hostile-{what}", says)

    (tmp_path / "good").mkdir()
    good = GitRepository(tmp_path / "good")
    good.commit({"apps/my-app/config.yaml": config_map("good", a="b")})
    environment.apply(application(f"beside-{what}", good.url, namespace=namespace))
    environment.until_app(f"beside-{what}")
    for name in (f"hostile-{what}", f"beside-{what}"):
        environment.kubectl("delete", "application", name, "-n", "argocd", "--wait=false")


def test_a_repository_over_http_goes_away_and_comes_back(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    """Credentials in the URL are used, and said nowhere."""
    name, user, password = "over-http", "jo", "canary-http-password"
    repo.commit({"apps/my-app/config.yaml": config_map("settings", level="one")})

    def refresh() -> None:
        environment.kubectl("annotate", "application", name, "-n", "argocd", REFRESH, "--overwrite")

    with serve_git(tmp_path, user=user, password=password) as port:
        url = f"http://{user}:{password}@127.0.0.1:{port}/{repo.bare.name}"
        environment.apply(application(name, url, namespace=namespace))
        environment.until_app(name)
        repo.commit({"apps/my-app/config.yaml": config_map("settings", level="two")})
        refresh()

        def look() -> bool | Pending:
            found = environment.kubectl.json("get", "configmap", "settings", "-n", namespace)
            return found["data"]["level"] == "two" or Pending(found["data"])

        environment.until(look, what="the pushed change, after a refresh")
    refresh()
    until_said(environment, name, f"failed to fetch http://127.0.0.1:{port}/")
    assert environment.kubectl.json("get", "configmap", "settings", "-n", namespace)["data"]["level"] == "two"
    assert password not in json.dumps(environment.application(name)["status"]["conditions"])
    with serve_git(tmp_path, port=port):
        refresh()
        environment.until_app(name)
    assert password not in environment.engine.output()
    environment.kubectl("delete", "application", name, "-n", "argocd", "--wait=false")
