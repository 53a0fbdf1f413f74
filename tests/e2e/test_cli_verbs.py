"""The verbs of the CLI against the engine that runs, under the name that the guide uses."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.support.environment import Environment
from tests.support.gitrepo import GitRepository
from tests.support.manifests import my_app
from tests.support.processes import TIPHYS, clean_env

CLUSTER = "https://kubernetes.default.svc"


@dataclass
class Cli:
    """The CLI, started as `argocd`, with a home of its own."""

    home: Path
    program: Path

    def __call__(self, *args: str, rc: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run it; fails with its output when it ends otherwise."""
        done = subprocess.run(
            [str(self.program), *args],
            env=clean_env(HOME=str(self.home), TZ="UTC", **env),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == rc, f"{args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def out(self, *args: str, rc: int = 0, **env: str) -> str:
        """What it printed."""
        return self(*args, rc=rc, **env).stdout


@pytest.fixture
def cli(environment: Environment, tmp_path: Path) -> Cli:
    """Logged in as the guide says."""
    program = tmp_path / "argocd"
    program.symlink_to(TIPHYS)
    cli = Cli(tmp_path, program)
    address = (environment.root / "engine.address").read_text().strip()
    password = cli.out(
        *("admin", "initial-password", "-n", "argocd", "--kubeconfig", str(environment.cluster.kubeconfig))
    ).splitlines()[0]
    server = urlsplit(address).netloc
    cli("login", server, "--plaintext", "--grpc-web", "--username", "admin", "--password", password)
    return cli


@pytest.fixture
def app(cli: Cli, repo: GitRepository, namespace: str) -> Iterator[str]:
    """An application in sync, gone afterwards."""
    repo.commit(my_app())
    name = f"verbs-{namespace}"
    cli(
        *("app", "create", name, "--repo", repo.url, "--path", "apps/my-app"),
        *("--dest-server", CLUSTER, "--dest-namespace", namespace, "--sync-option", "CreateNamespace=true"),
    )
    cli("app", "sync", name, "--timeout", "60")
    yield name
    cli("app", "delete", name, "--wait", "-y")


def test_the_guide_s_commands_under_the_guide_s_name(cli: Cli, repo: GitRepository, namespace: str) -> None:
    """Create, get, sync, list, history, rollback: word for word but for names."""
    assert cli.out("version", "--client").startswith("argocd: v3.6.0+tiphys.")
    repo.commit(my_app())
    name = f"guide-{namespace}"
    cli(
        *("app", "create", name, "--repo", repo.url, "--path", "apps/my-app"),
        *("--dest-server", CLUSTER, "--dest-namespace", namespace),
        *("--sync-policy", "automated", "--auto-prune", "--self-heal", "--sync-option", "CreateNamespace=true"),
    )
    cli("app", "wait", name, "--timeout", "60")
    assert "Sync Policy:        Automated (Prune)" in cli.out("app", "get", name)
    assert "Phase:              Succeeded" in cli.out("app", "sync", name)
    assert f"argocd/{name}  " in cli.out("app", "list")
    repo.commit(my_app(image="nginx:1.28"))
    cli("app", "get", name, "--refresh")
    cli("app", "wait", name, "--timeout", "60")
    first = cli.out("app", "history", name, "-o", "id").split()[0]
    cli("app", "rollback", name, first, "--timeout", "60")
    assert "image: nginx:1.27" in cli.out("app", "manifests", name, "--source", "live")
    assert cli.out("app", "resume", name) == f"Application '{name}' resumed\n"
    assert cli.out("app", "delete", name, "--wait", "-y") == f"application '{name}' deleted\n"


def test_set_unset_and_edit_change_the_spec(cli: Cli, app: str, tmp_path: Path) -> None:
    """The server has what was asked for; a text it refuses is kept."""
    cli("app", "set", app, "--directory-recurse", "--sync-option", "Prune=confirm", "--revision", "main")
    spec = json.loads(cli.out("app", "get", app, "-o", "json"))["spec"]
    assert spec["source"]["directory"] == {"recurse": True}
    assert spec["source"]["targetRevision"] == "main"
    assert spec["syncPolicy"]["syncOptions"] == ["CreateNamespace=true", "Prune=confirm"]
    cli("app", "set", app, "--kustomize-image", "nginx:9", "--validate=false")
    cli("app", "unset", app, "--kustomize-image", "nginx")
    assert "kustomize" not in json.loads(cli.out("app", "get", app, "-o", "json"))["spec"]["source"]
    assert cli.out("app", "edit", app, EDITOR="true") == "Edit cancelled, no changes made.\n"
    said = cli.out("app", "edit", app, EDITOR="sed -i s/Prune=confirm/Prune=false/")
    assert said == f"Application '{app}' updated successfully\n"
    refused = cli("app", "edit", app, EDITOR=r"sed -i s/project:.*/project:\ none/", rc=20)
    message = json.loads(refused.stderr)["msg"]
    kept = Path(message.rsplit(" ", 1)[1].rstrip(")"))
    assert "project: none" in kept.read_text()
    kept.unlink()
    patched = cli.out("app", "patch", app, "--type", "merge", "--patch", '{"spec": {"revisionHistoryLimit": 3}}')
    assert "revisionHistoryLimit: 3" in patched


def test_diff_shows_what_a_sync_would_change(
    environment: Environment, cli: Cli, app: str, repo: GitRepository, namespace: str
) -> None:
    """In the cluster, in Git, at a revision; nothing when they are equal."""
    assert cli.out("app", "diff", app, "--refresh") == ""
    environment.kubectl.run("scale", "deployment", "my-app", "-n", namespace, "--replicas=5")
    shown = cli.out("app", "diff", app, "--refresh", rc=1)
    assert f"\n===== apps/Deployment {namespace}/my-app ======\n@@ " in shown
    assert "@@ spec.replicas\n" in shown
    assert "\n-  replicas: 5\n+  replicas: 2\n" in shown
    assert cli.out("app", "diff", app, "--stat", "--exit-code=false").splitlines()[-1] == "1 to update; +1 -1 lines"
    (change,) = json.loads(cli.out("app", "diff", app, "-o", "json", "--diff-exit-code", "3", rc=3))
    assert (change["kind"], change["change"], change["paths"]) == ("Deployment", "update", ["spec.replicas"])
    cli("app", "sync", app)
    sha = repo.commit({"apps/my-app/service.yaml": None, **my_app(image="nginx:1.28")})
    repo.commit({"apps/my-app/service.yaml": None})
    at = cli.out("app", "diff", app, "--revision", sha, rc=1)
    assert "+      - image: nginx:1.28" in at


def test_a_preview_shows_the_diff_and_asks(environment: Environment, cli: Cli, app: str, namespace: str) -> None:
    """Without a terminal the answer is no, unless it is given."""
    environment.kubectl.run("scale", "deployment", "my-app", "-n", namespace, "--replicas=5")
    cli("app", "get", app, "--refresh")
    assert "-  replicas: 5" in cli.out("app", "sync", app, "--preview-changes")
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)["spec"]["replicas"] == 5
    cli("app", "sync", app, "--preview-changes", "--assumeYes")
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)["spec"]["replicas"] == 2


def test_live_objects_are_read_patched_acted_on_and_deleted(
    environment: Environment, cli: Cli, app: str, namespace: str
) -> None:
    """By kind and name."""
    fields = cli.out("app", "get-resource", app, "--kind", "Deployment", "--filter-fields", "spec.replicas")
    assert [line.split() for line in fields.splitlines()[1:]] == [["spec.replicas", "my-app", "2"]]
    listed = cli.out("app", "actions", "list", app, "--kind", "Deployment", "--out", "json")
    assert "restart" in [row["action"] for row in json.loads(listed)]
    before = environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)["metadata"]["generation"]
    cli("app", "actions", "run", app, "restart", "--kind", "Deployment", "--resource-name", "my-app")
    assert environment.kubectl.json("get", "deployment", "my-app", "-n", namespace)["metadata"]["generation"] > before
    patch = ("--patch", '{"metadata": {"labels": {"team": "shop"}}}')
    cli("app", "patch-resource", app, "--kind", "Service", "--resource-name", "my-app", *patch)
    assert environment.kubectl.json("get", "service", "my-app", "-n", namespace)["metadata"]["labels"]["team"] == "shop"
    cli("app", "delete-resource", app, "--kind", "Service", "--resource-name", "my-app")
    assert environment.kubectl.json("get", "service", "my-app", "-n", namespace) is None
    cli("app", "delete-resource", app, "--kind", "Nothing", rc=20)
    cli("app", "logs", app, "--tail", "1", "--prefix")


def test_several_are_waited_for_at_the_same_time_and_each_failure_has_its_exit_code(
    cli: Cli, app: str, repo: GitRepository, namespace: str
) -> None:
    """One that is not in sync makes the wait end with its time."""
    other = f"{app}-other"
    cli(
        *("app", "create", other, "--repo", repo.url, "--path", "apps/my-app", "--label", "team=shop"),
        *("--dest-server", CLUSTER, "--dest-namespace", f"{namespace}-other"),
    )
    options = ("--sync", "--timeout", "2")
    done = cli("app", "wait", app, other, *options, rc=1)
    assert f"Name:               argocd/{app}\n" in done.stdout
    assert json.loads(done.stderr)["msg"] == f'timed out (2s) waiting for app "{other}" match desired state'
    cli("app", "wait", "-l", "team=shop", *options, "--exit-codes", "extended", rc=3)
    cli("app", "delete", other, "-y", "--wait")


def test_a_watch_tells_changes_as_they_come(cli: Cli, app: str, namespace: str) -> None:
    """A line for each, to a program."""
    argv = [str(cli.program), "app", "list", "--watch", "-o", "name", "--filter", "health=Healthy"]
    env = clean_env(HOME=str(cli.home))
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout is not None
        deadline = threading.Timer(30.0, watch.kill)
        deadline.start()
        try:
            found = next((line for line in watch.stdout if line == f"argocd/{app}\n"), "")
        finally:
            watch.kill()
            deadline.cancel()
    assert found == f"argocd/{app}\n"


def test_the_shell_completes_names(cli: Cli, app: str) -> None:
    """Of applications and their history; of nothing when there is no server."""

    def complete(words: str, **env: str) -> list[str]:
        ask = {"_ARGOCD_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), **env}
        return [line.removeprefix("plain,") for line in cli.out(rc=0, **ask).split()]

    assert complete("argocd app get verbs") == [
        name for name in complete("argocd app get ") if name.startswith("verbs")
    ]
    assert app in complete("argocd app delete --wait ver")
    assert complete(f"argocd app rollback {app} ") == ["0"]
    assert complete("argocd app get ver", ARGOCD_SERVER="127.0.0.1:1") == []


def test_a_password_hash_is_one_that_accounts_can_have(cli: Cli) -> None:
    """bcrypt, at Argo CD's cost."""
    assert cli.out("account", "bcrypt", "--password", "x").startswith("$2b$10$")
    token = cli.out("account", "session-token").strip()
    assert json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))["sub"].startswith("admin")
    assert os.access(cli.home / ".config" / "argocd" / "config", os.R_OK)


def test_a_project_its_role_and_windows(cli: Cli) -> None:
    """Made, changed, shown and gone again; the role's token counts until it is revoked."""
    cli("proj", "create", "shop", "--dest", "*,*", "--src", "*")
    try:
        cli("proj", "set", "shop", "--description", "The shop")
        cli("proj", "add-source", "shop", "https://example.com/r.git")
        cli("proj", "allow-cluster-resource", "shop", "", "Namespace")
        assert "The shop     *,*           2 repos" in cli.out("proj", "list")
        cli(
            "proj",
            "windows",
            "add",
            "shop",
            "-k",
            "deny",
            "--schedule",
            "0 22 * * *",
            "--duration",
            "1h",
            "--applications",
            "*",
        )
        cli("proj", "windows", "enable-manual-sync", "shop", "0")
        assert cli.out("proj", "windows", "list", "shop").splitlines()[1].split()[:2] == ["0", "deny"]
        cli("proj", "windows", "delete", "shop", "0")
        cli("proj", "role", "create", "shop", "ci")
        cli("proj", "role", "add-policy", "shop", "ci", "--action", "get", "--object", "*")
        assert "p, proj:shop:ci, applications, get, shop/*, allow\n" in cli.out("proj", "role", "get", "shop", "ci")
        token = cli.out("proj", "role", "create-token", "shop", "ci", "-e", "1h", "--token-only").strip()
        as_role = ("--auth-token", token)
        assert cli.out("account", "can-i", "get", "applications", "shop/x", *as_role) == "yes\n"
        assert cli.out("account", "can-i", "sync", "applications", "shop/x", *as_role) == "no\n"
        issued = cli.out("proj", "role", "list-tokens", "shop", "ci", "--unixtime").splitlines()[1].split()[1]
        cli("proj", "role", "delete-token", "shop", "ci", issued)
        cli("app", "list", *as_role, rc=20)
    finally:
        cli("proj", "delete", "shop")
