"""Repositories and what the engine tells git."""

from __future__ import annotations

from collections.abc import Mapping

from tiphys.engine.source.git import GitRepositories
from tiphys.runtime.clock import Clock
from tiphys.wiring.options import EngineOptions

# All that git sees of the engine's environment.
GIT_ENV = ("PATH", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")


def open_repositories(options: EngineOptions, *, env: Mapping[str, str], clock: Clock) -> GitRepositories:
    """The Git repositories of this engine; nothing is fetched yet."""
    return GitRepositories(
        options.home / "mirrors",
        clock=clock,
        allow_file_urls=options.allow_file_repositories,
        env={name: value for name, value in env.items() if name in GIT_ENV},
    )
