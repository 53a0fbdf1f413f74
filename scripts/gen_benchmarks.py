"""Writes the tables of docs/benchmarks.md from the results in bench/results.

    python scripts/gen_benchmarks.py [--check]

With --check nothing is written; the exit code says whether the page is current. Results of several engines stand beside
each other only if the same objects were live.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- results: made by scripts/gen_benchmarks.py -->\n", "<!-- end of results -->\n"

sys.path.insert(0, str(ROOT))


def page(text: str) -> str:
    """The page with its tables made anew. Raises ValueError when it has no place for them."""
    from bench import results, tables

    before, found, rest = text.partition(BEGIN)
    _old, ended, after = rest.partition(END)
    if not found or not ended:
        raise ValueError(f"{PAGE.name} has no place for the tables")
    return before + BEGIN + tables.render(results.load_all()) + END + after


def main() -> int:
    """Write or check the page."""
    old = PAGE.read_text()
    new = page(old)
    if "--check" in sys.argv:
        if new != old:
            print("docs/benchmarks.md is not current; run `make fix`", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(new)
    return 0


if __name__ == "__main__":
    sys.exit(main())
