"""The guide's commands as a user types them, against the engine that runs."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.environment import Environment
from tests.support.gitrepo import GitRepository
from tests.support.manifests import deployment, my_app
from tests.support.processes import TIPHYS, clean_env

CLUSTER = "https://kubernetes.default.svc"


@dataclass
class Cli:
    """The CLI with a home of its own."""

    home: Path
    server: str

    def __call__(self, *args: str, rc: int = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run it; fails with its output when it ends otherwise."""
        env = clean_env(HOME=str(self.home), TZ="UTC")
        argv = [TIPHYS, *args]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=90, check=False, input=stdin)
        assert done.returncode == rc, f"{args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def out(self, *args: str, rc: int = 0) -> str:
        """What it printed."""
        return self(*args, rc=rc).stdout


@pytest.fixture
def password(environment: Environment) -> str:
    """The initial password of admin."""
    secret = environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
    return base64.b64decode(secret["data"]["password"]).decode()


@pytest.fixture
def anonymous(environment: Environment, tmp_path: Path) -> Cli:
    """The CLI, not logged in."""
    address = (environment.root / "engine.address").read_text().strip()
    return Cli(tmp_path, urlsplit(address).netloc)


@pytest.fixture
def cli(anonymous: Cli, password: str) -> Cli:
    """The CLI, logged in."""
    anonymous("login", anonymous.server, "--plaintext", "--grpc-web", "--username", "admin", "--password", password)
    return anonymous


@pytest.fixture
def app(cli: Cli, repo: GitRepository, namespace: str) -> Iterator[str]:
    """An application made the guide's way, gone afterwards."""
    repo.commit(my_app())
    name = f"cli-{namespace}"
    said = cli.out(
        *("app", "create", name, "--repo", repo.url, "--path", "apps/my-app"),
        *("--dest-server", CLUSTER, "--dest-namespace", namespace, "--sync-option", "CreateNamespace=true"),
    )
    assert said == f"application '{name}' created\n"
    yield name
    cli("app", "delete", name, "--wait", "-y")


def test_login_remembers_the_server_as_the_current_context(cli: Cli) -> None:
    """Nothing else need be named afterwards, and the file is private."""
    assert cli.out("account", "get-user-info").startswith("Logged In: true\nUsername: admin\n")
    path = cli.home / ".config" / "argocd" / "config"
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"*        {cli.server}" in cli.out("context")


def test_a_wrong_password_ends_with_20_and_one_json_line(anonymous: Cli) -> None:
    """Programs read stderr; nothing is written."""
    done = anonymous("login", anonymous.server, "--plaintext", "--username", "admin", "--password", "wrong", rc=20)
    line = json.loads(done.stderr)
    assert line["level"] == "fatal"
    assert line["msg"] == "rpc error: code = Unauthenticated desc = Invalid username or password"
    assert not (anonymous.home / ".config").exists()


def test_create_sync_wait_history_delete(cli: Cli, app: str, repo: GitRepository, namespace: str) -> None:
    """The guide's chapter, as printed."""
    assert f"{app}  " in cli.out("app", "list")
    synced = cli.out("app", "sync", app)
    assert "Phase:              Succeeded" in synced
    assert "TIMESTAMP" in synced.splitlines()[0]
    cli("app", "wait", app, "--timeout", "60")
    shown = cli.out("app", "get", app)
    assert "Sync Status:        Synced to" in shown
    assert "Health Status:      Healthy" in shown
    assert "Waiting For:" not in shown
    history = cli.out("app", "history", app).splitlines()
    assert history[0] == f"SOURCE  {repo.url}"
    assert history[1].split() == ["ID", "DATE", "REVISION"]
    assert history[2].startswith("0       20")
    assert " +0000 UTC  " in history[2]
    named = cli.out("app", "list", "-o", "name").splitlines()
    assert f"argocd/{app}" in named
    assert json.loads(cli.out("app", "get", app, "-o", "json"))["status"]["sync"]["status"] == "Synced"


def test_creating_again_is_unchanged_and_upsert_updates(
    cli: Cli, app: str, repo: GitRepository, namespace: str
) -> None:
    """A different spec is refused without --upsert."""
    same = ("app", "create", app, "--repo", repo.url, "--dest-server", CLUSTER, "--dest-namespace", namespace)
    options = ("--sync-option", "CreateNamespace=true")
    assert cli.out(*same, "--path", "apps/my-app", *options) == f"application '{app}' unchanged\n"
    refused = cli(*same, "--path", "apps/other", *options, rc=20)
    assert "existing application spec is different, use upsert flag to force update" in refused.stderr
    assert cli.out(*same, "--path", "apps/my-app", *options, "--label", "team=shop", "--upsert") == (
        f"application '{app}' updated\n"
    )
    assert cli.out("app", "list", "-l", "team=shop", "-o", "name") == f"argocd/{app}\n"


def test_get_says_what_it_waits_for_and_wait_gives_up_in_time(
    cli: Cli, app: str, repo: GitRepository, namespace: str
) -> None:
    """A Pod that never becomes ready: the line names the resource, the wait ends with 1."""
    text = deployment(image="nginx:broken")
    repo.commit({"apps/my-app/deployment.yaml": text})
    assert "Waiting For:        a sync: 2 of 2 resources out of sync" in cli.out("app", "get", app, "--refresh")
    cli("app", "sync", app)
    gave_up = cli("app", "wait", app, "--health", "--timeout", "2", rc=1)
    assert "timed out (2s) waiting for app" in gave_up.stderr
    assert "The command timed out waiting for the conditions to be met." in gave_up.stdout
    shown = cli.out("app", "get", app)
    assert f"Waiting For:        Deployment {namespace}/my-app: Progressing" in shown


def test_sync_tells_that_resources_require_pruning(
    environment: Environment, cli: Cli, app: str, repo: GitRepository, namespace: str
) -> None:
    """Without --prune they stay, and the exit code says that the result is not what Git declares."""
    cli("app", "sync", app)
    repo.commit({"apps/my-app/service.yaml": None})
    kept = cli("app", "sync", app, rc=1)
    assert "1 resources require pruning" in kept.stderr
    assert "Succeeded  Pruned" in cli.out("app", "sync", app, "--prune")
    assert environment.kubectl.json("get", "service", "my-app", "-n", namespace) is None


def test_options_are_taken_before_and_after_the_verb(anonymous: Cli, password: str, app: str) -> None:
    """And a token stands in for a context."""
    cli = anonymous
    contexts = (cli.home / ".config" / "argocd" / "config").read_text()
    token = next(line for line in contexts.splitlines() if "auth-token:" in line).split(": ", 1)[1]
    (cli.home / ".config" / "argocd" / "config").unlink()
    options = ("--server", cli.server, "--plaintext=true", "--auth-token", token)
    assert cli.out(*options, "app", "list", "-o", "name") == cli.out("app", "list", "-o", "name", *options)
    unspecified = cli("app", "list", rc=20)
    assert "Argo CD server address unspecified" in unspecified.stderr
    cli("login", cli.server, "--plaintext", "--username", "admin", "--password", password)


def test_a_new_password_counts_at_once_and_the_context_stays_logged_in(cli: Cli, password: str) -> None:
    """The guide's update-password."""
    new = "a-new-password-1"
    said = cli.out("account", "update-password", "--current-password", password, "--new-password", new)
    assert said == f"Password updated\nContext '{cli.server}' updated\n"
    try:
        assert "Logged In: true" in cli.out("account", "get-user-info")
        cli("login", cli.server, "--plaintext", "--username", "admin", "--password", password, rc=20)
    finally:
        cli("account", "update-password", "--current-password", new, "--new-password", password)


def test_an_application_that_is_not_there_is_permission_denied(cli: Cli) -> None:
    """As Argo CD answers, so that names cannot be guessed."""
    done = cli("app", "get", "nothing", rc=20)
    assert json.loads(done.stderr)["msg"] == "rpc error: code = PermissionDenied desc = permission denied"


def test_version_names_client_and_server(cli: Cli) -> None:
    """Both speak Argo CD's 3.6."""
    lines = cli.out("version", "--short").splitlines()
    assert [line.split(": ")[0] for line in lines] == ["tiphys", "argocd-server"]
    assert all(line.split(": ")[1].startswith("v3.6.0+tiphys.") for line in lines)
