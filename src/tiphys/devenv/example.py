"""The example repository of `tiphys up`: a bare repository with one application, to clone and push to."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

APPLICATION = "my-app"
BRANCH = "main"
_GIT_TIMEOUT_S = 60


class ExampleError(Exception):
    """The example repository could not be made."""


def ensure_repository(bare: Path, env: Mapping[str, str]) -> bool:
    """Make the repository if it is not there; True when it was made. An existing one is the user's and stays as it is."""
    if (bare / "HEAD").exists():
        return False
    if shutil.which("git", path=env.get("PATH")) is None:
        raise ExampleError("git is not on PATH; install it (Debian, Ubuntu: apt-get install git)")
    with tempfile.TemporaryDirectory(dir=bare.parent) as folder:
        made = Path(folder) / "config.git"
        tree = Path(folder) / "config"
        _git(env, "init", "-q", "--bare", str(made))
        _git(env, "--git-dir", str(made), "symbolic-ref", "HEAD", f"refs/heads/{BRANCH}")
        with as_file(files("tiphys.devenv").joinpath("example")) as example:
            shutil.copytree(example, tree, ignore=shutil.ignore_patterns("__pycache__"))
        work = ("--git-dir", str(made), "--work-tree", str(tree))
        _git(env, *work, "-c", "core.bare=false", "add", "-A")
        _git(env, *work, "-c", "core.bare=false", "commit", "-q", "-m", "my-app")
        made.rename(bare)
    return True


def application(repo_url: str) -> dict[str, Any]:
    """The Application of the example: the guide's my-app.yaml with this repository."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {
            "name": APPLICATION,
            "namespace": "argocd",
            "finalizers": ["resources-finalizer.argocd.argoproj.io"],
        },
        "spec": {
            "project": "default",
            "source": {"repoURL": repo_url, "targetRevision": BRANCH, "path": "apps/my-app"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": True},
                "syncOptions": ["CreateNamespace=true"],
                "retry": {"limit": 3, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "3m"}},
            },
        },
    }


def _git(env: Mapping[str, str], *args: str) -> None:
    clean = {
        "PATH": env.get("PATH", os.defpath),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "Tiphys",
        "GIT_AUTHOR_EMAIL": "tiphys@localhost",
        "GIT_COMMITTER_NAME": "Tiphys",
        "GIT_COMMITTER_EMAIL": "tiphys@localhost",
    }
    done = subprocess.run(
        ["git", *args], env=clean, capture_output=True, text=True, timeout=_GIT_TIMEOUT_S, check=False, umask=0o077
    )
    if done.returncode != 0:
        raise ExampleError(f"git {args[0]} failed: {done.stderr.strip()}")
