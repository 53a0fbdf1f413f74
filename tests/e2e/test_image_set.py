"""`tiphys image set` in CI: the new image is committed, pushed, and live."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.e2e.test_kustomize import IMAGE, image_of, my_app, until_image
from tests.support.environment import Environment, application
from tests.support.gitrepo import GitRepository
from tests.support.manifests import deployment
from tests.support.processes import TIPHYS, clean_env

IDENTITY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "CI",
    "GIT_AUTHOR_EMAIL": "ci@example.com",
    "GIT_COMMITTER_NAME": "CI",
    "GIT_COMMITTER_EMAIL": "ci@example.com",
}


def _tiphys(cwd: Path, *words: str) -> str:
    env = {**clean_env(), "PATH": os.environ["PATH"], **IDENTITY}
    done = subprocess.run([TIPHYS, "image", *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_image_that_is_set_and_pushed_goes_live(
    environment: Environment, repo: GitRepository, namespace: str, tmp_path: Path
) -> None:
    """From a work tree as in the guide's pipeline, then without one; asked twice, nothing happens the second time."""
    repo.commit(my_app("abc12345"))
    environment.apply(application("image-set", repo.url, namespace=namespace))
    environment.until_app("image-set")

    said = _tiphys(repo.tree / "apps/my-app", "set", f"{IMAGE}={IMAGE}:def67890", "--commit", "--push")

    assert f"apps/my-app/kustomization.yaml:7: {IMAGE}:abc12345 -> {IMAGE}:def67890" in said
    until_image(environment, namespace, f"{IMAGE}:def67890")
    text = (repo.tree / "apps/my-app/kustomization.yaml").read_text()
    assert "    newTag: def67890  # CI updates only this part\n" in text

    where = ("--url", repo.url, "--branch", "main", "--path", "apps/my-app")
    first = json.loads(_tiphys(tmp_path, "set", f"{IMAGE}:12e45678", *where, "-m", "chore: update", "-o", "json"))
    until_image(environment, namespace, f"{IMAGE}:12e45678")
    assert (first["changed"], first["pushed"], first["attempts"]) == (True, True, 1)
    assert environment.until_app("image-set")["status"]["sync"]["revision"] == first["commit"]
    assert _tiphys(tmp_path, "set", f"{IMAGE}:12e45678", *where) == "unchanged\n"
    assert f"{IMAGE}:12e45678" in _tiphys(tmp_path, "list", *where)


def test_plain_manifests_get_their_image(environment: Environment, repo: GitRepository, namespace: str) -> None:
    """Without a kustomization the Deployment itself is edited."""
    repo.commit({"apps/my-app/deployment.yaml": deployment()})
    environment.apply(application("image-plain", repo.url, namespace=namespace))
    environment.until_app("image-plain")

    _tiphys(repo.tree, "set", "nginx:1.28", "--path", "apps/my-app", "--push")

    until_image(environment, namespace, "nginx:1.28")
    assert image_of(environment, namespace) == "nginx:1.28"
    assert (repo.tree / "apps/my-app/deployment.yaml").read_text() == deployment(image="nginx:1.28")
