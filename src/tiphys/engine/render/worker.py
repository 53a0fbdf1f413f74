"""The child that parses manifests: `python -I -m tiphys.engine.render.worker`.

It says hello, then answers each request on stdin with one reply on stdout, until stdin closes. It has no credentials,
an empty environment, a folder of its own, and after `confine` no network and no files. Before each file it writes the
file's number into `progress` in its folder, so that the engine can name the file that killed it.
"""

from __future__ import annotations

import os
import resource

from tiphys.engine.render.manifests import ManifestError, ObjectRow, parse_manifests
from tiphys.engine.render.protocol import MAX_OUTPUT_BYTES
from tiphys.runtime.confine import confine
from tiphys.runtime.frames import read_frame, write_frame
from tiphys.runtime.messages import PROGRESS_DIGITS, PROGRESS_FILE, decode, encode

_STDIN = 0


def main() -> None:
    """Serve requests until stdin closes."""
    # Whatever prints must not break the frames: they get a descriptor of their own.
    out = os.dup(1)
    os.dup2(2, 1)
    progress = os.open(PROGRESS_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    memory = open_memory()
    "".encode("utf-16")  # loads the codec, which cannot be read any more once files are out of reach
    write_frame(out, encode({"hello": 1, **confine()}))
    while (request := read_frame(_STDIN)) is not None:
        reply = answer(request, progress)
        write_frame(out, encode({"files": reply[0], **usage(memory)}, reply[1]))


def answer(request: bytes, progress: int) -> tuple[list[object], list[bytes]]:
    """Reply to one request: per file `[problem or null, line, [[group, version, kind, namespace, name, sha256, size]]]`,
    and the JSON of all objects in the same order."""
    header, bodies = decode(request)
    allow_cpu(int(header["cpu_s"]))
    files: list[object] = []
    output: list[bytes] = []
    room = MAX_OUTPUT_BYTES
    at = 0
    for number, (form, size) in enumerate(header["files"]):
        os.pwrite(progress, b"%0*d" % (PROGRESS_DIGITS, number), 0)
        data = bytes(bodies[at : at + size])
        at += size
        try:
            rows = parse_manifests(data, form, max_objects=int(header["max_objects"]))
            room -= sum(len(row[6]) for row in rows)
            if room < 0:
                raise ManifestError(f"the objects need more than {MAX_OUTPUT_BYTES} bytes (limit of rendered output)")
            files.append((None, 0, [_described(row) for row in rows]))
            output += [row[6] for row in rows]
        except ManifestError as error:
            files.append((error.problem, error.line, ()))
        except MemoryError:
            limit = resource.getrlimit(resource.RLIMIT_AS)[0] >> 20
            files.append((f"it needs more than {limit} MiB (limit of memory for rendering)", 0, ()))
        except Exception as error:  # a bug or a new kind of hostile input: it must name its file like any other
            files.append((f"it cannot be read: {type(error).__name__}: {error}", 0, ()))
    os.ftruncate(progress, 0)
    return files, output


def _described(row: ObjectRow) -> tuple[str, str, str, str, str, str, int]:
    return (*row[:6], len(row[6]))


def allow_cpu(seconds: int) -> None:
    """The kernel kills the process when this request has used so much processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def open_memory() -> int:
    """Where `usage` reads how much memory is resident; -1 where that cannot be told."""
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def usage(memory: int) -> dict[str, float]:
    """What this process uses, for the reply."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    if memory >= 0:
        rss = int(os.pread(memory, 256, 0).split()[1]) * resource.getpagesize()
    else:
        rss = used.ru_maxrss  # macOS: bytes
    return {"rss_bytes": rss, "cpu_s": used.ru_utime + used.ru_stime}


if __name__ == "__main__":
    main()
