"""The CLI as a user has it: a home of its own, logged in or not."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.environment import Environment
from tests.support.processes import BIN, TIPHYS, clean_env


@dataclass
class Cli:
    """The CLI with a home of its own."""

    home: Path
    server: str

    def __call__(
        self, *args: str, rc: int = 0, stdin: str = "", cwd: Path | None = None, within_s: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run it; fails with its output when it ends otherwise."""
        env = clean_env(HOME=str(self.home), TZ="UTC")
        env["PATH"] = f"{BIN}:{env['PATH']}"
        done = subprocess.run(
            [TIPHYS, *args],
            env=env,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
            input=stdin,
            cwd=cwd,
        )
        assert done.returncode == rc, f"{args} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done

    def out(self, *args: str, rc: int = 0) -> str:
        """What it printed."""
        return self(*args, rc=rc).stdout


def anonymous_cli(environment: Environment, home: Path) -> Cli:
    """The CLI, not logged in."""
    address = (environment.root / "engine.address").read_text().strip()
    return Cli(home, urlsplit(address).netloc)


def admin_cli(environment: Environment, home: Path) -> Cli:
    """The CLI, logged in with the initial password."""
    secret = environment.kubectl.json("get", "secret", "argocd-initial-admin-secret", "-n", "argocd")
    password = base64.b64decode(secret["data"]["password"]).decode()
    cli = anonymous_cli(environment, home)
    cli("login", cli.server, "--plaintext", "--grpc-web", "--username", "admin", "--password", password)
    return cli
