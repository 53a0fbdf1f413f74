"""What is deployed: applications of four plain objects each, in one repository."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PAYLOAD = "".join(f"setting.{n:03d}=value-{n:03d}\\n" for n in range(80))  # about 2 KB


def app_name(number: int) -> str:
    """Name of an application and of its folder."""
    return f"app-{number:04d}"


def namespace_of(number: int) -> str:
    """Ten namespaces share the applications."""
    return f"fleet-{number % 10}"


def manifests(number: int, *, version: str = "0", image: str = "nginx:1.27") -> dict[str, str]:
    """The files of one application: ServiceAccount, Service, Deployment without replicas, ConfigMap of 2 KB."""
    name = app_name(number)
    return {
        f"apps/{name}/serviceaccount.yaml": f"apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: {name}\n",
        f"apps/{name}/service.yaml": f"""\
apiVersion: v1
kind: Service
metadata:
  name: {name}
  labels:
    app: {name}
spec:
  selector:
    app: {name}
  ports:
    - name: http
      port: 80
      targetPort: 8080
""",
        f"apps/{name}/deployment.yaml": f"""\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app: {name}
spec:
  replicas: 0
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      serviceAccountName: {name}
      containers:
        - name: main
          image: {image}
          ports:
            - name: http
              containerPort: 8080
          resources:
            requests:
              cpu: 100m
              memory: 64Mi
            limits:
              memory: 128Mi
          readinessProbe:
            httpGet:
              path: /healthz
              port: http
""",
        f"apps/{name}/configmap.yaml": config_map(number, version),
    }


def config_map(number: int, version: str) -> str:
    """The file that a commit to one application changes."""
    return f"""\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {app_name(number)}
data:
  version: "{version}"
  settings: "{PAYLOAD}"
"""


def application(
    name: str, url: str, *, path: str, namespace: str, options: tuple[str, ...] = (), self_heal: bool = True
) -> dict[str, Any]:
    """An automated Application."""
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": url, "path": path, "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
            "syncPolicy": {
                "automated": {"prune": True, "selfHeal": self_heal},
                **({"syncOptions": list(options)} if options else {}),
            },
        },
    }


class Repository:
    """A bare repository and a work tree that pushes to it. Committing and pushing are apart, so that a push can be timed."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True)
        self.bare, self._tree = root / "fleet.git", root / "fleet"
        self._git(root, "init", "-q", "--bare", "-b", "main", str(self.bare))
        self._git(root, "init", "-q", "-b", "main", str(self._tree))
        self._git(self._tree, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        """file:// URL of the bare repository."""
        return self.bare.as_uri()

    def commit(self, files: Mapping[str, str], message: str = "change") -> str:
        """Write files and commit them; the commit's id."""
        for name, text in files.items():
            path = self._tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git(self._tree, "add", "-A")
        self._git(self._tree, "commit", "-q", "-m", message)
        return self._git(self._tree, "rev-parse", "HEAD").strip()

    def push(self) -> None:
        """Push what is committed."""
        self._git(self._tree, "push", "-q", "origin", "main")

    @staticmethod
    def _git(cwd: Path, *args: str) -> str:
        who = {"NAME": "bench", "EMAIL": "bench@example.com"}
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
        env |= {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()}
        done = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
        if done.returncode != 0:
            raise RuntimeError(f"git {' '.join(args)}: {done.stderr}")
        return done.stdout


def show(result: dict[str, Any]) -> str:
    """A result as JSON text."""
    return json.dumps(result, indent=1, default=str)
