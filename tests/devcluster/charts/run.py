"""Installs, changes and removes charts (with a real helm) and kustomizations (with kubectl), and reads what is left.

    python -m tests.devcluster.charts.run --kubeconfig FILE [--case NAME ...] [--record]
    python -m tests.devcluster.charts.run --kubeconfig FILE --beside FILE --chart FOLDER[,VALUE=TO ...] ...

With --record what the cluster holds after each step is written to `recorded/charts-1.36.json.gz`; the cluster has to be a
real control plane with `tiphys nodesim`. Otherwise what differs from that is printed. With --chart, charts that are somewhere
else are installed on two clusters and what differs between these is printed; the values are those of the upgrade.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.conformance.helm.casefile import Case, read_cases
from tests.conformance.helm.oracle import helm_program
from tests.devcluster.charts.held import Held, Looker, looking
from tests.support.processes import BIN, clean_env

HERE: Final = Path(__file__).resolve().parent
RECORDED: Final = HERE.parent / "recorded" / "charts-1.36.json.gz"
AT_ONCE: Final = 5
SETTLED_S: Final = 60.0
WAIT: Final = ("--wait", "--timeout", "90s")
_PULSE_S: Final = 0.5
_PATIENCE_S: Final = 20.0

Steps = dict[str, Held]
"""What is there after each step, by step."""
Command = tuple[str, ...]


def cases() -> dict[str, Case]:
    """Every chart and kustomization by name; a chart has a second file of values."""
    return {
        f"{'chart' if 'upgrade.yaml' in case.files else 'kustomization'} {case.name}": case for case in read_cases(HERE)
    }


def _chart_steps(name: str, place: Path, namespace: str, values: Command) -> dict[str, Command]:
    release = (name, "-n", namespace)
    return {
        "install": ("helm", "install", *release, str(place), "--create-namespace", *WAIT),
        "upgrade": ("helm", "upgrade", *release, str(place), *values, *WAIT),
        "rollback": ("helm", "rollback", name, "1", "-n", namespace, *WAIT),
        "uninstall": ("helm", "uninstall", *release, *WAIT),
    }


def _kustomization_steps(place: Path, namespace: str) -> dict[str, Command]:
    one, two = str(place / "one"), str(place / "two")
    return {
        "namespace": ("kubectl", "create", "namespace", namespace),
        "apply": ("kubectl", "apply", "-n", namespace, "-k", one),
        "again": ("kubectl", "apply", "-n", namespace, "-k", two),
        "server-side": ("kubectl", "apply", "-n", namespace, "-k", two, "--server-side", "--force-conflicts"),
        "delete": ("kubectl", "delete", "-n", namespace, "-k", two),
    }


class Bench:
    """One cluster to install things on."""

    def __init__(
        self, kubeconfig: Path, folder: Path, looker: Looker, prefix: str, wanted: Mapping[str, Steps] | None = None
    ) -> None:
        """`wanted`: by case, what is to be there after each step; a cluster that is not there yet is given time."""
        self._folder = folder
        self._wanted = wanted or {}
        self._looker = looker
        self._prefix = prefix
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._env = clean_env(HOME=str(folder), KUBECONFIG=str(kubeconfig))

    async def steps(self, name: str, case: Case) -> Steps:
        """Do everything that is done with a case; what is there after each step."""
        namespace = f"{self._prefix}-{name.replace(' ', '-')}"
        place = self._folder / name.replace(" ", "-")
        for path, content in case.files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(content)
        values = ("-f", str(place / "upgrade.yaml"))
        chart = name.startswith("chart ")
        commands = (
            _chart_steps(case.name, place, namespace, values) if chart else _kustomization_steps(place, namespace)
        )
        return await self._do(commands, namespace, case.name, self._wanted.get(name, {}))

    async def chart(self, place: Path, changed: Sequence[str]) -> Steps:
        """The same with a chart that is somewhere else."""
        namespace = f"{self._prefix}-{place.name}"
        values = tuple(word for one in changed for word in ("--set", one))
        return await self._do(_chart_steps(place.name, place, namespace, values), namespace, place.name)

    async def _do(self, commands: dict[str, Command], namespace: str, name: str, wanted: Steps | None = None) -> Steps:
        found: Steps = {}
        async with self._limit:
            for step, command in commands.items():
                await asyncio.to_thread(self._run, command)
                found[step] = await self._settled(namespace, name, (wanted or {}).get(step))
        return found

    def _run(self, command: Command) -> None:
        program = helm_program() if command[0] == "helm" else BIN / command[0]
        argv = [str(program), *command[1:]]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=150, env=self._env, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"

    async def _settled(self, namespace: str, name: str, wanted: Held | None) -> Held:
        """What is there once two looks in a row see the same and nothing is on its way.

        Controllers that are slow to begin show no sign of it: where something else is wanted, they have `_PATIENCE_S`.
        """
        deadline, patient = time.monotonic() + SETTLED_S, time.monotonic() + _PATIENCE_S
        before: Held | None = None
        while True:
            here, moving = await self._looker.held(namespace, name)
            if here == before and not moving and (wanted in (None, here) or time.monotonic() > patient):
                return here
            assert time.monotonic() < deadline, f"{namespace} does not come to rest: {moving}"
            before = here
            await asyncio.sleep(_PULSE_S)


def told_of(
    kubeconfig: Path, names: Iterable[str], prefix: str = "inst", *, wanted: Mapping[str, Steps] | None = None
) -> dict[str, Steps]:
    """Let cases happen on a cluster, some at once; what each left after each step. `wanted` as `Bench` takes it."""
    return asyncio.run(_tell(kubeconfig, list(names), prefix, wanted))


async def _tell(
    kubeconfig: Path, names: Sequence[str], prefix: str, wanted: Mapping[str, Steps] | None
) -> dict[str, Steps]:
    known = cases()
    async with _bench(kubeconfig, prefix, wanted) as bench:
        found = await asyncio.gather(*(bench.steps(name, known[name]) for name in names))
    return dict(zip(names, found, strict=True))


async def _tell_of_charts(kubeconfig: Path, charts: Sequence[str], prefix: str) -> dict[str, Steps]:
    async with _bench(kubeconfig, prefix) as bench:
        rows = [chart.split(",") for chart in charts]
        found = await asyncio.gather(*(bench.chart(Path(place), values) for place, *values in rows))
    return {Path(place).name: steps for (place, *_), steps in zip(rows, found, strict=True)}


@asynccontextmanager
async def _bench(kubeconfig: Path, prefix: str, wanted: Mapping[str, Steps] | None = None) -> AsyncIterator[Bench]:
    with tempfile.TemporaryDirectory() as folder:
        async with looking(kubeconfig) as looker:
            yield Bench(kubeconfig, Path(folder), looker, prefix, wanted)


def compared(name: str, there: Steps, here: Steps) -> list[str]:
    """What differs, a line for each place."""
    lines = []
    for step in there:
        for group in sorted({*there[step], *here.get(step, {})}):
            one, other = there[step].get(group, {}), here.get(step, {}).get(group, {})
            if not one or not other:
                lines.append(f"{name} | {step} | {group}: only {'here' if other else 'there'}")
                continue
            lines += [
                f"{name} | {step} | {group} | {place}: here {other.get(place)}, there {one.get(place)}"
                for place in sorted({*one, *other})
                if one.get(place) != other.get(place)
            ]
    return lines


def read_recording() -> dict[str, Steps]:
    """What the real control plane held."""
    found: dict[str, Steps] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 when something differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--case", action="append", choices=sorted(cases()))
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--beside", type=Path, help="kubeconfig of the other cluster")
    parser.add_argument("--chart", action="append", help="folder of a chart, then values of its upgrade")
    options = parser.parse_args(arguments)
    if options.chart:
        return _beside(options)
    names = options.case or list(cases())
    started = time.monotonic()
    found = told_of(options.kubeconfig, names, prefix=f"inst{int(time.time()) % 100000}")
    print(f"{len(found)} cases in {time.monotonic() - started:.0f} s", file=sys.stderr)
    if options.record:
        kept = {**(read_recording() if options.case else {}), **found}
        text = json.dumps(kept, sort_keys=True, separators=(",", ":"))
        RECORDED.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        return 0
    recorded = read_recording()
    lines = [line for name in names for line in compared(name, recorded[name], found[name])]
    print("\n".join(lines))
    print(f"{len(lines)} differences in {len(found)} cases", file=sys.stderr)
    return 1 if lines else 0


def _beside(options: argparse.Namespace) -> int:
    prefix = f"inst{int(time.time()) % 100000}"
    here = asyncio.run(_tell_of_charts(options.kubeconfig, options.chart, prefix))
    there = asyncio.run(_tell_of_charts(options.beside, options.chart, prefix))
    lines = [line for name in there for line in compared(name, there[name], here[name])]
    objects = sum(len(held) for steps in there.values() for held in steps.values())
    print("\n".join(lines))
    print(f"{len(lines)} differences in {len(there)} charts, {objects} groups of objects", file=sys.stderr)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
