"""Rules about the repository itself that nothing else would hold it to."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGE = ROOT / "src" / "tiphys"
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_module_says_what_it_is() -> None:
    """The layout page is made of these lines, so each must be there and fit."""
    wrong = []
    for path in MODULES:
        line = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
        if not line or not line.endswith((".", "?", "`")):
            wrong.append(f"{path.relative_to(ROOT)}: {line!r}")

    assert wrong == []


@pytest.mark.parametrize("name", ["utils", "util", "common", "helpers", "misc"])
def test_no_module_is_a_drawer(name: str) -> None:
    """A module is named after what it holds."""
    assert [path for path in MODULES if path.stem == name or path.parent.name == name] == []


def test_declared_dependencies_are_the_locked_ones() -> None:
    """pyproject names what locks/core.in asks for, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[><=;\[ ]", line)[0].lower() for line in project["dependencies"]}
    asked = {
        re.split(r"[><=;\[ ]", line)[0].lower()
        for line in (ROOT / "locks" / "core.in").read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    }

    assert declared == asked


def test_every_dependency_has_its_reason_in_the_docs() -> None:
    """docs/dependencies.md says why each is there."""
    page = (ROOT / "docs" / "dependencies.md").read_text()
    names = [
        re.split(r"[><=;\[ ]", line)[0]
        for name in ("core", "helm", "dev")
        for line in (ROOT / "locks" / f"{name}.in").read_text().splitlines()
        if line and not line.startswith(("#", "-"))
    ]

    assert [name for name in names if f"`{name}`" not in page] == []


def test_make_help_lists_every_target() -> None:
    """A target without its line of help is not found by anybody."""
    makefile = (ROOT / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (\S+)", makefile, re.MULTILINE))

    shown = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)

    assert {line.split()[0] for line in shown.stdout.splitlines()} == phony
