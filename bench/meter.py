"""What a stretch of a run has spent: CPU by component, requests by verb, bytes, memory."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.realcluster.cluster import audit_counts

from bench.engines.protocol import Engine
from bench.machine import busy_s, cpu_s, memory, own_cpu_s, self_cpu_s
from bench.site import Site

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

SHOWN_REQUESTS = 0.05
"""A kind of request that is rarer for each thing is in the sum only."""

Requests = Mapping[tuple[str, str], int]
"""Requests by (verb, resource)."""


@dataclass
class Spent:
    """A stretch. CPU seconds are those of processes with their children; `others_cpu_s` is what nobody here used."""

    seconds: float = 0.0
    engine_cpu_s: float = 0.0
    engine: Mapping[str, float] = field(default_factory=dict)
    main_cpu_s: float = 0.0  # the engine's processes without their children
    cluster_cpu_s: float = 0.0
    git_cpu_s: float = 0.0
    others_cpu_s: float = 0.0
    wal_bytes: int = 0
    requests: Requests = field(default_factory=dict)

    def plus(self, other: Spent) -> Spent:
        """Both stretches."""
        requests = Counter(dict(self.requests))
        requests.update(dict(other.requests))
        parts = {
            name: self.engine.get(name, 0.0) + other.engine.get(name, 0.0) for name in {**self.engine, **other.engine}
        }
        return Spent(
            self.seconds + other.seconds,
            self.engine_cpu_s + other.engine_cpu_s,
            parts,
            self.main_cpu_s + other.main_cpu_s,
            self.cluster_cpu_s + other.cluster_cpu_s,
            self.git_cpu_s + other.git_cpu_s,
            self.others_cpu_s + other.others_cpu_s,
            self.wal_bytes + other.wal_bytes,
            requests,
        )

    def per(self, count: int, what: str) -> dict[str, Any]:
        """Milliseconds and requests for each of `count` things, as fields of a result; the floor has no engine."""
        found: dict[str, Any] = {}
        if self.engine:
            found[f"engine_cpu_ms_per_{what}"] = round(self.engine_cpu_s / count * 1000, 2)
            found[f"engine_children_cpu_ms_per_{what}"] = round((self.engine_cpu_s - self.main_cpu_s) / count * 1000, 2)
            if len(self.engine) > 1:
                parts = {name: round(value / count * 1000, 2) for name, value in self.engine.items()}
                found[f"engine_cpu_ms_per_{what}_by_process"] = parts
        found[f"cluster_cpu_ms_per_{what}"] = round(self.cluster_cpu_s / count * 1000, 2)
        if self.git_cpu_s:
            found[f"git_server_cpu_ms_per_{what}"] = round(self.git_cpu_s / count * 1000, 2)
        if self.requests:
            found[f"requests_per_{what}"] = round(sum(self.requests.values()) / count, 2)
            each = {name: round(n / count, 2) for name, n in by_request(self.requests).items()}
            found[f"requests_per_{what}_by_kind"] = {name: n for name, n in each.items() if n >= SHOWN_REQUESTS}
        found[f"etcd_wal_kib_per_{what}"] = round(self.wal_bytes / count / 1024, 2)
        return found

    def above(self, idle: Spent, count: int, what: str) -> dict[str, Any]:
        """CPU for each of `count` things above what the same time costs when nothing happens."""
        share = self.seconds / idle.seconds
        engine, cluster = self.engine_cpu_s - idle.engine_cpu_s * share, self.cluster_cpu_s - idle.cluster_cpu_s * share
        return {
            f"engine_cpu_ms_per_{what}_above_idle": round(engine / count * 1000, 2),
            f"cluster_cpu_ms_per_{what}_above_idle": round(cluster / count * 1000, 2),
        }

    def totals(self) -> dict[str, Any]:
        """The whole stretch, as fields of a result."""
        return {
            "seconds": round(self.seconds, 3),
            "engine_cpu_s": round(self.engine_cpu_s, 3),
            "engine_children_cpu_s": round(self.engine_cpu_s - self.main_cpu_s, 3),
            "cluster_cpu_s": round(self.cluster_cpu_s, 3),
            "others_cores": round(self.others_cpu_s / max(self.seconds, 0.001), 2),
            "requests": by_request(self.requests),
            "etcd_wal_kib": round(self.wal_bytes / 1024, 1),
        }


class Meter:
    """Reads a stretch: from when it was made until `read`."""

    def __init__(self, site: Site, engine: Engine | None) -> None:
        """Begin."""
        self._site, self._engine = site, engine
        self._audit = site.audit_log.stat().st_size if site.audit_log is not None else 0
        self._before = self._counters()

    def read(self, *, requests: bool = True) -> Spent:
        """What was spent since the beginning. Counting requests takes a moment, which is not in the figures."""
        now, before = self._counters(), self._before
        change = {name: value - before.get(name, 0.0) for name, value in now.items()}
        engine = {name.removeprefix("e:"): v for name, v in change.items() if name.startswith("e:")}
        cluster = sum(v for name, v in change.items() if name.startswith("c:"))
        total = sum(engine.values())
        others = change["busy"] - total - cluster - change["git"] - change["self"]
        counts: Requests = {}
        if requests and self._site.audit_log is not None and self._engine is not None:
            counts = audit_counts(self._site.audit_log, self._engine.user, offset=self._audit)
        return Spent(
            change["at"],
            total,
            engine,
            change["main"],
            cluster,
            change["git"],
            max(others, 0.0),
            int(change["wal"]),
            counts,
        )

    def _counters(self) -> dict[str, float]:
        site, engine = self._site, self._engine
        found = {"at": time.monotonic(), "busy": busy_s(), "self": self_cpu_s(), "main": 0.0, "git": 0.0}
        for name, pid in site.processes.items():
            found[f"c:{name}"] = cpu_s(pid)
        for name, pid in (engine.processes() if engine is not None else {}).items():
            found[f"e:{name}"] = cpu_s(pid)
            found["main"] += own_cpu_s(pid)
        if site.git is not None:
            found["git"] = cpu_s(site.git.pid)
        found["wal"] = wal_bytes(site)
        return found


def wal_bytes(site: Site) -> int:
    """Bytes etcd's process has written to its disk; 0 where there is none."""
    pid = site.processes.get("etcd")
    if pid is None:
        return 0
    with open(f"/proc/{pid}/io") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("write_bytes"))


def memory_of(engine: Engine) -> dict[str, Any]:
    """Memory of an engine now, all its processes with children, in MiB."""
    parts = {name: memory(pid) for name, pid in engine.processes().items()}
    return {
        "pss_mib": round(sum(part.pss for part in parts.values()), 1),
        "rss_mib": round(sum(part.rss for part in parts.values()), 1),
        "peak_rss_mib": round(sum(part.peak for part in parts.values()), 1),
        "processes": sum(part.processes for part in parts.values()),
        "pss_mib_by_process": {name: part.pss for name, part in parts.items()},
    }


def by_request(counts: Requests) -> dict[str, int]:
    """Requests as `verb resource`, the most frequent first."""
    return {
        f"{verb} {resource}": count
        for (verb, resource), count in sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    }


def writes(counts: Requests) -> dict[str, int]:
    """Writes that are not an engine's Lease."""
    return {
        f"{verb} {resource}": count
        for (verb, resource), count in counts.items()
        if verb in WRITES and not resource.startswith("leases.")
    }
