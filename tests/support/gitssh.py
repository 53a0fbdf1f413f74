"""An SSH server on the loopback interface that serves Git repositories: OpenSSH's sshd, run by whoever runs the tests."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class SshServer:
    """A running server. `private_key` lets in, `known_hosts` is its line for a known_hosts file."""

    port: int
    user: str
    private_key: str
    known_hosts: str

    def url(self, repository: Path) -> str:
        """ssh:// URL of a repository of this machine."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{repository}"


def why_no_sshd() -> str:
    """Why there can be no server here; empty when there can."""
    if _program() is None:
        return "there is no sshd on this machine (Debian: openssh-server); TIPHYS_TEST_SSHD may name one"
    if os.getuid() == 0:
        try:
            pwd.getpwnam("sshd")
        except KeyError:
            return "sshd, started by root, needs a user sshd"
    return ""


def _program() -> str | None:
    return os.environ.get("TIPHYS_TEST_SSHD") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.defpath)


def make_key(path: Path) -> str:
    """A new key pair at `path` and `path`.pub; the private key."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=30)
    return path.read_text()


@contextmanager
def serve_ssh(root: Path) -> Iterator[SshServer]:
    """Serve on a free port until left; `root` holds its keys."""
    program = _program()
    assert program is not None, why_no_sshd()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    make_key(root / "host")
    private = make_key(root / "user")
    (root / "authorized_keys").write_text((root / "user.pub").read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (root / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {root}/host\nAuthorizedKeysFile {root}/authorized_keys\n"
        f"PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        f"SetEnv PATH={os.environ['PATH']} GIT_CONFIG_GLOBAL=/dev/null\n"
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    with open(root / "sshd.log", "wb") as log:
        process = subprocess.Popen([program, "-D", "-e", "-f", str(root / "sshd_config")], stdout=log, stderr=log)
    try:
        _until_listening(port, process, root / "sshd.log")
        key = " ".join((root / "host.pub").read_text().split()[:2])
        yield SshServer(port, getpass.getuser(), private, f"[127.0.0.1]:{port} {key}\n")
    finally:
        process.terminate()
        process.wait(10)


def _until_listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise AssertionError(f"sshd does not listen: {log.read_text()}")
