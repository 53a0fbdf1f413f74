"""Run a real Kubernetes control plane on the loopback interface: etcd, kube-apiserver, kube-controller-manager and
kube-scheduler, without nodes, so that Pods stay Pending unless something simulates nodes.

In tests:

    with running(tmp_path / "cluster") as cluster:
        ... cluster.kubeconfig, cluster.engine_credentials(), audit_counts(cluster.audit_log, ENGINE_USER) ...

By hand, from the root of the repository:

    python -m tests.realcluster.cluster up --dir DIR       start in the background
    python -m tests.realcluster.cluster down --dir DIR     stop
    python -m tests.realcluster.cluster run --dir DIR      in the foreground, until Ctrl-C

Everything lives in the given directory. `state.json` there names each process by id and start time, so that whatever an
aborted run left behind is stopped and removed by the next start in the same directory, and nothing else ever is. In
tests and in the foreground the processes also end by themselves when their parent dies; see `main.go`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from . import build, pki, processes
from .processes import ProcessRecord

COMPONENTS: Final = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
"""In starting order; stopped in reverse."""

ENGINE_NAMESPACE: Final = "argocd"
ENGINE_SERVICE_ACCOUNT: Final = "argocd-application-controller"
ENGINE_USER: Final = f"system:serviceaccount:{ENGINE_NAMESPACE}:{ENGINE_SERVICE_ACCOUNT}"
"""The user name under which the audit log shows requests made with `Cluster.engine_credentials`."""

HOST: Final = "127.0.0.1"
READY_TIMEOUT_S: Final = 120.0
STOP_GRACE_S: Final = 5.0
"""How long a component may take to stop. The API server would wait up to a minute for its clients; the data is thrown
away, so it is killed instead."""

TOKEN_LIFETIME_S: Final = 24 * 3600
POLL_S: Final = 0.1
PORT_ATTEMPTS: Final = 3
LOG_TAIL_LINES: Final = 15

_STATE_FILE: Final = "state.json"
_LOCK_FILE: Final = "lock"

_SERVICE_NETWORK: Final = "10.96.0.0/16"
_SERVICE_IP: Final = "10.96.0.1"
_SERVICE_NAMES: Final = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")

_AUDIT_POLICY: Final = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


class ClusterError(Exception):
    """The control plane cannot be started or used. The text says why and, if a component died, ends with its log."""


class PortTakenError(ClusterError):
    """A port that was free when it was chosen is taken by the time the component binds it."""


class Cluster:
    """One control plane in one directory. Not for use by several threads at once."""

    def __init__(
        self,
        directory: Path,
        *,
        executable: Path | None = None,
        detached: bool = False,
        fsync: bool = False,
        extra_arguments: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """Describe a control plane; nothing is started.

        `executable` is the one of `build.ensure`, which is called by `up` when this is None. `detached` processes
        outlive this one. Without `fsync` writes do not wait for the disk, and a crash of the machine may lose them.
        `extra_arguments` are appended to the flags of the named component, where the last of equal flags wins.
        """
        self.directory = directory.resolve()
        self._executable = executable
        self._owner = None if detached else processes.record("owner", os.getpid())
        self._fsync = fsync
        self._extra = dict(extra_arguments or {})
        if unknown := self._extra.keys() - set(COMPONENTS):
            raise ValueError(f"not a component: {', '.join(sorted(unknown))}")
        self._ports: dict[str, int] = {}
        self._records: dict[str, ProcessRecord] = {}
        self._ready = False
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @classmethod
    def attach(cls, directory: Path) -> Cluster:
        """The control plane that another process started in this directory, to use or to stop it.

        Raises `ClusterError` when none runs there.
        """
        state = _read_state(directory)
        if not _runs(state):
            raise ClusterError(f"no test control plane runs in {directory}")
        cluster = cls(
            directory,
            executable=Path(state["executable"]),
            fsync=state["fsync"],
            extra_arguments=state["extra_arguments"],
        )
        cluster._owner = _owner(state)
        cluster._ports = state["ports"]
        cluster._records = {entry.name: entry for entry in _records(state)}
        cluster._ready = True
        return cluster

    # Where things are

    @property
    def url(self) -> str:
        """URL of the API server."""
        return f"https://{HOST}:{self._ports['kube-apiserver']}"

    @property
    def kubeconfig(self) -> Path:
        """Kubeconfig file of a member of `system:masters`."""
        return self.directory / "admin.kubeconfig"

    @property
    def certificate_authority(self) -> Path:
        """The certificate (PEM) with which the API server is verified."""
        return self._pki / "ca.crt"

    @property
    def audit_log(self) -> Path:
        """The audit log: one event a line, level Metadata, every request of every user. See `audit_counts`."""
        return self.directory / "audit.log"

    def log(self, component: str) -> Path:
        """What a component writes to standard output and standard error."""
        return self.directory / "logs" / f"{component}.log"

    def pid(self, component: str) -> int:
        """The process id of a component."""
        return self._records[component].pid

    # Life cycle

    def up(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start with an empty database and return when the cluster can be used: `/readyz` answers ok and the
        ServiceAccount `default` exists in the namespace `default`, which Pods need.

        What an aborted run left in the directory is stopped and removed first. Raises `ClusterError`, after stopping
        what was started, when the directory is in use or holds other files, when a component dies, or after `timeout_s`
        seconds; and the errors of `build.ensure`.
        """
        if self._executable is None:
            self._executable = build.ensure()
        self._refuse_other_files()
        with self._lock():
            self._refuse_running()
            self._clean()
            try:
                for attempt in range(1, PORT_ATTEMPTS + 1):
                    try:
                        self._start_all(time.monotonic() + timeout_s)
                        return
                    except PortTakenError:
                        if attempt == PORT_ATTEMPTS:
                            raise
                        self._stop_all()
            except BaseException:
                self._stop_all()
                raise

    def down(self) -> None:
        """Stop all processes and remove data, keys and kubeconfig files. The logs stay. Does nothing when nothing runs."""
        if not (self.directory / _STATE_FILE).exists():
            return
        with self._lock():
            if not self._records:
                self._records = {entry.name: entry for entry in _records(_read_state(self.directory))}
            self._stop_all()
            self._remove("etcd", "pki", "*.kubeconfig")

    def restart(self, component: str, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Stop a component and start it again with its data, on the same port; returns when `/readyz` answers ok.

        The API server takes `STOP_GRACE_S` to stop as long as clients are connected, such as the controllers.

        Raises `ClusterError` when it dies or is not ready in time, and when another process owns it.
        """
        if self._owner is not None and component not in self._children:
            raise ClusterError(f"{component} belongs to process {self._owner.pid}, which alone can restart it")
        processes.stop([self._records[component]], STOP_GRACE_S)
        self._reap(component)
        deadline = time.monotonic() + timeout_s
        self._start(component)
        self._await_port(component, deadline)
        self._await_path("/readyz", deadline)

    def check(self) -> None:
        """Raise `ClusterError`, with the end of its log, when a component has died."""
        for name, entry in self._records.items():
            if not entry.alive:
                tail = "\n".join(self.log(name).read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
                error = PortTakenError if "address already in use" in tail else ClusterError
                raise error(f"{name} has ended; the end of {self.log(name)}:\n{tail}")

    # Identities

    def engine_credentials(self) -> Path:
        """Kubeconfig file of an identity for the engine, so that the audit log tells its requests from those of the tests.

        It is the ServiceAccount `argocd/argocd-application-controller` with the ClusterRole `cluster-admin`; its user
        name is `ENGINE_USER`, its token lives a day.
        """
        return self.service_account_kubeconfig(ENGINE_NAMESPACE, ENGINE_SERVICE_ACCOUNT, cluster_role="cluster-admin")

    def service_account_kubeconfig(self, namespace: str, name: str, *, cluster_role: str | None = None) -> Path:
        """Kubeconfig file with a fresh bearer token of a ServiceAccount. Namespace, ServiceAccount and, if a role is
        named, ClusterRoleBinding are created when they do not exist."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        self._create("/api/v1/namespaces", {"metadata": {"name": namespace}})
        self._create(accounts, {"metadata": {"name": name}})
        if cluster_role is not None:
            binding = {
                "metadata": {"name": f"{namespace}:{name}:{cluster_role}"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role},
                "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": name}],
            }
            self._create("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", binding)
        request = {"spec": {"expirationSeconds": TOKEN_LIFETIME_S}}
        answer = self.request("POST", f"{accounts}/{name}/token", request)
        return pki.write_kubeconfig(
            self.directory / f"{namespace}.{name}.kubeconfig",
            server=self.url,
            authority=self.certificate_authority,
            user=f"system:serviceaccount:{namespace}:{name}",
            token=answer["status"]["token"],
        )

    def client_kubeconfig(self, user: str, groups: Sequence[str] = ()) -> Path:
        """Kubeconfig file of any user and groups by a client certificate. RBAC decides what the user may do; the group
        `system:masters` may do everything."""
        name = user.replace(":", ".").replace("/", ".")
        certificate = pki.Authority(self._pki, "ca").issue(name, user=user, groups=groups)
        return pki.write_kubeconfig(
            self.directory / f"{name}.kubeconfig",
            server=self.url,
            authority=self.certificate_authority,
            user=user,
            certificate=certificate,
        )

    def request(self, method: str, path: str, body: object = None, timeout_s: float = 10.0) -> Any:
        """Make one request as the administrator and return the decoded JSON, or the text when it is something else.

        Raises `ClusterError` for a status other than 2xx, and `OSError` when the server does not answer.
        """
        status, content = self._http(method, path, body, timeout_s)
        if not 200 <= status < 300:
            raise ClusterError(f"{method} {path}: {status} {content.decode(errors='replace')}")
        try:
            return json.loads(content)
        except ValueError:
            return content.decode(errors="replace")

    # Internals

    @property
    def _pki(self) -> Path:
        return self.directory / "pki"

    def _start_all(self, deadline: float) -> None:
        self._choose_ports()
        self._write_files()
        self._start("etcd")
        self._await_port("etcd", deadline)
        self._start("kube-apiserver")
        self._await_port("kube-apiserver", deadline)
        # The controller manager gives up when the API server is not healthy within ten seconds, hence the order.
        self._await_path("/readyz", deadline)
        self._start("kube-controller-manager")
        self._start("kube-scheduler")
        self._await_path("/api/v1/namespaces/default/serviceaccounts/default", deadline)
        self._ready = True
        self._write_state()

    def _start(self, component: str) -> None:
        assert self._executable is not None
        # Nothing of the caller's environment may configure the components: Kubernetes takes feature gates from KUBE_*.
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        if self._owner is not None:
            environment["REALCLUSTER_EXIT_ON_STDIN_EOF"] = "1"
        self.log(component).parent.mkdir(exist_ok=True)
        with open(self.log(component), "ab") as log:
            child = subprocess.Popen(
                [self._executable, component, *self._arguments()[component], *self._extra.get(component, ())],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL if self._owner is None else subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops the others in order
            )
        self._children[component] = child
        self._records[component] = processes.record(component, child.pid)
        self._write_state()

    def _arguments(self) -> dict[str, list[str]]:
        """The flags of each component. Listeners that nothing here uses are off."""
        etcd_url = f"https://{HOST}:{self._ports['etcd']}"
        p = self._pki
        return {
            "etcd": [
                f"--data-dir={self.directory / 'etcd'}",
                f"--listen-client-url={etcd_url}",
                f"--cert-file={p / 'etcd.crt'}",
                f"--key-file={p / 'etcd.key'}",
                f"--trusted-ca-file={p / 'etcd-ca.crt'}",
                *(() if self._fsync else ("--unsafe-no-fsync",)),
            ],
            "kube-apiserver": [
                f"--etcd-servers={etcd_url}",
                f"--etcd-cafile={p / 'etcd-ca.crt'}",
                f"--etcd-certfile={p / 'etcd-client.crt'}",
                f"--etcd-keyfile={p / 'etcd-client.key'}",
                f"--bind-address={HOST}",
                f"--advertise-address={HOST}",
                f"--secure-port={self._ports['kube-apiserver']}",
                # An Endpoints object may not hold a loopback address, so the Service `kubernetes` gets none.
                "--endpoint-reconciler-type=none",
                f"--service-cluster-ip-range={_SERVICE_NETWORK}",
                f"--tls-cert-file={p / 'apiserver.crt'}",
                f"--tls-private-key-file={p / 'apiserver.key'}",
                f"--client-ca-file={p / 'ca.crt'}",
                "--authorization-mode=Node,RBAC",
                "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
                f"--service-account-key-file={p / 'sa.pub'}",
                f"--service-account-signing-key-file={p / 'sa.key'}",
                # Aggregated API servers recognise the front proxy, and kubelets (or what simulates them) this client.
                f"--requestheader-client-ca-file={p / 'front-proxy-ca.crt'}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={p / 'front-proxy-client.crt'}",
                f"--proxy-client-key-file={p / 'front-proxy-client.key'}",
                f"--kubelet-client-certificate={p / 'kubelet-client.crt'}",
                f"--kubelet-client-key={p / 'kubelet-client.key'}",
                "--kubelet-preferred-address-types=InternalIP",
                f"--audit-policy-file={self.directory / 'audit-policy.yaml'}",
                f"--audit-log-path={self.audit_log}",
                "--audit-log-maxsize=0",  # never rotated: tests count in one file
                "--allow-privileged=true",
                "--profiling=false",
            ],
            "kube-controller-manager": [
                *self._component_client("kube-controller-manager"),
                f"--root-ca-file={p / 'ca.crt'}",
                f"--service-account-private-key-file={p / 'sa.key'}",
                "--use-service-account-credentials",
                # At the default of 20 requests a second, making the ServiceAccounts of its controllers takes five seconds.
                "--kube-api-qps=200",
                "--kube-api-burst=300",
                f"--cluster-signing-cert-file={p / 'ca.crt'}",
                f"--cluster-signing-key-file={p / 'ca.key'}",
            ],
            "kube-scheduler": self._component_client("kube-scheduler"),
        }

    def _component_client(self, component: str) -> list[str]:
        """Flags of a component that is a client of the API server only: no listener, and one instance, so no election."""
        kubeconfig = self.directory / f"system.{component}.kubeconfig"
        return [f"--kubeconfig={kubeconfig}", "--leader-elect=false", "--secure-port=0", "--profiling=false"]

    def _choose_ports(self) -> None:
        """Choose ports that are free now. They are all held until the last is chosen, so that they differ."""
        with contextlib.ExitStack() as stack:
            for component in ("etcd", "kube-apiserver"):
                holder = stack.enter_context(socket.socket())
                holder.bind((HOST, 0))
                self._ports[component] = holder.getsockname()[1]

    def _write_files(self) -> None:
        """Make keys, certificates, kubeconfig files and the audit policy. The authority of etcd's clients is a separate
        one: a certificate that the cluster issues opens the API server, never the database."""
        self._pki.mkdir(mode=0o700, exist_ok=True)
        authority = pki.Authority(self._pki, "ca")
        authority.issue("apiserver", user="kube-apiserver", dns=["localhost", *_SERVICE_NAMES], ips=[HOST, _SERVICE_IP])
        authority.issue("kubelet-client", user="kube-apiserver-kubelet-client", groups=["system:masters"])
        etcd = pki.Authority(self._pki, "etcd-ca")
        etcd.issue("etcd", user="etcd", dns=["localhost"], ips=[HOST])
        etcd.issue("etcd-client", user="kube-apiserver")
        pki.Authority(self._pki, "front-proxy-ca").issue("front-proxy-client", user="front-proxy-client")
        pki.service_account_keys(self._pki)
        (self.directory / "audit-policy.yaml").write_text(_AUDIT_POLICY)
        self.client_kubeconfig("admin", ["system:masters"])
        self.client_kubeconfig("system:kube-controller-manager")
        self.client_kubeconfig("system:kube-scheduler")

    def _await_port(self, component: str, deadline: float) -> None:
        """Wait until a component accepts connections; those without a listener are not waited for."""
        if component not in self._ports:
            return
        while True:
            self._check_waiting(component, deadline)
            try:
                socket.create_connection((HOST, self._ports[component]), timeout=1.0).close()
            except OSError:
                time.sleep(POLL_S)
            else:
                # Something else may have taken the port; then the component ends instead of listening.
                self.check()
                return

    def _await_path(self, path: str, deadline: float) -> None:
        """Wait until the API server answers a GET by 200."""
        while True:
            self._check_waiting(path, deadline)
            try:
                if self._http("GET", path, None, 5.0)[0] == 200:
                    return
            except (OSError, http.client.HTTPException):
                pass  # not serving yet
            time.sleep(POLL_S)

    def _check_waiting(self, what: str, deadline: float) -> None:
        self.check()
        if time.monotonic() > deadline:
            raise ClusterError(f"{what} was not ready in time; the logs are in {self.directory / 'logs'}")

    def _http(self, method: str, path: str, body: object, timeout_s: float) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.certificate_authority))
        context.load_cert_chain(self._pki / "admin.crt", self._pki / "admin.key")
        connection = http.client.HTTPSConnection(
            HOST, self._ports["kube-apiserver"], timeout=timeout_s, context=context
        )
        with contextlib.closing(connection):
            content = None if body is None else json.dumps(body)
            headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "realcluster"}
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def _create(self, path: str, manifest: object) -> None:
        """Create an object unless it exists."""
        status, content = self._http("POST", path, manifest, 10.0)
        if status not in (201, 409):
            raise ClusterError(f"POST {path}: {status} {content.decode(errors='replace')}")

    # The directory

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep starts and stops in one directory apart. The lock is not inherited by the components."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.directory / _LOCK_FILE, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _refuse_other_files(self) -> None:
        """A start cleans the directory, so it has to be a new one or one that was used for this before."""
        if not self.directory.exists() or (self.directory / _STATE_FILE).exists():
            return
        if {entry.name for entry in self.directory.iterdir()} - {_LOCK_FILE}:
            raise ClusterError(f"{self.directory} is neither empty nor the directory of a test control plane")

    def _refuse_running(self) -> None:
        """Raise when the control plane of the directory is in use, by another process or in the background."""
        if not (self.directory / _STATE_FILE).exists():
            return
        state = _read_state(self.directory)
        owner = _owner(state)
        if owner is not None and owner.alive and any(entry.alive for entry in _records(state)):
            raise ClusterError(f"process {owner.pid} is using the test control plane in {self.directory}")
        if owner is None and _runs(state):
            raise ClusterError(f"a test control plane is running in {self.directory} already")

    def _clean(self) -> None:
        """Stop and remove what an earlier run left."""
        if (self.directory / _STATE_FILE).exists():
            processes.stop(reversed(_records(_read_state(self.directory))), STOP_GRACE_S)
        self._remove("etcd", "pki", "logs", "audit.log", "audit-policy.yaml", "*.kubeconfig")
        self._records.clear()
        self._write_state()

    def _remove(self, *patterns: str) -> None:
        for pattern in patterns:
            for path in self.directory.glob(pattern):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def _stop_all(self) -> None:
        processes.stop([self._records[name] for name in reversed(COMPONENTS) if name in self._records], STOP_GRACE_S)
        for name in list(self._children):
            self._reap(name)
        self._records.clear()
        self._ready = False
        self._write_state()

    def _reap(self, component: str) -> None:
        """Collect the exit status of a stopped child and close the pipe that tied it to this process."""
        child = self._children.pop(component, None)
        if child is not None:
            child.wait()
            if child.stdin is not None:
                child.stdin.close()

    def _write_state(self) -> None:
        """Write by rename, since an abort at any moment has to leave a whole file."""
        state = {
            "executable": None if self._executable is None else str(self._executable),
            "fsync": self._fsync,
            "extra_arguments": {component: list(arguments) for component, arguments in self._extra.items()},
            "owner": self._owner,
            "ready": self._ready,
            "ports": self._ports,
            "processes": list(self._records.values()),
        }
        temporary = self.directory / f"{_STATE_FILE}.part"
        temporary.write_text(json.dumps(state, indent=1) + "\n")
        temporary.replace(self.directory / _STATE_FILE)


@contextlib.contextmanager
def running(
    directory: Path, *, fsync: bool = False, extra_arguments: Mapping[str, Sequence[str]] | None = None
) -> Iterator[Cluster]:
    """A control plane for the duration of a `with` block, in a directory that is empty or was used by this before.

    Raises as `Cluster.up` does.
    """
    cluster = Cluster(directory, fsync=fsync, extra_arguments=extra_arguments)
    cluster.up()
    try:
        yield cluster
    finally:
        cluster.down()


def audit_counts(path: Path, user: str, *, offset: int = 0) -> dict[tuple[str, str], int]:
    """How many requests a user made, by verb and resource, from a byte offset of the audit log onwards.

    The verb is that of RBAC (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`). A
    resource is written as kubectl does, with its group and, after a slash, the subresource: `pods`, `deployments.apps`,
    `deployments.apps/scale`. For other requests it is the path, such as `/openapi/v2`, and the verb is the HTTP method in
    lower case. A request counts once, from its first event: a watch when it starts, all others when they are answered.

    To count what happens from now on, take `path.stat().st_size` for the offset of a later call.
    """
    counts: Counter[tuple[str, str]] = Counter()
    seen: set[str] = set()
    with open(path, "rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break  # still being written
            event = json.loads(line)
            if event["user"].get("username") != user or event["auditID"] in seen:
                continue
            seen.add(event["auditID"])
            counts[event["verb"], _resource(event)] += 1
    return dict(counts)


def _resource(event: Mapping[str, Any]) -> str:
    reference = event.get("objectRef")
    if reference is None or "resource" not in reference:
        return str(event["requestURI"]).partition("?")[0]
    group = f".{reference['apiGroup']}" if reference.get("apiGroup") else ""
    subresource = f"/{reference['subresource']}" if reference.get("subresource") else ""
    return f"{reference['resource']}{group}{subresource}"


def _read_state(directory: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads((directory / _STATE_FILE).read_text())
    except FileNotFoundError:
        raise ClusterError(f"there is no test control plane in {directory}") from None
    return state


def _records(state: Mapping[str, Any]) -> list[ProcessRecord]:
    return [ProcessRecord(*entry) for entry in state["processes"]]


def _owner(state: Mapping[str, Any]) -> ProcessRecord | None:
    """The process with which the components end; None when they are detached."""
    return None if state["owner"] is None else ProcessRecord(*state["owner"])


def _runs(state: Mapping[str, Any]) -> bool:
    """Whether a start was completed and all components still run."""
    return bool(state["ready"]) and all(entry.alive for entry in _records(state))


# By hand


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, 1 for a failure, 3 when Go is missing or of the wrong release, 130 for Ctrl-C
    during a start in the background."""
    parser = argparse.ArgumentParser(prog="python -m tests.realcluster.cluster", description=__doc__.split("\n\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("up", "start in the background"),
        ("run", "start in the foreground, until Ctrl-C"),
        ("down", "stop"),
        ("engine-credentials", "print a kubeconfig file for the engine, which the audit log then tells apart"),
    ):
        command = commands.add_parser(name, help=summary, description=summary)
        command.add_argument("--dir", type=Path, required=True, help="directory of the control plane")
        if name in ("up", "run"):
            command.add_argument("--executable", type=Path, help="default: build it, or take it from the cache")
            command.add_argument("--fsync", action="store_true", help="let etcd fsync its writes")
    options = parser.parse_args(arguments)
    try:
        if options.command == "down":
            Cluster(options.dir, detached=True).down()
        elif options.command == "engine-credentials":
            print(Cluster.attach(options.dir).engine_credentials())
        else:
            _up(options)
    except build.WrongGoError as error:
        print(error, file=sys.stderr)
        return build.EXIT_WRONG_GO
    except (ClusterError, build.BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130  # as the shell reports SIGINT; what was started is stopped by now
    return 0


def _up(options: argparse.Namespace) -> None:
    foreground = options.command == "run"
    if foreground:
        signal.signal(signal.SIGTERM, lambda *_: _interrupt())
    started = time.monotonic()
    cluster = Cluster(options.dir, executable=options.executable, detached=not foreground, fsync=options.fsync)
    try:
        cluster.up()
        version = cluster.request("GET", "/version")["gitVersion"]
        print(f"Kubernetes {version} is ready at {cluster.url} after {time.monotonic() - started:.1f} s")
        print(f"  export KUBECONFIG={cluster.kubeconfig}")
        if not foreground:
            print(f"Stop it by:\n  python -m tests.realcluster.cluster down --dir {options.dir}")
            return
        print("Ctrl-C stops it.", flush=True)
        while True:
            cluster.check()
            time.sleep(1.0)
    except KeyboardInterrupt:
        if not foreground:
            raise
    finally:
        if foreground:
            cluster.down()


def _interrupt() -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
