"""Writes docs/reference/differences.md: every `Differs:` of the docstrings, that is every wanted difference.

    python scripts/gen_differences.py [--check]

With --check nothing is written; the exit code says whether the page is current.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "tiphys"
PAGE = ROOT / "docs" / "reference" / "differences.md"

HEADER = """\
# Differences

Where Tiphys differs on purpose from Argo CD, and the embedded cluster from Kubernetes. The rows are the `Differs:` notes of
the code; this page is generated from them.
"""

_NOTE = re.compile(r"^Differs:\s*(.+?)(?=\n\s*\n|\n[A-Z][a-z]+:|\Z)", re.MULTILINE | re.DOTALL)


def notes(path: Path) -> Iterator[tuple[str, str]]:
    """(place, note) of each `Differs:` in a module; "none" is no difference."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node) or ""
        name = "" if isinstance(node, ast.Module) else node.name
        for match in _NOTE.finditer(text):
            note = " ".join(match.group(1).split())
            if not note.lower().startswith("none"):
                yield name, note[0].upper() + note[1:]


def page() -> str:
    """The whole page."""
    sections = [HEADER]
    for title, wanted in (("From Argo CD", False), ("The embedded cluster, from Kubernetes", True)):
        rows = []
        for path in sorted(PACKAGE.rglob("*.py")):
            module = path.relative_to(PACKAGE).with_suffix("").as_posix()
            if module.startswith(("devcluster/", "apimachinery/")) is not wanted:
                continue
            for name, note in notes(path):
                place = f"`{module}`" + (f" `{name}`" if name else "")
                rows.append(f"| {note.replace('|', '/')} | {place} |")
        sections.append(f"## {title}\n\n| difference | where |\n|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(sections)


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/reference/differences.md is not current; run `make fix`", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
