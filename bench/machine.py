"""What processes and the machine they run on have spent: CPU seconds, resident and proportional memory."""

from __future__ import annotations

import copy
import os
import platform
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of a process tree. PSS counts shared pages once; `peak` is the sum of the processes' own highest RSS."""

    rss: float
    pss: float
    peak: float
    processes: int


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(pid: int) -> list[int]:
    """The process and its living descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
    found, stack = [], [pid]
    while stack:
        current = stack.pop()
        found.append(current)
        stack.extend(children.get(current, ()))
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds of a process tree so far: living processes, and children they have waited for."""
    total = 0
    for member in tree(pid):
        try:
            total += sum(int(x) for x in _stat(member)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICKS_PER_S


def own_cpu_s(pid: int) -> float:
    """CPU seconds of one process, without its children."""
    return sum(int(x) for x in _stat(pid)[11:13]) / TICKS_PER_S


def self_cpu_s() -> float:
    """CPU seconds of this process and of the children it has waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def memory(pid: int) -> Memory:
    """Memory of a process tree now."""
    found = {"Rss:": 0, "Pss:": 0, "VmHWM:": 0}
    members = tree(pid)
    for member in members:
        for name in ("smaps_rollup", "status"):
            try:
                for line in Path(f"/proc/{member}/{name}").read_text().splitlines():
                    words = line.split()
                    if words and words[0] in found:
                        found[words[0]] += int(words[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    rss, pss, peak = (round(kib / 1024, 1) for kib in found.values())
    return Memory(rss, pss, peak, len(members))


def busy_s() -> float:
    """CPU seconds the whole machine has spent; minus our own, it is what others used meanwhile."""
    fields = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / TICKS_PER_S


def machine() -> dict[str, object]:
    """The machine's class, for the head of a result."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpus": os.cpu_count(),
        "cpu": model,
        "memory_gib": round(memory_kib / 2**20),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
        "speed": speed(),
    }


def speed() -> dict[str, float]:
    """Microseconds of CPU for a fixed piece of Python work: what CPU figures of different days are divided by.

    `best` tells of the machine, `median` of the machine as it was shared while this was measured.
    """
    sample = {"metadata": {"labels": {f"k{n}": "v" for n in range(8)}}, "list": [{"a": n, "b": [n]} for n in range(20)]}
    tries = []
    for _ in range(60):
        started = time.process_time()
        for _ in range(20):
            copy.deepcopy(sample)
        tries.append((time.process_time() - started) / 20 * 1e6)
    return {"best_us": round(min(tries), 1), "median_us": round(statistics.median(tries), 1)}
