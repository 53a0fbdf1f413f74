"""`tiphys up` on a machine: first start, after crashes, with ports taken, twice at once, and gone without a trace."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.processes import TIPHYS, clean_env


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass
class Machine:
    """A home folder and the commands that work on it."""

    root: Path
    env: dict[str, str]

    def run(self, *args: str, rc: int | None = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `tiphys`; fails with its output when it ends otherwise."""
        done = subprocess.run(
            [TIPHYS, *args], env={**self.env, **env}, capture_output=True, text=True, timeout=120, check=False
        )
        assert rc is None or done.returncode == rc, f"{args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def pids(self) -> dict[str, int | None]:
        """Process ids by daemon, None for one that does not run."""
        found = json.loads(self.run("status", "-o", "json", rc=None).stdout)
        return {name: daemon["pid"] for name, daemon in found["daemons"].items()}

    def crash(self, *names: str) -> None:
        """kill -9."""
        pids = self.pids()
        for name in names:
            pid = pids[name]
            assert pid is not None
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A home where `up` has ended well once."""
    if request.config.getoption("--cluster") != "embedded":
        pytest.skip("`up` starts its own cluster; --cluster=embedded tests it")
    user = tmp_path_factory.mktemp("user")
    root = user / "tiphys"
    (root / "run").mkdir(parents=True, mode=0o700)
    api, server = _free_ports(2)
    ports = root / "run" / "ports.json"
    ports.touch(mode=0o600)
    ports.write_text(json.dumps({"api": api, "server": server}))
    machine = Machine(root, clean_env(HOME=str(user), TIPHYS_HOME=str(root)))
    try:
        said = machine.run("up")
        assert "Ready in" in said.stdout
        yield machine
    finally:
        machine.run("down", "--purge", "-y", rc=None)


def test_the_cli_is_logged_in_and_the_example_healthy(machine: Machine) -> None:
    """Nothing need be named, and the user's own configuration is untouched."""
    app = json.loads(machine.run("app", "get", "my-app", "-o", "json").stdout)
    assert (app["status"]["sync"]["status"], app["status"]["health"]["status"]) == ("Synced", "Healthy")
    assert machine.run("context").stdout.splitlines()[1].split()[:2] == ["*", "tiphys"]
    assert not (machine.root.parent / ".config").exists()
    assert not (machine.root.parent / ".kube").exists()


def test_a_port_forward_to_the_server_of_a_guide_says_where_tiphys_is(machine: Machine) -> None:
    """What is typed by those who follow a guide to Argo CD ends with what to type instead."""

    def kubectl(args: str) -> subprocess.CompletedProcess[str]:
        script = f'eval "$({TIPHYS} env)" && kubectl -n argocd {args}'
        return subprocess.run(
            ["bash", "-ec", script], env=machine.env, capture_output=True, text=True, timeout=60, check=False
        )

    assert "condition met" in kubectl("wait --for=condition=Available deployment/argocd-server --timeout=20s").stdout
    url = json.loads(machine.run("status", "-o", "json").stdout)["url"]
    address = url.partition("://")[2]
    flag = "--insecure" if url.startswith("https") else "--plaintext"
    instead = f"Tiphys runs beside the cluster: open {url} or type `tiphys login {address} {flag} --username admin`"
    refused = kubectl("port-forward svc/argocd-server 8080:443")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "so no port can be forwarded" in refused.stderr
    assert instead in refused.stderr
    proxied = kubectl("get --raw /api/v1/namespaces/argocd/services/https:argocd-server:443/proxy/")
    assert instead in proxied.stderr
    assert f"its log is in the file {machine.root}" in kubectl("logs deployment/argocd-server").stdout
    pods = [line.split()[:3] for line in kubectl("get pods --no-headers").stdout.splitlines()]
    assert [(name[: len("argocd-server")], ready, phase) for name, ready, phase in pods] == [
        ("argocd-server", "1/1", "Running")
    ]


def test_up_again_leaves_the_stand_in_as_it_is_and_what_others_made_of_it(machine: Machine) -> None:
    """Its version does not change; a Deployment with another image is somebody's own."""
    read = "get service,deployment argocd-server -o jsonpath={.items[*].metadata.generation}/{.items[*].spec..image}"

    def kubectl(args: str) -> str:
        script = f'eval "$({TIPHYS} env)" && kubectl -n argocd {args}'
        done = subprocess.run(
            ["bash", "-ec", script], env=machine.env, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    before = kubectl(read)
    machine.run("up")
    assert kubectl(read) == before
    kubectl("set image deployment/argocd-server argocd-server=quay.io/argoproj/argocd:v3")
    machine.run("up")
    assert "quay.io/argoproj/argocd:v3" in kubectl(read)
    kubectl("delete deployment argocd-server")
    machine.run("up")
    assert kubectl(read) == before


def test_a_password_that_was_removed_is_not_pointed_at(machine: Machine) -> None:
    """The command that reads it would only say that it is not there."""
    assert "The password of admin" in machine.run("up").stdout
    script = f'eval "$({TIPHYS} env)" && kubectl -n argocd delete secret argocd-initial-admin-secret'
    subprocess.run(["bash", "-ec", script], env=machine.env, capture_output=True, timeout=60, check=True)
    said = machine.run("up").stdout
    assert "What to type next" in said
    assert "The password of admin" not in said


def test_everything_in_the_home_is_private(machine: Machine) -> None:
    """Folders 0700, files 0600, but for what Git makes in its repository."""
    wide = [
        str(path)
        for path in machine.root.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077 and "config.git" not in path.parts
    ]
    assert wide == []


def test_up_again_starts_nothing(machine: Machine) -> None:
    """The same processes go on."""
    before = machine.pids()
    machine.run("up")
    assert machine.pids() == before


@pytest.mark.parametrize("killed", [("engine",), ("cluster",), ("cluster", "engine")], ids="+".join)
def test_after_kill_9_up_starts_what_is_missing(machine: Machine, killed: tuple[str, ...]) -> None:
    """What lives stays, what died comes back, and the application is as it was."""
    before = machine.pids()
    machine.crash(*killed)
    assert machine.run("status", rc=1).stdout.count("not running") == len(killed)
    machine.run("up")
    after = machine.pids()
    assert None not in after.values()
    assert {name for name in after if after[name] != before[name]} == set(killed)
    machine.run("app", "wait", "my-app", "--timeout", "30")


def test_a_port_that_is_taken_later_is_named(machine: Machine) -> None:
    """It is not changed behind the user's back: contexts and bookmarks point at it."""
    machine.run("down")
    port = json.loads((machine.root / "run" / "ports.json").read_text())["server"]
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", port))
        taken.listen()
        refused = machine.run("up", rc=1)
    assert f"port {port} on 127.0.0.1 is taken by another program" in refused.stderr
    assert set(machine.pids().values()) == {None}  # nothing was started in vain


def test_a_store_of_a_newer_version_is_left_alone(machine: Machine) -> None:
    """The message is the daemon's own."""
    import sqlite3
    from contextlib import closing

    machine.run("down")
    path = machine.root / "engine" / "store.db"
    with closing(sqlite3.connect(path)) as store:
        (version,) = store.execute("select value from meta where key = 'schema_version'").fetchone()
        store.execute("update meta set value = '99' where key = 'schema_version'")
        store.commit()
    refused = machine.run("up", rc=1)
    assert "the store has schema version 99" in refused.stderr
    with closing(sqlite3.connect(path)) as store:
        store.execute("update meta set value = ? where key = 'schema_version'", (version,))
        store.commit()


def test_two_at_once_end_with_one_of_each(machine: Machine) -> None:
    """The second waits for the first and finds everything running."""
    machine.run("down")
    both = [
        subprocess.Popen([TIPHYS, "up"], env=machine.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("starting Tiphys on port" in err for _, err in said) == 1
    assert None not in machine.pids().values()


def test_an_example_that_a_failed_start_did_not_reach_is_made_by_the_next(machine: Machine) -> None:
    """The repository alone does not say that it was: it is made before the engine starts."""
    machine.run("app", "delete", "my-app", "-y", "--wait")
    machine.run("down")
    (machine.root / "run" / "example-made").unlink()  # as a start leaves it whose engine ended at once
    machine.run("up")
    app = json.loads(machine.run("app", "get", "my-app", "-o", "json").stdout)
    assert app["status"]["health"]["status"] == "Healthy"


def test_an_example_that_the_user_deleted_stays_away(machine: Machine) -> None:
    """`up` starts what does not run; it does not put back what was removed on purpose."""
    machine.run("app", "delete", "my-app", "-y", "--wait")
    said = machine.run("up")
    assert "my-app was deleted" in said.stderr
    assert machine.run("app", "list", "-o", "name").stdout == ""
    (machine.root / "run" / "example-made").unlink()
    machine.run("up")


def test_env_makes_the_shell_talk_to_it(machine: Machine) -> None:
    """kubectl and the CLI, also in a shell that knows nothing of the home."""
    if None in machine.pids().values():
        machine.run("up")
    script = f'eval "$({TIPHYS} env)" && kubectl get app my-app -n argocd -o name && TIPHYS_HOME=/none tiphys app list -o name'
    done = subprocess.run(
        ["bash", "-ec", script], env=machine.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["application.argoproj.io/my-app", "argocd/my-app"], done.stderr


def test_down_keeps_data_and_purge_removes_it(machine: Machine) -> None:
    """The last one here: nothing is left of the home."""
    machine.run("down")
    assert set(machine.pids().values()) == {None}
    assert (machine.root / "cluster" / "store.db").exists()
    machine.run("down", "--purge", "-y")
    assert not machine.root.exists()


def test_without_git_nothing_is_started(tmp_path: Path) -> None:
    """One sentence says what to install."""
    tools = tmp_path / "bin"
    tools.mkdir()
    machine = Machine(tmp_path / "home", {**clean_env(TIPHYS_HOME=str(tmp_path / "home")), "PATH": str(tools)})
    refused = machine.run("up", rc=1)
    assert "git is not on PATH" in refused.stderr
    assert set(machine.pids().values()) == {None}
