"""Print push to live and drift to reverted on the clusters this machine can run, as a table for docs/benchmarks.md.

python scripts/measure_path.py [--rounds 20] [--clusters embedded,real]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROWS = {
    "push_returned_to_live": "push to live",
    "push_returned_to_settled": "push to Synced and Healthy",
    "drift_to_reverted": "drift to reverted",
}


def measure(cluster: str, rounds: int) -> dict[str, Any]:
    """One run of bench.path."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "path.json"
        command = [sys.executable, "-m", "bench.path", "--cluster", cluster, "--rounds", str(rounds)]
        subprocess.run([*command, "--json", str(out)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        figures: dict[str, Any] = json.loads(out.read_text())
        return figures


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--clusters", default="embedded,real")
    options = parser.parse_args()
    print("| milliseconds | " + " | ".join(f"{c}: median (range)" for c in options.clusters.split(",")) + " |")
    print("|---|" + "---|" * len(options.clusters.split(",")))
    runs = [measure(cluster, options.rounds) for cluster in options.clusters.split(",")]
    for key, name in ROWS.items():
        cells = [f"{r[key]['median_ms']:.0f} ({r[key]['min_ms']:.0f}-{r[key]['max_ms']:.0f})" for r in runs]
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(json.dumps([{"cluster": r["cluster"], "machine": r["machine"]} for r in runs]))


if __name__ == "__main__":
    main()
