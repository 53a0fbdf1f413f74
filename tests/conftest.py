"""Options of the whole suite, and a clean environment for every test."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """--cluster chooses what end-to-end and comparison tests talk to."""
    parser.addoption(
        "--cluster",
        choices=("embedded", "real", "kubeconfig"),
        default="embedded",
        help="embedded: tiphys devcluster; real: the kube-apiserver of tests/realcluster; kubeconfig: --kubeconfig",
    )
    parser.addoption(
        "--kubeconfig", default=None, help="kubeconfig of a cluster you may change, with --cluster=kubeconfig"
    )
    parser.addoption("--record", action="store_true", help="keep what the real server answers, with --cluster=real")


@pytest.fixture(scope="session", autouse=True)
def _no_configuration_of_the_developer() -> None:
    """git and kubectl of the person who runs the tests must not decide how they end."""
    for name in ("KUBECONFIG", "GIT_DIR", "GIT_WORK_TREE", "ARGOCD_SERVER", "ARGOCD_AUTH_TOKEN", "ARGOCD_OPTS"):
        os.environ.pop(name, None)
    os.environ["GIT_CONFIG_GLOBAL"] = os.devnull
    os.environ["GIT_CONFIG_SYSTEM"] = os.devnull


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files that compare with a real API server run only when one was asked for."""
    if config.getoption("--cluster") == "real":
        return
    skip = pytest.mark.skip(reason="compares with a real API server: --cluster=real (make test-real)")
    for item in items:
        if item.path.name.endswith("_real.py"):
            item.add_marker(skip)
