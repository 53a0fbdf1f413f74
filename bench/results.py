"""Results as files: one for each benchmark, engine, size and flavour."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "results"
VERSION = 1
PARTS = {
    "B1": ("n", "flavour"),
    "B2": ("n", "flavour"),
    "B3": ("n", "flavour"),
    "B4": ("n", "flavour"),
    "B5": (),
    "B6": (),
    "B7": ("n", "objects"),
    "B8": ("n", "flavour"),
    "B9": ("n",),
}
"""What tells the results of one benchmark apart, beside the engine and the kind of cluster."""


@dataclass(frozen=True, slots=True)
class Result:
    """One benchmark of one engine. `figures` are medians with ranges when there were several repetitions."""

    bench: str
    engine: str
    n: int
    flavour: str
    cluster: str
    git: str
    fsync: bool
    repetitions: int
    machine: dict[str, Any]
    objects: int = 0  # B7: in the cluster besides the fleet
    figures: dict[str, Any] = field(default_factory=dict)
    not_measured: str = ""

    @property
    def case(self) -> tuple[str, ...]:
        """What was measured, whatever the engine: results with the same case stand beside each other."""
        parts = [str(getattr(self, part)) for part in PARTS[self.bench]]
        return (self.bench, *parts, *([self.cluster] if self.cluster != "real" else []))

    @property
    def name(self) -> str:
        """Name of its file."""
        bench, *parts = self.case
        return "-".join([bench, self.engine, *parts]) + ".json"

    def payload(self) -> dict[str, Any]:
        """As JSON."""
        return {"version": VERSION, **asdict(self)}


def read(payload: dict[str, Any]) -> Result:
    """A result from JSON. Raises ValueError for another version of the format."""
    if payload.pop("version", None) != VERSION:
        raise ValueError(f"results of version {VERSION} are read only")
    return Result(**payload)


def show(payload: Any) -> str:
    """JSON text, which a change of one figure changes in one line."""
    return json.dumps(payload, indent=1, default=str)


def save(result: Result) -> Path:
    """Write a result to where the page is made from; the file."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / result.name
    path.write_text(show(result.payload()) + "\n")
    return path


def load_all(folder: Path = FOLDER) -> list[Result]:
    """The results that are there, by name."""
    return [read(json.loads(path.read_text())) for path in sorted(folder.glob("*.json"))]
