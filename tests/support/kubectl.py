"""kubectl as users have it, against one kubeconfig."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.support.processes import BIN, clean_env


class KubectlError(AssertionError):
    """kubectl ended with an error; its own words are in the message."""


class Kubectl:
    """Runs kubectl; `json` parses, `apply` takes text."""

    def __init__(self, kubeconfig: Path, cache: Path) -> None:
        self.kubeconfig = kubeconfig
        self._cache = cache

    def run(self, *args: str, stdin: str | None = None, within_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """The finished process, whatever it answered."""
        argv = [str(BIN / "kubectl"), "--kubeconfig", str(self.kubeconfig), "--cache-dir", str(self._cache), *args]
        return subprocess.run(
            argv, input=stdin, env=clean_env(), capture_output=True, text=True, timeout=within_s, check=False
        )

    def __call__(self, *args: str, stdin: str | None = None) -> str:
        """Standard output; raises KubectlError with standard error."""
        done = self.run(*args, stdin=stdin)
        if done.returncode != 0:
            raise KubectlError(f"kubectl {' '.join(args)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def apply(self, text: str) -> str:
        """kubectl apply -f - of this text."""
        return self("apply", "-f", "-", stdin=text)

    def json(self, *args: str) -> Any:
        """Parsed output of `kubectl ... -o json`; None when the object does not exist."""
        done = self.run(*args, "-o", "json")
        if done.returncode != 0:
            if "NotFound" in done.stderr or "not found" in done.stderr:
                return None
            raise KubectlError(f"kubectl {' '.join(args)}: {done.stderr.strip()}")
        return json.loads(done.stdout)
