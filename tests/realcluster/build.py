"""Build the control-plane executable that the real-cluster tests start, and keep it in a cache.

The executable is a function of the Go module beside this file and of the Go release, so the cache key is a digest of
both and a second call only looks the file up. A cold build downloads the Go modules and compiles about 2,500
packages, see `EXPECTED_COST`; afterwards Go's own cache makes a rebuild a matter of seconds.

    python tests/realcluster/build.py [--print-path] [--go PATH]

prints the path of the executable on standard output and everything else on standard error. Exit codes: 0 built or
found, 1 the build failed, 3 Go is missing or of the wrong release.

Only the standard library is used, so that a test job may build before it installs anything.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

MODULE: Final = Path(__file__).resolve().parent

GO_MINOR: Final = (1, 26)
"""The only Go minor release that is accepted: Kubernetes 1.36 needs at least 1.26, and the `encoding/json` of 1.27
changes what kube-openapi writes, so that the API server answers `/openapi/v2` with 503."""

TAGS: Final = "grpcnotrace,notest"
"""Build tags of the upstream release builds; `grpcnotrace` lets the linker drop unreachable methods."""

EXPECTED_COST: Final = (
    "a cold build downloads about 100 MB of Go modules, takes 8 to 10 minutes on two cores, "
    "and leaves 3.5 GB in Go's caches"
)

EXIT_WRONG_GO: Final = 3


class WrongGoError(Exception):
    """Go is missing or not of release `GO_MINOR`. The text is one sentence for the user."""


class BuildError(Exception):
    """`go build` failed. Its own output has already gone to standard error."""


def cache_directory() -> Path:
    """The directory under which executables are kept: `$TIPHYS_CACHE`, else the user's cache directory of the XDG
    base-directory specification."""
    base = os.environ.get("TIPHYS_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tiphys" / "realcluster"


def kubernetes_version() -> str:
    """The Kubernetes release that `go.mod` requires, such as `v1.36.3`."""
    match = re.search(r"^\s*k8s\.io/kubernetes (v\d+\.\d+\.\d+)\b", (MODULE / "go.mod").read_text(), re.MULTILINE)
    if match is None:
        raise BuildError("go.mod does not require k8s.io/kubernetes")
    return match[1]


def ensure(go: str = "go") -> Path:
    """Return the path of the executable, building it first when the cache does not hold it.

    Concurrent callers are serialised by a lock file, so that parallel test workers build once.

    Raises `WrongGoError` and `BuildError`.
    """
    command, release = _find_go(go)
    directory = cache_directory() / _key(release)
    executable = directory / "realcluster"
    if executable.is_file():
        return executable
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not executable.is_file():
            _build(command, executable)
    return executable


def _find_go(go: str) -> tuple[str, str]:
    """The absolute path of the Go command and its release, such as `go1.26.8`."""
    wanted = ".".join(map(str, GO_MINOR))
    command = shutil.which(go)
    if command is None:
        raise WrongGoError(
            f"Go {wanted} is needed to build the test control plane, and there is no {go!r} on the path."
        )
    answer = subprocess.run(
        [command, "env", "GOVERSION"], env=_environment(), cwd=MODULE, capture_output=True, text=True, check=False
    )
    release = answer.stdout.strip().partition(" ")[0]
    match = re.match(r"go(\d+)\.(\d+)", release)
    if match is not None and (int(match[1]), int(match[2])) == GO_MINOR:
        return command, release
    # A toolchain older than the `go` line of go.mod refuses to run here, and names itself in the complaint.
    refusal = re.search(r"running go ([\d.]+)", answer.stderr)
    found = release or (f"go{refusal[1]}" if refusal else "an unknown release")
    raise WrongGoError(f"Go {wanted} is needed to build the test control plane, and {command} is {found}.")


def _environment() -> dict[str, str]:
    """The environment of the Go command. `GOTOOLCHAIN=local` keeps it from downloading another toolchain than the one
    that the key names; without cgo the result needs neither a C compiler nor the C library of the machine."""
    return {**os.environ, "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "0"}


def _linker_flags() -> str:
    """Linker flags: no symbol tables, and the version as the release builds stamp it. client-go has a version package of
    its own, from which the components' user agents come."""
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    flags = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        for name, value in (("gitVersion", version), ("gitMajor", major), ("gitMinor", minor)):
            flags.append(f"-X {package}.{name}={value}")
    return " ".join(flags)


def _key(release: str) -> str:
    """Digest of everything the executable depends on."""
    digest = hashlib.sha256()
    for path in sorted([MODULE / "go.mod", MODULE / "go.sum", *MODULE.glob("*.go")]):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)}\n".encode() + content)
    uname = os.uname()
    digest.update("\n".join([release, uname.sysname, uname.machine, TAGS, _linker_flags()]).encode())
    return digest.hexdigest()[:32]


def _build(command: str, executable: Path) -> None:
    """Build into a temporary name and rename, so that an interrupted build leaves no half-written executable."""
    print(f"building the test control plane, Kubernetes {kubernetes_version()}: {EXPECTED_COST}", file=sys.stderr)
    temporary = executable.with_suffix(".part")
    flags = ["-mod=readonly", "-buildvcs=false", "-trimpath", "-tags", TAGS, "-ldflags", _linker_flags()]
    flags += ["-o", str(temporary)]
    started = time.monotonic()
    result = subprocess.run(
        [command, "build", *flags, "."],
        env=_environment(),
        cwd=MODULE,
        stdout=sys.stderr,
        check=False,
    )
    if result.returncode != 0:
        temporary.unlink(missing_ok=True)
        raise BuildError(f"go build ended with exit code {result.returncode}")
    temporary.replace(executable)
    seconds = time.monotonic() - started
    print(f"built in {seconds:.0f} s, {executable.stat().st_size / 1e6:.0f} MB", file=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description="Build the control-plane executable of the real-cluster tests.")
    parser.add_argument("--print-path", action="store_true", help="print where the executable is or would be; no build")
    parser.add_argument("--go", default="go", metavar="PATH", help="the Go command (default: go on the path)")
    options = parser.parse_args(arguments)
    try:
        if options.print_path:
            print(cache_directory() / _key(_find_go(options.go)[1]) / "realcluster")
        else:
            print(ensure(options.go))
    except WrongGoError as error:
        print(error, file=sys.stderr)
        return EXIT_WRONG_GO
    except BuildError as error:
        print(f"building the test control plane failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
