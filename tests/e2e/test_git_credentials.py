"""Private repositories: Secrets, templates, projects, ssh; each change of them counts at once, and none is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.environment import Environment, application
from tests.support.expect import Pending
from tests.support.githttp import serve_git
from tests.support.gitrepo import GitRepository
from tests.support.gitssh import serve_ssh, why_no_sshd
from tests.support.manifests import config_map

USER, PASSWORD = "jo", "canary-git-password"
MANIFEST = {"apps/my-app/config.yaml": config_map("settings", level="one")}


def secret(name: str, kind: str = "repository", **keys: str) -> str:
    obj = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "argocd", "labels": {"argocd.argoproj.io/secret-type": kind}},
        "stringData": keys,
    }
    return json.dumps(obj)


@pytest.fixture
def secrets(environment: Environment) -> Iterator[None]:
    """Repository Secrets are gone afterwards."""
    yield
    for kind in ("repository", "repo-creds"):
        environment.kubectl("delete", "secret", "-n", "argocd", "-l", f"argocd.argoproj.io/secret-type={kind}")


def until_said(environment: Environment, name: str, text: str) -> None:
    def look() -> bool | Pending:
        conditions = ((environment.application(name) or {}).get("status") or {}).get("conditions") or []
        return any(text in condition["message"] for condition in conditions) or Pending(conditions)

    environment.until(look, within_s=30, what=f"{text!r} said by {name}")


def gone(environment: Environment, *names: str) -> None:
    for name in names:
        environment.kubectl("delete", "application", name, "-n", "argocd", "--wait=false")


@pytest.mark.usefixtures("secrets")
def test_a_secret_opens_its_repository_at_once(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    """Without one the Application says what is missing; with a wrong one too; nothing has to be restarted or refreshed."""
    repo.commit(MANIFEST)
    with serve_git(tmp_path, user=USER, password=PASSWORD) as port:
        url = f"http://127.0.0.1:{port}/{repo.bare.name}"
        environment.apply(application("private", url, namespace=namespace))
        until_said(environment, "private", "authentication required; add credentials for it to a repository Secret")
        environment.apply(secret("repo-private", url=url, username=USER, password="wrong-canary"))
        until_said(environment, "private", "the credentials in its Secret were refused")
        environment.apply(secret("repo-private", url=url.removesuffix(".git"), username=USER, password=PASSWORD))
        environment.until_app("private", within_s=15)
        environment.apply(secret("repo-private", url=url, username=USER, password=PASSWORD, insecure="maybe"))
        until_said(environment, "private", "Secret repo-private: insecure is not a boolean")
        environment.apply(secret("repo-private", url=url, username=USER, password=PASSWORD, insecure="false"))
        environment.until_app("private", within_s=15)
        environment.kubectl("delete", "secret", "repo-private", "-n", "argocd")
        until_said(environment, "private", "authentication required; add credentials")
        assert environment.kubectl.json("get", "configmap", "settings", "-n", namespace) is not None
        shown = json.dumps(environment.application("private")) + environment.engine.output()
        assert PASSWORD not in shown
        assert "wrong-canary" not in shown
    gone(environment, "private")


@pytest.mark.usefixtures("secrets")
def test_a_template_opens_every_repository_below_it_and_a_projects_secret_its_own_only(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    repo.commit(MANIFEST)
    project = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AppProject",
        "metadata": {"name": "blue", "namespace": "argocd"},
        "spec": {
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }
    environment.apply(json.dumps(project))
    with serve_git(tmp_path, user=USER, password=PASSWORD) as port:
        url = f"http://127.0.0.1:{port}/{repo.bare.name}"
        blue = application("of-blue", url, namespace=namespace).replace("project: default", "project: blue")
        environment.apply(blue)
        until_said(environment, "of-blue", f"application repo {url} is not permitted in project 'blue'")
        environment.apply(secret("repo-blue", url=url, username=USER, password=PASSWORD, project="blue"))
        environment.until_app("of-blue", within_s=30)

        environment.apply(application("of-default", url, namespace=f"{namespace}-d"))
        until_said(environment, "of-default", "authentication required; add credentials")
        start = f"http://127.0.0.1:{port}"
        environment.apply(secret("creds", "repo-creds", url=start, username=USER, password=PASSWORD))
        environment.until_app("of-default", within_s=15)
    assert PASSWORD not in environment.engine.output()
    gone(environment, "of-blue", "of-default")


@pytest.mark.usefixtures("secrets")
def test_a_version_range_follows_the_tags(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    """`^1` takes the newest 1.x that is tagged, and not what is on the branch or in 2.0."""

    def release(tag: str, level: str) -> None:
        repo.commit({"apps/my-app/config.yaml": config_map("settings", level=level)})
        repo._git(repo.tree, "tag", tag)
        repo._git(repo.tree, "push", "-q", "origin", tag)

    release("v1.0.0", "one")
    environment.apply(
        application("ranged", repo.url, namespace=namespace).replace("targetRevision: main", 'targetRevision: "^1"')
    )
    environment.until_app("ranged")

    def level() -> str:
        return str(environment.kubectl.json("get", "configmap", "settings", "-n", namespace)["data"]["level"])

    assert level() == "one"
    release("v2.0.0", "two")
    release("v1.10.0", "one-ten")
    environment.until(lambda: level() == "one-ten" or Pending(level()), within_s=20, what="the newest 1.x")
    gone(environment, "ranged")


@pytest.mark.usefixtures("secrets")
def test_ssh_needs_a_known_host_and_a_key(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    reason = why_no_sshd()
    if reason:
        pytest.skip(reason)
    repo.commit(MANIFEST)
    with serve_ssh(tmp_path / "sshd") as server:
        url = server.url(repo.bare)
        environment.apply(secret("repo-ssh", url=url, sshPrivateKey=server.private_key))
        environment.apply(application("over-ssh", url, namespace=namespace))
        until_said(environment, "over-ssh", "knownhosts: key is unknown; add the keys of 127.0.0.1 to")
        known = {"data": {"ssh_known_hosts": server.known_hosts}}
        environment.kubectl(
            "patch", "configmap", "argocd-ssh-known-hosts-cm", "-n", "argocd", "--type=merge", "-p", json.dumps(known)
        )
        environment.until_app("over-ssh", within_s=15)
        private = environment.root / "engine" / "mirrors" / "private"
        environment.until(
            lambda: not list(private.iterdir()) or Pending(list(private.iterdir())), what="no key where no git runs"
        )
        assert server.private_key.splitlines()[1] not in environment.engine.output()
    gone(environment, "over-ssh")
