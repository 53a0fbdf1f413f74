"""The child that runs tools: `python -I -m tiphys.engine.render.toolworker [helm=PATH] [kubectl=PATH] [sdk=no]`.

It says hello, then answers each request on stdin with one reply on stdout, until stdin closes. Each request brings all
files that the tool may see; they are written below a folder of its own that is empty before. It has no credentials, an
empty environment, no network where the kernel can take it away, and can open nothing but its folder, the tools and what
they are made of. The Helm SDK is loaded with the first chart, after all that was taken: its threads are confined too.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import orjson

from tiphys.engine.render.helm.binary import Binary
from tiphys.engine.render.helm.build import NO_BACKEND, Backend
from tiphys.engine.render.helm.build import build as build_chart
from tiphys.engine.render.helm.sdk import Sdk, library_folder
from tiphys.engine.render.kustomize.kustomizations import Kustomizations
from tiphys.engine.render.kustomize.schema import packed_definitions
from tiphys.engine.render.manifests import ManifestError, ObjectRow, parse_manifests
from tiphys.engine.render.protocol import HELM_TOOL, MAX_OUTPUT_BYTES, TOOL_FORM
from tiphys.engine.render.tools import ToolError
from tiphys.engine.render.worker import allow_cpu, open_memory, usage
from tiphys.model.annotations import HELM_HOOK, annotations_of, parse_csv
from tiphys.runtime.confine import Allowed, confine
from tiphys.runtime.frames import read_frame, write_frame
from tiphys.runtime.messages import decode, encode

_STDIN = 0
FOLDER = "files"
PROGRAM_TIMEOUT_S = 85.0
MESSAGE_LIMIT = 4 * 1024
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")


def main() -> None:
    """Serve requests until stdin closes."""
    # Whatever prints must not break the frames: they get a descriptor of their own.
    out = os.dup(1)
    os.dup2(2, 1)
    programs = dict(argument.split("=", 1) for argument in sys.argv[1:])
    memory = open_memory()
    "".encode("utf-16")  # loads the codec
    own = Path.cwd()
    packed = packed_definitions() if "kubectl" in programs else b""
    library = None if programs.pop("sdk", "") == "no" else library_folder()
    allowed = Allowed(
        read=[str(path) for path in (library, sysconfig.get_path("stdlib")) if path],
        write=[str(own), os.devnull],
        execute=[*_LIBRARIES, *(os.path.realpath(path) for path in programs.values())],
        processes=True,
    )
    write_frame(out, encode({"hello": 1, **confine(allowed)}))
    tools = _Tools(own / FOLDER, programs, sdk=library is not None, packed=packed)
    while (request := read_frame(_STDIN)) is not None:
        header, output = tools.answer(request)
        write_frame(out, encode({**header, **usage(memory)}, output))


class _Tools:
    """Runs the tool a request asks for."""

    def __init__(self, folder: Path, programs: dict[str, str], *, sdk: bool, packed: bytes) -> None:
        self._folder = folder
        self._kustomize = Kustomizations(programs.get("kubectl", ""), packed)
        self._programs = programs
        self._has_sdk = sdk
        self._helm: Backend | None = None

    def answer(self, request: bytes) -> tuple[dict[str, object], list[bytes]]:
        """({"problem": text or None, "objects": [[group, version, kind, namespace, name, sha256, size]]}, their JSON)."""
        header, bodies = decode(request)
        allow_cpu(int(header["cpu_s"]))
        try:
            rows = self._rows(header, _contents(header["files"], bodies))
        except ToolError as error:
            return _refusal(self._cleaned(str(error))), []
        except MemoryError:
            limit = resource.getrlimit(resource.RLIMIT_AS)[0] >> 20
            return _refusal(f"it needs more than {limit} MiB (limit of memory for rendering)"), []
        except Exception as error:  # a bug or a new kind of hostile input: it must not take the worker with it
            return _refusal(self._cleaned(f"{type(error).__name__}: {error}")), []
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)
        objects = [(*row[:6], len(row[6])) for row in rows]
        return {"problem": None, "objects": objects}, [row[6] for row in rows]

    def _rows(self, header: dict[str, Any], contents: Sequence[memoryview]) -> list[ObjectRow]:
        tool, request, files = header["tool"], header["request"], header["files"]
        texts = [bytes(content) for content in contents]
        if tool == HELM_TOOL:
            given = {file[0]: text for file, text in zip(files, texts, strict=True)}
            return _rows(build_chart(given, request, self._chart_backend()), request, int(header["max_objects"]))
        rows = self._kustomize.rows({file[0]: text for file, text in zip(files, texts, strict=True)}, request)
        if rows is not None:
            return rows
        self._write(files, contents)
        text = self._kustomize.text(self._folder, request, texts)
        return _rows([("", text)], request, int(header["max_objects"]))

    def _write(self, files: Sequence[Sequence[Any]], contents: Sequence[memoryview]) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(mode=0o700)
        for (path, _, executable), content in zip(files, contents, strict=True):
            write_file(self._folder, path, content, executable=executable)

    def _place(self, files: Mapping[str, bytes]) -> Path:
        """Put the files of a chart in the folder, for what can only read folders."""
        self._write(
            [(path, len(content), False) for path, content in files.items()],
            [memoryview(content) for content in files.values()],
        )
        return self._folder

    def _chart_backend(self) -> Backend:
        if self._helm is None:
            self._helm = self._sdk() or self._helm_program()
        return self._helm

    def _sdk(self) -> Backend | None:
        try:
            return Sdk(self._place) if self._has_sdk else None
        except ToolError:
            if self._programs.get("helm"):
                return None  # a platform that the library was not made for
            raise

    def _helm_program(self) -> Backend:
        if not self._programs.get("helm"):
            raise ToolError(NO_BACKEND)
        return Binary(self._programs["helm"], run_program, self._place)

    def _cleaned(self, text: str) -> str:
        folder = str(self._folder)
        text = text.replace(f"{folder}/", "").replace(folder, ".")
        if len(text) <= MESSAGE_LIMIT:
            return text
        half = MESSAGE_LIMIT // 2  # where it began, and what it was in the end
        return f"{text[:half]} ... {text[-half:]}"


def _contents(files: Sequence[Sequence[Any]], bodies: memoryview) -> list[memoryview]:
    ends = list(accumulate(size for _, size, _ in files))
    return [bodies[end - file[1] : end] for file, end in zip(files, ends, strict=True)]


def write_file(folder: Path, path: str, content: memoryview, *, executable: bool) -> None:
    """Write one file below `folder`. Raises ToolError for a path that leaves it, or that no file can have."""
    parts = path.split("/")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise ToolError(f"{path!r}: a file of this name cannot be written")
    at = folder.joinpath(*parts)
    try:
        at.parent.mkdir(parents=True, exist_ok=True)
        with at.open("xb") as file:
            file.write(content)
        if executable:
            at.chmod(0o700)
    except OSError as error:
        raise ToolError(f"{path}: the file cannot be written: {error.strerror}") from None


def run_program(argv: Sequence[str], folder: Path) -> bytes:
    """Run a program with an empty environment; what it writes. Raises ToolError with what it says when it fails."""
    home = folder.parent
    out, err = home / "out", home / "err"
    env = {"HOME": str(home), "TMPDIR": str(home), "HELM_NO_PLUGINS": "1", "PATH": ""}
    try:
        with out.open("wb") as stdout, err.open("wb") as stderr:
            done = subprocess.run(
                list(argv),
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=PROGRAM_TIMEOUT_S,
                check=False,
            )
        if done.returncode != 0:
            said = err.read_bytes()[-MESSAGE_LIMIT:].decode("utf-8", "replace").strip()
            raise ToolError(
                said.removeprefix("Error: ") or f"{Path(argv[0]).name} ended with exit code {done.returncode}"
            )
        if out.stat().st_size > MAX_OUTPUT_BYTES:
            raise ToolError(f"it gave more than {MAX_OUTPUT_BYTES} bytes (limit of rendered output)")
        return out.read_bytes()
    except subprocess.TimeoutExpired:
        raise ToolError(f"it was stopped after {PROGRAM_TIMEOUT_S:g} s (limit of time)") from None
    except OSError as error:
        raise ToolError(f"{Path(argv[0]).name} cannot be run: {error.strerror}") from None
    finally:
        out.unlink(missing_ok=True)
        err.unlink(missing_ok=True)


def _rows(parts: Sequence[tuple[str, bytes]], request: dict[str, Any], max_objects: int) -> list[ObjectRow]:
    keep = _no_tests if request.get("skip_tests") else None
    rows: list[ObjectRow] = []
    room = MAX_OUTPUT_BYTES
    size = sum(len(text) for _, text in parts)
    if size > MAX_OUTPUT_BYTES:
        raise ToolError(f"it gives {size} bytes, more than {MAX_OUTPUT_BYTES} (limit of rendered output)")
    for name, text in parts:
        at = f"{name}: " if name else ""
        try:
            found = parse_manifests(text, TOOL_FORM, max_objects=max_objects - len(rows))
        except ManifestError as error:
            line = f"line {error.line}: " if error.line else ""
            raise ToolError(f"{at}{line}{error.problem}") from None
        room -= sum(len(row[6]) for row in found)
        if room < 0:
            raise ToolError(f"{at}the objects need more than {MAX_OUTPUT_BYTES} bytes (limit of rendered output)")
        rows += filter(keep, found) if keep else found
    return rows


def _no_tests(row: ObjectRow) -> bool:
    hooks = parse_csv(str(annotations_of(orjson.loads(row[6])).get(HELM_HOOK) or ""))
    return not any(hook in ("test", "test-success", "test-failure") for hook in hooks)


def _refusal(problem: str) -> dict[str, object]:
    return {"problem": problem, "objects": []}


if __name__ == "__main__":
    main()
