"""The whole product as processes: a cluster, the engine beside it, a repository to push to."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.environment import Environment, start_cluster, start_engine
from tests.support.gitrepo import GitRepository

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """A cluster of the kind asked for by --cluster, with the engine running against it."""
    root = tmp_path_factory.mktemp("e2e")
    with start_cluster(request.config, root) as cluster, start_engine(cluster, root) as environment:
        yield environment


@pytest.fixture
def repo(tmp_path: Path) -> GitRepository:
    """An empty repository."""
    return GitRepository(tmp_path)


@pytest.fixture
def namespace() -> str:
    """A namespace no other test uses."""
    return f"e2e-{next(_numbers)}"
