"""Writes docs/reference/cluster-differences.md from the tables of what the comparisons with a real cluster allow.

    python scripts/gen_cluster_differences.py [--check]

The tables are tests/devcluster/compare/differences.yaml (request by request) and tests/devcluster/sequences/differences.yaml
(over time). With --check nothing is written; the exit code says whether the page is current.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from tiphys.apimachinery.yamljson import load_one  # noqa: E402

TABLES = ROOT / "tests" / "devcluster"
PAGE = ROOT / "docs" / "reference" / "cluster-differences.md"
ORDER = "order: "  # begins the reasons of rows about which of two things comes first

HEADER = """\
# How the embedded cluster differs from Kubernetes

The embedded cluster (`tiphys devcluster`) is compared with kube-apiserver 1.36 and its controllers: more than 8,000 requests,
whose answers have to be equal in status, headers, body and managedFields, and stories of workloads told over time. This page
is generated from the tables of what those comparisons allow: a difference that is not here fails them, and so does a row
that is not true any more.
"""

REQUESTS = """\
## Request by request

| what | in the embedded cluster | in Kubernetes, and why it stays |
|---|---|---|
"""

TIME = """\
## Over time

What controllers do is compared as sequences of conditions, counts, owners and Events. Which of two things comes first is
left open by Kubernetes; the rows of the second table are about that.

| story | of | what | why it stays |
|---|---|---|---|
"""

FIRST = """\
| story | of | what | which comes first here |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    requests: Any = load_one((TABLES / "compare" / "differences.yaml").read_bytes())
    stories: Any = load_one((TABLES / "sequences" / "differences.yaml").read_bytes())
    rows = [_row(one["where"], one["here"], one["there"]) for one in requests]
    ordered = [one for one in stories if one["reason"].startswith(ORDER)]
    others = [one for one in stories if one not in ordered]
    return "\n".join(
        [
            HEADER,
            REQUESTS + "\n".join(rows) + "\n",
            TIME + "\n".join(_story(one) for one in others) + "\n",
            FIRST + "\n".join(_story(one) for one in ordered) + "\n",
        ]
    )


def _story(row: dict[str, str]) -> str:
    def shown(pattern: str) -> str:
        return "all" if pattern == "*" else f"`{pattern}`"

    reason = row["reason"].removeprefix(ORDER)
    return _row(shown(row["story"]), shown(row["group"]), shown(row["facet"]), reason)


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(str(cell).split()).replace("|", "\\|") for cell in cells) + " |"


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv:
        if not PAGE.is_file() or PAGE.read_text() != text:
            print("docs/reference/cluster-differences.md is not current; run `make fix`", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
