"""Recordings: taking them, keeping them, and holding what a cluster does against one.

    python -m tests.devcluster.sequences.compare --kubeconfig FILE [--story NAME ...] [--record | --against FILE]

With --record what the cluster does is added to the recording (`recorded/sequences-1.36.json.gz`); the cluster has to be a
real control plane with `tiphys nodesim`. Which of two things happens first may be left open by a control plane; each way
that was seen is one of a facet's alternatives.
"""

from __future__ import annotations

import argparse
import asyncio
import fnmatch
import gzip
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from tests.devcluster.sequences.facets import Facets, facets_of
from tests.devcluster.sequences.recorder import User, recording
from tests.devcluster.sequences.stories import STORIES

from tiphys.apimachinery.apierrors import ApiError

HERE: Final = Path(__file__).resolve().parent
RECORDED: Final = HERE.parent / "recorded" / "sequences-1.36.json.gz"
DIFFERENCES: Final = HERE / "differences.yaml"
AT_ONCE: Final = 5

Recording = dict[str, dict[str, dict[str, list[Any]]]]
"""Alternatives by story, group and facet."""


@dataclass(frozen=True)
class Difference:
    """A facet that is none of the alternatives."""

    story: str
    group: str
    facet: str
    seen: Any
    recorded: list[Any]

    def __str__(self) -> str:
        wanted = " or ".join(json.dumps(one) for one in self.recorded) or "nothing"
        return f"{self.story} | {self.group} | {self.facet}\n    here  {json.dumps(self.seen)}\n    there {wanted}"


@dataclass(frozen=True)
class Row:
    """Differences that are known and stay. Each part is a pattern as of a shell."""

    story: str
    group: str
    facet: str
    reason: str

    def covers(self, one: Difference) -> bool:
        """Whether this row is about a difference."""
        return all(
            fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))
            for text, pattern in ((one.story, self.story), (one.group, self.group), (one.facet, self.facet))
        )


def rows() -> list[Row]:
    """The table of differences that stay."""
    return [Row(**row) for row in yaml.safe_load(DIFFERENCES.read_text()) or ()]


def read_recording(path: Path = RECORDED) -> Recording:
    """What the real control plane did."""
    if not path.exists():
        return {}
    found: Recording = json.loads(gzip.decompress(path.read_bytes()))
    return found


def write_recording(found: Recording, path: Path = RECORDED) -> None:
    """Keep a recording; the same content gives the same file."""
    text = json.dumps(found, sort_keys=True, separators=(",", ":"))
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def add(found: Recording, told: dict[str, Facets]) -> int:
    """Add what was told to the alternatives; how many of them are new."""
    fresh = 0
    for story, groups in told.items():
        known = found.setdefault(story, {})
        before = bool(known)
        for group in {*groups, *known}:
            facets = known.setdefault(group, {})
            for facet in {*groups.get(group, {}), *facets}:
                if facet not in facets:
                    facets[facet] = [None] if before else []
                value = groups.get(group, {}).get(facet)
                if value not in facets[facet]:
                    facets[facet].append(value)
                    fresh += 1
    return fresh


def differences(found: Recording, told: dict[str, Facets]) -> Iterator[Difference]:
    """Facets that are none of the recorded alternatives. A group nobody expects is one difference."""
    for story, groups in sorted(told.items()):
        known = found.get(story, {})
        for group in sorted({*groups, *known}):
            if group not in known or (group not in groups and known[group].get("how many", [])[-1:] != [None]):
                there = [None] if group not in known else known[group]["how many"]
                if None not in there or group in groups:
                    yield Difference(story, group, "how many", groups.get(group, {}).get("how many"), there)
                continue
            here = groups.get(group, {})
            for facet in sorted({*here, *known[group]}):
                value, alternatives = here.get(facet), known[group].get(facet, [None])
                if value not in alternatives:
                    yield Difference(story, group, facet, value, alternatives)


def told_of(kubeconfig: Path, names: Iterable[str], prefix: str = "seq") -> dict[str, Facets]:
    """Let stories happen on a cluster; what was told of each."""
    return asyncio.run(_tell(kubeconfig, list(names), prefix))


async def _tell(kubeconfig: Path, names: Sequence[str], prefix: str) -> dict[str, Facets]:
    told: dict[str, Facets] = {}
    limit = asyncio.Semaphore(AT_ONCE)
    async with recording(kubeconfig) as as_user:

        async def one(name: str) -> None:
            async with limit:
                user: User = as_user(f"{prefix}-{name}")
                await user.begin()
                try:
                    await STORIES[name](user)
                except (AssertionError, ApiError) as error:
                    told[name] = {"story": {"failed": str(error)}}
                    return
                events = await user.events()
                told[name] = facets_of(user.recorder, user.namespace, events, user.answers)

        await asyncio.gather(*(one(name) for name in names))
    return told


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; 1 when something differs that no row covers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--story", action="append", choices=sorted(STORIES))
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--recording", type=Path, default=RECORDED)
    options = parser.parse_args(arguments)
    names = options.story or sorted(STORIES)
    started = time.monotonic()
    told = told_of(options.kubeconfig, names, prefix=f"seq{int(time.time()) % 100000}")
    print(f"{len(told)} stories in {time.monotonic() - started:.0f} s", file=sys.stderr)
    found = read_recording(options.recording)
    if options.record:
        for name in [name for name, facets in told.items() if "story" in facets]:
            print(f"{name} failed: {told.pop(name)['story']['failed'][:600]}")
        print(f"{add(found, told)} facets are new")
        write_recording(found, options.recording)
        return 0
    known = rows()
    unlisted = [one for one in differences(found, told) if not any(row.covers(one) for row in known)]
    for one in unlisted:
        print(one)
    print(f"{len(unlisted)} unlisted differences", file=sys.stderr)
    return 1 if unlisted else 0


if __name__ == "__main__":
    sys.exit(main())
