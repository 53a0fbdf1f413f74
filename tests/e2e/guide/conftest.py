"""The repository of the guide, and a cluster and engine of its own to deploy it to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cli import Cli, admin_cli
from tests.support.environment import Environment, start_cluster, start_engine
from tests.support.gitrepo import GitRepository

TREE = Path(__file__).parent / "tree"


@pytest.fixture(scope="module")
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    """One chapter starts with an empty cluster: its applications have the guide's names."""
    root = tmp_path_factory.mktemp("guide")
    with start_cluster(request.config, root) as cluster, start_engine(cluster, root) as environment:
        yield environment


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> GitRepository:
    """The guide's k8s-manifests repository, pushed."""
    repo = GitRepository(tmp_path_factory.mktemp("git"))
    files = {str(path.relative_to(TREE)): path.read_text() for path in TREE.rglob("*") if path.is_file()}
    repo.commit({name: text.replace("REPO_URL", repo.url) for name, text in files.items()}, "first")
    return repo


@pytest.fixture(scope="module")
def cli(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The CLI, logged in as admin."""
    return admin_cli(environment, tmp_path_factory.mktemp("home"))
