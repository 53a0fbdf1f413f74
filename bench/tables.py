"""Tables of results: one for each case, a row for each figure, a column for the floor and for each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.results import PARTS, Result

COLUMNS = {
    "tiphys": "Tiphys",
    "tiphys-eager": "Tiphys, every revision written",
    "argocd": "Argo CD",
    "argocd-paths": "Argo CD, generate-paths",
    "argocd-novalidate": "Argo CD, Validate=false",
    "flux": "Flux",
}
COMPARANDS = ("argocd", "argocd-paths", "argocd-novalidate", "flux")
NOT_MEASURED = "not measured"
NONE = "-"
QUIET_CORES = 0.2

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. `path` leads to it through the groups of a result; `floor` gives what stands in the floor's column."""

    label: str
    path: str
    floor: Callable[[Figures], Any] | None = None


def at(figures: Figures, path: str) -> Any:
    """The figure at a path of dots; None where there is none."""
    found: Any = figures
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found


def of(path: str, scale: float = 1.0) -> Callable[[Figures], Any]:
    """A figure of the floor, times what makes it one of an application."""
    return lambda figures: times(at(figures, f"floor.{path}"), scale)


def both(name: str, scale: float = 1.0) -> Callable[[Figures], Any]:
    """The floor by server-side apply, and by POST."""

    def cell_of(figures: Figures) -> Any:
        ssa, post = (times(at(figures, f"floor.{how}.{name}"), scale) for how in ("ssa", "post"))
        return None if ssa is None or post is None else f"{cell(ssa)} SSA, {cell(post)} POST"

    return cell_of


def times(value: Any, scale: float) -> Any:
    """A figure or its median and range, scaled."""
    if isinstance(value, Mapping):
        return {name: times(part, scale) for name, part in value.items()}
    return value * scale if isinstance(value, int | float) else value


def spent(unit: str, where: str = "", floor: bool = False) -> list[Row]:
    """The rows of CPU and requests for each thing of a kind."""
    prefix = f"{where}." if where else ""
    cluster = both("cluster_cpu_ms_per_object", 3) if floor else None
    return [
        Row(f"engine CPU per {unit}, ms", f"{prefix}engine_cpu_ms_per_{unit}"),
        Row("... of it in its children", f"{prefix}engine_children_cpu_ms_per_{unit}"),
        Row(f"cluster CPU per {unit}, ms", f"{prefix}cluster_cpu_ms_per_{unit}", cluster),
        Row("... above idle", f"{prefix}cluster_cpu_ms_per_{unit}_above_idle"),
        Row(f"requests per {unit}", f"{prefix}requests_per_{unit}", (lambda _: 3) if floor else None),
    ]


def commits(flavour: str) -> list[Row]:
    """The rows of commits to one application."""
    return [
        Row(f"{flavour}: push to live, ms", f"{flavour}.push_to_live_ms", of("patch_to_seen_ms")),
        Row(f"{flavour}: push to Synced and Healthy, ms", f"{flavour}.push_to_settled_ms"),
        Row(f"{flavour}: push to every Application at the commit, ms", f"{flavour}.push_to_everyone_ms"),
        Row(f"{flavour}: engine CPU per commit, ms", f"{flavour}.engine_cpu_ms_per_commit"),
        Row(f"{flavour}: ... above idle", f"{flavour}.engine_cpu_ms_per_commit_above_idle"),
        Row(f"{flavour}: cluster CPU per commit, ms", f"{flavour}.cluster_cpu_ms_per_commit"),
        Row(f"{flavour}: ... above idle", f"{flavour}.cluster_cpu_ms_per_commit_above_idle", of("cluster_cpu_ms")),
        Row(f"{flavour}: requests per commit", f"{flavour}.requests_per_commit", lambda _: 1),
        Row(f"{flavour}: later writing of the revision, seconds until all", f"{flavour}.flush.seconds"),
        Row(f"{flavour}: ... its engine CPU, s", f"{flavour}.flush.engine_cpu_s"),
    ]


def rendered(flavour: str) -> list[Row]:
    """The rows of renders."""
    rows = []
    for name, words in (
        ("cold", "cold"),
        ("shared_changed", "what is shared changed"),
        ("nothing_read_changed", "nothing that is read changed"),
    ):
        where = f"{flavour}.{name}"
        tool = (lambda figures: at(figures, f"{flavour}.tool_alone.cpu_ms_per_render")) if name == "cold" else None
        rows += [
            Row(f"{flavour}, {words}: engine CPU per application, ms", f"{where}.engine_cpu_ms_per_app"),
            Row("... of it render workers and git", f"{where}.engine_children_cpu_ms_per_app", tool),
            Row("... wall of all, s", f"{where}.wall_s"),
        ]
    return rows


ROWS: dict[str, list[Row]] = {
    "B1": [
        Row("wall, s", "wall_s", both("wall_s")),
        *spent("app", floor=True),
        Row("PSS after it, MiB", "memory.pss_mib"),
        Row("loop lag, ms", "loop_lag_ms"),
    ],
    "B2": [
        Row("engine CPU per minute, s", "engine_cpu_s_per_min"),
        Row("... of it in its children", "engine_children_cpu_s_per_min"),
        Row("cluster CPU per minute, s", "cluster_cpu_s_per_min", of("cluster_cpu_s_per_min")),
        Row("writes per minute, but Leases", "writes_but_lease_per_min"),
        Row("updates of a Lease per minute", "lease_updates_per_min"),
        Row("PSS, MiB", "memory.pss_mib"),
    ],
    "B3": [
        *(row for flavour in ("plain", "helm", "kustomize") for row in commits(flavour)),
        Row("shared chart changed: push to last live, s", "shared_chart.push_to_last_live_s"),
        Row("... engine CPU per application, ms", "shared_chart.engine_cpu_ms_per_app"),
        Row("shared base changed: push to last live, s", "shared_base.push_to_last_live_s"),
        Row("... engine CPU per application, ms", "shared_base.engine_cpu_ms_per_app"),
        Row("a commit that nobody reads: engine CPU, ms", "unread.engine_cpu_ms_per_commit"),
    ],
    "B4": [*rendered("helm"), *rendered("kustomize")],
    "B5": [
        Row("first sync: wall, s", "first_sync.wall_s", both("wall_s")),
        Row("... engine CPU, s", "first_sync.engine_cpu_s"),
        Row("... cluster CPU, s", "first_sync.cluster_cpu_s", both("cluster_cpu_ms_per_object", 2)),
        Row("one changed: push to live, ms", "one_changed.push_to_live_ms"),
        Row("... push to Synced and Healthy, ms", "one_changed.push_to_settled_ms"),
        *spent("change", "one_changed"),
        Row("sync with no change, ms", "no_change.request_to_ended_ms"),
        Row("... engine CPU, ms", "no_change.engine_cpu_ms_per_sync"),
        Row("... requests", "no_change.requests_per_sync"),
        Row("200 removed: push to last gone, s", "pruned.push_to_last_gone_s"),
        Row("... engine CPU, s", "pruned.engine_cpu_s"),
        Row("PSS after it, MiB", "memory.pss_mib"),
    ],
    "B6": [
        Row("no pause: wall, ms", "delay_0_s.wall_ms", of("ten_posts_ms")),
        Row("... the first, ms", "delay_0_s.first_wall_ms"),
        Row("... engine CPU, ms", "delay_0_s.engine_cpu_ms_per_app"),
        Row("a pause of 2 s: wall, ms", "delay_2_s.wall_ms"),
    ],
    "B7": [
        Row("PSS with the fleet alone, MiB", "fleet_alone.pss_mib"),
        Row("PSS with the objects, MiB", "with_objects.pss_mib"),
        Row("bytes per foreign object", "bytes_per_foreign_object"),
        Row("engine CPU per foreign event, us", "engine_cpu_us_per_foreign_event"),
        Row("restart to every verdict, s", "restart.seconds_to_every_verdict"),
        Row("... engine CPU, s", "restart.engine_cpu_s"),
        Row("... highest PSS, MiB", "restart.peak_pss_mib"),
        Row("restart with nothing stored, s", "restart_with_nothing_stored.seconds_to_every_verdict"),
    ],
    "B8": [
        Row("drift to reverted, ms", "drift_to_reverted_ms"),
        *spent("drift"),
        Row("changes that are no drift and were reverted", "false_reverts"),
    ],
    "B9": [
        Row("list with `fields=`, ten clients, ms", "list_fields.milliseconds"),
        Row("... one client, ms", "list_fields.one_client_milliseconds"),
        Row("... engine CPU, ms", "list_fields.engine_cpu_ms_per_list"),
        Row("... KiB", "list_fields.bytes"),
        Row("whole list, ten clients, ms", "list_all.milliseconds"),
        Row("... engine CPU, ms", "list_all.engine_cpu_ms_per_list"),
        Row("stream, 50 subscribers, 20 changes/s: lag, ms", "stream.lag_ms"),
        Row("... engine CPU per change, ms", "stream.engine_cpu_ms_per_change"),
        Row("PSS, MiB", "memory_after.pss_mib"),
    ],
}

TITLES = {
    "B1": "First deploy",
    "B2": "Idle",
    "B3": "One of N changed by a commit",
    "B4": "Renders",
    "B5": "One application of 2,000 ConfigMaps",
    "B6": "Ten waves of one ConfigMap",
    "B7": "Memory and restart",
    "B8": "Drift reverted",
    "B9": "Lists and streams of the API",
}


class MixedError(ValueError):
    """Results that stand beside each other do not have the same objects live."""


def render(found: Iterable[Result]) -> str:
    """All tables, as Markdown."""
    cases: dict[tuple[str, ...], dict[str, Result]] = {}
    for result in found:
        cases.setdefault(result.case, {})[result.engine] = result
    parts = []
    for case in sorted(cases, key=_order):
        parts.append(_case(case, cases[case]))
    return "\n".join(["", *parts]) + "\n" if parts else "\nNothing was measured yet.\n\n"


def lines(result: Result) -> list[str]:
    """A result in words, for who waits for it at a terminal."""
    if result.not_measured:
        return [f"{_title(result.case, result)}, {result.engine}: {NOT_MEASURED}, {result.not_measured}"]
    found = [f"{_title(result.case, result)}, {result.engine}"]
    for row in ROWS[result.bench]:
        value = at(result.figures, row.path)
        if value is not None:
            floor = cell(row.floor(result.figures)) if row.floor is not None else NONE
            beside = f"   (floor {floor})" if floor != NONE else ""
            found.append(f"  {row.label:<66} {cell(value, row.label)}{beside}")
    others = _named(result.figures, "others_cores")
    if others and max(others) > QUIET_CORES:
        found.append(f"  others used up to {max(others):.1f} cores: the times tell more of them than of the engine")
    return found


def _order(case: Sequence[str]) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (0, part) for part in case]


def _case(case: tuple[str, ...], by_engine: Mapping[str, Result]) -> str:
    check_live(case, by_engine)
    engines = [name for name in COLUMNS if name in by_engine or name in COMPARANDS]
    lines = [
        f"### {_title(case, next(iter(by_engine.values())))}",
        "",
        "| | floor | " + " | ".join(COLUMNS[name] for name in engines) + " |",
        "|---|---|" + "---|" * len(engines),
    ]
    for row in ROWS[case[0]]:
        values = {name: at(result.figures, row.path) for name, result in by_engine.items()}
        if all(value is None for value in values.values()):
            continue
        floors = (row.floor(result.figures) for result in by_engine.values()) if row.floor is not None else ()
        cells = [cell(next((value for value in floors if value is not None), None))]
        for name in engines:
            cells.append(cell(values[name], row.label) if name in by_engine else NOT_MEASURED)
        lines.append(f"| {row.label} | " + " | ".join(cells) + " |")
    lines += ["", *(_machine(result) for result in by_engine.values()), ""]
    return "\n".join(lines)


def _title(case: tuple[str, ...], result: Result) -> str:
    words = {"n": f"N = {result.n:,}", "flavour": result.flavour, "objects": f"{result.objects:,} other objects"}
    parts = [words[part] for part in PARTS[result.bench]]
    if result.cluster != "real":
        parts.append(f"{result.cluster} cluster")
    return f"{result.bench} {TITLES[result.bench]}" + (f": {', '.join(parts)}" if parts else "")


def _machine(result: Result) -> str:
    machine = result.machine
    speed = machine.get("speed", {})
    disk = "etcd with fsync" if result.fsync else "etcd without fsync"
    others = [value for value in _named(result.figures, "others_cores") if value is not None]
    shared = f"; others used up to {max(others):.1f} cores meanwhile" if others else ""
    return (
        f"{COLUMNS[result.engine]}: {result.repetitions} block{'s' if result.repetitions != 1 else ''}, "
        f"{machine.get('cpus')} x {machine.get('cpu')}, Python {machine.get('python')}, {disk}, Git over {result.git}, "
        f"speed {speed.get('best_us')}/{speed.get('median_us')} us{shared}."
    )


def _named(figures: Any, name: str) -> list[float]:
    """Every figure of a name, at its highest, wherever it is."""
    if not isinstance(figures, Mapping):
        return []
    found = []
    for key, value in figures.items():
        if key == name:
            found.append(float(value["max"]) if isinstance(value, Mapping) else float(value))
        else:
            found += _named(value, name)
    return found


def check_live(case: Sequence[str], by_engine: Mapping[str, Result]) -> None:
    """Raises MixedError unless all results that tell what was live tell the same."""
    digests = {at(result.figures, "live.digest") for result in by_engine.values()} - {None}
    if len(digests) > 1:
        raise MixedError(f"{' '.join(case)}: different objects were live under {', '.join(sorted(by_engine))}")


def cell(value: Any, label: str = "") -> str:
    """A figure as text: a number, a median with its range, or a dash."""
    if value is None:
        return NONE
    if isinstance(value, str):
        return value
    if label.endswith("KiB"):
        value = times(value, 1 / 1024)
    if isinstance(value, Mapping):
        middle, low, high = (_flat(value[name], name) for name in ("median", "min", "max"))
        last = f", p99 {number(_flat(value['p99'], 'median'))}" if "p99" in value else ""
        return f"{number(middle)} ({number(low)}-{number(high)}{last})"
    return number(value)


def _flat(value: Any, name: str) -> float:
    """Of the median and range of a figure over blocks, the one of this name."""
    return float(value[name] if isinstance(value, Mapping) else value)


def number(value: float) -> str:
    """Three digits that count."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
