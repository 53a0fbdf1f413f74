"""One engine and several destination clusters: one that dies takes only its own Applications with it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.clienttls import NAME, Front, client_certificate_front
from tests.support.environment import Environment, application, start_cluster, start_engine
from tests.support.expect import Pending
from tests.support.gitrepo import GitRepository
from tests.support.kubectl import Kubectl
from tests.support.processes import TIPHYS, Program, clean_env, wait_for

from tiphys.apimachinery.yamljson import load_one

CONFIG_MAP = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: settings\ndata:\n  color: {color}\n"


class Far:
    """A destination cluster with a store of its own, so that it comes back as it went."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.root = root / name
        self.root.mkdir()
        self.kubeconfig = self.root / "kubeconfig"
        self.program = self._start("0")
        found: Any = load_one(self.kubeconfig.read_bytes())
        self.server = str(found["clusters"][0]["cluster"]["server"])
        self.ca = str(found["clusters"][0]["cluster"]["certificate-authority-data"])
        self.token = str(found["users"][0]["user"]["token"])
        self.kubectl = Kubectl(self.kubeconfig, self.root / "kubectl-cache")
        self._until_answering()

    def _start(self, port: str) -> Program:
        program = Program(
            [
                *(TIPHYS, "devcluster", "--name", self.name, "--home", str(self.root / "home"), "--port", port),
                *("--kubeconfig-out", str(self.kubeconfig)),
            ],
            log=self.root / "log",
        )
        wait_for(self.kubeconfig, program)
        return program

    def _until_answering(self) -> None:
        from tests.support.expect import eventually

        def look() -> bool | Pending:
            done = self.kubectl.run("get", "namespace", "default")
            return True if done.returncode == 0 else Pending(done.stderr)

        eventually(look, within_s=30, what="an answer of the API server")

    def kill(self) -> None:
        """kill -9."""
        self.program.kill()

    def start_again(self) -> None:
        """The same cluster at the same address."""
        self.program = self._start(self.server.rsplit(":", 1)[1])
        self._until_answering()

    def config(self, **changes: Any) -> dict[str, Any]:
        """`config` of its cluster Secret."""
        return {"bearerToken": self.token, "tlsClientConfig": {"insecure": False, "caData": self.ca}, **changes}

    def color(self, namespace: str) -> str:
        """What the deployed ConfigMap says; empty without one."""
        found = self.kubectl.json("get", "configmap", "settings", "-n", namespace)
        return str(found["data"]["color"]) if found else ""


@dataclass
class World:
    """The engine with its own cluster, and two others."""

    environment: Environment
    one: Far
    two: Far
    root: Path

    def known(self, name: str, server: str, config: dict[str, Any]) -> None:
        """A cluster Secret as people write it."""
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": f"cluster-{name}",
                "namespace": "argocd",
                "labels": {"argocd.argoproj.io/secret-type": "cluster"},
            },
            "stringData": {"name": name, "server": server, "config": json.dumps(config)},
        }
        self.environment.apply(json.dumps(manifest))

    def application(self, name: str, repo: GitRepository, destination: dict[str, str], namespace: str) -> None:
        """An automated Application for a destination."""
        text = application(name, repo.url, namespace=namespace)
        where = "\n".join(f"    {key}: {value}" for key, value in destination.items())
        text = text.replace("    server: https://kubernetes.default.svc", where)
        self.environment.apply(text)

    def until_condition(self, name: str, text: str, *, within_s: float = 60.0) -> dict[str, Any]:
        """Until the Application says this in a ComparisonError."""
        app = self.environment.until_app(name, sync="Unknown", health="Unknown", within_s=within_s)
        conditions = [c["message"] for c in app["status"]["conditions"] if c["type"] == "ComparisonError"]
        assert len(conditions) == 1
        assert text in conditions[0]
        return dict(app)

    def cli(self, *args: str, stdin: str = "") -> str:
        """Output of the CLI, logged in as the administrator."""
        env = clean_env(HOME=str(self.root), KUBECONFIG=str(self.one.kubeconfig))
        server = (self.root / "engine.address").read_text().strip()
        where = ["--config", str(self.root / "cli.config")]
        if args[:1] == ("login",):
            args = ("login", server, *args[1:])
        done = subprocess.run(
            [TIPHYS, *args, *where], input=stdin, env=env, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, f"tiphys {' '.join(args)}: {done.stdout}{done.stderr}"
        return done.stdout


@contextmanager
def far(root: Path, name: str) -> Iterator[Far]:
    """A destination cluster for a while."""
    running = Far(root, name)
    try:
        yield running
    finally:
        running.program.stop()


@pytest.fixture(scope="module")
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The engine's own cluster is of the kind asked for by --cluster; the others are embedded."""
    root = tmp_path_factory.mktemp("clusters")
    with (
        start_cluster(request.config, root) as cluster,
        start_engine(cluster, root) as environment,
        far(root, "one") as one,
        far(root, "two") as two,
    ):
        found = World(environment, one, two, root)
        found.known("one", one.server, one.config())
        found.known("two", f"{two.server}/", two.config())
        yield found


def test_applications_go_where_they_say_by_server_and_by_name(
    world: World, repo: GitRepository, namespace: str
) -> None:
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="red")})
    world.application("at-one", repo, {"server": world.one.server}, namespace)
    world.application("at-two", repo, {"name": "two"}, namespace)
    world.application("at-home", repo, {"name": "in-cluster"}, namespace)
    for name in ("at-one", "at-two", "at-home"):
        world.environment.until_app(name)
    assert world.one.color(namespace) == world.two.color(namespace) == "red"
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="blue")})
    for where in (world.one, world.two):
        world.environment.until(
            lambda where=where: where.color(namespace) == "blue" or Pending(where.color(namespace)),
            what=f"the new commit in {where.name}",
        )
    world.environment.kubectl("delete", "application", "at-one", "at-two", "at-home", "-n", "argocd")
    assert world.one.color(namespace) == ""


def test_a_killed_cluster_takes_only_its_own_applications_with_it(
    world: World, repo: GitRepository, namespace: str
) -> None:
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="red")})
    world.application("dies", repo, {"server": world.one.server}, namespace)
    world.application("lives", repo, {"name": "two"}, namespace)
    for name in ("dies", "lives"):
        world.environment.until_app(name)
    world.one.kill()
    app = world.until_condition("dies", f"cluster {world.one.server} is not reachable: ")
    assert app["status"]["resources"]
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="blue")})
    world.environment.until(
        lambda: world.two.color(namespace) == "blue" or Pending(world.two.color(namespace)),
        within_s=20,
        what="the new commit in the cluster that lives",
    )
    state = clusters(world)["one"]["connectionState"]
    assert state["status"] == "Failed"
    assert "is not reachable" in state["message"]
    world.one.start_again()
    world.environment.until_app("dies", within_s=30)
    assert world.one.color(namespace) == "blue"
    world.environment.kubectl("delete", "application", "dies", "lives", "-n", "argocd")


def clusters(world: World) -> dict[str, dict[str, Any]]:
    """What the API says of each cluster, by name."""
    if not (world.root / "cli.config").exists():
        secret = world.environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
        password = base64.b64decode(secret["data"]["password"]).decode()
        world.cli("login", "--username", "admin", "--password", password, "--plaintext")
    found = json.loads(world.cli("cluster", "list", "-o", "json"))
    return {one["name"]: one for one in found}


def test_a_wrong_token_is_told_until_the_secret_has_the_right_one(
    world: World, repo: GitRepository, namespace: str
) -> None:
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="red")})
    world.known("one", world.one.server, world.one.config(bearerToken="wrong"))
    world.application("token", repo, {"server": world.one.server}, namespace)
    world.until_condition("token", f"cluster {world.one.server} answered: Unauthorized")
    world.known("one", world.one.server, world.one.config())
    world.environment.until_app("token", within_s=20)
    assert world.one.color(namespace) == "red"
    world.environment.kubectl("delete", "application", "token", "-n", "argocd")


def test_an_exec_plugin_gives_the_credentials(world: World, repo: GitRepository, namespace: str) -> None:
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="red")})
    answer = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": world.one.token},
    }
    plugin = world.root / "plugin.py"
    plugin.write_text(f"import os\nassert os.environ['WHO'] == 'me'\nprint('''{json.dumps(answer)}''')\n")
    config = world.one.config()
    del config["bearerToken"]
    config["execProviderConfig"] = {
        "command": sys.executable,
        "args": [str(plugin)],
        "env": {"WHO": "me"},
        "apiVersion": "client.authentication.k8s.io/v1",
    }
    world.known("one", world.one.server, config)
    world.application("exec", repo, {"name": "one"}, namespace)
    world.environment.until_app("exec")
    assert world.one.color(namespace) == "red"
    shown = clusters(world)["one"]
    assert shown["config"]["execProviderConfig"]["env"] == {"WHO": ""}
    assert shown["connectionState"]["status"] == "Successful"
    assert shown["info"]["applicationsCount"] == 1
    assert shown["info"]["cacheInfo"]["resourcesCount"] > 0
    assert world.one.token not in json.dumps(clusters(world))
    world.environment.kubectl("delete", "application", "exec", "-n", "argocd")
    world.known("one", world.one.server, world.one.config())


def test_a_client_certificate_proves_who_the_engine_is(world: World, repo: GitRepository, namespace: str) -> None:
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="red")})
    with client_certificate_front(world.root, world.one.server, world.one.token) as front:
        front_config(world, front)
        world.application("certificate", repo, {"server": front.url}, namespace)
        world.environment.until_app("certificate")
        assert world.one.color(namespace) == "red"
        world.environment.kubectl("delete", "application", "certificate", "-n", "argocd")


def front_config(world: World, front: Front) -> None:
    """The cluster behind a front that asks for a client certificate."""
    tls = {name: base64.b64encode(value).decode() for name, value in front.material.items()}
    world.known("front", front.url, {"tlsClientConfig": {"serverName": NAME, **tls}})


def test_cluster_add_makes_an_account_there_and_rm_forgets_the_cluster(
    world: World, repo: GitRepository, namespace: str
) -> None:
    clusters(world)
    world.environment.kubectl("delete", "secret", "cluster-one", "-n", "argocd")
    said = world.cli("cluster", "add", "one", "--name", "added", "--label", "env=test", "--yes")
    assert said == f"Cluster '{world.one.server}' added\n"
    assert world.one.kubectl.json("get", "serviceaccount", "argocd-manager", "-n", "kube-system")
    assert world.one.kubectl.json("get", "clusterrole", "argocd-manager-role")
    repo.commit({"apps/my-app/settings.yaml": CONFIG_MAP.format(color="red")})
    world.application("added", repo, {"name": "added"}, namespace)
    world.environment.until_app("added")
    assert world.one.color(namespace) == "red"
    assert clusters(world)["added"]["labels"] == {"env": "test"}
    lines = world.cli("cluster", "list").splitlines()
    assert lines[0].split() == ["SERVER", "NAME", "VERSION", "STATUS", "MESSAGE", "PROJECT"]
    assert any(line.split()[:2] == [world.one.server, "added"] and "Successful" in line for line in lines)
    world.environment.kubectl("delete", "application", "added", "-n", "argocd")
    assert world.cli("cluster", "rm", "added", "--yes") == "Cluster 'added' removed\n"
    assert "added" not in clusters(world)
    world.known("one", world.one.server, world.one.config())
