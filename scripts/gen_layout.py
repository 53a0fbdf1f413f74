"""Writes docs/reference/layout.md: every module with the first line of its docstring.

    python scripts/gen_layout.py [--check]

With --check nothing is written; the exit code says whether the page is current.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "tiphys"
PAGE = ROOT / "docs" / "reference" / "layout.md"

HEADER = """\
# Layout

Where everything is. The lines are the first lines of the modules' docstrings; this page is generated from them.

A package imports only what stands below it: cli, wiring, devenv, server | controllers | devcluster | client, engine,
store, identity, policy, settings, kube, model, apimachinery | runtime. `make check` holds the code to it.
"""


def first_line(path: Path) -> str:
    """First line of a module's docstring, empty without one."""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]


def lines(folder: Path, depth: int) -> Iterator[str]:
    """The folder's modules, then its packages."""
    indent = "    " * depth
    for path in sorted(folder.glob("*.py")):
        if path.name not in ("__init__.py", "__main__.py"):
            yield f"{indent}{path.name:<{34 - 4 * depth}} {first_line(path)}"
    for package in sorted(p for p in folder.iterdir() if (p / "__init__.py").exists()):
        yield f"{indent}{package.name + '/':<{34 - 4 * depth}} {first_line(package / '__init__.py')}"
        yield from lines(package, depth + 1)


def page() -> str:
    """The whole page."""
    body = "\n".join(line.rstrip() for line in lines(PACKAGE, 0))
    return f"{HEADER}\n```text\n{body}\n```\n"


def main() -> int:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/reference/layout.md is not current; run `make fix`", file=sys.stderr)
            return 1
        return 0
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
