"""Repositories to fetch from, and the engine's view of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.unit.engine.source.trees import Bare

from tiphys.engine.source.git import GitRepositories
from tiphys.runtime.clock import SystemClock


@pytest.fixture
def bare(tmp_path: Path) -> Bare:
    """An empty bare repository."""
    return Bare(tmp_path / "repo.git")


@pytest.fixture
def repositories(tmp_path: Path) -> GitRepositories:
    """Mirrors in a folder of the test; file:// is allowed."""
    return GitRepositories(
        tmp_path / "mirrors", clock=SystemClock(), allow_file_urls=True, env={"PATH": os.environ["PATH"]}
    )
