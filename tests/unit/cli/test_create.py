"""What the options of `app create` make of an Application, and what is sent."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tiphys.cli.app import create as module
from tiphys.cli.main import run
from tiphys.client.api import Api
from tiphys.client.errors import NOT_FOUND, ApiFailure


class _Server:
    """Keeps what it is given, as the API does."""

    def __init__(self) -> None:
        self.apps: dict[str, dict[str, Any]] = {}
        self.validate: bool | None = None

    def get_application(self, name: str, namespace: str = "") -> dict[str, Any]:
        """The application. Raises ApiFailure."""
        if name not in self.apps:
            raise ApiFailure(NOT_FOUND, "not found")
        return self.apps[name]

    def create_application(self, obj: dict[str, Any], *, upsert: bool, validate: bool) -> dict[str, Any]:
        """Keep it."""
        self.validate = validate
        self.apps[obj["metadata"]["name"]] = obj
        return obj


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> _Server:
    """The server commands talk to."""
    server = _Server()
    monkeypatch.setattr(module, "open_api", lambda _ctx: server)
    assert set(dir(server)) - set(dir(object)) - {"apps", "validate"} <= set(dir(Api)) | {
        "__dict__",
        "__module__",
        "__weakref__",
    }
    return server


GUIDE = (
    *("app", "create", "my-app", "--repo", "https://github.com/your-org/k8s-manifests.git", "--path", "apps/my-app"),
    *("--dest-server", "https://kubernetes.default.svc", "--dest-namespace", "default"),
    *("--sync-policy", "automated", "--auto-prune", "--self-heal"),
)


def test_the_guide_s_command_makes_the_guide_s_application(server: _Server, capsys: pytest.CaptureFixture[str]) -> None:
    """As its YAML says."""
    assert run(GUIDE) == 0
    assert capsys.readouterr().out == "application 'my-app' created\n"
    assert server.apps["my-app"] == {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "my-app"},
        "spec": {
            "source": {"repoURL": "https://github.com/your-org/k8s-manifests.git", "path": "apps/my-app"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "default"},
            "syncPolicy": {"automated": {"prune": True, "selfHeal": True}},
        },
    }


def test_helm_kustomize_directory_and_plugin_options_reach_their_blocks(server: _Server) -> None:
    """Each under its own key; blocks nobody asked for stay away."""
    helm = (
        "--helm-set",
        "a=1",
        "--helm-set-string",
        "b=2",
        "--values",
        "v.yaml",
        "--release-name",
        "r",
        "--helm-skip-crds",
    )
    assert run(("app", "create", "h", "--repo", "r", "--helm-chart", "web", "--revision", "1.x", *helm)) == 0
    assert server.apps["h"]["spec"]["source"] == {
        "repoURL": "r",
        "chart": "web",
        "targetRevision": "1.x",
        "helm": {
            "valueFiles": ["v.yaml"],
            "releaseName": "r",
            "skipCrds": True,
            "parameters": [{"name": "a", "value": "1"}, {"name": "b", "value": "2", "forceString": True}],
        },
    }
    kustomize = ("--kustomize-image", "nginx=nginx:2", "--nameprefix", "p-", "--kustomize-replica", "web=3")
    assert run(("app", "create", "k", "--repo", "r", "--path", "p", *kustomize, "--kustomize-common-label", "a=b")) == 0
    assert server.apps["k"]["spec"]["source"]["kustomize"] == {
        "images": ["nginx=nginx:2"],
        "namePrefix": "p-",
        "replicas": [{"name": "web", "count": 3}],
        "commonLabels": {"a": "b"},
    }
    directory = ("--directory-recurse", "--directory-include", "*.yaml", "--jsonnet-tla-code", "x=1")
    assert run(("app", "create", "d", "--repo", "r", "--path", "p", *directory)) == 0
    assert server.apps["d"]["spec"]["source"]["directory"] == {
        "recurse": True,
        "include": "*.yaml",
        "jsonnet": {"tlas": [{"name": "x", "value": "1", "code": True}]},
    }
    assert (
        run(
            (
                "app",
                "create",
                "p",
                "--repo",
                "r",
                "--path",
                "p",
                "--config-management-plugin",
                "c",
                "--plugin-env",
                "A=b",
            )
        )
        == 0
    )
    assert server.apps["p"]["spec"]["source"]["plugin"] == {"name": "c", "env": [{"name": "A", "value": "b"}]}


def test_retry_and_sync_options(server: _Server) -> None:
    """A limit brings the default back-off; `!` removes an option."""
    options = ("--sync-option", "CreateNamespace=true", "--sync-option", "!Prune=false", "--sync-retry-limit", "3")
    assert (
        run(("app", "create", "a", "--repo", "r", "--path", "p", *options, "--sync-retry-backoff-duration", "1s")) == 0
    )
    assert server.apps["a"]["spec"]["syncPolicy"] == {
        "syncOptions": ["CreateNamespace=true"],
        "retry": {"limit": 3, "backoff": {"duration": "1s", "maxDuration": "3m0s", "factor": 2}},
    }


def test_prune_without_automation_is_refused(server: _Server, capsys: pytest.CaptureFixture[str]) -> None:
    """In Argo CD's words, with exit code 1."""
    assert run(("app", "create", "a", "--repo", "r", "--path", "p", "--auto-prune")) == 1
    assert "Cannot set --auto-prune: application not configured with automatic sync" in capsys.readouterr().err
    assert server.apps == {}


def test_options_change_what_a_file_says(server: _Server, tmp_path: Path) -> None:
    """And an application that is there is updated or unchanged."""
    file = tmp_path / "app.yaml"
    file.write_text(
        "kind: Application\nmetadata: {name: f, labels: {a: b}}\n"
        "spec: {project: default, source: {repoURL: r, path: p}, destination: {namespace: x}}\n"
    )
    assert run(("app", "create", "-f", str(file), "--path", "other", "--label", "c=d", "--validate=false")) == 0
    app = server.apps["f"]
    assert app["spec"]["source"] == {"repoURL": "r", "path": "other"}
    assert app["metadata"]["labels"] == {"a": "b", "c": "d"}
    assert server.validate is False


def test_a_file_with_something_else_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is sent."""
    file = tmp_path / "app.yaml"
    file.write_text("kind: ConfigMap\n")
    assert run(("app", "create", "-f", str(file))) == 20
    assert "expected an Application, but found ConfigMap" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code"), [(("app", "create"), 1), (("app", "create", "a", "--nope"), 1), (("app",), 1)]
)
def test_wrong_usage_ends_with_1(argv: tuple[str, ...], code: int) -> None:
    """As Argo CD's."""
    assert run(argv) == code


def test_version_of_the_client_imports_nothing_heavy() -> None:
    """Start-up time is most of what a command line feels like."""
    import subprocess

    heavy = "aiohttp sqlalchemy pygit2 uvicorn cryptography orjson yaml tiphys.engine tiphys.server tiphys.client tiphys.kube"
    code = (
        "import sys; from tiphys.cli.main import run; run(['version', '--client'])\n"
        f"print([name for name in '{heavy}'.split() if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[0].startswith("tiphys: v3.6.0+tiphys.")
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_misspelt_field_of_a_file_is_named_and_the_rest_is_created(
    server: _Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An automated policy that never comes into force because of a letter is found here, not in production."""
    file = tmp_path / "app.yaml"
    file.write_text(
        "kind: Application\nmetadata: {name: my-app}\nspec:\n  syncPolicy: {automated: {prun: true}}\n"
        "  sources: [{repoURL: https://example.com/a.git, helm: {valueFile: x.yaml}}]\n"
    )
    assert run(["app", "create", "-f", str(file)]) == 0
    assert list(server.apps) == ["my-app"]
    assert capsys.readouterr().err.splitlines() == [
        'Warning: unknown field "spec.syncPolicy.automated.prun"',
        'Warning: unknown field "spec.sources[0].helm.valueFile"',
    ]
