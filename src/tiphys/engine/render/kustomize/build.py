"""The worker's side of Kustomize: runs the build in a folder that holds the planned files and nothing else."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tiphys.engine.render.kustomize.schema import Definitions, with_schema
from tiphys.engine.render.protocol import MAX_OUTPUT_BYTES
from tiphys.engine.render.tools import ToolError

# Who asked for the build has a limit of time too, and names it; this one is for a build that nobody waits for.
DEFAULT_TIMEOUT_S = 600.0
# Addresses, of which a Go program reserves 1 GB before it does anything.
MEMORY_BYTES = 5 * 1024**3 // 2
MESSAGE_LIMIT = 8 * 1024
_OUT_OF_MEMORY = (
    "runtime: out of memory",
    "cannot allocate memory",
    "runtime: cannot reserve",
    "failed to create new OS thread",
)


def build(
    root: Path,
    request: Mapping[str, object],
    *,
    kubectl: str,
    definitions: Definitions | None = None,
    texts: Sequence[bytes] = (),
) -> bytes:
    """Build `request["path"]` below `root`, with `request["options"]`; the YAML that Kustomize prints.

    `kubectl` is the program's path. It gets an empty environment and a home of its own, which no file of a tenant can
    be in: kubectl reads settings from there. With `definitions`, which must be those that are built into it, and `texts`,
    all files below `root`, it does not have to read its own. Raises ToolError with Kustomize's message.
    """
    path = str(request.get("path") or ".")
    if definitions is not None:
        with_schema(root / path, definitions, texts)
    options = request.get("options")
    arguments = [str(option) for option in options] if isinstance(options, list | tuple) else []
    timeout = request.get("timeout_s")
    timeout_s = float(timeout) if isinstance(timeout, int | float) else DEFAULT_TIMEOUT_S
    home = Path(tempfile.mkdtemp(prefix=".home-", dir=root))
    env = {
        "HOME": str(home),
        "TMPDIR": str(home),
        "KUBECONFIG": os.devnull,
        "KUBECTL_KUBERC": "false",
        "KUBERC": "off",
        "PATH": "",
        # A third of the time of a small build was collecting garbage that ends with the process anyway.
        "GOGC": "800",
        "GOMEMLIMIT": "1GiB",
    }
    try:
        code = _run([kubectl, "kustomize", *arguments, "--", path], root, env, home, timeout_s)
        if code != 0:
            with (home / "err").open("rb") as said:
                message = clean_message(said.read(64 * 1024).decode("utf-8", "replace"), root)
            raise ToolError(f"`kustomize build {path}` {_ended(code)}: {message}")
        size = (home / "out").stat().st_size
        if size > MAX_OUTPUT_BYTES:
            raise ToolError(
                f"`kustomize build {path}` gives {size} bytes, more than {MAX_OUTPUT_BYTES} (limit of rendered output)"
            )
        return (home / "out").read_bytes()
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _run(argv: list[str], root: Path, env: Mapping[str, str], home: Path, timeout_s: float) -> int:
    """Run a program in `root`, with what it writes in files of `home`; its exit code, negative for a signal."""
    with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
        try:
            process = subprocess.Popen(argv, cwd=root, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            raise ToolError(f"kubectl cannot be run: {error.strerror}") from None
        with process:
            try:
                if sys.platform == "linux":
                    resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
                return process.wait(timeout_s)
            except ProcessLookupError:
                return process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                raise ToolError(f"`{' '.join(argv[1:])}` was stopped after {timeout_s:g} s (limit of time)") from None
            finally:
                process.kill()


def clean_message(text: str, root: Path) -> str:
    """What kubectl said on stderr, without warnings, dumps of its runtime and the folder's own path."""
    if any(sign in text for sign in _OUT_OF_MEMORY):
        return "Error: it needs more memory than it may have (limit of memory for rendering)"
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("# Warning:")]
    for number, line in enumerate(lines):
        if line.startswith(("panic: ", "fatal error: ", "goroutine ")):
            lines = lines[: number + 1]  # what follows are stacks
            break
    message = "\n".join(lines)
    for folder in {str(root), os.path.realpath(root)}:
        message = message.replace(f"{folder}/", "").replace(folder, ".")
    message = re.sub(r"\Aerror: ", "Error: ", message)
    return message[:MESSAGE_LIMIT] or "nothing was said"


def _ended(code: int) -> str:
    if code > 0:
        return f"failed exit status {code}"
    if code == -signal.SIGXCPU:
        return "was stopped (limit of processor time)"
    if code == -signal.SIGXFSZ:
        return "was stopped (limit of rendered output)"
    return f"was killed by signal {-code}"
